"""The autoregressive prior in integers: against a dense oracle, and as a code that must come back."""

import dense_prior as oracle
import numpy as np
import pytest
from codec_cases import random_prior
from hypothesis import given, settings
from hypothesis import strategies as st

from zpinch.codec import integer_prior as module
from zpinch.codec.coder import decode, encode
from zpinch.codec.integer_prior import IntegerPrior
from zpinch.codec.tables import SCALE, integer_weights
from zpinch.errors import CorruptArchive, ModelError, UsageError

CODES = ((1, 1, 1), (5, 1, 1), (3, 2, 3), (2, 1, 4), (2, 3, 1))


def random_codes(prior: IntegerPrior, count: int, seed: int = 1):
    """Some of them outside their tables."""
    rng = np.random.default_rng(seed)
    return (prior.first[:, None, None] + rng.integers(-1, prior.entries + 1, (count, *prior.code))).astype(np.int32)


def seen_logits(prior: IntegerPrior, symbols, rows):
    found = np.zeros((*symbols.shape, prior.entries), np.int64)

    def choose(logits, place):
        found[place] = logits
        return symbols[place]

    prior.walk(rows, choose)
    return found


@pytest.mark.parametrize("labels", [0, 3])
@pytest.mark.parametrize("code", CODES)
def test_logits_are_those_of_the_dense_network(code, labels: int):
    prior = random_prior(code, labels=labels, seed=sum(code))
    symbols = prior.symbols(random_codes(prior, 6))
    rows = np.arange(6) % (labels + 1)
    layers = [(layer.weight, layer.bias, layer.shift) for layer in prior.layers]
    found = seen_logits(prior, symbols, rows)
    for y, x in np.ndindex(code[1:]):
        wanted = oracle.logits(code, prior.entries, labels, layers, symbols, rows, y, x)
        np.testing.assert_array_equal(found[:, :, y, x], wanted)


@pytest.mark.parametrize("code", CODES)
def test_a_distribution_depends_on_nothing_that_is_coded_later(code):
    prior = random_prior(code)
    symbols = prior.symbols(random_codes(prior, 40))
    order = [(c, y, x) for y in range(code[1]) for x in range(code[2]) for c in range(code[0])]
    before = seen_logits(prior, symbols, np.zeros(40, int))
    for place, at in enumerate(order):
        changed = symbols.copy()
        for later in order[place:]:
            changed[:, *later] = (changed[:, *later] + 1) % prior.entries
        np.testing.assert_array_equal(seen_logits(prior, changed, np.zeros(40, int))[:, *at], before[:, *at])


@given(seed=st.integers(0, 10**6), count=st.integers(1, 30), labels=st.sampled_from([0, 1, 4]), is_grid=st.booleans())
@settings(max_examples=25)
def test_codes_come_back_at_their_ideal_length(seed: int, count: int, labels: int, is_grid: bool):
    prior = random_prior((2, 2, 2) if is_grid else (4, 1, 1), labels=labels, seed=seed)
    codes = random_codes(prior, count, seed)
    label = np.random.default_rng(seed).integers(0, labels, count) if labels else None
    payload = encode(codes, label, prior)
    found, found_label = decode(payload, count, prior.code, prior, has_labels=label is not None)
    np.testing.assert_array_equal(found, codes)
    assert label is None or (found_label == label).all()
    ideal = prior.bits(codes, label).sum()
    assert ideal - 1 <= 8 * len(payload) <= ideal * 1.001 + 130


def test_the_batch_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    prior = random_prior((3, 2, 2))
    codes = random_codes(prior, 50)
    label = np.arange(50) % 3
    whole = prior.bits(codes, label)
    np.testing.assert_array_equal(
        whole, np.concatenate([prior.bits(codes[i : i + 1], label[i : i + 1]) for i in range(50)])
    )
    monkeypatch.setattr(module, "IMAGES", 7)
    np.testing.assert_array_equal(whole, prior.bits(codes, label))


def test_samples_follow_the_tables():
    prior = random_prior((1, 1, 1), labels=0, entries=5, seed=3)
    drawn = prior.sample(np.zeros(20_000, int), np.random.default_rng(0)).ravel() - prior.first[0]
    bits = prior.bits((prior.first + np.arange(4, dtype=np.int32)).reshape(4, 1, 1, 1))
    shares = 2.0**-bits / (2.0**-bits).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20_000, shares, atol=0.015)


def test_a_low_temperature_draws_the_likeliest():
    prior = random_prior((1, 1, 1), labels=0, entries=5, seed=3)
    bits = prior.bits((prior.first + np.arange(4, dtype=np.int32)).reshape(4, 1, 1, 1))
    drawn = prior.sample(np.zeros(50, int), np.random.default_rng(0), temperature=1e-3).ravel() - prior.first[0]
    assert (drawn == bits.argmin()).all()


@given(payload=st.binary(max_size=200))
@settings(max_examples=100)
def test_hostile_payloads_decode_or_are_refused(payload: bytes):
    prior = random_prior()
    try:
        codes, _ = decode(payload, 9, prior.code, prior, has_labels=True)
    except CorruptArchive:
        return
    assert codes.shape == (9, *prior.code)


def test_an_escape_without_need_is_refused():
    prior = random_prior((1, 1, 1), labels=0)
    codes = np.full((1, 1, 1, 1), prior.first[0] + 100, np.int32)
    payload = encode(codes, None, prior)
    inside = int(prior.first[0]) + (1 << 20)
    with pytest.raises(CorruptArchive, match="no escape"):
        decode(payload[:-3] + inside.to_bytes(3, "little"), 1, prior.code, prior, has_labels=False)
    with pytest.raises(CorruptArchive, match="missing"):
        decode(payload[:-3], 1, prior.code, prior, has_labels=False)


def test_layers_that_do_not_fit_are_refused():
    prior = random_prior()
    with pytest.raises(ModelError, match="layers"):
        IntegerPrior((4, 1, 1), prior.first[:4], prior.label_weights, prior.layers)
    with pytest.raises(ModelError, match="layers"):
        IntegerPrior(prior.code, prior.first, integer_weights(np.ones(2)), prior.layers)
    with pytest.raises(UsageError, match="another model's"):
        decode(b"\0\0\0\0", 1, (4, 1, 1), prior, has_labels=False)
    assert prior.label_weights is not None
    assert prior.label_weights.sum() == SCALE
