"""Runs are short."""

from trained_models import runs_are_tiny  # noqa: F401 (pytest finds fixtures by the names in a conftest)
