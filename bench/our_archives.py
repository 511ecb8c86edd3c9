"""Our archives as codecs, like everybody's in bench/peers/formats.py. PyTorch is loaded only where they are used."""

import hashlib
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import zpinch
from peers.formats import Row
from zpinch.images import ImageCollection

OURS: dict[str, dict[str, Any]] = {
    "zpinch quality 1": {"quality": 1},
    "zpinch quality 3": {"quality": 3},
    "zpinch quality 5": {"quality": 5},
    "zpinch within 2 levels": {"max_error": 2},
    "zpinch lossless": {"lossless": True},
}


@dataclass(frozen=True)
class Zpinch:
    """A whole archive, labels included, names not. As a codec it is bound to its images, for an archive has labels."""

    images: ImageCollection
    model: Path
    options: dict[str, Any]

    @cached_property
    def loaded(self) -> zpinch.Model:
        return zpinch.load(self.model)

    @cached_property
    def place(self) -> "tempfile.TemporaryDirectory[str]":
        return tempfile.TemporaryDirectory()

    @property
    def archive(self) -> Path:
        return Path(self.place.name) / "a.zpn"

    def encode(self, pixels: np.ndarray) -> list[bytes]:
        zpinch.compress(self.images, self.loaded, self.archive, check=False, force=True, **self.options)
        return [self.archive.read_bytes()]

    def decode(self, files: list[bytes], shape: tuple[int, ...]) -> np.ndarray:
        out = Path(self.place.name) / "back.npz"
        zpinch.decompress(self.archive, out, model=self.loaded, force=True)
        return zpinch.open_images(out).pixels

    def side_bytes(self) -> int:
        """Of the parts of the model that the archive names, as the model's own file holds them."""
        from zpinch.model.parts import part_tensors

        parts = part_tensors(self.loaded)
        named = zpinch.open_archive(self.archive, self.loaded).header.parts
        return sum(t.numel() * t.element_size() for name in named for t in parts.get(name, {}).values())


def our_rows(images: ImageCollection, model: Path) -> list[Row]:
    import torch

    written = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()[:12]
    return [
        Row(name, f"model {written}", Zpinch(images, model, options), threads=torch.get_num_threads())
        for name, options in OURS.items()
    ]
