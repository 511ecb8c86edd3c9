"""zpinch: one model, trained on your own images, that compresses, decompresses and generates them.

    images = zpinch.open_images("digits")
    model = zpinch.train(images, minutes=5)
    zpinch.compress("digits", model, "digits.zpn")

Names load on first use: `import zpinch` takes no PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zpinch.errors import ZpinchError
    from zpinch.images import ImageCollection, save_images
    from zpinch.model.model import Model
    from zpinch.model.storage import load
    from zpinch.tasks.archive import Archive, open_archive
    from zpinch.tasks.augment import augment
    from zpinch.tasks.complete import complete
    from zpinch.tasks.compress import compress
    from zpinch.tasks.decompress import decompress
    from zpinch.tasks.detect import detect
    from zpinch.tasks.embed import embed
    from zpinch.tasks.evaluate import evaluate
    from zpinch.tasks.explore import explore
    from zpinch.tasks.export import export
    from zpinch.tasks.find import find
    from zpinch.tasks.generate import generate
    from zpinch.tasks.source import open_images
    from zpinch.tasks.train import train

__all__ = [
    "Archive",
    "ImageCollection",
    "Model",
    "ZpinchError",
    "augment",
    "complete",
    "compress",
    "decompress",
    "detect",
    "embed",
    "evaluate",
    "explore",
    "export",
    "find",
    "generate",
    "load",
    "open_archive",
    "open_images",
    "save_images",
    "train",
]

_HOMES = {
    "Archive": "zpinch.tasks.archive",
    "ImageCollection": "zpinch.images",
    "Model": "zpinch.model.model",
    "ZpinchError": "zpinch.errors",
    "load": "zpinch.model.storage",
    "open_archive": "zpinch.tasks.archive",
    "open_images": "zpinch.tasks.source",
    "save_images": "zpinch.images",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'zpinch' has no attribute '{name}'")
    return getattr(import_module(_HOMES.get(name, f"zpinch.tasks.{name}")), name)  # a verb has a file of its own


def __dir__() -> list[str]:
    return __all__
