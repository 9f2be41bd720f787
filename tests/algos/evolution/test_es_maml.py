"""ES-MAML: climbing and the meta-update against steps worked by hand, and on the corners it is meant for."""

from dataclasses import replace

import pytest
import torch

from drml.algos.api import LearnerState
from drml.algos.evolution.es_maml import ESMAML, ESMAMLConfig
from drml.algos.registry import LEARNERS
from drml.collect.collector import Collector
from drml.core.distribution import Gaussian
from drml.core.errors import InputError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.tree import flatten, flatten_stacked
from drml.core.types import ActionSpec, EnvSpec, FinalObs, MetaEpisode, Rollout, Tasks
from drml.envs.api import EnvOptions
from drml.loop.curve import returns_by_step
from drml.loop.meet import meta_episode
from drml.policies.mlp import MLPConfig, mlp_policy
from drml.suites.registry import suite

SPEC = EnvSpec(2, ActionSpec("continuous", 2), horizon=3)
LINEAR = LEARNERS["es_maml"].default_policy
QUERIES = 3


def make(spec=SPEC, **config):
    return ESMAML(spec, mlp_policy(spec, LINEAR), ESMAMLConfig(**config))


def worth(values):
    """Return rollouts of one step and one copy whose returns are known, `[K]`."""
    reward = torch.tensor(values).view(-1, 1, 1)
    ended, blank = torch.ones_like(reward, dtype=torch.bool), torch.zeros(*reward.shape, 2)
    return Rollout(
        obs=blank,
        action=blank,
        reward=reward,
        terminated=ended,
        truncated=~ended,
        valid=ended,
        final=FinalObs.dense(blank),
        elapsed=torch.zeros_like(ended, dtype=torch.int64),
        log_prob=reward,
        acting=Gaussian(blank, blank),
        first_carry={},
        last_carry={},
    )


def tasks(num):
    return Tasks({"goal": torch.zeros(num, 2)}, torch.arange(num))


def rows(agent):
    return flatten_stacked(agent.params.values())


def climbed(learner, values, drawn, rng):
    """Return the parameters `[K, P]` that acted in each phase, given what each phase is to earn."""
    shared = learner.init(Streams(1)).shared
    agent = learner.prior(shared, drawn, 1, rng)
    acted = [flatten(shared).expand(len(drawn), -1)]
    for j, earned in enumerate(values):
        agent = learner.adapt(agent, worth(earned), j, rng["adapt", j])
        acted.append(rows(agent))
    return acted


def test_climbing_keeps_the_best_and_acts_by_it_in_the_end():
    """Task 0 earns 5, 3, 7, 6: its third query is best. Task 1 earns 9, 1, 2, 9: nothing is better than the prior."""
    values = [[5.0, 9.0], [3.0, 1.0], [7.0, 2.0], [6.0, 9.0], [7.0, 9.0]]
    acted = climbed(make(queries=QUERIES), values, tasks(2), Streams(2))
    best = torch.stack([acted[2][0], acted[0][1]])
    assert torch.equal(acted[QUERIES + 1], best)
    assert torch.equal(acted[QUERIES + 2], best)  # further steps change nothing
    # Each query lies beside the best so far: both beside the prior, then task 0's last beside its second query.
    beside = [(acted[1] - acted[0]), (acted[2] - acted[0]), (acted[3] - best)]
    movable = slice(0, 6)  # the weights and biases; the log standard deviations stand at their lower bound
    assert all(0.0 < float(step[:, movable].abs().max()) < 0.5 for step in beside)  # below five σ_in


def test_a_task_climbs_the_same_way_whatever_is_beside_it():
    values, drawn, kept = [[5.0, 9.0, 1.0], [3.0, 1.0, 4.0], [7.0, 2.0, 8.0]], tasks(3), torch.tensor([2, 0])
    learner = make(queries=QUERIES)
    together = climbed(learner, values, drawn, Streams(2))
    alone = climbed(learner, [[row[2], row[0]] for row in values], drawn.select(kept), Streams(2))
    assert all(torch.equal(mine[kept], theirs) for mine, theirs in zip(together, alone, strict=True))


def test_proposed_agents_stand_around_the_prior_in_pairs():
    learner = make(outer_std=0.2)
    state = learner.init(Streams(1))
    proposed = learner.propose(state, tasks(600), 1, Streams(3))
    away = (rows(proposed) - flatten(state.shared))[:, :6]
    assert proposed.stacked and torch.allclose(away[0::2], -away[1::2], atol=1e-7)
    assert away.std().item() == pytest.approx(0.2, rel=5.0 / (2 * 1800) ** 0.5)  # 1800 of the numbers are independent
    assert not learner.prior(state.shared, tasks(600), 1, Streams(3)).stacked


def test_the_meta_update_climbs_what_the_perturbed_priors_adapted_to():
    """With fitness w · p the step is β Σ f̂ p/(nσ²), of which each entry is known; the rollouts before do not count."""
    learner, state = make(meta_lr=0.5), make().init(Streams(1))
    drawn = tasks(50)
    proposed = learner.propose(state, drawn, 1, Streams(4))
    away = rows(proposed) - flatten(state.shared)
    values = away @ torch.linspace(-1.0, 2.0, away.shape[1])
    misleading = worth((-values).tolist())
    episode = MetaEpisode(drawn, [proposed, proposed], [misleading, worth(values.tolist())])
    after, metrics = learner.update(state, episode, Streams(5))
    scaled = (values - values.mean()) / values.std(correction=0)
    expected = flatten(state.shared) + 0.5 * (scaled @ away) / (50 * 0.1**2)
    torch.testing.assert_close(flatten(after.shared)[:6], expected[:6], atol=1e-5, rtol=1e-5)
    assert metrics["fitness_std"] == pytest.approx(float(values.std(correction=0)), rel=1e-5)
    level = MetaEpisode(drawn, episode.agents, [misleading, worth([-400.0] * 50)])
    unmoved = learner.update(state, level, Streams(5))[0].shared
    assert all(torch.equal(unmoved[name], value) for name, value in state.shared.items())


def test_initial_weights_are_scaled_and_the_standard_deviation_is_not():
    whole, tenth = make(init_scale=1.0).init(Streams(1)).shared, make().init(Streams(1)).shared
    torch.testing.assert_close(tenth["layer0.weight"], 0.1 * whole["layer0.weight"])
    assert torch.equal(tenth["log_std"], whole["log_std"])


def test_on_the_corners_the_last_agent_is_the_best_that_was_tried():
    """Policies are deterministic but for 1e-6 a step, which moves a return of 100 steps by less than 1e-2."""
    corners = suite("navigation-es-maml-corners-v1")
    learner = make(corners.spec)
    collect = Collector(corners.make(EnvOptions()), corners.spec.horizon, 1, Phases(), one_episode=True)
    shared = learner.init(Streams(0)).shared
    drawn = corners.tasks.all_tasks().repeated(5)
    played = meta_episode(learner, shared, drawn, collect, Streams(1), learner.adapt_steps)
    returns = returns_by_step(played.history)[..., 0]  # [K, S + 1]
    torch.testing.assert_close(returns[:, -1], returns[:, :-1].amax(1), atol=1e-2, rtol=0.0)
    assert float(returns[:, 0].max()) == -400.0 and float(returns[:, -1].mean()) > -395.0


def test_a_linear_policy_has_no_hidden_layer():
    policy = mlp_policy(SPEC, LINEAR)
    params = policy.init(Streams(0)["init"])
    assert {name: tuple(value.shape) for name, value in params.items()} == {
        "layer0.weight": (2, 2),
        "layer0.bias": (2,),
        "log_std": (2,),
    }
    obs = torch.tensor([[[1.0, -2.0]]])
    mean = policy.step(params, obs, {})[0].tensors()["mean"]
    torch.testing.assert_close(mean[0], obs[0] @ params["layer0.weight"] + params["layer0.bias"])
    with pytest.raises(InputError, match="widths must be 1 or more"):
        MLPConfig(hidden=(4, 0))


def test_impossible_settings_are_refused_by_name():
    for bad in ({"queries": 0}, {"inner_std": 0.0}, {"outer_std": -1.0}, {"meta_lr": 0.0}, {"init_scale": -0.1}):
        with pytest.raises(InputError, match=next(iter(bad))):
            replace(ESMAMLConfig(), **bad)


def test_the_state_is_a_plain_one():
    assert make().init(Streams(0)).tree()["optimiser"] == LearnerState({}).training
