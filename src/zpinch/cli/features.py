"""The verbs that look at images with a trained model: embed, detect."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from zpinch.cli.program import COMMON, READING, Common, OutOption, Reading, app, examples, tell

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

    An archive is embedded straight from its codes, and no pixel is decoded.
    """
    from zpinch.tasks.embed import embed as embed_images
    from zpinch.tasks.progress import progress_bar
    from zpinch.tasks.rows import opened_source

    console = common.console()
    source = opened_source(data, **reading.options("all"))
    with progress_bar(console, "embedding") as report:
        found = embed_images(source, model, out, force=common.force, progress=report)
    tell(console, found.notes)
    images, dimensions = found.features.shape
    common.show(
        {"out": str(out), "images": images, "dimensions": dimensions, "from_codes": found.is_from_codes},
        f"{out}: {images:,} images, {dimensions} features each{', from codes' if found.is_from_codes else ''}",
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
        Parameter(help="Normal images that the model was not trained on, instead of those held out from its training."),
    ] = None,
    picture: Annotated[
        Path | None, Parameter(help="A .png of the oddest images, their reconstructions and their odd pixels.")
    ] = None,
    reading: Reading = READING,
    common: Common = COMMON,
) -> None:
    """Find images unlike those the model was trained on, with a promise on false alarms. The oddest are printed.

    OUT is .csv, .npz or .parquet: name, p-value, whether it is odd, and the scores that say so.
    """
    from zpinch.tasks.detect import detect as detect_odd
    from zpinch.tasks.progress import progress_bar
    from zpinch.tasks.rows import opened_source

    console = common.console()
    source = opened_source(data, **reading.options("all"))
    with progress_bar(console, "looking") as report:
        found = detect_odd(
            source,
            model,
            out,
            false_alarms=false_alarms,
            normal=normal,
            picture=picture,
            force=common.force,
            progress=report,
        )
    tell(console, found.notes)
    common.show(found.as_dict(), *found.lines())
