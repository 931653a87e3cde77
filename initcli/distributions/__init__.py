"""Distributions: the distribution of a single entry of a tensor.

A distribution is a small frozen value with the mean, the standard deviation, the support, the
density and the cumulative distribution of one entry, all exact, and with ``draw``, which fills a
buffer. Values, means and standard deviations are in the units of the weight itself.

The entries of most tensors are independent; those of a Haar orthogonal matrix are not, and their
distribution is then that of each entry alone (the marginal).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from initcli.random import standard_normal, variates
from initcli.random.standard_normal import Floats as Floats


class Distribution(msgspec.Struct, frozen=True, tag_field="type", tag=True):
    """The distribution of one entry."""

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
        """The smallest closed interval that holds every entry; its ends may be infinite."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The distribution as it is written on paper, such as ``U(-0.05, 0.05)``."""
        raise NotImplementedError

    @property
    def atoms(self) -> dict[float, float]:
        """Values that are taken with a probability of their own, and that probability."""
        return {}

    def pdf(self, x: Floats) -> Floats:
        """Density of the part of the distribution that has one, per unit of weight.

        It integrates to one less the probability of the atoms.
        """
        raise NotImplementedError

    def cdf(self, x: Floats) -> Floats:
        """Probability that an entry is at most x."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        """Fill the one-dimensional buffer ``out`` with independent entries."""
        raise NotImplementedError

    def below(self, x: Floats) -> Floats:
        """Probability that an entry is less than x: the cdf without an atom at x."""
        return self.cdf(np.nextafter(np.asarray(x, np.float64), -np.inf))

    @property
    def extent(self) -> tuple[float, float]:
        """A finite interval that shows the distribution: its support, or four standard
        deviations."""
        low, high = self.support
        return max(low, self.mean - 4 * self.std), min(high, self.mean + 4 * self.std)


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

    def pdf(self, x: Floats) -> Floats:
        return np.zeros(np.shape(x))

    def cdf(self, x: Floats) -> Floats:
        return np.asarray(np.asarray(x) >= self.value, np.float64)

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        out.fill(self.value)


class Uniform(Distribution, frozen=True):
    """Density 1/(high − low) from ``low`` to ``high``; mean (low+high)/2, std (high−low)/√12."""

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
        return f"U({self.low:.4g}, {self.high:.4g})"

    def pdf(self, x: Floats) -> Floats:
        x = np.asarray(x)
        return ((x >= self.low) & (x <= self.high)) / (self.high - self.low)

    def cdf(self, x: Floats) -> Floats:
        return np.clip((np.asarray(x, np.float64) - self.low) / (self.high - self.low), 0, 1)

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        variates.fill_uniform(rng, out, self.low, self.high)


class Normal(Distribution, frozen=True):
    """Density exp(−z²/2) / (s√(2π)) with z = (x − m)/s for mean m and standard deviation s."""

    location: float
    scale: float

    @property
    def mean(self) -> float:
        return self.location

    @property
    def std(self) -> float:
        return self.scale

    @property
    def support(self) -> tuple[float, float]:
        return -math.inf, math.inf

    @property
    def text(self) -> str:
        return f"N({self.location:.4g}, {self.scale:.4g}²)"

    def pdf(self, x: Floats) -> Floats:
        return standard_normal.pdf((np.asarray(x) - self.location) / self.scale) / self.scale

    def cdf(self, x: Floats) -> Floats:
        return standard_normal.cdf((np.asarray(x) - self.location) / self.scale)

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        variates.fill_normal(rng, out, self.location, self.scale)


class TruncatedNormal(Distribution, frozen=True):
    """A normal distribution of mean ``location`` and standard deviation ``scale``, cut to [low,
    high].

    With a, b the bounds in standard units and Z = Φ(b) − Φ(a), its mean is
    m + s(φ(a) − φ(b))/Z and its variance s²[1 + (aφ(a) − bφ(b))/Z − ((φ(a) − φ(b))/Z)²]
    (Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1, 1994, section 10.1).
    """

    location: float
    scale: float
    low: float
    high: float

    @property
    def mean(self) -> float:
        return self.location + self.scale * self._moments[0]

    @property
    def std(self) -> float:
        return self.scale * math.sqrt(self._moments[1])

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def text(self) -> str:
        parent = f"N({self.location:.4g}, {self.scale:.4g}²)"
        low, high = (round(bound, 9) for bound in self._bounds)
        if low == -high:
            return f"{parent} cut ±{high:.4g}σ"
        return f"{parent} in [{self.low:.4g}, {self.high:.4g}]"

    def pdf(self, x: Floats) -> Floats:
        x = np.asarray(x)
        density = standard_normal.pdf((x - self.location) / self.scale) / (self.scale * self._mass)
        return np.where((x >= self.low) & (x <= self.high), density, 0.0)

    def cdf(self, x: Floats) -> Floats:
        z = (np.clip(x, self.low, self.high) - self.location) / self.scale
        a = np.array(self._bounds[0])
        if a > 0:  # where Φ is 1 to float precision, and 1 − Φ is not 0
            return (standard_normal.cdf(-a) - standard_normal.cdf(-z)) / self._mass
        return (standard_normal.cdf(z) - standard_normal.cdf(a)) / self._mass

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        """By rejection: what falls out of bounds is drawn again until nothing does."""
        variates.fill_truncated(rng, out, *self._bounds)
        out *= out.dtype.type(self.scale)
        if self.location:
            out += out.dtype.type(self.location)

    @property
    def _bounds(self) -> tuple[float, float]:
        """The bounds in standard units."""
        return (self.low - self.location) / self.scale, (self.high - self.location) / self.scale

    @property
    def _mass(self) -> float:
        """The share of the parent distribution that lies in bounds."""
        return standard_normal.mass(*self._bounds)

    @property
    def _moments(self) -> tuple[float, float]:
        """Mean and variance in standard units."""
        return standard_normal.moments_between(*self._bounds)


class SphereCoordinate(Distribution, frozen=True):
    """One coordinate of a uniform point on the sphere of ``radius`` in ``dimension`` dimensions.

    It is the distribution of one entry of a Haar orthogonal matrix of that many rows. Its density
    is (1 − t²)^((n−3)/2) / (r B(1/2, (n−1)/2)) with t = x/r, its variance r²/n
    (Muirhead, Aspects of Multivariate Statistical Theory, 1982, theorem 1.5.7).
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

    @property
    def atoms(self) -> dict[float, float]:
        return {-self.radius: 0.5, self.radius: 0.5} if self.dimension == 1 else {}

    def pdf(self, x: Floats) -> Floats:
        t = np.asarray(x, np.float64) / self.radius
        inside = np.abs(t) < 1
        if self.dimension == 1:
            return np.zeros(t.shape)
        shape = np.power(np.where(inside, 1 - t * t, 1.0), (self.dimension - 3) / 2)
        return np.where(inside, shape / (self.radius * self._beta), 0.0)

    def cdf(self, x: Floats) -> Floats:
        """With t = sin θ the density is cos^(n−2) θ / B, integrated by Gauss–Legendre."""
        t = np.clip(np.asarray(x, np.float64) / self.radius, -1, 1)
        if self.dimension == 1:
            return 0.5 * (t >= -1) * (np.asarray(x) >= -self.radius) + 0.5 * (t >= 1)
        # Beyond ten standard deviations nothing is left that a float could hold.
        angle = np.minimum(np.arcsin(np.abs(t)), 10 / math.sqrt(self.dimension))
        nodes, weights = standard_normal.legendre()
        half = angle / 2
        integral = np.zeros(t.shape)
        for node, weight in zip(nodes, weights, strict=True):
            integral += weight * np.cos(half * (node + 1)) ** (self.dimension - 2)
        return np.clip(0.5 + np.sign(t) * half * integral / self._beta, 0, 1)

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        """Independent entries: z/√(z² + χ²(n−1)), for one normal z."""
        z = rng.standard_normal(out.size)
        rest = rng.chisquare(self.dimension - 1, out.size) if self.dimension > 1 else 0.0
        out[:] = self.radius * z / np.sqrt(z * z + rest)

    @property
    def _beta(self) -> float:
        """B(1/2, (n−1)/2)."""
        half = (self.dimension - 1) / 2
        return math.exp(math.lgamma(0.5) + math.lgamma(half) - math.lgamma(half + 0.5))


class LogOfUniform(Distribution, frozen=True):
    """``sign`` · log u for u ~ U(1, b), with b = ``most``.

    Density e^|x| / (b − 1) from 0 to log b; with r = b / (b − 1) it is E[log u] = r log b − 1 and
    E[log² u] = r (log² b − 2 log b) + 2.
    """

    most: float
    sign: int = 1

    @property
    def mean(self) -> float:
        return self.sign * (self.most / (self.most - 1) * math.log(self.most) - 1)

    @property
    def std(self) -> float:
        log = math.log(self.most)
        second = self.most / (self.most - 1) * (log * log - 2 * log) + 2
        return math.sqrt(max(second - self.mean**2, 0.0))

    @property
    def support(self) -> tuple[float, float]:
        end = self.sign * math.log(self.most)
        return min(0.0, end), max(0.0, end)

    @property
    def text(self) -> str:
        return f"{'−' if self.sign < 0 else ''}log U(1, {self.most:.4g})"

    def pdf(self, x: Floats) -> Floats:
        y = self.sign * np.asarray(x, np.float64)
        end = math.log(self.most)
        inside = (y >= 0) & (y <= end)
        return np.where(inside, np.exp(np.clip(y, 0, end)) / (self.most - 1), 0.0)

    def cdf(self, x: Floats) -> Floats:
        y = np.clip(self.sign * np.asarray(x, np.float64), 0, math.log(self.most))
        share: Floats = np.expm1(y) / (self.most - 1)
        return share if self.sign > 0 else 1 - share

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        out[:] = self.sign * np.log1p(rng.random(out.size) * (self.most - 1))


class Mixture(Distribution, frozen=True):
    """Each entry follows one of several distributions, chosen with the given probability."""

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
        terms = (f"{100 * w:.3g}% {part.text}" for w, part in self._weighted)
        return ", ".join(terms)

    @property
    def atoms(self) -> dict[float, float]:
        found: dict[float, float] = {}
        for weight, part in self._weighted:
            for value, probability in part.atoms.items():
                found[value] = found.get(value, 0.0) + weight * probability
        return found

    def pdf(self, x: Floats) -> Floats:
        return sum((w * part.pdf(x) for w, part in self._weighted), np.zeros(np.shape(x)))

    def cdf(self, x: Floats) -> Floats:
        return sum((w * part.cdf(x) for w, part in self._weighted), np.zeros(np.shape(x)))

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        choice = rng.choice(len(self.parts), out.size, p=self.weights)
        for index, part in enumerate(self.parts):
            chosen = np.flatnonzero(choice == index)
            drawn = np.empty(chosen.size, out.dtype)
            part.draw(rng, drawn)
            out[chosen] = drawn

    @property
    def extent(self) -> tuple[float, float]:
        lows, highs = zip(*(part.extent for part in self.parts), strict=True)
        return min(lows), max(highs)

    @property
    def _weighted(self) -> list[tuple[float, Distribution]]:
        return list(zip(self.weights, self.parts, strict=True))


class Empirical(Distribution, frozen=True):
    """Each of a list of known values alike: the distribution of a tensor that leaves nothing to
    chance.

    ``values`` are sorted; ``name`` is what a person calls them.
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

    def pdf(self, x: Floats) -> Floats:
        return np.zeros(np.shape(x))

    def cdf(self, x: Floats) -> Floats:
        return np.searchsorted(self.values, x, side="right") / len(self.values)

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        out[:] = rng.choice(self.values, out.size)
