"""Names of images and classes are untrusted: what is shown, and what may become a path below OUT.

`readable` makes any name printable and valid UTF-8. `safe_name` maps any string to a relative path that every system
accepts and that cannot leave the folder it is joined to. `NameBook` hands each out only once. `composed` is the form
in which names are compared, and `class_name` the one that classes have. `counted` names a number of things.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from zpinch.codec.text import can_be_shown

_MAX_PART_BYTES = 120
_MAX_PARTS = 8
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029<>:"|?*]')
_DRIVE = re.compile(r"[A-Za-z]:")
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)


def readable(name: str) -> str:
    """`name` with bytes that are not UTF-8, and control characters, written as %XX.

    >>> readable("caf\\udce9\\n.png")
    'caf%E9%0A.png'
    """
    if can_be_shown(name):
        return name
    return "".join(_printable(char) for char in name)


def composed(name: str) -> str:
    """`name` with é as one character (NFC), as keyboards and Linux write it; macOS and its .zip files write two.

    >>> composed("cafe\\u0301") == "caf\\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def class_name(word: str) -> str:
    """What a class is called by a word: composed, without spaces around it, which lists in text files do not keep.

    >>> class_name(" cat ")
    'cat'
    """
    return composed(word).strip() or word


def known_names(class_names: Iterable[str]) -> tuple[str, ...]:
    """What classes are called that a file tells of, maybe an old one; as they stand there where two would become one.

    >>> known_names(["zero", "one "]), known_names(["zero", "zero "])
    (('zero', 'one'), ('zero', 'zero '))
    """
    told = tuple(class_names)
    called = tuple(map(class_name, told))
    return called if len(set(called)) == len(set(told)) else told


def counted(n: int, noun: str) -> str:
    """A number of things, in words.

    >>> counted(1, "image"), counted(2000, "new image")
    ('1 image', '2,000 new images')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def safe_name(name: str) -> str:
    """A relative POSIX path that cannot leave the folder it is joined to, on any system; itself when already safe.

    >>> safe_name("cats/1.png"), safe_name("../../etc/passwd"), safe_name("C:\\\\x\\\\nul.png")
    ('cats/1.png', 'etc/passwd', 'C_/x/_nul.png')
    """
    parts = [_safe_part(part) for part in readable(name).replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if len(parts) > _MAX_PARTS:
        parts = [*parts[: _MAX_PARTS - 2], _digest("/".join(parts[:-1])), parts[-1]]
    return "/".join(parts) or "_"


def leaves(name: str) -> bool:
    """Whether a name, as it stands, would leave the folder it is joined to: absolute, .., or a drive."""
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "" or ".." in parts or _DRIVE.match(parts[0]) is not None


class NameBook:
    """Gives every name out once, as systems that ignore case or compose accents would compare them."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._tried: dict[str, int] = {}

    def take(self, name: str) -> str:
        """`name`, or `name-2`, `name-3` ... (before the ending) when it is taken."""
        folder, slash, file = name.rpartition("/")
        stem, dot, ending = file.rpartition(".")
        stem, ending = (stem, dot + ending) if stem else (file, "")
        key, number, free = _folded(name), 1, name
        while _folded(free) in self._taken:
            number = max(number, self._tried.get(key, 1)) + 1
            free = f"{folder}{slash}{stem}-{number}{ending}"
        self._tried[key] = number
        self._taken.add(_folded(free))
        return free


def _printable(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, as Python's file system calls hand it over
        return f"%{code - 0xDC00:02X}"
    return char if can_be_shown(char) else f"%{code:02X}"


def _safe_part(part: str) -> str:
    part = _FORBIDDEN.sub("_", part)
    if part.endswith((".", " ")):  # Windows drops them
        part = part[:-1] + "_"
    if part.startswith((".", " ")) or _RESERVED.fullmatch(part.split(".")[0].rstrip()):
        part = "_" + part
    if len(part.encode()) > _MAX_PART_BYTES:
        ending = part[part.rindex(".") :] if "." in part[-5:] else ""
        tail = f"-{_digest(part)}{ending}"
        part = part.encode()[: _MAX_PART_BYTES - len(tail.encode())].decode(errors="ignore") + tail
    return part


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
