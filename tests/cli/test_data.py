"""`zpinch data` on the command line."""

from pathlib import Path

from cli_cases import Zpinch, assert_fails


def test_data_commands(zpinch: Zpinch, data: Path):
    assert "digits" in zpinch("data", "list").out
    assert "30 images of 1x28x28" in zpinch("data", "check", data).out
    assert "30 images of 1x16x16" in zpinch("data", "check", data, "--size", 16).out
    Path("bad").mkdir()
    Path("bad/x.png").write_bytes(b"no picture")
    found = zpinch("data", "check", "bad")
    assert found.code == 2
    assert "problem: x.png is not a readable image" in found.out
    assert found.out.count("x.png") == 1


def test_a_name_is_no_markup(zpinch: Zpinch):
    assert_fails(zpinch("data", "get", "[/x]"), 1, "no data set named '[/x]'")
