"""Observations: the driven car and the next others within sight, V rows of five numbers.

    1    x / 200 m    y / (4 m · lanes)    v_x / 80 m/s    v_y / 80 m/s        each clipped to ±1

The first row is the driven car as it is; in the others x, y and the velocity are relative to it. The others are those
less than 10 m behind it, or before it, the nearest along the road first; rows of zeros where there are fewer.

Source: `KinematicObservation` in highway-env 1.12.1, envs/common/observation.py, with its defaults.
"""

import torch
from torch import Tensor

from drml.suites.driving.cars import LENGTH, VX, VY, Cars, X, Y
from drml.suites.driving.straight import LANE_WIDTH

FEATURES = 5
"""Numbers of a row."""
X_RANGE = 200.0
"""Distance (m) along the road that is seen as 1."""
SPEED_RANGE = 80.0
"""Speed (m/s) that is seen as 1."""
BEHIND = 2.0 * LENGTH
"""Distance (m) behind the driven car from which another is not seen."""


def look(rows: Cars, count: int, sight: Tensor, lanes: Tensor) -> Tensor:
    """Return what is seen, `[E, V · 5]` float32.

    Args:
        rows: the cars, `[E, C]` each.
        count: V, the number of rows.
        sight: `[E]` m.
        lanes: `[E]`.
    """
    felt = torch.stack((rows[X], rows[Y], rows[VX], rows[VY]), 2)  # [E, C, 4]
    apart = felt[:, 1:] - felt[:, :1]  # [E, C - 1, 4]
    along = apart[..., 0]
    far = along.square().addcmul_(apart[..., 1], apart[..., 1]) >= (sight * sight).unsqueeze(1)
    order = along.abs().masked_fill_(far | (along <= -BEHIND), torch.inf)
    nearest, number = order.topk(count - 1, dim=1, largest=False)
    there = nearest.isfinite().unsqueeze(2)  # [E, V - 1, 1]
    others = apart.gather(1, number.unsqueeze(2).expand(-1, -1, FEATURES - 1)).masked_fill_(~there, 0.0)
    scale = torch.stack((lanes.new_full(lanes.shape, X_RANGE), LANE_WIDTH * lanes), 1)
    scale = torch.cat((scale, lanes.new_full((len(lanes), 2), SPEED_RANGE)), 1).unsqueeze(1)  # [E, 1, 4]
    numbers = (torch.cat((felt[:, :1], others), 1) / scale).clamp_(-1.0, 1.0)
    present = torch.cat((torch.ones_like(there[:, :1]), there), 1)
    return torch.cat((present.to(numbers.dtype), numbers), 2).flatten(1).float()
