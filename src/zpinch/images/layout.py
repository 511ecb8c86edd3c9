"""From the names of files to splits and classes: the same rule for folders and for archives.

- train/ and test/ side by side are the splits (training/ and testing/ too, in any case); whatever lies beside them is
  left out.
- One of the two alone, or beside only val/ or the like, is an error: they are surely no classes.
- Inside a split (or the whole): images in folders are labelled with the first folder of their path; images that lie
  loose are unlabelled. Both at once is an error, or the loose ones are left out with --skip-bad.
- Classes are the folders that hold at least one image in any split, in order; a single one in test/ that is none of
  train/ holds images without labels. Two that differ only in how accents are written (NFC, NFD), or in spaces around
  them, are one class.

Hidden files (a leading dot, __MACOSX) and files without an image's ending are ignored, and counted.
Labels that a metadata file gives (readers/metadata.py) come before folders; images that it does not list are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from zpinch.errors import ImageError, UsageError, ZpinchError
from zpinch.images.decoding import SUFFIXES
from zpinch.images.naming import NameBook, class_name, counted, safe_name

SPLITS = ("train", "test")
_SPLIT_OF = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_OTHER_SPLITS = ("val", "valid", "validation", "dev")  # beside train/ these are no classes
_NAMED_IN_NOTES = 5
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")  # as Python writes it: 01 is a word
MAX_PROBLEMS = 10_000  # beyond it a list is no list of images, and not worth the memory


class Problem(NamedTuple):
    """An image that cannot be used, and why."""

    name: str
    error: ZpinchError


class Labelled(NamedTuple):
    """What a metadata file says: the images it lists, by their whole path, with their class."""

    classes: Mapping[str, int]
    class_names: tuple[str, ...]
    problems: tuple[Problem, ...]
    files: tuple[str, ...]  # the metadata files themselves


class Place(NamedTuple):
    """Where one image stands in its source."""

    position: int  # in the list of names the layout was made from
    name: str  # relative to the split
    label: int  # -1 when unlabelled


class Layout(NamedTuple):
    places: dict[str, list[Place]]  # by split; one entry "all" when there are no splits
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...] = ()  # images that were promised and cannot be opened
    refusals: tuple[ZpinchError, ...] = ()  # what would have been raised without --skip-bad, besides

    @property
    def splits(self) -> tuple[str, ...]:
        return SPLITS if set(self.places) == set(SPLITS) else ()

    def select(self, split: str, source: str) -> list[Place]:
        """The places of one split, or of everything, then with the split as first folder of the name."""
        check_split(split, self.splits, source)
        if not self.splits:
            return self.places["all"]
        if split != "all":
            return self.places[split]
        return [place._replace(name=f"{one}/{place.name}") for one in SPLITS for place in self.places[one]]


def split_folders(tops: Iterable[str]) -> dict[str, str]:
    """Which of these folders is which split; train and test themselves before others that mean the same."""
    found: dict[str, str] = {}
    for top in sorted(tops, key=lambda top: (top not in SPLITS, top)):
        if split := _SPLIT_OF.get(top.lower()):
            found.setdefault(split, top)
    return found


def class_folders(class_names: Iterable[str]) -> list[str]:
    """A folder for each class, that is read as one: by its own name, or where no folder may have that by another."""
    book = NameBook()
    return [book.take(_class_folder(name)) for name in class_names]


def _class_folder(name: str) -> str:
    part = folder_part(safe_name(class_name(name).replace("/", "_").replace("\\", "_")))
    is_taken = part.lower() in {*_SPLIT_OF, *_OTHER_SPLITS} or is_hidden((part,))
    return part + "_" if is_taken else part


def folder_part(part: str) -> str:
    """A part of a path as a folder has it: never by the name of an image that is written."""
    return part + "_" if part.lower().endswith(".png") else part


def check_split(split: str, splits: tuple[str, ...], source: str) -> None:
    if split not in (*SPLITS, "all"):
        raise UsageError(f"--split is train, test or all, not {split!r}")
    if split == "test" and not splits:
        raise ImageError(f"{source} has no test split. Leave --split out, or name the test images themselves.")


def set_aside(problem: Problem, problems: list[Problem], *, skip_bad: bool) -> None:
    """Note an image that is left out, or raise when none may be."""
    if not skip_bad:
        raise problem.error
    if len(problems) == MAX_PROBLEMS:
        raise ImageError(f"more than {MAX_PROBLEMS:,} images cannot be used. The last: {problem.error}")
    problems.append(problem)


def read_layout(names: Sequence[str], source: str, *, skip_bad: bool, labelled: Labelled | None = None) -> Layout:
    """names: relative POSIX paths of all files."""
    kept, ignored = _images(names)
    if not kept:
        raise ImageError(f"{source} holds no images. The endings read are {' '.join(sorted(SUFFIXES))}.")
    tops = {parts[0] for _, parts in kept if len(parts) > 1}
    folders = split_folders(tops)
    groups: dict[str, list[tuple[int, tuple[str, ...]]]] = {"all": kept}
    if len(folders) == len(SPLITS):
        groups = {
            split: [(at, parts[1:]) for at, parts in kept if len(parts) > 1 and parts[0] == folders[split]]
            for split in SPLITS
        }
        ignored["lay beside train/ and test/"] += len(kept) - sum(map(len, groups.values()))
    elif folders and {top.lower() for top in tops} <= {*_SPLIT_OF, *_OTHER_SPLITS}:
        ((split, found),) = folders.items()
        missing = SPLITS[1 - SPLITS.index(split)]
        raise ImageError(
            f"{source} has {found}/ but no {missing}/. Name the folder {found} itself, or put {missing}/ beside it."
        )
    if labelled is not None:
        return _as_labelled(groups, names, labelled, ignored, source)
    refusals: list[ZpinchError] = []
    for split, group in groups.items():
        groups[split] = _without_loose(group, source, ignored, refusals, skip_bad=skip_bad)
    called = {
        folder: class_name(folder)
        for folder in {parts[0] for group in groups.values() for _, parts in group if len(parts) > 1}
    }
    classes = {
        split: in_order(called[parts[0]] for _, parts in group if len(parts) > 1) for split, group in groups.items()
    }
    if any(classes.values()) and any(len(parts) == 1 for group in groups.values() for _, parts in group):
        raise ImageError(f"{source}: one of train/ and test/ has class folders, the other has loose images")
    class_names, notes = (
        (classes["all"], ()) if "all" in classes else _joined(classes["train"], classes["test"], source)
    )
    index = {name: i for i, name in enumerate(class_names)}
    label = {folder: index.get(name, -1) for folder, name in called.items()}
    places = {
        split: [Place(at, "/".join(parts), label.get(parts[0], -1)) for at, parts in group]
        for split, group in groups.items()
    }
    return Layout(places, class_names, (*notes, *_notes(ignored)), refusals=tuple(refusals))


def _joined(train: tuple[str, ...], test: tuple[str, ...], source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes of both splits from the folders in each, and notes on what differs."""
    if train and len(test) == 1 and test[0] not in train:
        told = f"{test[0]} in test/ is no class of train/: the test split has no labels, nor have both together."
        return train, (told,)
    return in_order({*train, *test}), one_sided(train, test, source)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Each class once, sorted as numbers where all are whole numbers, else as words."""
    distinct = set(names)
    return tuple(sorted(distinct, key=int) if are_numbers(distinct) else sorted(distinct))


def are_numbers(names: Iterable[str]) -> bool:
    return all(map(_NUMBER.fullmatch, names))


def one_sided(train: Sequence[str], test: Sequence[str], source: str) -> tuple[str, ...]:
    """Notes on classes that one of two labelled splits has alone. Raises ImageError where they share none."""
    only = {"training": in_order({*train} - {*test}), "test": in_order({*test} - {*train})}
    if not train or not test:
        return ()
    if len(only["test"]) == len({*test}):
        raise ImageError(
            f"{source}: training and test images have no class in common: {listed(only['training'])} in one, "
            f"{listed(only['test'])} in the other. Give one class one name."
        )
    return tuple(f"Classes of {split} images only: {listed(names)}." for split, names in only.items() if names)


def listed(names: Sequence[str]) -> str:
    """The first five, and how many there are more."""
    more = len(names) - _NAMED_IN_NOTES
    return ", ".join(names[:_NAMED_IN_NOTES]) + (f" and {more:,} more" if more > 0 else "")


def _as_labelled(
    groups: dict[str, list[tuple[int, tuple[str, ...]]]],
    names: Sequence[str],
    labelled: Labelled,
    ignored: Counter[str],
    source: str,
) -> Layout:
    places = {
        split: [
            Place(at, "/".join(parts), labelled.classes[names[at]])
            for at, parts in group
            if names[at] in labelled.classes
        ]
        for split, group in groups.items()
    }
    for split, kept in places.items():
        if not kept:
            raise ImageError(
                f"{source}: its metadata file lists none of the images{f' in {split}/' if len(places) > 1 else ''}"
            )
    ignored["not listed in the metadata file"] += sum(map(len, groups.values())) - sum(map(len, places.values()))
    ignored["without an image's ending"] -= len(labelled.files)
    note = f"Labels are those of {' and '.join(labelled.files)}."
    return Layout(places, labelled.class_names, (note, *_notes(ignored)), labelled.problems)


def _notes(ignored: Counter[str]) -> tuple[str, ...]:
    return tuple(f"{counted(n, 'file')} {what}: ignored." for what, n in ignored.items() if n)


def _images(names: Sequence[str]) -> tuple[list[tuple[int, tuple[str, ...]]], Counter[str]]:
    """(position, parts of the path) of every image, sorted by name, and the rest counted by reason."""
    ignored: Counter[str] = Counter()
    kept: list[tuple[int, tuple[str, ...]]] = []
    for position in sorted(range(len(names)), key=names.__getitem__):
        parts = PurePosixPath(names[position]).parts
        if is_hidden(parts):
            ignored["hidden"] += 1
        elif not is_image(names[position]):
            ignored["without an image's ending"] += 1
        else:
            kept.append((position, parts))
    return kept, ignored


def is_image(name: str) -> bool:
    """By its name alone: it has an image's ending and is not hidden."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not is_hidden(path.parts)


def is_hidden(parts: Sequence[str]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _without_loose(
    group: list[tuple[int, tuple[str, ...]]],
    source: str,
    ignored: Counter[str],
    refusals: list[ZpinchError],
    *,
    skip_bad: bool,
) -> list[tuple[int, tuple[str, ...]]]:
    loose = [parts[0] for _, parts in group if len(parts) == 1]
    if not loose or len(loose) == len(group):
        return group
    refusals.append(
        ImageError(
            f"{source}: {loose[0]} lies loose beside class folders, so its class is unknown. "
            "Move it into a class folder, or pass --skip-bad to leave loose images out."
        )
    )
    if not skip_bad:
        raise refusals[-1]
    ignored["loose beside class folders"] += len(loose)
    return [entry for entry in group if len(entry[1]) > 1]
