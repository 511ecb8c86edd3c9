"""What holds for every verb: the program they belong to, the options they share, and how it ends."""

import io
import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from cyclopts import App, CycloptsError, Parameter, Token
from cyclopts.validators import Number
from rich.console import Console

from zpinch.errors import ZpinchError, is_out_of_memory
from zpinch.tasks.seeds import SEEDS

EXIT_INTERRUPTED = 130
OUT_OF_MEMORY = (
    "out of memory. Take fewer or smaller images (--size), or in training fewer at once: --set schedule.batch=32."
)

app = App(
    name="zpinch",
    help="One model, trained once on your own images, that compresses, decompresses and generates them.",
    help_epilogue="Begin with: zpinch train digits -o model --minutes 3\n\n"
    "Exit codes: 0 done, 1 usage or input/output, 2 corrupt input, 3 model missing or not the one that wrote the "
    "archive, 4 a limit was hit, 5 a quality condition was not met, 130 interrupted.",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # main() says what was left and what was not
)
app.register_install_completion_command()

# Of the processes that `accelerate launch` starts, the first speaks. RANK alone may mean something else.
ALONE = os.environ.get("WORLD_SIZE", "1") == "1"
SPEAKS = ALONE or os.environ.get("RANK", "0") == "0"


def whole(_: object, tokens: Sequence[Token]) -> int:
    """A whole number, where the parser would round 1.5 to 2: a promise of --max-error 1.5 would not be kept."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"{tokens[0].value} is not a whole number") from None


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every verb."""

    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print the result as JSON, for machines.")] = (
        False
    )
    quiet: Annotated[bool, Parameter(negative="", help="No progress and no messages.")] = False
    seed: Annotated[
        int,
        Parameter(
            converter=whole,
            validator=Number(gte=0, lt=SEEDS),
            help="The same seed gives the same result on one machine.",
        ),
    ] = 0
    force: Annotated[bool, Parameter(negative="", help="Replace an output that is there already.")] = False

    def console(self) -> Console:
        return console(quiet=self.quiet)

    def show(self, data: Any, *lines: str, to: TextIO | None = None) -> None:
        """The result, on stdout if not `to` another stream: typed or plain data for machines, lines for people."""
        from zpinch.tasks.plain_data import plain

        if SPEAKS and (to is None or self.as_json or not self.quiet):
            as_text = json.dumps(plain(data), default=str, allow_nan=False) if self.as_json else "\n".join(lines)
            print(as_text, file=to)


@Parameter(name="*")
@dataclass(frozen=True)
class Decoding:
    """How to read a source of images whose splits the verb chooses."""

    size: Annotated[int | None, Parameter(converter=whole, help="Resize every image to this side, in pixels.")] = None
    skip_bad: Annotated[
        bool, Parameter(negative="", help="Leave out images that cannot be read, named and counted.")
    ] = False

    @property
    def decoding(self) -> dict[str, Any]:
        return {"size": self.size, "skip_bad": self.skip_bad}


SplitOption = Annotated[
    Literal["train", "test", "all"] | None, Parameter(help="Which split, where the source has them.")
]


@Parameter(name="*")
@dataclass(frozen=True)
class Reading(Decoding):
    """How to read a source of images."""

    split: SplitOption = None
    labels: Annotated[Path | None, Parameter(help="Labels from a file of their own (IDX or .npy).")] = None

    def options(self, default_split: str) -> dict[str, Any]:
        return {"split": self.split or default_split, "labels": self.labels, **self.decoding}


COMMON, DECODING, READING = Common(), Decoding(), Reading()
ModelOption = Annotated[Path, Parameter(name=["--model", "-m"], help="The model's folder.")]
OutOption = Annotated[Path, Parameter(name=["--out", "-o"], help="Where to write.")]


def examples(*commands: str) -> str:
    return "\n\n".join(("Examples:", *commands))


def console(*, quiet: bool = False) -> Console:
    """Where messages go. Names are as they are: a class :cat: is no picture of one."""
    return Console(stderr=True, quiet=quiet or not SPEAKS, emoji=False)


def tell(console: Console, notes: tuple[str, ...], kind: str = "note") -> None:
    for note in notes:  # a line each, also where nobody knows how wide a line may be: logs and pipes
        console.print(f"{kind}: {note}", highlight=False, markup=False, soft_wrap=True)


def typed() -> str:
    """The command as it was typed, for cards and reports."""
    from zpinch.images.naming import readable

    return readable(shlex.join(["zpinch", *sys.argv[1:]]))


def main() -> None:
    """The entry point: errors a person can cause end in one line and their exit code, never in a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path need not be UTF-8
    if ALONE:  # of several processes the launcher ends so those that are left when one has failed
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # timeout, containers and batch queues: like Ctrl-C
    try:
        run()
    except CycloptsError:
        sys.exit(1)  # it has said what could not be parsed; versions of it end with 1 or with 2
    except ZpinchError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail(
            "interrupted; no file was left half-written. Training goes on with --resume, if it had begun.",
            EXIT_INTERRUPTED,
        )
    except BrokenPipeError:
        with suppress(OSError):
            send_off()
        sys.exit(0)  # the reader has gone: `zpinch list | head`
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        fail(OUT_OF_MEMORY, 4)
    except OSError as error:
        fail(f"{error.filename or 'input/output'}: {error.strerror or error}", 1)


def run() -> None:
    """The command, which ends in SystemExit when all went well."""
    try:
        app(sys.argv[1:], exit_on_error=False)
    except SystemExit:
        send_off()
        raise


def send_off() -> None:
    """Flush what was printed, while it can still be said that it cannot be: on a full disk, to a reader that has gone.

    Raises OSError once: what is left is dropped, or Python would complain of it at the very end.
    """
    if sys.stdout is None:  # it was closed by who called: `zpinch list >&-`
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def fail(message: str, code: int) -> None:
    with suppress(OSError):
        send_off()
    console().print(f"zpinch: {message}", style="bold", highlight=False, markup=False, soft_wrap=True)
    sys.exit(code)
