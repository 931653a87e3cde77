"""Reusable buffers, because fresh memory costs page faults."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_local = threading.local()


def scratch(*requests: tuple[type[np.generic], int]) -> list[NDArray[Any]]:
    """Uninitialized arrays of those types and sizes.

    They belong to this thread until its next call: a function must not use them after it calls
    another function that uses scratch.
    """
    sizes = [-(-np.dtype(kind).itemsize * count // 64) * 64 for kind, count in requests]
    memory: NDArray[np.uint8] | None = getattr(_local, "memory", None)
    if memory is None or memory.size < sum(sizes):
        memory = _local.memory = np.empty(sum(sizes), np.uint8)
    arrays, start = [], 0
    for (kind, count), size in zip(requests, sizes, strict=True):
        arrays.append(memory[start : start + size].view(kind)[:count])
        start += size
    return arrays


def _keep_freed_memory() -> None:
    """Make glibc's ``malloc`` keep freed memory.

    Freeing a mapped block raises the size from which blocks are mapped to its own, and the free
    memory kept at the end of the heap to twice that (``mallopt(3)``, M_MMAP_THRESHOLD). Other
    systems are unaffected.
    """
    np.empty(1 << 24, np.uint8)


_keep_freed_memory()
