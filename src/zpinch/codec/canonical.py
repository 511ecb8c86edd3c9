"""JSON with one spelling: keys sorted, no spaces, UTF-8, finite numbers.

An object from outside is accepted only if writing it again gives the same bytes, which rules out duplicate
keys, NaN, lone surrogates and numbers in odd forms at one stroke.
"""

import json
from collections.abc import Mapping
from typing import cast


def to_json(value: Mapping[str, object]) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def from_json(data: bytes) -> dict[str, object]:
    """The object that `data` spells, or ValueError."""
    try:
        value = json.loads(data.decode())
        if not isinstance(value, dict):
            raise ValueError("not an object")
        value = cast(dict[str, object], value)
        if to_json(value) != data:
            raise ValueError("not in canonical form")
    except RecursionError:  # writing goes a little deeper than reading
        raise ValueError("nested too deeply") from None
    return value
