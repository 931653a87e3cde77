"""The softmax of independent scores: moments, entropy and the largest share.

All follow from the Laplace transform φ(t) = E e^(−t e^z) of one term of S = Σ e^z over n scores.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from initcli.signal.hermite import NODES, TINY, WEIGHTS
from initcli.types import Array

_COARSE, _FINE = slice(2, None, 5), slice(None, None, 2)
"""Nodes for moments, and for the entropy and the largest share, which need more of them."""
VARIANCES = np.geomspace(1e-4, 1e4, 49)
"""Variances of scores: with smaller ones shares are even, with larger ones one key has all."""
_EULER = 0.5772156649015329
_TERMS = 12
"""Terms of the inversion of a Laplace transform; with more, cancellation loses digits."""


class _Transform(NamedTuple):
    """z, e^z and its probabilities, and e^(−t e^z) at ln t for each: (t, z).

    ``shrunk`` is the factor by which the range of z was reduced.
    """

    z: Array
    each: Array
    weights: Array
    logs: Array
    decay: Array
    shrunk: float

    @property
    def rest(self) -> Array:
        """ln φ(t)."""
        return np.log(np.maximum(self.decay @ self.weights, TINY))


def _transform(values: Array, counts: Array, reach: float, nodes: slice) -> _Transform:
    # A constant added to all z has no effect. In a wide range, one z has nearly all of the share.
    z = values[nodes] - values.max()
    shrunk = min(1.0, reach / max(-float(z.min()), TINY))
    z = z * shrunk
    each, weights = np.exp(z), WEIGHTS[nodes] / WEIGHTS[nodes].sum()
    # E[e^(az − t e^z)] is negligible beyond these t.
    low = math.log(1e-6 / (float(counts.max()) * float(weights @ each)))
    high = math.log(50) - float(z.min())
    logs = np.linspace(low, high, max(400, int((high - low) / 0.1)))
    decay = np.exp(-np.outer(np.exp(logs), each))
    return _Transform(z, each, weights, logs, decay, shrunk)


def softmax_moments(values: Array, counts: Array, *powers: int) -> Array:
    """E[p^a] or E[p^a p'^b] of p = e^z / Σ e^z' over n independent z, for each count n.

    ``values`` are z at the nodes. With k = a + b and 1/S^k = ∫ t^(k−1) e^(−tS) dt / (k−1)!, each
    moment is an integral of products of E[e^(az − t e^z)].
    """
    _, each, weights, logs, decay, _ = transform = _transform(values, counts, 150, _COARSE)
    order = sum(powers)
    others = np.exp(np.multiply.outer(counts - len(powers), transform.rest))
    integrand = np.exp(logs) ** order * others / math.factorial(order - 1)
    for power in powers:
        integrand = integrand * (decay @ (weights * each**power))
    alone = 1.0 if len(powers) == 1 else 0.0
    return np.where(counts == 1, alone, np.clip(_integral(integrand, logs), 0.0, 1.0))


def softmax_entropy(values: Array, counts: Array) -> Array:
    """E[−Σ p ln p] in nats, for each count n, as in :func:`softmax_moments`.

    That is n E[p (ln S − z)], with ln S / S = −∫ (ln t + γ) e^(−tS) dt.
    """
    z, each, weights, logs, decay, shrunk = transform = _transform(values, counts, 500, _FINE)
    own = decay @ (weights * each)
    scored = decay @ (weights * each * z)
    others = np.exp(np.multiply.outer(counts - 1, transform.rest))
    integrand = -np.exp(logs) * ((logs + _EULER) * own + scored) * others
    # In a wide range, the entropy comes from near ties, whose probability is inverse to the range.
    entropy = shrunk * counts * _integral(integrand, logs)
    return np.where(counts == 1, 0.0, np.clip(entropy, 0.0, np.log(counts)))


def largest_share(std: float, counts: Array, share: float) -> Array:
    """The probability that one of n shares is larger than ``share``, at least 1/2, for each n.

    A share is larger if the sum of the others is less than (1/share − 1) e^z. The distribution of
    the sum is the inverse transform of φ(t)^(n − 1) (Stehfest 1970, doi:10.1145/361953.361969).
    """
    z = std * NODES[_FINE]
    weights = WEIGHTS[_FINE] / WEIGHTS[_FINE].sum()
    limits = z + math.log(1 / share - 1)
    terms = np.arange(1, _TERMS + 1)
    t = np.exp(np.log(terms * math.log(2))[:, None] - limits)
    logs = np.log(np.maximum(np.exp(-np.multiply.outer(t, np.exp(z))) @ weights, TINY))
    found = []
    for count in counts:
        below = (_stehfest() / terms) @ np.exp((count - 1) * logs)
        found.append(count * float(weights @ np.clip(below, 0.0, 1.0)))
    return np.where(counts == 1, 1.0, np.clip(found, 0.0, 1.0))


def _integral(integrand: Array, logs: Array) -> Array:
    """The integral over ln t."""
    area: Array = (integrand[:, 1:] + integrand[:, :-1]).sum(1) / 2 * (logs[1] - logs[0])
    return area


def _stehfest() -> Array:
    """The weights of Stehfest's formula."""
    half = _TERMS // 2
    weights = []
    for k in range(1, _TERMS + 1):
        total = sum(
            j**half
            * math.factorial(2 * j)
            / (
                math.factorial(half - j)
                * math.factorial(j)
                * math.factorial(j - 1)
                * math.factorial(k - j)
                * math.factorial(2 * j - k)
            )
            for j in range((k + 1) // 2, min(k, half) + 1)
        )
        weights.append((-1) ** (k + half) * total)
    return np.array(weights)


def gamma_quantiles(variance: float) -> Array:
    """Five values with mean 1 and that variance, whose weights are :data:`QUANTILE_WEIGHTS`.

    The variance of scores differs between queries. It is a sum of few squares, with nearly a gamma
    distribution (Wilson and Hilferty 1931, doi:10.1073/pnas.17.12.684).
    """
    cubes: Array = np.maximum(1 - variance / 9 + _QUANTILES * math.sqrt(variance) / 3, 0.0) ** 3
    return cubes


_QUANTILES, QUANTILE_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
QUANTILE_WEIGHTS = QUANTILE_WEIGHTS / QUANTILE_WEIGHTS.sum()
