"""What may be a seed, of every verb that has one."""

from operator import index

from zpinch.errors import UsageError

SEEDS = 2**32  # what NumPy and scikit-learn take


def checked_seed(seed: int) -> int:
    """The seed; one of NumPy's as Python's, for PyTorch and JSON take no other. Raises UsageError for what is none."""
    if not 0 <= seed < SEEDS:
        raise UsageError(f"--seed must be 0 to {SEEDS - 1}, not {seed}.")
    return index(seed)
