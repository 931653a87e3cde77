"""Histograms as a line of text."""

from __future__ import annotations

import numpy as np

from initcli.distributions import Distribution, Floats
from initcli.measuring.measurement import Measurement

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:-=+*#@"


def distribution_sparkline(distribution: Distribution, width: int, ramp: str = BLOCKS) -> str:
    """A distribution as ``width`` characters, each as high as the probability of its cell."""
    low, high = distribution.extent
    if low == high:
        return ramp[-1].center(width)
    edges = np.linspace(low, high, width + 1)
    below = np.concatenate([distribution.below(edges[:-1]), distribution.cdf(edges[-1:])])
    return _heights(np.diff(below), ramp)


def sparkline(
    seen: Measurement,
    width: int,
    ramp: str = BLOCKS,
    scale: tuple[float, float] | None = None,
) -> str:
    """The values as ``width`` characters, each as high as the count of its cell.

    Only empty cells are blank. A constant is one full cell in the middle. ``scale`` is the range to
    draw; by default the visible range of the measurement.
    """
    if not seen.count:
        return ""
    if seen.shown.counts.size == 1:
        return ramp[-1].center(width)
    return _heights(seen.shown.between(np.linspace(*(scale or seen.visible), width + 1)), ramp)


def _heights(cells: Floats, ramp: str) -> str:
    top = len(ramp) - 1
    heights = np.ceil(cells / cells.max() * top - 1e-9).astype(int)
    return "".join(ramp[height] for height in np.clip(heights, 0, top))
