"""What may be a seed, of every verb that has one."""

from zpinch.errors import UsageError

SEEDS = 2**32  # what NumPy and scikit-learn take


def check_seed(seed: int) -> None:
    if not 0 <= seed < SEEDS:
        raise UsageError(f"--seed must be 0 to {SEEDS - 1}, not {seed}.")
