"""Scratch: buffers that a thread reuses, since fresh memory is slow."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_buffers = threading.local()


def scratch(*wanted: tuple[type[np.generic], int]) -> list[NDArray[Any]]:
    """Uninitialized arrays of the wanted types and sizes.

    They are valid until the thread calls this again, so a function must be done with its own
    before it calls another that may use scratch.
    """
    sizes = [-(-np.dtype(kind).itemsize * count // 64) * 64 for kind, count in wanted]
    memory: NDArray[np.uint8] | None = getattr(_buffers, "memory", None)
    if memory is None or memory.size < sum(sizes):
        memory = _buffers.memory = np.empty(sum(sizes), np.uint8)
    arrays, start = [], 0
    for (kind, count), size in zip(wanted, sizes, strict=True):
        arrays.append(memory[start : start + size].view(kind)[:count])
        start += size
    return arrays


def _keep_freed_memory() -> None:
    """Have glibc's ``malloc`` keep freed memory, since page faults take longer than its use.

    Freeing a mapped block raises the size from which blocks are mapped to that of the block, and
    the free memory kept at the end of the heap to twice that (``mallopt(3)``, M_MMAP_THRESHOLD).
    """
    np.empty(1 << 24, np.uint8)


_keep_freed_memory()
