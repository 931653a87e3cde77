"""Distributions of a finite set of values."""

from __future__ import annotations

import math

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
        return f"constant {self.value:.4g}"

    @property
    def atoms(self) -> dict[float, float]:
        return {self.value: 1.0}

    def cdf(self, x: Floats) -> Floats:
        return np.asarray(np.asarray(x) >= self.value, np.float64)

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        out.fill(self.value)


class Empirical(Distribution, frozen=True):
    """The entries of a tensor without randomness: sorted ``values``, each equally probable.

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
