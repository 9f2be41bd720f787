import gymnasium as gym
import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.envs.foreign.family import task_family
from drml.envs.foreign.filmed import smaller
from drml.tasks.parameter import Uniform


class Counter(gym.Env):
    """Counts its steps to 3, and paints the count."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 — Gymnasium's contract
    observation_space = gym.spaces.Box(0.0, 9.0, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, shade, picture=None):
        self.shade, self.picture = shade, picture

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.full(1, self.count, np.float32), 1.0, self.count == 3, False, {}

    def render(self):
        if self.picture == "broken":
            raise RuntimeError("no paint")
        return self.picture or np.full((4, 6, 3), (self.count, round(self.shade), 0), np.uint8)


def begun(picture=None, vector=False):
    if vector:

        @task_family(horizon=5, shade=Uniform(0.0, 100.0))
        def family(shade, num_envs):
            return gym.vector.SyncVectorEnv([lambda: Counter(shade)] * num_envs)
    else:

        @task_family(horizon=5, shade=Uniform(0.0, 100.0))
        def family(shade):
            return Counter(shade, picture)

    env = family.suite().make(EnvOptions())
    env.reset(Tasks({"shade": torch.tensor([10.0, 20.0])}, torch.arange(2)), 3, Streams(0))
    return env


@pytest.mark.parametrize("vector", [False, True])
def test_poses_are_pictures_and_at_an_episodes_end_those_of_its_end(vector):
    env = begun(vector=vector)
    poses = [env.pose(1, 2)]
    for _ in range(4):
        env.step(torch.zeros(2, 3, dtype=torch.int64))
        poses.append(env.pose(1, 2))
    frames = env.render(1, torch.stack(poses))
    assert frames.shape == (5, 4, 6, 3) and frames.dtype == np.uint8
    assert frames[:, 0, 0].tolist() == [[0, 20, 0], [1, 20, 0], [2, 20, 0], [3, 20, 0], [1, 20, 0]]


@pytest.mark.parametrize("picture", [[], "text"])
def test_without_pictures_one_line_says_what_to_do(picture):
    with pytest.raises(InputError, match=r"has no pictures: .* render_mode='rgb_array'$"):
        begun(picture or [1]).pose(0, 0)


def test_a_render_that_fails_is_told():
    with pytest.raises(InputError, match=r"cannot be filmed: its render failed: no paint$"):
        begun("broken").pose(0, 0)


def test_wide_pictures_become_means_of_squares():
    picture = np.arange(4 * 900 * 3).reshape(4, 900, 3).astype(np.uint8)
    small = smaller(picture)
    assert small.shape == (1, 300, 3)
    assert small[0, 0].tolist() == np.rint(picture[:3, :3].reshape(-1, 3).mean(0)).astype(int).tolist()
    assert np.array_equal(smaller(picture[:, :400]), picture[:, :400])
