"""Functions of arrays, each way in which they are computed beside the plainest one."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from autograd import grad

from initcli.activations import Softmax
from initcli.signal import arrays
from initcli.signal.arrays import attend
from initcli.signal.sliding import Window, correlate, largest, spread
from initcli.types import Array

WINDOWS = [
    ((9, 8), (3, 2), Window((1, 1), (1, 1), ((1, 1), (0, 1)))),
    ((9, 8), (3, 3), Window((2, 3), (1, 1), ((0, 0), (2, 2)))),
    ((12, 11), (2, 3), Window((1, 1), (3, 4), ((2, 1), (8, 8)))),
    ((30, 1), (20, 1), Window((1, 1), (1, 1), ((10, 9), (0, 0)))),
    ((25, 20), (17, 12), Window((2, 1), (1, 1), ((8, 8), (6, 5)))),
]


def normal(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape)


def windows(x: Array, size: tuple[int, int], window: Window, value: float) -> Array:
    """The entries of each window: (batch, *out, places…, channels)."""
    x = np.pad(x, [(0, 0), *window.padding, (0, 0)], constant_values=value)
    out = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[1:-1], size, window.strides, window.dilation, strict=True)
    ]
    found = np.empty((x.shape[0], *out, *size, x.shape[-1]))
    for i, j in product(*map(range, out)):
        rows, columns = (
            np.arange(k) * d + at * s
            for at, k, s, d in zip((i, j), size, window.strides, window.dilation, strict=True)
        )
        found[:, i, j] = x[:, rows[:, None], columns]
    return found


@pytest.mark.parametrize(("sizes", "size", "window"), WINDOWS)
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_sums_over_windows(
    sizes: tuple[int, int], size: tuple[int, int], window: Window, channels: int
) -> None:
    x, kernel = normal(3, *sizes, channels), normal(*size, channels, 5)
    expected = np.einsum("bijklc,klcf->bijf", windows(x, size, window, 0.0), kernel)
    np.testing.assert_allclose(correlate(x, kernel, window), expected, atol=1e-12)
    outer = normal(*expected.shape)
    # Σ y · outer is linear in x and in the kernel.
    to_x = grad(lambda x: (correlate(x, kernel, window) * outer).sum())(x)
    np.testing.assert_allclose(to_x, spread(outer, kernel, window, sizes))
    assert (to_x * x).sum() == pytest.approx((expected * outer).sum())
    to_kernel = grad(lambda kernel: (correlate(x, kernel, window) * outer).sum())(kernel)
    wanted = np.einsum("bijklc,bijf->klcf", windows(x, size, window, 0.0), outer)
    np.testing.assert_allclose(to_kernel, wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("sizes", "size", "window"), [w for w in WINDOWS if w[2].dilation == (1, 1)]
)
@pytest.mark.parametrize("has_ties", [False, True])
def test_the_first_largest_entry_of_a_window_gets_the_gradient(
    sizes: tuple[int, int], size: tuple[int, int], window: Window, has_ties: bool
) -> None:
    x = normal(2, *sizes, 3)
    x = np.maximum(x, 0.5) if has_ties else x
    met = windows(x, size, window, -np.inf)
    flat = met.reshape(*met.shape[:3], -1, 3)
    np.testing.assert_array_equal(largest(x, size, window), flat.max(3))
    outer = normal(*flat.max(3).shape)
    found = grad(lambda x: (largest(x, size, window) * outer).sum())(x)
    numbers = np.broadcast_to(np.arange(x[0, ..., 0].size).reshape(1, *sizes, 1) + 1.0, x.shape)
    places = windows(numbers, size, window, 0.0).reshape(flat.shape)
    first = np.take_along_axis(places, flat.argmax(3)[:, :, :, None], 3)[:, :, :, 0]
    expected = np.zeros(x.shape)
    batch, _, _, channel = np.indices(first.shape)
    np.add.at(expected.reshape(2, -1, 3), (batch, first.astype(int) - 1, channel), outer)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("block", [1, 1 << 18])
@pytest.mark.parametrize("seen", [None, "causal", "each"])
@pytest.mark.parametrize("drops_hidden", [False, True])
def test_attention_by_heads(
    block: int, seen: str | None, drops_hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "BLOCK", block)
    query, key, value = normal(2, 3, 5, 4), normal(2, 3, 6, 4), normal(2, 3, 6, 7)
    visible: Any = None
    if seen == "causal":
        visible = np.tri(5, 6, dtype=bool)
    elif seen == "each":
        visible = normal(2, 3, 5, 6) > 0
    outer = normal(2, 3, 5, 7)

    def plain(query: Array, key: Array, value: Array) -> Array:
        xp = arrays
        scores = xp.matmul(query, xp.swapaxes(key, -1, -2)) / 2
        if visible is not None:
            scores = xp.where(visible, scores, -1e9)
        shares = Softmax().call(xp, scores)
        if visible is not None and drops_hidden:
            shares = xp.where(visible, shares, 0.0)
        return (xp.matmul(shares, value) * outer).sum()

    def sliced(query: Array, key: Array, value: Array) -> Array:
        return (attend(query, key, value, visible, drops_hidden) * outer).sum()

    given = query, key, value
    assert sliced(*given) == pytest.approx(plain(*given))
    for argument in range(3):
        np.testing.assert_allclose(
            grad(sliced, argument)(*given), grad(plain, argument)(*given), atol=1e-12
        )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gradients_of_joined_arrays_are_the_parts_of_theirs(axis: int) -> None:
    parts = [normal(3, 4, 5), normal(3, 4, 5) + 1, normal(3, 4, 5) - 1]
    weights = {
        join: np.random.default_rng(0).normal(size=getattr(np, join)(parts, axis).shape)
        for join in ("concatenate", "stack")
    }
    for join, outer in weights.items():

        def total(x: Array, join: str = join, outer: Array = outer) -> Array:
            # The second part is constant, and the first comes twice.
            return arrays.sum(getattr(arrays, join)([x, parts[1], x * x], axis) * outer)

        moved = 1e-6 * normal(3, 4, 5)
        slope = (total(parts[0] + moved) - total(parts[0] - moved)) / 2
        assert np.sum(grad(total)(parts[0]) * moved) == pytest.approx(slope, rel=1e-6)
