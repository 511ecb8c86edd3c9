"""Alarms of real measurements: generators that fail on purpose, and one that does not."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from model_cases import blobs, digits, finished_model, new_model, small_config

from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import Reference
from zpinch.images import ImageCollection
from zpinch.training.measure import (
    Check,
    Yardstick,
    critic_wins,
    make_yardstick,
    measure,
    split_held_out,
    squared_distances_to_mean,
    squared_errors,
)
from zpinch.training.stopping import alarms, are_met, judge, parse_until

TRAINING, HELD_OUT = digits(600), digits(200, split="test")
OTHERS = digits(1000)[600:1000]
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def yardstick() -> Yardstick:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zpinch.evaluation.features.STEPS", 60)
        reference = Reference.fit(Extractor.fit(TRAINING), TRAINING.pixels, HELD_OUT.pixels)
    return Yardstick(HELD_OUT, reference, TRAINING.pixels[:200])


class Made:
    """A model that rebuilds every image with some noise and draws the samples it was given."""

    encoder, prior, critic = True, None, None
    config, device, draws_classes = SimpleNamespace(labels=10), torch.device("cpu"), True

    def __init__(self, samples: np.ndarray, *, noise: float = 20.0, rebuilt: np.ndarray | None = None) -> None:
        self.sampler, self.samples, self.noise, self.rebuilt = samples, samples, noise, rebuilt

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        return pixels

    def decode(self, codes: np.ndarray) -> np.ndarray:
        if self.rebuilt is not None:
            return self.rebuilt[: len(codes)]
        noise = np.random.default_rng(1).normal(0, self.noise, codes.shape)
        return (codes + noise).clip(0, 255).astype(np.uint8)

    def sample(self, labels: np.ndarray, *, seed: int) -> np.ndarray:
        return self.samples[: len(labels)]


class MadeGan(Made):
    encoder = None


def look(model: Made, yardstick: Yardstick, **changes: object) -> Check:
    return measure(model, yardstick, step=10, seconds=0.0, terms={}, seed=0, has_rate=False)._replace(**changes)


def heard(check: Check) -> list[str]:
    return [said.split(":")[0] for said in alarms(check, of=10)]


ONE = np.repeat(OTHERS.pixels[:1], 200, 0)
FEW_MODES = (ONE + np.random.default_rng(2).integers(0, 30, ONE.shape)).clip(0, 255).astype(np.uint8)
GREY = np.full_like(ONE, 128)


@pytest.mark.parametrize(
    ("model", "pieces"),
    [
        (Made(OTHERS.pixels), []),  # real images that nobody trained on: the best samples there can be
        (Made(FEW_MODES), ["samples cover"]),
        (Made(TRAINING.pixels[200:400]), ["samples lie"]),
        (Made(OTHERS.pixels, rebuilt=GREY), ["the generator is dead"]),
        (MadeGan(GREY), ["the generator is dead"]),
        (MadeGan(OTHERS.pixels), []),
    ],
    ids=["good", "one mode", "training images", "one image rebuilt", "one image drawn", "good without encoder"],
)
def test_an_alarm_for_each_failure_and_none_without(model: Made, pieces: list[str], yardstick: Yardstick):
    check = look(model, yardstick)
    said = heard(check)
    assert len(said) == len(pieces), said
    assert all(sentence.startswith(piece) for piece, sentence in zip(pieces, said, strict=True))


def test_what_is_measured_of_failures(yardstick: Yardstick):
    good, one, copied = (look(Made(s), yardstick) for s in (OTHERS.pixels, FEW_MODES, TRAINING.pixels[200:400]))
    assert good.variety == pytest.approx(1, abs=0.15)
    assert (one.recall, copied.nearest) == (0, 0)
    assert good.nearest == pytest.approx(1, abs=0.1)
    assert one.fcd > 5 * good.fcd
    assert one.top_class > 0.9 > good.top_class
    assert look(MadeGan(GREY), yardstick).variety == 0


def test_a_model_of_images_that_are_all_the_same_is_not_dead():
    check = look(Made(ONE, rebuilt=ONE), Yardstick(ImageCollection(ONE), None))
    assert check.variety is None
    assert heard(check) == []


def test_intervals_hold_the_measure_and_are_those_of_other_images(yardstick: Yardstick):
    check = look(Made(OTHERS.pixels), yardstick)
    assert {"mse", "rfcd", "fcd", "precision", "recall", "nearest", "variety", "gap"} == check.intervals.keys()
    for name in ("mse", "rfcd", "precision", "recall", "variety", "gap"):
        low, high = check.intervals[name]
        assert low <= getattr(check, name) <= high
    errors = squared_errors(HELD_OUT.pixels, Made(ONE).decode(HELD_OUT.pixels))
    assert check.mse == pytest.approx(errors.mean())
    low, high = check.intervals["mse"]
    assert (high - low) / 2 == pytest.approx(1.645 * errors.std() / len(errors) ** 0.5, rel=0.2)
    log_score = (np.log(check.mse) + np.log(check.rfcd) + np.log(check.fcd)) / 3
    assert np.median(check.replicates) == pytest.approx(log_score, abs=0.2)
    assert len(check.replicates) == 200


def test_conditions_hold_with_confidence(yardstick: Yardstick):
    check = look(Made(OTHERS.pixels), yardstick)
    low, high = check.intervals["mse"]
    assert are_met(parse_until(f"mse<{high * 1.001}"), check)
    assert not are_met(parse_until(f"mse<{(check.mse + high) / 2}"), check)  # as measured it holds; it may be luck
    assert are_met(parse_until(f"mse>{low * 0.999}"), check)
    assert not are_met(parse_until(f"mse>{(check.mse + low) / 2}"), check)


def test_a_run_that_improves_is_not_stopped_and_one_that_does_not_is(yardstick: Yardstick):
    """Images are compared one by one: a small improvement of each is seen however much they differ."""
    improving = [look(Made(OTHERS.pixels, noise=30 * 0.99**i), yardstick, step=i) for i in range(8)]
    assert improving[0].mse * 0.85 < improving[5].mse
    assert improving[0].intervals["fcd"][0] < improving[7].fcd  # samples alone tell nothing
    assert not judge(improving, (), may_stop_early=True).is_over
    standing = [look(Made(OTHERS.pixels, noise=30), yardstick, step=i) for i in range(8)]
    verdict = judge(standing, (), may_stop_early=True)
    assert verdict.is_over
    assert "has not improved by 1 % in 5 checks" in verdict.reason


def test_too_few_images_show_in_the_gap(yardstick: Yardstick):
    class Remembers(Made):
        def decode(self, codes: np.ndarray) -> np.ndarray:
            seen = {image.tobytes() for image in TRAINING.pixels}
            noise = np.array([4.0 if image.tobytes() in seen else 20.0 for image in codes])
            drawn = np.random.default_rng(1).normal(size=codes.shape) * noise[:, None, None, None]
            return (codes + drawn).clip(0, 255).astype(np.uint8)

    check = look(Remembers(OTHERS.pixels), yardstick)
    assert check.gap > 5
    assert heard(check) == [
        "images that were held out come back with " + f"{check.gap:.1f} times the error of those trained on"
    ]
    few = Yardstick(HELD_OUT[:12], None)
    assert heard(look(Made(OTHERS.pixels), few)) == ["only 12 images could be held out"]


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_a_critic_that_always_wins_is_noticed(backbone: str):
    """A critic that was trained against a generator that stands still, until it knows."""
    images = digits(200)
    model = new_model(small_config((1, 28, 28), classes=10, backbone=backbone))
    real, labels = images.pixels, images.labels
    fake = np.random.default_rng(0).integers(0, 255, real.shape).astype(np.uint8)
    before = critic_wins(model, real, fake, labels)
    assert before.shape == (200,)
    optimiser = torch.optim.Adam(model.critic.parameters(), lr=2e-3)
    y = torch.from_numpy(labels)
    for _ in range(40):
        optimiser.zero_grad()
        logits = [model.critic(model.as_input(torch.from_numpy(x)), y) for x in (real, fake)]
        torch.nn.functional.softplus(logits[1] - logits[0]).mean().backward()
        optimiser.step()
    wins = critic_wins(model, real, fake, labels)
    assert wins.mean() > 0.99 > before.mean()
    check = Check(10, 0.0, {}, wins=float(wins.mean()), intervals={"wins": [float(wins.mean())] * 2})
    assert heard(check) == [f"the critic wins every round ({wins.mean():.1%} sure of unseen images)"]


def test_the_spread_of_a_set_is_its_variance():
    pixels = RNG.integers(0, 255, (30, 1, 4, 5)).astype(np.uint8)
    assert squared_distances_to_mean(pixels).mean() == pytest.approx(pixels.var(0).mean())


def test_bits_are_those_of_the_density_given_the_labels():
    """Against its masses of integers, in double precision, and a loop."""
    images = blobs(40, classes=2)
    model = finished_model(images)
    check = measure(model, Yardstick(images, None), step=1, seconds=0.0, terms={}, seed=0)
    codes = model.encode(images.pixels)[:, :, 0, 0]
    mass = model.prior.log_mass(torch.arange(codes.min(), codes.max() + 1)).numpy()
    rows = zip(codes - codes.min(), images.labels, strict=True)
    wanted = [-sum(mass[label, channel, value] for channel, value in enumerate(row)) for row, label in rows]
    assert check.bits == pytest.approx(np.mean(wanted), rel=1e-4)
    assert measure(model, Yardstick(images, None), step=1, seconds=0, terms={}, seed=0, has_rate=False).bits is None


@pytest.mark.parametrize(("count", "held"), [(1, 0), (19, 0), (20, 5), (59, 5), (60, 6), (25_000, 2_000)])
def test_a_tenth_is_held_out_and_never_trained_on(count: int, held: int):
    numbers = np.arange(count)
    pixels = np.zeros((count, 1, 8, 8), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = numbers % 256, numbers // 256
    images = ImageCollection(pixels, numbers % 3, ("a", "b", "c"))

    def numbers_of(part: ImageCollection) -> list[int]:
        found = part.pixels[:, 0, 0, 0] + 256 * part.pixels[:, 0, 0, 1].astype(int)
        np.testing.assert_array_equal(part.labels, found % 3)
        return found.tolist()

    training, held_out = split_held_out(images)
    seen, unseen = numbers_of(training), numbers_of(held_out)
    if not held:
        assert training is held_out
        assert seen == numbers.tolist()
        return
    assert len(unseen) == held
    assert sorted(seen + unseen) == numbers.tolist()
    assert numbers_of(split_held_out(images)[1]) == unseen
    assert max(unseen) > held  # drawn, not the first ones


def test_images_that_were_trained_on_are_no_yardstick():
    few = TRAINING[:12]
    assert make_yardstick(few, few) == (few, None, None, True)
    assert make_yardstick(TRAINING, HELD_OUT[:4])[1:] == (None, None, False)
    whole = make_yardstick(TRAINING[:100], HELD_OUT[:30])
    assert whole.reference is not None
    assert not whole.is_trained_on
    assert len(whole.seen) == 30
    assert {image.tobytes() for image in whole.seen} <= {image.tobytes() for image in TRAINING.pixels[:100]}
