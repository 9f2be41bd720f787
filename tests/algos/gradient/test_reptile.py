"""Reptile: the meta-update against a step worked by hand."""

import torch

from drml.algos.gradient.reptile import Reptile, ReptileConfig
from drml.core.rng import Streams
from drml.core.tree import params_map
from drml.core.types import ActionSpec, Agent, EnvSpec, MetaEpisode, Tasks
from drml.policies.mlp import MLPConfig, mlp_policy

SPEC = EnvSpec(2, ActionSpec("continuous", 2), horizon=3)


def test_the_prior_moves_towards_the_mean_of_what_it_became_and_no_inner_step_is_repeated():
    """Adam's first step has the length of its rate in each parameter, here towards the mean of two tasks; its second
    one too, where the gradient is the same again. No rollout is handed over, so none can have been learned from."""
    learner = Reptile(SPEC, mlp_policy(SPEC, MLPConfig((4,))), ReptileConfig(meta_lr=0.01))
    state = learner.init(Streams(1))
    tasks = Tasks({"goal": torch.zeros(2, 2)}, torch.arange(2))
    sign = params_map(lambda value: torch.where(torch.rand(value.shape) < 0.5, -1.0, 1.0), state.shared)

    def met(shared):
        one, other = (params_map(lambda p, s, f=factor: p + f * s, shared, sign) for factor in (3.0, -1.0))  # mean: s
        became = params_map(lambda a, b: torch.stack([a, b]), one, other)
        misleading = params_map(lambda a: a - 5.0, became)
        agents = [Agent(shared), Agent(misleading, stacked=True), Agent(became, stacked=True)]
        return MetaEpisode(tasks, agents, [])

    start = state.shared
    for steps in (1, 2):
        state, metrics = learner.update(state, met(state.shared), Streams(2))
        for name, value in state.shared.items():
            torch.testing.assert_close(value, start[name] + 0.01 * steps * sign[name], atol=1e-5, rtol=0.0)
    assert abs(metrics["mean_move"] - sum(value.numel() for value in start.values()) ** 0.5) < 1e-4
