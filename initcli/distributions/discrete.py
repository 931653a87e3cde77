"""Distributions of a finite set of values, and mixtures."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from initcli.distributions.base import Distribution
from initcli.random.standard_normal import Floats


class Constant(Distribution, frozen=True):
    """Always ``value``."""

    value: float

    @property
    def mean(self) -> float:
        return self.value

    @property
    def std(self) -> float:
        return 0.0

    @property
    def support(self) -> tuple[float, float]:
        return self.value, self.value

    @property
    def text(self) -> str:
        return f"constant {self.value:z.4g}"

    @property
    def atoms(self) -> dict[float, float]:
        return {self.value: 1.0}

    @property
    def extent(self) -> tuple[float, float]:
        shown = self.value if math.isfinite(self.value) else 0.0
        return shown, shown

    def cdf(self, x: Floats) -> Floats:
        return np.asarray(np.asarray(x) >= self.value, np.float64)

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        out.fill(self.value)


class Empirical(Distribution, frozen=True):
    """The entries of a deterministic tensor: sorted ``values``, all equally probable.

    ``name`` is their name in :attr:`text`.
    """

    name: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def std(self) -> float:
        mean = self.mean
        return math.sqrt(math.fsum((v - mean) ** 2 for v in self.values) / len(self.values))

    @property
    def support(self) -> tuple[float, float]:
        return self.values[0], self.values[-1]

    @property
    def text(self) -> str:
        return f"{self.name} (fixed)"

    @property
    def atoms(self) -> dict[float, float]:
        values, counts = np.unique(self.values, return_counts=True)
        return dict(zip(values.tolist(), (counts / len(self.values)).tolist(), strict=True))

    def cdf(self, x: Floats) -> Floats:
        return np.searchsorted(self.values, x, side="right") / len(self.values)


class Mixture(Distribution, frozen=True):
    """One of ``parts``, chosen with the probability ``weights`` (sum 1)."""

    weights: tuple[float, ...]
    parts: tuple[Distribution, ...]

    @property
    def mean(self) -> float:
        return sum(weight * part.mean for weight, part in self._weighted)

    @property
    def std(self) -> float:
        second = sum(w * (part.std**2 + part.mean**2) for w, part in self._weighted)
        return math.sqrt(max(second - self.mean**2, 0.0))

    @property
    def support(self) -> tuple[float, float]:
        lows, highs = zip(*(part.support for part in self.parts), strict=True)
        return min(lows), max(highs)

    @property
    def text(self) -> str:
        return ", ".join(f"{100 * w:.3g}% {part.text}" for w, part in self._weighted)

    @property
    def atoms(self) -> dict[float, float]:
        atoms: dict[float, float] = {}
        for weight, part in self._weighted:
            for value, probability in part.atoms.items():
                atoms[value] = atoms.get(value, 0.0) + weight * probability
        return atoms

    def pdf(self, x: Floats) -> Floats:
        return sum((w * part.pdf(x) for w, part in self._weighted), np.zeros(np.shape(x)))

    def cdf(self, x: Floats) -> Floats:
        return sum((w * part.cdf(x) for w, part in self._weighted), np.zeros(np.shape(x)))

    @property
    def extent(self) -> tuple[float, float]:
        lows, highs = zip(*(part.extent for part in self.parts), strict=True)
        return min(lows), max(highs)

    @property
    def _weighted(self) -> list[tuple[float, Distribution]]:
        return list(zip(self.weights, self.parts, strict=True))


def mixed(parts: Iterable[tuple[Distribution | None, float]]) -> Distribution | None:
    """The distribution of a part chosen in proportion to its weight; None if one is unknown."""
    weights: dict[Distribution, float] = {}
    for part, weight in parts:
        if part is None:
            return None
        weights[part] = weights.get(part, 0) + weight
    if len(weights) == 1:
        return next(iter(weights))
    total = sum(weights.values())
    return Mixture(tuple(weight / total for weight in weights.values()), tuple(weights))


def with_zeros(distribution: Distribution, share: float) -> Distribution:
    """0 with probability ``share``, else a value of ``distribution``."""
    zero = Constant(0.0)
    if share == 0 or distribution == zero:
        return distribution
    return zero if share == 1 else Mixture((share, 1 - share), (zero, distribution))
