"""The verbs that open a model up: explore shows what it learned, export takes its networks elsewhere."""

from typing import Annotated, Literal

from cyclopts import Parameter

from zpinch.cli.program import COMMON, READING, Common, ModelOption, OutOption, Reading, app, examples, tell, typed


@app.command(
    help_epilogue=examples("zpinch export -m model -o decoder.onnx", "zpinch export -m model -o exported/ --json")
)
def export(
    *,
    model: ModelOption,
    out: OutOption,
    part: Annotated[
        Literal["encoder", "generator", "critic"] | None,
        Parameter(help="This network alone; without it a file gets the generator, a folder all there are."),
    ] = None,
    common: Common = COMMON,
) -> None:
    """Write the networks as ONNX, for programs without PyTorch, and compare each with the original in onnxruntime.

    -o FILE.onnx takes one network; a folder all of them, and the integers that code archives. Needs the extra: onnx.
    """
    from zpinch.tasks.export import export as export_model

    with common.console().status("exporting") as status:
        made = export_model(
            model,
            out,
            part=part,
            seed=common.seed,
            force=common.force,
            progress=lambda done, of: status.update(f"exporting, {done} of {of} networks written and compared"),
        )
    common.show(
        made,
        *(
            f"{one.path}: {', '.join(one.inputs)} -> {one.output}; {one.bytes:,} bytes, at most {one.difference:.1g} "
            "from PyTorch in onnxruntime"
            for one in made
        ),
    )


@app.command(
    help_epilogue=examples("zpinch explore digits -m model -o explored/", "zpinch explore -m model -o from-samples/")
)
def explore(
    data: str | None = None,
    *,
    model: ModelOption,
    out: OutOption,
    reading: Reading = READING,
    common: Common = COMMON,
) -> None:
    """Show what a model has learned: pictures of its codes, encoder and critic, as PNG and one HTML page in a folder.

    DATA: images to look at, the test split where there is one; without it samples of the model stand in for images.
    """
    from zpinch.errors import UsageError
    from zpinch.tasks.explore import explore as explore_model
    from zpinch.tasks.source import open_images, tested_split

    console = common.console()
    images = None
    if data is None and reading != READING:
        raise UsageError("--split, --labels, --size and --skip-bad say how DATA is read: give DATA, or leave them out.")
    if data is not None:
        images = open_images(data, **reading.options(tested_split(data)))
        tell(console, images.notes)
    with console.status("reading the model") as status:
        found = explore_model(
            model,
            images,
            out,
            seed=common.seed,
            force=common.force,
            command=typed(),
            progress=lambda done, of: status.update(f"{done} of {of} pictures drawn"),
        )
    common.show(found.as_dict(), *found.lines(), f"{out / 'explore.html'}")
