"""2-D navigation: a point has to find a goal that it does not see.

    x' = x + clip(c a, −m, m)        observation x        reward by the variant, from x, x' and the goal

Published variants. In each of them the reward is computed after the move, as in the code they come from.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
import torch
from torch import Tensor

from drml.core.rng import Streams, task_noise
from drml.core.types import ActionSpec, EnvSpec, Tasks
from drml.envs.api import Suite
from drml.envs.native import Outcome, native_suite
from drml.envs.pictures.plane import Plane
from drml.envs.pictures.tiles import LINE, ORANGE
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Uniform

Reward = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps positions before the move, after it, and of the goal, each `[K, B, 2]`, to rewards `[K, B]`."""

CORNER_BLIND_RADIUS = 0.5  # in the 1-norm, around the origin
SPARSE_GOAL_RADIUS = 0.2
SHOWN_AROUND = 1.15  # of the larger of the goal's distance and the way's
GOAL_PIXELS = 7.0  # radius in pictures
CORNER_COST = 4.0  # of a step that ends 2 or more away from the corner


@dataclass(frozen=True)
class Rules:
    """Rules that a variant fixes for all of its tasks."""

    reward: Reward
    """The reward function."""
    max_move: float
    """m: each coordinate of the scaled action is clipped to [−m, m]."""
    action_scale: float = 1.0
    """c: factor on the policy's output."""
    arrival: float = 0.0
    """Terminated where ‖x' − g‖∞ is below this; 0 never terminates."""
    start_range: float = 0.0
    """Episodes start uniformly in [−start_range, start_range]²; 0 starts at the origin."""
    success: float = 0.0
    """Success where ‖x' − g‖₂ is at most this; 0 where the source has no such notion."""
    wall: float = math.inf
    """Each coordinate of the position is clipped to [−wall, wall]."""


def negative_distance(before: Tensor, after: Tensor, goal: Tensor) -> Tensor:
    """Return −‖x' − g‖₂, `[K, B]`."""
    return -_distance(after, goal)


def corner_progress(before: Tensor, after: Tensor, goal: Tensor) -> Tensor:
    """Return ‖x − g‖₂ − ‖x' − g‖₂ where the move tells of the goal, 0 elsewhere; `[K, B]`.

    It tells where ‖x'‖₁ ≥ 0.5 and no other corner (±2, ±2) is nearer to x' than g is: x' in g's closed quadrant.
    """
    outside = after.abs().sum(-1) >= CORNER_BLIND_RADIUS
    in_quadrant = (after * goal >= 0.0).all(-1)
    progress = _distance(before, goal) - _distance(after, goal)
    return progress.where(outside & in_quadrant, 0.0)


def sparse_proximity(before: Tensor, after: Tensor, goal: Tensor) -> Tensor:
    """Return 1 − ‖x' − g‖₂ where that distance is at most 0.2, 0 elsewhere; `[K, B]`."""
    distance = _distance(after, goal)
    return (1.0 - distance).where(distance <= SPARSE_GOAL_RADIUS, 0.0)


def corner_cost(before: Tensor, after: Tensor, goal: Tensor) -> Tensor:
    """Return −min(‖x' − g‖₂², 4), `[K, B]`: nothing tells of the goal from 2 away."""
    return -(after - goal).square().sum(-1).clamp_max(CORNER_COST)


def _distance(position: Tensor, goal: Tensor) -> Tensor:
    return torch.linalg.vector_norm(position - goal, dim=-1)


@final
@dataclass(frozen=True)
class Point:
    """The physics of points under given rules; the state is the position `[K, B, 2]`."""

    rules: Rules
    goal: Tensor
    """`[K, B, 2]`, the same in all copies; written out, since broadcasting is slower at each step."""
    ids: Tensor
    """`[K]` the tasks' stream keys."""
    origin: Tensor
    """`[K, B, 2]` zeros."""
    rng: Streams

    def start(self, t: int) -> Tensor:
        """Return the origin, or positions uniform in the start range."""
        if self.rules.start_range == 0.0:
            return self.origin
        unit = task_noise(self.rng["start", t], self.ids, "uniform", self.origin.shape[1:])
        return (2.0 * unit - 1.0).to(self.origin.device) * self.rules.start_range

    def observe(self, state: Tensor) -> Tensor:
        """Return the position."""
        return state

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Return the position after the clipped move."""
        rules = self.rules
        after = state + (rules.action_scale * action).clamp(-rules.max_move, rules.max_move)
        if math.isfinite(rules.wall):
            after = after.clamp(-rules.wall, rules.wall)
        arrived = (after - self.goal).abs().amax(-1) < rules.arrival
        is_near = _distance(after, self.goal) <= rules.success if rules.success else None
        return Outcome(after, rules.reward(state, after, self.goal), arrived, is_near)

    def draw(self, task: int, states: Tensor) -> np.ndarray:
        """Return pictures of the way so far, and of the goal, which is hidden from the agent."""
        places, goal = states.numpy(), self.goal[task, 0].tolist()
        reach = SHOWN_AROUND * max(abs(states).max().item(), *(abs(number) for number in goal))
        plane = Plane(reach)
        plane.axes()
        if radius := max(self.rules.success, self.rules.arrival):
            plane.line(goal, goal, radius / reach * plane.size / 2.0, LINE)
        plane.line(goal, goal, GOAL_PIXELS, ORANGE)
        return plane.frames(places)

    def words(self, task: int) -> str:
        """Return nothing: the goal is a parameter."""
        return ""


def _begin(rules: Rules, tasks: Tasks, copies: int, rng: Streams) -> Point:
    return _point(rules, tasks.params["goal"], tasks.ids, copies, rng)


def _begin_on_circle(rules: Rules, tasks: Tasks, copies: int, rng: Streams) -> Point:
    angle = tasks.params["angle"]
    # One by one, since vectorised sines differ in the last bit with the position in the batch.
    goal = angle.new_tensor([(math.cos(a), math.sin(a)) for a in angle.tolist()]).view(-1, 2)  # [K, 2]
    return _point(rules, goal, tasks.ids, copies, rng)


def _point(rules: Rules, goal: Tensor, ids: Tensor, copies: int, rng: Streams) -> Point:
    goal = goal.unsqueeze(1).repeat(1, copies, 1)  # [K, B, 2]
    return Point(rules, goal, ids, torch.zeros_like(goal), rng)


def _suite(name: str, summary: str, source: str, tasks: TaskDistribution, horizon: int, rules: Rules) -> Suite:
    begin = _begin_on_circle if "angle" in tasks.params else _begin
    action = ActionSpec("continuous", 2, bound=rules.max_move / rules.action_scale)
    spec = EnvSpec(obs_size=2, action=action, horizon=horizon)
    success = f"a step that ends within {rules.success} of the goal, where it is paid" if rules.success else ""
    return native_suite(name, summary, source, tasks, spec, partial(begin, rules), success=success)


UNIT_BOX_GOALS = TaskDistribution({"goal": Uniform(-0.5, 0.5, (2,), ood=(0.5, 1.0))})
FOUR_CORNERS = TaskDistribution({"goal": Choice(((-2.0, -2.0), (2.0, -2.0), (-2.0, 2.0), (2.0, 2.0)))}, held_out=False)
SUITES: tuple[Suite, ...] = (
    _suite(
        "navigation-maml-v1",
        "A point starts at the origin and is paid minus its distance to a hidden goal in the unit box.",
        "Finn et al. 2017, section 5.3.1, as in cbfinn/maml_rl maml_examples/point_env_randgoal.py, whose scripts wrap "
        "it so that an action of 1 is a move of 0.1. Out of distribution: both coordinates of the goal in [0.5, 1).",
        UNIT_BOX_GOALS,
        horizon=100,
        rules=Rules(negative_distance, max_move=0.1, action_scale=0.1, arrival=0.01),
    ),
    _suite(
        "navigation-maml-rl-pytorch-v1",
        "The same without the wrapper: an action of 1 is clipped to a move of 0.1.",
        "tristandeleu/pytorch-maml-rl maml_rl/envs/navigation.py, after Finn et al. 2017.",
        UNIT_BOX_GOALS,
        horizon=100,
        rules=Rules(negative_distance, max_move=0.1, arrival=0.01),
    ),
    _suite(
        "navigation-promp-corners-v1",
        "A point is paid for progress towards one of four corners, once it is in that corner's quadrant.",
        "Rothfuss et al. 2019, as in jonasrothfuss/ProMP point_env_2d_corner.py with its sparse reward: no reward "
        "where the 1-norm of the position is below 0.5; starts uniform in [-0.2, 0.2]²; never terminates.",
        FOUR_CORNERS,
        horizon=100,
        rules=Rules(corner_progress, max_move=0.2, start_range=0.2),
    ),
    _suite(
        "navigation-es-maml-corners-v1",
        "A point pays 4 a step, and less once it is within 2 of one of four corners: never near it −400, the best way "
        "there −40.3.",
        "Song et al. 2020, as in google-research es_maml/task.py (NavigationTask4corner): paid minus the squared "
        "distance to the corner, but no less than −4; starts at the origin; positions within ±5; never terminates.",
        FOUR_CORNERS,
        horizon=100,
        rules=Rules(corner_cost, max_move=0.1, wall=5.0),
    ),
    _suite(
        "navigation-pearl-sparse-v1",
        "A point is paid only within 0.2 of a hidden goal on the upper half of the unit circle.",
        "Rakelly et al. 2019, section 6.3, as in katerakelly/oyster rlkit/envs/point_robot.py (SparsePointEnv, started "
        "at the origin as there). That code trains on the dense reward and tests on this one; here it is always this "
        "one. Angles are uniform instead of a grid of 100. Out of distribution: the lower half of the circle.",
        TaskDistribution({"angle": Uniform(0.0, math.pi, ood=(math.pi, 2.0 * math.pi))}),
        horizon=20,
        rules=Rules(sparse_proximity, max_move=0.1, success=SPARSE_GOAL_RADIUS),
    ),
)
"""The variants of 2-D navigation."""
