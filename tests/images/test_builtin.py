"""Data sets by name: the one that ships, and fetching the others, from a server on this machine."""

import gzip
import hashlib
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from zpinch import open_images
from zpinch.errors import CorruptImage, ImageError, UsageError
from zpinch.images import BUILTIN_NAMES, builtin, check_source, open_stream, splits_of


def test_digits_ship_with_zpinch() -> None:
    train, test = open_images("digits"), open_images("digits", split="test")
    assert (len(train), len(test), train.shape) == (15_000, 3_000, (1, 28, 28))
    assert train.class_names == tuple("0123456789")
    assert train.labels is not None
    assert train.labels[:5].tolist() == [5, 9, 1, 3, 2]  # every fourth of MNIST, which begins 5 0 4 1 9 2 1 3 1
    assert test.labels is not None
    assert test.labels[:5].tolist() == [7, 0, 4, 0, 0]  # 0, 3, 6, 10, 13 of 7 2 1 0 4 1 4 9 5 9 0 6 9 0
    assert np.bincount(train.labels).min() > 1300
    assert 0.12 < train.pixels.mean() / 255 < 0.14  # MNIST's mean is 0.1307
    assert len(open_images("digits", split="all")) == 18_000


def test_damage_to_the_shipped_file_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "_DIGITS_SHA256", "0" * 64)
    with pytest.raises(CorruptImage, match="Install zpinch again"):
        open_images("digits")


def idx(array: np.ndarray) -> bytes:
    return gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


RNG = np.random.default_rng(0)
FILES = {
    "train-images-idx3-ubyte": idx(RNG.integers(0, 256, (6, 28, 28), np.uint8)),
    "train-labels-idx1-ubyte": idx(np.arange(6, dtype=np.uint8)),
    "t10k-images-idx3-ubyte": idx(RNG.integers(0, 256, (3, 28, 28), np.uint8)),
    "t10k-labels-idx1-ubyte": idx(np.arange(3, dtype=np.uint8)),
}


class Mirror(BaseHTTPRequestHandler):
    """Serves FILES; the first folder of the path says how."""

    def do_GET(self) -> None:
        how, name = self.path.strip("/").split("/")
        data = FILES.get(name.removesuffix(".gz"))
        if data is None or how == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        if how != "endless":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        body = {"wrong": bytes(len(data)), "cut": data[:-5], "endless": bytes(1 << 16)}.get(how, data)
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as here:
        thread = threading.Thread(target=here.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{here.server_port}"
        here.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no system folder, no proxy, and FILES as what was published."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ZPINCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(builtin, "_SYSTEM", tmp_path / "system")
    md5 = {name: hashlib.md5(gzip.decompress(data)).hexdigest() for name, data in FILES.items()}
    monkeypatch.setitem(builtin.PUBLISHED, "mnist", builtin.PUBLISHED["mnist"]._replace(md5=md5))
    return tmp_path / "cache"


def test_fetching_tells_progress_and_happens_once(server: str, cache: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    folder = builtin.get("mnist", lambda *step: told.append(step), mirrors=[f"{server}/good"])
    assert folder == cache / "mnist"
    assert {path.name for path in folder.iterdir()} == {f"{name}.gz" for name in FILES}
    name, done, total = told[-1]
    assert (name, done, total) == ("t10k-labels-idx1-ubyte", *[len(FILES["t10k-labels-idx1-ubyte"])] * 2)
    assert builtin.get("mnist", mirrors=[]) == folder
    assert [row.where for row in builtin.available()] == ["built in", str(folder), None]
    images = open_images("mnist", split="test")
    assert (len(images), images.class_names, images.source) == (3, tuple("0123456789"), "mnist")
    assert len(open_images("mnist", split="all")) == 9


@pytest.mark.parametrize("how", ["wrong", "cut", "missing"])
def test_the_next_mirror_is_tried(server: str, how: str) -> None:
    folder = builtin.get("mnist", mirrors=[f"{server}/{how}", f"{server}/good/"])
    assert builtin.find("mnist") == folder


@pytest.mark.parametrize(
    ("how", "message"), [("wrong", "MD5 differs"), ("cut", "bytes"), ("missing", "404"), ("endless", "more than 1,000")]
)
def test_without_a_good_mirror_the_offline_route_is_named(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch, how: str, message: str
) -> None:
    if how == "endless":
        monkeypatch.setattr(builtin, "MAX_FILE_BYTES", 1000)
    with pytest.raises(ImageError, match=message) as caught:
        builtin.get("mnist", mirrors=[f"{server}/{how}"])
    assert "put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k" in str(caught.value)
    assert str(cache / "mnist") in str(caught.value)
    assert list((cache / "mnist").iterdir()) == []


def test_no_network_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = builtin.PUBLISHED["fashion-mnist"]._replace(mirrors=("http://127.0.0.1:1/",))
    monkeypatch.setitem(builtin.PUBLISHED, "fashion-mnist", nowhere)
    with pytest.raises(ImageError, match="apt install dataset-fashion-mnist"):
        open_images("fashion-mnist")


def test_damaged_files_in_the_cache_are_fetched_again(server: str, cache: Path) -> None:
    builtin.get("mnist", mirrors=[f"{server}/good"])
    (cache / "mnist/train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8bnothing")
    builtin.get("mnist", mirrors=[f"{server}/good"])
    assert len(open_images("mnist")) == 6


def test_files_put_there_by_hand_or_by_debian_are_found(tmp_path: Path) -> None:
    (tmp_path / "system/mnist").mkdir(parents=True)
    for name, data in FILES.items():
        (tmp_path / "system/mnist" / name).write_bytes(gzip.decompress(data))
    assert builtin.get("mnist", mirrors=[]) == tmp_path / "system/mnist"
    assert len(open_images("mnist")) == 6
    with pytest.raises(UsageError, match="no data set named 'cifar'"):
        builtin.get("cifar")


def test_names_win_over_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert BUILTIN_NAMES == ("digits", "mnist", "fashion-mnist")
    assert splits_of("digits") == ("train", "test")
    assert open_stream("digits").count == 15_000
    with pytest.raises(ImageError, match="holds no images"):
        open_images("./digits")
    assert check_source("digits").is_sound
