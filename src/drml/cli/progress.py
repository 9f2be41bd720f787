"""Live progress of meta-training: the numbers that matter, on one live line or, off a terminal, a few plain ones."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as LiveProgress

from drml.cli.main import print_warnings
from drml.cli.terminal import say
from drml.loop.config import TrainConfig
from drml.loop.progress import Progress
from drml.loop.rows import fault_texts, warnings_of
from drml.loop.trainer import Row

SECONDS_PER_LINE = 10.0
MAX_LINES = 3  # of faults of one meta-iteration


class ProgressLine:
    """A listener of `meta_train` that shows where it stands, how fast it goes and when it ends."""

    def __init__(self, config: TrainConfig, console: Console) -> None:
        self._config = config
        self._console = console
        self._live = LiveProgress(
            BarColumn(bar_width=20),
            TextColumn("{task.description}", markup=False),
            console=console,
            refresh_per_second=2,  # it draws in a thread of its own, beside the simulator's
            disable=not console.is_terminal,
        )
        self._bar = self._live.add_task("starting", total=config.meta_iters)
        self._first_meta_iter = 0
        self._start = self._last_line = 0.0
        self._warned: set[str] = set()
        self.last_row: Row = {}
        """The newest row of training numbers."""

    def __enter__(self) -> "ProgressLine":
        print_warnings()
        self._start = time.monotonic()
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, progress: Progress, rows: Sequence[Row]) -> None:
        """Show the progress after one meta-iteration."""
        self.last_row = next(row for row in rows if row["kind"] == "train")
        self._first_meta_iter = self._first_meta_iter or progress.meta_iter
        text = self._describe(progress, self.last_row)
        self._say(fault_texts(rows))
        self._warn(warnings_of(rows))
        now = time.monotonic()
        if self._console.is_terminal:
            self._live.update(self._bar, completed=progress.meta_iter, description=text)
        elif now - self._last_line >= SECONDS_PER_LINE or progress.meta_iter == self._config.meta_iters:
            say(text)
            self._last_line = now

    def _describe(self, progress: Progress, row: Row) -> str:
        meta_iters_here = progress.meta_iter - self._first_meta_iter + 1
        seconds_per_iter = max(time.monotonic() - self._start, 1e-9) / meta_iters_here  # 1e-9: the clock has ticks
        env_steps_per_iter = progress.env_steps / progress.meta_iter
        return (
            f"meta-iteration {progress.meta_iter}/{self._config.meta_iters}"
            f"  return {row['pre_return']:.1f} → {row['post_return']:.1f} after adaptation"
            f"  {env_steps_per_iter / seconds_per_iter:,.0f} env steps/s"
            f"  {clock(seconds_left(self._config, progress, seconds_per_iter))} left{self._out(progress)}"
        )

    def _say(self, lines: Sequence[str]) -> None:
        """Print lines above the live one; of many the first few."""
        more = [f"and {len(lines) - MAX_LINES} more faults; metrics.jsonl has them all"] * (len(lines) > MAX_LINES)
        for line in [*lines[:MAX_LINES], *more]:
            if self._console.is_terminal:
                self._console.print(line)
            else:
                say(line)

    def _warn(self, warnings: Mapping[str, str]) -> None:
        """Say each warning when it first comes up; metrics.jsonl and the report say in how many meta-iterations."""
        self._say([f"warning ({name}): {line}" for name, line in warnings.items() if name not in self._warned])
        self._warned |= warnings.keys()

    def _out(self, progress: Progress) -> str:
        num_out = progress.quarantine.num_quarantined
        return f"  {num_out} task{'s' if num_out > 1 else ''} quarantined" if num_out else ""


def seconds_left(config: TrainConfig, progress: Progress, seconds_per_iter: float) -> float:
    """Return the seconds until the first budget is spent; convergence may end the training before."""
    iters = float(config.meta_iters - progress.meta_iter)
    if config.max_env_steps and progress.env_steps:
        steps_per_iter = progress.env_steps / progress.meta_iter
        iters = min(iters, max(config.max_env_steps - progress.env_steps, 0) / steps_per_iter)
    seconds = iters * seconds_per_iter
    return min(seconds, max(config.max_seconds - progress.seconds, 0.0)) if config.max_seconds else seconds


def clock(seconds: float) -> str:
    """Return a duration as `m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
