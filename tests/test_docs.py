"""Every example in README.md and docs/ works: run where that is quick, at least understood where it is not.

What a fenced block's first line says decides:

    ```python          executed; the blocks of a page share one namespace, in order
    ```python sketch   only compiled: for what would train for minutes or needs your own images
    ```console         every line `$ zpinch ...` must parse: verb, options and the types of their values
    ```console run     every line `$ ...` is also executed by bash, and must end well

All blocks of a page run in one empty folder, in order, so a console block can use what a python block saved. Keep
training tiny there: --steps 20.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from model_cases import quick_classifiers, tiny_training

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL_OPERATORS = {"|", "||", "&&", "&", ";", ">", ">>", "<", "2>"}


class Block(NamedTuple):
    """One fenced block of a page."""

    kind: str  # python, console, ...
    mark: str  # what follows the kind: sketch, run or nothing
    line: int  # of its first line of content, counted from 1
    text: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for fence in re.finditer(r"^```(\w+) *([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(fence[1], fence[2].strip(), text.count("\n", 0, fence.start(3)) + 1, fence[3])


def commands(block: Block) -> Iterator[str]:
    """What a person types: the lines after `$ `, continued where they end in a backslash."""
    for command in re.findall(r"^\$ ((?:.*\\\n)*.*)$", block.text, re.MULTILINE):
        yield command.replace("\\\n", " ")


def assert_parses(command: str) -> None:
    """`zpinch ...` up to a pipe or redirection; other programs are not ours to judge."""
    from cyclopts import CycloptsError

    from zpinch.cli import app

    words = shlex.split(command, comments=True)
    words = words[: next((at for at, word in enumerate(words) if word in SHELL_OPERATORS), len(words))]
    if words[:1] == ["zpinch"]:
        try:
            app.parse_args(words[1:], exit_on_error=False, print_error=False)
        except CycloptsError as error:
            pytest.fail(f"`{command}`: {error}", pytrace=False)


def assert_runs(command: str) -> None:
    beside_python = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=os.environ | {"PATH": beside_python, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, f"`{command}` ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_examples_of_a_page_work(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.kind == "python":
            # Blank lines in front: a traceback then names the line of the page.
            code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
            if block.mark != "sketch":
                with tiny_training(), quick_classifiers():
                    exec(code, namespace)
        elif block.kind == "console":
            for command in commands(block):
                assert_parses(command)
                if block.mark == "run":
                    assert_runs(command)


def test_blocks_and_commands_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("one\n```console run\n$ echo a \\\n    b\na b\n$ echo c\n```\n```python\nx = 1\n```\n")
    console, python = blocks(page)
    assert [shlex.split(command) for command in commands(console)] == [["echo", "a", "b"], ["echo", "c"]]
    assert python == Block("python", "", 9, "x = 1\n")


def test_marks_are_known() -> None:
    known = {("python", ""), ("python", "sketch"), ("console", ""), ("console", "run")}
    found = {(block.kind, block.mark): page.name for page in PAGES for block in blocks(page)}
    assert not {mark: name for mark, name in found.items() if mark[0] in {"python", "console"} and mark not in known}


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page.read_text("utf-8")):
            path, _, anchor = target.partition("#")
            aim = page.parent / path if path else page
            assert aim.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors(aim), f"{page.name} links to {target}"
