"""Straight roads: parallel lanes along x, each 4 m wide, lane i around y = 4 i; y grows to the right."""

from torch import Tensor

LANE_WIDTH = 4.0
"""Width of a lane, m."""
SPEED_LIMIT = 30.0
"""Speed limit of every lane, m/s."""
LENGTH = 10_000.0
"""Length of a road, m: none is driven to its end within an episode."""


def nearest_lane(y: Tensor, lanes: Tensor) -> Tensor:
    """Return the lane in whose middle a car is nearest, the left one of two: ⌈y / 4 − ½⌉, as a float.

    Args:
        y: m.
        lanes: how many there are.
    """
    lane = (y * (1.0 / LANE_WIDTH)).sub_(0.5).ceil_()
    return lane.clamp_min_(0.0).minimum(lanes - 1.0)


def is_reachable(y: Tensor, lane: Tensor) -> Tensor:
    """Return whether a lane is at most two lanes away."""
    return (y - LANE_WIDTH * lane).abs() <= 2.0 * LANE_WIDTH


def is_on_road(y: Tensor, lane: Tensor) -> Tensor:
    """Return whether a car's middle is on its lane, `lane` being the nearest one."""
    return (y - LANE_WIDTH * lane).abs() <= LANE_WIDTH / 2
