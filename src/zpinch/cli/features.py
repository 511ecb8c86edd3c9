"""The verbs that look at images with a trained model: embed, detect, complete."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from zpinch.cli.program import (
    COMMON,
    DECODING,
    READING,
    Common,
    Decoding,
    ModelOption,
    OutOption,
    Reading,
    SplitOption,
    app,
    examples,
    tell,
    whole,
)

Looking = Annotated[
    Path | None,
    Parameter(name=["--model", "-m"], help="The model's folder; an archive's own is sought beside it otherwise."),
]


@app.command(
    help_epilogue=examples("zpinch embed digits -m model -o digits.npz", "zpinch embed scans.zpn -o scans.parquet")
)
def embed(
    data: str, *, model: Looking = None, out: OutOption, reading: Reading = READING, common: Common = COMMON
) -> None:
    """Write the features of images, one row an image: .npz, .parquet or .csv.

    An archive is embedded straight from its codes, and no pixel is decoded. On MNIST, neighbours are told apart better
    than by PCA, and a little better still by the recipe autoencoder, whose samples are worse: docs/embed.md.
    """
    from zpinch.images.naming import counted
    from zpinch.tasks.embed import embed as embed_images
    from zpinch.tasks.progress import progress_bar
    from zpinch.tasks.rows import opened_source

    console = common.console()
    source = opened_source(data, model, **reading.options("all"))
    with progress_bar(console, "embedding") as report:
        found = embed_images(source, model, out, force=common.force, progress=report)
    tell(console, found.notes)
    images, dimensions = found.features.shape
    common.show(
        {"out": str(out), "images": images, "dimensions": dimensions, "from_codes": found.is_from_codes},
        f"{out}: {counted(images, 'image')}, {counted(dimensions, 'feature')} each"
        f"{', from codes' if found.is_from_codes else ''}",
    )


@app.command(
    help_epilogue=examples(
        "zpinch detect scans/ -m cells -o odd.csv",
        "zpinch detect scans/ -m cells --false-alarms 0.001 --picture odd.png -o odd.csv",
    )
)
def detect(
    data: str,
    *,
    model: Looking = None,
    out: OutOption,
    false_alarms: Annotated[float, Parameter(help="The share of normal images that may be called odd.")] = 0.01,
    normal: Annotated[
        str | None,
        Parameter(
            help="Normal images that the model was not trained on (of train/ and test/ the second), instead of those "
            "held out from its training."
        ),
    ] = None,
    picture: Annotated[
        Path | None, Parameter(help="A .png of the oddest images, their reconstructions and their odd pixels.")
    ] = None,
    split: SplitOption = None,
    decoding: Decoding = DECODING,
    common: Common = COMMON,
) -> None:
    """Find images unlike those the model was trained on, with a promise on false alarms. The oddest are printed.

    OUT is .csv, .npz or .parquet: name, p-value, whether it is odd, and the scores that say so. Where one kind of small
    image is normal and others are odd, neighbours among the pixels (LOF) rank about as well, without the promise:
    docs/detect.md has the comparison.
    """
    from zpinch.tasks.detect import detect as detect_odd
    from zpinch.tasks.progress import progress_bar
    from zpinch.tasks.rows import opened_source
    from zpinch.tasks.source import open_images, tested_split

    console = common.console()
    source = opened_source(data, model, split=split or "all", **decoding.decoding)
    usual = None if normal is None else open_images(normal, split=tested_split(normal), **decoding.decoding)
    tell(console, () if usual is None else usual.notes)
    with progress_bar(console, "looking") as report:
        found = detect_odd(
            source,
            model,
            out,
            false_alarms=false_alarms,
            normal=usual,
            picture=picture,
            force=common.force,
            progress=report,
        )
    ranks = "where one kind of image is normal, neighbours among raw pixels (LOF) rank about as well: docs/detect.md"
    tell(console, (*found.notes, ranks))
    common.show(found.as_dict(), *found.lines())


@app.command(
    help_epilogue=examples(
        "zpinch complete digits -m model --mask half --answers 4 -o whole.npz --picture whole.png",
        "zpinch complete torn/ -m model --mask alpha -o whole/",
    )
)
def complete(
    data: str,
    *,
    model: ModelOption,
    mask: Annotated[
        str, Parameter(help="half, center, lines, random:0.5, alpha, or an image whose white pixels are missing.")
    ],
    out: OutOption,
    answers: Annotated[int, Parameter(converter=whole, help="To each image; the first has the least error.")] = 1,
    steps: Annotated[int, Parameter(converter=whole, help="Of refinement on the code; 0 is fast.")] = 8,
    picture: Annotated[
        Path | None, Parameter(help="A .png of the first images, their answers, and what they were.")
    ] = None,
    reading: Reading = READING,
    common: Common = COMMON,
) -> None:
    """Fill in the missing pixels of images; known ones come back untouched.

    With --mask alpha those are missing that are not opaque. OUT is a folder of PNG, .npz, .parquet, .zip or a .png
    sheet, chosen by its ending.
    """
    from zpinch.images import open_alpha
    from zpinch.images.naming import counted
    from zpinch.tasks.complete import complete as complete_images
    from zpinch.tasks.progress import progress_bar
    from zpinch.tasks.source import open_stream

    console = common.console()
    options = reading.options("all")
    source = open_stream(data, **options)
    with progress_bar(console, "completing") as report:
        made = complete_images(
            source,
            model,
            open_alpha(data, **options) if mask == "alpha" else mask,
            out,
            answers=answers,
            steps=steps,
            seed=common.seed,
            picture=picture,
            force=common.force,
            progress=report,
        )
    tell(console, made.notes)
    images, several = len(made) // answers, f", {answers} answers to each" if answers > 1 else ""
    common.show(
        {"out": str(out), "images": images, "answers": answers},
        f"{out}: {counted(images, 'image')} completed{several}",
    )
