"""Figures of one array of the signal: its size, and the fractions that are 0, dead or saturated."""

from __future__ import annotations

import math

import numpy as np

from initcli.layers import Layer
from initcli.layers.activation import ReLU
from initcli.types import Array

Bounds = tuple[float | None, float | None]
"""The lower and upper bound of an activation, where it has one."""
_BLOCK = 1 << 18
"""Entries that are processed at once."""
_NEAR = 0.01
"""The distance from a bound within which an entry is saturated, as a fraction of the range."""


def rms(x: Array) -> float:
    """The root mean square, without overflow of the squares."""
    flat = x.reshape(-1)
    largest = float(np.max(np.abs(flat), initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    total = 0.0
    for start in range(0, flat.size, 1 << 20):
        part = flat[start : start + (1 << 20)].astype(np.float64)
        total += float(np.sum(part * part))
    return math.sqrt(total / flat.size)


def difference(x: Array) -> float:
    """Standard deviation between the examples of a batch."""
    rows = x.reshape(x.shape[0], -1)
    mean = rows.mean(0, dtype=np.float64)
    total, together = 0.0, max(1, _BLOCK // max(rows.shape[1], 1))
    for start in range(0, len(rows), together):
        total += float(np.sum((rows[start : start + together] - mean) ** 2))
    return math.sqrt(total / max(rows.shape[1] * (len(rows) - 1), 1))


def dimension(x: Array) -> float:
    """The number of directions in which examples differ from their median, by participation ratio.

    (Σ λ)² / Σ λ² for the eigenvalues λ of the Gram matrix of unit vectors from the median of a
    batch to its examples, so that no single example dominates: 1 if all are on one line, and 0 if
    all are equal. Of a large tensor 65,536 evenly spaced entries count.
    """
    rows = x.reshape(x.shape[0], -1)
    rows = rows[:, :: -(-rows.shape[1] // (1 << 16)) or 1].astype(np.float64)
    rows = rows / (np.max(np.abs(rows), initial=0.0) or 1.0)
    rows = rows - np.median(rows, axis=0)
    lengths = np.sqrt(np.sum(rows**2, axis=1, keepdims=True))
    rows = rows / np.where(lengths > 0, lengths, 1.0)
    products = rows @ rows.T
    total = float(np.trace(products))
    return total**2 / float(np.sum(products**2)) if total > 0 else 0.0


def output_figures(layer: Layer, y: Array) -> dict[str, float]:
    """The figures of an output, by their names in :class:`initcli.signal.figures.OutputSignal`."""
    rows = y.reshape(y.shape[0] if y.ndim else 1, -1)
    count = rows.size
    mean = float(rows.sum(dtype=np.float64)) / count
    squares, zeros, saturated = 0.0, 0, 0
    bounds = output_bounds(layer)
    direction = np.zeros(rows.shape[1])
    directions = 0
    together = max(1, _BLOCK // rows.shape[1])
    for start in range(0, len(rows), together):
        part = rows[start : start + together]
        wide = part.astype(np.float64)
        norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
        directed = (norms > 0) & np.isfinite(norms)
        direction += (1 / norms[directed]) @ wide[directed]
        directions += int(np.count_nonzero(directed))
        wide -= mean
        squares += float(np.sum(wide * wide))
        zeros += part.size - int(np.count_nonzero(part))
        if bounds is not None:
            saturated += int(np.count_nonzero(near_bounds(part, bounds)))
    figures = {
        "mean": mean,
        "std": math.sqrt(squares / count) if math.isfinite(squares) else math.inf,
        "zeros": zeros / count,
        "dead_units": _dead(layer, y),
    }
    if bounds is not None:
        figures["saturated"] = saturated / count
    if directions > 1:
        pairs = float(np.sum(direction * direction)) - directions
        figures["correlation"] = pairs / (directions * (directions - 1))
    return figures


def _dead(layer: Layer, y: Array) -> float:
    """The fraction of units that are 0 in the whole batch."""
    if y.ndim < 2:
        return float(not np.any(y))
    unit = 1 if getattr(layer, "data_format", None) == "channels_first" else y.ndim - 1
    axes = tuple(axis for axis in range(y.ndim) if axis != unit)
    return 1 - float(np.mean(np.any(y != 0, axes)))


def output_bounds(layer: Layer) -> Bounds | None:
    """The bounds of the layer's activation; None where it has none."""
    activation = layer if isinstance(layer, ReLU) else getattr(layer, "activation", None)
    bounds: Bounds = getattr(activation, "bounds", (None, None))
    if getattr(activation, "max_value", None) is not None:
        bounds = (None, activation.max_value)  # type: ignore[union-attr]
    return None if bounds == (None, None) else bounds


def near_bounds(y: Array, bounds: Bounds) -> Array:
    """Which entries are within a hundredth of the range of a bound."""
    low, high = bounds
    margin = _NEAR * ((high or 0.0) - (low or 0.0))
    near = np.zeros(y.shape, bool)
    if high is not None:
        near |= y >= high - margin
    if low is not None:
        near |= y <= low + margin
    return near
