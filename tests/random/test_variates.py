"""Uniform, normal and truncated normal numbers: 2·10⁷ of each against their distributions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from initcli.measuring.histogram import Grid
from initcli.random import variates

MANY = 2 * 10**7
# Of √n times the Kolmogorov–Smirnov statistic, once in 10^8 tests: its tail is 2 exp(−2x²).
CRITICAL = math.sqrt(-math.log(1e-8 / 2) / 2)
# Standard errors that a normal number exceeds once in 10^8.
SIGMAS = float(-stats.norm.ppf(0.5e-8))

Floats = NDArray[np.floating[Any]]
Fill = Callable[[np.random.Generator, Floats], None]


def standard_normal(rng: np.random.Generator, out: Floats) -> None:
    variates.fill_normal(rng, out, 0.0, 1.0)


@cache
def counted(
    fill: Fill, low: float, high: float, count: int
) -> tuple[Floats, NDArray[np.signedinteger[Any]], int]:
    """Edges, counts between them, and how many there are; 2^16 are drawn at a time."""
    grid = Grid.over(low, high, 4096)
    rng = np.random.default_rng(2026)
    buffer = np.empty(1 << 16, np.float32)
    counts = np.zeros(grid.bins, np.int64)
    for _ in range(count >> 16):
        fill(rng, buffer)
        counts += grid.count(buffer)
    return grid.edges, counts, int(counts.sum())


@pytest.mark.parametrize(
    ("fill", "distribution", "low", "high"),
    [
        pytest.param(
            standard_normal,
            stats.norm(),
            *(-8.0, 8.0),
            id="normal",
        ),
        pytest.param(
            lambda rng, out: variates.fill_uniform(rng, out, -0.5, 0.5),
            stats.uniform(-0.5, 1.0),
            *(-0.5, 0.5),
            id="uniform",
        ),
        pytest.param(
            lambda rng, out: variates.fill_truncated(rng, out, -2.0, 2.0),
            stats.truncnorm(-2.0, 2.0),
            *(-2.0, 2.0),
            id="truncated",
        ),
        pytest.param(
            lambda rng, out: variates.fill_truncated(rng, out, -0.5, 3.0),
            stats.truncnorm(-0.5, 3.0),
            *(-0.5, 3.0),
            id="truncated to one side",
        ),
    ],
)
def test_many_draws_follow_their_distribution(
    fill: Fill, distribution: Any, low: float, high: float
) -> None:
    edges, counts, n = counted(fill, low, high, MANY)
    below = np.cumsum(counts)[:-1] / n
    statistic = float(np.abs(below - distribution.cdf(edges[1:-1])).max())
    assert math.sqrt(n) * statistic < CRITICAL
    # Every bin that expects a hundred or more, however far out.
    expected = n * np.diff(distribution.cdf(edges))
    enough = expected >= 100
    errors = (counts[enough] - expected[enough]) / np.sqrt(expected[enough])
    assert np.abs(errors).max() < SIGMAS
    freedom = int(enough.sum()) - 1
    assert stats.chi2.sf(float(np.square(errors).sum()), freedom) > 1e-8


def test_the_tails_of_a_normal_distribution_have_their_weight() -> None:
    edges, counts, n = counted(standard_normal, -8.0, 8.0, MANY)
    for bound in (3.0, 4.0, 4.7, 5.0, 5.5):
        beyond = int(counts[edges[1:] <= -bound].sum() + counts[edges[:-1] >= bound].sum())
        expected = 2 * n * stats.norm.sf(bound)
        assert stats.poisson.sf(beyond - 1, expected) > 1e-8
        assert stats.poisson.cdf(beyond, expected) > 1e-8


def test_normal_numbers_made_in_pairs_are_independent() -> None:
    half = 1 << 21
    drawn = np.empty(2 * half, np.float32)
    variates.fill_normal(np.random.default_rng(5), drawn, 0.0, 1.0)
    first, second = drawn[:half].astype(np.float64), drawn[half:].astype(np.float64)
    for one, other in (
        (first, second),
        (first**2, second**2),
        (first, second**2),
        (np.abs(first), np.abs(second)),
        (first[1:], first[:-1]),
        (first[1:] ** 2, second[:-1] ** 2),
        (np.sign(first), np.sign(second)),
    ):
        # The correlation of n independent pairs has the standard error 1/√n.
        assert abs(np.corrcoef(one, other)[0, 1]) * math.sqrt(one.size) < SIGMAS


@pytest.mark.parametrize(
    ("coefficients", "function", "largest"),
    [
        (variates.SIN, lambda y: np.sinc(np.sqrt(y) / np.pi), (math.pi / 4) ** 2),
        (
            variates.ATANH,
            lambda y: np.arctanh(np.sqrt(y)) / np.sqrt(y),
            ((math.sqrt(2) - 1) / (math.sqrt(2) + 1)) ** 2,
        ),
    ],
    ids=["sin", "artanh"],
)
def test_the_polynomials_are_the_functions_to_single_precision(
    coefficients: tuple[float, ...], function: Callable[[Floats], Floats], largest: float
) -> None:
    y = np.linspace(1e-9, largest, 10_001)
    assert np.abs(np.polynomial.Polynomial(coefficients)(y) - function(y)).max() < 1.3e-7


class Words:
    """A generator, and its bit generator, of words that are given."""

    def __init__(self, words: NDArray[np.uint32]) -> None:
        self.words = words
        self.bit_generator = self

    def random_raw(self, count: int) -> NDArray[np.uint64]:
        return self.words.astype("<u4").view("<u8")[:count]


def test_normal_numbers_are_box_and_muller_s_to_the_last_bits_of_the_words() -> None:
    """The extremes of both words, beside the formula in double precision."""
    ends = [0, 1, 2, 127, 128, 255, 4096, 8191, 8192, 2**31 - 1, 2**31, 2**32 - 256, 2**32 - 1]
    a, b = (words.ravel() for words in np.meshgrid(ends, ends))
    a, b = (np.append(words, 77).astype(np.uint32) for words in (a, b))  # an even number of them
    out = np.empty(2 * a.size, np.float32)
    rng: Any = Words(np.concatenate([a, b]))
    variates.fill_normal(rng, out, 0.0, 1.0)
    whole, seven = (a >> 1).astype(float), ((b & 127) + 0.5) / 128
    u = np.where(whole < 4096, whole + seven, whole + 0.5) / 2**31
    radius = np.sqrt(-2 * np.log(np.minimum(u, 1 - 2.0**-25)))
    half_turn = np.pi * (b >> 7 & 1)
    angle = (b.view(np.int32) >> 8) * (np.pi / 2**24) + np.pi / 2**25 + half_turn
    for part, exact in ((out[a.size :], np.cos(angle)), (out[: a.size], np.sin(angle))):
        # u = 1 − 2⁻²⁴ is as near to 1 as single precision comes.
        assert np.abs(part - radius * exact).max() < 4e-4
        sure = u < 0.9
        assert np.abs(part - radius * exact)[sure].max() < 5e-6
    assert np.count_nonzero(out) == out.size
    assert np.abs(out).max() > 7.3


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 101])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_number_can_be_asked_for(size: int, dtype: Any) -> None:
    cases = (
        (variates.fill_normal, 5.0, 1e-3),
        (variates.fill_uniform, 4.9, 5.1),
        (variates.fill_truncated, 4.9, 5.1),
    )
    for fill, *arguments in cases:
        drawn, again = np.full(size, np.nan, dtype), np.full(size, np.nan, dtype)
        for out in (drawn, again):
            fill(np.random.default_rng(0), out, *arguments)
        assert (np.abs(drawn - 5.0) < 0.11).all()
        np.testing.assert_array_equal(drawn, again)


def test_the_same_seed_gives_these_values_on_every_machine() -> None:
    rng = np.random.Generator(np.random.SFC64(7))
    out = np.empty(5000, np.float32)
    digests = []
    for fill in (variates.fill_normal, variates.fill_uniform, variates.fill_truncated):
        fill(rng, out, *((0.0, 1.0) if fill is variates.fill_normal else (-1.0, 1.0)))
        digests.append(hashlib.sha256(out.astype("<f4").tobytes()).hexdigest()[:16])
    assert digests == ["20f0ea83ccdcb1c4", "e09b33a3283be0f0", "63d1473f369d1de4"]
