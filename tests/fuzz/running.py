"""One input after another: a named error or a right result, in five seconds and 64 MiB, or it is a finding."""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from hostile_archive import TARGETS as ARCHIVES
from hostile_images import TARGETS as IMAGES
from hostile_images import Input, Target

from zpinch.errors import ZpinchError

TARGETS: dict[str, Target] = {**IMAGES, **ARCHIVES}
MAX_SECONDS = 5  # of processor time
MAX_BYTES = 64 << 20
WARM_UP = 300


class TooSlow(BaseException):
    """Not an Exception, so that no wall in the code under test catches it."""


class Finding(NamedTuple):
    number: int
    what: str


class Campaign(NamedTuple):
    target: str
    count: int
    seconds: float
    outcomes: Counter[str]
    findings: list[Finding]
    peak_bytes: int  # above what the process had after warming up


def run(target: str, count: int, seed: int, *, first: int = 0, seconds: float = 1e9, say: bool = False) -> Campaign:
    make, read = TARGETS[target]
    outcomes: Counter[str] = Counter()
    findings: list[Finding] = []
    held: dict[str, bytes] = {}
    start, base, peak = time.perf_counter(), 0, 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder, alarm():
        for number in range(first, first + count):
            if time.perf_counter() - start > seconds:
                break
            rng = Random(f"{target}-{seed}-{number}")
            made = make(rng)
            path = write(folder, made, held)
            try:
                signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    read(path, made, rng)
                outcome = "read"
            except ZpinchError as error:
                outcome = type(error).__name__
                if not str(error).strip():
                    findings.append(Finding(number, "an error without a message"))
            except (Exception, TooSlow) as error:
                outcome = f"BUG {type(error).__name__}"
                findings.append(Finding(number, "".join(traceback.format_exception(error))[-1500:]))
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            outcomes[outcome] += 1
            now = peak_bytes()
            if number - first <= WARM_UP:  # imports, caches
                base = now
            elif now - base > max(peak, MAX_BYTES):
                findings.append(Finding(number, f"took {(now - base) >> 20} MiB above what was there"))
            peak = max(peak, now - base)
            if say and (number + 1) % 20_000 == 0:
                rate = (number + 1 - first) / (time.perf_counter() - start)
                left = (first + count - number - 1) / rate
                print(
                    f"{target}: {number + 1:,}, {rate:,.0f}/s, {len(findings)} findings, {left:,.0f} s to go",
                    flush=True,
                )
    return Campaign(target, outcomes.total(), time.perf_counter() - start, outcomes, findings, peak)


def write(folder: str, made: Input, held: dict[str, bytes]) -> Path:
    """The files of an input, and no others. held: what lies there from the last one."""
    for name in [name for name in held if name not in made.files]:
        del held[name]
        os.unlink(f"{folder}/{name}")
    for name, data in made.files.items():
        if name.endswith("/"):
            os.makedirs(f"{folder}/{name}", exist_ok=True)
        elif held.get(name) is not data:
            os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
            with open(f"{folder}/{name}", "wb") as file:
                file.write(data)
            held[name] = data
    return Path(folder, next(iter(made.files)))


@contextmanager
def alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TooSlow(f"more than {MAX_SECONDS} seconds")

    before = signal.signal(signal.SIGPROF, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGPROF, before)


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
