"""K x B copies of a robot in one simulation object; what robot, and what is asked of it, is a `Variant`."""

from typing import final

import numpy as np
import torch
from torch import Tensor

from drml.core.errors import InputError
from drml.core.rng import BlockNoise, NoiseKind, Streams
from drml.core.types import EnvSpec, Step, Tasks
from drml.envs.api import EnvOptions
from drml.envs.mujoco.robot import Floats, Reading, Variant
from drml.envs.mujoco.simulation import Indices, Simulation

FPS = 20.0  # of films
EPISODES_PER_BLOCK = 4  # how many episodes' initial states are drawn at a time


@final
class RobotEnv:
    """K x B robots in one simulation object; implements `BatchEnv`."""

    def __init__(self, variant: Variant, options: EnvOptions) -> None:
        self.variant = variant
        self.spec: EnvSpec = variant.spec
        """The shape of observations and actions, and the horizon."""
        self._adopt(Simulation(variant.robot.model_path, 1, options.threads, variant.frame_skip, variant.fields))
        self._shape = (0, 0)  # K, B
        self._is_filmed = False

    def _adopt(self, simulation: Simulation) -> None:
        """Take a simulation object for one's own, and look at its fields."""
        self.simulation = simulation
        """The simulations, copy b of task k at index k · B + b; a reset to another number of copies replaces it."""
        self._place = self._view(self.variant.robot.place)
        self._seen = [(reading, self._view(reading)) for reading in self.variant.observes]
        self._healthy = [
            (limit, self._view(Reading(limit.field, limit.first, limit.count))) for limit in self.variant.healthy
        ]

    def _view(self, reading: Reading) -> Floats:
        return self.simulation.field(reading.field)[:, reading.first : reading.first + reading.count]

    @property
    def fps(self) -> float:
        """Return at how many pictures per second a film is shown: real time where a step takes 0.05 s."""
        return FPS

    def pose(self, task: int, copy: int) -> Tensor:
        """Return the joint positions `[nq]` of one copy, at the end of an episode those of its end.

        From here to the next reset those ends are kept.
        """
        row, self._is_filmed = task * self._shape[1] + copy, True
        end = self._ends.get(row)
        return torch.from_numpy(self.simulation.qpos[row].copy() if end is None else end)

    def render(self, task: int, poses: Tensor) -> np.ndarray:
        """Return pictures `[T, height, width, 3]` uint8 of poses `[T, nq]`, seen from the side."""
        from drml.envs.mujoco.film import make_film

        return make_film(self.variant.robot.model_path, poses).frames

    def words(self, task: int) -> str:
        """Return nothing: a task is its parameters."""
        return ""

    def reset(self, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
        """Start a first episode in `copies` copies of each task and return the observations `[K, B, O]`.

        Raises:
            InputError: the tasks lack a parameter of this variant.
        """
        missing = sorted(self.variant.parameters - set(tasks.params))
        if missing:
            raise InputError(
                f"{self.variant.robot.name} tasks need the parameter '{missing[0]}', got {sorted(tasks.params)}"
            )
        self._shape = (len(tasks), copies)
        num_sims = len(tasks) * copies
        if num_sims != self.simulation.num_sims:
            self._adopt(self.simulation.resized(num_sims))
        self._set_tasks(tasks, copies)
        self._steps = np.zeros(num_sims, np.int64)  # taken in the current episode
        self._episode = np.zeros(num_sims, np.int64)
        self._never = np.zeros(num_sims, np.bool_)
        self._is_filmed, self._ends = False, dict[int, Floats]()  # joint positions, by simulation
        start, model = self.variant.robot.start, self.simulation.model
        self._position_noise = self._noise(rng["position"], tasks, "uniform", model.nq)
        self._velocity_noise = self._noise(rng["velocity"], tasks, start.velocity_noise, model.nv)
        self._restart(None)
        self._obs = self._observe()
        return self._obs

    def _set_tasks(self, tasks: Tasks, copies: int) -> None:
        def per_sim(parameter: str) -> Floats:
            return tasks.params[parameter].to("cpu", torch.float64).repeat_interleave(copies, 0).numpy()  # [K·B, ...]

        goal, model = self.variant.goal, self.simulation.model
        self._aim = np.empty(0) if goal.parameter is None else goal.aim(per_sim(goal.parameter))
        if self.variant.varies:
            self.simulation.vary(
                {v.field: v.varied(getattr(model, v.field), per_sim(v.parameter)) for v in self.variant.varies}
            )

    def step(self, action: Tensor) -> Step:
        """Step all copies by one action each, `[K, B, A]`.

        Raises:
            InputError: the action's shape is not that of the last `reset`.
        """
        variant, simulation, ctrl = self.variant, self.simulation, self.simulation.ctrl
        expected = (*self._shape, variant.robot.num_motors)
        if action.shape != expected:
            raise InputError(f"action has shape {list(action.shape)}, expected {list(expected)} as reset")
        ctrl[:] = self.control(action)
        reward = variant.alive - variant.control_cost * np.einsum("na,na->n", ctrl, ctrl)
        before = self._place.copy()
        broken = simulation.step()
        velocity = (self._place - before) / simulation.seconds_per_step
        reward += variant.progress * variant.goal.score(self._aim, self._place, velocity)
        return self._finish(reward, broken)

    def control(self, action: Tensor) -> Floats:
        """Return the controls `[K·B, A]` that actions `[K, B, A]` stand for."""
        limit = self.variant.robot.motor_limit
        control = action.detach().numpy().reshape(-1, action.shape[-1]) * (limit * self.variant.action_scale)
        return np.clip(control, -limit, limit).astype(np.float64)

    def _finish(self, reward: Floats, broken: Indices) -> Step:
        """Assemble the step; restart the copies whose episode ended in it."""
        before, obs = self._obs, self._observe()
        terminated, diverged = self._unhealthy(), self._never.copy()
        if broken.size or not np.isfinite(obs.numpy()).all():
            diverged[broken] = True
            diverged |= ~obs.isfinite().all(-1).numpy().reshape(-1)
            reward[diverged] = 0.0
            terminated &= ~diverged
            unsound = self._per_copy(diverged)
            obs[unsound] = before[unsound]
        self._steps += 1
        truncated = (diverged | (self._steps >= self.variant.horizon)) & ~terminated
        ended = terminated | truncated
        self._obs = final_obs = obs
        if self._is_filmed:
            self._ends = {row: self.simulation.qpos[row].copy() for row in np.flatnonzero(ended).tolist()}
        if ended.any():
            self._restart(None if ended.all() else np.flatnonzero(ended))
            self._obs = self._observe()
        return Step(
            obs=self._obs,
            reward=self._per_copy(reward.astype(np.float32)),
            terminated=self._per_copy(terminated),
            truncated=self._per_copy(truncated),
            diverged=self._per_copy(diverged),
            final_obs=final_obs,
        )

    def _per_copy(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.reshape(self._shape))  # [K, B]

    def _observe(self) -> Tensor:
        """Return the observations `[K, B, O]` in memory of their own."""
        obs = np.empty((self.simulation.num_sims, self.spec.obs_size), np.float32)
        end = 0
        for reading, view in self._seen:
            start, end = end, end + reading.size
            obs[:, start:end] = view if reading.through is None else reading.through(view)
        return torch.from_numpy(obs.reshape(*self._shape, -1))

    def _unhealthy(self) -> np.ndarray:
        """Return which robots are outside of a healthy range, `[K·B]`; where a number is not finite, they are."""
        unhealthy = self._never.copy()
        for limit, view in self._healthy:
            unhealthy |= ~((view > limit.low) & (view < limit.high)).all(1)
        return unhealthy

    def _noise(self, rng: Streams, tasks: Tasks, kind: NoiseKind, size: int) -> BlockNoise:
        return BlockNoise(rng, tasks.ids, self._shape[1], kind, (size,), EPISODES_PER_BLOCK)

    def _restart(self, sims: Indices | None) -> None:
        """Start the next episode of some simulations (`None`: all of them)."""
        chosen = slice(None) if sims is None else sims
        episode, start = self._per_copy(self._episode), self.variant.robot.start
        position = self._position_noise.rows(episode).flatten(0, 1).numpy()[chosen]
        velocity = self._velocity_noise.rows(episode).flatten(0, 1).numpy()[chosen]
        if start.velocity_noise == "uniform":
            velocity = 2.0 * velocity - 1.0
        qpos = self.simulation.init_qpos + start.position * (2.0 * position - 1.0)
        self.simulation.reset(sims, qpos, start.velocity * velocity)
        self._steps[chosen] = 0
        self._episode[chosen] += 1
