"""Archives of pixels: --lossless and --max-error. No generator takes part, neither in writing nor in reading.

What a lossless archive promises it promises of the images as the source holds them, so that a source whose pixels had
to be converted on the way in is refused.
"""

from collections.abc import Generator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from zpinch.codec.container import ArchiveHeader
from zpinch.codec.exact import MAX_ERROR
from zpinch.codec.layout import JSON_BYTES
from zpinch.codec.tables import MAX_ENTRIES
from zpinch.errors import UsageError
from zpinch.images import ImageCollection, ImageStream

HEADER_NAME_BYTES = JSON_BYTES - 4096  # of class names in a header, which says more


def asked_error(*, lossless: bool, max_error: int | None) -> int | None:
    """By how many levels a pixel may be off; None when an archive of codes is asked for."""
    if max_error is None:
        return 0 if lossless else None
    if not 0 <= max_error <= MAX_ERROR or max_error != int(max_error):
        raise UsageError(f"--max-error must be 0 to {MAX_ERROR} levels, not {max_error}.")
    if lossless and max_error:
        raise UsageError(f"--lossless allows no error, --max-error {max_error} does. Choose one of them.")
    return int(max_error)  # NumPy's are no numbers for JSON


def check_unconverted(source: ImageStream | ImageCollection) -> None:
    """Refuse images that are not what their source holds."""
    if source.losses:
        raise UsageError(
            f"--lossless keeps what is in {source.source}, but reading it already lost something: "
            f"{' '.join(source.losses)} --allow-conversion keeps the images as they were converted."
        )


def has_room_for(class_names: tuple[str, ...]) -> bool:
    """Whether the header of an archive of pixels can hold them, each in quotes and with a comma."""
    size = sum(len(name.encode(errors="replace")) + 3 for name in class_names)
    return len(class_names) <= MAX_ENTRIES and size <= HEADER_NAME_BYTES


@contextmanager
def threads_for(header: ArchiveHeader) -> Generator[None]:
    """The exact layer shares its work out itself: threads of BLAS beside its own would only wait for each other."""
    if header.is_exact:
        with threadpool_limits(1, user_api="blas"):
            yield
    else:
        yield
