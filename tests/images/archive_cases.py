"""Archives of small grey images, packed by zipfile and tarfile: the n-th image has the grey level n."""

import io
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from PIL import Image

NO_OTHERS: Mapping[str, bytes] = MappingProxyType({})
TAR_FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), level).save(file, "PNG")
    return file.getvalue()


def files(names: list[str], others: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    yield from ((name, png(level)) for level, name in enumerate(names))
    yield from others.items()


def make_zip(
    path: Path, names: list[str], others: Mapping[str, bytes] = NO_OTHERS, *, method: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files(names, others):
            archive.writestr(name, data)
    return path


def make_tar(path: Path, names: list[str], others: Mapping[str, bytes] = NO_OTHERS, *, form: str = "pax") -> Path:
    mode = "w" if path.suffix == ".tar" else "w:gz"
    with tarfile.open(path, mode, format=TAR_FORMATS[form], errors="surrogateescape") as archive:
        for name, data in files(names, others):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = 0.5 if form == "pax" else 0  # pax then writes a header for it
            archive.addfile(info, io.BytesIO(data))
    return path
