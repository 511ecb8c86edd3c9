"""What we promise by name is there: the public names, help and a page for every verb, the tree drawn in the README."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import zpinch
from test_docs import assert_parses

ROOT = Path(__file__).parents[1]
RUN = re.MULTILINE | re.DOTALL


def test_all_is_sorted_and_true() -> None:
    assert list(zpinch.__all__) == sorted(set(zpinch.__all__))
    assert not [name for name in zpinch.__all__ if not hasattr(zpinch, name)]


def test_every_public_name_is_documented() -> None:
    named = {name: getattr(zpinch, name) for name in zpinch.__all__}
    assert not [name for name, value in named.items() if callable(value) and not (value.__doc__ or "").strip()]


def test_every_public_function_says_what_it_raises() -> None:
    functions = {name: getattr(zpinch, name) for name in zpinch.__all__ if name.islower()}
    assert not [name for name, function in functions.items() if not re.search(r"\bRaises\s", function.__doc__ or "")]


def test_every_public_function_has_an_example_that_is_run() -> None:
    """In a page's `python` block (tests/test_docs.py) or in a docstring (tests/test_examples.py)."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    run = [block for page in pages for block in re.findall(r"^```python *\n(.*?)^```$", page.read_text("utf-8"), RUN)]
    run += [line for page in (ROOT / "src").rglob("*.py") for line in re.findall(r">>> .*", page.read_text("utf-8"))]
    functions = {name for name in zpinch.__all__ if name.islower() and callable(getattr(zpinch, name))}
    assert functions <= set(re.findall(r"\b(\w+)\(", "\n".join(run)))


PICTURED = ("complete", "augment", "embed", "detect", "explore", "evaluate", "generate")


@pytest.mark.parametrize("verb", PICTURED)
def test_the_page_of_a_verb_shows_a_picture_that_is_there(verb: str) -> None:
    shown = re.findall(r"!\[[^\]]+\]\((pictures/[^)]+)\)", (ROOT / "docs" / f"{verb}.md").read_text("utf-8"))
    assert shown
    assert all((ROOT / "docs" / name).is_file() for name in shown)


def verbs() -> list[str]:
    from zpinch.cli import app

    return sorted(name for name in app if not name.startswith("-"))


def commands() -> list[tuple[str, ...]]:
    """Every verb; instead of one that is a family, its members: ("data", "get")."""
    from zpinch.cli import app

    families = {verb: [name for name in app[verb] if not name.startswith("-")] for verb in verbs()}
    return [words for verb, names in families.items() for words in ([(verb, name) for name in names] or [(verb,)])]


def help_of(words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    from zpinch.cli import app

    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        app([*words, "--help"])
    assert end.value.code in (0, None)
    return capsys.readouterr().out


def test_the_help_names_every_verb(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(verbs()) <= set(help_of((), capsys, monkeypatch).split())


def test_every_command_shows_two_examples_that_parse(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in commands():
        text = help_of(words, capsys, monkeypatch)
        lines = re.findall(rf"^[│\s$]*zpinch {' '.join(words)}\b.*", text, re.MULTILINE)
        examples = [line for line in lines if "[OPTIONS]" not in line and "COMMAND" not in line]
        assert len(examples) >= 2, f"zpinch {' '.join(words)} --help shows {len(examples)} examples:\n{text}"
        for example in examples:
            assert_parses(example.strip("│ $"))


def test_every_verb_has_a_page_that_uses_it() -> None:
    pages = {verb: ROOT / "docs" / f"{verb}.md" for verb in verbs()}
    assert not [page.name for page in pages.values() if not page.is_file()]
    assert not [page.name for verb, page in pages.items() if f"$ zpinch {verb}" not in page.read_text("utf-8")]


def test_every_verb_is_a_public_function() -> None:
    # `list` and `test` would hide a builtin and be collected by pytest: the open archive has them instead.
    assert not set(verbs()) - {"data", "info", "list", "test"} - set(zpinch.__all__)


def test_the_module_runs_as_a_program() -> None:
    ended = subprocess.run([sys.executable, "-m", "zpinch", "--version"], capture_output=True, text=True, check=True)
    assert re.search(r"\d+\.\d+", ended.stdout)


def drawn_tree(text: str) -> set[str]:
    """The paths of an indented tree: two spaces a level, one or more names a line, then what they are for."""
    paths: set[str] = set()
    folders: list[str] = []
    for line in text.splitlines():
        names = re.match(r"(?:[\w./]+(?:/|\.py)\s+)*[\w./]+(?:/|\.py)(?=\s|$)", line.strip())
        if names:
            del folders[(len(line) - len(line.lstrip())) // 2 :]
            above = "".join(folders)
            paths.update(above + name for name in names[0].split())
            folders.append(names[0].split()[-1])
    return paths


def test_the_readme_draws_the_real_tree() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    drawn = re.search(r"^```\w*\n(src/zpinch/\n.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert drawn, "README.md has no ``` block that begins with src/zpinch/"
    package = ROOT / "src" / "zpinch"
    modules = [path for path in package.rglob("*.py") if path.name != "__init__.py"]
    folders = {f"{path.parent.relative_to(ROOT).as_posix()}/" for path in package.rglob("*.py")}
    assert drawn_tree(drawn[1]) == folders | {path.relative_to(ROOT).as_posix() for path in modules}
