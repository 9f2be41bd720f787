from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from drml.core.errors import InputError
from drml.gym.register import NAMESPACE, register_all
from drml.suites.registry import SUITES

MAML, CORNERS, CHEETAH = "drml/navigation-maml-v1", "drml/navigation-promp-corners-v1", "drml/half-cheetah-vel-promp-v1"
GOAL = {"goal": (0.3, -0.2)}


def test_every_suite_is_registered_under_its_name():
    ours = {name for name in gym.registry if name.startswith(f"{NAMESPACE}/")}
    assert ours == {f"{NAMESPACE}/{name}" for name in SUITES}
    register_all()  # again: Gymnasium would warn of an overridden name


@pytest.mark.filterwarnings("ignore:.*(is -infinity|is infinity|symmetric and normalized)")
@pytest.mark.parametrize("name", SUITES)
def test_gymnasium_finds_nothing_wrong(name: str):
    check_env(gym.make(f"drml/{name}").unwrapped)


VARIED = """
navigation-maml-v1 navigation-promp-corners-v1 tabular-mdp-rl2-v1 bandit-bernoulli-k5-n10-v1
gridnavi-varibad-v1 rule-world-small-v1 object-memory-n5-l5-v1 meta-frozen-lake-4x4-v1
half-cheetah-vel-promp-v1 probe-discount-v1 probe-truncation-v1
"""


@pytest.mark.parametrize("name", VARIED.split())
def test_vector_form_is_the_single_form_number_by_number(name: str):
    horizon = SUITES[name].spec.horizon
    vector = gym.make_vec(f"drml/{name}", num_envs=3)
    single = SyncVectorEnv([lambda: gym.make(f"drml/{name}")] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    assert vector.observation_space == single.observation_space and vector.action_space == single.action_space
    assert vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    vector.action_space.seed(0)
    for seed in (5, None):  # then the next episodes, begun in the middle of others
        assert same(vector.reset(seed=seed), single.reset(seed=seed))
        num_ended = 0
        for _ in range(2 * horizon + horizon // 2):
            action = vector.action_space.sample()
            ours = vector.step(action)
            assert same(ours, single.step(action))
            num_ended += int((ours[2] | ours[3]).sum())
        assert num_ended >= 2 * 3


def same(ours: Any, theirs: Any) -> bool:
    *ours, our_info = ours
    *theirs, their_info = theirs
    return data_equivalence(tuple(ours), tuple(theirs), exact=True) and data_equivalence(
        our_info, their_info, exact=True
    )


def test_task_is_given_by_make_or_by_reset():
    env = gym.make(MAML, task=GOAL)
    _, info = env.reset(seed=1)
    assert info["task"]["goal"].tolist() == [0.3, -0.2]
    _, reward, *_ = env.step(np.array([1.0, 1.0]))  # to (0.1, 0.1)
    assert reward == pytest.approx(-np.hypot(0.2, 0.3))
    env.reset(options={"task": {"goal": (0.1, 0.0)}})
    assert env.step(np.array([1.0, 1.0]))[1] == pytest.approx(-0.1)
    _, info = env.reset(seed=2)
    assert info["task"]["goal"].tolist() == [0.1, 0.0]  # until another is given


def test_task_is_drawn_with_the_seed_and_stays():
    env = gym.make(MAML)
    first = env.reset(seed=1)[1]["task"]["goal"].tolist()
    assert env.reset()[1]["task"]["goal"].tolist() == first
    other = env.reset(seed=2)[1]["task"]["goal"].tolist()
    assert other != first
    assert env.reset(seed=1)[1]["task"]["goal"].tolist() == first
    assert gym.make(MAML, split="test").reset(seed=1)[1]["task"]["goal"].tolist() != first
    assert np.abs(gym.make(MAML, split="ood").reset(seed=1)[1]["task"]["goal"]).min() >= 0.5


def test_episodes_of_one_seed_differ():
    env = gym.make(CORNERS)
    starts = [env.reset(seed=3)[0], env.reset()[0]]  # the second one breaks the first off
    for _ in range(100):
        _, _, _, truncated, _ = env.step(np.zeros(2))
    assert truncated
    starts.append(env.reset()[0])
    assert len({tuple(start) for start in starts}) == 3


def test_vector_tasks_are_given_for_all_or_one_each():
    envs = gym.make_vec(MAML, num_envs=2, task=GOAL)
    assert envs.reset(seed=0)[1]["task"]["goal"].tolist() == [[0.3, -0.2]] * 2
    each = [{"goal": (0.1, 0.0)}, {"goal": (0.0, 0.4)}]
    assert envs.reset(seed=[4, 4], options={"task": each})[1]["task"]["goal"].tolist() == [[0.1, 0.0], [0.0, 0.4]]
    _, reward, *_ = envs.step(np.array([[1.0, 0.0], [0.0, 0.0]]))
    assert reward[1] == pytest.approx(-0.4) and reward[0] == pytest.approx(0.0, abs=1e-6)


def test_actions_beyond_the_space_do_what_its_bound_does():
    for env_id in (MAML, "drml/navigation-maml-rl-pytorch-v1", CHEETAH, "drml/probe-identical-v1"):
        env = gym.make(env_id)
        assert isinstance(env.action_space, gym.spaces.Box)
        bound = env.action_space.high
        outcomes: list[Any] = []
        for factor in (0.5, 1.0, 3.0):
            env.reset(seed=0)
            obs, reward, *_ = env.step(factor * bound)
            outcomes.append((obs.tolist(), reward))
        assert outcomes[1] == outcomes[2] != outcomes[0], env_id


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gym.make(MAML, task={"gaol": (0, 0)}), "unknown task parameter 'gaol'. Did you mean 'goal'?"),
        (lambda: gym.make(MAML, task={}), "task parameter 'goal' is missing, expected shape [2]"),
        (lambda: gym.make(MAML, task={"goal": 1.0}), "task parameter 'goal' has shape [], expected [2]"),
        (lambda: gym.make(MAML, task={"goal": (0.0, np.nan)}), "must be finite"),
        (lambda: gym.make(MAML, split="tset"), "unknown split 'tset'. Did you mean 'test'?"),
        (lambda: gym.make_vec(MAML, num_envs=0), "num_envs is 0"),
        (lambda: gym.make_vec(MAML, num_envs=2, task=[GOAL]), "1 tasks for 2 environments"),
        (lambda: gym.make_vec(MAML, num_envs=2).reset(seed=[1]), "1 seeds for 2 environments"),
        (lambda: gym.make_vec(MAML, num_envs=2).step(np.zeros((2, 2))), "step was called before reset"),
        (lambda: gym.make(MAML).unwrapped.step(np.zeros(2)), "step was called before reset"),
    ],
)
def test_bad_requests_are_refused_in_one_line(make: Any, message: str):
    with pytest.raises(InputError) as error:
        make()
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_step_beyond_the_end_is_refused():
    env = gym.make("drml/probe-constant-v1")
    env.reset(seed=0)
    assert env.step(np.zeros(1))[2]
    with pytest.raises(InputError, match="has ended; call reset"):
        env.step(np.zeros(1))


def test_an_id_is_enough():
    assert gym.make("drml.gym.register:drml/navigation-maml-v1").reset(seed=0)[0].shape == (2,)


@pytest.mark.filterwarnings("ignore")  # of other people's packages
def test_stable_baselines_trains_on_it():
    sb3 = pytest.importorskip("stable_baselines3")
    env = gym.make(MAML, task=GOAL)
    model = sb3.PPO("MlpPolicy", env, n_steps=128, batch_size=64, n_epochs=2, seed=0, device="cpu")
    before = [value.clone() for value in model.policy.parameters()]
    model.learn(total_timesteps=256)
    assert model.num_timesteps == 256
    assert any((new != old).any() for new, old in zip(model.policy.parameters(), before, strict=True))
    assert np.mean([episode["r"] for episode in model.ep_info_buffer]) < 0.0  # minus a distance, 100 times
    assert env.action_space.contains(model.predict(env.reset(seed=1)[0])[0])


def test_success_is_in_the_info_of_steps_and_at_an_end_in_the_final_one():
    options = {"task": {"hole": np.eye(4)[::-1] * 0.0}}
    single = gym.make("drml/meta-frozen-lake-4x4-v1")
    vector = gym.make_vec("drml/meta-frozen-lake-4x4-v1", 2)
    single.reset(seed=0, options=options), vector.reset(seed=0, options=options)
    walk = [1, 1, 1, 3, 3, 3]  # to the far corner, of a lake without holes
    for n, action in enumerate(walk, start=1):
        info, both = single.step(action)[-1], vector.step(np.array([action, 0]))[-1]
        assert info["success"] is (n == len(walk))
        last = n == len(walk)
        told = both["final_info"] if last else both
        assert told["success"][0] == last and told["_success"][0] and not both["success"][1]
        assert not (last and both["_success"][0])
    silent = gym.make("drml/navigation-maml-v1")
    silent.reset(seed=0)
    assert "success" not in silent.step(np.zeros(2, np.float32))[-1]
