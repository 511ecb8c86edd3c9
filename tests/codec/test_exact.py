"""The exact layer against the specification in plain integers, and against its promises."""

import contextlib
import subprocess
import sys
from dataclasses import replace

import exact_layer as oracle
import numpy as np
import pytest
from exact_cases import any_images, any_net
from hypothesis import given, settings
from hypothesis import strategies as st

from zpinch.codec.exact import decode, encode, within
from zpinch.codec.exact_canvas import wavefront
from zpinch.codec.exact_net import ExactNet, exact_net
from zpinch.codec.integer_net import IntegerLayer
from zpinch.errors import CorruptArchive, ModelError, UsageError

SHAPES = st.tuples(st.sampled_from([1, 3]), st.integers(1, 12), st.integers(1, 17))


def as_lists(net: ExactNet) -> oracle.Predictor:
    numbers = {name: array.tolist() for name, array in net.tensors().items()}
    return oracle.Predictor(numbers, net.background, net.image_shape)


@pytest.mark.parametrize(
    ("shape", "background", "max_error"),
    [((1, 9, 8), 0, 0), ((3, 3, 8), 255, 0), ((1, 2, 15), 7, 0), ((1, 4, 8), 0, 2), ((3, 2, 5), 9, 30)],
)
@pytest.mark.parametrize("relative", [False, True])
def test_the_layer_equals_plain_integers(
    shape: tuple[int, int, int], background: int, max_error: int, relative: bool
) -> None:
    rng = np.random.default_rng(shape[2])
    net = any_net(rng, shape, background=background, relative=relative)
    images = any_images(rng, 3, shape, background=background)
    words = encode(net, images, max_error=max_error)
    assert oracle.decode(as_lists(net), words.tolist(), 3, max_error) == within(images, max_error).tolist()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), SHAPES, st.integers(1, 5), st.sampled_from([0, 0, 1, 2, 5, 127]), st.booleans())
def test_pixels_come_back(seed: int, shape: tuple[int, int, int], count: int, max_error: int, relative: bool) -> None:
    rng = np.random.default_rng(seed)
    background = int(rng.integers(0, 256))
    net = any_net(rng, shape, background=background, relative=relative)
    images = any_images(rng, count, shape, background=background)
    decoded = decode(net, encode(net, images, max_error=max_error), count, max_error=max_error)
    assert decoded.dtype == np.uint8
    assert decoded.tolist() == within(images, max_error).tolist()
    assert np.abs(decoded.astype(int) - images).max() <= max_error


@pytest.mark.parametrize("max_error", [0, 3])
def test_threads_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, max_error: int) -> None:
    rng = np.random.default_rng(1)
    net, images = any_net(rng, (3, 4, 9), hidden=40), any_images(rng, 12, (3, 4, 9))
    words = encode(net, images, max_error=max_error).tolist()
    for threads, chunk in ((1, 7), (2, 512), (5, 3)):
        monkeypatch.setattr("zpinch.codec.exact.THREADS", threads)
        monkeypatch.setattr("zpinch.codec.exact.CHUNK", chunk)
        monkeypatch.setattr("zpinch.codec.exact_tables.CHUNK", chunk)
        assert encode(net, images, max_error=max_error).tolist() == words
        back = decode(net, np.array(words, np.uint32), 12, max_error=max_error)
        assert np.array_equal(back, within(images, max_error))


def test_float64_layers_code_the_same() -> None:
    rng = np.random.default_rng(2)
    net, images = any_net(rng, (1, 9, 9), hidden=20), any_images(rng, 4, (1, 9, 9))
    layers = {
        name: replace(layer, added=1 << 25)
        for name, layer in (("second", net.second), ("high", net.high), ("low", net.low))
    }
    wide = replace(net, first=(replace(net.first[0], added=1 << 25),), **layers)
    assert wide.second.factor.dtype == np.float64
    assert encode(wide, images).tolist() == encode(net, images).tolist()


def test_another_process_with_other_blas_threads_codes_the_same() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/codec')\n"
        "import numpy as np; from exact_cases import any_images, any_net; from zpinch.codec.exact import encode\n"
        "rng = np.random.default_rng(3); net = any_net(rng, (1, 12, 12), hidden=50)\n"
        "print(encode(net, any_images(rng, 40, (1, 12, 12))).tobytes().hex())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], env={"OPENBLAS_NUM_THREADS": n}, capture_output=True, check=True)
        for n in ("1", "3")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout) > 1000


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_wavefront_meets_every_place_after_what_it_needs(height: int, width: int) -> None:
    seen: set[tuple[int, int]] = set()
    for places in wavefront(height, width):
        for y, x in places:
            window = {(y - dy, x + dx) for dy in range(1, 7) for dx in range(-6, 7)} | {
                (y, x - dx) for dx in range(1, 7)
            }
            assert {(r, c) for r, c in window if 0 <= r < height and 0 <= c < width} <= seen
        seen |= set(places)
    assert seen == {(y, x) for y in range(height) for x in range(width)}


@given(st.integers(0, 2**32), st.sampled_from([0, 0, 4]))
@settings(max_examples=20, deadline=None)
def test_any_words_decode_to_something_or_are_refused(seed: int, max_error: int) -> None:
    rng = np.random.default_rng(seed)
    net = any_net(rng, (1, 5, 5))
    words = encode(net, any_images(rng, 2, (1, 5, 5)), max_error=max_error)
    words[rng.integers(words.size)] ^= np.uint32(1 << int(rng.integers(32)))
    with contextlib.suppress(CorruptArchive):
        assert decode(net, words, 2, max_error=max_error).shape == (2, 1, 5, 5)
    with pytest.raises(CorruptArchive):
        decode(net, np.append(words, np.ones(9, np.uint32)), 2, max_error=max_error)


def test_what_does_not_fit_is_refused() -> None:
    rng = np.random.default_rng(0)
    net = any_net(rng, (1, 5, 6))
    with pytest.raises(UsageError, match=r"\(1, 5, 6\)"):
        encode(net, any_images(rng, 2, (1, 6, 5)))
    with pytest.raises(UsageError, match="--max-error"):
        encode(net, any_images(rng, 2, (1, 5, 6)), max_error=128)
    with pytest.raises(ModelError, match="offsets"):
        replace(net, rows=net.rows[:, :-1])
    with pytest.raises(ModelError, match="layers"):
        replace(net, second=net.high)
    with pytest.raises(ModelError, match="background"):
        replace(net, background=256)
    with pytest.raises(ModelError, match="allows for"):
        replace(net, second=IntegerLayer(net.second.weight, net.second.bias, net.second.shift))


def test_a_network_survives_being_taken_apart() -> None:
    rng = np.random.default_rng(0)
    net, images = any_net(rng, (3, 5, 6), background=3), any_images(rng, 2, (3, 5, 6), background=3)
    again = exact_net(net.tensors())
    assert again.image_shape == (3, 5, 6)
    assert encode(again, images).tolist() == encode(net, images).tolist()
    with pytest.raises(KeyError):
        exact_net({name: array for name, array in net.tensors().items() if name != "second.bias"})
