"""The factorised prior: its density and its integer tables against the entropy of what they code."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zpinch.codec.tables import SCALE, CodeTables
from zpinch.model.prior.factorised import FactorisedPrior, FactorisedPriorConfig, sample_tables
from zpinch.training.fit_density import fit_density, tables_from_codes


def drawn(count: int, channels: int, *, classes: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes (n, channels, 1, 1) with a spread a channel and a centre a class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count) if classes else None
    centre = 0 if labels is None else 2 * labels[:, None]
    z = rng.normal(centre, np.linspace(0.8, 3, channels), (count, channels))
    return np.rint(z).astype(np.int32)[:, :, None, None], labels


def density_bits(prior: FactorisedPrior, codes: np.ndarray, labels: np.ndarray | None) -> float:
    label = np.full(len(codes), prior.config.labels) if labels is None else labels
    with torch.no_grad():
        return prior.bits(torch.from_numpy(codes).float(), torch.from_numpy(label)).mean().item()


def entropy_bits(channels: int) -> float:
    """Of the rounded Gaussians in `drawn`, given the class."""
    import scipy.stats

    k = np.arange(-40, 41)
    total = 0.0
    for spread in np.linspace(0.8, 3, channels):
        mass = np.diff(scipy.stats.norm(0, spread).cdf(np.append(k, 41) - 0.5))
        total -= (mass[mass > 0] * np.log2(mass[mass > 0])).sum()
    return total


@pytest.fixture(scope="module", params=[0, 3], ids=["unlabelled", "labelled"])
def fitted(request: pytest.FixtureRequest) -> tuple[FactorisedPrior, CodeTables]:
    classes = request.param
    codes, labels = drawn(3000, 3, classes=classes)
    prior = FactorisedPrior(FactorisedPriorConfig(channels=3, labels=classes))
    fit_density(prior, codes, labels, seed=0)
    return prior, tables_from_codes(prior, codes, labels)


def test_density_and_tables_come_near_the_entropy(fitted: tuple[FactorisedPrior, CodeTables]):
    prior, tables = fitted
    codes, labels = drawn(3000, 3, classes=prior.config.labels, seed=1)
    entropy = entropy_bits(3)
    label_bits = np.log2(prior.config.labels) if labels is not None else 0
    assert entropy - 0.2 < density_bits(prior, codes, labels) < entropy + 0.3
    assert tables.bits(codes, labels).mean() - label_bits == pytest.approx(entropy, abs=0.3)


def test_the_density_finds_codes_wherever_they_are():
    rng = np.random.default_rng(0)
    codes = np.rint(rng.normal(20, 3, (2000, 1, 1, 1))).astype(np.int32)
    prior = FactorisedPrior(FactorisedPriorConfig(channels=1))
    fit_density(prior, codes, None, seed=0)
    assert density_bits(prior, codes, None) == pytest.approx(np.log2(3 * np.sqrt(2 * np.pi * np.e)), abs=0.2)


def test_the_row_without_a_label_codes_a_mixture_of_the_classes(fitted: tuple[FactorisedPrior, CodeTables]):
    prior, tables = fitted
    codes, _ = drawn(3000, 3, classes=prior.config.labels, seed=1)
    assert tables.bits(codes).mean() == pytest.approx(density_bits(prior, codes, None), abs=0.6)


def test_masses_are_the_bits_of_integers(fitted: tuple[FactorisedPrior, CodeTables]):
    prior, _ = fitted
    values = torch.arange(-60, 80)
    mass = prior.log_mass(values)
    assert mass.shape == (prior.config.labels + 1, 3, len(values))
    torch.testing.assert_close(mass.exp2().sum(-1), torch.ones(prior.config.labels + 1, 3).double(), atol=1e-4, rtol=0)
    y = values.float()[:, None, None, None].expand(-1, 3, 1, 1)
    bits = prior.bits(y, torch.zeros(len(values), dtype=torch.long))
    torch.testing.assert_close(-mass[0].sum(0).float(), bits, rtol=1e-4, atol=1e-4)


def test_values_never_seen_are_coded(fitted: tuple[FactorisedPrior, CodeTables]):
    _, tables = fitted
    strange = np.full((1, 3, 1, 1), 2**20, np.int32)
    assert np.isfinite(tables.bits(strange)).all()
    assert tables.bits(strange)[0] > 3 * 24


def test_samples_have_the_tables_histogram(fitted: tuple[FactorisedPrior, CodeTables]):
    prior, tables = fitted
    classes = prior.config.labels
    labels = np.full(20_000, classes - 1) if classes else None
    codes = sample_tables(tables, 20_000, (1, 1), labels, seed=0)
    assert codes.shape == (20_000, 3, 1, 1)
    assert codes.dtype == np.int32
    row = classes - 1 if classes else 0
    for channel in range(3):
        symbols = tables.symbols(codes[:, channel, 0, 0], channel)
        assert symbols.max() < tables.escape  # never the escape
        found = np.bincount(symbols, minlength=tables.escape) / 20_000
        expected = tables.weights[row, channel, :-1] / SCALE
        assert np.abs(found - expected).max() < 4 * 0.5 / 20_000**0.5


def test_samples_repeat_with_their_seed_and_fill_a_grid(fitted: tuple[FactorisedPrior, CodeTables]):
    _, tables = fitted
    a, b, c = (sample_tables(tables, 50, (2, 3), None, seed=s) for s in (1, 1, 2))
    assert a.shape == (50, 3, 2, 3)
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


@given(
    seed=st.integers(0, 2**20),
    count=st.integers(1, 30),
    classes=st.integers(0, 3),
    grid=st.sampled_from([(1, 1), (2, 3)]),
)
def test_any_codes_make_tables_that_code_them(seed: int, count: int, classes: int, grid: tuple[int, int]):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-20, 20, (count, 2, *grid)).astype(np.int32)
    labels = rng.integers(0, classes, count) if classes else None
    prior = FactorisedPrior(FactorisedPriorConfig(channels=2, labels=classes))
    tables = tables_from_codes(prior, codes, labels)
    assert tables.labels == classes
    assert all((tables.symbols(codes[:, c], c) < tables.escape).all() for c in range(2))
    assert (tables.bits(codes, labels) > 0).all()


@pytest.mark.parametrize(("classes", "room"), [(0, 1 << 24), (2, 6 * 100)])
def test_codes_too_far_apart_for_a_table_go_through_the_escape(
    classes: int, room: int, monkeypatch: pytest.MonkeyPatch
):
    """A few odd images, or many classes, cost bits at the end of a run and not the run."""
    monkeypatch.setattr("zpinch.training.fit_density.MAX_WEIGHTS", room)
    codes, labels = drawn(1000, 2, classes=classes)
    codes[:5, 0] = 9_000
    codes[5:10, 1] = -70
    prior = FactorisedPrior(FactorisedPriorConfig(channels=2, labels=classes))
    fit_density(prior, codes, labels, seed=0)
    tables = tables_from_codes(prior, codes, labels)
    assert tables.weights.shape[-1] == min(4096, room // ((classes + 1) * 2))
    assert (tables.symbols(codes[10:, 0], 0) < tables.escape).all()
    assert (tables.symbols(codes[:5, 0], 0) == tables.escape).all()
    assert tables.weights[classes, 0, -1] / SCALE == pytest.approx(6 / 1000, rel=0.1)
    assert np.isfinite(tables.bits(codes, labels)).all()
    usual = tables_from_codes(prior, codes[10:], None if labels is None else labels[10:])
    assert tables.bits(codes[10:]).mean() == pytest.approx(usual.bits(codes[10:]).mean(), rel=0.1)


def test_labels_are_coded_by_their_shares():
    codes, _ = drawn(1000, 1)
    labels = np.where(np.arange(1000) < 900, 0, 1)
    tables = tables_from_codes(FactorisedPrior(FactorisedPriorConfig(channels=1, labels=2)), codes, labels)
    assert tables.label_weights[0] / SCALE == pytest.approx(0.9, abs=0.01)


def test_moved_copies_of_an_image_count_once():
    codes, labels = drawn(200, 1, classes=2)
    prior = FactorisedPrior(FactorisedPriorConfig(channels=1, labels=2))
    once = tables_from_codes(prior, codes, labels)
    many = tables_from_codes(prior, np.tile(codes, (9, 1, 1, 1)), np.tile(labels, 9), copies=9)
    np.testing.assert_array_equal(once.weights, many.weights)
    np.testing.assert_array_equal(once.label_weights, many.label_weights)
