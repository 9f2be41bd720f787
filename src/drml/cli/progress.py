"""Live progress of meta-training: the numbers that matter, on one live line or, off a terminal, a few plain ones."""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as LiveProgress

from drml.cli.main import print_warnings
from drml.cli.terminal import say
from drml.loop.config import TrainConfig
from drml.loop.progress import Progress
from drml.loop.trainer import Row
from drml.use.progress import SECONDS_PER_LINE, News, Pace, progress_line


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
        self._pace, self._news = Pace(), News()
        self._last_line = 0.0
        self.last_row: Row = {}
        """The newest row of training numbers."""

    def __enter__(self) -> "ProgressLine":
        print_warnings()
        self._pace = Pace()
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, progress: Progress, rows: Sequence[Row]) -> None:
        """Show the progress after one meta-iteration."""
        self.last_row = next(row for row in rows if row["kind"] == "train")
        text = progress_line(self._config, progress, self.last_row, self._pace.seconds_per_iter(progress))
        self._say(self._news.lines(rows))
        now = time.monotonic()
        if self._console.is_terminal:
            self._live.update(self._bar, completed=progress.meta_iter, description=text)
        elif now - self._last_line >= SECONDS_PER_LINE or progress.meta_iter == self._config.meta_iters:
            say(text)
            self._last_line = now

    def _say(self, lines: Sequence[str]) -> None:
        """Print lines, above the live one where there is one."""
        for line in lines:
            if self._console.is_terminal:
                self._console.print(line)
            else:
                say(line)
