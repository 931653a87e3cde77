"""The tensors of a model as lines, the same for a recorded and for a described one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from initcli.distributions import Empirical
from initcli.initializers import Initializer
from initcli.initializers.given import Parts
from initcli.model import BuiltLayer
from initcli.types import Size


def lines(layers: Iterable[BuiltLayer], notes: Iterable[str]) -> list[str]:
    """One line for each tensor and for each tie, in alphabetic order."""
    ties = (note for note in notes if note.endswith("one tensor with two names"))
    return sorted([*_tensors(layers), *ties])


def digest(listed: Iterable[str]) -> str:
    """A digest of lines."""
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()[:16]


def _tensors(layers: Iterable[BuiltLayer]) -> Iterator[str]:
    for layer in layers:
        for each in layer.parameters:
            frozen = "" if each.trainable else " buffer"
            filled = _filled(each.initializer, each.shape)
            yield f"{each.path} {list(each.shape)} {filled}{frozen}"


def _filled(initializer: Initializer, shape: Size) -> str:
    if isinstance(initializer, Parts):
        parts = (
            f"{list(each.starts)}-{list(each.stops)} {_filled(each.initializer, each.shape)}"
            for each in initializer.visible
        )
        return "; ".join(parts)
    distribution = initializer.distribution_for(shape)
    if distribution is None:
        return str(initializer).partition(":")[0]
    if isinstance(distribution, Empirical):
        values = np.array(distribution.values)
        return f"{len(values)} values, mean {values.mean():.4g}, std {values.std():.4g}"
    arguments = (
        f"{float(each):.6g}" if isinstance(each, float | int) else str(each)
        for each in msgspec.structs.astuple(distribution)
    )
    return f"{type(distribution).__name__}({', '.join(arguments)})"
