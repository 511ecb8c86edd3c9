"""Today's reader reads every version ever written and refuses every damage ever found."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from read_archive import read_archive
from test_golden_exact import DAMAGE, KINDS

from zpinch.codec.coder import CodePrior, encode
from zpinch.codec.container import ArchiveReader
from zpinch.codec.tables import CodeTables
from zpinch.errors import CorruptArchive
from zpinch.model.parts import integer_prior

TESTS = Path(__file__).parents[1]
NAMES = ("latent", "autoregressive", "solid-codes")
# Read in tests/tasks/test_embed_model.py and test_golden_exact.py.
ELSEWHERE = ("inside-codes", "inside-lossless", *(f"exact-{kind}" for kind in KINDS))
GOLDEN = [TESTS / "golden" / f"{name}-v1.zpn" for name in NAMES]
LATENT = GOLDEN[0]
DAMAGED = sorted((TESTS / "golden_damaged").glob("*.zpn"))
ORACLES = sorted((TESTS / "oracles").glob("*.py"))


def expected(path: Path) -> dict[str, np.ndarray]:
    with np.load(path.with_suffix(".npz")) as arrays:
        return dict(arrays)


def prior_of(arrays: dict[str, np.ndarray]) -> CodePrior:
    if "0.weight" in arrays:
        return integer_prior(arrays["codes"].shape[1:], arrays)
    return CodeTables(arrays["weights"], arrays["first"], arrays["label_weights"])


def test_no_golden_file_is_left_unread_or_lost() -> None:
    written = {path.name for path in (TESTS / "golden").glob("*.zpn")}
    assert written == {f"{name}-v1.zpn" for name in (*NAMES, *ELSEWHERE)}
    assert len(DAMAGED) >= 15
    assert len(DAMAGE) >= 5


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_archives_read_as_ever(path: Path) -> None:
    arrays = expected(path)
    with path.open("rb") as file:
        blocks = list(ArchiveReader(file, coder=prior_of(arrays)).blocks())
    assert np.array_equal(np.concatenate([block.codes for block in blocks]), arrays["codes"])
    assert np.array_equal(np.concatenate([block.labels for block in blocks]), arrays["labels"])
    assert [name for block in blocks for name in block.names] == arrays["names"].tolist()
    count = len(blocks[0].codes)
    payload = encode(arrays["codes"][:count], arrays["labels"][:count], prior_of(arrays))
    assert payload == arrays["payload"].tobytes()
    assert payload in path.read_bytes()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_independent_reader_reads_them_too(path: Path) -> None:
    arrays = expected(path)
    archive = read_archive(path.read_bytes(), arrays)
    assert np.array_equal(archive.codes, arrays["codes"])
    assert np.array_equal(archive.labels, arrays["labels"])
    assert archive.names == arrays["names"].tolist()


def test_the_independent_reader_runs_alone() -> None:
    program = TESTS / "oracles" / "read_archive.py"
    ran = subprocess.run(
        [sys.executable, program, LATENT, LATENT.with_suffix(".npz")], capture_output=True, check=True, text=True
    )
    assert ran.stdout.startswith("40 images by model 'digits'")


@pytest.mark.parametrize("path", ORACLES, ids=lambda path: path.stem)
def test_oracles_import_nothing_of_ours(path: Path) -> None:
    """Python, NumPy and each other: what they say was written another way."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= {*sys.stdlib_module_names, "numpy", *(p.stem for p in ORACLES)}


@pytest.mark.parametrize("path", DAMAGED, ids=lambda path: path.stem)
def test_damaged_archives_are_refused(path: Path) -> None:
    arrays = expected(LATENT)
    with path.open("rb") as file, pytest.raises(CorruptArchive, match=path.name):
        list(ArchiveReader(file, coder=prior_of(arrays)).blocks())
    with pytest.raises((ValueError, UnicodeDecodeError)):
        read_archive(path.read_bytes(), arrays)
