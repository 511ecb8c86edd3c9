"""Archives of small grey images, packed by zipfile and tarfile: the n-th image has the grey level n."""

import io
import tarfile
import zipfile
from pathlib import Path

from PIL import Image

TAR_FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), level).save(file, "PNG")
    return file.getvalue()


def make_zip(path: Path, names: list[str], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for level, name in enumerate(names):
            archive.writestr(name, png(level))
    return path


def make_tar(path: Path, names: list[str], *, form: str = "pax") -> Path:
    mode = "w" if path.suffix == ".tar" else "w:gz"
    with tarfile.open(path, mode, format=TAR_FORMATS[form], errors="surrogateescape") as archive:
        for level, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = len(png(level))
            info.mtime = 0.5 if form == "pax" else 0  # pax then writes a header for it
            archive.addfile(info, io.BytesIO(png(level)))
    return path
