"""A progress bar on standard error for work that takes longer than a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from initcli.render.formats import short

PATIENCE = 1.0
"""Seconds before a bar is shown."""


class ProgressBar:
    """Shows percentage, rate and remaining time after a second, and disappears at the end."""

    def __init__(self, total: int, unit: str) -> None:
        share = TextColumn("{task.percentage:.0f}%")
        # Output must not be redirected: it may go to a pipe.
        self._bar = Progress(
            *(BarColumn(), share, _Rate(unit), TimeRemainingColumn()),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=total)
        self._timer = Timer(PATIENCE, self._bar.start)
        self._timer.daemon = True

    def __enter__(self) -> ProgressBar:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        self._bar.stop()

    def advance(self, done: int) -> None:
        """Report progress."""
        self._bar.advance(self._task, done)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the bar while output is printed on the same terminal."""
        shown = not self._timer.is_alive() and self._bar.live.is_started
        if shown:
            self._bar.stop()
        yield
        if shown:
            self._bar.start()


class _Rate(ProgressColumn):
    """The amount done, and the rate per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        rate = f"{short(task.speed)}/s" if task.speed else ""
        return Text(f"{short(task.completed)} of {short(task.total or 0)} {self.unit}  {rate}")
