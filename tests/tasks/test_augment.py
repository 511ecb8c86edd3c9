"""The set against what was asked: counts, provenance that can be followed, what is left out, and an honest proof."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import zpinch
from trained_models import Spots
from zpinch.errors import ImageError, LimitError, ModelError, UsageError
from zpinch.evaluation.classifier import Learning
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.model.storage import identities, load
from zpinch.tasks import proof
from zpinch.tasks.augment import Augmented
from zpinch.tasks.balancing import first_of_each
from zpinch.tasks.mixing import FEWEST, Made, Mixer
from zpinch.tasks.sieve import Sieve


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return load(trained)


@pytest.fixture(scope="module")
def rare(train_digits: ImageCollection) -> ImageCollection:
    """Four classes, of 12, 12, 12 and 3 images."""
    labels = train_digits.labels
    chosen = np.concatenate([np.flatnonzero(labels == c)[:count] for c, count in enumerate((12, 12, 12, 3))])
    few = train_digits[chosen]
    return ImageCollection(few.pixels, few.labels, few.class_names[:4], source="few digits")


@pytest.fixture
def everything_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' model has seen 240 digits for a second: most of what it makes is rightly left out."""

    def pass_all(self: Sieve, made: Made) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(len(made.labels), bool), np.zeros(len(made.labels), bool)

    monkeypatch.setattr(Sieve, "__init__", lambda self, real, *, seed: None)
    monkeypatch.setattr(Sieve, "__call__", pass_all)


@pytest.mark.usefixtures("everything_passes")
def test_every_class_has_as_many_as_asked(model: Model, rare: ImageCollection):
    for kinds, mixes, samples in (("both", (4, 4, 4, 9), (4, 4, 4, 8)), ("mixes", (8, 8, 8, 17), (0,) * 4)):
        found = zpinch.augment(rare, model, per_class=20, kinds=kinds)
        assert np.bincount(found.images.labels).tolist() == [20] * 4
        np.testing.assert_array_equal(found.images.pixels[: len(rare)], rare.pixels)
        assert tuple(row.mixes for row in found.counts) == mixes
        assert tuple(row.samples for row in found.counts) == samples
        assert tuple(row.real for row in found.counts) == (12, 12, 12, 3)
    one_class = zpinch.augment(rare, model, per_class=10)  # those that have more keep them
    assert np.bincount(one_class.images.labels).tolist() == [12, 12, 12, 10]


@pytest.mark.usefixtures("everything_passes")
def test_a_mix_is_the_decoded_point_between_its_sources(model: Model, rare: ImageCollection):
    found = zpinch.augment(rare, model, per_class=20, kinds="mixes", seed=4)
    mixes = np.flatnonzero(found.origin == "mix")
    first, second = found.sources[mixes].T
    assert (first != second).all()
    assert (rare.labels[first] == found.images.labels[mixes]).all()
    assert (rare.labels[second] == found.images.labels[mixes]).all()
    with torch.inference_mode():
        z = model.encoder(torch.from_numpy(rare.pixels).float() / 255)
        a = torch.from_numpy(found.weights[mixes])[:, None, None, None]
        between = torch.lerp(z[first], z[second], a)
        realism = torch.full((len(mixes),), model.config.realism)
        again = model.generator(between, realism, torch.zeros(len(mixes)))
    assert np.abs(found.images.pixels[mixes] - 255 * again.numpy()).max() <= 1
    assert (found.sources[found.origin == "real"] == -1).all()


def test_mixes_are_of_near_neighbours(model: Model, train_digits: ImageCollection):
    made = Mixer(model, train_digits).mixes(np.repeat(np.arange(10), 30), np.random.default_rng(0))
    assert 0 <= made.weights.min() < 0.05
    assert 0.95 < made.weights.max() <= 1
    z = model.latents(train_digits.pixels).reshape(len(train_digits), -1)
    for first, second in made.sources[::7]:
        others = np.flatnonzero(train_digits.labels == train_digits.labels[first])
        distances = np.sort(np.linalg.norm(z[others] - z[first], axis=1))
        assert np.linalg.norm(z[second] - z[first]) <= distances[10] + 1e-4  # itself is the nearest


def test_samples_are_of_the_class_the_prior_knows_or_of_the_one_the_classifier_says(
    model: Model, rare: ImageCollection
):
    made = Mixer(model, rare).samples(np.array([3, 1]), np.random.default_rng(0), lambda pixels: np.zeros(0, int))
    seed = int(np.random.default_rng(0).integers(2**31))
    np.testing.assert_array_equal(made.pixels, model.sample(np.array([3, 1]), seed=seed))
    renamed = replace(rare, class_names=("a", "b", "c", "d"))  # classes that the model has never heard of
    told = np.arange(FEWEST) % 4
    drawn = Mixer(model, renamed).samples(np.zeros(5, np.int64), np.random.default_rng(0), lambda pixels: told)
    np.testing.assert_array_equal(drawn.pixels, model.sample(np.full(FEWEST, model.config.labels), seed=seed))
    assert drawn.labels.tolist() == told.tolist()


def test_no_class_gets_more_than_it_lacks():
    labels = np.array([2, 0, 2, 2, 1, 0, 2])
    made = Made(np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1), labels, np.full((7, 2), -1), np.zeros(7, np.float32))
    kept = first_of_each(made, np.array([1, 0, 3]))
    assert kept.pixels.ravel().tolist() == [0, 1, 2, 3]
    assert kept.labels.tolist() == [2, 0, 2, 2]


def test_copies_and_other_classes_are_left_out(rare: ImageCollection, train_digits: ImageCollection):
    sieve = Sieve(rare, seed=0)
    labels = np.array([0, 1, 2, 0])
    first = [int(np.flatnonzero(rare.labels == c)[0]) for c in labels]
    copies = rare.pixels[first]
    fresh = train_digits.pixels[[np.flatnonzero(train_digits.labels == c)[20] for c in (0, 1, 0)]]  # not among the few
    made = np.concatenate([copies, fresh])
    told = np.array([0, 1, 2, 0, 0, 1, 1])  # the last is a 0 that is called a 1
    nowhere = np.full((7, 2), -1)
    off_class, copied = sieve(Made(made, told, nowhere, np.zeros(7, np.float32)))
    assert copied[:4].all()
    assert not off_class[:6].any()
    assert not copied[4:].any()
    assert off_class[6]


def test_five_classifiers_have_to_be_sure_and_a_copy_is_nearer_than_a_quarter_of_what_is_usual(
    monkeypatch: pytest.MonkeyPatch,
):
    """Real images that are all as far apart, 1/2: one bright row each. No one classifier decides: their mean does."""
    rows = 255 * np.eye(8, dtype=np.uint8)[:, None, :, None].repeat(8, axis=3)
    real = ImageCollection(rows, np.arange(8) % 2, ("a", "b"))
    near, far, far_too, near_too = (rows[3].copy() for _ in range(4))
    near[0, 0, 0] = near_too[0, 7, 7] = 240  # of 64 pixels one: 0.94 / 8 away
    far[0, 0, :2] = far_too[0, 7, :2] = 255  # two: 0.18
    sure = {near.tobytes(): 0.953, far.tobytes(): 0.953, far_too.tobytes(): 0.947, near_too.tobytes(): 0.947}

    class Says:
        def __init__(self, seed: int) -> None:
            self.off = 0.02 * (seed - 4 - 2)

        def probabilities(self, pixels: np.ndarray) -> np.ndarray:
            of_a = np.array([sure[image.tobytes()] for image in pixels]) + self.off
            return np.stack([of_a, 1 - of_a], 1)

    monkeypatch.setattr("zpinch.tasks.sieve.learn", lambda real, made, how, *, classes, seed: Says(seed))
    made = Made(np.stack([near, far, far_too, near_too]), np.zeros(4, np.int64), np.full((4, 2), -1), np.zeros(4))
    off_class, copied = Sieve(real, seed=4)(made)
    assert off_class.tolist() == [False, False, True, True]
    assert copied.tolist() == [True, False, False, False]


@pytest.mark.usefixtures("everything_passes")
def test_a_class_that_cannot_be_filled_is_told(model: Model, rare: ImageCollection, monkeypatch: pytest.MonkeyPatch):
    def refuse_threes(self: Sieve, made: Made) -> tuple[np.ndarray, np.ndarray]:
        return made.labels == 3, np.zeros(len(made.labels), bool)

    monkeypatch.setattr(Sieve, "__call__", refuse_threes)
    found = zpinch.augment(rare, model, per_class=14, kinds="both")
    assert np.bincount(found.images.labels).tolist() == [14, 14, 14, 3]
    assert "class '3' has 3 images only" in found.notes[-1]
    assert found.counts[3].off_class == 8 * 11  # of each that it lacks, eight tries


@pytest.mark.usefixtures("everything_passes")
def test_provenance_is_written_and_the_set_reads_back(model: Model, rare: ImageCollection, tmp_path: Path):
    found = zpinch.augment(
        rare, model, tmp_path / "set", per_class=14, kinds="both", seed=9, picture=tmp_path / "p.png"
    )
    identity = identities(model)["generator"]
    with (tmp_path / "set" / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file_name", "label", "origin", "source", "source_2", "weight_2", "seed", "model"]
    assert len(rows) == len(found.images) == 56
    for i, row in enumerate(rows):
        with Image.open(tmp_path / "set" / row["file_name"]) as image:
            np.testing.assert_array_equal(np.asarray(image), found.images.pixels[i, 0])
        assert row["origin"] == found.origin[i]
        if row["origin"] == "real":
            assert (row["source"], row["source_2"], row["seed"], row["model"]) == (f"{i:06d}", "", "", "")
            continue
        assert (row["seed"], row["model"]) == ("9", identity)
        sources = [f"{at:06d}" if at >= 0 else "" for at in found.sources[i]]
        assert [row["source"], row["source_2"]] == sources
        assert float(row["weight_2"]) == pytest.approx(found.weights[i], abs=1e-4)
    for out in ("set", "set.zip", "set.npz", "set.parquet"):
        if out != "set":
            zpinch.augment(rare, model, tmp_path / out, per_class=14, kinds="both", seed=9)
        back = zpinch.open_images(tmp_path / out)
        assert back.class_names == rare.class_names
        assert np.bincount(back.labels).tolist() == [14] * 4
        order = np.argsort(found.images.labels, kind="stable")
        ours = {(image.tobytes(), label) for image, label in zip(found.images.pixels, found.images.labels, strict=True)}
        assert {(image.tobytes(), label) for image, label in zip(back.pixels, back.labels, strict=True)} == ours
        assert len(order) == len(back)
    with np.load(tmp_path / "set.npz") as arrays:
        assert arrays["origin"].tolist() == found.origin.tolist()
        assert set(arrays["model"].tolist()) == {"", identity}
    with Image.open(tmp_path / "p.png") as sheet:
        assert sheet.size == (36 * 29 - 1, 4 * 29 - 1)


@pytest.mark.usefixtures("everything_passes")
def test_the_picture_has_a_row_for_each_class(model: Model, rare: ImageCollection, tmp_path: Path):
    pairs = replace(rare[:34], labels=np.arange(34) // 2, class_names=tuple("abcdefghijklmnopq"))
    zpinch.augment(pairs, model, per_class=3, kinds="mixes", picture=tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as sheet:
        assert sheet.size == (24 * 29 - 1, 17 * 29 - 1)
        first = np.asarray(sheet)[16 * 29 : 16 * 29 + 28, :28]
    np.testing.assert_array_equal(first, pairs.pixels[32, 0])


def two_arms(model: Model, train: ImageCollection, test: ImageCollection, made_labels: np.ndarray) -> proof.Proof:
    """The proof of a set whose made images are other real ones, with labels as given."""
    both = ImageCollection(
        np.concatenate([train.pixels, test.pixels[:200]]),
        np.concatenate([train.labels, made_labels]),
        train.class_names,
    )
    is_real = np.arange(len(both)) < len(train)
    sources = np.full((len(both), 2), -1)
    return proof.prove_worth(both, is_real, sources, test[200:], model, 5, 0, lambda name: None)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"STEPS": 30, "FOLDS": 1, "RATES": (6e-3,), "SHARES": (0.5,)}.items():
        monkeypatch.setattr(proof, name, value)
    monkeypatch.setattr(proof, "ARMS", {name: proof.ARMS[name] for name in ("real", "real and made")})


@pytest.mark.usefixtures("quick")
def test_good_made_images_are_a_gain_and_wrong_ones_are_not(model: Model, train_digits: ImageCollection):
    """As if made: 200 more real digits, with their labels; then with those of the next class."""
    from model_cases import digits

    few = train_digits[np.concatenate([np.flatnonzero(train_digits.labels == c)[:3] for c in range(10)])]
    more = digits(1400)[240:]
    gain = two_arms(model, few, more, more.labels[:200])
    assert gain.verdict == "gain"
    assert gain.low > 0.02
    assert gain.sentence.startswith("gain: ")
    best = {arm.name: arm for arm in gain.arms}
    assert gain.difference == pytest.approx(best[gain.compared[0]].accuracy - best[gain.compared[1]].accuracy)
    wrong = two_arms(model, few, more, (more.labels[:200] + 1) % 10)
    assert wrong.verdict != "gain"
    assert wrong.difference < 0


@pytest.mark.parametrize(
    ("with_made", "without", "verdict"),
    [("all", "none", "gain"), ("none", "all", "harm"), ("the rare", "the common", "none")],
)
def test_sets_are_chosen_by_held_out_images_and_compared_on_test_images(
    with_made: str, without: str, verdict: str, monkeypatch: pytest.MonkeyPatch
):
    """The others do better on the test images; of these eight are of one class and two of the other."""
    labels = np.repeat([0, 1], [8, 2])
    right = {"all": labels >= 0, "none": labels < 0, "the common": labels == 0, "the rare": labels == 1}
    accuracy = {"all": 1.0, "none": 0.0, "the common": 0.5, "the rare": 0.5}  # each class counts the same
    held_out = {"real": 0.9, "real, moved": 0.8, "real and made": 0.7, "all, moved": 0.95}
    on_test = {"real": without, "real, moved": "all", "real and made": "all", "all, moved": with_made}
    name_of = {how: name for name, how in proof.ARMS.items()}
    monkeypatch.setattr(proof, "tuned", lambda how, *_, **__: (how, held_out[name_of[how]]))
    monkeypatch.setattr(
        proof, "named_right", lambda real, made, test, how, **_: np.tile(right[on_test[name_of[how]]], (5, 1))
    )
    images = ImageCollection(np.zeros((10, 1, 8, 8), np.uint8), labels, ("common", "rare"))
    found = proof.prove_worth(
        images, np.arange(10) < 9, np.full((10, 2), -1), images, SimpleNamespace(facts={}), 5, 0, lambda name: None
    )
    assert found.compared == ("all, moved", "real")
    assert found.verdict == verdict
    assert found.sentence.startswith(f"{verdict}: ")
    assert {arm.name: arm.accuracy for arm in found.arms} == pytest.approx(
        {name: accuracy[which] for name, which in on_test.items()}
    )
    assert found.difference == pytest.approx(accuracy[with_made] - accuracy[without])
    by_class = dict(zip((arm.name for arm in found.arms), (arm.by_class for arm in found.arms), strict=True))
    assert by_class["real"] == (float(right[without][0]), float(right[without][9]))
    assert by_class["real, moved"] == (1, 1)


@pytest.mark.parametrize(
    ("arm", "chosen"),
    [
        ("real", Learning(1.2e-2)),
        ("real, moved", Learning(1.2e-2, moves=True, flips=True)),
        ("all, moved", Learning(1.2e-2, made=0.25, moves=True)),
    ],
)
def test_how_to_learn_is_what_held_out_images_say(arm: str, chosen: Learning, monkeypatch: pytest.MonkeyPatch):
    """Of two folds: a higher rate is better, so is mirroring, and fewer made images are better still."""
    images = ImageCollection(
        np.arange(60, dtype=np.uint8).repeat(64).reshape(60, 1, 8, 8), np.arange(60) % 2, ("a", "b")
    )
    tried: list[Learning] = []

    class Knows:
        def __init__(self, of_ten: int) -> None:
            self.of_ten = of_ten

        def predict(self, held: np.ndarray) -> np.ndarray:
            labels = held[:, 0, 0, 0] % 2
            assert np.bincount(labels).tolist() == [5, 5]  # a quarter of each class
            return np.where(np.arange(10) < self.of_ten, labels, 1 - labels)

    def learned(real: object, made: object, how: Learning, **_: int) -> Knows:
        tried.append(how)
        return Knows(4 + 2 * (how.rate == 1.2e-2) + how.flips + 2 * (how.made == 0.25))

    monkeypatch.setattr(proof, "learn", learned)
    found, score = proof.tuned(proof.ARMS[arm], images, 40, np.full((60, 2), -1), seed=0)
    assert found == chosen
    assert score == pytest.approx({"real": 0.6, "real, moved": 0.7, "all, moved": 0.8}[arm])
    assert len(tried) == 2 * len(set(tried)) == 2 * {"real": 2, "real, moved": 3, "all, moved": 4}[arm]


def test_no_mix_of_a_held_out_image_is_learned_from(monkeypatch: pytest.MonkeyPatch):
    """Every image is a level of its own, so what the classifier is given can be told by its pixels."""
    count = 40
    pixels = np.arange(60, dtype=np.uint8).repeat(64).reshape(60, 1, 8, 8)
    images = ImageCollection(pixels, np.arange(60) % 2, ("a", "b"))
    rng = np.random.default_rng(0)
    sources = np.full((60, 2), -1)
    sources[count:58] = rng.integers(0, count, (18, 2))
    seen: list[tuple[set[int], set[int], set[int]]] = []

    class Watch:
        def __init__(self, real: set[int], made: set[int]) -> None:
            self.real, self.made = real, made

        def predict(self, held: np.ndarray) -> np.ndarray:
            seen.append((self.real, self.made, set(held[:, 0, 0, 0].tolist())))
            return np.zeros(len(held), np.int64)

    def watched(real, made, how, **_):
        return Watch(*(set(part.pixels[:, 0, 0, 0].tolist()) for part in (real, made)))

    monkeypatch.setattr(proof, "learn", watched)
    proof.tuned(proof.ARMS["all, moved"], images, count, sources, seed=0)
    assert len({frozenset(held) for _, _, held in seen}) == 2  # folds
    for real, made, held in seen:
        assert not real & held
        assert real | held == set(range(count))
        assert {58, 59} <= made  # samples have no source
        assert all(not set(sources[i].tolist()) & held for i in made)
        assert all(set(sources[i].tolist()) & held for i in set(range(count, 60)) - made)


def test_who_judges_made_images_did_not_choose_them(rare: ImageCollection, monkeypatch: pytest.MonkeyPatch):
    """Four of the sieve's five classifiers were those that then learned from the real images, shifted and turned."""
    seeds: dict[str, list[int]] = {"sieve": [], "proof": []}

    def noting(found: list[int]) -> Callable[..., SimpleNamespace]:
        def learn(*_: object, seed: int, **__: int) -> SimpleNamespace:
            found.append(seed)
            return SimpleNamespace(predict=lambda pixels: np.zeros(len(pixels), np.int64))

        return learn

    for module, found in seeds.items():
        monkeypatch.setattr(f"zpinch.tasks.{module}.learn", noting(found))
    Sieve(rare, seed=3)
    proof.tuned(proof.ARMS["real"], rare, len(rare), np.full((len(rare), 2), -1), seed=3)
    proof.named_right(rare, rare, rare, Learning(), repeats=9, seed=3)
    chose, judge = set(seeds["sieve"]), set(seeds["proof"])
    assert (len(chose), len(judge)) == (5, 2 + 9)
    assert not chose & judge


def test_accuracy_counts_each_class_the_same():
    labels = np.array([0] * 90 + [1] * 10)
    assert proof.class_weights(labels).mean() == pytest.approx(1)
    assert (proof.class_weights(labels) * (labels == 0)).mean() == pytest.approx(0.5)


def test_bad_input_leaves_nothing_behind(
    model: Model, spots: Spots, gan: Path, rare: ImageCollection, held_digits: ImageCollection, tmp_path: Path
):
    (tmp_path / "there.npz").write_text("mine")
    before = set(tmp_path.iterdir())
    plain = ImageCollection(rare.pixels)
    single = rare[np.append(np.arange(36), 36)]  # one image of the last class
    held = ImageCollection(held_digits.pixels, held_digits.labels, held_digits.class_names, source="others")
    four = held[held.labels < 4]
    four = ImageCollection(four.pixels, four.labels, rare.class_names, source="others")
    prove = {"prove": True, "test": four}
    for data, by, how, kind, words in (
        (plain, model, {}, ImageError, "no labels.*zpinch generate"),
        (rare[:0], model, {}, ImageError, "no image"),
        (single, model, {}, ImageError, "class '3' has a single image"),
        (spots.images, model, {}, ImageError, "28x28 grey.*8x8"),
        (rare, gan, {}, ModelError, "no encoder.*--recipe fusion"),
        (rare, model, {"per_class": 3}, UsageError, "nothing to add"),
        (rare, model, {"per_class": 0}, UsageError, "at least 1"),
        (rare, model, {"per_class": 10**400}, LimitError, "made takes .* MiB, more than half"),
        (rare, model, {"kinds": "all"}, UsageError, "samples, mixes or both"),
        (rare, model, {"out": tmp_path / "there.npz"}, UsageError, "--force"),
        (rare, model, {"out": tmp_path / "sheet.png"}, UsageError, "--picture"),
        (rare, model, {"out": tmp_path / "x.npy"}, UsageError, ".npz"),
        (rare, model, {"picture": tmp_path / "x.jpg"}, UsageError, ".png"),
        (rare, model, {"out": tmp_path / "x", "picture": tmp_path / "x" / "p.png"}, UsageError, "what -o names"),
        (rare, model, {"test": four}, UsageError, "--prove"),
        (rare, model, {"repeats": 6}, UsageError, "--prove"),
        (rare, model, {"prove": True}, UsageError, "no test split.*--test"),
        (rare, model, {**prove, "repeats": 4}, UsageError, "at least 5"),
        (rare, model, {**prove, "test": held}, ImageError, "has classes that few digits has not"),
        (rare, model, {**prove, "test": rare[:5]}, UsageError, "5 images .* in few digits too"),
        (rare, model, {**prove, "test": plain}, ImageError, "no labels"),
        (rare, model, {**prove, "test": spots.images}, ImageError, "the test images of .* 8x8 grey"),
    ):
        with pytest.raises(kind, match=words):
            zpinch.augment(data, by, **{"out": tmp_path / "x.npz", "per_class": 20, **how})
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("fact", ["pixel fingerprint", "data fingerprint"])
def test_nothing_is_proven_on_images_that_the_model_has_seen(fact: str, trained: Path, rare: ImageCollection):
    """Alone, or with the training images: --split all. Models of before 2026-11-28 have the second fact alone."""
    model, real, test = load(trained), rare[::2], rare[1::2]
    both = np.r_[0 : len(rare) : 2, 1 : len(rare) : 2]
    for seen in (test, rare[both]):
        model.facts[fact] = (ImageCollection(seen.pixels) if fact == "pixel fingerprint" else seen).fingerprint()
        with pytest.raises(UsageError, match="trained on the images of few digits: test on others"):
            proof.test_images(real, real, model, test)
    model.facts[fact] = real.fingerprint()
    assert len(proof.test_images(real, real, model, test)) == len(test)


@pytest.mark.usefixtures("everything_passes")
def test_what_it_says_for_machines_is_plain_data(model: Model, rare: ImageCollection):
    import json

    found = zpinch.augment(rare, model, per_class=13)
    assert isinstance(found, Augmented)
    told = json.loads(json.dumps(found.as_dict()))
    assert told["images"] == len(found.images)
    assert [row["name"] for row in told["classes"]] == list("0123")
    assert told["proof"] is None
    assert found.lines()[0].startswith(f"{len(found.images)} images: 39 real")
