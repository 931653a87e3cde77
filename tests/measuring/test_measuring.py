"""Streams, drawing and measuring: the same values always, and measurements that add up."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from operator import add
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, kstwo

import initcli
from initcli import distributions
from initcli.distributions import Normal
from initcli.errors import TooLarge
from initcli.initializers import (
    STFT,
    Constant,
    Custom,
    GlorotNormal,
    GlorotUniform,
    HeUniform,
    Identity,
    Initializer,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    Sparse,
    TruncatedNormal,
    VarianceScaling,
)
from initcli.measuring.bins import data_histogram
from initcli.measuring.fit import DOUBTFUL, exceeded, fit
from initcli.measuring.histogram import Grid, Histogram
from initcli.measuring.measure import measure
from initcli.measuring.measurement import Measurement
from initcli.measuring.tally import _quartiles, measure_values
from initcli.parameter import Parameter
from initcli.sampling.chunks import CHUNK, draw, draw_chunks, rounded, rounding_edges
from initcli.sampling.workers import HERE, Workers, processes
from initcli.types import Dtype

# Several chunks and a rest, one chunk, one entry.
SHAPES = [(3, CHUNK + 7), (100, 50), (1,)]
INITIALIZERS: list[Initializer] = [
    RandomNormal(stddev=0.5),
    RandomUniform(),
    GlorotNormal(),
    Constant(value=0.4),
]


def parameter(
    initializer: Initializer, shape: tuple[int, ...], dtype: Dtype = "float32", path: str = "a/b"
) -> Parameter:
    return Parameter(path=path, shape=shape, initializer=initializer, dtype=dtype)


def seen(p: Parameter) -> Measurement:
    ((_, measurement),) = measure([p])
    return measurement


# ------------------------------------------------------------------------ streams


def test_values_depend_on_seed_and_path_alone() -> None:
    base = parameter(HeUniform(), (20, 30))
    values = draw(base)
    np.testing.assert_array_equal(draw(parameter(HeUniform(), (20, 30))), values)
    other_path = draw(parameter(HeUniform(), (20, 30), path="a/c"))
    other_seed = draw(Parameter(path="a/b", shape=(20, 30), initializer=HeUniform(), seed=1))
    assert len({float(v.ravel()[0]) for v in (values, other_path, other_seed)}) == 3


def test_a_seed_of_its_own_gives_the_same_values_everywhere() -> None:
    own = RandomNormal(seed=3)
    values = draw(parameter(own, (20, 30)))
    elsewhere = Parameter(path="x/y", shape=(20, 30), initializer=own, seed=99)
    np.testing.assert_array_equal(draw(elsewhere), values)
    assert not np.array_equal(draw(parameter(RandomNormal(seed=4), (20, 30))), values)


def test_chunks_differ_from_one_another() -> None:
    values = draw(parameter(RandomNormal(), (2 * CHUNK,)))
    assert not np.array_equal(values[:CHUNK], values[CHUNK:])


def test_values_are_the_same_in_another_process() -> None:
    code = (
        "from initcli.sampling.chunks import draw\nfrom initcli.parameter import Parameter\n"
        "from initcli.initializers import RandomNormal\n"
        "p = Parameter(path='a/b', shape=(7, 5), initializer=RandomNormal())\n"
        "print(draw(p).tobytes().hex())"
    )
    values = draw(parameter(RandomNormal(), (7, 5))).tobytes().hex()
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == values


# ------------------------------------------------------------------------ measurements


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("initializer", INITIALIZERS, ids=str)
def test_a_measurement_is_what_numpy_says_of_the_values(
    initializer: Initializer, shape: tuple[int, ...], dtype: Dtype
) -> None:
    p = parameter(initializer, shape, dtype)
    values = draw(p).astype(np.float64)
    found = seen(p)
    assert found.count == values.size
    assert found.mean == pytest.approx(values.mean(), abs=1e-12)
    assert found.std == pytest.approx(values.std(), abs=1e-12)
    assert (found.min, found.max) == (values.min(), values.max())
    assert found.zeros == (values == 0).sum()
    shown = found.shown
    assert shown.counts.sum() == values.size
    assert len(shown.counts) <= 64
    if values.min() < values.max():
        assert shown.edges[0] == values.min()
        assert shown.edges[-1] >= values.max()
        np.testing.assert_array_equal(shown.counts, np.histogram(values, shown.edges)[0])


@pytest.mark.parametrize(
    "initializer",
    [*INITIALIZERS, Orthogonal(), Identity(), Sparse(sparsity=0.4)],
    ids=str,
)
def test_any_workers_give_the_same_bits(initializer: Initializer) -> None:
    parameters = [parameter(initializer, (1100, 1000), path=f"p{i}/k") for i in range(3)]

    def found(workers: AbstractContextManager[Workers]) -> list[tuple[Any, ...]]:
        with workers as chosen:
            return [
                (p.path, m.mean, m.squares, m.min, m.max, m.zeros, m.histogram.counts.tolist())
                for p, m in measure(parameters, workers=chosen)
            ]

    alone = found(nullcontext(HERE))
    assert [path for path, *_ in alone] == ["p0/k", "p1/k", "p2/k"]
    assert found(processes(2)) == found(processes(3)) == alone


@given(
    st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=200),
    st.integers(1, 199),
)
def test_measurements_of_two_parts_add_up_to_that_of_the_whole(
    values: list[float], at: int
) -> None:
    array = np.array(values, np.float32)
    at = 1 + at % (array.size - 1) if array.size > 2 else 1
    grid = Grid.over(-5.0, 5.0, 64)
    whole = measure_values(array, grid)
    parts = measure_values(array[:at], grid) + measure_values(array[at:], grid)
    assert parts.mean == pytest.approx(whole.mean, abs=1e-12)
    assert parts.std == pytest.approx(whole.std, abs=1e-7)
    assert msgspec.structs.replace(
        parts, mean=0, squares=0, histogram=whole.histogram
    ) == msgspec.structs.replace(whole, mean=0, squares=0)
    np.testing.assert_array_equal(parts.histogram.counts, whole.histogram.counts)


def nonsubnormal(value: float) -> float:
    """The value, or 0 where scaling it to bins could leave a float32 without all of its digits."""
    return value if abs(value) > 1e-30 else 0.0


@settings(max_examples=100, deadline=None)
@given(
    st.data(),
    st.sampled_from([np.float32, np.float64]),
    st.floats(-1e6, 1e6).map(nonsubnormal),
    st.floats(1e-9, 1e6),
    st.integers(1, 2000),
)
def test_a_grid_counts_as_numpy_does(
    data: st.DataObject, kind: Any, low: float, width: float, bins: int
) -> None:
    grid = Grid.over(low, low + width, bins)
    ends = kind(grid.edges[0]), kind(grid.edges[-1])
    assert grid.edges[0] <= low
    assert grid.edges[-1] >= low + width
    drawn = st.floats(float(min(ends)), float(max(ends))).map(
        lambda v: float(kind(nonsubnormal(v)))
    )
    on_edges = st.sampled_from([float(kind(edge)) for edge in grid.edges])
    values = np.array(data.draw(st.lists(drawn | on_edges, min_size=1, max_size=50)), kind)
    inside = np.clip(
        values.astype(np.float64), grid.edges[0], np.nextafter(grid.edges[-1], -np.inf)
    )
    np.testing.assert_array_equal(grid.count(values), np.histogram(inside, grid.edges)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_not_finite_are_counted_apart(dtype: Any) -> None:
    finite = np.array([3.0, 0.0, -1.0, 2.5], dtype)
    others = np.array([np.nan, np.inf, -np.inf, np.nan, np.inf], dtype)
    grid = Grid.over(-5.0, 5.0, 64)
    expected = measure_values(finite, grid)
    assert (expected.nans, expected.infs) == (0, 0)
    mixed = np.concatenate([finite, others])
    for found in (
        measure_values(mixed, grid),
        measure_values(finite, grid) + measure_values(others, grid),
        measure_values(others, grid) + measure_values(finite, grid),
    ):
        assert (found.count, found.nans, found.infs) == (4, 2, 3)
        assert (found.min, found.max, found.zeros) == (-1.0, 3.0, 1)
        assert found.mean == pytest.approx(expected.mean, rel=1e-12)
        assert found.std == pytest.approx(expected.std, rel=1e-12)
        assert found.values == expected.values
        np.testing.assert_array_equal(found.histogram.counts, expected.histogram.counts)


@pytest.mark.parametrize("edges", [[0.0, 1.0, 3.0], [0.0, 1.0, 2.0, 3.0]])
def test_histograms_of_different_edges_do_not_add_up(edges: list[float]) -> None:
    one = Histogram(np.array([0.0, 1.0, 2.0]), np.array([3, 4]))
    two = Histogram(np.array(edges), np.ones(len(edges) - 1, int))
    with pytest.raises(ValueError, match=f"2 bins from 0 to 2 and {len(edges) - 1} bins from 0 to"):
        one + two
    assert (one + one).counts.tolist() == [6, 8]


# ------------------------------------------------------------------------ histograms of hist


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("initializer", [*INITIALIZERS, Orthogonal(), Identity()], ids=str)
def test_bins_are_those_of_numpy(initializer: Initializer, dtype: Dtype) -> None:
    p = parameter(initializer, (300, 400), dtype)
    values = draw(p)
    found = data_histogram(p, seen(p))
    if values.min() == values.max():
        assert found.counts.tolist() == [values.size]
        assert found.edges.mean() == pytest.approx(values[0, 0])
    else:
        counts, edges = np.histogram(values, "auto")
        np.testing.assert_array_equal(found.counts, counts)
        np.testing.assert_array_equal(found.edges, edges)


@pytest.mark.parametrize("bins", [None, 50])
def test_values_a_few_steps_of_their_dtype_apart_have_a_histogram(bins: int | None) -> None:
    # NumPy refuses more bins than there are numbers between the least value and the greatest.
    p = parameter(RandomUniform(minval=1.0, maxval=1.000001), (100, 100))
    found = data_histogram(p, seen(p), bins)
    assert found.counts.sum() == p.size
    assert (np.diff(found.edges) > 0).all()


def test_the_number_of_bins_can_be_given() -> None:
    p = parameter(RandomNormal(), (300, 400))
    found = data_histogram(p, seen(p), 50)
    np.testing.assert_array_equal(found.counts, np.histogram(draw(p), 50)[0])


def test_bins_of_a_tensor_that_is_not_held_are_numpy_s_to_a_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    p = parameter(RandomNormal(), (2000, 500))
    exact = data_histogram(p, seen(p))
    monkeypatch.setattr("initcli.measuring.bins.MAX_EXACT", 1000)
    streamed = data_histogram(p, seen(p))
    assert streamed.counts.sum() == p.size
    # The quartiles are known to one of 1024 bins over eight deviations: 0.6 % of their distance.
    assert abs(streamed.counts.size - exact.counts.size) <= 1 + 0.012 * exact.counts.size


# ------------------------------------------------------------------------ half precision and fit


@given(st.floats(-(2.0**100), 2.0**100, width=32))
def test_rounding_to_bfloat16_is_to_the_nearest_and_ties_to_even(value: float) -> None:
    (found,) = rounded(np.array([value], np.float32), "bfloat16").tolist()
    bits = np.array([found], np.float32).view(np.uint32)[0]
    assert bits & 0xFFFF == 0
    neighbours = [(int(bits) + step) & 0xFFFFFFFF for step in (-0x10000, 0x10000)]
    for neighbour in np.array(neighbours, np.uint32).view(np.float32).tolist():
        if math.isfinite(neighbour):
            closer = abs(value - found) - abs(value - neighbour)
            assert closer < 0 or (closer == 0 and int(bits) >> 16 & 1 == 0) or neighbour == found


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["float16", "bfloat16"]),
    st.floats(-1000, 1000) | st.integers(-20, 9).map(lambda power: 2.0**power),
    st.floats(-3, 3),
)
def test_a_value_is_rounded_below_an_edge_where_the_rounding_edge_says(
    dtype: Dtype, edge: float, apart: float
) -> None:
    at = float(rounding_edges(np.array([edge]), dtype)[0])
    # Near the edge, by up to three spacings of the coarser of the two dtypes.
    value = float(np.float32(at + apart * max(abs(edge), 1e-6) * 2.0**-8))
    if value != at:
        below = float(rounded(np.array([value], np.float32), dtype)[0]) < edge
        assert below == (value < at)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("initializer", INITIALIZERS, ids=str)
def test_values_of_half_precision_are_representable_and_fit(
    initializer: Initializer, dtype: Dtype
) -> None:
    p = parameter(initializer, (1000, 1000), dtype)
    values = draw(p)
    np.testing.assert_array_equal(rounded(values, dtype), values)
    distribution = p.distribution
    assert distribution is not None
    assert fit(distribution, seen(p), dtype).p_value > 1e-6


@given(st.integers(0x0001, 0x7F7E))
def test_a_tie_of_bfloat16_goes_to_the_even_neighbour(upper: int) -> None:
    tie = np.array([upper << 16 | 0x8000], np.uint32).view(np.float32)
    even = upper + upper % 2
    for sign in (np.float32(1), np.float32(-1)):
        found = rounded(sign * tie, "bfloat16")
        assert abs(found).view(np.uint32)[0] >> 16 == even


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(
    ("initializer", "shape"),
    [
        (Sparse(sparsity=0.4), (300, 400)),
        (Identity(gain=0.1), (300, 300)),
        (STFT(window=None), (300, 1, 13)),
        (RandomUniform(minval=6e4, maxval=6e4 + 1), (100, 100)),
        (RandomNormal(mean=1000.0, stddev=1e-3), (300, 300)),
    ],
    ids=str,
)
def test_atoms_and_coarse_values_fit_their_distribution(
    initializer: Initializer, shape: tuple[int, ...], dtype: Dtype
) -> None:
    p = parameter(initializer, shape, dtype)
    distribution = p.distribution
    assert distribution is not None
    assert fit(distribution, seen(p), dtype).p_value > 1e-6


def test_the_fit_of_another_distribution_is_rejected() -> None:
    p = parameter(RandomNormal(stddev=0.05), (300, 300))
    found = seen(p)
    distribution = p.distribution
    assert distribution is not None
    assert fit(distribution, found, "float32").p_value > 1e-6
    assert fit(Normal(0.0, 0.052), found, "float32").p_value < 1e-6
    assert fit(Normal(0.002, 0.05), found, "float32").p_value < 1e-6


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 50, 139, 140, 141, 142, 1000, 99_999, 100_001])
def test_the_probability_of_the_statistic_is_that_of_scipy(n: int) -> None:
    """To rounding where it is exact; beyond 140 values within what an expansion leaves."""
    near = {"rel": 1e-9, "abs": 1e-13} if n <= 140 else {"rel": 3e-4, "abs": 5e-6}
    tail = 1e-9 if n <= 100_000 else 2e-3
    few = 1 if n <= 1000 else 4  # SciPy takes long
    for d in (*np.linspace(0.001, 1.1, 111)[::few], *np.linspace(0.2, 4.0, 60)[::few] / np.sqrt(n)):
        right = kstwo.sf(d, n)
        assert exceeded(n, d) == pytest.approx(right, rel=near["rel"], abs=near["abs"])
        if n * d * d >= 4.5 and right > 1e-300:
            assert exceeded(n, d) == pytest.approx(right, rel=tail if right > 1e-14 else 1e-2)


def test_the_statistic_of_a_few_values_is_that_of_scipy() -> None:
    rng = np.random.default_rng(5)
    for n in (1, 2, 3, 7, 40, 140):
        values = rng.normal(0.0, 1.2, n)
        found = fit(Normal(0.0, 1.0), measure_values(values, Grid.over(-4, 4, 64)), "float64")
        right = kstest(values, "norm")
        assert found.statistic == pytest.approx(right.statistic, rel=1e-9)
        assert found.p_value == pytest.approx(right.pvalue, rel=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 12, 141])
def test_values_far_beyond_the_distribution_never_fit(count: int) -> None:
    """One value at z standard deviations has p = 2 (1 − Φ(z)) twice over, whatever the bins."""
    distribution = Normal(0.0, 0.05)
    far = measure_values(np.full(count, 50.0), Grid.over(*distribution.extent, 1024))
    assert fit(distribution, far, "float32").p_value < DOUBTFUL
    zeros = measure_values(np.zeros(count), Grid.over(0.0, 0.0, 1024))
    assert fit(distributions.Constant(0.0), zeros, "float32").p_value == 1
    assert fit(distributions.Constant(0.1), zeros, "float32").p_value == 0


FITTED: list[Initializer] = [
    RandomNormal(),
    RandomUniform(),
    TruncatedNormal(),
    GlorotUniform(),
    VarianceScaling(mode="fan_out"),
    Constant(value=0.3),
    Orthogonal(),
    Identity(),
    Sparse(sparsity=0.5),
]


@pytest.mark.parametrize("initializer", FITTED, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (5, 10)])
def test_fits_of_small_tensors_raise_no_false_alarms(
    initializer: Initializer, shape: tuple[int, ...]
) -> None:
    """Of 200 draws more than 3 fall below 0.001 with probability 6e-5, if each does so once in a
    thousand times; and below 0.1 no more than 5 standard deviations above 20."""
    draws = 200
    p_values = []
    for seed in range(draws):
        p = Parameter(path="w", shape=shape, initializer=initializer, seed=seed)
        distribution = p.distribution
        assert distribution is not None
        p_values.append(fit(distribution, seen(p), p.dtype).p_value)
    found = np.array(p_values)
    assert np.sum(found < DOUBTFUL) <= 3
    assert np.sum(found < 0.1) <= 0.1 * draws + 5 * math.sqrt(0.09 * draws)


def test_measurements_of_parts_hold_their_values_while_they_are_few() -> None:
    values, grid = np.random.default_rng(0).normal(size=200), Grid.over(-4, 4, 64)
    one, two = measure_values(values[:90], grid), measure_values(values[90:140], grid)
    assert (one + two).values == tuple(sorted(values[:140]))
    assert (one + two + measure_values(values[140:], grid)).values is None
    assert measure_values(values, grid).values is None


# ------------------------------------------------------------------------ what is too large


def test_a_tensor_that_cannot_be_held_is_refused_with_its_size() -> None:
    p = parameter(Orthogonal(), (10**6, 10**6))
    with pytest.raises(TooLarge, match=r"a/b must be held whole .* GiB"):
        list(measure([p]))


def test_a_model_that_nobody_could_wait_for_is_refused() -> None:
    with pytest.raises(TooLarge, match="would be drawn, but 10,000,000,000,000 are allowed"):
        list(measure([parameter(RandomNormal(), (10**9, 10**9))]))


@pytest.mark.parametrize(
    ("dtype", "end", "what"),
    [("float32", 3e38, "wider"), ("float32", 4e38, "more"), ("float64", 1e308, "more")],
)
def test_a_range_wider_than_the_dtype_is_refused(dtype: Dtype, end: float, what: str) -> None:
    kernel = {"type": "RandomUniform", "minval": -end, "maxval": end}
    layer = {"type": "Dense", "units": 3, "kernel_initializer": kernel}
    spec = {"dtype": dtype, "input_shape": [4], "layers": [layer]}
    with pytest.raises(initcli.InvalidSpec, match=f"is {what} than {dtype} holds"):
        initcli.parse(json.dumps(spec))


def test_far_outliers_are_counted_beyond_the_bins() -> None:
    def outlier(shape: tuple[int, ...]) -> Any:
        values = np.random.default_rng(0).standard_normal(shape)
        values[0, :3] = 1e12, -1e9, 2e12
        return values

    p = parameter(Custom(name="outlier", file="own.py", function=outlier), (300, 300), "float64")
    found = data_histogram(p, seen(p))
    assert (found.below, found.above) == (1, 2)
    assert found.counts.sum() == p.size - 3
    # 90,000 normal values lie within 6 deviations but for one in ten thousand such samples.
    assert -6 < found.edges[0] < -3 < 3 < found.edges[-1] < 6


def test_many_far_values_are_no_outliers() -> None:
    def mixture(shape: tuple[int, ...]) -> Any:
        values = np.random.default_rng(0).standard_normal(shape)
        values[: shape[0] // 10] = 1e4
        return values

    found = seen(
        parameter(Custom(name="mixture", file="own.py", function=mixture), (300, 300), "float64")
    )
    assert found.visible == (found.min, found.max)
    assert found.histogram.edges[-1] > 1e4


def test_the_ends_can_be_given_and_what_lies_beyond_is_counted() -> None:
    p = parameter(RandomNormal(stddev=1.0), (300, 400))
    values = draw(p)
    found = data_histogram(p, seen(p), 50, ends=(-1.0, 0.5))
    np.testing.assert_array_equal(found.counts, np.histogram(values, 50, (-1.0, 0.5))[0])
    assert (found.below, found.above) == ((values < -1.0).sum(), (values > 0.5).sum())


def test_a_custom_value_beyond_the_dtype_is_refused() -> None:
    cases: list[tuple[float, Dtype]] = [(1e6, "float16"), (1e200, "float64")]
    for value, dtype in cases:
        custom = Custom(
            name="large", file="own.py", function=lambda shape, value=value: np.full(shape, value)
        )
        with pytest.raises(TooLarge, match=f"{dtype} holds at most"):
            seen(parameter(custom, (3, 3), dtype))


def test_chunks_add_up_to_the_tensor() -> None:
    p = parameter(RandomNormal(), (3, CHUNK + 7))
    parts = list(draw_chunks(p, range(4)))
    assert [part.size for part in parts] == [CHUNK, CHUNK, CHUNK, 21]
    np.testing.assert_array_equal(np.concatenate(parts), draw(p).ravel())
    assert reduce(add, (part.size for part in parts)) == p.size


def test_quartiles_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    for size in range(60):
        values = rng.normal(0, 10.0 ** rng.integers(-30, 30), size)
        expected = np.percentile(values, (25, 75)).tolist() if size else [0.0, 0.0]
        assert [*_quartiles(values)] == expected
