"""Exported networks, run by onnxruntime as a stranger would, beside PyTorch; and an archive decoded without PyTorch.

The exporter takes a second or two a network, so that most tests share one exported model.
"""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from model_cases import finished_model, new_model, small_config

import zpinch
from trained_models import Spots
from zpinch.errors import MissingExtra, ModelError, QualityError, UsageError
from zpinch.model.bottleneck import DEFAULT_QUALITY
from zpinch.model.model import Coders, Model
from zpinch.model.prior.autoregressive import AutoregressivePrior
from zpinch.model.prior.autoregressive import export as export_prior
from zpinch.model.storage import identities
from zpinch.tasks import export as module
from zpinch.tasks.export import BATCHES, Exported, export

ROOT = Path(__file__).parents[2]


class Taken(NamedTuple):
    """A model beside what was exported of it."""

    model: Model
    folder: Path
    networks: tuple[Exported, ...]


@pytest.fixture(scope="module")
def taken(spots: Spots, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """Its codes of the default quality go through an autoregressive prior, those of the others through tables."""
    model, folder = finished_model(spots.images, backbone="conv"), tmp_path_factory.mktemp("conv") / "exported"
    assert model.tables is not None
    net = AutoregressivePrior(model.config.code, labels=2, entries=8).eval()
    prior = export_prior(net, np.full(model.config.code[0], -4, np.int32), model.tables.label_weights)
    model.coders[DEFAULT_QUALITY] = Coders(model.tables, prior)
    return Taken(model, folder, export(model, folder))


def answers(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    (found,) = onnxruntime.InferenceSession(path).run(None, inputs)
    return found


def assert_same(model: Model, networks: tuple[Exported, ...]) -> None:
    rng = np.random.default_rng(1)
    for count in {1, 7, 100} - set(BATCHES[1:]):
        x = rng.random((count, *model.config.image), np.float32)
        z = rng.normal(size=(count, *model.config.code)).astype(np.float32)
        beta, log_ratio = rng.random((2, count), np.float32)
        given = {
            "encoder": {"images": x},
            "generator": {"z": z, "beta": beta, "log_ratio": log_ratio},
            "critic": {"images": x, "label": rng.integers(0, model.config.labels + 1, count)},
        }
        for one in networks:
            with torch.inference_mode():
                wanted = getattr(model, one.part)(*map(torch.from_numpy, given[one.part].values())).numpy()
            np.testing.assert_allclose(answers(one.path, given[one.part]), wanted, atol=1e-4)
            assert one.difference <= 1e-4


def test_every_network_answers_as_pytorch_does(taken: Taken):
    assert [one.part for one in taken.networks] == ["encoder", "generator", "critic"]
    assert all(one.bytes == one.path.stat().st_size for one in taken.networks)
    assert_same(taken.model, taken.networks)


def test_a_dense_encoder(spots: Spots, tmp_path: Path):
    assert_same(spots.model, export(spots.model, tmp_path / "e.onnx", part="encoder"))


def test_a_grid_code_in_colour_with_sides_that_need_padding(tmp_path: Path):
    model = new_model(small_config((3, 44, 41), backbone="conv", latent=None)).eval()
    assert_same(model, export(model, tmp_path / "e.onnx", part="encoder") + export(model, tmp_path / "g.onnx"))


def test_a_file_tells_what_it_is(taken: Taken):
    path = taken.folder / "generator.onnx"
    session = onnxruntime.InferenceSession(path)
    facts = session.get_modelmeta().custom_metadata_map
    assert facts["identity"] == identities(taken.model)["generator"]
    assert json.loads(facts["step"]) == taken.model.config.step
    assert json.loads(facts["code"]) == list(taken.model.config.code)
    inputs = [(node.name, node.shape[0]) for node in session.get_inputs()]
    assert inputs == [("z", "batch"), ("beta", "batch"), ("log_ratio", "batch")]
    assert str(Path(torch.__file__).parent).encode() not in path.read_bytes()  # nor anything of this machine
    onnx.checker.check_model(path)


def test_what_the_inputs_mean(taken: Taken):
    """docs/export.md says how codes of a quality become inputs; `decode` says what must come out."""
    model = taken.model
    codes = np.random.default_rng(0).integers(-4, 5, (6, *model.config.code)).astype(np.int32)
    for quality, realism in ((1, 0.0), (3, 1.0), (5, 0.3)):
        ratio = model.config.ratio(quality)
        inputs = {
            "z": (codes * model.config.step * ratio).astype(np.float32),
            "beta": np.full(6, realism, np.float32),
            "log_ratio": np.full(6, np.log2(ratio), np.float32),
        }
        found = np.rint(answers(taken.folder / "generator.onnx", inputs) * 255)
        assert np.abs(found - model.decode(codes, realism, quality)).max() <= 1


@pytest.mark.parametrize("quality", [1, DEFAULT_QUALITY])
def test_the_example_needs_onnxruntime_and_numpy_alone(quality: int, taken: Taken, spots: Spots, tmp_path: Path):
    packed = zpinch.compress(spots.images, taken.model, tmp_path / "a.zpn", quality=quality)
    example = ROOT / "examples" / "decode_onnx.py"
    others = dict.fromkeys(("torch", "zpinch", "constriction", "scipy", "safetensors"))  # importing these fails
    alone = f"import runpy, sys; sys.modules.update({others}); runpy.run_path({str(example)!r})"
    run = [sys.executable, "-c", alone, packed.path, taken.folder, tmp_path / "found.npz"]
    subprocess.run(run, check=True)
    back = zpinch.decompress(packed.path, tmp_path / "wanted.npz", model=taken.model)
    wanted, found = zpinch.open_images(back.path).pixels, np.load(tmp_path / "found.npz")["images"]
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= 1


def test_a_recipe_without_an_encoder(tmp_path: Path):
    model = new_model(small_config(recipe="gan", latent=None)).eval()
    (generator,) = export(model, tmp_path / "g.onnx")
    assert generator.inputs == ("z", "beta")  # it was never told of qualities
    z, beta = np.random.default_rng(0).normal(size=(3, *model.config.code)).astype(np.float32), np.ones(3, np.float32)
    with torch.inference_mode():
        wanted = model.generator(torch.from_numpy(z), torch.from_numpy(beta)).numpy()
    np.testing.assert_allclose(answers(generator.path, {"z": z, "beta": beta}), wanted, atol=1e-4)
    with pytest.raises(ModelError, match="no encoder"):
        export(model, tmp_path / "e.onnx", part="encoder")


def test_nothing_is_written_where_it_cannot_be(taken: Taken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "taken.onnx").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    before = sorted(tmp_path.rglob("*"))
    for out, part, kind, words in (
        ("taken.onnx", None, UsageError, "--force"),
        ("full", None, UsageError, "--force"),
        ("model.pt", None, UsageError, ".onnx, or is a folder"),
        ("model.json", None, UsageError, ".onnx, or is a folder"),
        ("new.onnx", "prior", UsageError, "encoder, generator, critic"),
    ):
        with pytest.raises(kind, match=words):
            export(taken.model, tmp_path / out, part=part)
    with pytest.raises(ModelError):
        export(tmp_path / "no model", tmp_path / "new.onnx")
    assert sorted(tmp_path.rglob("*")) == before
    monkeypatch.setattr(module, "to_onnx", lambda *_: (taken.folder / "generator.onnx").read_bytes())
    export(taken.model, tmp_path / "taken.onnx", force=True)
    assert onnxruntime.InferenceSession(tmp_path / "taken.onnx").get_outputs()[0].name == "images"


def test_a_graph_of_other_weights_is_refused(taken: Taken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "to_onnx", lambda *_: (taken.folder / "generator.onnx").read_bytes())
    with pytest.raises(QualityError, match="differs from PyTorch"):
        export(new_model(taken.model.config, seed=5).eval(), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_without_the_extra(missing: str, spots: Spots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    honest = importlib.import_module

    def without(name: str) -> object:
        if name == missing:
            raise ImportError(name)
        return honest(name)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtra, match=rf"{missing}.*zpinch\[onnx\]"):
        export(spots.model, tmp_path / "x.onnx")
