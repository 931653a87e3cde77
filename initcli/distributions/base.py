"""The interface of every distribution."""

from __future__ import annotations

import msgspec
import numpy as np

from initcli.random.standard_normal import Floats


class Distribution(msgspec.Struct, frozen=True, tag_field="type", tag=True):
    """The distribution of one entry of a tensor.

    Entries of most tensors are independent. Those of an orthogonal matrix are not: the
    distribution is then the marginal one.
    """

    @property
    def mean(self) -> float:
        """Expected value."""
        raise NotImplementedError

    @property
    def std(self) -> float:
        """Standard deviation."""
        raise NotImplementedError

    @property
    def support(self) -> tuple[float, float]:
        """Smallest closed interval that contains every value; its ends may be infinite."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """Notation for people, such as ``U(-0.05, 0.05)``."""
        raise NotImplementedError

    @property
    def atoms(self) -> dict[float, float]:
        """Values with a positive probability, and this probability."""
        return {}

    def pdf(self, x: Floats) -> Floats:
        """Density of the continuous part; its integral and the atoms add up to 1."""
        return np.zeros(np.shape(x))

    def cdf(self, x: Floats) -> Floats:
        """Probability of a value ≤ x."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        """Fill the one-dimensional buffer ``out`` with independent values."""
        raise NotImplementedError

    def below(self, x: Floats) -> Floats:
        """Probability of a value < x: the cdf without an atom at x."""
        return self.cdf(np.nextafter(np.asarray(x, np.float64), -np.inf))

    @property
    def extent(self) -> tuple[float, float]:
        """Finite interval to plot: the support, or mean ± 4 std if that is narrower."""
        low, high = self.support
        return max(low, self.mean - 4 * self.std), min(high, self.mean + 4 * self.std)
