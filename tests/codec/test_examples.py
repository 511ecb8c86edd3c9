"""The examples in the docstrings of the codec are true."""

import doctest

import pytest

from zpinch.codec import layout, tables


@pytest.mark.parametrize("module", [layout, tables], ids=lambda module: module.__name__)
def test_docstring_examples(module: object) -> None:
    failed, tried = doctest.testmod(module)  # type: ignore[arg-type]
    assert tried
    assert not failed
