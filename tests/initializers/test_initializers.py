"""Initializers against the real Keras, PyTorch and JAX, and against what is drawn here."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from initcli.initializers import (
    DeltaOrthogonal,
    Dirac,
    Identity,
    Initializer,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    Sparse,
    TruncatedNormal,
    VarianceScaling,
    known_initializers,
)
from initcli.initializers.base import compute_fans
from initcli.parameter import Parameter
from initcli.sampling.chunks import draw
from initcli.sources.arguments import Arguments
from initcli.types import ArgumentError, ShapeError, TensorDtype
from support.goodness import CRITICAL, kolmogorov_smirnov
from support.paths import facts

FACTS: dict[str, Any] = facts("initializer_facts.json")


def made(arguments: dict[str, Any]) -> Initializer:
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}
    name = str(values.pop("type"))
    return known_initializers()[name](**values)


def drawn(
    initializer: Initializer, shape: tuple[int, ...], seed: int = 0, dtype: TensorDtype = "float32"
) -> Any:
    return draw(Parameter(path="p", shape=shape, initializer=initializer, seed=seed, dtype=dtype))


# ------------------------------------------------------------------------ names and arguments


@pytest.mark.parametrize(("alias", "name"), sorted(FACTS["aliases"].items()))
def test_every_name_of_keras_is_known(alias: str, name: str) -> None:
    if name != "Initializer":  # the base class, which fills nothing
        assert known_initializers()[alias].__name__ == name


@pytest.mark.parametrize("name", sorted(set(FACTS["signatures"]) - {"Initializer"}))
def test_arguments_and_defaults_are_those_of_keras(name: str) -> None:
    fields = {field.name: field.default for field in msgspec.structs.fields(made({"type": name}))}
    for argument, default in FACTS["signatures"][name].items():
        assert fields[argument] == default, argument


@pytest.mark.parametrize("fact", FACTS["fans"], ids=str)
def test_fans_are_those_of_keras(fact: dict[str, Any]) -> None:
    shape = tuple(fact["shape"])
    axes: dict[str, Any] = {
        k: tuple(v) for k, v in fact.items() if k.endswith("_axes") and v is not None
    }
    assert VarianceScaling(**axes).fans(shape) == tuple(fact["fans"])
    if not axes:
        assert compute_fans(shape) == tuple(fact["fans"])


# ------------------------------------------------------------------------ what frameworks draw


def counterpart(case: dict[str, Any]) -> tuple[Initializer, tuple[int, ...]] | None:
    """The initializer and shape here that should have the distribution of a framework's draws."""
    arguments, shape = dict(case["initializer"]), tuple(case["shape"])
    kind = arguments.pop("type")
    match case["source"], kind:
        case "keras", _:
            return made(case["initializer"]), shape
        case "torch", "trunc_normal_":
            mean, std = arguments["mean"], arguments["std"]
            bounds = {
                "lower": (arguments["a"] - mean) / std,
                "upper": (arguments["b"] - mean) / std,
            }
            return TruncatedNormal(mean=mean, stddev=std, **bounds), shape
        case "torch", "sparse_":
            sparse = Sparse(sparsity=arguments["sparsity"], stddev=arguments["std"])
            return sparse, shape[::-1]
        case "torch", "kaiming_uniform_":
            # gain² = 2/(1 + a²) is 1/3 for a = √5.
            return VarianceScaling(scale=1 / 3, distribution="uniform"), _keras_layout(shape)
        case "torch", "orthogonal_":
            return Orthogonal(**arguments), (shape[0], math.prod(shape[1:]))
        case "torch", "eye_":
            return Identity(), shape
        case "torch", "dirac_":
            return Dirac(**arguments), _keras_layout(shape)
        case "jax", "variance_scaling" if "batch_axis" not in arguments:
            normal = {"normal": "untruncated_normal"}
            arguments["distribution"] = normal.get(
                arguments["distribution"], arguments["distribution"]
            )
            return VarianceScaling(**arguments), shape
        case "jax", "truncated_normal":
            return TruncatedNormal(**arguments), shape
        case "jax", "delta_orthogonal":
            return DeltaOrthogonal(gain=arguments["scale"]), shape
    return None


def _keras_layout(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(out, in, k…) of PyTorch as (k…, in, out)."""
    return (*shape[2:], shape[1], shape[0])


DRAWS = [(case, counterpart(case)) for case in FACTS["draws"]]
COMPARED = [pytest.param(c, *ours, id=c["id"]) for c, ours in DRAWS if ours is not None]


def independent(case: dict[str, Any], initializer: Initializer) -> float:
    """How many independent entries tell at least as much as those that were pooled.

    The entries of an orthogonal matrix are tied to one another: of two dimensions every matrix has
    one angle alone, and in general as many columns as it has are independent directions.
    """
    if isinstance(initializer, Orthogonal | DeltaOrthogonal):
        size = math.prod(case["shape"])
        columns = min(case["shape"][-1], size // case["shape"][-1])
        return float(case["draws"] * columns / 2)
    return float(case["count"])


@pytest.mark.parametrize(("case", "initializer", "shape"), COMPARED)
def test_the_distribution_is_that_of_what_the_framework_drew(
    case: dict[str, Any], initializer: Initializer, shape: tuple[int, ...]
) -> None:
    distribution = initializer.distribution_for(shape)
    assert distribution is not None
    n = independent(case, initializer)
    # Six standard errors; that of the std is at most its largest deviation over √n, and 7 digits
    # were written down.
    written = 1e-6 * max(1e-30, *map(abs, distribution.extent))
    assert case["mean"] == pytest.approx(
        distribution.mean, abs=6 * distribution.std / math.sqrt(n) + written
    )
    spread = max(abs(end - distribution.mean) for end in (case["min"], case["max"]))
    assert case["std"] == pytest.approx(distribution.std, abs=6 * spread / math.sqrt(n) + written)
    quantiles = np.array(case["quantiles"])
    ranks = np.round(np.arange(201) * (case["count"] - 1) / 200)
    # The values up to a rank are a share of all between rank/n and (rank + 1)/n.
    below = distribution.below(quantiles - written) - (ranks + 1) / case["count"]
    above = ranks / case["count"] - distribution.cdf(quantiles + written)
    assert max(below.max(), above.max()) * math.sqrt(n) < CRITICAL


VALUES = [case for case in FACTS["draws"] if "values" in case]


@pytest.mark.parametrize("case", VALUES, ids=[case["id"] for case in VALUES])
def test_values_without_chance_are_those_of_the_framework(case: dict[str, Any]) -> None:
    ours = counterpart(case)
    assert ours is not None
    values = np.array(case["values"], np.float64)
    if case["source"] == "torch" and values.ndim > 2:
        values = np.moveaxis(values, (0, 1), (-1, -2))
    np.testing.assert_allclose(drawn(*ours), values, atol=1e-6)


def is_refused_here(entry: dict[str, Any]) -> bool:
    """Whether a refusal of Keras is one of initcli: not of what JAX has, of letters' case, of a
    seed beyond 32 bits, or of a scalar, which no layer has."""
    words = str(entry)
    lenient = "fan_geo_avg" in words or "FAN_IN" in words or "OverflowError" in words
    return bool(entry["error"]) and bool(entry["shape"]) and not lenient


ERRORS = [
    entry
    for entry in FACTS["errors"]
    if entry["source"] == "keras" and "initializer" in entry and is_refused_here(entry)
]


@pytest.mark.parametrize("entry", ERRORS, ids=str)
def test_what_keras_refuses_is_refused(entry: dict[str, Any]) -> None:
    arguments = Arguments()
    initializer = arguments.initializer(entry["initializer"], ())
    if initializer is None:
        assert arguments.errors
    else:
        with pytest.raises(ShapeError):
            initializer.distribution_for(tuple(entry["shape"]))


# ------------------------------------------------------------------------ what is drawn here

SHAPES: dict[str, list[tuple[int, ...]]] = {
    "Identity": [(30, 50), (64, 64)],
    "Sparse": [(50, 100), (100, 50)],
    "Dirac": [(3, 8, 16), (3, 3, 8, 4)],
    "DeltaOrthogonal": [(3, 8, 16), (3, 3, 8, 8)],
    "STFT": [(16, 1, 9)],
    "Bilinear": [(4, 4, 3, 3), (5, 2, 2)],
    "Chrono": [(4000,)],
    "ICNR": [(3, 3, 32, 64)],
    "Orthogonal": [(200, 50), (50, 200), (3, 3, 8, 16)],
}
REQUIRED: dict[str, dict[str, Any]] = {
    "Sparse": {"sparsity": 0.3},
    "Chrono": {"max_time": 100.0},
    "DeepNorm": {"encoder_layers": 12},
    "Fixup": {"branches": 16},
}
OURS = [
    pytest.param(name, shape, id=f"{name}-{'x'.join(map(str, shape))}")
    for name in sorted({cls.__name__ for cls in known_initializers().values()})
    for shape in SHAPES.get(name, [(1000,), (300, 200), (3, 3, 32, 64)])
]


@pytest.mark.parametrize(("name", "shape"), OURS)
def test_what_is_drawn_follows_the_distribution(name: str, shape: tuple[int, ...]) -> None:
    initializer = made({"type": name, **REQUIRED.get(name, {})})
    distribution = initializer.distribution_for(shape)
    assert distribution is not None
    values = drawn(initializer, shape).ravel()
    if (copies := initializer.copies(shape)) > 1:
        once = np.unique(values)
        assert once.size > 0.99 * values.size / copies
        values = once
    if distribution.atoms:
        atoms = np.array(list(distribution.atoms))
        nearest = atoms[np.abs(values[:, None] - atoms).argmin(axis=1)]
        values = np.where(np.abs(values - nearest) < 1e-6, nearest, values)
    assert kolmogorov_smirnov(distribution, values) < CRITICAL


@pytest.mark.parametrize(
    "shape", [(200, 30), (30, 200), (64, 64), (3, 3, 8, 16), (1, 5), (5, 1)], ids=str
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_orthogonal_tensor_is_orthogonal(shape: tuple[int, ...], dtype: Any) -> None:
    parameter = Parameter(
        path="p", shape=shape, initializer=Orthogonal(gain=1.5), dtype=dtype, seed=1
    )
    matrix = draw(parameter).reshape(-1, shape[-1]).astype(np.float64) / 1.5
    rows, columns = matrix.shape
    gram = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    np.testing.assert_allclose(gram, np.eye(min(rows, columns)), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(Orthogonal, (6, 4)), (DeltaOrthogonal, (3, 4, 6))],
    ids=["Orthogonal", "DeltaOrthogonal"],
)
def test_a_negative_gain_turns_every_sign(
    kind: type[Orthogonal] | type[DeltaOrthogonal], shape: tuple[int, ...]
) -> None:
    np.testing.assert_array_equal(drawn(kind(gain=-1.5), shape), -drawn(kind(gain=1.5), shape))


def test_an_orthogonal_matrix_is_haar() -> None:
    # Without the signs of R's diagonal the first entry would never be positive.
    entries = np.array([drawn(Orthogonal(), (6, 4), seed)[0, 0] for seed in range(2000)])
    distribution = Orthogonal().distribution_for((6, 4))
    assert distribution is not None
    assert kolmogorov_smirnov(distribution, entries) < CRITICAL


def test_every_part_of_an_orthogonal_matrix_is_haar() -> None:
    # More columns than are reflected at a time, and a last block that is not full. For fixed unit
    # vectors a and b, aᵀQb has the distribution of one entry.
    rng = np.random.default_rng(3)
    shape = (300, 270)
    sides = [rng.standard_normal((size, 8)) for size in shape]
    a, b = (side / np.linalg.norm(side, axis=0) for side in sides)
    first, last = np.eye(300)[:, :1], np.eye(270)[:, -1:]
    a, b = np.hstack([a, first, first]), np.hstack([b, np.eye(270)[:, :1], last])
    seen = [np.einsum("ij,ij->j", a, drawn(Orthogonal(), shape, seed) @ b) for seed in range(400)]
    distribution = Orthogonal().distribution_for(shape)
    for entries in np.transpose(seen):
        assert kolmogorov_smirnov(distribution, entries) < CRITICAL


def test_an_orthogonal_matrix_is_that_of_a_decomposition() -> None:
    """Moments of the trace of Q and of Q², which the wrong signs of columns change.

    For a Haar orthogonal matrix of 3 rows and more both have mean and variance (Diaconis &
    Shahshahani 1994): tr Q has 0 and 1, tr Q² has 1 and 2.
    """
    many, n = 4000, 20
    matrices = [drawn(Orthogonal(), (n, n), seed).astype(np.float64) for seed in range(many)]
    traces = np.array([np.trace(q) for q in matrices])
    squares = np.array([np.trace(q @ q) for q in matrices])
    for values, mean, variance in ((traces, 0.0, 1.0), (squares, 1.0, 2.0)):
        assert abs(values.mean() - mean) < 5.6 * math.sqrt(variance / many)
        # These are normal but for what cannot be seen here, so a variance has this error.
        assert abs(values.var() - variance) < 5.6 * variance * math.sqrt(2 / many)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (128, 128), (129, 129), (3000, 260), (40, 5000)])
def test_an_orthogonal_matrix_is_orthogonal_to_its_precision(
    shape: tuple[int, int], dtype: TensorDtype
) -> None:
    q = drawn(Orthogonal(), shape, dtype=dtype).astype(np.float64)
    gram = q.T @ q if shape[0] >= shape[1] else q @ q.T
    # Every block of 128 reflections rounds once or twice.
    blocks = 1 + min(shape) // 128
    assert np.abs(gram - np.eye(len(gram))).max() < 8 * blocks * np.finfo(dtype).eps


def test_a_delta_orthogonal_kernel_has_orthonormal_rows_at_its_centre() -> None:
    tensor = drawn(DeltaOrthogonal(gain=2.0), (4, 3, 8, 16))
    center = tensor[1, 1] / 2
    np.testing.assert_allclose(center @ center.T, np.eye(8), atol=1e-5)
    tensor[1, 1] = 0
    assert not tensor.any()


def test_sparse_zeroes_the_same_share_of_every_row() -> None:
    tensor = drawn(Sparse(sparsity=0.07, stddev=0.5), (40, 100))
    assert set((tensor == 0).sum(axis=1)) == {8}
    # The zeros stand in other places of each row.
    assert len({tuple(np.flatnonzero(row == 0)) for row in tensor}) > 1


def test_a_truncated_normal_has_the_corrected_deviation() -> None:
    stated = TruncatedNormal(stddev=1.0).distribution_for((4,))
    assert stated is not None
    assert stated.std == pytest.approx(0.87962566103423978, rel=1e-12)
    scaled = VarianceScaling(scale=2.0).distribution_for((50, 20))
    assert scaled is not None
    assert scaled.std == pytest.approx(math.sqrt(2 / 50), rel=1e-12)


@pytest.mark.parametrize(
    ("initializer", "shape"),
    [
        (Identity(), (3,)),
        (Identity(), (2, 3, 4)),
        (Orthogonal(), (3,)),
        (Dirac(), (3, 3)),
        (Dirac(groups=3), (3, 2, 4)),
        (DeltaOrthogonal(), (3, 8, 4)),
        (DeltaOrthogonal(), (8, 8)),
        (Sparse(sparsity=0.5), (3, 3, 3)),
        (VarianceScaling(input_axes=(2,), output_axes=(0,)), (3, 4)),
    ],
    ids=str,
)
def test_a_shape_that_cannot_be_filled(initializer: Initializer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError):
        initializer.distribution_for(shape)


def test_arguments_that_cannot_be() -> None:
    with pytest.raises(ArgumentError, match="maxval"):
        RandomUniform(minval=1.0, maxval=-1.0)
    with pytest.raises(ArgumentError, match="upper"):
        TruncatedNormal(lower=2.0, upper=1.0)
    with pytest.raises(ArgumentError, match="must have a positive probability"):
        TruncatedNormal(lower=50.0, upper=60.0)


def test_no_spread_is_a_constant() -> None:
    for initializer in (
        RandomNormal(mean=0.3, stddev=0.0),
        TruncatedNormal(mean=0.3, stddev=0.0),
        RandomUniform(minval=0.3, maxval=0.3),
    ):
        assert set(drawn(initializer, (5, 5)).ravel()) == {np.float32(0.3)}
