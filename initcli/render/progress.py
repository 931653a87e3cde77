"""A progress bar on standard error, for work that takes longer than a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

PATIENCE = 1.0
"""Seconds before a bar is shown."""


@contextmanager
def progress_bar(total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """A function that is told what is done of ``total``; the bar shows share, rate and time left.

    It is shown where standard error is a terminal, and is gone at the end.
    """
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda done: None
        return
    columns = (
        BarColumn(),
        TextColumn("{task.percentage:.0f}%"),
        _Rate(unit),
        TimeRemainingColumn(),
    )
    # What is printed while it is shown goes where it was meant to, perhaps into a pipe.
    bar = Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    )
    task = bar.add_task("", total=total)
    # It refreshes itself, so one that shows it late is all that is needed.
    timer = Timer(PATIENCE, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda done: bar.advance(task, done)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


class _Rate(ProgressColumn):
    """What is done, and how much of it a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        rate = f"{_short(task.speed)}/s" if task.speed else ""
        return Text(f"{_short(task.completed)} of {_short(task.total or 0)} {self.unit}  {rate}")


def _short(number: float) -> str:
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{suffix}"
    return f"{number:.0f}"
