"""What adaptation really took: episodes that end early, held against counts by hand."""

import pytest
import torch

from drml.algos.gradient.promp import ProMP, ProMPConfig
from drml.algos.memory.rl2 import RL2, RL2Config
from drml.algos.registry import learner_entry
from drml.collect.collector import Collector
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import ActionSpec, Agent, EnvSpec
from drml.envs.api import EnvOptions
from drml.envs.native import Outcome, native_suite
from drml.learning.adapt import InnerConfig
from drml.loop.cost import AdaptationCost
from drml.loop.curve import returns_by_step
from drml.loop.evaluate import meta_test
from drml.loop.meet import meet
from drml.loop.progress import Progress
from drml.loop.rows import train_row
from drml.loop.train import advance
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig, mlp_policy
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice

RNG = Streams(0)


COPIES, HORIZON = 4, 12
LENGTHS = (3.0, 5.0)  # of the episodes of each task


class Ending:
    """Episodes of as many steps as the task says, with reward 1."""

    def __init__(self, tasks, copies, rng):
        self.length, self.copies = tasks.params["length"].unsqueeze(1), copies

    def start(self, t):
        return torch.zeros(len(self.length), self.copies, 1)

    def observe(self, state):
        return state / HORIZON

    def move(self, state, action, t):
        return Outcome(state + 1.0, torch.ones(state.shape[:2]), state[..., 0] + 1.0 >= self.length)


SPEC = EnvSpec(1, ActionSpec("discrete", 2), HORIZON)
FAMILY = native_suite("ending-v1", "", "", TaskDistribution({"length": Choice(LENGTHS)}, held_out=False), SPEC, Ending)


def rl2():
    config = RL2Config(episodes=4)
    return RL2(SPEC, learner_entry("rl2").make_policy(SPEC, MemoryConfig(size=8), config), config)


def promp(adapts_on):
    return ProMP(
        SPEC, mlp_policy(SPEC, MLPConfig(hidden=(4,))), ProMPConfig(InnerConfig(num_steps=3, adapts_on=adapts_on))
    )


def collector(learner):
    env = FAMILY.make(EnvOptions())
    return Collector(env, HORIZON, COPIES, Phases(), one_episode=learner.adapts_on == "episodes")


def curve_of(learner):
    tasks, rng = FAMILY.tasks.all_tasks(), Streams(1)
    return meta_test(learner, learner.init(rng).shared, tasks, collector(learner), rng, 3)


@pytest.mark.parametrize(
    ("learner", "episodes", "env_steps"),
    [
        (rl2(), [1, 1], [3, 5]),  # a memory meets one episode
        (promp("episodes"), [COPIES, COPIES], [3 * COPIES, 5 * COPIES]),  # all copies adapt one agent
        # a horizon of 12: four episodes of 3 steps; two of 5 and one that is cut after 2
        (promp("steps"), [4 * COPIES, 3 * COPIES], [12 * COPIES, 12 * COPIES]),
    ],
)
def test_the_fourth_point_of_a_curve_comes_after_what_three_steps_take(learner, episodes, env_steps):
    found = curve_of(learner)
    for k in range(2):
        assert found.cost.episodes[k].tolist() == [j * episodes[k] for j in range(4)]
        assert found.cost.env_steps[k].tolist() == [j * env_steps[k] for j in range(4)]
    assert found.curve.by_task().tolist() == [[3.0] * 4, [5.0] * 4]  # a return is that of one episode
    facts = found.facts(FAMILY.tasks.all_tasks(), rounds=1)
    assert [point["episodes"] for point in facts["return_by_step"]] == [j * sum(episodes) / 2 for j in range(4)]
    assert [point["env_steps"] for point in facts["return_by_step"]] == [j * sum(env_steps) / 2 for j in range(4)]
    assert [task["env_steps_by_step"][1] for task in facts["tasks"]] == env_steps
    assert [task["episodes_by_step"][1] for task in facts["tasks"]] == episodes


@pytest.mark.parametrize(
    ("learner", "phase_steps", "adapt"),
    [(rl2(), (3 + 5) * COPIES, (3.0, 12.0)), (promp("steps"), 2 * 12 * COPIES, (3.0 * 3.5 * COPIES, 36.0 * COPIES))],
)
def test_training_counts_and_logs_the_steps_that_were_taken(learner, phase_steps, adapt):
    tasks, rng = FAMILY.tasks.all_tasks(), Streams(1)
    state = learner.init(rng)
    met = meet(learner, Agent(state.shared), tasks, collector(learner), rng, learner.adapt_steps)
    assert met.env_steps == sum(rollout.env_steps for rollout in met.history) == 4 * phase_steps
    row = train_row(Progress(state, {}, state.shared), met, {})
    assert (row["adapt_episodes"], row["adapt_env_steps"]) == adapt
    assert "dropped_episodes" not in row


def test_waiting_is_not_unsound():
    """Most steps of a rollout are waited through here, and none had to be dropped."""

    learner, tasks, rng = promp("episodes"), FAMILY.tasks.all_tasks(), Streams(1)
    state = learner.init(rng)
    met = meet(learner, Agent(state.shared), tasks, collector(learner), rng, 3)
    assert float((~met.history[0].valid).float().mean()) == pytest.approx(1.0 - 8.0 / 10.0)
    progress = advance(Progress(state, {}, state.shared), met, 0.0)
    assert progress.env_steps == 4 * 8 * COPIES


def test_inner_steps_on_episodes_learn_from_one_episode_of_each_copy():
    learner, tasks, rng = promp("episodes"), FAMILY.tasks.all_tasks(), Streams(1)
    agent = learner.prior(learner.init(rng).shared, tasks, 1, rng)
    rollout = collector(learner)(learner.policy, agent, tasks, rng)
    advantages = learner.inner.advantages(rollout)
    assert torch.equal(advantages.weight > 0.0, rollout.taken)
    torch.testing.assert_close(advantages.weight[0][rollout.taken[0]], torch.full((3 * COPIES,), 1.0 / (3 * COPIES)))
    changed = rollout.map(lambda x: x.masked_fill(~rollout.taken.view(*x.shape[:3], *(1,) * (x.dim() - 3)), 7))
    garbage = collector(learner)(learner.policy, agent, tasks, rng)
    garbage = type(garbage)(**{**vars(garbage), "obs": changed.obs})  # what lies where a copy waited is never read
    for name, value in learner.adapt(agent, rollout, 0, RNG).params.items():
        assert torch.equal(value, learner.adapt(agent, garbage, 0, RNG).params[name]), name


class Unsound(Ending):
    """As `Ending`, but copy 0 loses the second of its episodes, and copy 3 the first two."""

    lost = ((3,), (0, 3), (), ())  # by phase
    phase = 0

    def __init__(self, tasks, copies, rng):
        super().__init__(tasks, copies, rng)
        self.bad, Unsound.phase = list(self.lost[Unsound.phase]), Unsound.phase + 1

    def move(self, state, action, t):
        outcome = super().move(state, action, t)
        outcome.reward[:, self.bad] = torch.nan
        return outcome


def test_a_memory_that_lost_an_episode_comes_to_its_next_point_after_two():
    family = native_suite("unsound-v1", "", "", FAMILY.tasks, SPEC, Unsound)
    learner, tasks, rng = rl2(), FAMILY.tasks.all_tasks(), Streams(1)
    collect = Collector(family.make(EnvOptions()), HORIZON, COPIES, Phases(), one_episode=True)
    Unsound.phase = 0
    met = meet(learner, Agent(learner.init(rng).shared), tasks, collect, rng, 3)
    # episodes begun before each point: 0 2 3 – by copy 0, 0 1 2 3 by copies 1 and 2, 2 3 – – by copy 3
    before = [(0 + 0 + 0 + 2) / 4, (2 + 1 + 1 + 3) / 4, (3 + 2 + 2) / 3, (3 + 3) / 2]
    for k, length in enumerate(LENGTHS):
        assert (~returns_by_step(met.history)[k].isnan()).sum(1).tolist() == [4, 4, 3, 2]
        assert met.cost.episodes[k].tolist() == pytest.approx(before)
        assert met.cost.env_steps[k].tolist() == pytest.approx([length * episodes for episodes in before])


def test_a_point_that_no_copy_of_a_task_came_to_counts_in_no_mean():
    cost = AdaptationCost(torch.tensor([[0.0, torch.nan], [0.0, 4.0]]), torch.tensor([[0.0, torch.nan], [2.0, 7.0]]))
    assert cost.mean() == ([0.0, 4.0], [1.0, 7.0])


def test_what_rounds_of_a_task_took_is_meaned_over_them():
    """Two tasks in two rounds each; one round of the second one was lost."""
    cost = AdaptationCost(torch.tensor([[0.0, 2.0], [0.0, 4.0], [0.0, 5.0]]), torch.tensor([[0.0], [1.0], [7.0]]))
    pooled = cost.pooled(torch.tensor([0, 0, 1]))
    assert pooled.episodes.tolist() == [[0.0, 3.0], [0.0, 5.0]] and pooled.env_steps.tolist() == [[0.5], [7.0]]
