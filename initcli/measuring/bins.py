"""Histograms whose edges depend on the values, as NumPy chooses them."""

from __future__ import annotations

import math
from functools import partial, reduce
from operator import add

import numpy as np

from initcli.distributions import Floats
from initcli.measuring.histogram import Histogram, around
from initcli.measuring.measurement import Measurement
from initcli.measuring.portions import Portion, portions, stays
from initcli.parameter import Parameter
from initcli.sampling.chunks import CHUNK, drawn_dtype
from initcli.sampling.workers import HERE, Workers

MAX_BINS = 10_000
"""Maximum number of bins of any histogram."""
MAX_EXACT = 1 << 22
"""Maximum number of entries of a tensor whose bins are exactly those that NumPy chooses."""


def data_histogram(
    parameter: Parameter,
    seen: Measurement,
    bins: int | None = None,
    *,
    ends: tuple[float, float] | None = None,
    workers: Workers = HERE,
) -> Histogram:
    """The histogram of a parameter with edges that depend on its values, as NumPy chooses them.

    The values are sampled or read a second time, because the edges are known only after the first
    time. Values beyond the ends are counted separately.

    Args:
        parameter: the parameter to sample or read.
        seen: its measurement.
        bins: number of bins; that of ``numpy.histogram_bin_edges(…, "auto")`` by default.
        ends: the first and the last edge; by default :attr:`Measurement.visible`.
        workers: workers to use, see :mod:`initcli.sampling.workers`; this process by default.

    >>> import initcli
    >>> model = initcli.parse("{input_shape: [8], layers: [{type: Dense, units: 4}]}")
    >>> (kernel, seen), _ = initcli.measure(model.parameters)
    >>> histogram = initcli.data_histogram(kernel, seen, bins=4)
    >>> histogram.edges.size, int(histogram.counts.sum())
    (5, 32)
    """
    if not seen.count:
        return seen.shown
    if ends is None and seen.min == seen.max:
        return Histogram(around(seen.min), np.array([seen.count]))
    limits = np.array(ends or seen.visible, drawn_dtype(parameter) if ends is None else np.float64)
    low, high = limits.tolist()
    # NumPy rejects bins that are narrower than the distance between two values of the dtype.
    max_bins = max(1, int((high - low) / float(np.max(np.spacing(np.abs(limits))))))
    if ends is None and seen.count <= MAX_EXACT:
        chunks = range(-(-seen.entries // CHUNK))
        values = np.concatenate(list(Portion(parameter, chunks, seen.entries).draw()))
        inner = values[(values >= limits[0]) & (values <= limits[1])]
        bins = min(bins or _exact_auto_bins(seen, inner), max_bins)
        return _counted(values, limits, bins)
    bins = min(bins or auto_bins(seen, ends), max_bins)
    count = partial(_count_portion, limits, bins)
    parts = workers.in_order(count, portions(parameter, seen.entries), stays)
    return reduce(add, (part for _, part in parts))


def _count_portion(ends: Floats, bins: int, portion: Portion) -> Histogram:
    return reduce(add, (_counted(values, ends, bins) for values in portion.draw()))


def _counted(values: Floats, ends: Floats, bins: int) -> Histogram:
    counts = np.histogram(values, bins, (ends[0], ends[1]))[0]
    below = int(np.count_nonzero((values < ends[0]) & (values > -np.inf)))
    above = int(np.count_nonzero((values > ends[1]) & (values < np.inf)))
    edges = np.histogram_bin_edges(ends, bins).astype(np.float64)
    return Histogram(edges, counts, below, above)


def _exact_auto_bins(seen: Measurement, values: Floats) -> int:
    """The number of bins of NumPy's "auto", unless that is too large."""
    first_quartile, third_quartile = np.percentile(values, (25, 75)).tolist()
    bins = _bins(seen, first_quartile, third_quartile, None)
    if bins == MAX_BINS:
        return bins
    try:
        return np.histogram_bin_edges(values, "auto").size - 1
    except ValueError:  # bins narrower than the step between values of the dtype
        return bins


def auto_bins(seen: Measurement, ends: tuple[float, float] | None = None) -> int:
    """The approximate number of bins of NumPy's "auto" between two ends, from a measurement alone.

    The ends are :attr:`Measurement.visible` by default.
    """
    if not seen.count or (ends is None and seen.min == seen.max):
        return 1
    first_quartile, third_quartile = seen.histogram.quantiles(0.25, 0.75)
    return _bins(seen, first_quartile, third_quartile, ends)


def _bins(
    seen: Measurement,
    first_quartile: float,
    third_quartile: float,
    ends: tuple[float, float] | None,
) -> int:
    """The larger of the Sturges and Freedman–Diaconis numbers of bins, as NumPy's "auto"."""
    low, high = ends or seen.visible
    extent = high - low
    sturges = extent / (math.log2(seen.count) + 1)
    freedman_diaconis = 2 * (third_quartile - first_quartile) / seen.count ** (1 / 3) or sturges
    return math.ceil(min(extent / min(freedman_diaconis, sturges), MAX_BINS))
