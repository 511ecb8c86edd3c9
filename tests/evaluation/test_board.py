"""Pictures pixel by pixel."""

import numpy as np

from zpinch.evaluation.board import (
    NEGATIVE,
    POSITIVE,
    Row,
    board,
    image_tile,
    ink_tile,
    palette,
    signed_tile,
    with_legend,
)


def plain(value: int, side: int = 4) -> np.ndarray:
    return image_tile(np.full((1, side, side), value, np.uint8))


def test_tiles_stand_in_rows_and_gaps_are_clear():
    drawn = np.asarray(board([Row("", [plain(10), None, plain(20)]), Row("", [plain(30)])], width=8, gap=2))
    assert drawn.shape == (8 + 2 + 8, 8 + 2 + 8 // 3 + 8, 4)  # four pixels, enlarged twice
    assert (drawn[:8, :8] == (10, 10, 10, 255)).all()
    assert not drawn[:, 8:10, 3].any()
    assert (drawn[:8, 12:20, 0] == 20).all()
    assert (drawn[10:, :8, 0] == 30).all()
    assert not drawn[8:, 8:, 3].any()


def test_words_stand_left_and_above():
    tiles = [plain(255, side=40)] * 2
    bare = board([Row("", tiles)], width=40)
    named = board([Row("codes", tiles)], ["first", ""], width=40)
    assert named.width > bare.width
    assert named.height > bare.height
    words = np.asarray(named).copy()
    words[-bare.height :, -bare.width :] = 0
    assert words[:, : named.width - bare.width, 3].any()
    assert words[: named.height - bare.height, :, 3].any()
    assert (words[words[..., 3] > 0][:, :3] == 128).all()


def test_signs_are_colours_and_size_is_opacity():
    values = np.array([[[1.0, -0.5], [0.0, 3.0]]])
    tile = signed_tile(values, 1.0)
    assert tuple(tile[0, 0]) == (*POSITIVE, 255)
    assert tuple(tile[0, 1]) == (*NEGATIVE, 127)
    assert tile[1, 0, 3] == 0
    assert tile[1, 1, 3] == 255  # beyond the scale
    assert signed_tile(values)[0, 0, 3] == 85
    assert not signed_tile(np.zeros((3, 2, 2)))[..., 3].any()


def test_ink_is_what_stands_out():
    image = np.array([[[0, 255, 51]]], np.uint8)
    assert ink_tile(image, (1, 2, 3), dark_ink=False)[0].tolist() == [[1, 2, 3, 0], [1, 2, 3, 255], [1, 2, 3, 51]]
    assert ink_tile(image, (1, 2, 3), dark_ink=True)[0, :, 3].tolist() == [255, 0, 204]


def test_a_legend_shows_each_colour_and_wraps():
    below = board([Row("", [plain(0, side=120)])])
    whole = with_legend(below, [f"kind {i}" for i in range(5)])
    colours = {tuple(pixel) for pixel in np.asarray(whole).reshape(-1, 4).tolist()}
    assert {(*palette(i), 255) for i in range(5)} <= colours
    assert whole.width == below.width
    np.testing.assert_array_equal(np.asarray(whole)[-below.height :], np.asarray(below))
