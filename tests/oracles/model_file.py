"""The tensors of a part of a model, and its identity, from docs/models.md: the standard library and NumPy.

A .safetensors file is the length of a JSON text (8 bytes, little-endian), that text, and all tensors. The text has the
type and the shape of each, and where in the rest it begins and ends.
"""

import hashlib
import json
import struct

import numpy as np

KINDS = {"U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64"}  # of the parts that code


def coding_part(data: bytes, parts: dict[str, str]) -> dict[str, np.ndarray]:
    """What an archive with these `parts` in its header was coded with, from the bytes of a .safetensors file."""
    (part,) = (name for name in parts if name != "generator")
    start = 8 + struct.unpack_from("<Q", data)[0]
    digest, tensors = hashlib.sha256(b"null"), {}
    for name, entry in sorted(json.loads(data[8:start]).items()):
        if not name.startswith(part + "."):
            continue
        first, last = entry["data_offsets"]
        values, kind, key = data[start + first : start + last], KINDS[entry["dtype"]], name.removeprefix(part + ".")
        digest.update(f"\n{key} torch.{kind} {entry['shape']}\n".encode() + values)
        tensors[key] = np.frombuffer(values, np.dtype(kind).newbyteorder("<")).reshape(entry["shape"])
    if digest.hexdigest() != parts[part]:
        raise ValueError(f"another model: its part {part} is not the one that wrote the archive")
    return tensors
