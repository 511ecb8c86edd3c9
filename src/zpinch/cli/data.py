"""The verbs below `zpinch data`: list, get, check."""

import sys
from typing import Annotated

from cyclopts import App, Parameter
from rich.markup import escape

from zpinch.cli.program import COMMON, Common, app, examples, whole

data_app = App(name="data", help="Data sets by name, and what is in a source of images.", help_format="plaintext")
app.command(data_app)


@data_app.command(name="list", help_epilogue=examples("zpinch data list", "zpinch data list --json"))
def data_list(*, common: Common = COMMON) -> None:
    """The data sets known by name, and where they are."""
    from zpinch.images.builtin import available

    rows = available()
    common.show(
        rows,
        *(f"{row.name:<14} {row.description}; {row.where or 'not here: zpinch data get ' + row.name}" for row in rows),
    )


@data_app.command(name="get", help_epilogue=examples("zpinch data get mnist", "zpinch data get fashion-mnist"))
def data_get(name: str, *, common: Common = COMMON) -> None:
    """Fetch a published data set into the cache ($ZPINCH_DATA), checked against its checksums."""
    from zpinch.images.builtin import get

    with common.console().status(escape(f"fetching {name}")) as status:
        folder = get(name, lambda file, done, of: status.update(f"fetching {file}: {done:,} of {of or '?'} bytes"))
    common.show({"folder": str(folder)}, str(folder))


@data_app.command(
    name="check", help_epilogue=examples("zpinch data check photos/ --size 64", "zpinch data check digits --json")
)
def data_check(
    path: str,
    *,
    size: Annotated[
        int | None, Parameter(converter=whole, help="Look at every image as resized to this side, in pixels.")
    ] = None,
    common: Common = COMMON,
) -> None:
    """Look through a source of images to its end: what can be used and what is wrong. Exit 2 when something is."""
    from zpinch.images.naming import counted
    from zpinch.tasks.source import check_source

    found = check_source(path, size=size)
    shape = "x".join(map(str, found.shape)) if found.shape else "nothing"
    common.show(
        {
            "source": found.source,
            "count": found.count,
            "shape": found.shape,
            "classes": dict(found.classes),
            "splits": found.splits,
            "problems": found.problems,
            "notes": found.notes,
        },
        f"{found.source}: {counted(found.count, 'image')} of {shape} (channels x height x width)",
        *([f"splits: {', '.join(found.splits)}"] if found.splits else []),
        *(f"class {name}: {count:,}" for name, count in found.classes),
        *(f"note: {note}" for note in found.notes),
        *(f"problem: {fault.what}" for fault in found.problems),
    )
    if not found.is_sound:
        sys.exit(2)
