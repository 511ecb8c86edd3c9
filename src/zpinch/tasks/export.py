"""The networks of a model as ONNX, for programs without PyTorch, each compared with the original in onnxruntime.

    encoder    images (batch, channels, height, width) in [0, 1]   -> z (batch, *code)
    generator  z (batch, *code), beta (batch,), log_ratio (batch,) -> images
    critic     images, label (batch,) int64                        -> logit (batch,)

Only the networks are ONNX. What turns an archive's bytes into codes is integers, and a folder gets these too: a .npz
for each part that codes, its arrays by the names of docs/format.md. Needs onnx: `pip install 'zpinch[onnx]'`.
"""

import copy
import json
import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zpinch.errors import ModelError, QualityError, UsageError, require_extra
from zpinch.images.writers import atomic
from zpinch.images.writers.writer import FILE_ENDINGS
from zpinch.model.config import needed
from zpinch.model.model import Model
from zpinch.model.parts import part_tensors
from zpinch.model.storage import identities, loaded
from zpinch.tasks.progress import Report, unasked
from zpinch.tasks.seeds import checked_seed

Network = Literal["encoder", "generator", "critic"]
NETWORKS: tuple[Network, ...] = ("encoder", "generator", "critic")
OPSET = 18  # what onnxruntime reads since 1.14, of 2023
TOLERANCE = 1e-4
BATCHES = (1, 2, 61)  # of the comparison: a graph that has the batch of its export written in fails


class Exported(NamedTuple):
    """One network as a file."""

    part: Network
    path: Path
    bytes: int
    inputs: tuple[str, ...]
    output: str
    difference: float  # the largest between onnxruntime and PyTorch, relative to values beyond 1


class Graph(NamedTuple):
    """A network, what it is given by name, and the name of what it gives."""

    network: nn.Module
    inputs: dict[str, Tensor]
    output: str


def export(
    model: Model | str | Path,
    out: str | Path,
    *,
    part: Network | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Report | None = None,
) -> tuple[Exported, ...]:
    """Write networks of a model as ONNX with a free batch size.

    out: a file `.onnx` takes one network, the generator unless `part` says another; a folder all that the model has,
    and the integers that code its archives. Each is run in onnxruntime beside PyTorch before `out` is there.

    Raises MissingExtra without onnx, ModelError for a part that the model has not, QualityError (exit 5) where outputs
    differ by more than 1e-4, UsageError for an `out` that is taken.
    """
    progress = progress or unasked()
    seed = checked_seed(seed)
    out = Path(out)
    if part is not None and part not in NETWORKS:
        raise UsageError(f"--part is {', '.join(NETWORKS)}, not {part!r}.")
    is_folder = out.suffix.lower() != ".onnx"
    if is_folder and out.suffix.lower() in FILE_ENDINGS | {".pt", ".pth", ".tflite", ".safetensors"}:
        raise UsageError(f"{out.suffix} is not written. OUT ends in .onnx, or is a folder.")
    atomic.check_free(out, is_folder=is_folder, force=force)
    onnx, runtime = require_extra("onnx", "onnx"), require_extra("onnxruntime", "onnx")
    require_extra("onnxscript", "onnx")  # torch's exporter writes with it
    model = loaded(model)
    chosen = (part,) if part else NETWORKS if is_folder else ("generator",)
    known = identities(model)
    made: list[tuple[Exported, bytes]] = []
    for number, name in enumerate(chosen):
        if part is None and getattr(model, name) is None:
            continue
        graph = graph_of(model, name, seed=seed)
        written = to_onnx(graph, metadata(model, name, known[name]), onnx)
        where = out / f"{name}.onnx" if is_folder else out
        apart = difference(graph, written, runtime)
        if not apart <= TOLERANCE:
            raise QualityError(
                f"the {name} in onnxruntime differs from PyTorch by {apart:.2g}, more than {TOLERANCE:g}: nothing was "
                "written. Try another version of torch or onnxruntime."
            )
        made.append((Exported(name, where, len(written), tuple(graph.inputs), graph.output, apart), written))
        progress(number + 1, len(chosen))
    write(out, made, coder_arrays(model) if is_folder and part is None else {}, force=force)
    return tuple(exported for exported, _ in made)


def graph_of(model: Model, part: Network, *, seed: int) -> Graph:
    """A network beside inputs to try it on: latents as the model draws them, and the images they become."""
    rng = torch.Generator().manual_seed(seed)
    count = sum(BATCHES)
    network = copy.deepcopy(needed(getattr(model, part), part)).cpu().float().eval()
    nothing = torch.full((count,), model.config.labels)
    if model.can_sample:
        z = model.require_sampler().sample(nothing, rng)
    else:
        z = 4 * model.config.step * torch.randn((count, *model.config.code), generator=rng)
    if part == "generator":
        told = {"beta": torch.rand(count, generator=rng)}
        if needed(model.generator, part).config.knows_step:
            told["log_ratio"] = torch.rand(count, generator=rng) * 2 - 1
        return Graph(network, {"z": z, **told}, "images")
    images = torch.from_numpy(model.generate_from(z)).float() / 255
    images[::2] = torch.rand(images[::2].shape, generator=rng)  # nor may it depend on images being likely
    if part == "encoder":
        return Graph(network, {"images": images}, "z")
    label = torch.randint(0, model.config.labels + 1, (count,), generator=rng)
    return Graph(network, {"images": images, "label": label}, "logit")


def to_onnx(graph: Graph, facts: dict[str, str], onnx: Any) -> bytes:
    batch = torch.export.Dim("batch")
    with silence():
        program = torch.onnx.export(
            graph.network,
            tuple(value[:2] for value in graph.inputs.values()),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            external_data=False,
            input_names=list(graph.inputs),
            output_names=[graph.output],
            dynamic_shapes=tuple({0: batch} for _ in graph.inputs),
        )
    if program is None:
        raise ModelError("PyTorch's exporter gave nothing back. Try another version of torch.")
    proto: Any = program.model_proto
    del proto.metadata_props[:]
    for node in (*proto.graph.node, proto.graph):  # traces of the exporter, with paths of this machine in them
        del node.metadata_props[:]
    onnx.helper.set_model_props(proto, facts)
    onnx.checker.check_model(proto)
    return proto.SerializeToString(deterministic=True)


def difference(graph: Graph, written: bytes, runtime: Any) -> float:
    """The largest between onnxruntime and PyTorch over a few batches, relative to values beyond 1."""
    session = runtime.InferenceSession(written, providers=["CPUExecutionProvider"])
    largest, start = 0.0, 0
    for size in BATCHES:
        given = {name: value[start : start + size] for name, value in graph.inputs.items()}
        (found,) = session.run(None, {name: value.numpy() for name, value in given.items()})
        with torch.inference_mode():
            wanted = graph.network(*given.values()).numpy()
        largest = max(largest, largest_difference(found, wanted))
        start += size
    return largest


def largest_difference(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """Relative where values are beyond 1; infinite where shapes differ, or a value is no number."""
    if found.shape != wanted.shape:
        return float("inf")
    apart = np.abs(found - wanted) / np.maximum(np.abs(wanted), 1)
    return float(apart.max()) if np.isfinite(apart).all() else float("inf")


def metadata(model: Model, part: Network, identity: str) -> dict[str, str]:
    """What a program must know to use the network; ONNX keeps texts only, so values are JSON."""
    config = model.config
    known = {
        "format": "zpinch-onnx-1",
        "part": part,
        "identity": identity,
        "model": model.name,
        "recipe": config.recipe,
        "image": config.image,
        "code": config.code,
        "step": config.step,
        "qualities": config.qualities,
        "realism": config.realism,
        "class_names": config.class_names,
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in known.items()}


def coder_arrays(model: Model) -> dict[str, dict[str, NDArray[Any]]]:
    """The integers of each part that codes archives of codes, by the names of docs/format.md."""
    narrow = {"first": np.int32, "weights": np.uint32, "label_weights": np.uint32}  # stored wider, for safetensors
    return {
        part: {name: value.numpy().astype(narrow.get(name, value.numpy().dtype)) for name, value in tensors.items()}
        for part, tensors in part_tensors(model).items()
        if part.split("-")[0] in {"prior", "autoregressive"}
    }


def write(
    out: Path,
    made: list[tuple[Exported, bytes]],
    coders: dict[str, dict[str, NDArray[Any]]],
    *,
    force: bool,
) -> None:
    """All files, complete or not at all."""
    if out.suffix.lower() == ".onnx":
        with atomic.new_file(out, force=force) as part:
            part.write_bytes(made[0][1])
        return
    with atomic.new_folder(out, force=force) as part:
        for exported, written in made:
            (part / exported.path.name).write_bytes(written)
        for name, arrays in coders.items():
            np.savez_compressed(part / f"{name}.npz", **dict[str, Any](arrays))


@contextmanager
def silence() -> Generator[None]:
    """The exporter warns about its own code and about libraries that nobody needs here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
