"""Films of a run's best policy, before and after adaptation, for tasks of suites that can be filmed."""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from drml.collect.collector import Collector
from drml.core.errors import DrmlError, InputError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import EnvSpec, Step, Tasks
from drml.envs.api import BatchEnv, EnvOptions
from drml.learning.returns import episode_returns
from drml.loop.meet import meta_episode
from drml.report.film import save_film, save_strip
from drml.run import durable, session
from drml.tasks.samplers.tested import tasks_to_test

MAX_SHOWN = 4  # numbers of a task parameter
FRAMES_PER_SECOND = 20  # one picture per control step: real time where it takes 0.05 s, slow motion where less


@runtime_checkable
class Filmable(Protocol):
    """An environment whose copies can be drawn."""

    def pose(self, task: int, copy: int) -> Tensor:
        """Return what is needed to draw one copy as it is now."""
        ...

    def render(self, poses: Tensor) -> np.ndarray:
        """Return pictures `[T, height, width, 3]` uint8 of poses `[T, ...]`."""
        ...


class _PoseRecorder:
    """A `BatchEnv` that notes the poses of all copies before each step of another."""

    def __init__(self, env: BatchEnv, filmed: Filmable) -> None:
        self._env, self._filmed = env, filmed
        self._shape = (0, 0)
        self.phases: list[list[Tensor]] = []
        """Poses `[K, B, ...]` by reset and step."""

    @property
    def spec(self) -> EnvSpec:
        return self._env.spec

    def reset(self, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
        self._shape = (len(tasks), copies)
        self.phases.append([])
        return self._env.reset(tasks, copies, rng)

    def step(self, action: Tensor) -> Step:
        num_tasks, copies = self._shape
        rows = [torch.stack([self._filmed.pose(k, b) for b in range(copies)]) for k in range(num_tasks)]
        self.phases[-1].append(torch.stack(rows))
        return self._env.step(action)


def film_run(run: Path, copies: int = 20, max_tasks: int = 4, seed: int = 0) -> list[dict[str, Any]]:
    """Film a run's best policy before and after adaptation; return (and write to films.json) what was filmed.

    Of the episodes of each task and phase the one with the median return is shown. Where the suite or the machine
    cannot be filmed, films.json says so in one line, and nothing is returned.

    Raises:
        InputError: if `run` is not a run directory.
        CheckpointError: if it has no checkpoint.
    """
    trained = session.load(run)
    env = trained.setup.suite.make(EnvOptions())
    try:
        if not isinstance(env, Filmable):
            raise InputError(f"{trained.setup.suite.name} has no pictures: its tasks cannot be filmed")
        films = _film(trained, env, env, run, copies, max_tasks, seed)
    except DrmlError as error:
        durable.write_json(run / "films.json", {"unavailable": str(error)})
        return []
    durable.write_json(run / "films.json", films)
    return films


def _film(
    trained: session.Trained, env: BatchEnv, filmed: Filmable, run: Path, copies: int, max_tasks: int, seed: int
) -> list[dict[str, Any]]:
    recorder = _PoseRecorder(env, filmed)
    rng = Streams(seed)["film"]
    tasks, _ = tasks_to_test(trained.setup.suite.tasks, "test", max_tasks, rng["tasks"])
    learner = trained.setup.learner
    one_episode = learner.adapts_on == "episodes"
    collect = Collector(recorder, trained.setup.suite.spec.horizon, copies, Phases(), one_episode=one_episode)
    history = meta_episode(learner, trained.best, tasks, collect, rng, learner.adapt_steps).history
    durable.make_directories(run / "films")
    films: list[dict[str, Any]] = []
    for k in range(len(tasks)):
        for phase in (0, learner.adapt_steps):
            returns = episode_returns(history[phase])[k]
            shown = int(returns.argsort()[copies // 2])
            seen = recorder.phases[phase][: first_length(history[phase].ended[k, :, shown])]
            frames = filmed.render(torch.stack([poses[k, shown] for poses in seen]))
            stem = f"films/task{k}-step{phase}"
            save_film(frames, run / f"{stem}.webp", fps=FRAMES_PER_SECOND)
            save_strip(frames, run / f"{stem}.png")
            label = ", ".join(f"{name} = {_label(value[k])}" for name, value in tasks.params.items())
            episode_return = returns[shown].item()
            films.append(
                {"task": label, "step": phase, "file": f"{stem}.webp", "strip": f"{stem}.png", "return": episode_return}
            )
    return films


def first_length(ended: Tensor) -> int:
    """Return the steps of the first episode, whose return is told, from where a copy's episodes ended, `[T]`."""
    return int(ended.long().argmax()) + 1


def _label(value: Tensor) -> str:
    """Return a parameter's value as text; of many numbers only how many there are."""
    if value.numel() > MAX_SHOWN:
        return f"{value.numel()} numbers"
    numbers = ", ".join(f"{number:+.3g}" for number in value.flatten().tolist())
    return f"({numbers})" if value.dim() else numbers
