"""Progress of meta-training as a line of text, and a listener that prints it."""

import time
from collections.abc import Sequence

from drml.core.printable import printable
from drml.loop.config import TrainConfig
from drml.loop.progress import Progress, StopReason
from drml.loop.rows import SUCCESS, fault_texts, warnings_of
from drml.loop.trainer import Row

SECONDS_PER_LINE = 10.0
MAX_LINES = 3  # of faults of one meta-iteration


def progress_line(config: TrainConfig, progress: Progress, row: Row, seconds_per_iter: float) -> str:
    """Return where meta-training stands, how fast it goes and when it ends, as one line.

    Args:
        config: the sizes and stop rules.
        progress: how far it has come.
        row: the newest row of training numbers.
        seconds_per_iter: what a meta-iteration takes.
    """
    num_out = progress.quarantine.num_quarantined
    return (
        f"meta-iteration {progress.meta_iter}/{config.meta_iters}"
        f"  return {row['pre_return']:.1f} → {row['post_return']:.1f}{_success(row)} after adaptation"
        f"  {progress.env_steps / progress.meta_iter / seconds_per_iter:,.0f} env steps/s"
        f"  {clock(seconds_left(config, progress, seconds_per_iter))} left"
        + (f"  {num_out} task{'s' if num_out > 1 else ''} quarantined" if num_out else "")
    )


def _success(row: Row) -> str:
    """Return the shares of episodes with success, where the environments say what one is."""
    return f", success {row['pre_success_any']:.0%} → {row['post_success_any']:.0%}" if SUCCESS[0] in row else ""


def ended_line(progress: Progress, reason: StopReason) -> str:
    """Return how a training ended, and what it reached, as one line."""
    best = f"; best validation return {progress.best_return:.1f} at {progress.best_meta_iter}"
    return (
        f"ended ({reason}) after {progress.meta_iter} meta-iterations, {progress.env_steps:,} env steps, "
        f"{progress.seconds:.0f} s{best if progress.best_meta_iter else ''}"
    )


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


class Pace:
    """The seconds that a meta-iteration takes, measured since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._first_meta_iter = 0

    def seconds_per_iter(self, progress: Progress) -> float:
        """Return the mean over the meta-iterations seen so far, of which this is one."""
        self._first_meta_iter = self._first_meta_iter or progress.meta_iter
        seconds = max(time.monotonic() - self._start, 1e-9)  # the clock has ticks
        return seconds / (progress.meta_iter - self._first_meta_iter + 1)


class News:
    """Lines that tell of faults and warnings: of many faults the first few, and each warning once."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def lines(self, rows: Sequence[Row]) -> list[str]:
        """Return the lines for the rows of one meta-iteration; metrics.jsonl has what is left out."""
        faults = fault_texts(rows)
        num_more = len(faults) - MAX_LINES
        more = [f"and {num_more} more faults; metrics.jsonl has them all"] * (num_more > 0)
        warnings = {name: text for name, text in warnings_of(rows).items() if name not in self._warned}
        self._warned |= warnings.keys()
        return [*faults[:MAX_LINES], *more, *(f"warning ({name}): {text}" for name, text in warnings.items())]


class PrintedProgress:
    """A listener of `meta_train` that prints a line every ten seconds, and what is new of faults and warnings."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._pace, self._news = Pace(), News()
        self._last_line = 0.0

    def __call__(self, progress: Progress, rows: Sequence[Row]) -> None:
        """Print the progress after one meta-iteration, if it is time to."""
        seconds_per_iter = self._pace.seconds_per_iter(progress)
        for line in self._news.lines(rows):
            say(line)
        now = time.monotonic()
        if now - self._last_line >= SECONDS_PER_LINE or progress.meta_iter == self._config.meta_iters:
            row = next(row for row in rows if row["kind"] == "train")
            say(progress_line(self._config, progress, row, seconds_per_iter))
            self._last_line = now


def say(line: str) -> None:
    """Print a line in which foreign text, such as a task's name, does nothing to the terminal."""
    print(printable(line), flush=True)
