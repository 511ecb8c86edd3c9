"""Grey images where colour ones are wanted: three equal channels, told; never the other way round."""

import numpy as np
import pytest

from zpinch import open_images
from zpinch.images import ImageCollection, memory, open_stream
from zpinch.images.colour import with_channels

GREY = np.arange(5 * 8 * 9, dtype=np.uint8).reshape(5, 8, 9)
TOLD = "5 images are grey, for a model of colours: given three equal channels."


def test_a_stream_and_a_collection_get_three_equal_channels() -> None:
    stream = with_channels(open_stream(GREY), 3)
    whole = with_channels(open_images(GREY), 3)
    np.testing.assert_array_equal(whole.pixels, np.stack([GREY] * 3, 1))
    np.testing.assert_array_equal(stream.collect().pixels, whole.pixels)
    assert [len(batch) for batch in stream.batches(2)] == [2, 2, 1]
    assert (stream.shape, stream.notes, whole.notes) == ((3, 8, 9), (TOLD,), (TOLD,))


def test_pixels_that_are_mapped_from_a_file_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2 * GREY.size - 1)
    grey = open_images(GREY)
    assert any("too many for memory" in note for note in grey.notes)
    whole = with_channels(grey, 3)
    assert np.shares_memory(whole.pixels, grey.pixels)
    assert whole.fingerprint() == ImageCollection(np.repeat(grey.pixels, 3, 1)).fingerprint()
    for part in (whole[1:3], whole[np.array([2, 0])], whole[::-1]):
        assert (part.pixels[:, 0] == part.pixels[:, 2]).all()
    np.testing.assert_array_equal(whole[::-1].pixels, whole.pixels[::-1])


def test_others_stay_as_they_are() -> None:
    grey, rgb = open_images(GREY), ImageCollection(np.zeros((2, 3, 8, 8), np.uint8))
    assert with_channels(grey, 1) is grey
    assert with_channels(rgb, 3) is rgb
    assert with_channels(rgb, 1) is rgb
