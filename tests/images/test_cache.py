"""Sets that are too many for memory: mapped from a file, the same images, nothing left behind."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zpinch import open_images
from zpinch.errors import LimitError
from zpinch.images import cache, memory, open_stream
from zpinch.images.cache import PixelStore, gathered, writable_copy

PIXELS = np.random.default_rng(0).integers(0, 256, (100, 1, 16, 16), np.uint8)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Free memory for less than two thirds of PIXELS. Returns the cache."""
    assert memory.free_memory_bytes() > 1 << 20
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 32_000)
    monkeypatch.setenv("ZPINCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_same_images_come_from_a_file_that_has_no_name(little_memory: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=PIXELS[:, 0], labels=np.arange(100) % 3)
    images = open_images(tmp_path / "x.npz")
    np.testing.assert_array_equal(images.pixels, PIXELS)
    assert little_memory.is_dir()
    assert not list(little_memory.iterdir())
    assert not images.pixels.flags.owndata
    assert any("too many for memory" in note for note in images.notes)
    images.pixels[0] = 7  # private to the array: PyTorch asks for one that can be written to
    assert (images.pixels[0] == 7).all()
    cut = images[np.arange(100)[::-1]]
    np.testing.assert_array_equal(cut.pixels, images.pixels[::-1])
    assert cut.fingerprint() == images[::-1].fingerprint()


def test_what_fits_stays_in_memory(little_memory: Path) -> None:
    store = PixelStore((50, 1, 16, 16), "few")
    store.add(PIXELS[:30])
    store.add(PIXELS[30:50])
    assert not store.is_mapped
    np.testing.assert_array_equal(store.pixels(), PIXELS[:50])
    assert not little_memory.exists()


@pytest.mark.parametrize("which", [np.array([5, 1, 1, -1]), np.arange(100) % 2 == 0, np.arange(99, -1, -1)])
def test_gathering_is_indexing(which: np.ndarray, little_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CHUNK_BYTES", 700)
    np.testing.assert_array_equal(gathered(PIXELS, which, "some"), PIXELS[which])


def test_a_disk_without_room_is_refused_before_anything_is_read(
    little_memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "x.npy", PIXELS[:, 0])
    usage = type("Usage", (), {"free": 20_000})
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(LimitError, match=r"x.npy takes .* free memory, and .*cache has room for 0 MiB") as caught:
        open_images(tmp_path / "x.npy")
    assert caught.value.exit_code == 4
    assert sum(map(len, open_stream(tmp_path / "x.npy").batches(7))) == 100


def test_a_cache_that_cannot_be_made_is_refused(little_memory: Path) -> None:
    little_memory.write_text("a file")
    with pytest.raises(LimitError, match="cannot hold them"):
        PixelStore(PIXELS.shape, "many")


@pytest.mark.skipif(sys.platform != "linux", reason="the others map what the disk holds")
def test_a_file_larger_than_memory_and_swap_is_mapped(tmp_path: Path) -> None:
    size = 1 << 40  # a hole: it takes no room on the disk
    with (tmp_path / "sparse").open("wb+") as file:
        file.truncate(size)
        with writable_copy(file.fileno()) as mapped:
            mapped[size - 1] = 7
            assert mapped[size - 2 :] == b"\0\7"
        file.seek(size - 1)
        assert file.read() == b"\0"


def test_pixels_that_cannot_be_mapped_are_refused(little_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(cache, "writable_copy", full)
    store = PixelStore(PIXELS.shape, "many")
    store.add(PIXELS)
    with pytest.raises(LimitError, match=r"many takes .* cannot be mapped: Cannot allocate memory"):
        store.pixels()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_a_disk_that_fills_up_is_an_error_and_no_crash(little_memory: Path) -> None:
    script = f"""
import resource, signal
import numpy as np
from zpinch.errors import LimitError
from zpinch.images import memory
from zpinch.images.cache import PixelStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, {resource.getrlimit(resource.RLIMIT_FSIZE)[1]}))
memory.free_memory_bytes = lambda: 1000
store = PixelStore((1000, 1, 16, 16), "many")
try:
    for _ in range(10):
        store.add(np.zeros((100, 1, 16, 16), np.uint8))
    store.pixels()
except LimitError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "many takes" in found.stdout
    assert "is full" in found.stdout
    assert not list(little_memory.iterdir())
