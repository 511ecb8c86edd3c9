"""The autoregressive prior while it learns: its masks, its rounding, and that it finds what is there to be found."""

import numpy as np
import pytest
import torch

from zpinch.model.parts import integer_tensors
from zpinch.model.prior.autoregressive import AutoregressivePrior, export
from zpinch.training.fit_autoregressive import _Batch, _Codes, fit_autoregressive, log_shares, ranges

CODES = ((3, 1, 1), (2, 2, 3))


def inputs_of(net: AutoregressivePrior, count: int, seed: int = 0):
    rng = torch.Generator().manual_seed(seed)
    channels, height, width = net.code
    around = 4 if height * width > 1 else 0
    symbols = torch.randint(net.entries, (count, channels), generator=rng)
    neighbours = torch.randint(-1, net.entries, (count, around, channels), generator=rng)
    label = torch.randint(net.labels + 1, (count,), generator=rng)
    return symbols, neighbours, label, torch.randint(height * width, (count,), generator=rng)


def made(code, *, labels: int = 2, entries: int = 6) -> AutoregressivePrior:
    torch.manual_seed(1)
    net = AutoregressivePrior(code, labels=labels, entries=entries).eval()
    for layer in net.dense:
        torch.nn.init.normal_(layer.bias, std=0.1)
    return net


@pytest.mark.parametrize("code", CODES)
def test_a_channel_sees_only_channels_before_it(code):
    net = made(code)
    symbols, neighbours, label, position = inputs_of(net, 20)
    before = net(symbols, neighbours, label, position)
    for channel in range(code[0]):
        changed = symbols.clone()
        changed[:, channel] = (changed[:, channel] + 1) % net.entries
        after = net(changed, neighbours, label, position)
        assert torch.equal(after[:, : channel + 1], before[:, : channel + 1])
        assert channel == code[0] - 1 or not torch.equal(after[:, channel + 1 :], before[:, channel + 1 :])
    assert not torch.equal(net(symbols, neighbours, (label + 1) % 3, position), before)


@pytest.mark.parametrize("code", CODES)
def test_the_integers_say_what_the_network_says(code):
    net = made(code)
    prior = export(net, np.zeros(code[0], np.int32), np.array([2**23, 2**23], np.uint32))
    rng = np.random.default_rng(0)
    symbols = rng.integers(net.entries, size=(50, *code)).astype(np.int32)
    rows = rng.integers(3, size=50)
    found = np.zeros((*symbols.shape, net.entries))

    def choose(logits, place):
        found[place] = logits / 256 * np.log(2)
        return symbols[place]

    prior.walk(rows, choose)
    outside = -np.ones((50, code[0], code[1] + 1, code[2] + 2), int)
    outside[:, :, 1:, 1:-1] = symbols
    for y in range(code[1]):
        for x in range(code[2]):
            around = [outside[:, :, y + 1 + d, x + 1 + r] for d, r in ((0, -1), (-1, -1), (-1, 0), (-1, 1))]
            neighbours = np.stack(around, 1)[:, : 4 if code[1] * code[2] > 1 else 0]
            logits = net(
                torch.from_numpy(symbols[:, :, y, x]).long(),
                torch.from_numpy(neighbours),
                torch.from_numpy(rows),
                torch.full((50,), y * code[2] + x),
            )
            a = torch.log_softmax(logits.double(), -1).detach().numpy()
            b = torch.log_softmax(torch.from_numpy(found[:, :, y, x]), -1).numpy()
            np.testing.assert_allclose(b, a, atol=0.08)


def chained_codes(count: int, grid: tuple[int, int] = (1, 1)):
    """Label l: the first coordinate is 2 l or 2 l + 1 with even odds, all others repeat it. One bit an image."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, count)
    first = 2 * label + rng.integers(0, 2, count)
    return np.broadcast_to(first[:, None, None, None], (count, 3, *grid)).astype(np.int32).copy(), label


@pytest.mark.parametrize("grid", [(1, 1), (2, 2)])
def test_it_learns_what_coordinates_and_labels_know(grid: tuple[int, int]):
    codes, label = chained_codes(3000, grid)
    fit = fit_autoregressive(codes, label, known_labels=3, steps=250, seed=0)
    assert fit is not None
    unseen = fit.held_out
    prior = fit.prior
    label_bits = np.log2(3)
    assert prior.bits(codes[unseen], label[unseen]).mean() == pytest.approx(1 + label_bits, abs=0.25)
    assert prior.bits(codes[unseen]).mean() == pytest.approx(1 + label_bits, abs=0.4)  # one of six values, unlabelled
    rng = np.random.default_rng(1)
    for known in range(3):  # the last class too
        drawn = prior.sample(np.full(200, known), rng)
        assert np.mean((drawn[:, 0, 0, 0] // 2) == known) > 0.95
    drawn = prior.sample(np.full(600, 3), rng)
    assert np.bincount(drawn[:, 0, 0, 0] // 2, minlength=3).min() > 120
    assert np.mean(drawn == drawn[:, :1, :1, :1]) > 0.95


def test_a_seed_means_the_same_prior_twice():
    codes, label = chained_codes(400)
    fits = [fit_autoregressive(codes, label, known_labels=3, steps=6, seed=seed) for seed in (0, 0, 1)]
    a, b, c = (integer_tensors(fit.prior) for fit in fits if fit is not None)
    np.testing.assert_equal(a, b)
    assert not np.array_equal(a["0.weight"], c["0.weight"])


def test_too_few_codes_or_steps_make_no_prior():
    codes, label = chained_codes(19)
    assert fit_autoregressive(codes, label, known_labels=3, steps=5, seed=0) is None
    assert fit_autoregressive(*chained_codes(100), known_labels=3, steps=0, seed=0) is None


def test_a_grid_of_more_channels_than_layers_have_room_for_makes_no_prior():
    """As of --latent 2400 and images of 48 x 16 pixels: its integers would be refused after the training."""
    codes = np.zeros((40, 200, 6, 2), np.int32)
    codes[:20] = 30
    codes[20:] = -30
    assert fit_autoregressive(codes, None, known_labels=0, steps=1, seed=0) is None


def test_an_image_that_is_held_out_is_so_in_all_its_copies(monkeypatch: pytest.MonkeyPatch):
    learned: list[int] = []
    drawn = _Codes.draw

    def draw(self: _Codes, count: int, **options: float) -> _Batch:
        learned.extend(self.images.tolist() if options["step"] > 0 else [])
        return drawn(self, count, **options)

    monkeypatch.setattr(_Codes, "draw", draw)
    codes, label = chained_codes(40)
    fit = fit_autoregressive(np.tile(codes, (3, 1, 1, 1)), np.tile(label, 3), known_labels=3, steps=1, seed=0, copies=3)
    assert len(fit.held_out) == 2
    assert sorted(learned) == [row for row in range(120) if row % 40 not in fit.held_out]


def test_ranges_hold_all_codes_or_the_middle_of_them():
    codes = np.zeros((100, 2, 1, 1), np.int32)
    codes[:, 0, 0, 0] = np.arange(100) % 7 - 3
    codes[:50, 1, 0, 0] = 5
    first, entries = ranges(codes)
    assert entries == 9 + 1
    assert first.tolist() == [-4, -1]
    codes[0, 1] = 10_000
    first, entries = ranges(codes)
    assert entries == 64
    assert first[1] <= 0
    assert first[1] + 63 > 5


def test_shares_are_counted():
    symbols = torch.tensor([[[[0, 2]], [[1, 1]]], [[[2, 2]], [[1, 0]]]])  # two images of two channels, 1 x 2
    expected = np.log((np.array([[1, 0, 3], [1, 3, 0]]) + 0.1) / 4.3)
    np.testing.assert_allclose(log_shares(symbols, 3).numpy(), expected, rtol=1e-6)
