import numpy as np
import pytest
import torch

from drml.envs.pictures.board import SIDE, Board
from drml.envs.pictures.plane import Plane
from drml.envs.pictures.tiles import ARROW, BLUE, LINE, PAPER, RED, SQUARE, STAR, WHOLE, Polygon, rectangle, tile

CORNER = Polygon(((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))  # below the diagonal that falls from left to right


def test_a_tile_covers_the_share_of_each_pixel_that_its_shape_does():
    pixels = tile(rectangle(0.0, 0.5, 0.625, 1.0), RED, 2)  # the upper half of 62.5 % of the width
    assert pixels[..., 3].tolist() == [[255, 64], [0, 0]]  # 0.625 of two pixels: one, and a quarter of the next
    assert (pixels[..., :3] == RED).all()
    assert tile(CORNER, RED, 2)[..., 3].tolist() == [[96, 0], [255, 96]]  # 6 of 16 points lie truly below the diagonal
    assert tile(WHOLE, RED, 1, 0.4)[0, 0, 3] == 102


def test_shapes_turn_to_the_right_and_grow_about_the_middle():
    up, right = tile(ARROW, RED, 8)[..., 3], tile(ARROW.turned(1), RED, 8)[..., 3]
    assert up[:4].sum() < up[4:].sum()  # it points up: the tip has less
    assert np.array_equal(right, np.rot90(up, -1))
    assert ARROW.turned(4) == ARROW
    assert rectangle(0.25, 0.25, 0.75, 0.75).scaled(2.0) == WHOLE
    assert tile(STAR, RED, 8)[4, 4, 3] == 255  # sides that meet at inner corners leave no hole in the middle


def test_a_board_by_hand():
    board = Board(2, 3, 2, size=2)  # two pictures of 3 x 2 cells of 2 x 2 pixels: the cell's own, and lines beside it
    board.put(WHOLE, RED, torch.tensor([0, 2]), 1)
    board.put(WHOLE, BLUE, 1, torch.tensor([0, 1]), torch.tensor([True, False]))
    p, s, r, b = PAPER, LINE, RED, BLUE
    first = [[r, r, p, s, p, s], [r, r, s, s, s, s], [p, s, b, b, p, s], [s, s, b, b, s, s]]
    second = [[p, s, p, s, r, r], [s, s, s, s, r, r], [p, s, p, s, p, s], [s, s, s, s, s, s]]
    assert board.frames.tolist() == np.array([first, second]).tolist()


def test_what_is_half_opaque_mixes_with_what_is_below():
    board = Board(1, 1, 1, ground=(100, 100, 100), size=2)
    board.lay(WHOLE, (200, 0, 50), np.array([[True]]), 0.5)
    opacity = 128  # of 255, which 0.5 is rounded to
    mixed = [(100 * (255 - opacity) + c * opacity + 127) // 255 for c in (200, 0, 50)]
    assert board.frames[0, 0, 0].tolist() == mixed == [150, 50, 75]


def test_maps_lie_with_x_to_the_right_and_y_up_and_may_differ_by_picture():
    board = Board(2, 2, 2, size=1)
    where = np.zeros((2, 2, 2), np.bool_)
    where[0, 1, 0] = where[1, 0, 1] = True  # right below, left above
    board.lay(WHOLE, RED, where)
    assert (board.frames == RED).all(-1).tolist() == [[[False, False], [False, True]], [[True, False], [False, False]]]


def test_a_trail_only_grows():
    board = Board(3, 2, 1, size=1)
    board.trail(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 0]))
    tinted = (board.frames != LINE).any(-1)[:, 0].tolist()  # a cell of one pixel is all line
    assert tinted == [[True, False], [True, True], [True, True]]


def test_cells_are_as_large_as_the_side_allows():
    assert Board(1, 5, 5).frames.shape == (1, 5 * (SIDE // 5), 5 * (SIDE // 5), 3)
    assert Board(1, 1, 1).size == 90 and Board(1, 100, 3).size == 8


def test_a_point_in_the_plane_is_where_it_should_be_and_leaves_a_trail():
    plane = Plane(reach=1.0, size=40)
    frames = plane.frames(np.array([[-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]]))
    blue = (frames == BLUE).all(-1)

    def at(t, x, y):
        return bool(blue[t, round(20 - 20 * y), round(20 + 20 * x)])

    assert [at(t, -0.5, 0.5) for t in range(3)] == [True, True, True]
    assert [at(t, 0.5, 0.5) for t in range(3)] == [False, True, True]
    assert [at(t, 0.5, -0.5) for t in range(3)] == [False, False, True]
    assert [at(t, 0.9, 0.9) for t in range(3)] == [False, False, False]
    assert at(1, 0.0, 0.5) and not at(0, 0.0, 0.5)  # the way between them
    assert (frames[0, 0, 0] == PAPER).all()


@pytest.mark.parametrize("shape", [SQUARE, STAR, ARROW])
def test_a_tile_that_is_kept_cannot_be_changed(shape):
    with pytest.raises(ValueError, match="read-only"):
        tile(shape, RED, 4)[0] = 0
