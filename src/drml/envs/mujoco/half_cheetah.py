"""Half-cheetah: run in the direction, or at the velocity, that the task asks for.

The robot is Gymnasium's HalfCheetah-v5: 9 joint positions, 6 motors, 5 physics steps of 0.01 s per control step.
With v = Δx / 0.05 s the velocity of the torso over a control step, and u the control applied,

    direction   r = d · v − c ‖u‖²          d ∈ {−1, +1}
    velocity    r = −|v − v*| − c ‖u‖²      v* in m/s
    control     u = clip(action_scale · a, −1, 1)

An episode ends at the horizon alone (`truncated`), or where the simulation breaks down (`diverged`).

Source: Finn et al. 2017, "Model-agnostic meta-learning for fast adaptation of deep networks", section 5.3; every suite
below names the code base whose horizon, observation, action scale and velocity range it has.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from drml.core.errors import InputError
from drml.core.rng import BlockNoise, Streams
from drml.core.types import ActionSpec, EnvSpec, Step, Tasks
from drml.envs.api import BatchEnv, EnvOptions, Suite
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Uniform

MODEL_PATH = Path(__file__).parent / "assets" / "half_cheetah.xml"
FRAME_SKIP = 5
NUM_JOINTS = 9
NUM_MOTORS = 6
TORSO_HEIGHT = 0.7  # m, of the torso where rootz is 0
RESET_SCALE = 0.1  # half-width of the uniform noise on positions, standard deviation of the noise on velocities
EPISODES_PER_BLOCK = 4  # how many episodes' initial states are drawn at a time


@dataclass(frozen=True)
class Variant:
    """What the published half-cheetah tasks differ in."""

    goal: Literal["direction", "velocity"]
    """What the task asks for; also the name of the task parameter."""
    horizon: int
    """Control steps per episode."""
    action_scale: float
    """What the policy's output is multiplied by before it is clipped to [-1, 1]."""
    observes_position: bool = False
    """Whether the observation ends with the torso's position (x, y, z)."""
    max_velocity: float = 3.0
    """v* is uniform on [0, max_velocity] m/s; only for the velocity goal."""
    control_cost: float = 0.05
    """The coefficient c of ‖u‖²."""

    @property
    def spec(self) -> EnvSpec:
        """Return the shape of the environment: 8 positions (all but x), 9 velocities, and 3 coordinates if observed."""
        obs_size = 2 * NUM_JOINTS - 1 + 3 * self.observes_position
        action = ActionSpec("continuous", NUM_MOTORS, bound=1.0 / self.action_scale)
        return EnvSpec(obs_size=obs_size, action=action, horizon=self.horizon)

    @property
    def tasks(self) -> TaskDistribution:
        """Return p(T): no direction is held out; velocities up to 1 m/s beyond the range are out of distribution."""
        if self.goal == "direction":
            return TaskDistribution({"direction": Choice((-1.0, 1.0))}, held_out=False)
        beyond = (self.max_velocity, self.max_velocity + 1.0)
        return TaskDistribution({"velocity": Uniform(0.0, self.max_velocity, ood=beyond)})


@final
class HalfCheetah:
    """K x B half-cheetahs in one simulation object; implements `BatchEnv`.

    Raises:
        InputError: MuJoCo is not installed.
    """

    def __init__(self, variant: Variant, options: EnvOptions) -> None:
        try:
            from drml.envs.mujoco.simulation import Simulation
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] != "mujoco":
                raise
            raise InputError('the suite needs MuJoCo: pip install "drml[mujoco]"') from error
        self.variant = variant
        self.spec = variant.spec
        """The shape of observations and actions, and the horizon."""
        self.simulation = Simulation(MODEL_PATH, 1, options.threads, FRAME_SKIP)
        """The simulations, copy b of task k at index k · B + b; a reset to another number of copies replaces it."""
        self._shape = (0, 0)  # K, B

    def pose(self, task: int, copy: int) -> Tensor:
        """Return the joint positions `[9]` of one copy as they are now; a film is a sequence of these."""
        return torch.from_numpy(self.simulation.qpos[task * self._shape[1] + copy].copy())

    def render(self, poses: Tensor) -> np.ndarray:
        """Return pictures `[T, height, width, 3]` uint8 of poses `[T, 9]`, seen from the side."""
        from drml.envs.mujoco.film import make_film

        return make_film(MODEL_PATH, poses).frames

    def reset(self, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
        """Start a first episode in `copies` copies of each task and return the observations `[K, B, O]`.

        Raises:
            InputError: the tasks lack the parameter that this variant's reward needs.
        """
        if self.variant.goal not in tasks.params:
            raise InputError(f"half-cheetah tasks need the parameter '{self.variant.goal}', got {sorted(tasks.params)}")
        self._shape = (len(tasks), copies)
        num_sims = len(tasks) * copies
        if num_sims != self.simulation.num_sims:
            self.simulation = self.simulation.resized(num_sims)
        target = tasks.params[self.variant.goal].to("cpu", torch.float64)
        self._target = target.repeat_interleave(copies).numpy()  # [K·B]
        self._steps = np.zeros(num_sims, np.int64)  # taken in the current episode
        self._episode = np.zeros(num_sims, np.int64)
        self._no_end = np.zeros(num_sims, np.bool_)
        self._position_noise = self._noise(rng["position"], tasks, "uniform")
        self._velocity_noise = self._noise(rng["velocity"], tasks, "normal")
        self._restart(None)
        self._obs = self._observe()
        return self._obs

    def step(self, action: Tensor) -> Step:
        """Step all copies by one action each, `[K, B, 6]`.

        Raises:
            InputError: the action's shape is not that of the last `reset`.
        """
        if action.shape != (*self._shape, NUM_MOTORS):
            raise InputError(f"action has shape {list(action.shape)}, expected {[*self._shape, NUM_MOTORS]} as reset")
        simulation, ctrl = self.simulation, self.simulation.ctrl
        np.multiply(action.detach().numpy().reshape(ctrl.shape), self.variant.action_scale, out=ctrl)
        np.clip(ctrl, -1.0, 1.0, out=ctrl)
        cost = self.variant.control_cost * np.einsum("na,na->n", ctrl, ctrl)
        x_before = simulation.qpos[:, 0].copy()
        broken = simulation.step()
        velocity = (simulation.qpos[:, 0] - x_before) / simulation.seconds_per_step
        if self.variant.goal == "direction":
            reward = self._target * velocity - cost
        else:
            reward = -np.abs(velocity - self._target) - cost
        return self._finish(reward, broken)

    def _finish(self, reward: np.ndarray, broken: np.ndarray) -> Step:
        """Assemble the step; restart the copies whose episode ended in it."""
        before, obs = self._obs, self._observe()
        diverged = self._no_end.copy()
        if broken.size or not np.isfinite(obs.numpy()).all():
            diverged[broken] = True
            diverged |= ~obs.isfinite().all(-1).numpy().reshape(-1)
            reward[diverged] = 0.0
            unsound = self._per_copy(diverged)
            obs[unsound] = before[unsound]
        self._steps += 1
        truncated = diverged | (self._steps >= self.variant.horizon)
        self._obs = final_obs = obs
        if truncated.any():
            self._restart(None if truncated.all() else np.flatnonzero(truncated))
            self._obs = self._observe()
        return Step(
            obs=self._obs,
            reward=self._per_copy(reward.astype(np.float32)),
            terminated=self._per_copy(self._no_end.copy()),
            truncated=self._per_copy(truncated),
            diverged=self._per_copy(diverged),
            final_obs=final_obs,
        )

    def _per_copy(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.reshape(self._shape))  # [K, B]

    def _observe(self) -> Tensor:
        """Return the observations `[K, B, O]` in memory of their own."""
        simulation = self.simulation
        obs = np.empty((simulation.num_sims, self.spec.obs_size), np.float32)
        obs[:, : NUM_JOINTS - 1] = simulation.qpos[:, 1:]
        obs[:, NUM_JOINTS - 1 : 2 * NUM_JOINTS - 1] = simulation.qvel
        if self.variant.observes_position:
            obs[:, -3] = simulation.qpos[:, 0]
            obs[:, -2] = 0.0  # the robot moves in the x-z plane
            obs[:, -1] = simulation.qpos[:, 1] + TORSO_HEIGHT
        return torch.from_numpy(obs.reshape(*self._shape, -1))

    def _noise(self, rng: Streams, tasks: Tasks, kind: Literal["normal", "uniform"]) -> BlockNoise:
        return BlockNoise(rng, tasks.ids, self._shape[1], kind, (NUM_JOINTS,), EPISODES_PER_BLOCK)

    def _restart(self, sims: np.ndarray | None) -> None:
        """Start the next episode of some simulations (`None`: all): q = q₀ + U(−0.1, 0.1), q̇ = 0.1 · N(0, 1)."""
        rows = slice(None) if sims is None else sims
        episode = self._per_copy(self._episode)
        uniform = self._position_noise.rows(episode).numpy().reshape(-1, NUM_JOINTS)[rows]
        normal = self._velocity_noise.rows(episode).numpy().reshape(-1, NUM_JOINTS)[rows]
        qpos = self.simulation.init_qpos + RESET_SCALE * (2.0 * uniform - 1.0)
        self.simulation.reset(sims, qpos, RESET_SCALE * normal)
        self._steps[rows] = 0
        self._episode[rows] += 1


def _suite(name: str, summary: str, source: str, variant: Variant) -> Suite:
    def make(options: EnvOptions) -> BatchEnv:
        return HalfCheetah(variant, options)

    return Suite(name, summary, source, variant.tasks, variant.spec, make)


FORWARD_BACKWARD = "Run forward or backward; the reward tells which."
REACH_VELOCITY = "Run forward at a velocity that only the reward tells."

SUITES: tuple[Suite, ...] = (
    _suite(
        "half-cheetah-dir-promp-v1",
        FORWARD_BACKWARD,
        "Rothfuss et al. 2019 (ProMP), branch full_code, HalfCheetahRandDirec: 100 steps, actions scaled by 0.1.",
        Variant("direction", horizon=100, action_scale=0.1),
    ),
    _suite(
        "half-cheetah-dir-promp-h200-v1",
        FORWARD_BACKWARD,
        "Rothfuss et al. 2019 (ProMP), the authors' sweep for the comparison with PEARL: 200 steps.",
        Variant("direction", horizon=200, action_scale=0.1),
    ),
    _suite(
        "half-cheetah-dir-maml-v1",
        FORWARD_BACKWARD,
        "Finn et al. 2017 (MAML), cbfinn/maml_rl: 200 steps, the torso's position observed, actions scaled by 0.1. "
        "There the position is that of the robot's centre of mass; here, as in the ports, the torso's.",
        Variant("direction", horizon=200, action_scale=0.1, observes_position=True),
    ),
    _suite(
        "half-cheetah-dir-maml-rl-pytorch-v1",
        FORWARD_BACKWARD,
        "tristandeleu/pytorch-maml-rl: 100 steps, the torso's position observed, actions scaled by 0.1.",
        Variant("direction", horizon=100, action_scale=0.1, observes_position=True),
    ),
    _suite(
        "half-cheetah-dir-varibad-v1",
        FORWARD_BACKWARD,
        "Zintgraf et al. 2020 (VariBAD), HalfCheetahDir: 200 steps, actions as they are.",
        Variant("direction", horizon=200, action_scale=1.0),
    ),
    _suite(
        "half-cheetah-vel-maml-v1",
        REACH_VELOCITY,
        "Finn et al. 2017 (MAML), cbfinn/maml_rl: v* ~ U[0, 2], 200 steps, the torso's position observed, actions "
        "scaled by 0.1. There the position is that of the robot's centre of mass; here, as in the ports, the torso's.",
        Variant("velocity", horizon=200, action_scale=0.1, observes_position=True, max_velocity=2.0),
    ),
    _suite(
        "half-cheetah-vel-promp-v1",
        REACH_VELOCITY,
        "Rothfuss et al. 2019 (ProMP), HalfCheetahRandVel: v* ~ U[0, 3], 100 steps, actions scaled by 0.1 "
        "(200 steps in the authors' sweep for the comparison with PEARL).",
        Variant("velocity", horizon=100, action_scale=0.1),
    ),
    _suite(
        "half-cheetah-vel-pearl-v1",
        REACH_VELOCITY,
        "Rakelly et al. 2019 (PEARL), HalfCheetahVel: v* ~ U[0, 3], 200 steps, actions as they are.",
        Variant("velocity", horizon=200, action_scale=1.0),
    ),
)
