"""Adaptation curve of one agent in one environment: returns after each step, what each changed, what was spent."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from drml.act.tally import Change
from drml.core.errors import InputError
from drml.core.types import Rollout
from drml.learning.returns import episode_returns
from drml.loop.curve import at_points
from drml.loop.stats import Measured, estimand, half_width, iqm
from drml.loop.success import episode_successes, says_success
from drml.run.durable import replace_file


@final
@dataclass(frozen=True)
class Curve:
    """Returns by adaptation step. Intervals are over episodes: another adaptation would differ by more than that."""

    first_step: int
    """Adaptation steps that the agent had taken before the first point."""
    returns: Tensor
    """`[S + 1, B]` undiscounted returns of episodes after `first_step`, `first_step` + 1, … adaptation steps, as
    `drml test` counts them; NaN for episodes that were not sound, or that are fewer than at another point."""
    env_steps: tuple[int, ...]
    """Environment steps taken for each point, in all copies together."""
    seconds: tuple[float, ...]
    """Seconds that each point took, the adaptation before it included; 0 for what was played in an earlier call."""
    success_any: Tensor | None = None
    """`[S + 1, B]` 1 where the environment said at any step of an episode that it was a success, else 0, NaN as the
    returns are; None where it never said anything of success."""
    success_last: Tensor | None = None
    """The same of an episode's last step."""
    taken_back: bool = False
    """True where the last step made things worse and was taken back: the agent is the one of the point before it."""

    @property
    def steps(self) -> tuple[int, ...]:
        """Return the adaptation steps before each point."""
        return tuple(range(self.first_step, self.first_step + len(self.returns)))

    @property
    def measured(self) -> tuple[Measured, ...]:
        """Return the mean return at each point, with its interval over episodes."""
        return _measured(self.returns)

    @property
    def successes(self) -> dict[str, tuple[Measured, ...]]:
        """Return the shares of episodes with success at each point, at any step and at the last; none if unsaid."""
        kinds = {"success_any": self.success_any, "success_last": self.success_last}
        return {name: _measured(kind) for name, kind in kinds.items() if kind is not None}

    @property
    def changes(self) -> tuple[Change, ...]:
        """Return what each adaptation step changed, one fewer than there are points."""
        rows = [_finite(row) for row in self.returns]
        return tuple(Change(before, after) for before, after in pairwise(rows))

    def line(self, point: int) -> str:
        """Return a point as one line, such as `step 1: 20 episodes, mean return 12.3 ± 1.1, 4.2 s`."""
        at = self.measured[point]
        width = "" if at.half_width is None else f" ± {at.half_width:.3g}"
        count = len(_finite(self.returns[point]))
        episodes = f"{count} episode{'' if count == 1 else 's'}"
        said = [points[point].mean for points in self.successes.values()]
        success = f", success {said[0]:.0%} ({said[1]:.0%} at the last step)" if said else ""
        earned = f"mean return {at.mean:.4g}{width}{success}"
        return f"step {self.steps[point]}: {episodes}, {earned}, {self.seconds[point]:.1f} s"

    def table(self) -> str:
        """Return the curve as a table of text."""
        successes = list(self.successes.values())
        said = ("success", "± 95 %", "at last step", "± 95 %") if successes else ()
        head = ("steps", "episodes", "mean return", "± 95 %", "change", "± 95 %", *said, "env steps", "seconds")
        rows: list[tuple[str, ...]] = [head]
        changes = [None, *self.changes]
        for k, (at, change) in enumerate(zip(self.measured, changes, strict=True)):
            changed = ("", "") if change is None else (f"{change.difference:+.4g}", _width(change.half_width))
            count = str(len(_finite(self.returns[k])))
            numbers = f"{at.mean:.4g}", _width(at.half_width)
            spent = f"{self.env_steps[k]:,}", f"{self.seconds[k]:.1f}"
            shares = [cell for kind in successes for cell in (f"{kind[k].mean:.3g}", _width(kind[k].half_width))]
            rows.append((str(self.steps[k]), count, *numbers, *changed, *shares, *spent))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        notes = ["intervals are over the episodes in this one environment"]
        notes += ["the last step made things worse and was taken back"] * self.taken_back
        return "\n".join([*lines, *notes])

    def facts(self) -> dict[str, Any]:
        """Return the curve as JSON values."""
        points = zip(self.steps, self.measured, self.env_steps, self.seconds, self.returns.tolist(), strict=True)
        return {
            "return_by_step": [
                {"step": step, **at.facts(), "env_steps": env_steps, "seconds": seconds, "returns": returns}
                for step, at, env_steps, seconds, returns in points
            ],
            **{
                f"{name}_by_step": [{"step": s, **at.facts()} for s, at in zip(self.steps, points, strict=True)]
                for name, points in self.successes.items()
            },
            "changes": [
                {"difference": c.difference, "half_width_95": c.half_width, "is_worse": c.is_worse}
                for c in self.changes
            ],
            "taken_back": self.taken_back,
        }

    def picture(self, path: Path | str) -> None:
        """Draw the curve to a PNG file.

        Raises:
            InputError: if `drml[report]` is not installed.
            ResourceError: if the file cannot be written.
        """
        try:
            from drml.report.figures import adaptation_picture
        except ImportError as error:
            raise InputError(f'a picture needs {error.name}: pip install "drml[report]"') from error
        widths = [np.nan if at.half_width is None else at.half_width for at in self.measured]
        means = [at.mean for at in self.measured]
        data = {
            "step": list(self.steps),
            "mean": means,
            "low": np.subtract(means, widths).tolist(),
            "high": np.add(means, widths).tolist(),
            "estimand": estimand("episodes", 1),
            "tasks": [],
        }
        replace_file(Path(path), adaptation_picture(data))


def curve_of(first_step: int, history: Sequence[Rollout], seconds: Sequence[float]) -> Curve:
    """Return the curve of one task's rollouts, one for each point; where these have fewer copies, rows end in NaN."""
    env_steps = tuple(rollout.env_steps for rollout in history)
    returns = _rows([episode_returns(rollout) for rollout in history], history)
    if not says_success(history):
        return Curve(first_step, returns, env_steps, tuple(seconds))
    at_any, at_last = zip(*(episode_successes(rollout) for rollout in history), strict=True)
    return Curve(first_step, returns, env_steps, tuple(seconds), _rows(at_any, history), _rows(at_last, history))


def _rows(by_phase: Sequence[Tensor], history: Sequence[Rollout]) -> Tensor:
    """Return the numbers of one task by point and copy, of numbers `[1, B]` of each phase."""
    if history[0].first_carry:
        return at_points(torch.stack(list(by_phase), 1), history)[0]
    return torch.nn.utils.rnn.pad_sequence([row[0] for row in by_phase], batch_first=True, padding_value=torch.nan)


def _measured(by_point: Tensor) -> tuple[Measured, ...]:
    """Return the mean at each point `[S + 1, B]`, with its interval over episodes."""
    found: list[Measured] = []
    for row in by_point.double().numpy():
        values = row[np.isfinite(row)]
        if not len(values):  # each memory has lost an episode, and with it its last point
            found.append(Measured(np.nan, None, "episodes", 1, None))
            continue
        found.append(Measured(float(values.mean()), half_width(values), "episodes", 1, float(iqm(values))))
    return tuple(found)


def _finite(row: Tensor) -> tuple[float, ...]:
    return tuple(row[row.isfinite()].tolist())


def _width(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
