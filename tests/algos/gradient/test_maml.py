"""The share of the data on which MAML takes the curvature of its trust region."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from drml.algos.api import LearnerState
from drml.algos.gradient import maml
from drml.algos.gradient.maml import MAML, MAMLConfig, thinned
from drml.core.distribution import Gaussian
from drml.core.rng import Streams
from drml.core.tree import flatten
from drml.core.types import ActionSpec, Advantages, EnvSpec, FinalObs, MetaEpisode, Rollout
from drml.learning.adapt import InnerConfig
from drml.learning.optim.trust_region import TrustRegionStep
from drml.policies.mlp import GaussianMLP

of = partial(MetaEpisode, (), ())  # of no tasks and agents: the history is all that these learners look at
RNG = Streams(0)


NUM_TASKS, STEPS, COPIES = 2, 4, 4
SPEC = EnvSpec(2, ActionSpec("continuous", 2), horizon=STEPS)
POLICY = GaussianMLP(2, 2, hidden=(3,))
PARAMS = {name: value.double() for name, value in POLICY.init(Streams(1)["init"]).items()}


def rollout(varies, seed):
    """Observations and actions that differ from copy to copy, and from step to step where `varies`."""
    rng = Streams(seed)
    shape = (NUM_TASKS, STEPS if varies else 1, COPIES, 2)
    whole = (NUM_TASKS, STEPS, COPIES)
    obs = rng["obs"].normal(shape).double().expand(*whole, 2).contiguous()
    last = torch.arange(STEPS).view(1, -1, 1).expand(whole) == STEPS - 1
    acting = Gaussian(
        POLICY.step(PARAMS, obs.flatten(1, 2), {})[0].mean.view(*whole, 2), PARAMS["log_std"].view(1, 1, 1, 2)
    )
    action = acting.mean + rng["action"].normal(shape).double()
    return Rollout(
        obs=obs,
        action=action,
        reward=rng["reward"].normal(whole).double(),
        terminated=torch.zeros_like(last),
        truncated=last,
        valid=torch.ones_like(last),
        final=FinalObs.dense(obs),
        elapsed=torch.arange(STEPS).view(1, -1, 1).expand(whole),
        log_prob=acting.log_prob(action),
        acting=acting,
        first_carry={},
        last_carry={},
    )


def numbered():
    """A rollout whose rewards say 10 t + b, with advantages 100 + 10 t + b and uneven weights."""
    number = (10 * torch.arange(STEPS).view(1, -1, 1) + torch.arange(COPIES)).double().expand(NUM_TASKS, STEPS, COPIES)
    weight = (1.0 + number) / (1.0 + number).sum((1, 2), keepdim=True)
    return replace(rollout(varies=True, seed=1), reward=number), Advantages(100.0 + number, weight)


@pytest.mark.parametrize(
    ("copies", "whole", "expected"),
    [
        (1, False, [[0], [11], [22], [33]]),
        (2, False, [[0, 2], [11, 13], [22, 20], [33, 31]]),
        (3, False, [[0, 1, 2], [11, 12, 13], [22, 23, 20], [33, 30, 31]]),
        (1, True, [[0], [10], [20], [30]]),
        (2, True, [[0, 2], [10, 12], [20, 22], [30, 32]]),
    ],
)
def test_which_steps_are_taken(copies, whole, expected):
    data, advantages = numbered()
    part, weighed = thinned(data, advantages, copies, whole)
    assert part.reward[1].tolist() == expected
    assert (weighed.advantage[1] - 100.0).tolist() == expected
    torch.testing.assert_close(weighed.weight.sum((1, 2)), torch.ones(NUM_TASKS, dtype=torch.float64))
    torch.testing.assert_close(weighed.weight[1] / weighed.weight[1, 0, 0], 1.0 + part.reward[1])  # number 0 weighs 1
    assert part.obs.shape == (NUM_TASKS, STEPS, copies, 2)
    assert part.obs.is_contiguous()
    assert part.acting.tensors()["log_std"].shape == (1, 1, 1, 2)  # stored once, left as it is


def curvature(config, history, vector):
    """A v, as MAML hands it to its trust-region step."""
    seen = []

    def spy(evaluate, product, params, gradient, loss, region):
        seen.append(product(vector))
        return TrustRegionStep(params, loss, loss, 0.0, 0, accepted=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maml, "trust_region_step", spy)
        MAML(SPEC, POLICY, config).update(LearnerState(PARAMS), of(history), RNG)
    return seen[0]


VECTOR = torch.linspace(-1.0, 1.0, len(flatten(PARAMS)), dtype=torch.float64)


def test_steps_that_resemble_their_episode_are_all_there_is_to_say():
    """Where an episode is one step over and over, one step of each of 4 is the whole truth; one episode of 4 is not.

    First order, so that the curvature is that of the KL alone.
    """
    history = [rollout(varies=False, seed=seed) for seed in (2, 3)]
    inner = InnerConfig(lr=0.1)
    products = {n: curvature(MAMLConfig(inner, order=1, curvature_episodes=n), history, VECTOR) for n in (0, 1)}
    torch.testing.assert_close(products[1], products[0], rtol=1e-12, atol=1e-14)
    one_episode = [history[0], thinned(history[1], numbered()[1], 1, whole=True)[0]]
    alone = curvature(MAMLConfig(inner, order=1, curvature_episodes=0), one_episode, VECTOR)
    assert float((alone - products[0]).norm() / products[0].norm()) > 0.1


def test_a_loss_along_episodes_gets_whole_ones_for_adapting():
    """The products of ratios of DiCE run along an episode; the KL after adaptation is a mean over steps."""
    history = [rollout(varies=True, seed=seed) for seed in (2, 3)]
    config = MAMLConfig(inner_loss="dice", curvature_episodes=2)
    taken: list[tuple[bool, int]] = []

    def spy(data, advantages, copies, whole):
        taken.append((whole, [data is phase for phase in history].index(True)))
        return thinned(data, advantages, copies, whole)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maml, "thinned", spy)
        curvature(config, history, VECTOR)
        curvature(replace(config, inner_loss="log_likelihood"), history, VECTOR)
    assert taken == [(True, 0), (False, 1), (False, 0), (False, 1)]


@pytest.mark.parametrize("episodes", [COPIES, COPIES + 1, 0])
def test_as_many_as_there_are_is_everything(episodes):
    history = [rollout(varies=True, seed=seed) for seed in (2, 3)]
    everything = curvature(MAMLConfig(curvature_episodes=COPIES), history, VECTOR)
    assert torch.equal(curvature(MAMLConfig(curvature_episodes=episodes), history, VECTOR), everything)
