"""The verbs that make a model and try it: train, generate, evaluate."""

from pathlib import Path
from typing import Annotated, Any, Literal

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
    app,
    examples,
    tell,
    typed,
    whole,
)


@app.command(
    help_epilogue=examples(
        "zpinch train digits -o model --minutes 3",
        "zpinch train photos/ -o cells --until 'rfcd<2,fcd<8'",
        "zpinch train few/ -o new --from cells",
    )
)
def train(
    data: str,
    *,
    out: OutOption,
    recipe: Annotated[
        str | None, Parameter(help="fusion (the default), autoencoder, contractive, vae, vae-gan or gan.")
    ] = None,
    backbone: Annotated[
        Literal["conv", "mlp"] | None, Parameter(help="conv (the default), or the dense nets of the classic papers.")
    ] = None,
    latent: Annotated[
        int | None, Parameter(converter=whole, help="Integers an image becomes; the default follows its size.")
    ] = None,
    minutes: Annotated[
        float | None, Parameter(help="Train about this long, in steps that are counted at the start.")
    ] = None,
    epochs: Annotated[float | None, Parameter(help="Train for this many passes over the images.")] = None,
    steps: Annotated[int | None, Parameter(converter=whole, help="Train for this many steps.")] = None,
    until: Annotated[str | None, Parameter(help="Stop when reached, e.g. 'rfcd<2,fcd<8'; exit 5 when not.")] = None,
    start: Annotated[
        Path | None, Parameter(name="--from", help="A trained model whose weights to begin with, for few images.")
    ] = None,
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
    leaves a usable model, and --resume goes on. It says first what so many images can support.
    """
    from zpinch.errors import UsageError
    from zpinch.model.storage import load
    from zpinch.tasks.preparation import Budget
    from zpinch.tasks.prospects import prospects
    from zpinch.tasks.source import open_images
    from zpinch.tasks.train import check_asked, estimate
    from zpinch.tasks.train import train as train_model
    from zpinch.training.progress import ProgressLine, Together, tensorboard_listeners

    console = common.console()
    if dry_run and resume:
        raise UsageError("--dry-run tells what a new run would be, and --resume goes on with one: leave one out.")
    place = None if dry_run else out
    check_asked(recipe, Budget(minutes, epochs, steps), until, place, resume=resume, force=common.force)
    chosen: dict[str, Any] = {
        "recipe": recipe,
        "backbone": backbone,
        "latent": latent,
        "minutes": minutes,
        "epochs": epochs,
        "steps": steps,
        "settings": settings or (),
        "start": load(start) if start else None,
        "seed": common.seed,
        "device": device,
    }
    images = open_images(data, **reading.options("train"))
    tell(console, images.notes)
    if dry_run:
        found = estimate(images, **chosen)
        common.show(found.as_dict(), *found.lines())
        return
    tell(console, prospects(images, chosen["start"]))
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
        *(
            f"  {name}: {value:.4g}"
            for name, value in model.facts.items()
            if name.startswith("held-out") or name.endswith(" of training images")
        ),
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
    count: Annotated[int, Parameter(name=["--count", "-n"], converter=whole, help="How many images.")] = 64,
    label: Annotated[str | None, Parameter(help="A class name; without it all classes in turn.")] = None,
    temperature: Annotated[float, Parameter(help="Below 1 safer, above 1 bolder.")] = 1.0,
    common: Common = COMMON,
) -> None:
    """Draw new images from the prior: a folder of PNG, .npz, .parquet, .zip or one .png sheet."""
    from zpinch.images.naming import counted
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
    common.show({"out": str(out), "images": len(made)}, f"{out}: {counted(len(made), 'new image')}")


@app.command(
    help_epilogue=examples(
        "zpinch evaluate digits -m model -o report.html", "zpinch evaluate photos/ -m cells -o report.html --size 64"
    )
)
def evaluate(
    data: str, *, model: ModelOption, out: OutOption, decoding: Decoding = DECODING, common: Common = COMMON
) -> None:
    """Measure a model on the test split of the images and write a report: one self-contained HTML page.

    A source without splits is cut in two halves, and the report says so.
    """
    from zpinch.tasks.evaluate import evaluate as evaluate_model

    console = common.console()
    with console.status("reading images") as status:
        found = evaluate_model(
            data,
            model,
            out,
            **decoding.decoding,
            seed=common.seed,
            command=typed(),
            force=common.force,
            phase=status.update,
        )
    tell(console, found.notes)
    common.show(found.as_dict(), *found.lines(), f"report: {out}")
