"""The initializers that the tensors of a file look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, cast

import numpy as np

from initcli.matching.agreement import agreement
from initcli.matching.independence import Stored
from initcli.matching.match import FEWEST, FLOATS, Identified, match, measured
from initcli.matching.rules import FIXED, VECTORS, Rule, beside
from initcli.matching.structure import constants
from initcli.matching.surroundings import Place, Surroundings, parent
from initcli.measuring.fit import DOUBTFUL, Empirical
from initcli.measuring.measurement import Measurement
from initcli.types import TensorDtype

_Start = Literal["kept", "left", "unknown"]
"""The state of a vector: whether its values are still those of an initializer."""
_SHORTEST = 8
"""Minimum length of a vector that shows whether it is trained."""
_LONGEST = 1 << 16
_VECTORS = 100
"""Maximum number of vectors that are read to determine whether a file is trained."""
_SEVERAL = 16
"""Minimum number of vectors that do not follow the same rule by chance; a single one may."""
_STATISTICS = ("running_", "moving_")
"""Names of vectors that change without training."""


def identifier(tensors: Sequence[Stored]) -> Callable[[Stored, Measurement], Identified]:
    """A function from a tensor and its measurement to the initializers it looks like.

    A vector that no longer follows any rule shows that the kernel of its layer is trained too, and
    most vectors of a file show it for all kernels. For a trained kernel with few values, agreement
    with a normal distribution is not evidence.

    Args:
        tensors: all tensors of the file.
    """
    surroundings = Surroundings((each.path, each.shape) for each in tensors)
    vectors = [each for each in tensors if _tells(each)]
    some = range(0, len(vectors), max(len(vectors) // _VECTORS, 1))
    near: dict[str, list[int]] = {}
    for index, each in enumerate(vectors):
        near.setdefault(parent(each.path), []).append(index)

    @cache
    def start(index: int) -> _Start:
        return _start_of(vectors[index], surroundings.of(vectors[index].path))

    @cache
    def shared() -> Rule | None:
        """The rule that nearly all vectors without a rule of their own follow."""
        left = [index for index in some if start(index) == "left"]
        usual = [rule for rule in FIXED if rule.rarity == 0] if len(left) >= _SEVERAL else []
        for rule in usual:
            if sum(_follows(vectors[index], rule) for index in left) >= 0.95 * len(left):
                return rule
        return None

    @cache
    def is_left(index: int) -> bool:
        rule = shared() if start(index) == "left" else None
        return start(index) == "left" and not (rule and _follows(vectors[index], rule))

    @cache
    def file_is_trained() -> bool:
        return 2 * sum(map(is_left, some)) > len(some)

    def trained(path: str) -> str:
        biases = near.get(parent(path), ())
        if any(map(is_left, biases)):
            return "the bias beside it"
        is_kept = any(start(index) == "kept" for index in biases)
        return "the rest of the file" if not is_kept and file_is_trained() else ""

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
    """The state of a vector: initial if it is constant per gate, or follows a rule for vectors.

    Few values may follow such a rule by chance.
    """
    values = vector.read(0, vector.shape[0])
    if constants(values) is not None:
        return "kept"
    if not np.isfinite(values).all():
        return "left"
    empirical = Empirical(measured(values), cast(TensorDtype, vector.dtype))
    for rule in (*beside(vector.shape, place, vector.path), *VECTORS):
        if agreement(rule.distribution(None), empirical) >= DOUBTFUL:
            return "kept" if values.size >= FEWEST else "unknown"
    return "left"


def _follows(vector: Stored, rule: Rule) -> bool:
    seen = measured(vector.read(0, vector.shape[0]))
    empirical = Empirical(seen, cast(TensorDtype, vector.dtype))
    return agreement(rule.distribution(None), empirical) >= DOUBTFUL
