"""The cases in tests/model are imported by their plain name, and the models come from tests/trained_models.py."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "model")]

from trained_models import *  # noqa: E402, F403 (pytest finds fixtures by the names in a conftest)
