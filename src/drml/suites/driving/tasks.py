"""Cultures of driving: what differs from task to task, each with its value where a family leaves it alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor

from drml.suites.driving.drivers import TIME_GAP

USUAL: Mapping[str, float] = {
    "density": 1.0,
    "lanes": 3.0,
    "time_gap": TIME_GAP,
    "politeness": 0.0,
    "pace": 1.0,
    "sight": 200.0,
    "grip": float("inf"),
    "paid_side": 1.0,
}
"""Values as in highway-env's `highway-fast-v0`.

`density` is of the traffic at the start, `time_gap` (s) is what others keep, `politeness` is what others' losses count
when they change lane, `pace` multiplies the speeds that they want, `sight` (m) is how far the driven car sees, `grip`
(m/s²) is the largest acceleration and braking of the driven car, and `paid_side` is 1 where lanes are paid the more the
further right they lie, −1 where they are the further left.
"""


@final
@dataclass(frozen=True)
class Culture:
    """Values for E roads: `[E, C]`, written out for each car, since broadcasting is slower at each step."""

    density: Tensor
    lanes: Tensor
    time_gap: Tensor
    politeness: Tensor
    pace: Tensor
    sight: Tensor
    grip: Tensor
    paid_side: Tensor


def culture(params: Mapping[str, Tensor], copies: int, cars: int, like: Tensor) -> Culture:
    """Return the values of B copies of K tasks for C cars each, the usual ones where no parameter gives another.

    Args:
        params: `[K]` each.
        copies: B.
        cars: C.
        like: a tensor `[K]` of the dtype and on the device of the traffic.
    """

    def written_out(name: str) -> Tensor:
        value = params.get(name, like.new_full(like.shape, USUAL[name])).to(like)
        return value[:, None, None].repeat(1, copies, cars).flatten(0, 1)

    return Culture(**{name: written_out(name) for name in USUAL})
