"""The commands: parse, call one public function, print. No logic lives here, and `zpinch --help` loads no PyTorch.

Results go to stdout, progress and messages to stderr. Exit codes are those of errors.py.
"""

import json
import os
import shlex
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from zpinch.errors import CorruptArchive, UsageError, ZpinchError

EXIT_INTERRUPTED = 130


def examples(*commands: str) -> str:
    return "\n\n".join(("Examples:", *commands))


app = App(
    name="zpinch",
    help="One model, trained once on your own images, that compresses, decompresses and generates them.",
    help_epilogue="Begin with: zpinch train digits -o model --minutes 3\n\n"
    "Exit codes: 0 done, 1 usage or input/output, 2 corrupt input, 3 model missing or not the one that wrote the "
    "archive, 4 a limit was hit, 5 a quality condition was not met.",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # main() says what was left and what was not
)
app.register_install_completion_command()
data_app = App(name="data", help="Data sets by name, and what is in a source of images.", help_format="plaintext")
app.command(data_app)


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every verb."""

    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print the result as JSON, for machines.")] = (
        False
    )
    quiet: Annotated[bool, Parameter(negative="", help="No progress and no messages.")] = False
    seed: Annotated[int, Parameter(help="The same seed gives the same result on one machine.")] = 0
    force: Annotated[bool, Parameter(negative="", help="Replace an output that is there already.")] = False

    def console(self) -> Console:
        return Console(stderr=True, quiet=self.quiet)

    def show(self, data: Any, *lines: str) -> None:
        """The result on stdout: plain data for machines, lines for people."""
        print(json.dumps(data, default=str) if self.as_json else "\n".join(lines))


@Parameter(name="*")
@dataclass(frozen=True)
class Reading:
    """How to read a source of images."""

    split: Annotated[
        Literal["train", "test", "all"] | None, Parameter(help="Which split, where the source has them.")
    ] = None
    labels: Annotated[Path | None, Parameter(help="Labels from a file of their own (IDX or .npy).")] = None
    size: Annotated[int | None, Parameter(help="Resize every image to this side, in pixels.")] = None
    skip_bad: Annotated[
        bool, Parameter(negative="", help="Leave out images that cannot be read, named and counted.")
    ] = False

    def options(self, default_split: str) -> dict[str, Any]:
        return {
            "split": self.split or default_split,
            "labels": self.labels,
            "size": self.size,
            "skip_bad": self.skip_bad,
        }


COMMON, READING = Common(), Reading()
ModelOption = Annotated[Path, Parameter(name=["--model", "-m"], help="The model's folder.")]
OutOption = Annotated[Path, Parameter(name=["--out", "-o"], help="Where to write.")]


def no_option(_: object, value: Path | None) -> None:
    """A lone - is a file; --jsn is a mistake."""
    if value is not None and str(value).startswith("-") and str(value) != "-":
        raise ValueError(f"there is no option {value}")


ArchiveArgument = Annotated[
    Path, Parameter(allow_leading_hyphen=True, validator=no_option, help="The archive; - reads standard input.")
]
WritersModel = Annotated[
    Path | None,
    Parameter(
        name=["--model", "-m"], help="The model's folder; sought beside the archive and in $ZPINCH_MODELS otherwise."
    ),
]


@app.command(
    help_epilogue=examples(
        "zpinch train digits -o model --minutes 3", "zpinch train photos/ -o cells --until 'rfcd<2,fcd<8'"
    )
)
def train(
    data: str,
    *,
    out: OutOption,
    recipe: Annotated[str, Parameter(help="fusion, autoencoder, contractive or gan.")] = "fusion",
    backbone: Annotated[
        Literal["conv", "mlp"], Parameter(help="conv, or the dense nets of the classic papers.")
    ] = "conv",
    latent: Annotated[int | None, Parameter(help="Integers an image becomes; the default follows its size.")] = None,
    minutes: Annotated[
        float | None, Parameter(help="Train about this long; becomes a number of steps at the start.")
    ] = None,
    epochs: Annotated[float | None, Parameter(help="Train for this many passes over the images.")] = None,
    steps: Annotated[int | None, Parameter(help="Train for this many steps.")] = None,
    until: Annotated[str | None, Parameter(help="Stop when reached, e.g. 'rfcd<2,fcd<8'; exit 5 when not.")] = None,
    resume: Annotated[bool, Parameter(negative="", help="Go on with the run that -o was interrupted in.")] = False,
    dry_run: Annotated[bool, Parameter(negative="", help="Say time, memory and parameters; train nothing.")] = False,
    settings: Annotated[
        list[str] | None, Parameter(name="--set", negative="", help="e.g. objective.contraction=0.1; may be repeated.")
    ] = None,
    device: Annotated[str, Parameter(help="auto, cpu, cuda or mps.")] = "auto",
    reading: Reading = READING,
    common: Common = COMMON,
) -> None:
    """Train a model on images: a folder, .zip, .tar, IDX, .npz, .npy, pixel .csv, .parquet, .zpn, or a name (digits).

    With none of --minutes, --epochs, --steps it stops by itself, when held-out quality no longer improves. Ctrl-C
    leaves a usable model, and --resume goes on.
    """
    from zpinch.tasks.source import open_images
    from zpinch.tasks.train import estimate
    from zpinch.tasks.train import train as train_model
    from zpinch.training.progress import ProgressLine, Together, tensorboard_listeners

    console = common.console()
    images = open_images(data, **reading.options("train"))
    tell(console, images.notes)
    chosen: dict[str, Any] = {
        "recipe": recipe,
        "backbone": backbone,
        "latent": latent,
        "minutes": minutes,
        "epochs": epochs,
        "steps": steps,
        "settings": settings or (),
        "seed": common.seed,
        "device": device,
    }
    if dry_run:
        found = estimate(images, **chosen)
        common.show(found.as_dict(), *found.lines())
        return
    with ProgressLine(console) as line:
        listener = Together(line, *tensorboard_listeners(out / "tensorboard"))
        model = train_model(
            images,
            **chosen,
            until=until,
            out=out,
            resume=resume,
            force=common.force,
            command=typed(),
            listener=listener,
        )
    common.show(
        {"model": str(out), "facts": model.facts},
        f"{out}: {model.facts['reason']}",
        *(f"  {name}: {value:.4g}" for name, value in model.facts.items() if name.startswith("held-out")),
    )


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
        int, Parameter(help="1, the smallest archive, to 5, the closest images; read back without saying which.")
    ] = 3,
    lossless: Annotated[
        bool, Parameter(negative="", help="Keep the pixels themselves: larger, and the very same when they come back.")
    ] = False,
    max_error: Annotated[
        int | None, Parameter(help="Keep each pixel within so many of 255 levels. Smaller than --lossless.")
    ] = None,
    allow_conversion: Annotated[
        bool,
        Parameter(
            negative="",
            help="--lossless of images that lost something when they were read (16 bits, alpha, CMYK, another size): "
            "keep what was made of them.",
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
    from zpinch.tasks.compress import compress as compress_images
    from zpinch.tasks.progress import progress_bar
    from zpinch.tasks.source import open_stream

    console = common.console()
    stream = open_stream(data, **reading.options("all"))
    tell(console, stream.notes)
    with output(out) as file, progress_bar(console, "compressing") as report:
        made = compress_images(
            stream,
            model,
            file,
            quality=quality,
            lossless=lossless,
            max_error=max_error,
            allow_conversion=allow_conversion,
            check=not no_check,
            remove=data if rm or rm_lossy else None,
            remove_lossy=rm_lossy,
            force=common.force,
            progress=report,
        )
    for warning in made.warnings:
        console.print(f"warning: {warning}", highlight=False, markup=False)
    lines = [
        f"{made.path}: {made.images:,} images in {made.bytes:,} bytes, {made.bits_per_image:.1f} bits an image, "
        f"{made.images_per_second:,.0f} images/s",
    ]
    if made.mse is not None:
        lines.append(f"  mse {made.mse:.5f}, worst pixel {made.max_error} of 255 levels off")
    if rm or rm_lossy:
        lines.append(f"  compared with {data}, which is deleted: {made.removed_files:,} files")
    if is_standard(out):
        console.print(*lines, sep="\n", highlight=False, markup=False)  # stdout is the archive's
    else:
        common.show(
            {**made._asdict(), "bits_per_image": made.bits_per_image, "images_per_second": made.images_per_second},
            *lines,
        )


@app.command(
    help_epilogue=examples(
        "zpinch decompress digits.zpn -m model -o digits.npz",
        "zpinch decompress scans.zpn --range 5000:5010 -o ten/",
        "zpinch decompress scans.zpn --names 'cat/*' -o cats/",
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
    salvage: Annotated[
        bool,
        Parameter(negative="", help="Of a damaged archive bring back every whole block, name the lost; exit 2."),
    ] = False,
    common: Common = COMMON,
) -> None:
    """Decompress an archive into a folder of PNG, .npz, .parquet, .zip or one .png sheet, by the ending of -o.

    The archive may be - for standard input, read in one pass. --range and --names read only the blocks they need.
    """
    from zpinch.tasks.decompress import decompress as decompress_archive
    from zpinch.tasks.progress import progress_bar

    with progress_bar(common.console(), "decompressing") as report:
        made = decompress_archive(
            archive_at(archive),
            out,
            model=model,
            images=images,
            names=names,
            salvage=salvage,
            force=common.force,
            progress=report,
        )
    lost = made.lost
    common.show(
        {
            **made._asdict(),
            "images_per_second": made.images_per_second,
            "lost": None if lost is None else {**lost._asdict(), "gaps": [gap._asdict() for gap in lost.gaps]},
        },
        f"{made.path}: {made.images:,} images, {made.images_per_second:,.0f} images/s",
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
    from zpinch.tasks.decompress import test_archive
    from zpinch.tasks.progress import progress_bar

    with progress_bar(common.console(), "testing") as report:
        found = test_archive(archive_at(archive), model=model, progress=report)
    how = (
        "every code decoded and compared"
        if found.are_codes_checked
        else "checksums only: the model was not found, pass -m"
    )
    common.show(found._asdict(), f"{archive}: whole. {found.images:,} images in {found.blocks:,} blocks; {how}")


@app.command(name="list", help_epilogue=examples("zpinch list digits.zpn", "zpinch list scans.zpn --json"))
def list_(archive: ArchiveArgument, *, common: Common = COMMON) -> None:
    """List the images of an archive: number and name, one a line. No model is needed."""
    from zpinch.tasks.inspect import entries

    for entry in entries(archive_at(archive)):
        print(json.dumps(entry._asdict()) if common.as_json else f"{entry.index}\t{entry.name or '-'}")


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
    count: Annotated[int, Parameter(name=["--count", "-k"], help="How many.")] = 10,
    model: WritersModel = None,
    size: Annotated[int | None, Parameter(help="Stretch the image to this side first, in pixels.")] = None,
    out: Annotated[
        Path | None, Parameter(name=["--out", "-o"], help="Write those images too: a .png sheet, a folder, .npz...")
    ] = None,
    common: Common = COMMON,
) -> None:
    """Find the images of an archive most like a given one, by their codes: no pixel of the archive is decoded.

    Prints number, name and distance, the nearest first.
    """
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
        [near._asdict() for near in found],
        *(f"{near.index}\t{near.name or '-'}\t{near.distance:.3f}" for near in found),
    )


@app.command(
    help_epilogue=examples(
        "zpinch generate -m model -n 100 -o samples.png",
        "zpinch generate -m model -n 500 --label 7 --temperature 0.8 -o sevens/",
    )
)
def generate(
    *,
    model: ModelOption,
    out: OutOption,
    count: Annotated[int, Parameter(name=["--count", "-n"], help="How many images.")] = 64,
    label: Annotated[str | None, Parameter(help="A class name; without it all classes in turn.")] = None,
    temperature: Annotated[float, Parameter(help="Below 1 safer, above 1 bolder.")] = 1.0,
    common: Common = COMMON,
) -> None:
    """Draw new images from the prior: a folder of PNG, .npz, .parquet, .zip or one .png sheet."""
    from zpinch.tasks.generate import generate as generate_images
    from zpinch.tasks.progress import progress_bar

    with progress_bar(common.console(), "generating") as report:
        made = generate_images(
            model,
            count,
            label=label,
            temperature=temperature,
            seed=common.seed,
            out=out,
            force=common.force,
            progress=report,
        )
    common.show({"out": str(out), "images": len(made)}, f"{out}: {len(made):,} new images")


@app.command(
    help_epilogue=examples(
        "zpinch evaluate digits -m model -o report.html", "zpinch evaluate scans/ -m cells -o report.html --json"
    )
)
def evaluate(data: str, *, model: ModelOption, out: OutOption, common: Common = COMMON) -> None:
    """Measure a model on the test split of the images and write a report: one self-contained HTML page.

    A source without splits is cut in two halves, and the report says so.
    """
    from zpinch.tasks.evaluate import evaluate as evaluate_model

    with common.console().status("reading images") as status:
        found = evaluate_model(
            data,
            model,
            out,
            seed=common.seed,
            command=typed(),
            force=common.force,
            phase=lambda name: status.update(name),
        )
    common.show(found.as_dict(), *found.lines(), f"report: {out}")


@data_app.command(name="list", help_epilogue=examples("zpinch data list", "zpinch data list --json"))
def data_list(*, common: Common = COMMON) -> None:
    """The data sets known by name, and where they are."""
    from zpinch.images.builtin import available

    rows = available()
    common.show(
        [row._asdict() for row in rows],
        *(f"{row.name:<14} {row.description}; {row.where or 'not here: zpinch data get ' + row.name}" for row in rows),
    )


@data_app.command(name="get", help_epilogue=examples("zpinch data get mnist", "zpinch data get fashion-mnist"))
def data_get(name: str, *, common: Common = COMMON) -> None:
    """Fetch a published data set into the cache ($ZPINCH_DATA), checked against its checksums."""
    from zpinch.images.builtin import get

    with common.console().status(f"fetching {name}") as status:
        folder = get(name, lambda file, done, of: status.update(f"fetching {file}: {done:,} of {of or '?'} bytes"))
    common.show({"folder": str(folder)}, str(folder))


@data_app.command(name="check", help_epilogue=examples("zpinch data check photos/", "zpinch data check digits --json"))
def data_check(path: str, *, common: Common = COMMON) -> None:
    """Look through a source of images to its end: what can be used and what is wrong. Exit 2 when something is."""
    from zpinch.tasks.source import check_source

    found = check_source(path)
    shape = "x".join(map(str, found.shape)) if found.shape else "nothing"
    common.show(
        {
            "source": found.source,
            "count": found.count,
            "shape": found.shape,
            "classes": dict(found.classes),
            "splits": found.splits,
            "problems": [f._asdict() for f in found.problems],
            "notes": found.notes,
        },
        f"{found.source}: {found.count:,} images of {shape} (channels x height x width)",
        *([f"splits: {', '.join(found.splits)}"] if found.splits else []),
        *(f"class {name}: {count:,}" for name, count in found.classes),
        *(f"note: {note}" for note in found.notes),
        *(f"problem: {fault.file}: {fault.what}" for fault in found.problems),
    )
    if not found.is_sound:
        sys.exit(2)


def is_standard(path: Path) -> bool:
    """Whether a path stands for standard input or output."""
    return str(path) == "-"


def archive_at(path: Path) -> Path | BinaryIO:
    return sys.stdin.buffer if is_standard(path) else path


@contextmanager
def output(path: Path) -> Generator[Path | BinaryIO]:
    """Standard output as a binary file without a buffer of its own, or the path."""
    if not is_standard(path):
        yield path
        return
    if sys.stdout.isatty():
        raise UsageError("an archive is no text: send standard output to a file or a pipe, or name a file with -o.")
    with open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as file:
        yield file


def tell(console: Console, notes: tuple[str, ...]) -> None:
    for note in notes:
        console.print(f"note: {note}", highlight=False, markup=False)


def typed() -> str:
    """The command as it was typed, for cards and reports."""
    return shlex.join(["zpinch", *sys.argv[1:]])


def main() -> None:
    """The entry point: errors a person can cause end in one line and their exit code, never in a traceback."""
    try:
        app(sys.argv[1:], exit_on_error=False)
    except CycloptsError:
        sys.exit(1)  # it has said what could not be parsed; versions of it end with 1 or with 2
    except ZpinchError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail(
            "interrupted; nothing partial was left under a final name, and a run that was kept goes on with --resume",
            EXIT_INTERRUPTED,
        )
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone: `zpinch list | head`
        sys.exit(0)
    except MemoryError:
        fail("out of memory. Take fewer or smaller images (--size).", 4)
    except OSError as error:
        fail(f"{error.filename or 'input/output'}: {error.strerror or error}", 1)


def fail(message: str, code: int) -> None:
    Console(stderr=True).print(f"zpinch: {message}", style="bold", highlight=False, markup=False, soft_wrap=True)
    sys.exit(code)
