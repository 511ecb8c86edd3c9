"""Estimators for scikit-learn: in its pipelines, grid searches and cross-validations, by its rules.

    ImageEmbedder   transformer   images -> features            as zpinch.embed
    ImageDetector   detector      images -> normal or odd       as zpinch.detect
    ImageSampler    sampler       labels -> new images          as zpinch.generate

X is (n, pixels), an image a row, as scikit-learn has them: `pixels.reshape(n, -1)`. Bytes are taken as they are; other
numbers are brought to bytes by the least and the greatest of the training data. `fit` trains a model, or only checks X
where `model` is one that is trained: then numbers from 0 to 1, or else from 0 to 255, are from black to white (digits
from 0 to 16 have to be multiplied).
"""

from collections.abc import Sequence
from math import isqrt, prod
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from zpinch.images import ImageCollection
from zpinch.images.collection import Pixels, Shape
from zpinch.model.design import Backbone
from zpinch.model.model import Model, check_encodes
from zpinch.model.storage import loaded
from zpinch.tasks.detect import FEWEST, calibration_for, check_promise, check_share, detect
from zpinch.tasks.embed import embed
from zpinch.tasks.generate import generate
from zpinch.tasks.progress import unheard
from zpinch.tasks.train import train
from zpinch.training.measure import held_out_of, squared_errors
from zpinch.training.progress import Silent
from zpinch.training.recipes import RECIPES

__all__ = ["ImageDetector", "ImageEmbedder", "ImageSampler"]

NOISE = 0.1  # of pixels in [0, 1], around what codes decode to
SMALLEST = 8  # side of a square that rows are taken for without being told
LONGEST = 8192  # pixels of a line: no side of an image is longer (model/frozen.py)


class ImageEstimator(BaseEstimator):
    """What all three share: rows to images, and a model of them.

    model: a trained model, or its folder; without one, `fit` trains one with the other parameters. image_shape:
    (channels, height, width) of a row, its pixels channel by channel; by default that of a trained model, else a grey
    square where the number of pixels is one, otherwise a single line, which the dense nets take. recipe, backbone,
    latent, steps, settings: as `zpinch.train` has them. random_state: a seed, or where to draw one.
    """

    backbone: Backbone

    def __init__(
        self,
        model: Model | str | Path | None = None,
        *,
        image_shape: Shape | None = None,
        recipe: str = "fusion",
        backbone: Backbone = "mlp",
        latent: int | None = None,
        steps: int = 1000,
        settings: Sequence[str] = (),
        random_state: Any = 0,
    ) -> None:
        self.model = model
        self.image_shape = image_shape
        self.recipe = recipe
        self.backbone = backbone
        self.latent = latent
        self.steps = steps
        self.settings = settings
        self.random_state = random_state

    def _fit(self, X: ArrayLike, y: ArrayLike | None = None, *, verb: str = "", fewest: int = 2) -> None:  # noqa: N803
        """Learn what numbers X holds, and train a model on its images, with the classes of y where it has any.

        verb: what the estimator does that takes an encoder. Raises ModelError where there will be none.
        """
        rows = self._numbers(X, ensure_min_samples=min(fewest, 2))
        if len(rows) < fewest:
            raise ValueError(f"X has {len(rows)} images, a minimum of {fewest} is needed: some of them are held out")
        self.dtype_, self.range_ = rows.dtype, self._range(rows)
        if self.model is not None:
            self.model_ = loaded(self.model)
        self.image_shape_ = self._shape(rows.shape[1])
        images = ImageCollection(self._pixels(rows), source="X")
        if y is not None and type_of_target(y) in {"binary", "multiclass"}:
            check_consistent_length(rows, y)
            classes, index = np.unique(np.asarray(y).ravel(), return_inverse=True)
            images = ImageCollection(images.pixels, index.astype(np.int64), tuple(map(str, classes)), source="X")
        if self.model is None:
            if verb and self.recipe in RECIPES:
                check_encodes(self.recipe, RECIPES[self.recipe].has_encoder, verb)
            self._check_held_out(held_out_of(len(rows)))
            self.model_ = train(
                images,
                recipe=self.recipe,
                backbone=self.backbone,
                latent=self.latent,
                steps=self.steps,
                settings=("schedule.exact_share=0", "schedule.completer_share=0", *self.settings),
                seed=int(check_random_state(self.random_state).randint(2**31)),
                device="cpu",
                listener=Silent(),  # a grid search fits many
            )
        if verb:
            self.model_.check_encodes(verb)
        self.model_.check_shape(self.image_shape_)

    def _check_held_out(self, count: int) -> None:
        """Refuse, before a model is trained, what so many held-out images are too few for."""

    def _range(self, rows: NDArray[Any]) -> tuple[float, float]:
        """Black and white, in the numbers of X."""
        low, high = float(rows.min()), float(rows.max())
        if rows.dtype == np.uint8:
            return 0.0, 255.0
        if self.model is None or low < 0 or high > 255:
            return low, high
        return (0.0, 1.0) if high <= 1 else (0.0, 255.0)  # a model that is trained has learned what they are

    def _numbers(self, X: Any, **how: Any) -> NDArray[Any]:  # noqa: N803
        """X checked by scikit-learn's rules."""
        rows: Any = validate_data(self, X, dtype="numeric", **how)
        return rows

    def _shape(self, pixels: int) -> Shape:
        if self.image_shape is None:
            if self.model is not None and prod(self.model_.config.image) == pixels:
                return self.model_.config.image
            side = isqrt(pixels)
            if side >= SMALLEST and side * side == pixels:
                return (1, side, side)
            if pixels > LONGEST:
                raise ValueError(
                    f"X has {pixels:,} pixels a row, which make no square and are too many for a line: say image_shape"
                )
            return (1, 1, pixels)
        shape = tuple(self.image_shape)
        if len(shape) != 3 or min(shape) < 1 or int(np.prod(shape)) != pixels:
            raise ValueError(f"image_shape {shape} is not (channels, height, width) of the {pixels} pixels of a row")
        return shape

    def _images(self, X: ArrayLike) -> ImageCollection:  # noqa: N803
        """New rows as images."""
        check_is_fitted(self, "model_")
        rows = self._numbers(X, reset=False)
        return ImageCollection(self._pixels(rows), source="X")

    def _pixels(self, rows: NDArray[Any]) -> Pixels:
        low, high = self.range_
        if rows.dtype != np.uint8 or (low, high) != (0.0, 255.0):
            scaled = (rows.astype(np.float64) - low) * (255 / (high - low) if high > low else 0.0)
            rows = scaled.round().clip(0, 255).astype(np.uint8)
        return rows.reshape(-1, *self.image_shape_)

    def _rows(self, pixels: Pixels) -> NDArray[Any]:
        """Images as rows of numbers like those of X."""
        low, high = self.range_
        rows = pixels.reshape(len(pixels), -1) * ((high - low) / 255) + low
        return (rows if self.dtype_.kind == "f" else rows.round()).astype(self.dtype_)


class ImageEmbedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ImageEstimator):
    """Images to features, (n, pixels) -> (n, latent) float32, learned without labels: y is not looked at.

    >>> import numpy as np
    >>> from zpinch.sklearn import ImageEmbedder
    >>> X = np.random.default_rng(0).integers(0, 256, (40, 64), dtype=np.uint8)
    >>> ImageEmbedder(latent=4, steps=1).fit_transform(X).shape
    (40, 4)
    """

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: N803
        self._fit(X, verb="embed")
        self._n_features_out = int(np.prod(self.model_.config.code))
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        assert tags.transformer_tags is not None
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        return embed(self._images(X), self.model_, progress=unheard).features


class ImageDetector(OutlierMixin, ImageEstimator):
    """Normal images (1) and odd ones (-1); of normal ones at most a share `false_alarms` is called odd, on average.

    Fit it to normal images. Those held out from the training give the threshold, so 1 / false_alarms of them at least
    are needed: 1,000 images for 0.01. A trained `model` brings its own.
    """

    def __init__(
        self,
        model: Model | str | Path | None = None,
        *,
        false_alarms: float = 0.01,
        image_shape: Shape | None = None,
        recipe: str = "fusion",
        backbone: Backbone = "mlp",
        latent: int | None = None,
        steps: int = 1000,
        settings: Sequence[str] = (),
        random_state: Any = 0,
    ) -> None:
        super().__init__(
            model,
            image_shape=image_shape,
            recipe=recipe,
            backbone=backbone,
            latent=latent,
            steps=steps,
            settings=settings,
            random_state=random_state,
        )
        self.false_alarms = false_alarms

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: N803
        """Raises UsageError when so few false alarms cannot be promised from the images that are held out."""
        check_share(self.false_alarms)
        self._fit(X, verb="detect", fewest=FEWEST if self.model is None else 1)
        calibration = calibration_for(self.model_, None)
        check_promise(len(calibration.held_out), self.false_alarms)
        self.offset_ = -calibration.threshold(self.false_alarms)
        return self

    def _check_held_out(self, count: int) -> None:
        check_promise(count, self.false_alarms)

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """(n,): the lower, the odder."""
        return -detect(self._images(X), self.model_, false_alarms=self.false_alarms, progress=unheard).oddness

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """(n,): below 0 for odd images."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:  # noqa: N803
        return np.where(self.decision_function(X) < 0, -1, 1)


class ImageSampler(ImageEstimator):
    """New images like those of X, of each class where y has classes."""

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:  # noqa: N803
        self._fit(X, y)
        return self

    def sample(self, n_samples: int = 1, label: object = None, random_state: Any = 0) -> NDArray[Any]:
        """(n, pixels), in the numbers of the training data; `label` is one of y's, None is all of them in turn."""
        check_is_fitted(self, "model_")
        seed = int(check_random_state(random_state).randint(2**31))
        made = generate(
            self.model_, n_samples, label=None if label is None else str(label), seed=seed, progress=unheard
        )
        return self._rows(made.pixels)

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Log-likelihood of each image, (n,), in nats, from below: what grid searches compare.

        ln P(k) + ln p(x | k) of its code k: p is Gaussian noise of 0.1 around what k decodes to, with pixels in [0, 1].
        The likelihood of codes alone would be best where they say nothing.
        """
        pixels = self._images(X).pixels  # which asks for a fit first
        codes = self.model_.encode(pixels)
        bits = self.model_.require_codes("score").bits(codes)
        squared = squared_errors(pixels, self.model_.decode(codes)) / NOISE**2  # a pixel
        return -np.log(2) * bits - pixels[0].size * (squared / 2 + np.log(NOISE * np.sqrt(2 * np.pi)))

    def score(self, X: ArrayLike, y: object = None) -> float:  # noqa: N803
        return float(self.score_samples(X).mean())
