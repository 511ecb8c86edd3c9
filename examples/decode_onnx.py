"""The images of an archive without PyTorch: NumPy, onnxruntime, and zpinch.codec, which imports no framework.

zpinch export -m model -o exported/
python examples/decode_onnx.py photos.zpn exported/ images.npz
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from zpinch.codec.container import ArchiveReader
from zpinch.codec.integer_net import IntegerLayer
from zpinch.codec.integer_prior import IntegerPrior
from zpinch.codec.tables import CodeTables

archive, exported, out = map(Path, sys.argv[1:])
generator = onnxruntime.InferenceSession(exported / "generator.onnx")
names = [node.name for node in generator.get_inputs()]
facts = generator.get_modelmeta().custom_metadata_map
with open(archive, "rb") as file:
    reader = ArchiveReader(file)
    header = reader.header
    assert header.parts.get("generator") == facts["identity"], "it holds pixels, or another model's codes"
    (coder,) = set(header.parts) - {"generator"}
    saved = dict(np.load(exported / f"{coder}.npz"))
    if header.coder == CodeTables.coder:
        reader.use(CodeTables(**saved))
    else:
        first, labels = saved.pop("first"), saved.pop("label_weights", None)
        layers = [[saved[f"{n}.{name}"] for name in ("weight", "bias", "shift")] for n in range(len(saved) // 3)]
        reader.use(IntegerPrior(header.code_shape, first, labels, tuple(IntegerLayer(*layer) for layer in layers)))
    told = {"beta": json.loads(facts["realism"]), "log_ratio": np.log2(header.step / json.loads(facts["step"]))}
    images = []
    for block in reader.blocks():
        given = {name: np.full(len(block.codes), value, np.float32) for name, value in told.items() if name in names}
        (x,) = generator.run(None, {"z": (block.codes * header.step).astype(np.float32), **given})
        images.append(np.rint(x * 255).astype(np.uint8))
np.savez(out, images=np.concatenate(images))
