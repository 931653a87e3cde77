"""Sampling for a command: how many weights, by which processes, with a progress bar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple

from initcli.cli.terminal import (
    progress,
    say,
)

if TYPE_CHECKING:
    from initcli.checkpoint import Subject
    from initcli.parameter import Parameter
    from initcli.reports.tensors import TensorSummary
    from initcli.sampling.workers import Workers


_SECONDS_PER_WEIGHT = 1e-8
"""Rough time of one process per weight, in seconds, which decides how many processes start."""


class Drawing(NamedTuple):
    """The options that decide what is sampled, and by which processes."""

    max_entries: int | None = None
    jobs: int | None = None
    cluster: str | None = None

    def weights(self, parameters: Iterable[Parameter]) -> int:
        """Number of weights to sample."""
        return sum(count for _, count in self.counts(parameters))

    def counts(self, parameters: Iterable[Parameter]) -> Iterator[tuple[Parameter, int]]:
        """The parameters, each with the number of entries to sample."""
        return ((each, min(each.size, self.max_entries or each.size)) for each in parameters)

    def seconds(self, parameters: Iterable[Parameter]) -> float:
        """Rough time for one process, in seconds."""
        return self.weights(parameters) * _SECONDS_PER_WEIGHT

    def workers(self, seconds: float) -> AbstractContextManager[Workers]:
        """Workers for work that would take one process that many seconds."""
        from initcli.sampling import workers

        if self.cluster is not None:
            return workers.cluster(self.cluster)
        return workers.suitable(self.jobs, seconds)

    def tensors(self, model: Subject, only: Sequence[Parameter]) -> Iterator[TensorSummary]:
        """Sample and measure tensors, with a progress bar."""
        from initcli.measuring import compiled
        from initcli.measuring.same_values import SameValues
        from initcli.reports.tensors import summaries
        from initcli.sampling.workers import threads

        same = SameValues()
        several = self.workers(self.seconds(only))
        if compiled.prepare(self.counts(only)) and self.cluster is None:
            several = threads(self.jobs)
        # Start processes first: they cannot be forked while the thread of the bar runs.
        with several as workers, progress(self.weights(only), "weights") as bar:
            for tensor in summaries(
                model,
                only=only,
                workers=workers,
                max_entries=self.max_entries,
                progress=bar.advance,
            ):
                stored = tensor.parameter.stored
                if stored is not None and tensor.measured is not None:
                    same.add(stored, tensor.measured)
                yield tensor
        for note in same.notes():
            say(note)
