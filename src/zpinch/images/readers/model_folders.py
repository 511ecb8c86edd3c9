"""A model of ours among images, in a folder or an archive: its sheet of samples is none of them (model/storage.py)."""

from __future__ import annotations

from zpinch.images.naming import counted

CONFIG, SAMPLES = "config.json", "samples.png"
HEAD_BYTES = 64  # of its config.json, which tell


def is_model(head: bytes) -> bool:
    """Whether a config.json that begins so is that of a model."""
    return b'"format": "zpinch-model"' in head[:HEAD_BYTES]


def models_note(models: int) -> tuple[str, ...]:
    """The note on so many of them, if any."""
    return (f"{counted(models, 'zpinch model')} among them: not read as images.",) if models else ()
