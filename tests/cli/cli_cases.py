"""How a command ended, and what it left."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Zpinch = Callable[..., Ended]


def assert_fails(ended: Ended, code: int, *words: str) -> None:
    """One message on stderr that names what is wrong, nothing on stdout."""
    assert ended.code == code, ended
    assert ended.out == ""
    assert all(word in " ".join(ended.err.split()) for word in words), ended.err


def names_here() -> set[str]:
    return {path.name for path in Path().iterdir()}
