"""Environments that are lent: refused in one line where they do not fit, never closed, and usable afterwards."""

import signal

import gymnasium as gym
import numpy as np
import pytest
import torch

import drml
from drml.act.adapting import Plan

HORIZON = 100
SPACE = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
ACTIONS = gym.spaces.Box(-0.1, 0.1, (2,), np.float32)


class Point(gym.Env):
    """Pays 1 a step, or what `reward` says of an episode and a step; never ends by itself."""

    observation_space, action_space = SPACE, ACTIONS

    def __init__(self, reward=lambda episode, t: 1.0):
        self.reward, self.episode, self.t, self.closed = reward, -1, 0, False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(2, np.float32), self.reward(self.episode, self.t - 1), False, False, {}

    def close(self):
        self.closed = True


@pytest.fixture(scope="module")
def meta(tmp_path_factory):
    sizes = {"meta_iters": 1, "num_tasks": 2, "copies": 2, "validate_every": 1, "validation_tasks": 2}
    run = drml.train("navigation-maml-v1", "maml", out=tmp_path_factory.mktemp("runs") / "maml", verbose=False, **sizes)
    meta = drml.load(run.path)
    assert meta.observation_space == SPACE and meta.action_space.shape == (2,)
    Point.action_space = meta.action_space
    return meta


def refusal(kind, call):
    with pytest.raises(kind) as told:
        call()
    assert "\n" not in str(told.value)
    return str(told.value)


def test_episodes_are_played_in_rounds_up_to_the_horizon_and_the_environment_stays_open(meta, capsys):
    env = Point()
    agent, curve = meta.adapt_to(env, episodes=3, steps=1)
    np.testing.assert_array_equal(curve.returns, np.full((2, 3), HORIZON))
    assert curve.env_steps == (3 * HORIZON, 3 * HORIZON) and agent.steps == (1,) and agent.num_copies == 1
    assert [line[:22] for line in capsys.readouterr().err.splitlines()] == [
        "step 0: 3 episodes, me",
        "step 1: 3 episodes, me",
    ]
    assert not env.closed
    agent.act(env.reset()[0])


def test_a_vector_environment_of_two_plays_three_episodes_in_two_rounds(meta):
    envs = gym.vector.SyncVectorEnv([Point, Point])
    agent, curve = meta.adapt_to(envs, episodes=3, steps=0, verbose=False)
    assert curve.returns.shape == (1, 4) and agent.num_copies == 2 and agent.autoreset == "next_step"
    assert not any(env.closed for env in envs.envs)
    agent.act(envs.reset()[0])


def test_other_spaces_are_refused_and_both_are_named(meta):
    env = Point()
    env.observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    said = refusal(drml.InputError, lambda: meta.adapt_to(env))
    assert str(env.observation_space) in said and str(meta.observation_space) in said
    env = Point()
    env.action_space = gym.spaces.Discrete(2)
    said = refusal(drml.InputError, lambda: meta.adapt_to(env))
    assert "Discrete(2)" in said and str(meta.action_space) in said
    env.action_space = gym.spaces.Box(2 * meta.action_space.low, 2 * meta.action_space.high)
    refusal(drml.InputError, lambda: meta.adapt_to(env))


def test_numbers_of_64_bits_mean_the_same_actions(meta):
    env = Point()
    env.action_space = gym.spaces.Box(
        meta.action_space.low.astype(np.float64), meta.action_space.high.astype(np.float64), dtype=np.float64
    )
    assert meta.adapt_to(env, 1, 0, verbose=False)[1].returns.tolist() == [[HORIZON]]


def test_what_is_no_environment_is_refused(meta):
    assert "str is not an environment" in refusal(drml.InputError, lambda: meta.adapt_to("CartPole-v1"))


def test_a_vector_environment_has_to_say_how_it_resets(meta):
    envs = gym.vector.SyncVectorEnv([Point])

    class Silent(gym.vector.VectorWrapper):
        metadata = {}  # noqa: RUF012

    assert "autoreset mode" in refusal(drml.EnvError, lambda: meta.adapt_to(Silent(envs)))


@pytest.mark.parametrize(("episodes", "steps"), [(0, 1), (-1, 1), (1, -1), (1.5, 1), (True, 1), (2, None)])
def test_numbers_out_of_range_are_refused_before_anything_is_played(meta, episodes, steps):
    env = Point()
    refusal(drml.InputError, lambda: meta.adapt_to(env, episodes, steps))
    assert env.episode == -1


def test_an_environment_that_raises_is_named_with_the_call_and_the_cause(meta):
    def fails(episode, t):
        if (episode, t) == (1, 3):
            raise KeyError("torque")
        return 1.0

    said = refusal(drml.EnvError, lambda: meta.adapt_to(Point(fails), 2, 1, verbose=False))
    assert "raised in step 3" in said and "copy 1" in said and "KeyError: 'torque'" in said


def test_ctrl_c_in_an_environment_passes_through(meta):
    def stops(episode, t):
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        meta.adapt_to(Point(stops), 1, 1, verbose=False)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_unsound_episode_is_dropped_and_where_none_is_left_it_is_an_error(meta, caplog):
    env = Point(lambda episode, t: np.nan if episode == 1 else 1.0)
    _, curve = meta.adapt_to(env, episodes=3, steps=1, verbose=False)
    assert curve.returns[0].isfinite().tolist() == [True, False, True] and curve.returns[1].isfinite().all()
    assert "1 of 3 episodes are dropped, nothing is learned from them: the environment was not finite" in caplog.text
    said = refusal(drml.EnvError, lambda: meta.adapt_to(Point(lambda episode, t: np.inf), 2, 1, verbose=False))
    assert "no sound episode" in said


def worse_after(first):
    """Return a reward that falls from 1 to 0 a step after so many episodes, and differs a little between them."""
    return lambda episode, t: float(episode < first) + 1e-3 * (episode % 3)


def test_harm_is_noticed_and_taken_back_where_asked(meta, caplog):
    agent, curve = meta.adapt_to(Point(worse_after(3)), episodes=3, steps=2, verbose=False)
    assert agent.steps == (2,) and not curve.taken_back and "step 1 has made it worse" in caplog.text
    back, curve = meta.adapt_to(Point(worse_after(3)), episodes=3, steps=2, verbose=False, take_back=True)
    assert back.steps == (0,) and curve.taken_back and len(curve.returns) == 2 and "was taken back" in curve.table()
    for name, value in meta.start().agent.params.items():
        torch.testing.assert_close(back.agent.params[name], value, rtol=0, atol=0)
    with pytest.raises(drml.InputError):
        back.adapt()  # nothing is left to learn from


def test_the_last_episodes_are_learned_from_by_the_next_step(meta):
    reward = lambda episode, t: float((episode * 7 + t) % 5)  # noqa: E731
    whole, _ = meta.adapt_to(Point(reward), 2, 2, verbose=False)
    half, _ = meta.adapt_to(Point(reward), 2, 1, verbose=False)
    assert half.adapt().env_steps == 2 * HORIZON and half.steps == (2,)
    for name, value in whole.agent.params.items():
        torch.testing.assert_close(half.agent.params[name], value, rtol=0, atol=0)
    with pytest.raises(drml.InputError):
        half.adapt()


def test_no_global_generator_moves(meta):
    np_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    meta.adapt_to(Point(), 2, 1, verbose=False)
    np.testing.assert_array_equal(np.random.get_state()[1], np_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_a_plan_says_what_it_needs():
    assert "steps is -1, expected a whole number of 0 or more" in refusal(drml.InputError, lambda: Plan(1, -1))
