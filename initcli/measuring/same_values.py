"""Stored tensors that have the same values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator

import numpy as np

from initcli.errors import printable, some
from initcli.measuring.measurement import Measurement
from initcli.sampling.chunks import CHUNK
from initcli.stored import StoredTensor


class SameValues:
    """Finds stored tensors that have the same values, bit by bit.

    Constant tensors, and tensors that are tied in their file, are skipped.
    """

    def __init__(self) -> None:
        self._alike: defaultdict[Hashable, list[StoredTensor]] = defaultdict(list)

    def add(self, stored: StoredTensor, seen: Measurement) -> None:
        """Add a tensor; only a few of its figures are kept."""
        if seen.min >= seen.max or stored.alias_of is not None:
            return
        figures = seen.entries, seen.mean, seen.squares, seen.min, seen.max
        self._alike[(stored.shape, stored.dtype, figures)].append(stored)

    def groups(self) -> Iterator[list[StoredTensor]]:
        """The groups of two or more equal tensors."""
        for first, *others in self._alike.values():
            same = [each for each in others if _is_same(first, each)]
            if same:
                yield [first, *same]

    def notes(self) -> Iterator[str]:
        """A sentence for each group."""
        for group in self.groups():
            paths = [each.path for each in group]
            yield printable(f"{some(paths)} have the same values")


def _is_same(one: StoredTensor, two: StoredTensor) -> bool:
    for start in range(0, one.size, CHUNK):
        stop = min(start + CHUNK, one.size)
        first, second = (
            np.ascontiguousarray(each.entries(start, stop)).view(np.uint8) for each in (one, two)
        )
        if not np.array_equal(first, second):
            return False
    return True
