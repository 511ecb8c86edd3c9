"""A whole evaluation on a small model: figures that agree with the model itself, and a page to look at."""

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from model_cases import blobs, new_model, small_config, tiny_training

import zpinch
from zpinch.errors import ImageError, UsageError
from zpinch.evaluation.baselines import SizeRow, pca_reconstruction
from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import ReconstructionScore, Reference, SampleScore, score_samples
from zpinch.evaluation.report import render
from zpinch.images import ImageCollection, save_images
from zpinch.images.collection import fingerprints
from zpinch.model.prior.factorised import sample_tables
from zpinch.model.storage import load
from zpinch.tasks.compress import compress
from zpinch.tasks.evaluate import both_splits, decoder_bytes, evaluate
from zpinch.tasks.figures import Evaluation, RoundTrip
from zpinch.tasks.report import losses, report_of, sample_numbers
from zpinch.tasks.tradeoffs import known_labels

pytestmark = pytest.mark.usefixtures("classifiers_are_quick")


class Evaluated:
    def __init__(self, result: Evaluation, page: Path) -> None:
        self.result, self.page = result, page


@pytest.fixture(scope="module")
def evaluated(
    trained: Path, train_digits: ImageCollection, held_digits: ImageCollection, tmp_path_factory: pytest.TempPathFactory
) -> Evaluated:
    page = tmp_path_factory.mktemp("report") / "report.html"
    with tiny_training():
        return Evaluated(evaluate((train_digits, held_digits), trained, page), page)


def test_error_and_bits_are_those_of_one_archive(
    evaluated: Evaluated, trained: Path, held_digits: ImageCollection, tmp_path: Path
):
    model = load(trained)
    rebuilt = model.decode(model.encode(held_digits.pixels))
    mse = np.mean((rebuilt / 255 - held_digits.pixels / 255) ** 2)
    archive = evaluated.result.archive
    assert archive.reconstruction.mse == pytest.approx(mse, rel=1e-6)
    assert archive.reconstruction.psnr_db == pytest.approx(-10 * np.log10(mse), rel=1e-6)
    assert archive.bits_per_image == compress(held_digits, model, tmp_path / "a.zpn").bits_per_image


def test_samples_are_as_many_of_the_same_classes(
    evaluated: Evaluated, trained: Path, train_digits: ImageCollection, held_digits: ImageCollection
):
    result, model = evaluated.result, load(trained)
    reference = Reference.fit(Extractor.fit(train_digits), train_digits.pixels, held_digits.pixels)
    assert (result.floor, result.real_precision, result.real_recall) == (
        reference.floor,
        reference.precision,
        reference.recall,
    )
    assert result.samples == score_samples(reference, model.sample(held_digits.labels, seed=0))
    drawn = sample_tables(model.tables, 60, (1, 1), held_digits.labels, seed=0)
    likeness = score_samples(reference, model.decode(drawn, realism=1.0))
    assert result.priors[0].fcd_ratio == pytest.approx(likeness.fcd_ratio)
    projected = pca_reconstruction(train_digits.pixels, held_digits.pixels, 16)
    assert result.pca.mse == pytest.approx(np.mean((projected / 255 - held_digits.pixels / 255) ** 2), rel=1e-6)


def test_what_is_lost_is_said_and_nothing_else():
    """Of formats with no more error those that are smaller; PCA where its error is; samples that lie too near."""

    def losses_of(mse: float, nearest: float, exact: float) -> tuple[str, ...]:
        score = ReconstructionScore(10, mse, 20.0, 0.9, 1.2, None)
        samples = SampleScore(10, 5.0, 0.9, 0.9, None, nearest, None)
        sizes = [SizeRow("AVIF", 10, 9.0, 0.009), SizeRow("WebP", 10, 8.0, 0.02), SizeRow("xz", 10, 30.0)]
        sizes += [SizeRow("JPEG", 10, 11.0, 0.009), SizeRow("PNG", 10, 50.0)]
        archive, pca = RoundTrip(80.0, score, 1.0, 1.0), replace(score, mse=0.009)
        exactly = SizeRow("zpinch --lossless", 10, exact)
        return losses(Evaluation(10, 1.0, 1.0, 1.0, archive, samples, (), tuple(sizes), 999, pca, lossless=exactly))

    always = (
        "The archive needs the model's decoder, 999 bytes, once for any number of images; the size table counts it in."
    )
    assert losses_of(0.008, 0.9, 29.0) == (always,)
    assert losses_of(0.01, 0.89, 31.0) == (
        "AVIF is smaller: 9.0 bytes an image at an error of 0.0090.",
        "xz is smaller than a lossless archive: 30.0 bytes an image, not 31.0.",
        "PCA with as many coordinates, unquantised, has the smaller error: 0.0090.",
        always,
        "Samples lie closer to the training images than real images do: the model may be copying them.",
    )


def test_figures_of_samples_are_good_as_the_page_says():
    """As docs/evaluate.md says of shares; a distance of fewer than 2,000 images is mostly bias, and neither."""

    def judged(images: int, distance: float, share: float, nearest: float) -> list[bool | None]:
        return [row.good for row in sample_numbers(SampleScore(images, distance, share, share, None, nearest, None))]

    assert judged(2_000, 9.9, 0.85, 0.9) == [True] * 4
    assert judged(2_000, 10.0, 0.84, 0.89) == [False] * 4
    assert judged(1_999, 9.9, 0.85, 0.9) == [None, True, True, True]


def test_figures_are_sane(evaluated: Evaluated):
    result = evaluated.result
    assert result.images == 60
    assert 0 < result.floor < np.inf
    assert 0 <= result.real_precision <= 1
    assert 0 <= result.real_recall <= 1
    assert 0 < result.archive.reconstruction.mse < 0.1
    assert 10 < result.archive.bits_per_image < 8 * 784
    assert result.archive.reconstruction.rfcd_ratio > 0
    assert result.samples.fcd_ratio > 1  # sixty steps of training make no digits
    assert {row.name for row in result.sizes} >= {"PNG, each", "xz -9e, all pixels"}
    assert all(row.bytes_per_image > 0 for row in result.sizes)


def test_prior_rows_are_ideal_lengths(evaluated: Evaluated, trained: Path, held_digits: ImageCollection):
    model = load(trained)
    factorised = evaluated.result.priors[0]
    ideal = model.tables.bits(model.encode(held_digits.pixels), held_digits.labels).mean()
    assert factorised.bits_per_image == pytest.approx(ideal)
    assert evaluated.result.archive.bits_per_image > ideal  # and names, checksums, header


def test_the_curve_is_of_real_codes_and_passes_through_the_archive(
    evaluated: Evaluated, trained: Path, held_digits: ImageCollection
):
    model, rates = load(trained), evaluated.result.rates
    assert [row.quality for row in rates] == [1, 2, 3, 4, 5]
    assert rates[2].mse == pytest.approx(evaluated.result.archive.reconstruction.mse)
    for row in rates:
        codes = model.encode(held_digits.pixels, row.quality)
        best = model.require_codes("evaluate", quality=row.quality)
        assert row.bits_per_image == pytest.approx(best.bits(codes, held_digits.labels).mean())
        assert row.mse == pytest.approx(
            np.mean((model.decode(codes, quality=row.quality) / 255 - held_digits.pixels / 255) ** 2), rel=1e-6
        )
    assert "Rate as a choice" in evaluated.page.read_text("utf-8")
    assert evaluated.page.stat().st_size < 5_000_000
    assert any(line.startswith("quality 5") for line in evaluated.result.lines())


def test_realism_points_are_of_the_same_codes(evaluated: Evaluated, trained: Path, held_digits: ImageCollection):
    model, points = load(trained), evaluated.result.realisms
    assert [(row.quality, row.realism) for row in points] == [
        (q, b) for q in (1, 3, 5) for b in (0, 0.25, 0.5, 0.75, 1)
    ]
    own = next(row for row in points if (row.quality, row.realism) == (3, model.config.realism))
    assert own.mse == pytest.approx(evaluated.result.archive.reconstruction.mse)
    assert own.rfcd_ratio == pytest.approx(evaluated.result.archive.reconstruction.rfcd_ratio)
    for row in points:
        rebuilt = model.decode(model.encode(held_digits.pixels, row.quality), row.realism, row.quality)
        assert row.mse == pytest.approx(np.mean((rebuilt / 255 - held_digits.pixels / 255) ** 2), rel=1e-6)
    assert "Realism as a choice" in evaluated.page.read_text("utf-8")
    assert sum(line.startswith("realism") for line in evaluated.result.lines()) == 5


def test_decoder_bytes_are_what_decoding_needs(trained: Path):
    model = load(trained)
    parameters = sum(p.numel() for p in model.generator.parameters())
    assert decoder_bytes(model) >= 4 * parameters + model.tables.weights.size
    assert decoder_bytes(model) < (trained / "model.safetensors").stat().st_size


def test_labels_are_those_an_archive_holds(trained: Path, unlabelled: Path, held_digits: ImageCollection):
    sevens = held_digits[held_digits.labels == 7]
    named = ImageCollection(sevens.pixels, np.zeros(len(sevens), np.int64), ("7",))
    assert known_labels(load(trained), named).tolist() == [7] * len(sevens)
    strange = ImageCollection(sevens.pixels, named.labels, ("seven",))
    assert known_labels(load(trained), strange) is None
    assert known_labels(load(unlabelled), sevens) is None


def test_figures_are_plain_data(evaluated: Evaluated):
    import json

    found = json.loads(json.dumps(evaluated.result.as_dict()))
    assert found["archive"]["bits_per_image"] == pytest.approx(evaluated.result.archive.bits_per_image)
    lines = evaluated.result.lines()
    assert any("bits" in line for line in lines)
    assert any("mse" in line for line in lines)


def test_further_verbs_are_in_page_lines_and_json(evaluated: Evaluated):
    result, text = evaluated.result, html.unescape(evaluated.page.read_text("utf-8"))
    lines, found = result.lines(), result.as_dict()
    for verb in ("features", "oddness", "completion", "augmentation"):
        figures = getattr(result, verb)
        assert f"<h2>{verb.capitalize()}</h2>" in text
        assert text.count(figures.verdict) == 1 + figures.has_lost  # what is lost is said among the losses, too
        assert any(line.startswith(verb) and figures.verdict in line for line in lines)
        assert (found[verb]["images"], found[verb]["verdict"]) == (60, figures.verdict)
    assert found["features"]["error"]["ours"]["value"] == result.features.error.ours.value
    assert f"{100 * result.features.error.ours.value:.2f} %" in text


def test_the_page_is_complete_and_fetches_nothing(evaluated: Evaluated, trained: Path):
    text = evaluated.page.read_text("utf-8")
    assert trained.name in text
    assert f"{evaluated.result.archive.reconstruction.mse:.4f}" in text
    sources: list[str] = []

    class Finder(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            sources.extend(value or "" for name, value in attrs if name in {"src", "href"})

    Finder().feed(text)
    assert len([s for s in sources if s.startswith("data:")]) >= 2
    assert not [s for s in sources if not s.startswith(("data:", "#"))]


@pytest.mark.parametrize("steps", ["many", [60], None])
def test_what_a_strangers_model_says_of_its_steps_is_drawn_where_it_is_a_number(
    evaluated: Evaluated, trained: Path, held_digits: ImageCollection, steps: object
):
    model = load(trained)
    model.facts["steps"] = steps
    page = render(report_of(model, held_digits, None, evaluated.result, seed=0, command=""))
    assert "<h2>Training</h2>" in page
    assert "the one that was kept" not in page


def test_a_gan_is_judged_by_its_samples_alone(
    gan: Path, train_digits: ImageCollection, held_digits: ImageCollection, tmp_path: Path
):
    result = evaluate((train_digits, held_digits), gan, tmp_path / "gan.html")
    assert result.archive is None
    assert result.features is result.oddness is result.completion is result.augmentation is None
    assert result.priors == ()
    assert result.samples.fcd_ratio > 1
    assert '<p class="verdict">Samples stand ' in (tmp_path / "gan.html").read_text("utf-8")


def test_images_that_the_model_was_trained_on_are_told(
    gan: Path, train_digits: ImageCollection, held_digits: ImageCollection, evaluated: Evaluated, tmp_path: Path
):
    assert evaluated.result.warnings == ()
    model = load(gan)
    _, model.facts["data fingerprint"] = fingerprints(train_digits, held_digits)  # zpinch train --split all
    result = evaluate((train_digits, held_digits), model, tmp_path / "r.html")
    assert "was trained on the test images" in result.lines()[0]
    assert result.as_dict()["warnings"] == list(result.warnings)
    assert result.warnings[0] in html.unescape((tmp_path / "r.html").read_text("utf-8"))


def test_without_labels_and_without_a_page(
    unlabelled: Path, train_digits: ImageCollection, held_digits: ImageCollection
):
    plain = tuple(ImageCollection(images.pixels) for images in (train_digits, held_digits))
    result = evaluate(plain, unlabelled)
    assert result.archive.bits_per_image > 0
    assert result.samples is not None
    assert result.features is None  # there are no classes to be right about
    assert result.oddness is not None


def test_labels_of_other_classes_do_no_harm(trained: Path, train_digits: ImageCollection, held_digits: ImageCollection):
    few = train_digits[:60], held_digits[:20]
    others = tuple(ImageCollection(i.pixels, i.labels % 2, ("even", "odd")) for i in few)
    assert evaluate(others, trained).archive.bits_per_image > 0


def test_a_source_without_splits_is_halved_and_says_so(held_digits: ImageCollection, tmp_path: Path):
    save_images(held_digits, tmp_path / "d.npz")
    training, test, notes, _ = both_splits(tmp_path / "d.npz")
    assert len(training) + len(test) == 60
    together = np.concatenate([training.pixels, test.pixels]).reshape(60, -1)
    assert len(np.unique(together, axis=0)) == len(np.unique(held_digits.pixels.reshape(60, -1), axis=0))
    assert "no test split" in notes[0]
    again = both_splits(held_digits)
    np.testing.assert_array_equal(again[1].pixels, test.pixels)
    assert notes[0].endswith("put train/ and test/ folders inside.")
    assert again[2][0].endswith("pass (training, test).")


def test_halves_of_what_the_model_was_trained_on_are_told(gan: Path, held_digits: ImageCollection, tmp_path: Path):
    """zpinch train photos, then zpinch evaluate photos."""
    save_images(held_digits, tmp_path / "photos")
    (tmp_path / "photos" / "0" / "torn.png").write_bytes(b"")
    model = load(gan)
    model.facts["data fingerprint"] = zpinch.open_images(tmp_path / "photos", skip_bad=True).fingerprint()
    result = evaluate(tmp_path / "photos", model, skip_bad=True)
    assert "was trained on the test images" in result.lines()[0]
    assert [note for note in result.notes if "1 image left out: 0/torn.png" in note]
    assert [note for note in result.notes if "has no test split" in note]
    assert result.as_dict()["notes"] == list(result.notes)
    model.facts["data fingerprint"] = "another"
    assert evaluate(tmp_path / "photos", model, skip_bad=True).warnings == ()


def test_the_lossless_archive_stands_beside_other_formats(
    evaluated: Evaluated, trained: Path, held_digits: ImageCollection, tmp_path: Path
):
    row, model = evaluated.result.lossless, load(trained)
    written = compress(held_digits, model, tmp_path / "a.zpn", lossless=True, check=False)
    assert (row.images, row.mse, row.bits_per_image) == (60, 0, written.bits_per_image)
    text = html.unescape(evaluated.page.read_text("utf-8"))
    assert "zpinch --lossless" in text
    better = [other for other in evaluated.result.sizes if other.mse == 0 < row.bytes_per_image - other.bytes_per_image]
    assert text.count("is smaller than a lossless archive") == len(better)
    assert any(line.startswith("zpinch --lossless") for line in evaluated.result.lines())
    assert evaluated.result.exact_bytes == sum(array.nbytes for array in model.exact.tensors().values())


@pytest.mark.parametrize(("training", "test", "words"), [(60, 0, "0 test images"), (3, 60, "3 training images")])
def test_too_few_images_of_either_split_are_refused_at_once(
    trained: Path, held_digits: ImageCollection, training: int, test: int, words: str
):
    with pytest.raises(ImageError, match=f"has {words}; .* at least 5 of each"):
        evaluate((held_digits[:training], held_digits[:test]), trained)


def test_images_that_are_read_already_are_read_in_no_other_way(trained: Path, held_digits: ImageCollection):
    for images in (held_digits, (held_digits, held_digits)):
        for how in ({"size": 28}, {"skip_bad": True}):
            with pytest.raises(UsageError, match="pass them to open_images"):
                evaluate(images, trained, **how)


def test_lines_of_numbers_are_no_pictures():
    """Python trains on them, and no reader takes such images: evaluate could not read its own archive back."""
    lines = blobs(40, (1, 1, 64))
    with pytest.raises(ImageError, match=r"one of 64x1 grey images.* sides from 8 to 128"):
        evaluate((lines, lines), new_model(small_config((1, 1, 64))))


def test_a_page_that_is_there_stays(
    trained: Path, train_digits: ImageCollection, held_digits: ImageCollection, tmp_path: Path
):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(UsageError, match=r"report\.html"):
        evaluate((train_digits, held_digits), trained, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "mine"


def test_images_of_another_size_are_refused_first(trained: Path, tmp_path: Path):
    small = ImageCollection(np.zeros((20, 1, 8, 8), np.uint8))
    with pytest.raises(ImageError, match="28x28 grey"):
        evaluate((small, small), trained, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_images_that_are_all_the_same_are_evaluated_in_words(
    trained: Path, held_digits: ImageCollection, tmp_path: Path
):
    labels = np.arange(30) % 2
    same = ImageCollection(held_digits.pixels[:1].repeat(30, 0), labels.astype(np.int64), ("0", "1"))
    found = evaluate((same[:18], same[18:]), trained, tmp_path / "page.html")
    json.dumps(found.as_dict(), allow_nan=False)
    said = "\n".join(found.lines()) + (tmp_path / "page.html").read_text("utf-8")
    assert not re.search(r"\bnan\b", said)
    assert "no distance apart" in said
    assert found.generation is None
    assert found.completion is not None


@pytest.mark.parametrize("written", ["3", [3], 10**400, float("nan"), -float("inf")])
def test_what_was_written_into_facts_and_metrics_is_no_curve(gan: Path, held_digits: ImageCollection, written: object):
    """They are for people, and anybody can write into them: a page ended in a TypeError after all was measured."""
    model, nothing = load(gan), Evaluation(60, 1.0, 1.0, 1.0, None, None, (), (), 0, None)
    model.facts["steps"] = written
    model.history = [{"step": 1, "fcd": written}, {"step": written, "fcd": 9.0}, *({"step": 5, "fcd": 4.0},) * 2]
    data = report_of(model, held_digits, None, nothing, seed=0, command="")
    assert data.kept_step is None
    assert [(curve.steps, curve.values) for curve in data.curves] == [((5, 5), (4.0, 4.0))]
    assert "NaN" not in re.sub(r"base64,[^\"')]*", "", render(data))  # a picture's letters may say so by chance
    model.facts["steps"] = 5
    assert report_of(model, held_digits, None, nothing, seed=0, command="").kept_step == 5


def test_the_public_name_is_this_function():
    assert zpinch.evaluate is evaluate
