"""The bench of learning: what is judged, by whom a sampler is chosen, and a method from end to end on blobs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zpinch.images import ImageCollection


@pytest.fixture
def learn(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The bench, with blobs in the place of every data set."""
    from model_cases import blobs

    import judging
    import learn

    def opened(source: str, split: str) -> ImageCollection:
        return blobs(120 if split == "train" else 40, classes=2, seed=len(split))

    monkeypatch.setattr(judging, "REAL", 60)
    monkeypatch.setattr(learn, "LATENT", 4)
    monkeypatch.setattr(learn.zpinch, "open_images", opened, raising=False)
    return learn


def test_a_sampler_is_chosen_by_held_out_images(learn: Any) -> None:
    judge = learn.Judge("any", 0)
    said = learn.Trained(1.0, None, "ten steps", 100.0, 50.0)
    real = judge.ground.training.pixels[:40]
    noise = np.random.default_rng(0).integers(0, 256, real.shape).astype(np.uint8)
    for made, chosen in (
        ({"samples": real, "normal": noise}, "mixture"),
        ({"samples": noise, "normal": real}, "N(0, I)"),
    ):
        row = judge.row("pythae VAE", said, made)
        assert row["how"] == f"ten steps; sampled from {chosen}"
        assert row["fcd"] < judge.row("pythae VAE", said, {"samples": noise})["fcd"]
        assert row["mse"] is None  # it rebuilt nothing


def test_methods_leave_pictures_and_what_they_took(learn: Any, tmp_path: Path) -> None:
    from model_cases import tiny_training

    said = learn.child("PCA, mixture", "any", 1.0, 0, tmp_path)
    assert said.bits is None
    with tiny_training():
        said = learn.child("zpinch autoencoder", "any", 0.001, 0, tmp_path)
    with np.load(tmp_path / "made.npz") as made:
        assert {name: array.shape for name, array in made.items()} == {
            name: learn.zpinch.open_images("any", split="test").pixels.shape for name in ("samples", "rebuilt")
        }
    assert said.bits > 0
    assert said.seconds > 0
    judged = learn.Judge("any", 0).row("zpinch autoencoder", said, dict(np.load(tmp_path / "made.npz")))
    assert judged["lines"] == 6
    assert judged["mse"] > 0


def test_our_user_code_does_what_its_lines_are_counted_for(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_cases import blobs, tiny_training

    monkeypatch.chdir(tmp_path)
    np.save("mnist.npy", blobs(60, classes=2).pixels)
    lines = (bench / "peers" / "user_code" / "zpinch_fusion.py").read_text()
    with tiny_training():
        exec(lines.replace("minutes=5", "steps=2").replace("10_000", "10"), {})
    assert len(np.load("samples.npz")["images"]) == 10
    assert len(np.load("rebuilt.npz")["images"]) == 60


def test_user_code_is_code(bench: Path) -> None:
    paths = list((bench / "peers" / "user_code").glob("*.py"))
    assert len(paths) > 3
    for path in paths:
        compile(path.read_text(), path.name, "exec")
