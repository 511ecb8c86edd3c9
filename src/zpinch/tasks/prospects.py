"""What so many images can support, said before training.

Measured on MNIST and Fashion-MNIST at 100, 300 and 1,000 images, each after a minute (bench/small.py); where more time
or more images lead is a guess.
"""

from zpinch.images import ImageCollection
from zpinch.images.naming import counted
from zpinch.model.model import Model
from zpinch.tasks.preparation import without_room
from zpinch.tasks.warm_start import said_of
from zpinch.training.measure import held_out_of

# Fewer images than this: what to expect.
EXPECTED = (
    (20, "too few to hold any out: nothing can be said of how good the model is"),
    (50, "enough to try it; samples will be much like the training images"),
    (200, "enough to compress images much like these; about three samples in four will look real"),
    (2_000, "enough to compress images like these; about three samples in four will look real"),
    (10_000, "enough to compress and to generate; both gain from more images"),
)
ENOUGH = "enough for all that this model can do"


def prospects(images: ImageCollection, start: Model | None = None) -> tuple[str, ...]:
    """A line on what to expect, and with `start` what a run from that model keeps."""
    count, held = len(images), held_out_of(len(images))
    left_out = without_room(images.class_names)
    expected = next((said for most, said in EXPECTED if count < most), ENOUGH)
    more = (
        "" if start or count >= EXPECTED[-1][0] else "; for more, more images, or --from a model of images like these"
    )
    return (
        *([f"{left_out}: the model learns without labels"] if left_out else []),
        f"{counted(count, 'image')} ({count - held:,} to train on, {held:,} held out): {expected}{more}",
        *(said_of(start, images) if start else ()),
    )
