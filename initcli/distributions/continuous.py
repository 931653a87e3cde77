"""Distributions with a density."""

from __future__ import annotations

import math

import numpy as np

from initcli.distributions.base import Distribution
from initcli.random import standard_normal, variates
from initcli.random.standard_normal import Floats


class Uniform(Distribution, frozen=True):
    """U(low, high): density 1/(high − low), mean (low + high)/2, std (high − low)/√12."""

    low: float
    high: float

    @property
    def mean(self) -> float:
        return (self.low + self.high) / 2

    @property
    def std(self) -> float:
        return (self.high - self.low) / math.sqrt(12)

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def text(self) -> str:
        return f"U({self.low:z.4g}, {self.high:z.4g})"

    def pdf(self, x: Floats) -> Floats:
        x = np.asarray(x)
        return ((x >= self.low) & (x <= self.high)) / (self.high - self.low)

    def cdf(self, x: Floats) -> Floats:
        return np.clip((np.asarray(x, np.float64) - self.low) / (self.high - self.low), 0, 1)

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        variates.fill_uniform(rng, out, self.low, self.high)


class Normal(Distribution, frozen=True):
    """N(mean, std²): density φ((x − mean)/std)/std."""

    mean: float
    std: float

    @property
    def support(self) -> tuple[float, float]:
        return -math.inf, math.inf

    @property
    def text(self) -> str:
        return f"N({self.mean:z.4g}, {self.std:.4g}²)"

    def pdf(self, x: Floats) -> Floats:
        return standard_normal.pdf((np.asarray(x) - self.mean) / self.std) / self.std

    def cdf(self, x: Floats) -> Floats:
        return standard_normal.cdf((np.asarray(x) - self.mean) / self.std)

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        variates.fill_normal(rng, out, self.mean, self.std)


class TruncatedNormal(Distribution, frozen=True):
    """N(location, scale²) truncated to [low, high].

    With a and b the bounds in standard units and Z = Φ(b) − Φ(a), the mean is
    m + s(φ(a) − φ(b))/Z and the variance s²[1 + (aφ(a) − bφ(b))/Z − ((φ(a) − φ(b))/Z)²]
    (Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1, 1994, section 10.1).
    """

    location: float
    scale: float
    low: float
    high: float

    @property
    def mean(self) -> float:
        return self.location + self.scale * standard_normal.moments_between(*self.bounds)[0]

    @property
    def std(self) -> float:
        return self.scale * math.sqrt(standard_normal.moments_between(*self.bounds)[1])

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def text(self) -> str:
        parent = f"N({self.location:z.4g}, {self.scale:.4g}²)"
        low, high = (round(bound, 9) for bound in self.bounds)
        if low == -high:
            return f"{parent} cut ±{high:.4g}σ"
        return f"{parent} in [{self.low:z.4g}, {self.high:z.4g}]"

    def pdf(self, x: Floats) -> Floats:
        x = np.asarray(x)
        density = standard_normal.pdf((x - self.location) / self.scale) / (self.scale * self._mass)
        return np.where((x >= self.low) & (x <= self.high), density, 0.0)

    def cdf(self, x: Floats) -> Floats:
        z = (np.clip(x, self.low, self.high) - self.location) / self.scale
        a = np.array(self.bounds[0])
        if a > 0:  # Φ rounds to 1 in the upper tail, where 1 − Φ keeps its digits
            return (standard_normal.cdf(-a) - standard_normal.cdf(-z)) / self._mass
        return (standard_normal.cdf(z) - standard_normal.cdf(a)) / self._mass

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        variates.fill_truncated(rng, out, *self.bounds)
        out *= out.dtype.type(self.scale)
        if self.location:
            out += out.dtype.type(self.location)

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds in standard units."""
        return (self.low - self.location) / self.scale, (self.high - self.location) / self.scale

    @property
    def _mass(self) -> float:
        """Probability of the bounds under the parent distribution."""
        return standard_normal.mass(*self.bounds)


class SphereCoordinate(Distribution, frozen=True):
    """One coordinate of a uniform point on the sphere of ``radius`` in ``dimension`` ≥ 2.

    The distribution of one entry of a Haar orthogonal matrix with that many rows. The density is
    (1 − t²)^((n−3)/2) / (r B(1/2, (n−1)/2)) with t = x/r, the variance r²/n (Muirhead, Aspects of
    Multivariate Statistical Theory, 1982, theorem 1.5.7).
    """

    dimension: int
    radius: float

    @property
    def mean(self) -> float:
        return 0.0

    @property
    def std(self) -> float:
        return self.radius / math.sqrt(self.dimension)

    @property
    def support(self) -> tuple[float, float]:
        return -self.radius, self.radius

    @property
    def text(self) -> str:
        sphere = f"Haar({self.dimension})"
        return sphere if self.radius == 1 else f"{self.radius:.4g}·{sphere}"

    def pdf(self, x: Floats) -> Floats:
        t = np.asarray(x, np.float64) / self.radius
        inside = np.abs(t) < 1
        shape = np.power(np.where(inside, 1 - t * t, 1.0), (self.dimension - 3) / 2)
        return np.where(inside, shape / (self.radius * self._beta), 0.0)

    def cdf(self, x: Floats) -> Floats:
        """With t = sin θ the density is cos^(n−2) θ / B, integrated by Gauss–Legendre."""
        t = np.clip(np.asarray(x, np.float64) / self.radius, -1, 1)
        # The probability beyond ten standard deviations is below float precision.
        angle = np.minimum(np.arcsin(np.abs(t)), 10 / math.sqrt(self.dimension))
        nodes, weights = standard_normal.legendre()
        half = angle / 2
        integral = np.zeros(t.shape)
        for node, weight in zip(nodes, weights, strict=True):
            integral += weight * np.cos(half * (node + 1)) ** (self.dimension - 2)
        return np.clip(0.5 + np.sign(t) * half * integral / self._beta, 0, 1)

    @property
    def _beta(self) -> float:
        """B(1/2, (n−1)/2)."""
        half = (self.dimension - 1) / 2
        return math.exp(math.lgamma(0.5) + math.lgamma(half) - math.lgamma(half + 0.5))
