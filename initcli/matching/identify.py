"""The initializers that the tensors of a file look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, cast

import numpy as np

from initcli.matching.agreement import agreement
from initcli.matching.independence import Stored
from initcli.matching.match import FEWEST, FLOATS, Identified, match, measured
from initcli.matching.rules import VECTORS, beside
from initcli.matching.structure import constants
from initcli.matching.surroundings import Place, Surroundings, parent
from initcli.measuring.fit import DOUBTFUL
from initcli.measuring.measurement import Measurement
from initcli.types import TensorDtype

_Start = Literal["kept", "left", "unknown"]
"""Whether values are still those of an initializer."""
_SHORTEST = 8
"""Values of the shortest vector that tells whether it is trained."""
_LONGEST = 1 << 16
_VECTORS = 100
"""Vectors that are read to tell whether a file is trained."""
_STATISTICS = ("running_", "moving_")
"""Vectors that change without training."""


def identifier(tensors: Sequence[Stored]) -> Callable[[Stored, Measurement], Identified]:
    """A function from a tensor and its measurement to the initializers it looks like.

    A vector that is no longer what any rule gives shows that the kernel beside it is trained as
    well, and most vectors of a file that its kernels are. Of a trained kernel with few values,
    agreement with a normal distribution is no evidence.

    Args:
        tensors: all tensors of the file.
    """
    surroundings = Surroundings((each.path, each.shape) for each in tensors)
    vectors = [each for each in tensors if _tells(each)]
    near: dict[str, list[int]] = {}
    for index, each in enumerate(vectors):
        near.setdefault(parent(each.path), []).append(index)

    @cache
    def start(index: int) -> _Start:
        return _start_of(vectors[index], surroundings.of(vectors[index].path))

    @cache
    def file_is_trained() -> bool:
        some = range(0, len(vectors), max(len(vectors) // _VECTORS, 1))
        return 2 * sum(start(index) == "left" for index in some) > len(some)

    def trained(path: str) -> str:
        biases = {start(index) for index in near.get(parent(path), ())}
        if "left" in biases:
            return "the bias beside it"
        return "the rest of the file" if "kept" not in biases and file_is_trained() else ""

    def identify(tensor: Stored, seen: Measurement) -> Identified:
        place = surroundings.of(tensor.path)
        if len(tensor.shape) > 1:
            place = place._replace(trained=trained(tensor.path))
        return match(tensor, seen, place)

    return identify


def _tells(tensor: Stored) -> bool:
    size = tensor.shape[0] if len(tensor.shape) == 1 else 0
    is_statistic = any(word in tensor.path for word in _STATISTICS)
    return _SHORTEST <= size <= _LONGEST and tensor.dtype in FLOATS and not is_statistic


def _start_of(vector: Stored, place: Place) -> _Start:
    """Whether a vector still has a value for each gate, or follows a rule that only vectors have.

    Few values may follow such a rule by chance.
    """
    values = vector.read(0, vector.shape[0])
    if constants(values) is not None:
        return "kept"
    if not np.isfinite(values).all():
        return "left"
    seen = measured(values)
    for rule in (*beside(vector.shape, place, vector.path), *VECTORS):
        if agreement(rule.distribution(None), seen, cast(TensorDtype, vector.dtype)) >= DOUBTFUL:
            return "kept" if seen.count >= FEWEST else "unknown"
    return "left"
