"""The verb that makes a training set larger: augment."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from zpinch.cli.program import COMMON, READING, Common, ModelOption, OutOption, Reading, app, examples, tell, whole


@app.command(
    help_epilogue=examples(
        "zpinch augment cells/ -m model --per-class 500 -o more/",
        "zpinch augment cells/ -m model --per-class 500 --prove --test other_cells/ -o more.npz",
    )
)
def augment(
    data: str,
    *,
    model: ModelOption,
    out: OutOption,
    per_class: Annotated[
        int, Parameter(converter=whole, help="Images that each class has in the end, real ones included.")
    ],
    kinds: Annotated[
        Literal["samples", "mixes", "both"],
        Parameter(help="Drawn from the prior, mixed of two real images each, or half of both."),
    ] = "samples",
    prove: Annotated[
        bool, Parameter(negative="", help="Measure whether a classifier learns more from it; exit 5 unless it does.")
    ] = False,
    test: Annotated[
        str | None,
        Parameter(help="Labelled images to prove it on, that the model has not seen, instead of DATA's test split."),
    ] = None,
    repeats: Annotated[int, Parameter(converter=whole, help="Times that the classifier learns from each set.")] = 5,
    picture: Annotated[
        Path | None, Parameter(help="A .png of each class (the first 100): real images, mixes, samples.")
    ] = None,
    reading: Reading = READING,
    common: Common = COMMON,
) -> None:
    """Add new images to labelled ones until every class has --per-class: samples, or mixes of two real images.

    OUT is a folder or .zip (with metadata.csv), .npz or .parquet; the real images come first, and each image says where
    it comes from. Made images often help no more than shifting and turning the real ones: --prove tells.
    """
    from zpinch.errors import QualityError, UsageError
    from zpinch.tasks.augment import augment as augment_images
    from zpinch.tasks.augment import check_asked
    from zpinch.tasks.source import open_images, splits_of, tested_split

    console = common.console()
    check_asked(per_class, kinds, out, picture, prove=prove, test=test, repeats=repeats, force=common.force)
    images = open_images(data, **reading.options("train"))
    held = None
    if test is not None:
        held = open_images(test, split=tested_split(test), **reading.decoding)
    elif prove and splits_of(data):
        if reading.labels is not None:
            raise UsageError("--labels are those of the training images: pass --test with labelled test images.")
        held = open_images(data, **replace(reading, split="test").options("test"))
    tell(console, (*images.notes, *(() if held is None else held.notes)))
    with console.status("making images") as status:
        found = augment_images(
            images,
            model,
            out,
            per_class=per_class,
            kinds=kinds,
            prove=prove,
            test=held,
            repeats=repeats,
            picture=picture,
            seed=common.seed,
            force=common.force,
            phase=status.update,
        )
    tell(console, found.notes)
    common.show({"out": str(out), **found.as_dict()}, f"{out}: {found.lines()[0]}", *found.lines()[1:])
    if found.proof is not None and found.proof.verdict != "gain":
        raise QualityError(f"--prove: {found.proof.verdict}. {out} is written all the same.")
