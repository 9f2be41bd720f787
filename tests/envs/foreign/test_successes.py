"""What foreign environments say of success, in each way and under each reset, against scripts written down by hand."""

import numpy as np
import pytest
import torch

from drml.collect.collector import Collector
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import Agent
from drml.envs.api import EnvOptions
from drml.envs.foreign.successes import success_of, successes_of
from drml.loop.success import episode_successes
from drml.policies.mlp import MLPConfig, mlp_policy

from .sayers import HORIZON, LENGTHS, MODES, SAID, STEPS, family, script

RNG, COPIES = Streams(3), len(LENGTHS)


def played(kind, mode, steps=STEPS, one_episode=False):
    suite = family(kind, mode).suite()
    env = suite.make(EnvOptions(one_episode=one_episode))
    collector = Collector(env, steps, COPIES, Phases(), one_episode=one_episode)
    policy = mlp_policy(suite.spec, MLPConfig(hidden=(4,)))
    rollout = collector(policy, Agent(policy.init(RNG["init"])), suite.tasks.all_tasks(), RNG["play"])
    collector.close()
    assert rollout.taken.all() == (not one_episode) and rollout.valid.equal(rollout.taken)
    return rollout


def counted(kind):
    """Whether an episode of each copy is a success at any step, and at its last: the lengths are 2 or more."""
    when = kind.split(",")[0]
    return [[float(when != "never")] * COPIES, [float(when == "late")] * COPIES]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [kind for kind in SAID if kind != "silent"])
def test_what_is_said_stands_at_its_step_in_whatever_way_episodes_follow_each_other(kind, mode):
    if mode.startswith("async") and kind not in ("early, only where true", "late, only at the end"):
        pytest.skip("what a process says is laid out by the same code")
    if "array" in kind and mode != "plain":
        pytest.skip("Gymnasium adds an axis, which is tested below")
    rollout = played(kind, mode)
    assert rollout.success[0].tolist() == script(kind)
    assert episode_successes(rollout)[:, 0].tolist() == counted(kind)


@pytest.mark.parametrize("mode", MODES)
def test_where_nothing_is_said_of_a_step_nothing_is_counted_whatever_resets_say(mode):
    assert played("silent", mode).success is None


@pytest.mark.parametrize("mode", ["plain", "wrapped DISABLED", "others NEXT_STEP", "others SAME_STEP"])
@pytest.mark.parametrize("kind", ["early, only where true", "late, only at the end", "never, bool each step"])
def test_copies_that_wait_for_the_others_add_nothing(kind, mode):
    rollout = played(kind, mode, steps=HORIZON, one_episode=True)
    assert episode_successes(rollout)[:, 0].tolist() == counted(kind)


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({}, None),
        ({"success": True}, True),
        ({"success": np.bool_(False)}, False),
        ({"success": 1}, True),
        ({"success": 0.999}, False),
        ({"success": -1}, False),
        ({"success": np.float64("nan")}, False),
        ({"success": np.ones((1, 1))}, True),
        ({"success": torch.tensor(1.0)}, True),
        ({"success": torch.tensor([False])}, False),
        ({"success": [True]}, True),
        ({"success": None}, None),
        ({"success": "yes"}, None),
        ({"success": np.ones(2)}, None),
        ({"success": {}}, None),
        ({"is_success": True}, True),
        ({"success": False, "is_success": True}, False),
        ({"success": None, "is_success": True}, True),
        (None, None),
        ([("success", True)], None),
    ],
)
def test_truth_values_and_numbers_say_something_and_all_else_nothing(info, said):
    assert success_of(info) is said


NONE = np.zeros(2, np.bool_)
FIRST = np.array([True, False])


@pytest.mark.parametrize(
    ("info", "restarted", "starting", "said"),
    [
        ({"success": np.array([1, 0]), "_success": np.array([True, True])}, NONE, NONE, [True, False]),
        ({"success": np.array([1, 1]), "_success": np.array([False, True])}, NONE, NONE, [False, True]),
        ({"success": np.array([1, 1]), "_success": NONE}, NONE, NONE, None),
        ({"success": np.array([[True], [False]])}, NONE, NONE, [True, False]),  # an axis more, and no mask
        ({"success": torch.tensor([True, False])}, NONE, NONE, [True, False]),
        ({"success": [None, True]}, NONE, NONE, [False, True]),
        ({"success": np.ones(3)}, NONE, NONE, None),  # of other copies than there are
        ({"success": True}, NONE, NONE, None),  # of whom?
        ([{"success": 0}, {"is_success": 1}], NONE, NONE, [False, True]),
        ([{}, {}], NONE, NONE, None),
        # the first copy has begun its next episode, and `success` is of that one
        ({"success": np.ones(2), "final_info": {"success": np.zeros(2)}}, FIRST, NONE, [False, True]),
        ({"success": np.ones(2), "final_info": {}}, FIRST, NONE, [False, True]),
        ({"success": np.ones(2), "final_info": [{"is_success": 0}, None]}, FIRST, NONE, [False, True]),
        ({"final_info": {"success": np.ones(2)}}, FIRST, NONE, [True, False]),
        ({"final_info": {"success": np.ones(2)}}, NONE, NONE, None),
        ({"success": np.ones(2)}, FIRST, NONE, [True, True]),  # there is no final info: it is of the step
        ({"success": np.ones(2)}, NONE, FIRST, [False, True]),
    ],
)
def test_vector_environments_say_it_in_columns_lists_and_final_infos(info, restarted, starting, said):
    found = successes_of(info, restarted, starting)
    assert found is None if said is None else found.tolist() == said
