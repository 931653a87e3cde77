"""Differences: figures of two tensors, whatever their values, dtypes, sizes and workers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.initializers.base import Undeclared
from initcli.measuring.difference import NOTHING, Difference, differences
from initcli.parameter import Parameter
from initcli.sampling.chunks import CHUNK
from initcli.stored import Held, StoredTensor

LARGE = (3, 40 * CHUNK // 3)
"""A shape of more than one portion."""


def stored(values: Any, dtype: str | None = None) -> Parameter:
    array = np.asarray(values)
    tensor = StoredTensor(
        path="w", shape=array.shape, dtype=dtype or array.dtype.name, storage=Held(array.ravel())
    )
    return Parameter(
        path="w",
        shape=array.shape,
        initializer=Undeclared(),
        dtype=tensor.dtype,  # type: ignore[arg-type]
        stored=tensor,
    )


def difference(a: Any, b: Any) -> Difference:
    (found,) = differences([(stored(a), stored(b))])
    return found


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_figures_are_those_of_the_whole_arrays(dtype: str) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=LARGE).astype(dtype)
    b = (a + rng.normal(0, 0.1, LARGE) * (rng.random(LARGE) < 0.5)).astype(dtype)
    found = difference(a, b)
    x, y = a.astype(float).ravel(), b.astype(float).ravel()
    assert found.relative == pytest.approx(np.linalg.norm(y - x) / np.linalg.norm(x), rel=1e-9)
    cosine = np.vdot(x, y) / np.linalg.norm(x) / np.linalg.norm(y)
    assert found.cosine == pytest.approx(cosine, rel=1e-9)
    assert found.largest == pytest.approx(np.abs(y - x).max(), rel=1e-12)
    assert found.changed == np.count_nonzero(a != b)
    assert (found.count, found.not_finite) == (a.size, 0)


def test_one_changed_bit_is_a_change() -> None:
    a = np.zeros(2 * CHUNK, np.float32)
    b = a.copy()
    b[-1] = -0.0
    assert difference(a, a.copy()).changed == 0
    assert (difference(a, b).changed, difference(a, b).relative) == (1, 0.0)
    # Both are 2^60 as float64.
    assert difference(np.array([2**60]), np.array([2**60 + 1])).changed == 1


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    a = np.array([3.0, np.nan, np.inf, np.nan, 4.0], np.float32)
    b = np.array([3.0, np.nan, 1.0, 1.0, 4.5], np.float32)
    found = difference(a, b)
    assert (found.count, found.changed, found.not_finite) == (2, 3, 3)
    assert found.relative == pytest.approx(0.1)
    assert found.largest == 0.5
    nothing = difference(np.array([np.nan]), np.array([np.inf]))
    assert math.isnan(nothing.relative)
    assert math.isnan(nothing.cosine)


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_squares_neither_overflow_nor_underflow(scale: float) -> None:
    # The first chunk is 0, so that the parts have different exponents.
    a = np.concatenate([np.zeros(CHUNK), np.array([3.0, 4.0]) * scale])
    b = np.concatenate([np.zeros(CHUNK), np.array([3.0, -4.0]) * scale])
    found = difference(a, b)
    assert found.relative == pytest.approx(8 / 5)
    assert found.cosine == pytest.approx(-7 / 25)
    assert found.largest == pytest.approx(8 * scale)


def test_a_change_from_0_has_no_relative_size() -> None:
    found = difference(np.zeros(4), np.ones(4))
    assert found.relative == math.inf
    assert math.isnan(found.cosine)
    assert difference(np.zeros(4), np.zeros(4)).relative == 0.0
    assert math.isnan(NOTHING.relative)
    assert difference(np.zeros((0, 3)), np.zeros((0, 3))).changed == 0


def test_other_dtypes_are_compared_by_value() -> None:
    a = np.array([1.0, 0.1, np.nan], np.float32)
    assert difference(a, a.astype(np.float64)).changed == 0
    found = difference(a, a.astype(np.float16))
    assert found.changed == 1
    assert found.largest == pytest.approx(abs(float(np.float16(0.1)) - float(np.float32(0.1))))
    # The same 16 bits mean another value in another dtype.
    bits = np.array([0x3F80], np.uint16)
    (found,) = differences([(stored(bits, "bfloat16"), stored(bits))])
    assert (found.changed, found.largest) == (1, 0x3F80 - 1.0)


def test_sampled_values_are_compared_with_those_of_a_file(tmp_path: Any) -> None:
    text = "{input_shape: [300], dtype: %s, layers: [{type: Dense, units: 300}]}"
    for dtype in ("float32", "float16", "bfloat16"):
        model = initcli.parse(text % dtype)
        initcli.export(model, tmp_path / "a.safetensors")
        kinds = [each.kind for each in initcli.diff(model, tmp_path / "a.safetensors")]
        assert kinds == ["unchanged", "unchanged"], dtype


def test_workers_change_no_bit() -> None:
    text = "{input_shape: [1500], layers: [{type: Dense, units: 1500}]}"
    one, two = (initcli.parse(text, seed=seed).parameters for seed in (0, 1))
    pairs = list(zip(one, two, strict=True))
    done: list[int] = []
    here = list(differences(pairs, progress=done.append))
    assert sum(done) == sum(each.size for each in one)
    with initcli.processes(2) as workers:
        assert list(differences(pairs, workers=workers)) == here
    # Two independent samples of one size: √2, within 5 of 1/√n.
    assert here[0].relative == pytest.approx(math.sqrt(2), abs=5 / 1500)
