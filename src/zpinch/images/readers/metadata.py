"""metadata.csv and metadata.jsonl: labels for images that lie in a folder, .zip or .tar (Hugging Face's imagefolder).

The file stands at the top, or one each in the folders of the splits. Its `file_name` column names images relative to
where it stands; its column called label (or labels, class, target) holds whole numbers or words. A line that cannot be
used, an image listed twice or not there, or a name that leaves the folder, is a bad image. A file without a column of
labels is not used.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

from zpinch.errors import CorruptImage, ImageError
from zpinch.images.layout import SPLITS, Labelled, Problem, set_aside, split_folders
from zpinch.images.naming import composed, leaves, readable
from zpinch.images.readers.labels import WordList, is_label_name
from zpinch.images.readers.lines import MAX_LINE_BYTES, text_lines

KINDS = ("metadata.csv", "metadata.jsonl")
_MAX_BYTES = 1 << 30

Opener = Callable[[int], AbstractContextManager[BinaryIO]]


class Entry(NamedTuple):
    """One line: which image, and its label; or what is wrong with it."""

    line: int
    file_name: str
    label: str
    fault: str = ""


def read_metadata(names: Sequence[str], source: str, open_file: Opener, *, skip_bad: bool) -> Labelled | None:
    """What the metadata files among `names` say; None without one, or without labels in it.

    names: relative POSIX paths of all files; open_file: opens one by its position
    """
    position = {name: at for at, name in enumerate(names)}
    splits = split_folders({name.split("/")[0] for name in names if "/" in name})
    folders = ("", *(f"{splits[split]}/" for split in SPLITS if split in splits))
    found = [(folder, [kind for kind in KINDS if folder + kind in position]) for folder in folders]
    found = [(folder, kinds) for folder, kinds in found if kinds]
    if not found:
        return None
    if any(len(kinds) > 1 for _, kinds in found):
        raise ImageError(f"{source} has a {KINDS[0]} and a {KINDS[1]} side by side. Keep one of them.")
    # In the file and in the folder, é may be another sequence of characters.
    spelt = {composed(name): name for name in names if not name.isascii()}
    listed: list[str] = []
    words = WordList(f"the labels of {source}")
    problems: list[Problem] = []
    seen: set[str] = set()
    for folder, (kind,) in found:
        shown = folder + kind
        with open_file(position[shown]) as file:
            lines = text_lines(file, shown, most=_MAX_BYTES)
            for entry in _from_csv(lines, shown) if kind.endswith(".csv") else _from_json_lines(lines):
                where = f"{shown}, line {entry.line:,}"
                try:
                    name = _within(folder, entry, where)
                    name = name if name in position else spelt.get(composed(name), name)
                    if name in seen:
                        raise CorruptImage(f"{where}: {name} is listed twice: the first one counts")
                    if name not in position:
                        raise CorruptImage(f"{where}: {name} is not there")
                    seen.add(name)
                    words.add(entry.label, where)
                    listed.append(name)
                except ImageError as error:
                    set_aside(Problem(where, error), problems, skip_bad=skip_bad)
    if not listed and not problems:
        return None
    if not listed:
        raise ImageError(f"{source}: no line of {found[0][0]}{found[0][1][0]} can be used. {problems[0].error}")
    labels, class_names = words.labels()
    classes = dict(zip(listed, labels.tolist(), strict=True))
    return Labelled(classes, class_names, tuple(problems), tuple(folder + kinds[0] for folder, kinds in found))


def _from_csv(lines: Iterator[str], shown: str) -> Iterator[Entry]:
    """Fields may be quoted and go over line ends."""
    size = 0

    def bounded() -> Iterator[str]:
        nonlocal size
        for line in lines:
            size += len(line)
            if size > MAX_LINE_BYTES:
                raise CorruptImage(
                    f"{shown}, line {records.line_num:,}: a record of more than {MAX_LINE_BYTES:,} bytes"
                )
            yield line

    records = csv.reader(bounded(), strict=True)
    header: list[str] | None = None
    name_at = label_at = -1
    while True:
        size = 0
        try:
            fields = next(records, None)
        except csv.Error as error:
            raise CorruptImage(f"{shown}, line {records.line_num:,}: {error}") from error
        if fields is None:
            return
        if not fields:
            continue
        if header is None:
            header = [field.strip() for field in fields]
            name_at, labels = _column(header, shown), [at for at, name in enumerate(header) if is_label_name(name)]
            if len(labels) > 1:
                raise ImageError(f"{shown} has several columns of labels: {', '.join(header[at] for at in labels)}")
            if not labels:
                return
            label_at = labels[0]
        elif len(fields) != len(header):
            yield Entry(records.line_num, "", "", f"has {len(fields):,} fields, the first line {len(header):,}")
        else:
            yield Entry(records.line_num, fields[name_at], fields[label_at].strip())


def _column(header: list[str], shown: str) -> int:
    if header.count("file_name") != 1:
        told = "several columns" if "file_name" in header else "no column"
        raise ImageError(f"{shown} has {told} called file_name; its columns are {readable(', '.join(header))[:200]}")
    return header.index("file_name")


def _from_json_lines(lines: Iterator[str]) -> Iterator[Entry]:
    """The first object decides, like a table's header, whether there are labels."""
    has_labels: bool | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            held: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Entry(number, "", "", f"is not JSON: {error}")
            continue
        record = cast("dict[str, Any]", held) if isinstance(held, dict) else {}
        name, labels = record.get("file_name"), [value for key, value in record.items() if is_label_name(key)]
        has_labels = bool(labels) if has_labels is None and record else has_labels
        if has_labels is False:
            return
        if not isinstance(name, str):
            yield Entry(number, "", "", "is not an object with a file_name")
        elif len(labels) != 1:
            yield Entry(number, "", "", "has no label" if not labels else "has several labels")
        elif isinstance(labels[0], bool) or not isinstance(labels[0], int | str):
            yield Entry(number, "", "", "has a label that is neither a whole number nor a word")
        else:
            yield Entry(number, name, str(labels[0]).strip())


def _within(folder: str, entry: Entry, where: str) -> str:
    """The whole path of the image that an entry names."""
    if entry.fault:
        raise CorruptImage(f"{where} {entry.fault}")
    name = readable(entry.file_name).replace("\\", "/")
    if not name:
        raise CorruptImage(f"{where} has no file_name")
    if leaves(name):
        raise CorruptImage(f"{where}: {name[:200]} leaves the folder of the metadata file")
    return folder + PurePosixPath(name).as_posix()
