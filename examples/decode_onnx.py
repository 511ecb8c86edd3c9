"""The images of an archive with onnxruntime and NumPy alone: nothing of zpinch and no PyTorch is imported.

zpinch export -m model -o exported/
python examples/decode_onnx.py photos.zpn exported/ images.npz

Codes are read by the independent reader of the tests, which was written from docs/format.md.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "oracles"))
from read_archive import Reader, read_archive, read_header

archive, exported, out = map(Path, sys.argv[1:])
generator = onnxruntime.InferenceSession(exported / "generator.onnx")
facts = generator.get_modelmeta().custom_metadata_map
data = archive.read_bytes()
header, _ = read_header(Reader(data))
assert header["parts"].get("generator") == facts["identity"], "it holds pixels, or another model's codes"
(coder,) = set(header["parts"]) - {"generator"}
codes = read_archive(data, dict(np.load(exported / f"{coder}.npz"))).codes

told = {"beta": json.loads(facts["realism"]), "log_ratio": np.log2(header["step"] / json.loads(facts["step"]))}
names = [node.name for node in generator.get_inputs()]
images = []
for start in range(0, len(codes), 256):
    z = (codes[start : start + 256] * header["step"]).astype(np.float32)
    given = {name: np.full(len(z), value, np.float32) for name, value in told.items() if name in names}
    (x,) = generator.run(None, {"z": z, **given})
    images.append(np.rint(x * 255).astype(np.uint8))
np.savez(out, images=np.concatenate(images))
