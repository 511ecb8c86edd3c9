"""Results as JSON has them, and numbers as JSON may have them."""

import math
from typing import Any, TypeGuard

import numpy as np


def plain(value: Any) -> Any:
    """Typed results as JSON types, which know no infinity: None where a figure has none."""
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if hasattr(value, "__dataclass_fields__"):
        return {key: plain(getattr(value, key)) for key in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_figure(value: object) -> TypeGuard[int | float]:
    """Whether this is a number to count or draw with. A model's facts and metrics are for people: anybody can write
    words into them, or numbers that no float holds.
    """
    return isinstance(value, int | float) and (value == 0 or 1e-30 < abs(value) < 1e30)
