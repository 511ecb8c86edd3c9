"""Nothing in the package reads or writes a pickle: a model from a stranger is data, never code."""

import ast
from pathlib import Path

import zpinch

MODULES = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
CALLS = {("torch", "load"), ("torch", "save")}


def sins(tree: ast.AST) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            names = {a.name for a in node.names}
            found += [node.module] if (node.module or "").split(".")[0] in MODULES else []
            found += sorted(names & {"load", "save"}) if node.module == "torch" else []
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found += [f"{node.value.id}.{node.attr}"] if (node.value.id, node.attr) in CALLS else []
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found += [] if isinstance(node.value, ast.Constant) and node.value.value is False else ["allow_pickle"]
        elif isinstance(node, ast.Name) and node.id in {"eval", "exec"}:
            found.append(node.id)
    return found


def test_the_source_holds_no_pickle():
    files = sorted(Path(zpinch.__file__).parent.rglob("*.py"))
    assert len(files) > 40
    assert {path.name: found for path in files if (found := sins(ast.parse(path.read_text("utf-8"))))} == {}


def test_the_search_finds_what_it_is_for():
    imports, calls = "import pickle\nfrom torch import load\ntorch.load(f)\n", "np.load(f, allow_pickle={})\n"
    text = imports + calls.format(True) + calls.format(False)
    assert sins(ast.parse(text)) == ["pickle", "load", "torch.load", "allow_pickle"]
