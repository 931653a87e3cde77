"""The spectral norm of random matrices: their largest singular value."""

from __future__ import annotations

import math

_MEAN_OF_TRACY_WIDOM = -1.2065335745820
"""Mean of the Tracy–Widom distribution of real matrices (β = 1)."""


def spectral_norm(rows: int, columns: int, mean: float, std: float) -> float:
    """About the mean spectral norm of a matrix of independent entries with finite fourth moment.

    With mean 0 it is that of a normal matrix: its square has the mean μ − 1.2065 s, with
    μ = (√(n − 1) + √m)² and s = √μ (1/√(n − 1) + 1/√m)^⅓ for n ≥ m (Johnstone 2001,
    doi:10.1214/aos/1009210544), or (√m + √n)² in the limit; of a vector it is exact, √n.

    A mean c adds a matrix of rank 1 and norm θ = |c|√(mn). Where θ > std (mn)^¼, the norm is
    √((θ² + m std²)(θ² + n std²)) / θ (Benaych-Georges & Nadakuditi 2012, arXiv:1103.2221, 3.1).
    """
    size = rows * columns
    theta = abs(mean) * math.sqrt(size)
    if theta > std * size**0.25:
        relative = std / theta
        return theta * math.sqrt((1 + rows * relative**2) * (1 + columns * relative**2))
    fewer, more = sorted((rows, columns))
    if fewer == 1:
        return std * math.sqrt(more)
    root, other = math.sqrt(more - 1), math.sqrt(fewer)
    scale = (root + other) * (1 / root + 1 / other) ** (1 / 3)
    return std * math.sqrt((root + other) ** 2 + _MEAN_OF_TRACY_WIDOM * scale)
