"""Matches: of fresh, trained and structured tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from initcli import distributions
from initcli.initializers import (
    Bilinear,
    DeltaOrthogonal,
    Dirac,
    GlorotUniform,
    Identity,
    LecunNormal,
    Orthogonal,
    RandomNormal,
    Sparse,
    VarianceScaling,
)
from initcli.matching.identify import identifier
from initcli.matching.layouts import layouts, style_of
from initcli.matching.match import Identified, match
from initcli.matching.surroundings import Place, Surroundings
from initcli.stored import pattern_values
from initcli.types import TensorDtype
from support.matching import Held, is_true
from support.paths import REFERENCE, facts

RNG = np.random.default_rng(20)
NORMAL = RNG.standard_normal
NOWHERE = Place()


def matched(
    values: Any, path: str = "a.weight", dtype: TensorDtype = "float32", place: Place = NOWHERE
) -> Identified:
    tensor = Held(path, values, dtype)
    return match(tensor, tensor.measurement, place)


def first(values: Any, path: str = "a.weight", dtype: TensorDtype = "float32") -> Any:
    found = matched(values, path, dtype)
    assert found.matches, found.note
    return found.matches[0]


def place_of(case: dict[str, Any]) -> Place:
    place = dict(case["place"])
    return Place(**{**place, "kernels": tuple(map(tuple, place["kernels"]))})


def test_small_tensors_of_real_frameworks_match_their_true_rules() -> None:
    cases = facts("match_facts.json")["fresh"]
    among, firsts = 0, 0
    with np.load(REFERENCE / "match_tensors.npz") as arrays:
        for number, case in enumerate(cases):
            values = arrays[f"fresh{number}"]
            found = matched(values, case["path"], "float16", place_of(case)).matches
            places = [place for place, each in enumerate(found) if is_true(each, case["truth"])]
            among += bool(places)
            firsts += places[:1] == [0]
    assert len(cases) > 60
    assert among >= 0.99 * len(cases)
    assert firsts >= 0.95 * len(cases)


def test_no_kept_trained_kernel_is_called_initial() -> None:
    count = facts("match_facts.json")["trained"]
    assert count == 6
    with np.load(REFERENCE / "match_tensors.npz") as arrays:
        for number in range(count):
            names = (f"trained{number}.weight", f"trained{number}.bias")
            tensors = [Held(name, arrays[name], "float16") for name in names]
            answer = identifier(tensors)(tensors[0], tensors[0].measurement)
            assert not answer.matches, (number, answer)


def test_all_models_that_were_tried_reach_the_goals() -> None:
    scores = facts("match_facts.json")["scores"]
    trained = scores.pop("trained")
    tensors, among, firsts = (
        sum(score[f"random_{name}"] for score in scores.values())
        for name in ("tensors", "among", "first")
    )
    assert tensors > 3000
    assert among >= 0.99 * tensors
    assert firsts >= 0.95 * tensors
    assert trained["files"] > 100
    assert trained["called_initial"] == 0


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_the_true_rule_is_found_in_every_float(dtype: TensorDtype) -> None:
    bound = math.sqrt(6 / 192)
    uniform = first(RNG.uniform(-bound, bound, (64, 128)), dtype=dtype)
    assert uniform.initializer == GlorotUniform()
    assert uniform.framework == "torch"
    he = VarianceScaling(scale=2, mode="fan_out", distribution="untruncated_normal")
    normal = NORMAL((64, 100)) * math.sqrt(2 / 64)
    found = matched(normal, dtype=dtype).matches
    assert he in [each.initializer for each in found]


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_values_of_eight_bits_keep_their_rule(dtype: TensorDtype) -> None:
    known = np.unique(pattern_values(dtype))
    known = known[np.isfinite(known)]
    for values, rule in (
        (NORMAL((256, 256)) * 0.02, "N(0, 0.02²)"),
        (RNG.uniform(-1 / 16, 1 / 16, (128, 256)), "U(±1/√fan_in)"),
    ):
        nearest = known[np.searchsorted((known[1:] + known[:-1]) / 2, values)]
        assert first(nearest, dtype=dtype).rule == rule


def test_the_name_decides_the_layout_and_the_framework() -> None:
    values = LecunNormal().tensor((200, 50), RNG, np.dtype(np.float32))
    assert first(values, "dense/kernel").framework == "flax"
    bound = 1 / math.sqrt(200)
    assert first(RNG.uniform(-bound, bound, (50, 200)), "fc.weight").rule == "U(±1/√fan_in)"
    assert first(RNG.uniform(-bound, bound, (200, 50)), "fc/kernel").framework == "torch"


@pytest.mark.parametrize(
    ("path", "style"),
    [
        ("layers.0.weight", "torch"),
        ("rnn.weight_ih_l0", "torch"),
        ("attn.in_proj_weight", "torch"),
        ("params/Dense_0/kernel", "keras"),
        ("dense/bias", "keras"),
        ("params/Embed_0/embedding", "embedding"),
        ("layers/dense/vars/0", ""),
    ],
)
def test_styles(path: str, style: str) -> None:
    assert style_of(path) == style


@pytest.mark.parametrize(
    ("shape", "style", "fans"),
    [
        ((64, 32), "torch", (32, 64)),
        ((64, 32), "keras", (64, 32)),
        ((64, 32, 3, 3), "torch", (288, 576)),
        ((3, 3, 32, 64), "keras", (288, 576)),
        ((32, 1, 3, 3), "torch", (9, 9)),  # depthwise, by its groups
        ((64, 4, 16), "keras", (64, 64)),  # attention heads
        ((4, 16, 64), "keras", (64, 64)),
        ((192, 64), "torch", (64, 64)),  # one of query, key and value
    ],
)
def test_the_fans_of_a_layer_are_among_the_layouts(
    shape: tuple[int, ...], style: str, fans: tuple[int, int]
) -> None:
    assert fans in [each[:2] for each in layouts(shape, style)]


def test_a_bias_takes_the_bound_of_the_kernel_beside_it() -> None:
    shapes = [("fc.weight", (300, 77)), ("fc.bias", (300,))]
    place = Surroundings(shapes).of("fc.bias")
    bound = 1 / math.sqrt(77)
    found = matched(RNG.uniform(-bound, bound, 300), "fc.bias", place=place).matches[0]
    assert found.distribution == distributions.Uniform(-bound, bound)


def test_residual_projections_take_the_number_of_blocks() -> None:
    shapes = [(f"h.{block}.c_proj.weight", (64, 64)) for block in range(12)]
    place = Surroundings(shapes).of("h.3.c_proj.weight")
    assert (place.block, place.blocks) == (3, 12)
    std = 0.02 / math.sqrt(24)
    found = matched(NORMAL((64, 64)) * std, "h.3.c_proj.weight", place=place).matches
    assert distributions.Normal(0.0, std) in [each.distribution for each in found]


FORMS = {
    "identity": (np.eye(32, 64) * 3, Identity(gain=3.0)),
    "dirac of torch": (
        Dirac().tensor((3, 3, 8, 16), RNG, np.dtype(np.float32)).transpose(3, 2, 0, 1),
        Dirac(),
    ),
    "bilinear": (
        Bilinear(groups=16).tensor((4, 4, 1, 16), RNG, np.dtype(np.float32)),
        Bilinear(groups=16),
    ),
    "orthogonal": (
        Orthogonal(gain=math.sqrt(2)).tensor((256, 64), RNG, np.dtype(np.float32)),
        Orthogonal(gain=math.sqrt(2)),
    ),
    "large orthogonal": (
        Orthogonal().tensor((2048, 160), RNG, np.dtype(np.float32)),
        Orthogonal(gain=1.0),
    ),
    "delta orthogonal": (
        DeltaOrthogonal().tensor((3, 3, 16, 32), RNG, np.dtype(np.float32)),
        DeltaOrthogonal(gain=1.0),
    ),
    "sparse of torch": (
        Sparse(sparsity=0.3).tensor((100, 200), RNG, np.dtype(np.float32)).T,
        Sparse(sparsity=0.3),
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_structure_is_recognized(name: str) -> None:
    values, expected = FORMS[name]
    assert first(values).initializer == expected


POSITIONS = np.arange(100)[:, None] * 10_000.0 ** (-np.arange(0, 64, 2) / 64)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (np.arange(512), "not random: the numbers from 0 to 511"),
        (np.linspace(0, 0.1, 24), "not random: an arithmetic sequence from 0 to 0.1"),
        (2.0 ** -np.arange(1, 9), "not random: a geometric sequence from 0.5 to 0.003906"),
        (np.ones((64, 1)) * np.arange(1, 17), "not random: 64 rows of the numbers from 1 to 16"),
        (np.tril(np.ones((64, 64))), "not random: a triangle"),
        (
            np.concatenate([np.sin(POSITIONS), np.cos(POSITIONS)], 1)[None],
            "not random: sinusoids of the position",
        ),
        (NORMAL(8), "8 values are too few to tell"),
        ([1.0, math.nan, math.inf], "1 NaNs and 1 infinities"),
        (RNG.laplace(size=(128, 128)), "unknown: no initializer fits"),
        (NORMAL(1000) * 1e-80, "values of the size"),
    ],
)
def test_what_is_no_initializer_is_said(values: Any, note: str) -> None:
    found = matched(np.asarray(values), dtype="float64")
    assert not found.matches
    assert found.note.startswith(note)


def test_rows_of_zeros_are_left_out() -> None:
    table = NORMAL((300, 64)) * 0.02
    table[1] = 0
    found = matched(table, "emb.weight")
    assert found.note == "row 1 of zeros"
    assert found.matches[0].initializer.arguments["padding_idx"] == 1


def test_gates_are_told_apart() -> None:
    bias = np.r_[np.zeros(64), np.ones(64), np.zeros(128)]
    assert first(bias, "lstm/bias").initializer.arguments == {"unit_forget_bias": True}
    packed = np.concatenate([NORMAL((64, 64)) * scale for scale in (0.02, 0.02, 0.1)])
    stds = [part.std for part in first(packed).distribution.parts]
    assert stds == [0.02, 0.02, 0.1]


def test_repeated_rows_count_once() -> None:
    table = np.repeat(NORMAL((16, 64, 3, 3)) * math.sqrt(2 / 576), 4, 0)
    found = matched(table)
    he = distributions.Normal(0.0, math.sqrt(2 / 576))
    assert he in [each.distribution for each in found.matches]
    assert found.note == "each row 4 times"


def test_a_low_rank_change_is_called_trained() -> None:
    values = NORMAL((256, 256)) * 0.02
    values += 0.05 * np.outer(NORMAL(256), NORMAL(256))
    found = matched(values)
    assert not found.matches
    assert found.note.startswith("trained: the largest singular value is ")


def test_unknown_parameters_are_estimated() -> None:
    found = first(NORMAL((128, 128)) * 0.0313)
    assert found.framework is None
    assert isinstance(found.initializer, RandomNormal)
    assert found.initializer.stddev == pytest.approx(0.0313, rel=0.03)


def test_a_moved_bias_casts_doubt_on_a_normal_kernel() -> None:
    kernel = Held("fc.weight", NORMAL((64, 64)) * 0.02)
    for bias, is_kept in ((np.zeros(64), True), (NORMAL(64) * 0.013, False)):
        tensors = [kernel, Held("fc.bias", bias)]
        answer = identifier(tensors)(kernel, kernel.measurement)
        assert bool(answer.matches) == is_kept


def test_vectors_that_share_a_rule_are_initial() -> None:
    kernel = Held("0.conv.weight", NORMAL((64, 64)) * 0.02)
    norms = [Held(f"{number}.norm.weight", NORMAL(64) * 0.02) for number in range(20)]
    tensors = [kernel, *norms]
    assert identifier(tensors)(kernel, kernel.measurement).matches
    moved = [kernel, *(Held(each.path, each.values * 0.7) for each in norms)]
    assert not identifier(moved)(kernel, kernel.measurement).matches


def test_a_uniform_kernel_beside_a_moved_bias_is_still_initial() -> None:
    kernel = Held("fc.weight", RNG.uniform(-0.125, 0.125, (64, 64)))
    tensors = [kernel, Held("fc.bias", NORMAL(64) * 0.013)]
    answer = identifier(tensors)(kernel, kernel.measurement)
    assert answer.matches[0].rule == "U(±1/√fan_in)"


@pytest.mark.parametrize("scale", [1e-45, 1e-30, 1e-8, 1e8, 1e30, 1e37])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_no_size_of_values_fails(scale: float, dtype: TensorDtype) -> None:
    for values in (NORMAL((40, 33)), RNG.integers(0, 3, (5, 7, 9)), NORMAL(500) + 3):
        matched(values * scale, dtype=dtype)
