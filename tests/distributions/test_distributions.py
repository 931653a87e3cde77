"""Distributions against SciPy's distributions, and draws against distributions."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import integrate, special, stats

from initcli import distributions
from initcli.distributions import Distribution
from initcli.random import standard_normal
from support.goodness import CRITICAL, kolmogorov_smirnov


def truncated(mean: float, std: float, low: float, high: float) -> Any:
    return stats.truncnorm((low - mean) / std, (high - mean) / std, mean, std)


def sphere(dimension: int, radius: float) -> Any:
    """A coordinate t of the unit sphere: (t + 1)/2 is Beta((n−1)/2, (n−1)/2)."""
    half = (dimension - 1) / 2
    return stats.beta(half, half, loc=-radius, scale=2 * radius)


CONTINUOUS = [
    (distributions.Uniform(-0.05, 0.05), stats.uniform(-0.05, 0.1)),
    (distributions.Uniform(2.0, 5.0), stats.uniform(2.0, 3.0)),
    (distributions.Normal(0.0, 0.05), stats.norm(0.0, 0.05)),
    (distributions.Normal(-3.0, 2.0), stats.norm(-3.0, 2.0)),
    (distributions.TruncatedNormal(0.0, 1.0, -2.0, 2.0), truncated(0.0, 1.0, -2.0, 2.0)),
    (distributions.TruncatedNormal(0.5, 1.0, -1.0, 2.0), truncated(0.5, 1.0, -1.0, 2.0)),
    (distributions.TruncatedNormal(0.0, 1.0, 1.5, 3.0), truncated(0.0, 1.0, 1.5, 3.0)),
    (distributions.TruncatedNormal(0.0, 2.0, -18.0, -10.0), truncated(0.0, 2.0, -18.0, -10.0)),
    (distributions.TruncatedNormal(0.0, 1.0, 9.0, 12.0), truncated(0.0, 1.0, 9.0, 12.0)),
    (distributions.TruncatedNormal(1.0, 1.0, 0.99, 1.02), truncated(1.0, 1.0, 0.99, 1.02)),
    (distributions.SphereCoordinate(2, 1.0), sphere(2, 1.0)),
    (distributions.SphereCoordinate(3, 1.5), sphere(3, 1.5)),
    (distributions.SphereCoordinate(64, 1.0), sphere(64, 1.0)),
    (distributions.SphereCoordinate(5000, 2.0), sphere(5000, 2.0)),
]
UNIT = distributions.Uniform(0.0, 1.0)
CONTINUOUS += [
    (
        distributions.Image(distributions.Uniform(-5.0, 1.0), ("x", "exp")),
        stats.loguniform(math.exp(-5), math.e),
    ),
    (distributions.Image(UNIT, ("x", "log", "neg")), stats.expon()),
    (distributions.Image(UNIT, ("x", 1.0, "x", "sub", "div", "log")), stats.logistic()),
    (
        distributions.Image(UNIT, ("x", "log", "neg", 0.5, "pow")),
        stats.weibull_min(2),
    ),
    (
        distributions.Image(distributions.Normal(-1.0, 0.5), ("x", "exp")),
        stats.lognorm(0.5, scale=math.exp(-1)),
    ),
]
DISCRETE: list[Distribution] = [
    distributions.Constant(0.4),
    distributions.Mixture((0.5, 0.5), (distributions.Constant(-1.5), distributions.Constant(1.5))),
    distributions.Mixture((0.25, 0.75), (distributions.Constant(0.0), distributions.Constant(2.0))),
    distributions.Mixture(
        (0.3, 0.7), (distributions.Constant(0.0), distributions.Normal(0.0, 0.01))
    ),
    distributions.Empirical("known", (0.0, 0.5, 0.5, 1.0)),
]
EVERY = [*(distribution for distribution, _ in CONTINUOUS), *DISCRETE]
DRAWN = [each for each, _ in CONTINUOUS if not isinstance(each, distributions.SphereCoordinate)]


def text(value: object) -> str:
    return value.text if isinstance(value, Distribution) else ""


@pytest.mark.parametrize(("distribution", "reference"), CONTINUOUS, ids=text)
def test_a_continuous_distribution_is_that_of_scipy(
    distribution: Distribution, reference: Any
) -> None:
    assert distribution.mean == pytest.approx(reference.mean(), abs=1e-12, rel=1e-7)
    assert distribution.std == pytest.approx(reference.std(), rel=1e-7)
    assert distribution.support == pytest.approx(reference.support())
    x = np.concatenate([reference.ppf(np.linspace(0, 1, 203)[1:-1]), [-1e3, 1e3]])
    np.testing.assert_allclose(distribution.cdf(x), reference.cdf(x), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(distribution.below(x), reference.cdf(x), rtol=1e-8, atol=1e-12)
    inside = x[np.isfinite(reference.pdf(x))]
    np.testing.assert_allclose(
        distribution.pdf(inside), reference.pdf(inside), rtol=1e-7, atol=1e-12
    )
    assert distribution.atoms == {}


@pytest.mark.parametrize("distribution", EVERY, ids=text)
def test_density_and_atoms_add_up_to_one(distribution: Distribution) -> None:
    low, high = distribution.extent
    inside, _ = integrate.quad(lambda x: float(distribution.pdf(np.array(x))), low, high, limit=500)
    below, above = distribution.below(np.array([low])), distribution.cdf(np.array([high]))
    within = float(above[0] - below[0])
    # The density of two dimensions is infinite at the ends, where quadrature is slow.
    assert inside + sum(distribution.atoms.values()) == pytest.approx(within, abs=2e-4)


def test_rounding_takes_an_end_of_the_base_beyond_where_a_function_is_infinite() -> None:
    function = ("x", "sign", "x", "abs", "neg", "log1p", "neg", "mul")
    laplace = distributions.Image(distributions.Uniform(-1.0 - 1e-12, 1.0), function)
    assert laplace.support == (-math.inf, math.inf)
    assert laplace.std == pytest.approx(math.sqrt(2))
    x = np.linspace(-5, 5, 11)
    np.testing.assert_allclose(laplace.cdf(x), stats.laplace().cdf(x), rtol=1e-8)


def test_tails_without_a_variance_are_told() -> None:
    half = math.pi / 2
    cauchy = distributions.Image(distributions.Uniform(-half - 1e-8, half + 1e-8), ("x", "tan"))
    pareto = distributions.Image(UNIT, ("x", "log", -0.5, "mul", "exp"))
    assert cauchy.std == pareto.std == math.inf
    assert cauchy.support == (-math.inf, math.inf)


@pytest.mark.parametrize("distribution", DISCRETE, ids=text)
def test_an_atom_is_a_step_of_the_cdf(distribution: Distribution) -> None:
    for value, probability in distribution.atoms.items():
        at = np.array([value])
        assert (distribution.cdf(at) - distribution.below(at))[0] == pytest.approx(
            probability, abs=1e-12
        )


@pytest.mark.parametrize(
    ("distribution", "mean", "std"),
    [
        (DISCRETE[0], 0.4, 0.0),
        (DISCRETE[1], 0.0, 1.5),
        (DISCRETE[2], 1.5, math.sqrt(0.75)),
        (DISCRETE[3], 0.0, math.sqrt(0.7) * 0.01),
        (DISCRETE[4], 0.5, math.sqrt(0.125)),
    ],
    ids=text,
)
def test_mean_and_std_of_a_distribution_with_atoms(
    distribution: Distribution, mean: float, std: float
) -> None:
    assert distribution.mean == pytest.approx(mean, abs=1e-15)
    assert distribution.std == pytest.approx(std, abs=1e-15)


@pytest.mark.parametrize("width", [1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("low", [0.0, 1.0])
def test_a_narrow_cut_of_a_normal_distribution_is_nearly_uniform(low: float, width: float) -> None:
    # Over a width w the density changes by a share of at most w·|z|, and the deviation by less.
    distribution = distributions.TruncatedNormal(0.0, 1.0, low, low + width)
    assert distribution.std == pytest.approx(width / math.sqrt(12), rel=2 * width)
    assert distribution.mean == pytest.approx(low + width / 2, abs=width**2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distribution", DRAWN, ids=text)
def test_draws_follow_their_distribution(distribution: Distribution, dtype: Any) -> None:
    values = np.empty(100_000, dtype)
    distribution.draw(np.random.default_rng(1), values)
    low, high = distribution.support
    slack = 4 * np.finfo(dtype).eps * max(map(abs, distribution.extent))
    assert values.min() >= low - slack
    assert values.max() <= high + slack
    assert kolmogorov_smirnov(distribution, values) < CRITICAL


def test_draws_that_follow_another_distribution_are_found_out() -> None:
    values = np.empty(100_000)
    distributions.Normal(0.0, 1.06).draw(np.random.default_rng(1), values)
    assert kolmogorov_smirnov(distributions.Normal(0.0, 1.0), values) > CRITICAL


@pytest.mark.parametrize(
    ("distribution", "written"),
    [
        (distributions.Constant(0.4), "constant 0.4"),
        (distributions.Uniform(-0.05, 0.05), "U(-0.05, 0.05)"),
        (distributions.Normal(0.0, 0.05), "N(0, 0.05²)"),
        (distributions.TruncatedNormal(0.0, 0.5, -1.0, 1.0), "N(0, 0.5²) cut ±2σ"),
        (distributions.TruncatedNormal(0.5, 1.0, -1.0, 3.0), "N(0.5, 1²) in [-1, 3]"),
        (distributions.SphereCoordinate(64, 1.0), "Haar(64)"),
        (distributions.SphereCoordinate(64, 1.5), "1.5·Haar(64)"),
        (DISCRETE[2], "25% constant 0, 75% constant 2"),
    ],
)
def test_a_distribution_is_written_as_on_paper(distribution: Distribution, written: str) -> None:
    assert distribution.text == written


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erf_agrees_with_scipy(dtype: type[np.floating[Any]]) -> None:
    small = np.geomspace(np.finfo(dtype).tiny, 1, 500)
    positive = np.concatenate([small, np.linspace(0, 7, 20_001)])
    x = np.concatenate([-positive, positive]).astype(dtype)
    seen = standard_normal.erf(x)
    assert seen.dtype == dtype
    expected = special.erf(x.astype(np.float64))
    np.testing.assert_allclose(seen, expected, rtol=float(4 * np.finfo(dtype).eps))


def test_erf_of_infinities_integers_and_any_shape() -> None:
    assert standard_normal.erf([-math.inf, math.inf, -0.0]).tolist() == [-1.0, 1.0, 0.0]
    assert np.isnan(standard_normal.erf(math.nan))
    x = np.arange(-6, 6).reshape(2, 2, 3).transpose(2, 0, 1)
    np.testing.assert_allclose(standard_normal.erf(x), special.erf(x), rtol=1e-15)


def test_the_package_does_without_scipy() -> None:
    package = Path(distributions.__file__).parents[1]
    sources = [file.read_text("utf-8") for file in package.rglob("*.py")]
    assert sources
    assert not any(re.search(r"^\s*(from|import) scipy", text, re.MULTILINE) for text in sources)


@pytest.mark.parametrize(
    "base", [*(each for each, _ in CONTINUOUS), *DISCRETE], ids=lambda each: each.text[:40]
)
@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_a_multiple_has_the_cdf_of_the_rest(base: Distribution, factor: float) -> None:
    found = distributions.times(base, factor)
    assert found.mean == pytest.approx(factor * base.mean, rel=1e-6, abs=1e-12)
    assert found.std == pytest.approx(factor * base.std, rel=1e-6, abs=1e-12)
    low, high = base.extent
    x = np.linspace(low, high, 23) + 1e-9 * (high - low)
    np.testing.assert_allclose(found.cdf(factor * x), base.cdf(x), atol=1e-6)
    assert found.atoms == pytest.approx({factor * at: p for at, p in base.atoms.items()})
