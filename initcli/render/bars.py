"""Histograms in the terminal: bars of block characters, with the distribution over them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from initcli.checkpoint import Subject
from initcli.distributions import Floats
from initcli.errors import printable
from initcli.measuring.bins import auto_bins
from initcli.measuring.histogram import Histogram, around
from initcli.model import Model
from initcli.render.blocks import BLOCKS
from initcli.render.formats import short
from initcli.render.heading import heading, separator
from initcli.reports.summary import value_facts
from initcli.reports.tensors import TensorSummary, is_stored, model_facts
from initcli.sampling.chunks import rounding_limits
from initcli.types import shape_text

HEIGHT = 8
"""Height of the bars, in lines."""
_MAX_WIDTH = 100
"""Maximum width of the bars, in columns."""
_LABEL = 7
"""Width of the numbers at the left end."""
_SINGLE = 21
"""Number of bins for a constant."""
_FLOOR = 0.5
"""Number of entries at the bottom of a logarithmic scale."""


def legend(model: Subject, *, ascii_only: bool = False) -> RenderableType:
    """The model, and the legend of its charts."""
    bar, line = ("#", "o") if ascii_only else ("█", "•")
    title = heading(model.name, (*model_facts(model), ""), ascii_only)
    title.append(f"{bar} {'stored' if is_stored(model) else 'drawn'}", "blue")
    if isinstance(model, Model):
        title.append(f"  {line} distribution", "red")
    return title


@dataclass(frozen=True)
class BarChart:
    """How histograms are drawn.

    Args:
        width: columns of the page.
        ascii_only: use ASCII only.
        bins: number of bins; by default chosen from the values, or one per column on a common axis.
        log: use a logarithmic scale for the entries.
        scale: ends of a common axis of weights; by default each tensor has its own.
    """

    width: int
    ascii_only: bool = False
    bins: int | None = None
    log: bool = False
    scale: tuple[float, float] | None = None

    def of(self, tensor: TensorSummary) -> RenderableType:
        """The histogram of one tensor, below its name, its distribution and its figures."""
        seen, parameter = tensor.measured, tensor.parameter
        dot = separator(self.ascii_only)
        title = Text(f"{printable(parameter.path)} {shape_text(parameter.shape)}  ", "bold")
        title.append(printable(str(parameter.initializer)), "green")
        title.rstrip()
        facts = list(value_facts(parameter, seen))
        if seen is None or not seen.count:
            return Group("", title, Text(dot.join(facts), "dim"))
        facts += [f"min {seen.min:.4g}", f"max {seen.max:.4g}"]
        if tensor.fit and tensor.distribution and tensor.distribution.std > 0:
            facts.append(f"fit p={tensor.fit.p_value:.2g}")
        ends = self.scale or seen.visible
        if ends[0] == ends[1]:
            low, high = around(ends[0]).tolist()
            ends = low, high
        columns = max(8, min(_MAX_WIDTH, self.width - _LABEL - 1))
        # A constant is one bar in the middle.
        single = seen.min == seen.max and not self.scale
        suited = _SINGLE if single else columns if self.scale else auto_bins(seen)
        cells = min(self.bins or suited, columns)
        repeat = columns // cells
        edges = np.linspace(*ends, cells + 1)
        counts = _counts(seen.histogram, seen.min, seen.max, edges)
        if beyond := seen.count - round(float(counts.sum())):
            facts.append(f"about {beyond:,} beyond the axis")
        expected = None
        if tensor.distribution is not None:
            rounded = rounding_limits(edges, parameter.dtype)
            expected = np.diff(tensor.distribution.below(rounded)) * seen.count
        lines = self._lines(counts, expected, repeat)
        axis = self._axis(ends, cells * repeat)
        return Group("", title, Text(dot.join(facts), "dim"), *lines, axis)

    def _lines(self, counts: Floats, expected: Floats | None, repeat: int) -> Iterator[Text]:
        """The lines of the bars from the top, with labels."""
        top = max(float(counts.max()), 1.0)
        if expected is not None:
            top = max(top, float(expected.max()))
        heights = self._height(counts, top)
        marks = np.zeros_like(heights) if expected is None else self._height(expected, top)
        for line in range(HEIGHT - 1, -1, -1):
            text = Text(self._label(line, top).rjust(_LABEL) + " ", "dim")
            cells = (self._cell(line, *both) for both in zip(heights, marks, strict=True))
            for (sign, style), run in groupby(cells):
                text.append(sign * repeat * len(list(run)), style)
            text.rstrip()
            yield text

    def _cell(self, line: int, height: float, mark: float) -> tuple[str, str]:
        """A character and its style, for the heights of the bar and of the distribution."""
        # Less than half of the lowest block is not drawn.
        if mark > 1 / 16 and line == min(int(mark), HEIGHT - 1):
            return "o" if self.ascii_only else "•", "bold red"
        eighths = min(max(height - line, 0.0), 1.0) * 8
        # A single entry is visible at the bottom.
        filled = math.ceil(eighths - 1e-9) if line == 0 else round(eighths)
        return (" #"[filled > 0] if self.ascii_only else BLOCKS[filled]), "blue"

    def _height(self, counts: Floats, top: float) -> Floats:
        """Counts in lines."""
        if not self.log:
            return counts / top * HEIGHT
        over = np.log(np.maximum(counts, _FLOOR) / _FLOOR)
        return over / math.log(top / _FLOOR) * HEIGHT

    def _label(self, line: int, top: float) -> str:
        """The count at the top of every other line."""
        if line % 2 == 0:
            return ""
        share = (line + 1) / HEIGHT
        return short(_FLOOR * (top / _FLOOR) ** share if self.log else top * share)

    def _axis(self, ends: tuple[float, float], columns: int) -> Text:
        """The weights at both ends and in the middle."""
        left, middle, right = (f"{x:.3g}" for x in (ends[0], sum(ends) / 2, ends[1]))
        room = columns - len(left) - len(right)
        between = middle.center(room) if room > len(middle) + 2 else " " * max(room, 1)
        return Text(f"{'':{_LABEL + 1}}{left}{between}{right}", "dim")


def _counts(histogram: Histogram, low: float, high: float, edges: Floats) -> Floats:
    """The counts of a fine histogram between other edges, interpolated within bins."""
    if low == high:
        counts = np.zeros(edges.size - 1)
        if edges[0] <= low <= edges[-1]:
            index = int(np.searchsorted(edges, low, side="right")) - 1
            counts[min(index, counts.size - 1)] = histogram.counts.sum()
        return counts
    return histogram.merged(low, high, histogram.counts.size).between(edges)
