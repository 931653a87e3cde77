"""Models of other widths: what is hidden and what is fixed, and that the scaled model fits."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import initcli
from initcli.model import Model
from initcli.sources.load import model_of
from initcli.sources.overrides import BadOverride, Given
from initcli.sources.widths import factors, hidden_sizes, scaled
from initcli.types import Shapes
from support.keras_models import models
from support.paths import SAMPLES

GIVEN = Given("--width", "2")


def ends(model: Model) -> tuple[list[Shapes], list[Shapes]]:
    """Shapes of inputs and of the layers that make results."""
    shaped = model.network.shapes()
    results = [shaped[source.call].outputs for source in model.network.outputs]
    return [shaped[index].outputs for index in model.network.inputs], results


def wider(model: Model, factor: Fraction = Fraction(2), scale: tuple[str, ...] = ()) -> Model:
    document = scaled(model.document, hidden_sizes(model, scale), GIVEN, factor)
    return model_of(document, None, None, {})


def sizes(model: Model, scale: tuple[str, ...] = ()) -> tuple[set[str], set[str]]:
    """The scaled and the fixed sizes, as ``layer.argument``."""
    found = hidden_sizes(model, scale)
    named = [(f"{each.layer}.{each.argument}", each.why) for each in found]
    return {name for name, why in named if not why}, {name for name, why in named if why}


def of_layers(*layers: str, shape: str = "[8]") -> Model:
    text = "".join(f"  - {layer}\n" for layer in layers)
    return initcli.parse(f"input_shape: {shape}\nlayers:\n{text}")


@pytest.mark.parametrize("name", [path.name for path in sorted(SAMPLES.glob("*.yaml"))])
def test_a_wider_sample_has_the_same_inputs_and_results(name: str) -> None:
    if name == "tour_custom.yaml":
        pytest.skip("its initializers are code")
    model = initcli.load(SAMPLES / name)
    double = wider(model)
    assert ends(model) == ends(double)
    grown = [
        math.prod(b.shape) / math.prod(a.shape)
        for a, b in zip(model.parameters, double.parameters, strict=True)
    ]
    # Kernels between hidden layers have four times the entries, those at an end twice.
    assert set(grown) <= {1, 2, 4}
    assert 4 in grown


@pytest.mark.parametrize(
    "name",
    [
        *("res_net50", "efficient_net_b0", "mobile_net_v2", "nas_net_mobile", "dense_net121"),
        *("conv_ne_xt_tiny", "mobile_net", "wavenet", "unet", "text_transformer"),
        *("vision_transformer", "tied_language_model", "seq2seq"),
        *("siamese", "stacks_in_stacks", "autoencoder", "video", "toy_resnet"),
    ],
)
def test_a_wider_model_of_keras_has_the_same_inputs_and_results(name: str) -> None:
    model = initcli.parse(json.dumps(models("keras3")[name]["json"]))
    double = wider(model)
    assert ends(model) == ends(double)
    assert sum(p.size for p in double.parameters) > 1.5 * sum(p.size for p in model.parameters)


def test_what_is_added_to_the_input_is_fixed() -> None:
    model = of_layers(
        "{type: Dense, units: 32, name: up}",
        "{type: Dense, units: 8, name: down}",
        "{type: Add, inputs: [input, down], name: sum}",
        "{type: Dense, units: 3, name: head}",
    )
    assert sizes(model) == ({"up.units"}, {"down.units", "head.units"})


def test_a_residual_stream_grows_with_all_that_is_added_to_it() -> None:
    model = of_layers(
        "{type: Dense, units: 16, name: stem}",
        "{type: Dense, units: 64, name: up}",
        "{type: Dense, units: 16, name: down}",
        "{type: Add, inputs: [stem, down]}",
        "{type: Dense, units: 3, name: head}",
    )
    assert sizes(model) == ({"stem.units", "up.units", "down.units"}, {"head.units"})


def test_a_stream_that_is_the_result_is_fixed_to_its_start() -> None:
    model = of_layers(
        "{type: Dense, units: 16, name: stem}",
        "{type: Dense, units: 64, name: up}",
        "{type: Dense, units: 16, name: down}",
        "{type: Add, inputs: [stem, down]}",
        "{type: LayerNormalization}",
    )
    assert sizes(model) == ({"up.units"}, {"stem.units", "down.units"})


def test_more_heads_of_the_same_size() -> None:
    model = of_layers(
        "{type: Dense, units: 32, name: stem}",
        "{type: MultiHeadAttention, num_heads: 4, key_dim: 8, name: full, inputs: [stem, stem]}",
        "{type: GroupedQueryAttention, head_dim: 8, num_query_heads: 4, num_key_value_heads: 2, "
        "name: grouped, inputs: [full, full]}",
        "{type: GroupedQueryAttention, head_dim: 8, num_query_heads: 4, num_key_value_heads: 1, "
        "name: single, inputs: [grouped, grouped]}",
        "{type: EinsumDense, equation: 'abc,cde->abde', output_shape: [null, 4, 8], name: split}",
        "{type: EinsumDense, equation: 'abde,dec->abc', output_shape: [null, 32], name: joined}",
        "{type: Reshape, target_shape: [6, 4, 8], name: by_heads}",
        "{type: Reshape, target_shape: [6, 32], name: together}",
        "{type: Dense, units: 3}",
        shape="[6, 8]",
    )
    double = wider(model)
    shapes = {layer.name: layer.output_shape for layer in double.layers}
    assert shapes["split"] == (None, None, 8, 8)
    assert shapes["by_heads"] == (None, 6, 8, 8)
    kernels = {each.path: each.shape for each in double.parameters}
    assert kernels["full/query/kernel"] == (64, 8, 8)
    assert kernels["grouped/key/kernel"] == (64, 4, 8)
    assert kernels["single/key/kernel"] == (64, 1, 8)


def test_groups_stay_but_one_a_channel() -> None:
    model = of_layers(
        "{type: Conv2D, filters: 16, kernel_size: 3, name: stem}",
        "{type: Conv2D, filters: 16, kernel_size: 3, groups: 16, name: depthwise}",
        "{type: Conv2D, filters: 16, kernel_size: 3, groups: 4, name: grouped}",
        "{type: GroupNormalization, groups: 16, name: instance}",
        "{type: GroupNormalization, groups: 4, name: group}",
        "{type: DepthwiseConv2D, kernel_size: 2}",
        "{type: GlobalAveragePooling2D}",
        "{type: Dense, units: 2}",
        shape="[12, 12, 3]",
    )
    double = wider(model)
    layers = {each.name: each.layer for each in double.layers}
    found = {name: getattr(layer, "groups", None) for name, layer in layers.items()}
    assert (found["depthwise"], found["grouped"]) == (32, 4)
    assert (found["instance"], found["group"]) == (32, 4)


def test_a_flat_generator_gets_more_channels() -> None:
    model = of_layers(
        "{type: Dense, units: 128, name: dense}",
        "{type: Reshape, target_shape: [4, 4, 8], name: image}",
        "{type: Conv2D, filters: 3, kernel_size: 3, name: colors}",
    )
    assert sizes(model) == ({"dense.units", "image.target_shape"}, {"colors.filters"})
    assert wider(model).layers[1].output_shape == (None, 4, 4, 16)


def test_cells_and_wrapped_layers_are_scaled() -> None:
    model = of_layers(
        "{type: RNN, cell: [{type: LSTMCell, units: 4}, {type: GRUCell, units: 5}], "
        "return_sequences: true, name: rnn}",
        "{type: Bidirectional, layer: {type: LSTM, units: 3, return_sequences: true}, name: both}",
        "{type: TimeDistributed, layer: {type: Dense, units: 7}, name: steps}",
        "{type: LSTM, units: 2, name: last}",
        shape="[6, 8]",
    )
    hidden, fixed = sizes(model)
    assert hidden == {"rnn.cell.units", "both.layer.units", "steps.layer.units"}
    assert fixed == {"last.units"}
    kernels = {each.path: each.shape for each in wider(model).parameters}
    assert kernels["last/lstm_cell/kernel"] == (14, 8)


def test_a_shared_layer_holds_what_flows_into_its_calls_together() -> None:
    model = of_layers(
        "{type: Dense, units: 8, name: hidden}",
        "{type: Dense, units: 16, name: shared}",
        "{call: shared, name: again, inputs: input}",
        "{type: Add, inputs: [shared, again]}",
        "{type: Dense, units: 3, name: head}",
    )
    # The second call takes the input, whose size is fixed, and so is that of the first.
    assert sizes(model) == ({"shared.units"}, {"hidden.units", "head.units"})


def test_names_say_what_is_scaled() -> None:
    model = initcli.load(SAMPLES / "lenet5.yaml")
    assert sizes(model, ("filters",))[0] == {"conv2d.filters", "conv2d_1.filters"}
    assert sizes(model, ("dense*.units",))[0] == {f"dense{n}.units" for n in ("", "_1", "_2")}
    assert sizes(model, ("units",))[1] == {"dense_2.units"}
    # A size that no layer declares as its width.
    heads = initcli.load(SAMPLES / "gpt2_small.yaml")
    assert {"block_0/attention.key_dim"} == sizes(heads, ("key_dim",))[0]


def test_a_configuration_is_scaled_by_its_keys(tmp_path: Path) -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 1,
        "vocab_size": 100,
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    model = initcli.load(file)
    found = {each.argument: each.size for each in hidden_sizes(model)}
    assert found == {
        "hidden_size": 64,
        "intermediate_size": 11008,  # the library's default, not in the file
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    shapes = {each.path: each.shape for each in wider(model, Fraction(1, 2)).parameters}
    assert shapes["model.layers.0.self_attn.k_proj.weight"] == (16, 32)
    assert shapes["model.embed_tokens.weight"] == (100, 32)
    config |= {"model_type": "gpt2", "n_head": 5, "n_embd": 60}
    file.write_text(json.dumps(config))
    with pytest.raises(BadOverride, match=r"0\.5 times the 5 `n_head` is no whole number"):
        wider(initcli.load(file), Fraction(1, 2))


@pytest.mark.parametrize("given", [{}, {"text_config": {"hidden_size": 128}}])
def test_the_parts_of_a_configuration_are_scaled(tmp_path: Path, given: dict[str, Any]) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": "clip", **given}))
    model = initcli.load(file)
    found = {each.argument: each.size for each in hidden_sizes(model)}
    width = 128 if given else 512
    assert found["text_config.hidden_size"] == width
    assert found["vision_config.intermediate_size"] == 3072
    assert ".text_config.projection_dim" in sizes(model, ("text_config.*",))[0]
    half = {each.path: each.shape for each in wider(model, Fraction(1, 2)).parameters}
    assert half["text_model.encoder.layers.0.mlp.fc1.weight"] == (1024, width // 2)
    assert half["vision_model.encoder.layers.0.mlp.fc1.weight"] == (1536, 384)
    assert half["text_projection.weight"] == (512, width // 2)


def test_a_part_keeps_what_the_whole_gives_it(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": "llava"}))
    model = initcli.load(file)
    half = {each.path: each.shape for each in wider(model, Fraction(1, 2)).parameters}
    # Its tower has 24 layers, where the library's default is 12.
    assert half["model.vision_tower.encoder.layers.23.mlp.fc1.weight"] == (2048, 512)


def test_a_list_that_a_configuration_leaves_out_is_scaled_as_well(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": "resnet", "layer_type": "basic"}))
    model = initcli.load(file)
    pairs = zip(model.parameters, wider(model).parameters, strict=True)
    grown = {a.path: math.prod(b.shape) / math.prod(a.shape) for a, b in pairs}
    assert grown["resnet.encoder.stages.3.layers.0.shortcut.convolution.weight"] == 4


def test_factors_are_exact_and_sorted() -> None:
    assert [factor for _, factor in factors(["2,0.1", "1/3"])] == [
        Fraction(1, 10),
        Fraction(1, 3),
        Fraction(2),
    ]


def test_sizes_are_rounded_and_it_is_said() -> None:
    model = initcli.load(SAMPLES / "lenet5.yaml")
    assert wider(model, Fraction(1, 4)).layers[0].output_shape == (None, 28, 28, 2)
    found = initcli.variants([SAMPLES / "lenet5.yaml"], widths=["0.3,1"])
    assert ["rounded" in " ".join(each.notes) for _, each in found] == [True, False]
