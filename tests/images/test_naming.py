"""Whatever a name says, it stays below the folder it is joined to."""

import re
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zpinch.images.naming import NameBook, leaves, readable, safe_name

NASTY = st.lists(
    st.sampled_from(
        ["..", ".", "/", "\\", "C:", "nul", "CON.", "a", " ", "\0", "\udcff", "é", "aux.png", "~", "%", "x" * 99]
    ),
    max_size=20,
).map("".join)
WINDOWS_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}


@given(NASTY | st.text(max_size=300))
def test_a_safe_name_never_escapes_and_is_its_own_safe_name(name: str) -> None:
    safe = safe_name(name)
    assert safe == safe_name(safe)
    safe.encode()
    parts = safe.split("/")
    assert 1 <= len(parts) <= 8
    for part in parts:
        assert part not in ("", ".", "..")
        assert not re.search(r'[\x00-\x1f<>:"|?*\\]', part)
        assert not part.startswith(".")
        assert not part.endswith((".", " "))
        assert len(part.encode()) <= 120
        assert part.split(".")[0].strip().lower() not in WINDOWS_RESERVED
    for kind in (PurePosixPath, PureWindowsPath):
        assert kind("out").joinpath(safe).is_relative_to("out")
        assert not kind(safe).is_absolute()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("cats/0001.png", "cats/0001.png"),
        ("Łódź/猫.png", "Łódź/猫.png"),
        ("/etc/passwd", "etc/passwd"),
        ("..\\..\\x.png", "x.png"),
        ("C:\\temp\\a.png", "C_/temp/a.png"),
        ("COM1.png", "_COM1.png"),
        ("a?b*.png", "a_b_.png"),
        (".bashrc", "_.bashrc"),
        ("caf\udce9.png", "caf%E9.png"),
        ("line\nbreak", "line%0Abreak"),
        ("\u202egnp.exe", "%202Egnp.exe"),
        ("../..", "_"),
        ("", "_"),
    ],
)
def test_examples(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_long_names_stay_apart() -> None:
    first, second = (safe_name("x" * 300 + end + ".png") for end in "ab")
    assert first != second
    assert first.endswith(".png")
    assert safe_name("/".join("abcdefghijk")) != safe_name("/".join("abcdefghixk"))


@given(st.lists(st.sampled_from(["a.png", "A.png", "a-2.png", "é.png", "e\u0301.png", "d/a.png", "D/a.png", "a"])))
def test_a_book_gives_no_name_twice(names: list[str]) -> None:
    book = NameBook()
    given_out = [book.take(name) for name in names]
    assert len({name.casefold().replace("e\u0301", "é") for name in given_out}) == len(names)
    assert all(out.rpartition("/")[0] == name.rpartition("/")[0] for out, name in zip(given_out, names, strict=True))


def test_a_book_counts_on_quickly() -> None:
    book = NameBook()
    assert [book.take("a.png") for _ in range(3)] == ["a.png", "a-2.png", "a-3.png"]
    for _ in range(20_000):  # would take minutes if every search began at 2
        book.take("a.png")


def test_readable_leaves_readable_names_alone() -> None:
    assert readable("a b/ü-猫 (1).png") == "a b/ü-猫 (1).png"


def test_what_leaves_the_folder() -> None:
    assert all(map(leaves, ["/a", "\\a", "../a", "a/../b", "a\\..\\b", "C:/a", "c:a", ""]))
    assert not any(map(leaves, ["a", "a..b/c", "9:15:02.png", "a/C:", "é:a"]))
