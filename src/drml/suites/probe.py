"""Probes: environments so small that the best answer is known on paper, each of which isolates one part of a learner.

All have one observation o and one continuous action a (door-flip: a and d). The task is a factor c that multiplies the
reward; it is hidden, and 1 except in goal-flip and door-flip, where it is −1 or +1. H is 10. `PROBES` holds the answers
beside the suites:

    probe              episode                      reward           best value of the first observation
    constant           1 step, terminated, o = 0    1                1
    observation        1 step, terminated, o = ±1   o                o (0 on average)
    discount           2 steps, terminated, o = t   0, then 1        γ
    advantage          1 step, terminated, o = 0    sign a           1
    policy             1 step, terminated, o = ±1   sign(a o)        1
    goal-flip          H steps, truncated, o = 1    c clip(a, ±1)    1/(1 − γ), if c is known; 0 if not
    identical          H steps, truncated, o = 1    clip(a, ±1)      1/(1 − γ), with or without adaptation
    door-flip          H steps, truncated, o = 1    below            2/(1 − γ), if c is known; 1/(1 − γ) if not
    truncation         H steps, truncated, o = t/H  1                1/(1 − γ)
    termination        H steps, terminated, o = t/H 1                (1 − γᴴ)/(1 − γ)

Door-flip is goal-flip behind a door that is far away, and paid for in every task:

    reward = clip(d/D, ±1) + c clip(a, ±1) [d ≥ D],   D = 6

Goal-flip does not tell a trained prior from an untrained one, since a step from either wins. Here it does:

- The best prior opens the door at every step and plays a about 0: H before adaptation, as much as without knowing c
  can be had. It sees c in each reward, and one step of adaptation earns 2H, all there is.
- A prior that never opens the door sees the same in both tasks. What it becomes, by whatever step, does not depend on
  c, so on average over c it earns H or less. An untrained one does not open it: its actions have standard deviation 1
  and a mean m of less than 2, so each opens it with probability Φ(m − D) < Φ(−4) = 3.2e-5, and none of 20 episodes does
  with 0.99. Before the step it earns about H m/D, near 0; the step leads towards the door, and not through it.

Where the door is, the tasks share: what is learned of it on one serves on the other, which takes more than one step.

Source: the first five are A. Jones, 2021, "Debugging RL, without the agonizing pain", in the form of keraJLi/rejax.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from drml.core.rng import BlockNoise, Streams
from drml.core.types import ActionSpec, EnvSpec, Tasks
from drml.envs.api import Suite
from drml.envs.native import ROWS_PER_BLOCK, Outcome, native_suite
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice

HORIZON = 10  # H, steps per episode of the meta-probes
DOOR = 6.0  # D: six standard deviations of an untrained policy away

Reward = Callable[[Tensor, Tensor], Tensor]
"""Maps observations `[K, B]` and actions `[K, B, A]` to rewards `[K, B]`."""


@dataclass(frozen=True)
class Probe:
    """A suite and what its best policy gets, per episode and without discount unless said otherwise."""

    suite: Suite
    best_return: float
    """Expected return of the best policy that knows the task."""
    best_unadapted_return: float
    """Expected return, over tasks, of the best policy without memory that does not know the task."""
    best_value: Callable[[float], float]
    """Maps γ to the discounted value of the first observation (its mean over first observations) under the best
    policy that knows the task; it looks beyond a truncation, not beyond a termination."""


@dataclass(frozen=True)
class Rules:
    """Common part of a probe's tasks."""

    reward: Reward
    """The reward before the task's factor."""
    shared: Reward | None = None
    """The reward beside it, paid in every task alike."""
    num_actions: int = 1
    """A."""
    first_obs: float = 0.0
    """First observation."""
    obs_step: float = 0.0
    """Change of the observation at each step."""
    random_sign: bool = False
    """True where the first observation is −1 or +1, each as likely, instead of `first_obs`."""


@final
@dataclass(frozen=True)
class Chain:
    """The physics of probes; the state is the observation `[K, B]`, which no action changes."""

    rules: Rules
    factor: Tensor
    """`[K, 1]` c."""
    sign_noise: BlockNoise
    """Rows `[K, B]`, uniform."""
    first: Tensor
    """`[K, B]` the first observation, where it is not random."""
    never: Tensor
    """`[K, B]` bool, False: it is the horizon that ends a probe's episodes."""

    def start(self, t: int) -> Tensor:
        """Return the first observation."""
        if not self.rules.random_sign:
            return self.first
        return (self.sign_noise.row(t).to(self.first.device) < 0.5) * 2.0 - 1.0

    def observe(self, state: Tensor) -> Tensor:
        """Return the state, `[K, B, 1]`."""
        return state.unsqueeze(-1)

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Return the reward of an action `[K, B, A]`."""
        reward = self.factor * self.rules.reward(state, action)
        if self.rules.shared is not None:
            reward = reward + self.rules.shared(state, action)
        return Outcome(state + self.rules.obs_step, reward, self.never)


def _begin(rules: Rules, tasks: Tasks, copies: int, rng: Streams) -> Chain:
    factor = tasks.params["factor"].unsqueeze(1)  # [K, 1]
    sign_noise = BlockNoise(rng["sign"], tasks.ids, copies, "uniform", (), ROWS_PER_BLOCK)
    first = factor.new_full((len(tasks), copies), rules.first_obs)
    return Chain(rules, factor, sign_noise, first, torch.zeros_like(first, dtype=torch.bool))


def _suite(
    name: str,
    summary: str,
    rules: Rules,
    horizon: int,
    *,
    terminates: bool,
    factors: tuple[float, ...] = (1.0,),
    bound: float = 1.0,
) -> Suite:
    published = name in ("constant", "observation", "discount", "advantage", "policy")
    return native_suite(
        f"probe-{name}-v1",
        summary,
        "A. Jones 2021, after keraJLi/rejax, here with one continuous action." if published else "This project.",
        TaskDistribution({"factor": Choice(factors)}, held_out=False),
        EnvSpec(obs_size=1, action=ActionSpec("continuous", rules.num_actions, bound), horizon=horizon),
        partial(_begin, rules),
        horizon_terminates=terminates,
    )


def _always_one(obs: Tensor, action: Tensor) -> Tensor:
    return torch.ones_like(obs)


def _obs(obs: Tensor, action: Tensor) -> Tensor:
    return obs


def _action_sign(obs: Tensor, action: Tensor) -> Tensor:
    return action[..., 0].sign()


def _agreement(obs: Tensor, action: Tensor) -> Tensor:
    return (obs * action[..., 0]).sign()


def _clipped_action(obs: Tensor, action: Tensor) -> Tensor:
    return action[..., 0].clamp(-1.0, 1.0)


def _behind_the_door(obs: Tensor, action: Tensor) -> Tensor:
    return action[..., 0].clamp(-1.0, 1.0) * (action[..., 1] >= DOOR)


def _towards_the_door(obs: Tensor, action: Tensor) -> Tensor:
    return (action[..., 1] / DOOR).clamp(-1.0, 1.0)


def _endless(gamma: float) -> float:
    return 1.0 / (1.0 - gamma)


CONSTANT = Probe(
    _suite("constant", "Reward 1 for anything: is the value learned?", Rules(_always_one), 1, terminates=True),
    best_return=1.0,
    best_unadapted_return=1.0,
    best_value=lambda gamma: 1.0,
)
"""V = 1."""

OBSERVATION = Probe(
    _suite(
        "observation",
        "The reward is the observation, ±1: does the value depend on what is seen?",
        Rules(_obs, random_sign=True),
        1,
        terminates=True,
    ),
    best_return=0.0,
    best_unadapted_return=0.0,
    best_value=lambda gamma: 0.0,
)
"""V(o) = o, 0 on average."""

DISCOUNT = Probe(
    _suite(
        "discount",
        "Reward 1 at the second and last step: is it discounted?",
        Rules(_obs, obs_step=1.0),
        2,
        terminates=True,
    ),
    best_return=1.0,
    best_unadapted_return=1.0,
    best_value=lambda gamma: gamma,
)
"""V(0) = γ, V(1) = 1."""

ADVANTAGE = Probe(
    _suite(
        "advantage", "The reward is the action's sign: does the policy move?", Rules(_action_sign), 1, terminates=True
    ),
    best_return=1.0,
    best_unadapted_return=1.0,
    best_value=lambda gamma: 1.0,
)
"""Best is any positive action: V = 1."""

POLICY = Probe(
    _suite(
        "policy",
        "Reward 1 if action and observation agree in sign, else −1: does the policy depend on what is seen?",
        Rules(_agreement, random_sign=True),
        1,
        terminates=True,
    ),
    best_return=1.0,
    best_unadapted_return=1.0,
    best_value=lambda gamma: 1.0,
)
"""Best is any action of the observation's sign: V = 1."""

GOAL_FLIP = Probe(
    _suite(
        "goal-flip",
        "A hidden sign decides whether actions are paid or charged: no prior can win, one step of adaptation can.",
        Rules(_clipped_action, first_obs=1.0),
        HORIZON,
        terminates=False,
        factors=(-1.0, 1.0),
    ),
    best_return=float(HORIZON),
    best_unadapted_return=0.0,
    best_value=_endless,
)
"""Best is a = c, return H. What a policy without memory gains on one task it loses on the other: 0 on average."""

IDENTICAL = Probe(
    _suite(
        "identical",
        "Goal-flip with one task only: there is nothing to adapt to, and adaptation must not hurt.",
        Rules(_clipped_action, first_obs=1.0),
        HORIZON,
        terminates=False,
    ),
    best_return=float(HORIZON),
    best_unadapted_return=float(HORIZON),
    best_value=_endless,
)
"""Best is a = 1, return H, adapted or not."""

DOOR_FLIP = Probe(
    _suite(
        "door-flip",
        "Goal-flip behind a distant door: one step of adaptation wins from a trained prior, from no untrained one.",
        Rules(_behind_the_door, first_obs=1.0, shared=_towards_the_door, num_actions=2),
        HORIZON,
        terminates=False,
        factors=(-1.0, 1.0),
        bound=DOOR,
    ),
    best_return=2.0 * HORIZON,
    best_unadapted_return=float(HORIZON),
    best_value=lambda gamma: 2.0 * _endless(gamma),
)
"""Best is a = c with d = D, return 2H; without knowing c the door's H is all."""

TRUNCATION = Probe(
    _suite(
        "truncation",
        "Reward 1 at each step until looking ends: the value looks beyond the horizon.",
        Rules(_always_one, obs_step=1.0 / HORIZON),
        HORIZON,
        terminates=False,
    ),
    best_return=float(HORIZON),
    best_unadapted_return=float(HORIZON),
    best_value=_endless,
)
"""V = 1/(1 − γ), at each step."""

TERMINATION = Probe(
    _suite(
        "termination",
        "Reward 1 at each step until the task ends: the value stops at the horizon.",
        Rules(_always_one, obs_step=1.0 / HORIZON),
        HORIZON,
        terminates=True,
    ),
    best_return=float(HORIZON),
    best_unadapted_return=float(HORIZON),
    best_value=lambda gamma: (1.0 - gamma**HORIZON) / (1.0 - gamma),
)
"""V = (1 − γ^(H − t))/(1 − γ) at step t: γᴴ/(1 − γ) less than with truncation at the first."""

PROBES = (CONSTANT, OBSERVATION, DISCOUNT, ADVANTAGE, POLICY, GOAL_FLIP, IDENTICAL, DOOR_FLIP, TRUNCATION, TERMINATION)
"""All probes, simplest first: the first that fails names the part that is broken."""

SUITES: tuple[Suite, ...] = tuple(probe.suite for probe in PROBES)
"""The probes' suites."""
