"""Finite differences, and rollouts of arbitrary numbers: what a gradient must be right on without any environment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from drml.algos.api import LearnerState
from drml.algos.gradient import maml
from drml.algos.gradient.maml import MAML
from drml.algos.gradient.promp import ProMP
from drml.core.rng import Streams
from drml.core.tree import Params, flatten
from drml.core.types import ActionSpec, EnvSpec, FinalObs, MetaEpisode, Rollout
from drml.learning.optim.first_order import adam_init
from drml.learning.optim.trust_region import TrustRegionStep
from drml.policies.mlp import GaussianMLP

of = partial(MetaEpisode, (), ())  # of no tasks and agents: the history is all that these learners look at
RNG = Streams(0)


OBS_SIZE, ACTION_SIZE, STEPS, COPIES = 2, 2, 4, 4
SPEC = EnvSpec(OBS_SIZE, ActionSpec("continuous", ACTION_SIZE), horizon=3)
POLICY = GaussianMLP(OBS_SIZE, ACTION_SIZE, hidden=(2,), init_std=0.7)


def central_differences(function: Callable[[Tensor], float], point: Tensor, step: float) -> Tensor:
    """(f(x + h e) − f(x − h e)) / 2h along each axis, `[P]`."""
    shifts = step * torch.eye(len(point), dtype=point.dtype)
    return torch.tensor([function(point + e) - function(point - e) for e in shifts], dtype=point.dtype) / (2 * step)


def relative(actual: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest number expected."""
    return ((actual - expected).abs().max() / expected.abs().max()).item()


# ---------------------------------------------------------------- rollouts of random numbers


def random_params(seed: int = 0) -> Params:
    """Parameters of POLICY in float64, none of them zero."""
    rng = torch.Generator().manual_seed(seed)
    sizes = {"layer0": (OBS_SIZE, 2), "layer1": (2, ACTION_SIZE)}
    params: Params = {}
    for name, shape in sizes.items():
        params[f"{name}.weight"] = 0.5 * torch.randn(shape, generator=rng, dtype=torch.float64)
        params[f"{name}.bias"] = 0.5 * torch.randn(shape[1], generator=rng, dtype=torch.float64)
    params["log_std"] = 0.2 * torch.randn(ACTION_SIZE, generator=rng, dtype=torch.float64)
    return params


def endings(num_tasks: int) -> tuple[Tensor, Tensor]:
    """Flags terminated and truncated `[K, T, B]`: episodes that terminate, reach the horizon of 3, or are cut."""
    terminated, truncated = torch.zeros((2, num_tasks, STEPS, COPIES), dtype=torch.bool)
    truncated[:, 2, 0] = truncated[:, 3, 0] = True  # three steps to the horizon, then one, cut
    terminated[:, 1, 1] = truncated[:, 3, 1] = True  # two steps to a termination, then two, cut
    terminated[:, 2, 2] = terminated[:, 3, 2] = True  # three steps and one, both terminated
    truncated[:, 2, 3] = terminated[:, 3, 3] = True  # the horizon, then one step, terminated
    return terminated, truncated


def random_rollout(params: Params, num_tasks: int, seed: int, spread: float = 0.1) -> Rollout:
    """A rollout whose acting distributions lie `spread` away from those of `params`, so that no ratio is one."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*features: int) -> Tensor:
        return torch.randn((num_tasks, STEPS, COPIES, *features), generator=rng, dtype=torch.float64)

    terminated, truncated = endings(num_tasks)
    ended = terminated | truncated
    elapsed = torch.zeros(ended.shape, dtype=torch.int64)
    for t in range(1, STEPS):
        elapsed[:, t] = torch.where(ended[:, t - 1], 0, elapsed[:, t - 1] + 1)
    obs = normal(OBS_SIZE)
    acting = POLICY.step(params, obs.flatten(1, 2), {})[0]
    rollout = Rollout(
        obs=obs,
        action=torch.zeros_like(obs),
        reward=normal(),
        terminated=terminated,
        truncated=truncated,
        valid=torch.ones_like(ended),
        final=FinalObs.dense(normal(OBS_SIZE) * ended.unsqueeze(-1)),
        elapsed=elapsed,
        log_prob=normal(),
        acting=acting,
        first_carry={},
        last_carry={},
    )
    near = POLICY.unroll(params, rollout)
    mean, log_std = torch.broadcast_tensors(near.mean, near.log_std)
    acting = type(near)(mean + spread * normal(ACTION_SIZE), log_std + spread * normal(ACTION_SIZE))
    action = acting.sample(normal(ACTION_SIZE))
    return replace(rollout, action=action, acting=acting, log_prob=acting.log_prob(action))


def random_history(num_steps: int, num_tasks: int = 3, seed: int = 0, spread: float = 0.1) -> list[Rollout]:
    """The rollouts of a meta-episode with `num_steps` inner steps, acted near the shared parameters."""
    params = random_params(seed)
    return [random_rollout(params, num_tasks, 100 * seed + j + 1, spread) for j in range(num_steps + 1)]


# ---------------------------------------------------------------- looking into an update


@dataclass(frozen=True)
class TrustRegionInputs:
    """What MAML hands to its trust-region step."""

    evaluate: Callable[[Tensor], tuple[float, float]]
    curvature: Callable[[Tensor], Tensor]
    params: Tensor
    gradient: Tensor
    loss_before: float


def trust_region_inputs(learner: MAML, params: Params, history: Sequence[Rollout]) -> TrustRegionInputs:
    """Return what MAML's update hands to `trust_region_step`, without taking the step."""
    seen: list[TrustRegionInputs] = []
    original = maml.trust_region_step

    def spy(*args: object) -> TrustRegionStep:
        seen.append(TrustRegionInputs(*args[:5]))
        return TrustRegionStep(seen[0].params, seen[0].loss_before, seen[0].loss_before, 0.0, 0, accepted=False)

    maml.trust_region_step = spy
    try:
        learner.update(LearnerState(params), of(history), RNG)
    finally:
        maml.trust_region_step = original
    return seen[0]


def promp_value_and_gradient(learner: ProMP, params: Params, history: Sequence[Rollout]) -> tuple[float, Tensor]:
    """ProMP's outer loss and its gradient `[P]`: Adam's first moment after its first step is (1 − β₁) times that."""
    state = LearnerState(params, adam_init(params).tree())
    state, metrics = learner.update(state, of(history), RNG)
    return metrics["outer_loss_first"], flatten(state.training["first"]) / (1.0 - 0.9)
