"""The schemes that scale residual branches: what they are called, and which branches lack them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

import initcli
from initcli.checks import check, fix
from initcli.checks.rules import known_checks
from initcli.checks.values import ValueCheck
from initcli.model import Model
from initcli.signal.residual import ResidualScheme, residual_schemes
from support.paths import TOUR
from support.running import run

L = 6
WIDTH = 32


def normal(std: float = 0.02) -> dict[str, Any]:
    return {"type": "RandomNormal", "stddev": std}


def dense(name: str, units: int = WIDTH, made: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": "Dense", "name": name, "units": units, "kernel_initializer": made, **more}


def transformer(
    attention: Any = None,
    down: Any = None,
    kernel: Any = None,
    before: tuple[dict[str, Any], ...] = (),
    stream: str = "input",
    blocks: int = L,
) -> dict[str, Any]:
    """A decoder before its logits; ``before`` stands at the end of each branch."""
    kernel = kernel or normal()
    heads = {"num_heads": 2, "key_dim": WIDTH // 2, "kernel_initializer": kernel}
    own = {} if attention is None else {"output_initializer": attention}
    first = {"type": "MultiHeadAttention", "name": "attention", "inputs": ["ln_1", "ln_1"]}
    ends = [{**each, "name": f"{end}_scale"} for end in ("first", "second") for each in before]
    first_end, second_end = (ends[:1], ends[1:]) if before else ([], [])
    layers = [
        {"type": "LayerNormalization", "name": "ln_1"},
        {**first, **heads, **own},
        *first_end,
        {
            "type": "Add",
            "name": "attended",
            "inputs": [stream, first_end[0]["name"] if first_end else "attention"],
        },
        {"type": "LayerNormalization", "name": "ln_2"},
        dense("up", 4 * WIDTH, kernel, activation="gelu"),
        dense("down", WIDTH, kernel if down is None else down),
        *second_end,
        {
            "type": "Add",
            "inputs": ["attended", second_end[0]["name"] if second_end else "down"],
        },
    ]
    return {"input_shape": [8, WIDTH], "layers": [{"repeat": blocks, "layers": layers}]}


def model(spec: dict[str, Any]) -> Model:
    return initcli.parse(json.dumps(spec), file="spec.json")


def scheme(spec: dict[str, Any]) -> ResidualScheme:
    (found,) = residual_schemes(model(spec))
    return found


def found(spec: dict[str, Any]) -> list[str]:
    report = check(model(spec), select=["I208"])
    return [each.message for each in report.findings]


def scaled(number: int) -> dict[str, Any]:
    return normal(0.02 / math.sqrt(number))


GPT2 = transformer(scaled(2 * L), scaled(2 * L))
NAMED: dict[str, tuple[dict[str, Any], str, float | None]] = {
    "none": (transformer(), "none", 1.0),
    "GPT-2": (GPT2, "1/√(2L)", 1 / math.sqrt(2 * L)),
    "by L": (transformer(scaled(L), scaled(L)), "1/√L", 1 / math.sqrt(L)),
    "zeros": (transformer("zeros", "zeros"), "zero", 0.0),
    "ReZero": (transformer(before=({"type": "Scale", "initializer": "zeros"},)), "zero", 0.0),
    "LayerScale": (
        transformer(before=({"type": "LayerScale", "init_values": 1e-4, "projection_dim": WIDTH},)),
        "LayerScale",
        1e-4,
    ),
    "depth-µP": (
        transformer(before=({"type": "Rescaling", "scale": 1 / math.sqrt(2 * L)},)),
        "depth-µP",
        1 / math.sqrt(2 * L),
    ),
    "CompleteP": (transformer(before=({"type": "Rescaling", "scale": 1 / L},)), "1/L", 1 / L),
    "constant": (
        transformer(before=({"type": "Rescaling", "scale": 0.22},)),
        "constant",
        0.22,
    ),
    "Glorot": (transformer(kernel="glorot_uniform"), "none", 1.0),
    "LeCun": (transformer(kernel="lecun_normal"), "none", 1.0),
    "LeCun and half of it": (
        transformer(
            {"type": "VarianceScaling", "scale": 0.5}, {"type": "VarianceScaling", "scale": 0.5}
        ),
        "not known",
        None,
    ),
    "LeCun scaled": (
        transformer(
            {"type": "VarianceScaling", "scale": 1 / (2 * L)},
            {"type": "VarianceScaling", "scale": 1 / (2 * L)},
            kernel="lecun_normal",
        ),
        "1/√(2L)",
        1 / math.sqrt(2 * L),
    ),
}


@pytest.mark.parametrize(("spec", "name", "factor"), NAMED.values(), ids=NAMED)
def test_a_scheme_has_its_name(spec: dict[str, Any], name: str, factor: float | None) -> None:
    told = scheme(spec)
    assert told.scheme == name
    assert (told.branches, told.blocks) == (2 * L, L)
    if factor is not None:
        assert told.factor == pytest.approx(factor)
    assert found(spec) == []


def test_a_scheme_by_the_number_of_the_block() -> None:
    spec = transformer()
    block = spec["layers"][0]["layers"]
    layers = []
    for number in range(1, L + 1):
        own = transformer(scaled(2 * number), scaled(2 * number))["layers"][0]["layers"]
        assert len(own) == len(block)
        layers.append({"name": f"block_{number}", "repeat": 1, "layers": own})
    told = scheme({**spec, "layers": layers})
    assert (told.scheme, told.blocks) == ("1/√(2l)", L)


def branches_of(kind: str, number: int = 4, **shape: Any) -> dict[str, Any]:
    """Residual blocks of convolutions with normalizations, and a shortcut of a kernel."""
    gamma = {"gamma_initializer": "zeros"} if kind == "zero gamma" else {}

    def conv(name: str, filters: int = 8, strides: int = 1, size: int = 3) -> dict[str, Any]:
        sizes = {"filters": filters, "kernel_size": size, "strides": strides}
        return {"type": "Conv2D", "name": name, "padding": "same", **sizes}

    def block(name: str, strides: int, filters: int) -> list[dict[str, Any]]:
        def own(part: str) -> str:
            return f"{name}_{part}"

        into = "stem" if name == "b0" else f"b{int(name[1:]) - 1}_out"
        shortcut = conv(own("shortcut"), filters, strides, 1)
        is_plain = strides == 1
        return [
            {**conv(own("one"), filters, strides), "inputs": into},
            {"type": "BatchNormalization", "name": own("bn")},
            {"type": "Activation", "name": own("relu"), "activation": "relu"},
            conv(own("two"), filters),
            {"type": "BatchNormalization", "name": own("end"), **gamma},
            *([] if is_plain else [{**shortcut, "inputs": into}]),
            {
                "type": "Add",
                "name": own("sum"),
                "inputs": [into if is_plain else own("shortcut"), own("end")],
            },
            {"type": "Activation", "name": own("out"), "activation": "relu"},
        ]

    layers = [conv("stem")]
    for index in range(number):
        layers += block(f"b{index}", 2 if index == 2 else 1, 16 if index > 1 else 8)
    return {"input_shape": [16, 16, 3], "layers": layers}


def test_a_shortcut_with_a_kernel_and_another_stage_are_of_one_stream() -> None:
    assert scheme(branches_of("")).text == "none, 4 branches"
    told = scheme(branches_of("zero gamma"))
    assert (told.scheme, told.scales, told.branches) == ("zero", "gamma", 4)
    assert found(branches_of("zero gamma")) == []


def test_gammas_that_are_not_zero_are_found_and_mended(tmp_path: Any) -> None:
    spec = branches_of("zero gamma")
    (end,) = (each for each in spec["layers"] if each.get("name") == "b1_end")
    del end["gamma_initializer"]
    (message,) = found(spec)
    assert "zero scales 3 of 4" in message
    assert "b1" in message
    assert_fixed(spec, tmp_path)


def assert_fixed(spec: dict[str, Any], tmp_path: Any) -> dict[str, Any]:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec))
    fixed = fix(path, select=["I208"])
    assert fixed.first.findings
    assert all(each.fixable for each in fixed.first.findings)
    assert not fixed.last.findings
    after: dict[str, Any] = json.loads(fixed.after)
    return after


HALF = {"type": "VarianceScaling", "scale": 1 / (2 * L)}
CUT = {"type": "TruncatedNormal", "stddev": 0.02}
LEFT_OUT = {
    "attention": (transformer(None, scaled(2 * L)), "attention"),
    "feed-forward": (transformer(scaled(2 * L), None), "down"),
    "zeros": (transformer("zeros", None), "down"),
    "LeCun": (transformer(None, HALF, kernel="lecun_normal"), "attention"),
    "truncated": (
        transformer({**CUT, "stddev": 0.02 / math.sqrt(2 * L)}, None, kernel=CUT),
        "down",
    ),
    "PyTorch": (
        transformer(
            {"type": "normal_", "std": 0.02 / math.sqrt(2 * L)},
            None,
            kernel={"type": "normal_", "std": 0.02},
        ),
        "down",
    ),
}


@pytest.mark.parametrize(("spec", "layer"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_branches_that_a_scheme_leaves_out_are_named_and_mended(
    spec: dict[str, Any], layer: str, tmp_path: Any
) -> None:
    (message,) = found(spec)
    assert f"scales {L} of {2 * L} residual branches" in message
    assert f"/{layer}" in message
    told = scheme(spec)
    assert len(told.others) == L
    assert all(each.endswith(f"/{layer}") for each in told.others)
    assert f"in {L} of {2 * L} branches" in told.text
    assert not scheme(assert_fixed(spec, tmp_path)).others


def test_kernels_without_the_scheme_of_deepnorm_are_named() -> None:
    made = {"type": "DeepNorm", "decoder_layers": L}
    spec = transformer(made, "glorot_normal", kernel=made)
    assert any(f"DeepNorm scales {L} of {2 * L} residual branches" in each for each in found(spec))


def test_a_wrong_number_of_blocks_is_named_and_mended(tmp_path: Any) -> None:
    wrong = transformer(scaled(2 * 11), scaled(2 * 11))
    (message,) = found(wrong)
    assert f"1/√(2 · 11) of the size of the others, but there are {L} blocks" in message
    after = assert_fixed(wrong, tmp_path)
    assert scheme(after).scheme == "1/√(2L)"


def encoder_decoder(blocks: int, cross: Any) -> dict[str, Any]:
    """Pre-norm blocks of an encoder, and of a decoder that looks at its end."""
    made = scaled(2 * blocks)
    layers: list[dict[str, Any]] = [
        {"type": "Input", "name": name, "shape": [8, WIDTH]} for name in ("source", "target")
    ]

    def branch(name: str, before: str, *ends: dict[str, Any]) -> str:
        layers.append({"type": "LayerNormalization", "name": f"{name}_ln", "inputs": before})
        layers.extend(ends)
        layers.append({"type": "Add", "name": name, "inputs": [before, ends[-1]["name"]]})
        return name

    def attends(name: str, value: str, out: Any) -> dict[str, Any]:
        sizes = {"num_heads": 2, "key_dim": 16, "kernel_initializer": normal()}
        inputs = [f"{name}_ln", value]
        own = {"name": f"{name}_attention", "output_initializer": out, "inputs": inputs}
        return {"type": "MultiHeadAttention", **sizes, **own}

    def stack(kind: str, stream: str, memory: str) -> str:
        for number in range(blocks):
            name = f"{kind}_{number}"
            own = attends(f"{name}_self", f"{name}_self_ln", made)
            stream = branch(f"{name}_self", stream, own)
            if memory:
                own = attends(f"{name}_cross", memory, cross)
                stream = branch(f"{name}_cross", stream, own)
            up, down = dense(f"{name}_up", 64, normal()), dense(f"{name}_down", WIDTH, made)
            stream = branch(f"{name}_sum", stream, up, down)
        return stream

    end = stack("decoder", "target", stack("encoder", "source", ""))
    return {"layers": layers, "outputs": [end]}


def test_encoder_and_decoder_have_streams_of_their_own(tmp_path: Any) -> None:
    right = encoder_decoder(4, scaled(8))
    told = residual_schemes(model(right))
    assert [(each.scheme, each.branches, each.blocks) for each in told] == [
        ("1/√(2L)", 8, 4),
        ("1/√(2L)", 12, 4),
    ]
    assert found(right) == []
    wrong = encoder_decoder(4, normal())
    (message,) = found(wrong)
    assert message.startswith("1/√(2L) scales 8 of 12 residual branches")
    assert "decoder_0_cross_attention" in message
    assert_fixed(wrong, tmp_path)


def plain(count: int, first: Any, last: Any, **more: Any) -> dict[str, Any]:
    """Blocks of one branch of two layers."""
    block = [
        dense("one", WIDTH, first, activation="relu"),
        dense("two", WIDTH, last, **more),
        {"type": "Add", "inputs": ["input", "two"]},
    ]
    return {"input_shape": [WIDTH], "layers": [{"repeat": count, "layers": block}]}


def test_blocks_of_one_branch() -> None:
    told = scheme(plain(8, "he_normal", {"type": "VarianceScaling", "scale": 2 / 8}))
    assert (told.scheme, told.branches, told.blocks) == ("1/√L", 8, 8)
    told = scheme(plain(8, "he_normal", {"type": "VarianceScaling", "scale": 2 / 16}))
    assert told.scheme == "1/√(2L)"


RULES = ["he_normal", "lecun_normal", "glorot_uniform", "he_uniform"]


@pytest.mark.parametrize("last", RULES)
@pytest.mark.parametrize("first", RULES)
def test_another_rule_for_some_kernels_is_no_scheme(first: str, last: str) -> None:
    for count in (2, 3, 6):
        spec = plain(count, first, last)
        assert scheme(spec).scheme == "none"
        block = plain(1, first, first)["layers"][0]["layers"]
        both = {**spec, "layers": [*spec["layers"], {"name": "more", "repeat": 1, "layers": block}]}
        assert scheme(both).scheme == "none"
        assert found(both) == []


def test_a_number_of_blocks_is_not_known_where_they_differ() -> None:
    """Layers that have one branch or two, as in hybrids of attention and other mixers."""
    made = normal(0.02 / math.sqrt(2 * 11))
    layers: list[dict[str, Any]] = []
    for number in range(7):
        block = transformer(made, made)["layers"][0]["layers"]
        alone = plain(1, normal(), made)["layers"][0]["layers"]
        own = block if number % 3 else alone
        layers.append({"name": f"block_{number}", "repeat": 1, "layers": own})
    assert found({"input_shape": [8, WIDTH], "layers": layers}) == []


@pytest.mark.parametrize("factor", [0.1, 0.25, 0.3, 0.37])
def test_a_factor_of_ones_own_is_no_wrong_number(factor: float) -> None:
    spec = transformer(normal(0.02 * factor), normal(0.02 * factor))
    assert scheme(spec).scheme == "not known"
    assert found(spec) == []


def deepnorm(layers: int, alpha: float) -> dict[str, Any]:
    made = {"type": "DeepNorm", "encoder_layers": layers}
    heads = {"num_heads": 2, "key_dim": WIDTH // 2, "query_initializer": "glorot_normal"}
    heads |= {"key_initializer": "glorot_normal", "kernel_initializer": made}
    attention = {"type": "MultiHeadAttention", "name": "attention", "inputs": ["input", "input"]}
    block = [
        {**attention, **heads},
        {"type": "Rescaling", "name": "alpha", "scale": alpha, "inputs": "input"},
        {"type": "Add", "name": "attended", "inputs": ["alpha", "attention"]},
        {"type": "LayerNormalization", "name": "ln"},
        dense("up", 64, made, activation="relu"),
        dense("down", WIDTH, made),
        {"type": "Rescaling", "name": "alpha_2", "scale": alpha, "inputs": "ln"},
        {"type": "Add", "name": "sum", "inputs": ["alpha_2", "down"]},
        {"type": "LayerNormalization", "name": "ln_2"},
    ]
    return {"input_shape": [8, WIDTH], "layers": [{"repeat": L, "layers": block}]}


def test_deepnorm_is_held_to_its_layers_and_its_alpha(tmp_path: Any) -> None:
    alpha = (2 * L) ** 0.25
    right = deepnorm(L, alpha)
    told = scheme(right)
    assert told.scheme == "DeepNorm"
    assert told.factor == pytest.approx((8 * L) ** -0.25)
    assert told.stream_factor == pytest.approx(alpha)
    assert found(right) == []
    counts = found(deepnorm(L + 2, (2 * (L + 2)) ** 0.25))
    assert any(f"encoder_layers {L + 2}, but the model {L}" in each for each in counts)
    (without,) = found(deepnorm(L, 1.0))
    assert without.startswith(f"{2 * L} residual sums carry 1 times the stream")


def test_the_alpha_of_deepnorm_alone_is_reported() -> None:
    spec = json.loads(json.dumps(deepnorm(L, (2 * L) ** 0.25)))
    for layer in spec["layers"][0]["layers"]:
        for name, made in layer.items():
            if isinstance(made, dict) and made.get("type") == "DeepNorm":
                layer[name] = "glorot_normal"
    (message,) = found(spec)
    assert message.endswith(f"and no kernel has its β = {(8 * L) ** -0.25:.3g}")


def test_kinds_of_branches_are_told_apart_by_their_shapes() -> None:
    norm, add = {"type": "LayerNormalization"}, {"type": "Add"}
    turned = {"type": "Permute", "dims": [2, 1]}
    last = normal(0.02 / math.sqrt(2 * L))
    block = [
        {**norm, "name": "ln_1"},
        {**turned, "name": "tokens"},
        dense("mixed", 64, normal(), activation="gelu"),
        dense("back", 8, last),
        {**turned, "name": "channels"},
        {**add, "name": "sum", "inputs": ["input", "channels"]},
        {**norm, "name": "ln_2"},
        dense("up", 64, normal(), activation="gelu"),
        dense("down", WIDTH, last),
        {**add, "inputs": ["sum", "down"]},
    ]
    told = scheme({"input_shape": [8, WIDTH], "layers": [{"repeat": L, "layers": block}]})
    assert (told.scheme, told.branches, told.blocks) == ("1/√(2L)", 2 * L, L)


@pytest.mark.parametrize(("gamma", "name"), [("zeros", "zero"), ("ones", "not known")])
def test_a_gate_leaves_a_branch_of_zeros_at_zero(gamma: str, name: str) -> None:
    block = [
        {"type": "Conv2D", "name": "conv", "filters": 4, "kernel_size": 3, "padding": "same"},
        {"type": "BatchNormalization", "name": "norm", "gamma_initializer": gamma},
        {"type": "GlobalAveragePooling2D", "name": "pool", "keepdims": True},
        {"type": "Dense", "name": "gate", "units": 4, "activation": "sigmoid"},
        {"type": "Multiply", "name": "gated", "inputs": ["norm", "gate"]},
        {"type": "Add", "inputs": ["input", "gated"]},
    ]
    spec = {"input_shape": [6, 6, 4], "layers": [{"repeat": L, "layers": block}]}
    assert scheme(spec).scheme == name


def fixup(branches: int) -> dict[str, Any]:
    return plain(5, {"type": "Fixup", "branches": branches}, "zeros")


def test_fixup_is_held_to_its_branches(tmp_path: Any) -> None:
    assert scheme(fixup(5)).scheme == "Fixup"
    assert found(fixup(5)) == []
    (message,) = found(fixup(7))
    assert "Fixup has branches 7, but the model 5" in message
    after = assert_fixed(fixup(7), tmp_path)
    assert "'branches': 5" in str(after)


def test_what_is_added_beside_residual_branches_changes_nothing() -> None:
    spec = {
        "input_shape": [8],
        "layers": [
            {"type": "Embedding", "name": "words", "input_dim": 50, "output_dim": WIDTH},
            {"type": "PositionEmbedding", "name": "places", "sequence_length": 8},
            {"type": "Add", "inputs": ["words", "places"]},
            *GPT2["layers"],
        ],
    }
    told = scheme(spec)
    assert (told.scheme, told.branches) == ("1/√(2L)", 2 * L)


def test_the_scheme_is_a_line_of_summary_and_signal_and_a_key_of_their_json(tmp_path: Any) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(GPT2))
    line = f"residual scheme 1/√(2L), {2 * L} branches, L = {L}, factor 0.289"
    for command in ("summary", "signal"):
        assert line in run(command, path, "--theory").stdout.splitlines()
        plain = run(command, path, "--theory", PYTHONUTF8="0", PYTHONIOENCODING="ascii").stdout
        assert line.replace("√", "sqrt") in plain.splitlines()
        (told,) = json.loads(run(command, path, "--theory", "--format", "json").stdout)["residuals"]
        assert (told["scheme"], told["others"]) == ("1/√(2L)", [])
        assert "residual" not in run(command, TOUR, "--theory").stdout


SAMPLES_WITH_BRANCHES = ["gpt2_small", "bert_base", "vit_b16", "resnet50", "llama3_8b"]


@pytest.mark.parametrize("name", SAMPLES_WITH_BRANCHES)
def test_published_models_are_not_reported(name: str) -> None:
    found = check(initcli.load(f"sample_configs/{name}.yaml"), select=["I208"], how="predicted")
    assert found.findings == ()


@pytest.mark.parametrize("code", known_checks())
def test_examples_of_other_checks_are_not_reported(code: str) -> None:
    cls = known_checks()[code]
    for section in ("Reported", "Not reported"):
        text = cls.example(section)
        if code in ("I208", "I404") or issubclass(cls, ValueCheck) or "layers:" not in text:
            continue
        assert check(initcli.parse(text), select=["I208"]).findings == ()


def test_models_without_residual_branches_have_no_scheme() -> None:
    assert residual_schemes(initcli.load("sample_configs/vgg16.yaml")) == ()
