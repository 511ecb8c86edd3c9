"""A room imports only from the rooms below it, read off the syntax trees; `.importlinter` says the same its own way."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trained_models import Spots

PACKAGE = Path(__file__).parents[1] / "src" / "zpinch"
# The house, bottom up. `zpinch` is the public surface, src/zpinch/__init__.py.
ROOMS = [
    "errors",
    "codec",
    "images",
    "losses",
    "model",
    "evaluation",
    "training",
    "tasks",
    "sklearn",
    "zpinch",
    "cli",
    "__main__",
]
# What a room may take from outside the standard library, where that is limited.
LIBRARIES = {"errors": set[str](), "codec": {"numpy", "constriction"}}
FRAMEWORKS = {"torch", "sklearn", "safetensors"}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything a module imports, also inside functions; relative names made absolute."""
    package = ("zpinch", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*above, *([node.module] if node.module else [])))
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def room_of(dotted: str) -> str:
    """The room a name of ours lives in: zpinch.images.readers.idx -> images, zpinch.train -> zpinch."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "zpinch"


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_below(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0].replace("__init__", "zpinch")
    assert own in ROOMS, f"{own} is a new room: say in ROOMS and in .importlinter which floor it is on"
    for line, name in imports(path):
        where = f"{path.name}:{line} imports {name}"
        top = name.split(".")[0]
        if top == "zpinch":
            assert ROOMS.index(room_of(name)) <= ROOMS.index(own), where
        elif top not in sys.stdlib_module_names and own in LIBRARIES:
            assert top in LIBRARIES[own], where
        elif own == "images":
            assert top not in FRAMEWORKS, where


@pytest.mark.parametrize("argv", [[], ["--help"], ["compress", "--help"], ["--version"]], ids=" ".join)
def test_asking_for_help_does_not_wait_for_torch(argv: list[str]) -> None:
    code = (
        "import sys, zpinch.cli\n"
        "if sys.argv[1:]:\n"
        "    try: zpinch.cli.main()\n"
        "    except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'sklearn', 'scipy'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_what_is_slow_to_import_is_not_waited_for(spots: Spots) -> None:
    """What compresses and decompresses needs neither scikit-learn nor PyTorch's compiler; a run's sampler
    is fitted by scikit-learn, steps later, and what is refused or only estimated never comes to that.
    """
    code = (
        "import sys, zpinch\n"
        "model = zpinch.load(sys.argv[1])\n"
        "model.decode(model.encode(zpinch.open_images(sys.argv[2]).pixels))\n"
        "heavy = {'sklearn', 'scipy', 'torch._dynamo'} & sys.modules.keys()\n"
        "if heavy: sys.exit(f'a model that is used imported {heavy}')\n"
        "import zpinch.tasks.train, zpinch.tasks.detect\n"
        "if 'sklearn' in sys.modules: sys.exit('a run begins with scikit-learn')"
    )
    command = [sys.executable, "-c", code, str(spots.folder), str(spots.path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
