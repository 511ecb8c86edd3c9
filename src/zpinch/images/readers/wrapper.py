"""The one folder that all images of an archive may lie in, as these are packed: it is looked through, and no class."""

from __future__ import annotations

from zpinch.images.layout import is_image, split_folders
from zpinch.images.readers.metadata import KINDS as METADATA


def without_wrapper(names: list[str], stem: str) -> list[str]:
    """Relative paths without the folder around all images, if there is one.

    It holds the metadata file, or two or more folders of images, unless it is a split that stands alone; or one, and is
    called like the archive (`stem`). Beside a metadata file, which names what lies below, no folder is one.
    """
    images = [name.split("/") for name in names if is_image(name)]
    if not images or any(len(parts) < 2 or parts[0] != images[0][0] for parts in images):
        return names
    top = images[0][0]
    has_folders = all(len(parts) > 2 for parts in images)
    has_several = has_folders and len({parts[1] for parts in images}) > 1
    has_metadata = any(f"{top}/{kind}" in names for kind in METADATA)
    is_lone_split = bool(split_folders([top])) and top != stem
    is_wrapping = (has_metadata or has_several or (has_folders and top == stem)) and not is_lone_split
    if not is_wrapping or any(kind in names for kind in METADATA):
        return names
    return [name.removeprefix(f"{top}/") for name in names]
