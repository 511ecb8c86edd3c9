"""The models come from tests/trained_models.py."""

from trained_models import *  # noqa: F403 (pytest finds fixtures by the names in a conftest)
