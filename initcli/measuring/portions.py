"""Portions: the chunks of a tensor that one task draws or reads.

They depend only on the tensor and the number of its entries, never on the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from initcli import limits
from initcli.distributions import Floats
from initcli.errors import TooLarge
from initcli.measuring import compiled
from initcli.measuring.histogram import Grid
from initcli.parameter import Parameter
from initcli.sampling.chunks import (
    CHUNK,
    draw_chunks,
    drawn_whole,
    refuse_beyond_memory,
    scratch_bytes,
)

Progress = Callable[[int], None]
"""Called with the number of weights of each part that is done."""


class Portion(msgspec.Struct, frozen=True):
    """The chunks of a parameter for one task, among the first ``count`` entries."""

    parameter: Parameter
    chunks: range
    count: int
    grid: Grid | None = None
    """The bins of the histogram, for stored values that are measured in two passes."""
    compiled: bool = False
    """Whether to draw and measure with compiled kernels."""

    @property
    def entries(self) -> range:
        """Indices of the entries."""
        return range(self.chunks.start * CHUNK, min(self.chunks.stop * CHUNK, self.count))

    @property
    def is_last(self) -> bool:
        """Whether this is the last portion of the entries."""
        return self.chunks.stop * CHUNK >= self.count

    def draw(self) -> Iterator[Floats]:
        """The values, chunk by chunk."""
        for chunk, values in zip(
            self.chunks, draw_chunks(self.parameter, self.chunks), strict=True
        ):
            yield values[: self.count - chunk * CHUNK]


def refuse_too_large(counts: Sequence[tuple[Parameter, int]]) -> None:
    """Raise TooLarge if there are too many entries, or a tensor does not fit in memory."""
    weights = sum(count for _, count in counts)
    if weights > (allowed := limits.in_force().weights):
        message = f"{weights:,} weights would be drawn, but {allowed:,} are allowed"
        raise TooLarge(message, limits.remedy("weights", weights))
    for parameter, _ in counts:
        refuse_beyond_memory(parameter, scratch_bytes(parameter))


def portions(parameter: Parameter, count: int, grid: Grid | None = None) -> Iterator[Portion]:
    """The first ``count`` entries of a tensor, in portions."""
    whole = needs_whole(parameter)
    # The owner is not needed to sample, and expensive to send.
    parameter = parameter if whole else msgspec.structs.replace(parameter, owner=None)
    for chunks in chunk_ranges(count, whole=whole):
        yield Portion(parameter, chunks, count, grid, compiled.is_loaded())


def chunk_ranges(count: int, *, whole: bool) -> Iterator[range]:
    """The chunks of ``count`` entries for each task, which depend only on the count.

    ``whole`` makes one task take all.
    """
    chunks = max(-(-count // CHUNK), 1)
    size = chunks if whole else min(max(chunks // 8, 32), 128)
    for start in range(0, chunks, size):
        yield range(start, min(start + size, chunks))


def needs_whole(parameter: Parameter) -> bool:
    """Whether one task must take the whole tensor, held in memory or read sequentially."""
    stored = parameter.stored
    return drawn_whole(parameter) if stored is None else stored.is_sequential


def stays(portion: Portion) -> bool:
    """Whether this process must take the portion itself."""
    return needs_whole(portion.parameter)
