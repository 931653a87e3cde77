"""Scratch: buffers that a thread uses again and again, so that no step waits for fresh memory."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_held = threading.local()


def scratch(*wanted: tuple[type[np.generic], int]) -> list[NDArray[Any]]:
    """Arrays of those types and sizes, one beside the other, with anything in them.

    They are this thread's until it asks again: a function must be done with its own before it
    calls another that may ask.
    """
    sizes = [-(-np.dtype(kind).itemsize * count // 64) * 64 for kind, count in wanted]
    memory: NDArray[np.uint8] | None = getattr(_held, "memory", None)
    if memory is None or memory.size < sum(sizes):
        memory = _held.memory = np.empty(sum(sizes), np.uint8)
    arrays, start = [], 0
    for (kind, count), size in zip(wanted, sizes, strict=True):
        arrays.append(memory[start : start + size].view(kind)[:count])
        start += size
    return arrays


def _keep_freed_memory() -> None:
    """Have glibc's ``malloc`` keep what is freed, since to fault pages in takes longer than to use.

    When a mapped block is freed, its size becomes that from which blocks are mapped, and twice it
    what may lie free at the end of the heap (``mallopt(3)``, M_MMAP_THRESHOLD). Other systems are
    not touched by this.
    """
    np.empty(1 << 24, np.uint8)


_keep_freed_memory()
