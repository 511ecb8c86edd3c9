"""The verbs of archives: compress, decompress, test, list, info, find."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from zpinch.cli.pipes import archive_at, is_standard, no_option, output
from zpinch.cli.program import COMMON, READING, Common, ModelOption, OutOption, Reading, app, examples, tell, whole
from zpinch.errors import CorruptArchive

ArchiveArgument = Annotated[
    Path, Parameter(allow_leading_hyphen=True, validator=no_option, help="The archive; - reads standard input.")
]
WritersModel = Annotated[
    Path | None,
    Parameter(
        name=["--model", "-m"],
        help="The model's folder; sought in the archive, beside it and in $ZPINCH_MODELS otherwise.",
    ),
]


@app.command(
    help_epilogue=examples(
        "zpinch compress digits -m model -o digits.zpn",
        "zpinch compress scans/ -m cells -o scans.zpn --lossless",
        "zpinch compress scans/ -m cells -o - | ssh vault 'cat > scans.zpn'",
    )
)
def compress(
    data: str,
    *,
    model: ModelOption,
    out: Annotated[
        Path,
        Parameter(
            name=["--out", "-o"],
            allow_leading_hyphen=True,
            validator=no_option,
            help="The archive; - writes it to standard output.",
        ),
    ],
    quality: Annotated[
        int,
        Parameter(
            converter=whole, help="1, the smallest archive, to 5, the closest images; read back without saying which."
        ),
    ] = 3,
    lossless: Annotated[
        bool, Parameter(negative="", help="Keep the pixels themselves: larger, and the very same when they come back.")
    ] = False,
    max_error: Annotated[
        int | None,
        Parameter(converter=whole, help="Keep each pixel within so many of 255 levels. Smaller than --lossless."),
    ] = None,
    allow_conversion: Annotated[
        bool,
        Parameter(
            negative="",
            help="--lossless of images that lost something when they were read (16 bits, alpha, CMYK, another size): "
            "keep what was made of them.",
        ),
    ] = False,
    embed_model: Annotated[
        bool,
        Parameter(
            negative="",
            help="Put what decoding needs of the model into the archive, so that it needs no folder: megabytes for "
            "codes, some 60 kB for --lossless and --max-error.",
        ),
    ] = False,
    no_check: Annotated[
        bool,
        Parameter(
            name="--no-check",
            negative="",
            help="Do not decode the images again to store how far they are off; about twice as fast.",
        ),
    ] = False,
    rm: Annotated[
        bool,
        Parameter(
            name="--rm",
            negative="",
            help="Delete DATA once the archive was read back and compared. Needs a lossless archive; DATA must be a "
            "folder, a .zip or an image, and every file in it must be in the archive.",
        ),
    ] = False,
    rm_lossy: Annotated[bool, Parameter(negative="", help="--rm of a lossy archive: compares codes.")] = False,
    reading: Reading = READING,
    common: Common = COMMON,
) -> None:
    """Compress images into a checked archive: the codes of the images, with their labels and names.

    What comes back is what the generator makes of the codes: close to the image, not equal to it. How far it is, mean
    and worst, is measured on the way and stored.
    """
    from zpinch.images.naming import counted
    from zpinch.tasks.compress import check_asked
    from zpinch.tasks.compress import compress as compress_images
    from zpinch.tasks.progress import progress_bar
    from zpinch.tasks.source import open_stream

    console = common.console()
    chosen: dict[str, Any] = {
        "quality": quality,
        "lossless": lossless,
        "max_error": max_error,
        "allow_conversion": allow_conversion,
        "force": common.force,
    }
    with output(out) as file:
        trained = check_asked(model, file, **chosen).model
        stream = open_stream(data, **reading.options("all"))
        tell(console, stream.notes)
        with progress_bar(console, "compressing") as report:
            made = compress_images(
                stream,
                trained,
                file,
                **chosen,
                embed_model=embed_model,
                check=not no_check,
                remove=data if rm or rm_lossy else None,
                remove_lossy=rm_lossy,
                progress=report,
            )
    tell(console, made.warnings, "warning")
    lines = [
        f"{made.path}: {counted(made.images, 'image')} in {made.bytes:,} bytes, {made.bits_per_image:.1f} bits an "
        f"image, {made.images_per_second:,.0f} images/s",
    ]
    if made.mse is not None:
        lines.append(f"  mse {made.mse:.5f}, worst pixel {made.max_error} of 255 levels off")
    if embed_model:
        lines.append(f"  {made.model_bytes:,} of these bytes are what decoding needs of the model")
    if rm or rm_lossy:
        lines.append(f"  compared with {data}, which is deleted: {counted(made.removed_files, 'file')}")
    figures = {**made._asdict(), "bits_per_image": made.bits_per_image, "images_per_second": made.images_per_second}
    common.show(figures, *lines, to=sys.stderr if is_standard(out) else None)  # stdout is the archive's


@app.command(
    help_epilogue=examples(
        "zpinch decompress digits.zpn -m model -o digits.npz",
        "zpinch decompress scans.zpn --range 5000:5010 -o ten/",
        "zpinch decompress scans.zpn --names 'cat/*' -o cats/",
        "zpinch decompress digits.zpn --realism 1 -o lifelike/",
        "zpinch decompress torn.zpn --salvage -o saved/",
    )
)
def decompress(
    archive: ArchiveArgument,
    *,
    out: OutOption,
    model: WritersModel = None,
    images: Annotated[
        str | None, Parameter(name="--range", help="Only these image numbers: 5000:5010 is ten of them, 17 is one.")
    ] = None,
    names: Annotated[
        str | None, Parameter(help="Only images whose names fit a shell pattern; * matches / too.")
    ] = None,
    realism: Annotated[
        float | None,
        Parameter(
            help="0, the least error, to 1, what the critic accepts. By default the model's own: of fusion 0.5, else 0."
        ),
    ] = None,
    salvage: Annotated[
        bool,
        Parameter(negative="", help="Of a damaged archive bring back every whole block, name the lost; exit 2."),
    ] = False,
    common: Common = COMMON,
) -> None:
    """Decompress an archive into a folder of PNG, .npz, .parquet, .zip or one .png sheet, by the ending of -o.

    The archive may be - for standard input, read in one pass. --range and --names read only the blocks they need.
    """
    from zpinch.images.naming import counted
    from zpinch.tasks.decompress import decompress as decompress_archive
    from zpinch.tasks.progress import progress_bar

    with progress_bar(common.console(), "decompressing") as report:
        made = decompress_archive(
            archive_at(archive),
            out,
            model=model,
            images=images,
            names=names,
            realism=realism,
            salvage=salvage,
            force=common.force,
            progress=report,
        )
    lost = made.lost
    common.show(
        {**made._asdict(), "images_per_second": made.images_per_second},
        f"{made.path}: {counted(made.images, 'image')}, {made.images_per_second:,.0f} images/s",
        *(lost.lines() if lost else ()),
    )
    if lost:
        sys.exit(CorruptArchive.exit_code)


@app.command(help_epilogue=examples("zpinch test digits.zpn", "zpinch test digits.zpn -m model --json"))
def test(
    archive: ArchiveArgument,
    *,
    model: Annotated[
        Path | None, Parameter(name=["--model", "-m"], help="The model's folder, to decode every code too.")
    ] = None,
    common: Common = COMMON,
) -> None:
    """Check every byte of an archive; with its model, which is sought beside it too, also that every code decodes."""
    from zpinch.images.naming import counted
    from zpinch.tasks.decompress import test_archive
    from zpinch.tasks.progress import progress_bar

    with progress_bar(common.console(), "testing") as report:
        found = test_archive(archive_at(archive), model=model, progress=report)
    how = (
        "every code decoded and compared"
        if found.are_codes_checked
        else f"checksums only: {found.model_fault or 'the model was not found, pass -m'}"
    )
    held = f"{counted(found.images, 'image')} in {counted(found.blocks, 'block')}"
    common.show(found, f"{archive}: whole. {held}; {how}")


@app.command(name="list", help_epilogue=examples("zpinch list digits.zpn", "zpinch list scans.zpn --json"))
def list_(archive: ArchiveArgument, *, common: Common = COMMON) -> None:
    """List the images of an archive: number and name, one a line. No model is needed."""
    from zpinch.images.naming import readable
    from zpinch.tasks.inspect import entries

    for entry in entries(archive_at(archive)):
        print(json.dumps(entry._asdict()) if common.as_json else f"{entry.index}\t{readable(entry.name or '-')}")


@app.command(help_epilogue=examples("zpinch info model", "zpinch info digits.zpn --json"))
def info(
    path: Annotated[
        Path,
        Parameter(
            allow_leading_hyphen=True,
            validator=no_option,
            help="A model's folder or an archive; - reads standard input.",
        ),
    ],
    *,
    common: Common = COMMON,
) -> None:
    """Describe a model or an archive: what it holds, what made it, what it needs."""
    from zpinch.tasks.inspect import info as describe

    found = describe(archive_at(path))
    wide = max(len(name) for name, _ in found.rows)
    common.show(found.data, found.title, *(f"  {name:<{wide}}  {value}" for name, value in found.rows))


@app.command(
    help_epilogue=examples(
        "zpinch find scans.zpn --like odd.png -k 10", "zpinch find scans.zpn --like odd.png -o neighbours.png"
    )
)
def find(
    archive: ArchiveArgument,
    *,
    like: Annotated[str, Parameter(help="The image to compare with.")],
    count: Annotated[int, Parameter(name=["--count", "-k"], converter=whole, help="How many.")] = 10,
    model: WritersModel = None,
    size: Annotated[
        int | None, Parameter(converter=whole, help="Stretch the image to this side first, in pixels.")
    ] = None,
    out: Annotated[
        Path | None, Parameter(name=["--out", "-o"], help="Write those images too: a .png sheet, a folder, .npz...")
    ] = None,
    common: Common = COMMON,
) -> None:
    """Find the images of an archive most like a given one, by their codes: no pixel of the archive is decoded.

    Prints number, name and distance, the nearest first.
    """
    from zpinch.images.naming import readable
    from zpinch.tasks.find import find as find_images
    from zpinch.tasks.progress import progress_bar

    with progress_bar(common.console(), "comparing") as report:
        found = find_images(
            archive_at(archive),
            like,
            count,
            model=model,
            size=size,
            out=out,
            force=common.force,
            progress=report,
        )
    common.show(
        found,
        *(f"{near.index}\t{readable(near.name or '-')}\t{near.distance:.3f}" for near in found),
    )
