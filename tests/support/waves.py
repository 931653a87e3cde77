"""Inputs that the tests and the scripts in tests/reference compute alike; digests of outputs."""

from __future__ import annotations

from typing import Any

import numpy as np


def wave(shape: tuple[int, ...], phase: float) -> Any:
    count = int(np.prod(shape, dtype=np.int64))
    return np.sin(1.7 * np.arange(count) + phase).reshape(shape).astype(np.float32)


def agrees(found: Any, kept: list[float], tolerance: float) -> bool:
    """Whether an array is the one of which the root mean square and some entries were kept.

    Errors are relative to the array's own size.
    """
    flat = np.asarray(found, np.float64).reshape(-1)
    size, rms, *entries = kept
    places = np.linspace(0, flat.size - 1, min(flat.size, 6)).astype(int)
    scale = tolerance * max(rms, 1e-2)
    close = abs(np.sqrt(np.mean(flat * flat)) - rms) <= scale
    apart = np.abs(flat[places] - entries)
    return (
        flat.size == size
        and bool(close)
        and bool(np.all(apart <= 3 * scale + tolerance * np.abs(entries)))
    )
