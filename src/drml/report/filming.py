"""Films of a run's best policy in the episodes of a trial, for tasks of suites that can be filmed.

Who is shown is known only when all has been played, and pictures of everybody would be too many. So a meta-episode is
played twice, which gives the same twice: first to choose, then to take the poses of those who are shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drml.collect.collector import Collector
from drml.core.errors import DrmlError, InputError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import Rollout
from drml.envs.api import BatchEnv, EnvOptions, Filmable
from drml.learning.returns import episode_returns
from drml.loop.meet import meta_episode
from drml.report.captions import Caption, captioned
from drml.report.film import save_film, save_strip
from drml.report.markup import decimal
from drml.report.recorder import Recorder
from drml.run import durable, rundir, session
from drml.tasks.distribution import Split
from drml.tasks.samplers.tested import tasks_to_test

MAX_SHOWN = 4  # numbers of a task parameter
PAUSE = 1.5  # seconds at the end of the longest film of a task; the shorter ones wait for it


@dataclass(frozen=True)
class Filming:
    """Choice of what is to be filmed."""

    num_tasks: int = 4
    copies: int = 20
    """Episodes per task and step."""
    split: Split = "test"
    seed: int = 0


def film_run(run: Path, filming: Filming = Filming()) -> list[dict[str, Any]]:
    """Film a run's best policy before and after adaptation; return (and write to films.json) what was filmed.

    Where agents adapt in the episodes of a trial, one of them is followed through its first, its second and its last
    episode, that with the median return of all episodes. Elsewhere of each phase the episode with the median return is
    shown. Where the suite or the machine cannot be filmed, films.json says so in one line, and nothing is returned.

    Raises:
        InputError: if `run` is not a run directory.
        CheckpointError: if it has no checkpoint.
    """
    trained = session.load(run)
    env = trained.setup.suite.make(EnvOptions())
    rundir.drop_films(run)
    durable.make_directories(run / rundir.FILMED)
    try:
        if not isinstance(env, Filmable):
            raise InputError(f"{trained.setup.suite.name} has no pictures: its tasks cannot be filmed")
        films = _film(trained, env, env, run, filming)
    except DrmlError as error:
        durable.write_json(run / rundir.FILMS, {"unavailable": str(error)})
        return []
    durable.write_json(run / rundir.FILMS, films)
    return films


def _film(
    trained: session.Trained, env: BatchEnv, camera: Filmable, run: Path, filming: Filming
) -> list[dict[str, Any]]:
    learner, suite, rng = trained.setup.learner, trained.setup.suite, Streams(filming.seed)["film"]
    found = tasks_to_test(suite.tasks, filming.split, filming.num_tasks, rng["tasks"])[0]
    spread = torch.linspace(0, len(found) - 1, min(filming.num_tasks, len(found))).round().long()
    tasks, is_trial = found.select(spread), learner.adapts_on == "episodes"
    env.reset(tasks.select(torch.tensor([0])), 1, rng["look"])
    camera.pose(0, 0)  # refused now, if at all

    def play(env: BatchEnv) -> Sequence[Rollout]:
        collect = Collector(env, suite.spec.horizon, filming.copies, Phases(), one_episode=is_trial)
        return meta_episode(learner, trained.best, tasks, collect, rng, learner.adapt_steps).history

    shown = chosen([episode_returns(rollout) for rollout in play(env)], is_trial)
    recorder = Recorder(env, camera, shown)
    history = play(recorder)
    films: list[dict[str, Any]] = []
    for k in range(len(tasks)):
        label = camera.words(k) or ", ".join(f"{name} = {_label(value[k])}" for name, value in tasks.params.items())
        longest = max(len(recorder.poses[phase][k]) for phase in shown)
        for phase, copies in shown.items():
            told = Told.of(history[phase], k, copies[k])
            poses, moments = recorder.poses[phase][k], recorder.moments[phase][k]
            name = f"episode {phase + 1}, " if is_trial else ""
            frames, stem = camera.render(k, torch.stack(poses)), f"{rundir.FILMED}/task{k}-step{phase}"
            film = captioned(frames, [told.caption(name, moment) for moment in moments])
            save_film(film, run / f"{stem}.webp", camera.fps, PAUSE + (longest - len(poses)) / camera.fps)
            save_strip(frames[[min(t, len(poses) - 1) for t in range(longest)]], run / f"{stem}.png")
            files = {"file": f"{stem}.webp", "strip": f"{stem}.png"}
            films.append({"task": label, "row": k, "step": phase, **files, **told.facts()})
    return films


def chosen(returns: Sequence[Tensor], is_trial: bool) -> dict[int, list[int]]:
    """Return the phases that are shown, each with the copy of each task that is shown in it.

    Args:
        returns: of the first episodes, `[K, B]` by phase.
        is_trial: whether the episodes of a copy are one trial, so that one copy is followed.
    """
    last = len(returns) - 1
    if not is_trial:
        return {phase: _median(returns[phase]) for phase in sorted({0, last})}
    followed = _median(torch.stack(list(returns)).sum(0))
    return dict.fromkeys(sorted({0, min(1, last), last}), followed)


def _median(returns: Tensor) -> list[int]:
    """Return the copy of each task whose number of `[K, B]` is the median of those that are finite."""
    order, finite = returns.argsort(-1), returns.isfinite().sum(-1)
    return order.gather(-1, (finite // 2).unsqueeze(-1)).squeeze(-1).tolist()


@dataclass(frozen=True)
class Told:
    """Rewards and successes of the episode that a film shows."""

    reward: Tensor
    """`[T]`."""
    success: Tensor | None
    """`[T]` bool; None where the environment says nothing of success."""

    @staticmethod
    def of(rollout: Rollout, task: int, copy: int) -> "Told":
        """Return that of one copy's first episode in a rollout."""
        steps = first_length(rollout.ended[task, :, copy])
        success = None if rollout.success is None else rollout.success[task, :steps, copy]
        return Told(rollout.reward[task, :steps, copy].double(), success)

    def caption(self, name: str, moment: int) -> Caption:
        """Return the caption of the picture after so many steps."""
        earned = f"return {decimal(self.reward[:moment].sum().item())}"
        has_succeeded = self.success is not None and bool(self.success[:moment].any())
        return Caption(f"{name}step {moment}", f"success, {earned}" if has_succeeded else earned, has_succeeded)

    def facts(self) -> dict[str, Any]:
        """Return what is kept of it, as plain values."""
        success = {} if self.success is None else {"success": bool(self.success.any())}
        return {"return": self.reward.sum().item(), **success}


def first_length(ended: Tensor) -> int:
    """Return the steps of the first episode, whose return is told, from where a copy's episodes ended, `[T]`."""
    return int(ended.long().argmax()) + 1


def _label(value: Tensor) -> str:
    """Return a parameter's value as text; of many numbers only how many there are."""
    if value.numel() > MAX_SHOWN:
        return f"{value.numel()} numbers"
    numbers = ", ".join(f"{number:+.3g}" for number in value.flatten().tolist())
    return f"({numbers})" if value.dim() else numbers
