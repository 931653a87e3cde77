"""Checks: each finds what it is for and nothing else, and models that train are left alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import initcli
from initcli.activations import known_activations
from initcli.checks import Check, Report, check, known_checks
from initcli.checks.critical import critical
from initcli.checks.evidence import Evidence
from initcli.errors import NotInCatalog
from initcli.model import leaves
from initcli.signal.graph import Graph
from initcli.signal.program import program
from support.paths import REFERENCE, SAMPLES, facts
from support.running import run
from support.stacks import CHECKS, VALUE_CHECKS, errors, of_example, stack


def parsed(text: str, **arguments: Any) -> initcli.Model:
    return initcli.parse(text, **arguments)


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


# Each check by itself


@pytest.mark.parametrize("rule", CHECKS, ids=lambda rule: rule.code)
def test_a_check_reports_one_of_its_specs_with_what_where_why_and_what_instead_and_not_the_other(
    rule: type[Check], tmp_path: Path
) -> None:
    assert rule.code not in codes(check(of_example(rule, rule.example("Not reported"), tmp_path)))
    model = of_example(rule, rule.example("Reported"), tmp_path)
    found = next(each for each in check(model).findings if each.code == rule.code)
    text = rule.example("Reported").splitlines()
    assert 1 <= found.line <= len(text)
    assert 1 <= found.column <= len(text[found.line - 1])
    # It points into the entry of its layer, at what is written or else at the entry.
    place = model.document.place(found.path)
    assert (place.line, place.column) == (found.line, found.column)
    assert found.layer in {layer.name for layer in leaves(model.layers)}
    assert re.search(r"\d", found.message), found.message
    assert found.why == rule.why()
    assert re.search(r"\d{4}|#\d+", rule.sections()["References"]), "a paper or an issue says so"
    assert found.remedy


@pytest.mark.parametrize("rule", [*CHECKS, *VALUE_CHECKS], ids=lambda rule: rule.code)
def test_its_page_explains_a_check_to_who_has_never_heard_of_it(rule: type[Check]) -> None:
    page = run("check", "--explain", rule.code, width=100)
    assert (page.returncode, page.stderr) == (0, "")
    shown = " ".join(page.stdout.split())
    assert shown.startswith(f"{rule.code} {rule.name} {rule.severity} {rule.title()}")
    for heading, text in rule.sections().items():
        assert f"{heading} {' '.join(re.sub('```[a-z]*', '', text).split())}" in shown
    for example in (rule.example("Reported"), rule.example("Not reported")):
        assert " ".join(example.split()) in shown
    # Long enough to explain, short enough to be read.
    assert 60 < len(rule.text().split()) < 400
    assert run("check", "--explain", rule.name, width=100).stdout == page.stdout


def test_codes_and_names_are_unique_and_files_hold_one_check_each() -> None:
    every = [*CHECKS, *VALUE_CHECKS]
    assert len({rule.name for rule in every}) == len(every)
    assert all(re.fullmatch(r"I[1-46]\d\d", rule.code) for rule in every)
    homes = [rule.__module__ for rule in every]
    assert len(set(homes)) == len(homes)
    assert all(
        home.rpartition(".")[2] == rule.name.replace("-", "_")
        for home, rule in zip(homes, every, strict=True)
    )


# What is known to train, and what is known not to


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("resnet50.yaml", set()),
        ("gpt2_small.yaml", set()),
        ("bert_base.yaml", set()),
        ("lstm_imdb.yaml", set()),
        ("llama3_8b.yaml", set()),
        ("mlp_relu_deep.yaml", set()),
        # torch's own packed matrix, and Keras's own count of depthwise fans.
        ("vit_b16.yaml", {"I305"}),
        ("keras_mobilenetv2.json", {"I301"}),
        # VGG with Glorot's initializer trains (Simonyan & Zisserman 2015), if slowly at first.
        ("vgg16.yaml", {"I201"}),
        ("lenet5.yaml", {"I201"}),
        ("tour.yaml", {"I201"}),
    ],
)
def test_no_false_alarm_on_models_known_to_train(file: str, expected: set[str]) -> None:
    report = check(initcli.load(str(SAMPLES / file)))
    assert errors(report) == []
    assert set(codes(report)) == expected


def test_every_depthwise_layer_of_mobilenet_is_found_and_its_numbers_are_right() -> None:
    model = initcli.load(str(SAMPLES / "keras_mobilenetv2.json"))
    found = check(model).findings
    assert len(found) == sum("depthwise" in p.path and p.name == "kernel" for p in model.parameters)
    first = found[0]
    # Glorot's uniform distribution over Keras's fans 9 · 32 and 9, and over a window of 9.
    assert "288 and 9" in first.message
    assert f"{(2 / (288 + 9)) ** 0.5:.3g} in place of {(2 / (9 + 9)) ** 0.5:.3g}" in first.message
    assert "the normalization after it hides that" in first.message
    assert first.remedy.startswith("depthwise_initializer=keras.initializers.VarianceScaling(")


def test_whole_keras_models_give_nothing_but_warnings() -> None:
    for name, known in facts("whole_call_facts.json.gz")["models"].items():
        if known["json"].count('"class_name"') <= 120:  # Larger ones repeat what others have.
            assert errors(check(parsed(known["json"]), how="predicted")) == [], name


@pytest.mark.parametrize("width", [64, 256])
def test_tanh_layers_of_std_005_vanish(width: int) -> None:
    normal = {"type": "RandomNormal", "stddev": 0.05}
    spec = stack(50, {"activation": "tanh", "kernel_initializer": normal}, width)
    assert [finding.code for finding in errors(check(parsed(spec)))] == ["I202"]


def test_where_std_005_happens_to_be_critical_tanh_layers_are_left_alone() -> None:
    normal = {"type": "RandomNormal", "stddev": 0.05}
    spec = stack(50, {"activation": "tanh", "kernel_initializer": normal}, 400, 400)
    assert errors(check(parsed(spec))) == []


@pytest.mark.parametrize("how", ["measured", "predicted"])
def test_thirty_relu_layers_of_glorot_vanish(how: Any) -> None:
    spec = stack(30, {"activation": "relu", "kernel_initializer": "glorot_uniform"})
    (found,) = check(parsed(spec), how=how).findings
    assert (found.code, found.severity) == ("I202", "error")
    assert how in found.message
    # √½ a layer, but for the first, whose fans differ from the others' by nothing here.
    factor = re.search(r"([\d.e-]+) times per layer", found.message)
    assert factor is not None
    assert float(factor[1]) == pytest.approx(0.5**0.5, rel=0.03)
    assert found.remedy == "kernel_initializer: he_uniform"
    assert len(found.layers) == 30


@pytest.mark.parametrize("zeros", ["zeros", {"type": "Constant", "value": 0.0}])
@pytest.mark.parametrize(
    ("activation", "severity"), [("relu", "error"), ("tanh", "warning"), ("linear", "warning")]
)
def test_a_kernel_of_zeros_is_found(zeros: Any, activation: str, severity: str) -> None:
    """ReLU has slope 0 at 0, so that no gradient ever comes; through the others one does."""
    spec = stack(1, {"activation": activation, "kernel_initializer": zeros})
    (found,) = check(parsed(spec)).findings
    assert (found.code, found.severity) == ("I101", severity)
    assert found.tensor == "block_0/dense/kernel"


@pytest.mark.parametrize(
    ("blocks", "how"), [(10, "measured"), (10, "predicted"), (25, "predicted")]
)
def test_residual_blocks_of_he_without_normalization_grow(blocks: int, how: Any) -> None:
    spec = f"""
input_shape: [16, 16, 3]
layers:
  - {{type: Conv2D, filters: 16, kernel_size: 3, padding: same, kernel_initializer: he_normal}}
  - repeat: {blocks}
    layers:
      - type: Conv2D
        filters: 16
        kernel_size: 3
        padding: same
        activation: relu
        kernel_initializer: he_normal
      - {{type: Conv2D, name: end, filters: 16, kernel_size: 3, padding: same,
         kernel_initializer: he_normal}}
      - {{type: Add, inputs: [input, end]}}
  - {{type: GlobalAveragePooling2D}}
  - {{type: Dense, units: 10}}
"""
    assert "I206" in codes(check(parsed(spec), how=how, batch=4 if how == "measured" else None))


def test_gradients_are_judged_as_if_a_last_layer_of_zeros_had_moved() -> None:
    """At the first step none comes back through it, and at the second they vanish all the same."""
    layers = [{"repeat": 10, "layers": [dense(units=64, activation="sigmoid")]}]
    for last in (dense(), dense(kernel_initializer="zeros")):
        assert "I203" in codes(check(of_layers(*layers, last)))


def test_a_last_layer_may_start_as_small_as_anyone_likes() -> None:
    tiny = dense(kernel_initializer={"type": "RandomNormal", "stddev": 1e-8})
    hidden = dense(units=64, activation="relu", kernel_initializer="he_normal")
    assert codes(check(of_layers(hidden, tiny))) == []
    assert "I202" in codes(check(of_layers(hidden, tiny, dense())))


def test_gates_are_no_layers_in_a_row() -> None:
    """Squeeze and excitation: two small dense layers whose sigmoid multiplies the channels."""
    known = facts("whole_call_facts.json.gz")["models"]["squeeze_and_excitation"]
    assert codes(check(parsed(known["json"]), how="predicted")) == []
    gated = [
        dense(units=64),
        {"type": "BatchNormalization", "name": "in"},
        dense(units=64, activation="relu"),
        dense("gate", units=64, activation="relu"),
        {"type": "Multiply", "inputs": ["in", "gate"]},
        dense(units=64),
        {"type": "BatchNormalization"},
    ]
    assert codes(check(of_layers(*gated, dense()))) == []


def test_zeros_are_those_of_a_function_that_is_0_below_some_point() -> None:
    """A hard sigmoid far below is at its bound: saturated, and not a dead ReLU."""
    bias = {"type": "Constant", "value": -10.0}
    layer = dense(units=64, activation="hard_sigmoid", bias_initializer=bias)
    for how in ("measured", "predicted"):
        found = set(codes(check(of_layers(layer, dense()), how=how)))
        assert "I204" in found
        assert "I205" not in found


# Zeros and constants in their right places


def dense(name: str | None = None, units: int = 8, **more: Any) -> dict[str, Any]:
    return {"type": "Dense", "units": units, **({"name": name} if name else {}), **more}


ZEROS: dict[str, Any] = {"kernel_initializer": "zeros"}
ADD = {"type": "Add", "inputs": ["a", "b"]}
PRODUCT = {"type": "Multiply", "inputs": ["a", "b"]}
RELU: dict[str, Any] = {"activation": "relu"}
NORM = {"type": "BatchNormalization", "name": "b", "gamma_initializer": "zeros"}


def of_layers(*layers: dict[str, Any]) -> initcli.Model:
    return parsed(json.dumps({"input_shape": [8], "layers": layers}))


@pytest.mark.parametrize(
    "layers",
    [
        # The last layer, up to its activation.
        [dense(activation="tanh"), dense(**ZEROS), {"type": "Softmax"}],
        # The end of a branch, and a scale of 0 behind it.
        [dense("a"), dense("b", **ZEROS), ADD, dense()],
        [dense("a"), dense(), NORM, ADD, dense()],
        # The beginning of a branch whose activation lets gradients through at 0.
        [dense("a"), dense(activation="gelu", **ZEROS), dense("b"), ADD, dense()],
        # A single unit.
        [dense(units=1, kernel_initializer="ones"), dense()],
        # A branch that is put beside the other, and one factor of a product.
        [dense("a"), dense("b", **ZEROS), ADD | {"type": "Concatenate"}, dense()],
        [dense("in"), dense("a"), dense("b", inputs="in", **ZEROS), PRODUCT, dense()],
    ],
)
def test_constants_that_hold_nothing_up_are_left_alone(layers: list[dict[str, Any]]) -> None:
    assert "I101" not in codes(check(of_layers(*layers)))


@pytest.mark.parametrize(
    "layers",
    [
        # Behind a ReLU nothing comes back.
        [dense("a"), dense("b", activation="relu", **ZEROS), ADD, dense()],
        # Two zeros, one behind the other.
        [dense("a"), dense(**ZEROS), dense("b", **ZEROS), ADD, dense()],
        # A scale that everything passes.
        [dense(), NORM, dense()],
        # Both factors of a product, and one whose activation has slope 0 at 0.
        [dense("in"), dense("a", **ZEROS), dense("b", inputs="in", **ZEROS), PRODUCT, dense()],
        [dense("in"), dense("a"), dense("b", inputs="in", **RELU, **ZEROS), PRODUCT, dense()],
    ],
)
def test_zeros_that_keep_something_from_learning_are_found(layers: list[dict[str, Any]]) -> None:
    assert "I101" in codes(check(of_layers(*layers)))


def test_zeros_are_followed_through_any_depth_and_every_path() -> None:
    """Neither 1,100 layers behind a tensor of zeros nor 2³⁰ ways through gates are too many."""
    deep = {"repeat": 1100, "layers": [dense()]}
    assert "I101" in codes(check(of_layers(dense(**ZEROS), deep, dense()), select=["I101"]))
    dropout = {"repeat": 1100, "layers": [{"type": "Dropout", "rate": 0.1}]}
    assert codes(check(of_layers(dense(), dense(**ZEROS), dropout), select=["I101"])) == []
    gate = [dense("a"), dense("b"), {"type": "Multiply", "inputs": ["a", "b"]}]
    gate[1]["inputs"] = "input"
    gates = {"repeat": 30, "layers": gate}
    report = check(of_layers(dense(**ZEROS), gates, dense()), how="predicted", select=["I101"])
    assert codes(report) == ["I101"]


def test_a_model_of_too_many_layers_is_judged_by_its_distributions_alone() -> None:
    layers = [{"repeat": 10_001, "layers": [{"type": "Dropout", "rate": 0.1}]}, dense(**ZEROS)]
    report = check(of_layers(dense(**ZEROS), *layers), how="predicted")
    assert codes(report) == ["I101"]
    assert report.notes == ("the signal is not checked beyond 10,000 layers",)


def test_query_and_key_may_be_zero_one_at_a_time_only() -> None:
    attention = "{type: MultiHeadAttention, name: a, num_heads: 2, key_dim: 4%s}"
    spec = "{input_shape: [4, 8], layers: [{type: Dense, units: 8, name: x}, %s, %s, %s]}"
    rest = ("{type: Add, inputs: [x, a]}", "{type: Dense, units: 4}")
    end = attention % ", output_initializer: zeros"
    assert "I101" not in codes(check(parsed(spec % (end, *rest))))
    both = attention % ", kernel_initializer: zeros"
    assert "I101" in codes(check(parsed(spec % (both, *rest))))


# Packed projections


def test_a_dense_layer_that_is_split_in_three_is_found() -> None:
    """What Keras 3.15.1 writes of a model with keras.ops.split behind a Dense layer:

    qkv = Dense(192)(Input((16, 64))), ops.split(qkv, 3, axis=-1), Attention of the three, Dense(4).
    """
    model = initcli.load(str(REFERENCE / "packed_projections.json"))
    (found,) = [each for each in check(model).findings if each.code == "I305"]
    assert found.layer == "qkv"
    # Glorot's distribution with fan-ins of 64 and fan-outs of 192, and of the 64 that each has.
    stds = [(2 / (64 + fan_out)) ** 0.5 for fan_out in (192, 64)]
    assert "split into 3" in found.message
    assert f"std {stds[0]:.3g} instead of {stds[1]:.3g} for each" in found.message
    assert found.remedy == "kernel_initializer='lecun_uniform'"


# Shared seeds


def test_tensors_of_one_seed_are_what_their_finding_says(tmp_path: Path) -> None:
    he, glorot = "{type: HeNormal, seed: 3}", "{type: GlorotNormal, seed: 3}"
    layers = ", ".join(
        f"{{type: Dense, units: 8, kernel_initializer: {each}}}" for each in (he, he, glorot)
    )
    model = parsed(f"{{input_shape: [8], layers: [{layers}]}}")
    found = [each for each in check(model).findings if each.code == "I102"]
    assert ["identical" in found[0].message, "multiple" in found[1].message] == [True, True]
    one, same, scaled = (initcli.draw(p) for p in model.parameters if p.name == "kernel")
    assert (one == same).all()
    ratios = scaled / one
    assert ratios.std() < 1e-5 * ratios.mean()
    # The seeds that are proposed are new ones.
    seeds = {each.changes[0].value["seed"] for each in found}
    assert len(seeds) == 2
    assert 3 not in seeds


def test_a_seed_in_a_block_that_repeats_is_taken_out(tmp_path: Path) -> None:
    """One entry stands for all layers: no other seed of its own would tell them apart."""
    he = {"type": "HeNormal", "seed": 3}
    model = of_layers({"repeat": 3, "layers": [dense(kernel_initializer=he)]}, dense())
    (found,) = [each for each in check(model).findings if each.code == "I102"]
    assert found.layers == ("block_1/dense", "block_2/dense")
    (change,) = found.changes
    assert change.value["seed"] is None


# Declared distributions


def test_a_declared_distribution_is_shown_and_used(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "def own(shape, dtype=None, rng=None):\n"
        "    return rng.normal(0, 0.05, shape).astype(dtype)\n\n"
        "own.distribution = {'type': 'RandomNormal', 'stddev': 0.05}\n",
        encoding="utf-8",
    )
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "{input_shape: [64], layers: [{type: Dense, units: 64, kernel_initializer: own}]}",
        encoding="utf-8",
    )
    model = initcli.load(str(spec), custom=[str(file)])
    distribution = model.parameters[0].distribution
    assert distribution is not None
    assert distribution.text == "N(0, 0.05²)"
    shown = run("summary", spec, "--custom", file, "--format", "json")
    kernel = json.loads(shown.stdout)["tensors"][0]
    assert kernel["distribution"]["std"] == 0.05
    assert kernel["fit"]["p_value"] > 1e-4


def declared(tmp_path: Path, std: float, layers: int, seed: int) -> initcli.Model:
    """A model whose kernels of 100,000 entries declare a standard deviation of 0.05."""
    file, spec = tmp_path / "own.py", tmp_path / "spec.yaml"
    file.write_text(
        f"def own(shape, dtype=None, rng=None):\n"
        f"    return rng.normal(0, {std}, shape).astype(dtype)\n\n"
        "own.distribution = {'type': 'RandomNormal', 'stddev': 0.05}\n",
        encoding="utf-8",
    )
    entry = "{type: Dense, units: 400, use_bias: false, kernel_initializer: own}, "
    rest = "{type: Dense, units: 250, use_bias: false, kernel_initializer: own}, "
    both = "".join((entry, rest)[number % 2] for number in range(layers))
    spec.write_text(f"{{seed: {seed}, input_shape: [250], layers: [{both}]}}", encoding="utf-8")
    return initcli.load(str(spec), custom=[str(file)])


@pytest.mark.parametrize("layers", [1, 4])
def test_three_percent_off_what_is_declared_is_found_in_every_seed(
    tmp_path: Path, layers: int
) -> None:
    """√n D is 2.27 on average, with a deviation of 0.29 at most; 0.001 is exceeded from 1.95 on.
    Of several that are off together each is held against that."""
    for seed in range(3):
        found = check(declared(tmp_path, 0.0515, layers, seed), select=["I404"]).findings
        assert sum(len(each.layers) for each in found) == layers


def test_what_is_as_declared_is_not_found(tmp_path: Path) -> None:
    assert not check(declared(tmp_path, 0.05, 6, 0), select=["I404"]).findings


@pytest.mark.parametrize("distribution", ["'he_norml'", "{'type': 'RandomNormal', 'std': 1}", "3"])
def test_a_declaration_that_is_no_distribution_is_an_error(
    distribution: str, tmp_path: Path
) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        f"def own(shape, dtype=None):\n    ...\n\nown.distribution = {distribution}\n",
        encoding="utf-8",
    )
    told = run("summary", SAMPLES / "tour.yaml", "--custom", file)
    assert told.returncode == 2
    assert f"{file}:1: `own.distribution` is not an initializer" in told.stderr
    assert "Traceback" not in told.stderr


# What is written where


def test_a_block_that_repeats_gives_one_finding() -> None:
    spec = (
        "{input_shape: [16, 16, 8], layers: [{repeat: 5, layers: [{type: DepthwiseConv2D,"
        " kernel_size: 3, padding: same, depthwise_initializer: he_normal}, {type:"
        " BatchNormalization}]}]}"
    )
    (found,) = check(parsed(spec)).findings
    assert found.code == "I301"
    assert found.layers == tuple(f"block_{k}/depthwise_conv2d" for k in range(5))


def test_a_finding_within_a_wrapper_points_at_the_layer_inside() -> None:
    spec = """\
input_shape: [8, 4]
layers:
  - type: Bidirectional
    layer: {type: LSTM, units: 4, unit_forget_bias: false}
"""
    found = check(parsed(spec)).findings
    assert {each.code for each in found} == {"I403"}
    assert {(each.line, each.column) for each in found} == {(4, 12)}


def test_a_network_within_the_model_has_places_of_its_own() -> None:
    spec = """\
input_shape: [8]
layers:
  - type: Sequential
    name: inner
    layers:
      - {type: Dense, units: 8}
      - {type: Dense, units: 8, kernel_initializer: ones}
  - {type: Dense, units: 4}
"""
    (found,) = check(parsed(spec)).findings
    assert (found.layer, found.line, found.column) == ("inner/dense_1", 7, 53)


def test_a_comment_leaves_a_finding_out() -> None:
    spec = "input_shape: [8]\nlayers:\n  - {type: Dense, units: 8, kernel_initializer: zeros}%s\n"
    spec += "  - {type: Dense, units: 4}\n"
    for comment, kept in (
        ("", True),
        (" # initcli: ignore", False),
        (" # initcli: ignore I101", False),
        (" # initcli: ignore I202, I10", False),
        (" # initcli: ignore I202", True),
    ):
        assert ("I101" in codes(check(parsed(spec % comment)))) is kept, comment


def test_checks_are_chosen_by_code_by_its_beginning_and_by_name() -> None:
    model = initcli.load(str(SAMPLES / "tour.yaml"))
    assert set(codes(check(model, select=["I2"]))) == {"I201"}
    assert codes(check(model, select=["i1"])) == []
    assert codes(check(model, ignore=["unsuited-gain"])) == []
    with pytest.raises(NotInCatalog, match="signal-size"):
        check(model, select=["signal-sise"])


def test_a_model_that_cannot_be_computed_is_judged_by_its_distributions() -> None:
    layers = [
        {"type": "Embedding", "input_dim": 50, "output_dim": 8},
        {"type": "Opaque", "kind": "Mine"},
        {"type": "LSTM", "units": 8, "unit_forget_bias": False},
        {"type": "Dense", "units": 4},
    ]
    report = check(parsed(json.dumps({"input_shape": [6], "layers": layers})))
    assert "I403" in codes(report)


# The scale that suits


@pytest.mark.parametrize(
    ("activation", "scale"),
    [("linear", 1.0), ("relu", 2.0), ("leaky_relu", 2 / (1 + 0.2**2)), ("selu", 1.0)],
)
def test_critical_scales_are_those_of_the_papers(activation: str, scale: float) -> None:
    """He et al. 2015 for ReLU and leaky ReLU; Klambauer et al. 2017 for SELU."""
    function = known_activations()[activation]()
    assert critical(function, 30).scale == pytest.approx(scale, rel=1e-3)


def test_no_scale_suits_many_sigmoids() -> None:
    sigmoid = known_activations()["sigmoid"]()
    assert critical(sigmoid, 30).deviation > 5
    tanh = known_activations()["tanh"]()
    assert critical(tanh, 30).deviation < 1


def test_solved_scales_make_up_for_what_lies_between() -> None:
    """Average pooling over 2 × 2 independent entries quarters a mean square."""
    pool = {"type": "AveragePooling2D", "pool_size": 2}
    convolution = {"type": "Conv2D", "filters": 64, "kernel_size": 1}
    layers = [pool, convolution, dense(units=64), dense()]
    spec = json.dumps({"input_shape": [16, 16, 64], "layers": layers})
    solved = Evidence(parsed(spec)).scales.solved
    scales = {name: one and one.scale for name, one in solved.items()}
    assert scales == pytest.approx({"conv2d": 4.0, "dense": 1.0}, rel=0.02)


# The graph


def test_the_trunk_is_what_no_branch_leads_around() -> None:
    join = {"type": "Add", "inputs": ["a", "c"], "name": "d"}
    layers = [dense("a"), dense("b"), dense("c"), join, dense("e")]
    graph = Graph(program(of_layers(*layers), 4))
    names = [graph.steps[graph.made_by[t]].name for t in graph.trunk if t in graph.made_by]
    assert names == ["a", "d", "e"]
    ((index, skip),) = graph.skips.items()
    ends = [graph.steps[graph.made_by[tensor]].name for tensor in (skip.carried, skip.end)]
    assert (graph.steps[index].name, ends) == ("d", ["a", "c"])


# The command


def test_the_command_prints_findings_and_sets_its_status(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(stack(30, {"activation": "relu"}), encoding="utf-8")
    shown = run("check", bad, width=100)
    assert (shown.returncode, shown.stderr) == (1, "")
    assert "I202 signal-size  error" in shown.stdout
    assert f"{bad}:1:" in " ".join(shown.stdout.split())
    assert "= kernel_initializer: he_uniform" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "Found 1 error. 1 fixable with --fix."
    warned = run("check", SAMPLES / "tour.yaml")
    assert warned.returncode == 0
    assert "warnings" in warned.stdout
    assert run("check", SAMPLES / "tour.yaml", "--strict").returncode == 1
    quiet = run("check", SAMPLES / "mlp_relu_deep.yaml")
    assert (quiet.returncode, quiet.stdout) == (0, "Nothing found.\n")


def test_json_has_the_keys_of_the_contract(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(stack(30, {"activation": "relu"}), encoding="utf-8")
    shown = run("check", bad, "--format", "json")
    assert shown.returncode == 1
    (found,) = json.loads(shown.stdout)["findings"]
    assert {key: found[key] for key in ("code", "severity", "file", "line")} == {
        "code": "I202",
        "severity": "error",
        "file": str(bad),
        "line": 1,
    }
    assert found["layer"] == "block_0/dense"
    assert found["tensor"] == "block_0/dense/kernel"
    assert {"column", "message", "why", "remedy", "rule", "layers"} < set(found)


def test_github_gets_one_workflow_command_a_finding(tmp_path: Path) -> None:
    bad = tmp_path / "a,b:c%.yaml"
    bad.write_text(stack(1, {"kernel_initializer": "ones"}), encoding="utf-8")
    shown = run("check", "--strict", bad.name, "--format", "github", cwd=tmp_path)
    assert shown.returncode == 1
    (line,) = shown.stdout.splitlines()
    assert line.startswith(
        "::warning file=a%2Cb%3Ac%25.yaml,line=1,col=114,title=I101 constant-kernel::all 65,536"
    )
    assert "%0Akernel_initializer: " in line


def test_an_error_in_one_spec_does_not_hide_the_others(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("layers: 3", encoding="utf-8")
    shown = run("check", wrong, SAMPLES / "tour.yaml")
    assert shown.returncode == 2
    assert "wrong.yaml:1:9" in shown.stderr
    assert "tour.yaml" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name a spec, such as model.yaml"),
        (["--explain", "I999"], "no check has the code 'I999'"),
        ([SAMPLES / "tour.yaml", "--select", "Z"], "no check has the code 'Z'"),
        ([SAMPLES / "tour.yaml", "--theory", "--draws", "3"], "nothing is sampled"),
    ],
)
def test_a_wrong_command_line_has_status_2(arguments: list[Any], told: str) -> None:
    shown = run("check", *arguments)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert told in " ".join(shown.stderr.split())


def test_the_catalog_lists_checks_and_shows_one_whole() -> None:
    listed = json.loads(run("catalog", "--format", "json").stdout)["checks"]
    assert [each["name"] for each in listed] == list(known_checks())
    shown = run("catalog", "I202")
    assert shown.stdout == run("check", "--explain", "I202").stdout


def test_names_cannot_command_a_terminal(tmp_path: Path) -> None:
    spec = tmp_path / "esc\x1b[31m.yaml"
    spec.write_text(stack(1, {"kernel_initializer": "ones"}), encoding="utf-8")
    for kind in ("table", "github"):
        assert "\x1b" not in run("check", spec, "--format", kind).stdout
