"""The verbs that open a model up: explore shows what it learned, export takes its networks elsewhere."""

from typing import Annotated, Literal

from cyclopts import Parameter

from zpinch.cli.program import COMMON, Common, ModelOption, OutOption, app, examples


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
        [one._asdict() for one in made],
        *(
            f"{one.path}: {', '.join(one.inputs)} -> {one.output}; {one.bytes:,} bytes, at most {one.difference:.1g} "
            "from PyTorch in onnxruntime"
            for one in made
        ),
    )
