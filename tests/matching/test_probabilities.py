"""The probabilities that matches rest on: true draws must have them as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from initcli.distributions import Distribution, Normal, TruncatedNormal, Uniform
from initcli.matching.agreement import agreement, chi_squared, combined, kurtosis
from initcli.matching.families import estimated, lilliefors
from initcli.matching.independence import Sample, beyond_edge, independence
from initcli.matching.rules import FIXED, SCALED
from initcli.measuring.fit import Empirical, exceeded, roughly_exceeded
from support.matching import Held

DISTRIBUTIONS = [Normal(0.0, 0.02), Uniform(-0.3, 0.3), TruncatedNormal(0.0, 0.5, -1.0, 1.0)]
DRAWS = 400


def drawn(distribution: Distribution, shape: tuple[int, ...], rng: np.random.Generator) -> Held:
    values = np.empty(math.prod(shape), np.float32)
    distribution.draw(rng, values)
    return Held("a.weight", values.reshape(shape))


def at_most(share: float, draws: int = DRAWS) -> float:
    """What so many draws of that probability exceed less than once in a million (Chernoff)."""
    return draws * share + math.sqrt(3 * draws * share * 14) + 14


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=str)
def test_true_draws_seldom_have_a_small_probability(distribution: Distribution) -> None:
    rng = np.random.default_rng(1)
    tensors = [drawn(distribution, (40, 50), rng) for _ in range(DRAWS)]
    p_values = [agreement(distribution, Empirical(each.measurement, "float32")) for each in tensors]
    assert sum(p < 0.05 for p in p_values) < at_most(0.05)
    structure = [combined(independence(distribution, Sample(each))) for each in tensors]
    assert sum(p < 0.05 for p in structure) < at_most(0.05)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=str)
def test_draws_that_are_ten_percent_wider_have_one(distribution: Distribution) -> None:
    rng = np.random.default_rng(2)
    tensor = drawn(distribution, (80, 100), rng)
    wider = Held("a", tensor.values * np.float32(1.1))
    assert agreement(distribution, Empirical(wider.measurement, "float32")) < 1e-6


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=str)
def test_kurtosis_is_that_of_draws(distribution: Distribution) -> None:
    rng = np.random.default_rng(3)
    values = drawn(distribution, (400_000,), rng).values.astype(float)
    fourth = np.mean((values - values.mean()) ** 4) / values.var() ** 2
    # The standard error of a normal kurtosis is √(24/n) = 0.008.
    assert fourth == pytest.approx(kurtosis(distribution), abs=0.04)


def test_lilliefors_probabilities_are_uniform() -> None:
    rng = np.random.default_rng(4)
    p_values = []
    for _ in range(DRAWS):
        seen = drawn(Normal(3.0, 2.0), (500,), rng).measurement
        fitted = Normal(seen.mean, seen.std)
        p_values.append(lilliefors(seen.count, Empirical(seen, "float32").distance(fitted)))
    for share in (0.1, 0.5):
        # Four standard errors of the share; bins make the test a little conservative.
        assert np.mean(np.array(p_values) < share) == pytest.approx(share, abs=0.1)


def test_families_reject_what_they_are_not() -> None:
    rng = np.random.default_rng(5)

    def p_values(values: np.ndarray) -> list[float]:
        seen = Empirical(Held("a", values).measurement, "float32")
        return [each.p_value for each in estimated(seen) if each.p_value is not None]

    assert max(p_values(rng.laplace(size=5000))) < 1e-3
    uniform, *_, normal = p_values(rng.random(5000))
    assert uniform > 1e-3 > normal


def test_noise_stays_within_the_edge_and_spikes_do_not() -> None:
    rng = np.random.default_rng(6)
    values = [np.linalg.norm(rng.standard_normal((40, 60)), 2) for _ in range(100)]
    p_values = np.array([beyond_edge(float(value), 40, 60) for value in values])
    # Uniform up to the approximation: half of them below one half, give or take five errors.
    assert np.mean(p_values < 0.5) == pytest.approx(0.5, abs=0.25)
    assert p_values.min() > 1e-5
    assert beyond_edge(1.3 * (math.sqrt(40) + math.sqrt(60)), 40, 60) < 1e-9


def test_chi_squared_tail() -> None:
    # P(χ² ≥ 49.335) of 36 degrees is 0.0685 (incomplete gamma function).
    assert chi_squared(49.335, 36, upper=True) == pytest.approx(0.0685, rel=0.02)


def test_every_rule_says_where_it_stands() -> None:
    for rule in (*SCALED, *FIXED):
        assert rule.source
        assert rule.frameworks
        assert rule.text


def test_the_rough_tail_is_within_a_factor_of_two_where_it_decides() -> None:
    for n in (8, 16, 32, 64, 140, 141, 1000, 10**5, 10**7):
        for scaled in np.arange(0.3, 2.3, 0.05):
            d = scaled / math.sqrt(n)
            exact = exceeded(n, d)
            if d < 1 and exact > 1e-4:
                assert exact > roughly_exceeded(n, d) / 2, (n, d)
