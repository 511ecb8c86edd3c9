"""The one door to constriction: arrays of symbols, coded with one integer table or with a table each.

constriction's queue coder has 32-bit words and a 64-bit state; docs/format.md gives it in integers, and
tests/oracles/range_coder.py is written from there. Its package has no types, panics in Rust, and takes
probabilities as floats: all of that ends here. Sections, escapes and labels are coder.py's.
"""

from typing import Any, Final

import constriction
import numpy as np
from numpy.typing import NDArray

from zpinch.errors import CorruptArchive

# constriction is a compiled module whose submodules a type checker can't see.
_constriction: Final[Any] = constriction


class RangeEncoder:
    def __init__(self) -> None:
        self._encoder = _constriction.stream.queue.RangeEncoder()

    def encode(self, symbols: NDArray[np.int32], weights: NDArray[np.uint32]) -> None:
        """Append symbols, each below weights.size. A table of one entry costs nothing: its symbol is known."""
        if weights.size > 1:
            self._encoder.encode(symbols, categorical(weights))

    def encode_each(self, symbols: NDArray[np.int32], weights: NDArray[np.uint32]) -> None:
        """Append symbols (n,), each with a table of its own, weights (n, size)."""
        if weights.shape[1] > 1:
            self._encoder.encode(symbols, categorical(), shares(weights))

    def words(self) -> NDArray[np.uint32]:
        return self._encoder.get_compressed()


class RangeDecoder:
    def __init__(self, words: NDArray[np.uint32]) -> None:
        self._decoder = _constriction.stream.queue.RangeDecoder(words)

    def decode(self, weights: NDArray[np.uint32], count: int) -> NDArray[np.int32]:
        """The next `count` symbols; zeros follow the last word, so that this ends whatever the words are."""
        if weights.size == 1:
            return np.zeros(count, dtype=np.int32)
        return self._decoded(categorical(weights), count)

    def decode_each(self, weights: NDArray[np.uint32]) -> NDArray[np.int32]:
        """The next symbols, one for each table of weights (n, size)."""
        if weights.shape[1] == 1:
            return np.zeros(len(weights), dtype=np.int32)
        return self._decoded(categorical(), shares(weights))

    def _decoded(self, model: Any, of: Any) -> NDArray[np.int32]:
        try:
            return self._decoder.decode(model, of)
        except BaseException as error:
            # An impossible state is an AssertionError; a Rust panic derives from BaseException alone.
            if isinstance(error, AssertionError) or type(error).__name__ == "PanicException":
                raise CorruptArchive("leads the range coder to a state that no encoder produces") from error
            raise

    def is_exhausted(self) -> bool:
        """False when words are left over for certain."""
        return self._decoder.maybe_exhausted()


def categorical(weights: NDArray[np.uint32] | None = None) -> Any:
    """constriction's model of one table, or of tables that come with the symbols."""
    # Without perfect=False it prints a warning to standard output.
    tables = () if weights is None else (shares(weights),)
    return _constriction.stream.model.Categorical(*tables, perfect=False)


def shares(weights: NDArray[np.uint32]) -> NDArray[np.float64]:
    # constriction adds 1 to every entry and scales the rest to 2^24: with w - 1 the scale is exactly 1.0.
    return np.subtract(weights, 1, dtype=np.float64)
