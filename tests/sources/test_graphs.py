"""Graphs in a spec: inputs by name, blocks, shared layers, networks within networks, extends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import initcli
from initcli import errors
from initcli.layers.network import CallOutput
from support.paths import SAMPLES


def parsed(*layers: str, shape: str = "[8]", rest: str = "") -> initcli.Model:
    listed = "".join(f"  - {layer}\n" for layer in layers)
    head = f"input_shape: {shape}\n" if shape else ""
    return initcli.parse(f"{head}{rest}layers:\n{listed}")


def refused(*layers: str, shape: str = "[8]", rest: str = "") -> list[errors.SpecError]:
    with pytest.raises(initcli.InvalidSpec) as caught:
        parsed(*layers, shape=shape, rest=rest)
    return list(caught.value.errors)


def shapes(model: initcli.Model) -> dict[str, Any]:
    return {layer.name: layer.output_shape for layer in model.layers}


def edges(model: initcli.Model) -> list[tuple[str, str]]:
    """Who feeds whom."""
    network = model.network
    names = [network.names[call.layer] for call in network.calls]
    return [
        (names[source.call], names[index])
        for index, call in enumerate(network.calls)
        for source in call.inputs
    ]


def test_a_layer_takes_its_predecessor_or_what_it_names() -> None:
    model = parsed(
        "{type: Dense, name: a, units: 4}",
        "{type: Dense, name: b, units: 4}",
        "{type: Add, name: sum, inputs: [a, b]}",
        "{type: Dense, name: c, inputs: input, units: 2}",
        "{type: Concatenate, name: all, inputs: [sum, c]}",
    )
    assert edges(model) == [
        ("input", "a"),
        ("a", "b"),
        ("a", "sum"),
        ("b", "sum"),
        ("input", "c"),
        ("sum", "all"),
        ("c", "all"),
    ]
    assert shapes(model)["all"] == (None, 6)


def test_layers_stand_in_an_order_in_which_each_can_be_computed() -> None:
    model = parsed(
        "{type: Dense, name: last, inputs: middle, units: 2}",
        "{type: Dense, name: middle, inputs: first, units: 3}",
        "{type: Dense, name: first, inputs: input, units: 4}",
    )
    assert [layer.name for layer in model.layers] == ["first", "middle", "last"]
    assert [p.shape for p in model.parameters if p.name == "kernel"] == [(8, 4), (4, 3), (3, 2)]


def test_values_do_not_depend_on_where_a_layer_stands() -> None:
    one = parsed("{type: Dense, name: a, units: 4}", "{type: Dense, name: b, units: 4}")
    two = parsed(
        "{type: Dense, name: b, inputs: a, units: 4}",
        "{type: Dense, name: a, inputs: input, units: 4}",
    )
    assert {p.path: p for p in one.parameters} == {p.path: p for p in two.parameters}


def test_several_inputs_and_outputs() -> None:
    model = parsed(
        "{type: Input, name: ids, shape: [5], dtype: int32}",
        "{type: Input, name: image, shape: [8, 8, 3], batch_size: 4}",
        "{type: Embedding, inputs: ids, input_dim: 9, output_dim: 2}",
        "{type: Flatten, inputs: image}",
        shape="",
    )
    network = model.network
    assert [network.names[network.calls[call].layer] for call in network.inputs] == ["ids", "image"]
    ends = [network.names[network.calls[source.call].layer] for source in network.outputs]
    assert ends == ["embedding", "flatten"]
    assert shapes(model)["flatten"] == (4, 192)
    named = parsed(
        "{type: Dense, name: a, units: 4}",
        "{type: Dense, name: b, units: 4}",
        rest="outputs: [b, a]\n",
    )
    assert named.network.outputs == (CallOutput(2), CallOutput(1))


def test_one_of_several_outputs_is_named_by_its_number() -> None:
    model = parsed(
        "{type: LSTM, name: encoder, units: 4, return_state: true}",
        "{type: Dense, name: head, inputs: {layer: encoder, output: 2}, units: 3}",
        "{type: LSTM, units: 4,"
        " inputs: [input, {layer: encoder, output: 1}, {layer: encoder, output: 2}]}",
        shape="[6, 5]",
    )
    assert model.layers[0].output_shapes == ((None, 4),) * 3
    (error,) = refused(
        "{type: LSTM, name: encoder, units: 4, return_state: true}",
        "{type: Dense, inputs: {layer: encoder, output: 3}, units: 3}",
        shape="[6, 5]",
    )
    assert error.message == "'encoder' has 3 outputs, and none with number 3"


def test_a_shared_layer_is_counted_once() -> None:
    model = parsed(
        "{type: Input, name: left, shape: [6]}",
        "{type: Input, name: right, shape: [6]}",
        "{type: Dense, name: encode, inputs: left, units: 4}",
        "{call: encode, inputs: right, name: other}",
        "{type: Subtract, inputs: [encode, other]}",
        shape="",
    )
    assert initcli.totals(model).params == 28
    assert [layer.name for layer in model.layers] == ["left", "right", "encode", "subtract"]
    assert model.layers[2].calls == 2


def test_a_tied_head_is_a_call_in_reverse() -> None:
    model = parsed(
        "{type: ReversibleEmbedding, name: table, input_dim: 100, output_dim: 8}",
        "{type: Dense, units: 8}",
        "{call: table, name: logits, reverse: true}",
        "{type: Softmax}",
    )
    assert initcli.totals(model).params == 100 * 8 + 72
    assert shapes(model)["softmax"] == (None, 8, 100)


def test_a_network_is_a_layer_and_can_be_shared() -> None:
    model = parsed(
        "{type: Input, name: left, shape: [6]}",
        "{type: Input, name: right, shape: [6]}",
        "{type: Sequential, name: enc, inputs: left, trainable: false, layers: "
        "[{type: Dense, units: 4}, {type: Dense, units: 3}]}",
        "{call: enc, inputs: right, name: second}",
        "{type: Functional, name: joint, inputs: [enc, second], layers: "
        "[{type: Input, name: a, shape: [3]}, {type: Input, name: b, shape: [3]}, "
        "{type: Add, inputs: [a, b]}, {type: Dense, units: 2}]}",
        shape="",
    )
    assert [p.path for p in model.parameters if p.name == "kernel"] == [
        "enc/dense/kernel",
        "enc/dense_1/kernel",
        "joint/dense/kernel",
    ]
    assert initcli.totals(model).trainable == 8
    joint = model.layers[-1]
    assert [inner.name for inner in joint.layers] == [
        "joint/a",
        "joint/b",
        "joint/add",
        "joint/dense",
    ]
    assert joint.size == sum(inner.size for inner in joint.layers) == 8


RESIDUAL = (
    "{repeat: 3, name: block, layers: ["
    "{type: Dense, name: in, units: 16, activation: relu},"
    " {type: Dense, name: out, units: 8},"
    " {type: Add, inputs: [input, out]}]}"
)


def test_a_block_repeats_in_a_scope_of_its_own() -> None:
    model = parsed("{type: Dense, name: stem, units: 8}", RESIDUAL, "{type: Dense, units: 2}")
    names = [layer.name for layer in model.layers]
    assert names[:4] == ["stem", "block_0/in", "block_0/out", "block_0/add"]
    assert len(names) == 1 + 3 * 3 + 1
    assert ("block_0/add", "block_1/in") in edges(model)
    assert ("block_0/add", "block_1/add") in edges(model)
    assert ("stem", "block_0/add") in edges(model)
    assert ("block_2/add", "dense") in edges(model)


def test_a_block_of_eighty_is_one_entry_and_its_repetitions_have_weights_of_their_own() -> None:
    model = parsed(RESIDUAL.replace("3", "80"))
    paths = [p.path for p in model.parameters]
    assert len(paths) == len(set(paths)) == 80 * 4
    one, two = model.parameters[0], model.parameters[4]
    assert one.initializer == two.initializer
    assert (initcli.draw(one) != initcli.draw(two)).any()


def test_blocks_nest_and_names_are_looked_up_outwards() -> None:
    model = parsed(
        "{type: Dense, name: memory, units: 4}",
        "{name: outer, repeat: 2, layers: ["
        "{type: Dense, name: a, units: 4},"
        " {name: inner, layers: [{type: Dense, name: b, units: 4},"
        " {type: Concatenate, inputs: [input, a, memory, b]}, {type: Dense, units: 4}]}]}",
        "{type: Concatenate, inputs: [outer, outer_0, outer_1/inner/b]}",
    )
    assert shapes(model)["outer_1/inner/concatenate"] == (None, 16)
    assert shapes(model)["concatenate"] == (None, 12)
    assert ("outer_1/a", "outer_1/inner/concatenate") in edges(model)
    assert ("memory", "outer_1/inner/concatenate") in edges(model)


def test_blocks_without_names_are_told_apart() -> None:
    block = "{repeat: 2, layers: [{type: ReLU}]}"
    names = [layer.name for layer in parsed(block, block).layers]
    assert names == ["block_0/re_lu", "block_1/re_lu", "block2_0/re_lu", "block2_1/re_lu"]


def test_a_mistake_in_a_block_is_reported_once() -> None:
    errors_ = refused(
        "{repeat: 40, layers: [{type: Dense, units: 4, bias_initializer: orthogonal}]}"
    )
    assert [type(error) for error in errors_] == [errors.ShapeMismatch]
    errors_ = refused("{repeat: 40, layers: [{type: Conv1D, filters: 4, kernel_size: 3}]}")
    assert [type(error) for error in errors_] == [errors.ShapeMismatch]


MISTAKES = [
    pytest.param(
        ["{type: Dense, units: 3, inputs: inptu}"],
        errors.UnknownName,
        "no layer is called 'inptu'",
        "did you mean 'input'?",
        id="an unknown input",
    ),
    pytest.param(
        ["{type: Add, name: a, inputs: [input, b]}", "{type: ReLU, name: b, inputs: a}"],
        errors.InvalidGraph,
        "layers feed one another in a circle: a → b → a",
        "",
        id="a circle",
    ),
    pytest.param(
        ["{type: ReLU, name: a, inputs: a}"],
        errors.InvalidGraph,
        "layers feed one another in a circle: a → a",
        "",
        id="a layer that feeds itself",
    ),
    pytest.param(
        ["{type: Dense, name: a, units: 3}", "{type: Add, inputs: [input, a]}"],
        errors.ShapeMismatch,
        "Add cannot merge (8,) and (3,), which differ in an axis",
        "sizes must be the same, or 1",
        id="shapes that do not merge",
    ),
    pytest.param(
        ["{type: Add}"],
        errors.InvalidValue,
        "Add merges several inputs, but has only one here",
        "name them: `inputs: [one, other]`",
        id="a merge of one",
    ),
    pytest.param(
        ["{type: Dense, units: 3, inputs: [input, input]}"],
        errors.ShapeMismatch,
        "Dense takes 1 input, not 2",
        "Add or Concatenate makes one of several",
        id="too many inputs",
    ),
    pytest.param(
        ["{type: Dense, units: 3, inputs: {layer: input}}"],
        errors.InvalidValue,
        "an input is the name of a layer, or {layer: NAME, output: NUMBER}, not {'layer': 'input'}",
        "",
        id="an input that is no name",
    ),
    pytest.param(
        ["{call: nothing}"],
        errors.UnknownName,
        "no layer is called 'nothing'",
        "a layer without a `name` is called after its type: dense, dense_1",
        id="a call of nothing",
    ),
    pytest.param(
        ["{call: a, name: a}"],
        errors.UnknownName,
        "'a' is a call that leads to no layer",
        "`call` takes the name of a layer",
        id="a call of itself",
    ),
    pytest.param(
        ["{type: Dense, name: a, units: 8}", "{call: a, reverse: true}"],
        errors.UnknownArgument,
        "a call of Dense takes no `reverse`",
        "",
        id="an option that the layer has not",
    ),
    pytest.param(
        ["{repeat: 0, layers: [{type: ReLU}]}"],
        errors.InvalidValue,
        "`repeat` must be a whole number of at least 1, not 0",
        "",
        id="a block that never repeats",
    ),
    pytest.param(
        ["{repeat: 2, layers: []}"],
        errors.InvalidValue,
        "a block needs `layers`, a list",
        "",
        id="an empty block",
    ),
    pytest.param(
        ["{repeat: 2, units: 3, layers: [{type: ReLU}]}"],
        errors.UnknownArgument,
        "a block takes no `units`",
        "",
        id="a block with arguments",
    ),
    pytest.param(
        ["{repeat: 2, layers: [{type: Input, shape: [3]}]}"],
        errors.InvalidValue,
        "a block cannot have an Input",
        "",
        id="an Input in a block",
    ),
    pytest.param(
        ["{repeat: 9, name: a, layers: [{type: ReLU}]}", "{type: ReLU, name: a_3}"],
        errors.InvalidGraph,
        "'a_3' is a repetition of the block 'a'",
        "give it another name",
        id="a name that a block takes",
    ),
    pytest.param(
        ["{repeat: 1000, layers: [{repeat: 1000, layers: [{repeat: 9, layers: [{type: ReLU}]}]}]}"],
        errors.InvalidValue,
        "this makes more than 20,000 layers",
        "--limit layers=40000 raises it",
        id="more than anyone has",
    ),
    pytest.param(
        ["{type: TimeDistributed, layer: {type: Dens, units: 3}}"],
        errors.UnknownName,
        "unknown layer 'Dens'",
        "did you mean 'Dense'?",
        id="an unknown layer within a layer",
    ),
    pytest.param(
        ["{type: Sequential, layers: [{type: Dense, units: 3}], unit: 3}"],
        errors.UnknownArgument,
        "Sequential takes no `unit`",
        "",
        id="an argument of a network",
    ),
    pytest.param(
        ["{type: StackedRNNCells, cells: 3}"],
        errors.InvalidValue,
        "`cells` must be a list of layers, not 3",
        "",
        id="cells that are none",
    ),
]


@pytest.mark.parametrize(("layers", "kind", "message", "remedy"), MISTAKES)
def test_a_mistake_in_a_graph(
    layers: list[str], kind: type[errors.SpecError], message: str, remedy: str
) -> None:
    (error,) = refused(*layers)
    assert type(error) is kind
    assert error.message == message
    assert error.remedy == remedy
    assert error.place is not None
    assert error.place.line > 1


def test_extends_goes_on_where_another_spec_ends(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "name: base\nseed: 3\ninput_shape: [8]\ninitializers: {mine: ones}\n"
        "layers:\n  - {type: Dense, units: 4, kernel_initializer: mine}\n"
    )
    (tmp_path / "more.yaml").write_text(
        "extends: base.yaml\nname: more\ninitializers: {other: zeros}\n"
        "layers:\n  - {type: Dense, units: 2, kernel_initializer: mine, bias_initializer: other}\n"
    )
    (tmp_path / "most.yaml").write_text("extends: more.yaml\nseed: 9\n")
    model = initcli.load(str(tmp_path / "most.yaml"))
    assert (model.name, model.seed) == ("more", 9)
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    base = initcli.load(str(tmp_path / "base.yaml"), seed=9)
    assert model.parameters[:2] == base.parameters


def test_extends_reads_a_keras_model_and_takes_what_it_gives(tmp_path: Path) -> None:
    file = SAMPLES / "keras_mobilenetv2.json"
    spec = {"extends": str(file), "layers": [{"type": "Dense", "units": 10, "name": "more"}]}
    (tmp_path / "more.json").write_text(json.dumps(spec))
    model = initcli.load(str(tmp_path / "more.json"))
    assert initcli.totals(model).params == 3_538_984 + 10_010
    assert edges(model)[-1] == ("predictions", "more")


def test_a_mistake_in_either_file_has_its_place_there(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("input_shape: [8]\nlayers:\n  - {type: Dens, units: 4}\n")
    (tmp_path / "more.yaml").write_text("extends: base.yaml\nlayers:\n  - {type: Dense, unit: 2}\n")
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.load(str(tmp_path / "more.yaml"))
    places = [str(error.place) for error in caught.value.errors]
    assert places == [f"{tmp_path / 'base.yaml'}:3:12", f"{tmp_path / 'more.yaml'}:3:19"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: itself.yaml\n", "'itself.yaml' extends this file in turn"),
        ("extends: 3\n", "`extends` must be the path of another spec, not 3"),
        ("extends: none.yaml\n", "there is no such file"),
        ("extends: text.txt\n", "a spec is a mapping with `layers`, and this file is not"),
    ],
)
def test_what_cannot_be_extended(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "itself.yaml").write_text(text)
    (tmp_path / "text.txt").write_text("words")
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.load(str(tmp_path / "itself.yaml"))
    assert [error.message for error in caught.value.errors] == [message]


@pytest.mark.parametrize(
    ("file", "params"),
    [
        ("resnet50.yaml", 25_636_712),
        ("gpt2_small.yaml", 124_439_808),
        ("bert_base.yaml", 109_482_240),
        ("llama3_8b.yaml", 8_030_261_248),
        ("llama3_405b.yaml", 405_853_388_800),
        ("lstm_imdb.yaml", 2_757_761),
        ("vit_b16.yaml", 86_567_656),
        ("keras_tour.json", 40_152),
        ("keras_mobilenetv2.json", 3_538_984),
    ],
)
def test_sample_configs_have_their_published_counts(file: str, params: int) -> None:
    assert initcli.totals(initcli.load(str(SAMPLES / file))).params == params


def test_gpt_2_is_started_by_its_own_scheme() -> None:
    model = initcli.load(str(SAMPLES / "gpt2_small.yaml"))
    stds = {
        p.path: p.distribution.std
        for p in model.parameters
        if p.distribution and p.distribution.std
    }
    assert stds.pop("wpe/embeddings") == 0.01
    residual = {path for path in stds if "attention_output" in path or "/down/" in path}
    assert len(residual) == 24
    assert {stds.pop(path) for path in residual} == {0.02 / 24**0.5}
    assert set(stds.values()) == {0.02}
