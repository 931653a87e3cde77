"""Spectral norms, expected, measured and wanted, beside decompositions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.measuring.spectral import Spectral, growths, largest_singular_value, spectral
from initcli.parameter import Parameter
from support.paths import TOUR
from support.running import run

RNG = np.random.default_rng(0)


def record(*options: str) -> Any:
    return json.loads(run("summary", TOUR, "--format", "json", *options).stdout)


def kernels(*layers: str, inputs: int = 300) -> list[Parameter]:
    spec = f"{{input_shape: [{inputs}], layers: [{', '.join(layers)}]}}"
    return [each for each in initcli.parse(spec).parameters if each.name == "kernel"]


def dense(units: int, initializer: str) -> str:
    return f"{{type: Dense, units: {units}, kernel_initializer: {initializer}}}"


def norms(parameter: Parameter) -> Spectral:
    found = spectral(parameter, draws=True)
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "matrix",
    [
        RNG.standard_normal((300, 200)),
        RNG.standard_normal((65, 1500)),
        RNG.standard_normal((300, 300)) + 0.3,
        RNG.standard_normal((300, 1)) * RNG.standard_normal(200),
        np.linalg.qr(RNG.standard_normal((300, 200)))[0],
        np.eye(100),
        np.zeros((100, 80)),
        1e30 * RNG.standard_normal((100, 90)),
        1e-30 * RNG.standard_normal((100, 90)),
        RNG.standard_normal((3, 4)),
        RNG.standard_normal((1, 400)),
    ],
)
def test_the_largest_singular_value(matrix: Any, dtype: Any) -> None:
    expected = np.linalg.norm(matrix, 2)
    assert largest_singular_value(matrix.astype(dtype)) == pytest.approx(expected, rel=2e-3)


def test_what_is_not_finite_has_no_norm() -> None:
    for value in (math.nan, math.inf):
        assert math.isnan(largest_singular_value(np.array([[value, 1.0]])))


@pytest.mark.parametrize(
    "initializer",
    [
        "glorot_uniform",
        "he_normal",
        "{type: RandomUniform, minval: 0, maxval: 0.1}",
        "{type: RandomNormal, mean: 0.3, stddev: 0.2}",
        "{type: TruncatedNormal, stddev: 0.02}",
        "{type: Constant, value: -0.4}",
        "zeros",
        "{type: Orthogonal, gain: 2}",
        "{type: Identity, gain: 3}",
    ],
)
@pytest.mark.parametrize("units", [300, 40, 1500])
def test_an_expected_norm_is_that_of_the_values(initializer: str, units: int) -> None:
    # Norms of matrices of this size deviate by about 1 % (Tracy & Widom), those with a mean by
    # std / mean / √(rows · columns), which is less.
    (kernel,) = kernels(dense(units, initializer))
    found = norms(kernel)
    exact = np.linalg.norm(initcli.draw(kernel).astype(np.float64), 2)
    assert found.measured == pytest.approx(exact, rel=2e-3)
    assert found.expected == pytest.approx(exact, rel=0.05)
    assert found.wanted == math.sqrt(units / 300)


@pytest.mark.parametrize("initializer", ["sparse", "dirac"])
def test_what_an_initializer_does_not_say_is_unknown(initializer: str) -> None:
    spec = (
        "{input_shape: [9, 6], layers: [{type: Conv1D, filters: 6, kernel_size: 3, "
        "kernel_initializer: dirac}, {type: Flatten}, {type: Dense, units: 30, "
        "kernel_initializer: {type: Sparse, sparsity: 0.5}}]}"
    )
    conv, dense = (each for each in initcli.parse(spec).parameters if each.name == "kernel")
    found = norms({"dirac": conv, "sparse": dense}[initializer])
    assert found.expected is None
    assert found.measured is not None


def test_a_kernel_is_the_matrix_of_what_is_summed_over() -> None:
    conv, *_ = initcli.parse(
        "{input_shape: [8, 8, 3], layers: [{type: Conv2D, filters: 16, kernel_size: 3, "
        "kernel_initializer: orthogonal}]}"
    ).parameters
    found = norms(conv)
    assert (found.rows, found.columns) == (27, 16)
    assert found.expected == 1
    assert found.measured == pytest.approx(1, rel=1e-5)

    attention = initcli.parse(
        "{input_shape: [5, 20], layers: [{type: MultiHeadAttention, num_heads: 4, key_dim: 8, "
        "inputs: [input, input]}]}"
    ).parameters
    query, out = (each for each in attention if each.path.endswith(("query/kernel", "put/kernel")))
    for kernel, shape in ((query, (20, 32)), (out, (32, 20))):
        found = norms(kernel)
        assert (found.rows, found.columns) == shape
        exact = np.linalg.norm(initcli.draw(kernel).reshape(shape), 2)
        assert found.measured == pytest.approx(exact, rel=1e-5)
    assert all(spectral(each, draws=True) is None for each in attention if each.name == "bias")


def test_a_kernel_in_groups_is_a_matrix_for_each() -> None:
    conv, *_ = initcli.parse(
        "{input_shape: [8, 8, 64], layers: [{type: Conv2D, filters: 96, kernel_size: 3, groups: 4, "
        "kernel_initializer: he_normal}]}"
    ).parameters
    found = norms(conv)
    assert (found.rows, found.columns) == (144, 24)
    assert found.wanted == math.sqrt(24 / 144)
    parts = np.split(initcli.draw(conv).astype(np.float64).reshape(144, 96), 4, axis=1)
    exact = max(np.linalg.norm(part, 2) for part in parts)
    assert found.measured == pytest.approx(exact, rel=2e-3)
    # The largest of four; each deviates by about 3 %.
    assert found.expected == pytest.approx(exact, rel=0.1)


def test_a_multiplier_counts() -> None:
    spec = "{{input_shape: [300], parametrization: {}, layers: [{{type: Dense, units: 200}}]}}"
    models = (initcli.parse(spec.format(kind)) for kind in ("standard", "ntk"))
    plain, tangent = (norms(model.parameters[0]) for model in models)
    assert tangent.expected == pytest.approx(plain.expected)
    assert tangent.measured == pytest.approx(plain.measured, rel=1e-4)


def test_a_factor_that_grows_with_the_width_is_named(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    text = """input_shape: [16]
layers:
  - {type: Dense, units: 256, name: first}
  - {type: Dense, units: 256, name: fixed, kernel_initializer: {type: RandomNormal, stddev: 0.02}}
  - {type: Dense, units: 256, name: scaled, kernel_initializer: he_normal}
  - {type: Dense, units: 4, name: head}
"""
    spec.write_text(text, "utf-8")
    found = growths(initcli.load(spec))
    assert set(found) == {"fixed/kernel", "scaled/kernel"}
    # Norms of random matrices near their limit by 1 % from one width to the next.
    assert found["fixed/kernel"] == pytest.approx(0.5, abs=0.02)
    assert found["scaled/kernel"] == pytest.approx(0, abs=0.02)
    shown = " ".join(run("summary", spec, "--spectral").stdout.split())
    assert "the factor of 1 hidden kernel grows as the width to the power 0.5" in shown
    spec.write_text(text.replace("{type: RandomNormal, stddev: 0.02}", "he_normal"), "utf-8")
    assert "grows" not in run("summary", spec, "--spectral").stdout
    record = json.loads(run("summary", spec, "--spectral", "--format", "json").stdout)
    kernels_of = [each["spectral"] for each in record["tensors"] if each["spectral"]]
    assert [each["growth"] is None for each in kernels_of] == [True, False, False, True]


def test_nothing_is_drawn_of_distributions_alone() -> None:
    (kernel,) = kernels(dense(10, "he_normal"))
    found = spectral(kernel, draws=False)
    assert found is not None
    assert found.measured is None


def test_the_table_and_the_record() -> None:
    table = run("summary", TOUR, "--spectral").stdout
    lines = [line for line in table.splitlines() if "/kernel" in line]
    assert len(lines) == 5
    assert "factor" in table
    tensors = record("--spectral")["tensors"]
    by_path = {each["path"]: each["spectral"] for each in tensors}
    assert by_path["dense/bias"] is None
    assert by_path["dense_2/kernel"]["expected"] == 1
    assert by_path["dense_2/kernel"]["measured"] == pytest.approx(1, rel=1e-5)
    assert by_path["dense_2/kernel"]["wanted"] == math.sqrt(8 / 64)
    theory = record("--spectral", "--theory")["tensors"]
    assert all(each["spectral"] is None or each["spectral"]["measured"] is None for each in theory)
    assert all(each["spectral"] is None for each in record()["tensors"])
