"""What holds for archives of images whatever packs them, honest and hostile."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from archive_cases import NO_OTHERS, make_tar, make_zip

from zpinch import open_images
from zpinch.errors import CorruptImage, ImageError
from zpinch.images import check_source, splits_of

Pack = Callable[..., Path]
CONFIG = b'{\n "format": "zpinch-model",\n "version": 1,\n "name": "m"\n}\n'  # as storage.py begins it


@pytest.fixture(params=["zip", "tar", "tgz"])
def pack(request: pytest.FixtureRequest, tmp_path: Path) -> Pack:
    def make(names: list[str], others: Mapping[str, bytes] = NO_OTHERS) -> Path:
        path = tmp_path / f"top.{request.param}"
        if request.param != "zip":
            return make_tar(path, names, others)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Duplicate name")
            return make_zip(path, names, others)

    return make


@pytest.mark.parametrize(
    ("names", "expected", "classes"),
    [
        (["b.png", "a.png"], ["b.png", "a.png"], ()),
        (["dog/1.png", "cat/1.png", "cat/.x.png"], ["dog/1.png", "cat/1.png"], ("cat", "dog")),
        (["top/dog/1.png", "top/cat/1.png", "top/README.md"], ["dog/1.png", "cat/1.png"], ("cat", "dog")),
        (["flowers/daisy/1.png", "flowers/rose/2.png", "LICENSE"], ["daisy/1.png", "rose/2.png"], ("daisy", "rose")),
        (["class/x/1.png", "class/x/2.png"], ["class/x/1.png", "class/x/2.png"], ("class",)),
        (
            ["class/x/1.png", "class/y/2.png", "class/3.png"],
            ["class/x/1.png", "class/y/2.png", "class/3.png"],
            ("class",),
        ),
        (["only/1.png", "only/2.png"], ["only/1.png", "only/2.png"], ("only",)),
        (["cat\\1.png"], ["cat/1.png"], ("cat",)),
        (["./b.png", "./a.png"], ["b.png", "a.png"], ()),
        (["9:20.png", "9:15.png"], ["9:20.png", "9:15.png"], ()),  # a time, no drive
        (["./all/dog/1.png", "./all/cat/1.png"], ["dog/1.png", "cat/1.png"], ("cat", "dog")),  # tar -c ./all
    ],
)
def test_layout_follows_the_rules_of_folders(
    pack: Pack, names: list[str], expected: list[str], classes: tuple[str, ...]
) -> None:
    path = pack(names)
    images = open_images(path)
    assert images.names == tuple(sorted(expected) if path.suffix == ".zip" else expected)  # a .tar keeps its order
    assert images.class_names == classes
    assert dict(zip(images.names, images.pixels[:, 0, 0, 0].tolist(), strict=True)) == {
        name: level for level, name in enumerate(expected)
    }


def test_an_archive_of_one_split_may_have_its_name(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "train.zip", ["train/cat/1.png", "train/dog/1.png"])
    assert open_images(path).class_names == ("cat", "dog")
    with pytest.raises(ImageError, match="has train/ but no test/"):
        open_images(path.rename(tmp_path / "other.zip"))


def test_splits_inside_an_archive(pack: Pack) -> None:
    path = pack(["mnist/train/1/a.png", "mnist/train/0/a.png", "mnist/test/0/b.png"])
    assert splits_of(path) == ("train", "test")
    assert open_images(path, split="test").names == ("0/b.png",)
    both = open_images(path, split="all")
    assert both.names is not None
    assert sorted(both.names) == ["test/0/b.png", "train/0/a.png", "train/1/a.png"]
    assert both.class_names == ("0", "1")


@pytest.mark.parametrize("name", ["/etc/x/a.png", "../x/a.png", "x/../../x/a.png", "C:/x/a.png", "..\\x/a.png"])
def test_names_that_leave_the_folder_are_bad_images(pack: Pack, name: str) -> None:
    with pytest.raises(ImageError):
        open_images(pack(["x/z.png", name.replace("x/a", "a")]))
    path = pack(["x/z.png", name])
    with pytest.raises(CorruptImage, match="leaves the archive's folder"):
        open_images(path)
    assert open_images(path, skip_bad=True).pixels[:, 0, 0, 0].tolist() == [0]
    assert [fault.what for fault in check_source(path).problems if "leaves" in fault.what]


def test_a_name_given_twice_counts_once(pack: Pack) -> None:
    path = pack(["a.png", "b.png", "a.png"])
    with pytest.raises(CorruptImage, match=r"a\.png stands twice"):
        open_images(path)
    assert open_images(path, skip_bad=True).pixels[:, 0, 0, 0].tolist() == [0, 1]


@pytest.mark.parametrize("where", ["", "model/", "cat/"])
def test_the_samples_of_a_model_are_none_of_the_images(pack: Pack, where: str) -> None:
    names, config = ["cat/1.png", "dog/2.png", f"{where}samples.png"], f"{where}config.json"
    path = pack(names, {config: CONFIG})
    images = open_images(path)
    assert (images.names, images.class_names) == (("cat/1.png", "dog/2.png"), ("cat", "dog"))
    assert images.pixels[:, 0, 0, 0].tolist() == [0, 1]
    assert images.notes[-1] == "1 zpinch model among them: not read as images."
    assert check_source(path).is_sound


@pytest.mark.parametrize("config", [b"{}", b"", CONFIG[:20]])
def test_another_config_hides_no_image(pack: Pack, config: bytes) -> None:
    names = ["cat/1.png", "dog/2.png", "cat/samples.png"]
    images = open_images(pack(names, {"cat/config.json": config, ".x/config.json": CONFIG}))
    assert sorted(images.names or ()) == sorted(names)
    assert not any("model" in note for note in images.notes)


def test_a_model_beside_the_folder_of_all_images(pack: Pack) -> None:
    """Without its sheet of samples that folder is the only one, and is looked through."""
    images = open_images(pack(["all/cat/1.png", "all/dog/2.png", "m/samples.png"], {"m/config.json": CONFIG}))
    assert images.class_names == ("cat", "dog")
