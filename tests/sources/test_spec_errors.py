"""Every mistake in a spec has a message of its own: place, reason, remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import initcli
from initcli import errors
from initcli.sources.read import parse
from initcli.sources.schema import schema_text


def first_error(text: str, file: str = "model.yaml") -> errors.SpecError:
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(text, file=file)
    assert len(caught.value.errors) == 1, str(caught.value)
    return caught.value.errors[0]


def layer(entry: str, shape: str = "[8, 6]") -> str:
    """A spec with one layer, which stands in line 3."""
    return f"input_shape: {shape}\nlayers:\n  - {entry}\n"


# The layer entry, what the caret points at, the kind of error, its message and its remedy.
ENTRIES = [
    pytest.param(
        "{type: Dens, units: 3}",
        "Dens,",
        errors.UnknownName,
        "unknown layer 'Dens'",
        "did you mean 'Dense'?",
        id="unknown layer",
    ),
    pytest.param(
        "{type: Dense, units: 3, kernel_initializer: he_unifrom}",
        "he_unifrom",
        errors.UnknownName,
        "unknown initializer 'he_unifrom'",
        "did you mean 'he_uniform'?",
        id="unknown initializer",
    ),
    pytest.param(
        "{type: Dense, units: 3, kernel_initializer: {type: Orthogonl}}",
        "Orthogonl",
        errors.UnknownName,
        "unknown initializer 'Orthogonl'",
        "did you mean 'Orthogonal'?",
        id="unknown initializer in a mapping",
    ),
    pytest.param(
        "{type: Dense, units: 3, kernel_initializer: zzz}",
        "zzz",
        errors.UnknownName,
        "unknown initializer 'zzz'",
        "name a file with your own function by --custom FILE.py",
        id="an initializer that may be a function",
    ),
    pytest.param(
        "{type: Dense, units: 3, activation: rellu}",
        "rellu",
        errors.UnknownName,
        "unknown activation 'rellu'",
        "did you mean 'relu'?",
        id="unknown activation",
    ),
    pytest.param(
        "{type: Dense, unit: 3}",
        "unit:",
        errors.UnknownArgument,
        "Dense takes no `unit`",
        "did you mean 'units'?",
        id="unknown argument",
    ),
    pytest.param(
        "{type: RepeatVector, n: 3, qqqq: 3}",
        "qqqq",
        errors.UnknownArgument,
        "RepeatVector takes no `qqqq`",
        "it takes `n`",
        id="unknown argument like no other",
    ),
    pytest.param(
        "{type: Dense, units: 3, bias_initializer: {type: Constant, valeu: 1}}",
        "valeu",
        errors.UnknownArgument,
        "Constant takes no `valeu`",
        "did you mean 'value'?",
        id="unknown argument of an initializer",
    ),
    pytest.param(
        "{type: MaxPooling1D, pool_size: 4, kernel_initializer: zeros}",
        "kernel_initializer",
        errors.UnknownArgument,
        "MaxPooling1D takes no `kernel_initializer`, because it has no weights",
        "remove `kernel_initializer`",
        id="an initializer where there are no weights",
    ),
    pytest.param(
        "{type: Dense}",
        "{type",
        errors.InvalidValue,
        "Dense needs `units`, a whole number of at least 1",
        "",
        id="missing argument",
    ),
    pytest.param(
        "{units: 3}",
        "{units",
        errors.InvalidValue,
        "a layer needs a `type`",
        "such as {type: Dense, units: 10}",
        id="no type",
    ),
    pytest.param(
        "Dense",
        "Dense",
        errors.InvalidValue,
        "a layer is a mapping with a `type`, not 'Dense'",
        "write {type: Dense}, with its arguments",
        id="a layer that is a name",
    ),
    pytest.param(
        "{type: Dense, units: many}",
        "many",
        errors.InvalidValue,
        "`units` must be a whole number of at least 1, not 'many'",
        "",
        id="a text for a number",
    ),
    pytest.param(
        '{type: Dense, units: "3"}',
        '"3"',
        errors.InvalidValue,
        "`units` must be a whole number of at least 1, not '3'",
        "write 3 without quotes",
        id="a number in quotes",
    ),
    pytest.param(
        "{type: Dense, units: 2.5}",
        "2.5",
        errors.InvalidValue,
        "`units` must be a whole number of at least 1, not 2.5",
        "",
        id="a fraction for a whole number",
    ),
    pytest.param(
        "{type: Dense, units: [3]}",
        "[3]",
        errors.InvalidValue,
        "`units` must be a whole number of at least 1, not [3]",
        "",
        id="a list for a number",
    ),
    pytest.param(
        "{type: Dense, units: true}",
        "true",
        errors.InvalidValue,
        "`units` must be a whole number of at least 1, not true",
        "",
        id="a boolean for a number",
    ),
    pytest.param(
        "{type: Dense, units: null}",
        "null",
        errors.InvalidValue,
        "`units` must be a whole number of at least 1, not null",
        "",
        id="null for a number",
    ),
    pytest.param(
        "{type: Dense, units: 3, use_bias: no}",
        "no}",
        errors.InvalidValue,
        "`use_bias` must be true or false, not 'no'",
        "write false",
        id="a boolean of YAML 1.1",
    ),
    pytest.param(
        "{type: Dense, units: 3, kernel_initializer: 7}",
        "7}",
        errors.InvalidValue,
        "an initializer is a name or a mapping with a `type`, not 7",
        "such as {type: Constant, value: 0.1}",
        id="a number for an initializer",
    ),
    pytest.param(
        "{type: Conv1D, filters: 3, kernel_size: 3, padding: smae}",
        "smae",
        errors.InvalidValue,
        "`padding` must be 'causal', 'same' or 'valid', not 'smae'",
        "did you mean 'same'?",
        id="a choice that is none",
    ),
    pytest.param(
        "{type: Conv1D, filters: 3, kernel_size: [3, 3]}",
        "[3, 3]",
        errors.InvalidValue,
        "`kernel_size` must be one number, not [3, 3]",
        "",
        id="a list of the wrong length",
    ),
    pytest.param(
        "{type: Dense, units: 0}",
        "0}",
        errors.InvalidValue,
        "`units` must be a whole number of at least 1, not 0",
        "",
        id="zero units",
    ),
    pytest.param(
        "{type: Conv1D, filters: -2, kernel_size: 3}",
        "-2",
        errors.InvalidValue,
        "`filters` must be a whole number of at least 1, not -2",
        "",
        id="negative filters",
    ),
    pytest.param(
        "{type: Conv1D, filters: 2, kernel_size: 0}",
        "0}",
        errors.InvalidValue,
        "`kernel_size` must be a whole number of at least 1 or a list of whole numbers of at "
        "least 1, not 0",
        "",
        id="a window of zero",
    ),
    pytest.param(
        "{type: Dropout, rate: 1.5}",
        "1.5",
        errors.InvalidValue,
        "`rate` must be a number of at least 0 and at most 1, not 1.5",
        "",
        id="a rate beyond one",
    ),
    pytest.param(
        "{type: Dense, units: 3, kernel_initializer: {type: RandomNormal, stddev: -1}}",
        "-1",
        errors.InvalidValue,
        "`stddev` must be a number of at least 0, not -1",
        "",
        id="a negative deviation",
    ),
    pytest.param(
        "{type: Dense, units: 3, kernel_initializer: {type: RandomNormal, mean: .nan}}",
        ".nan",
        errors.InvalidValue,
        "`mean` must be finite, not nan",
        "",
        id="not a number",
    ),
    pytest.param(
        "{type: Dense, units: 3, kernel_initializer: {type: Orthogonal, gain: -.inf}}",
        "-.inf",
        errors.InvalidValue,
        "`gain` must be finite, not -inf",
        "",
        id="infinite",
    ),
    pytest.param(
        "{type: Dense, units: 3, kernel_initializer: {type: VarianceScaling, scale: 0.0}}",
        "0.0",
        errors.InvalidValue,
        "`scale` must be a number of more than 0, not 0.0",
        "",
        id="a scale of zero",
    ),
    pytest.param(
        "{type: Dense, units: 3, kernel_initializer: {type: RandomUniform, minval: 1}}",
        "{type: RandomU",
        errors.InvalidValue,
        "`maxval` (0.05) must not be less than `minval` (1)",
        "the defaults are -0.05 and 0.05",
        id="an empty interval",
    ),
    pytest.param(
        "{type: Conv1D, filters: 3, kernel_size: 2, strides: 2, dilation_rate: 2}",
        "2}",
        errors.InvalidValue,
        "`strides` (2) and `dilation_rate` (2) cannot both be more than 1",
        "remove one of them",
        id="strides with dilation",
    ),
    pytest.param(
        "{type: Conv1D, filters: 3, kernel_size: 2, groups: 2}",
        "2}",
        errors.InvalidValue,
        "`groups` (2) must divide `filters` (3)",
        "",
        id="groups that do not divide the filters",
    ),
    pytest.param(
        "{type: Conv2D, filters: 3, kernel_size: 2}",
        "{type",
        errors.ShapeMismatch,
        "Conv2D needs an input of 3 axes besides the batch (height, width, channels), "
        "not (None, 8, 6)",
        "",
        id="too few axes",
    ),
    pytest.param(
        "{type: Conv1D, filters: 3, kernel_size: 9}",
        "{type",
        errors.ShapeMismatch,
        "Conv1D's window (9,) is larger than its input (8,)",
        "use padding: same, or a smaller window",
        id="a window larger than its input",
    ),
    pytest.param(
        "{type: MaxPooling1D, pool_size: 9}",
        "{type",
        errors.ShapeMismatch,
        "MaxPooling1D's window (9,) is larger than its input (8,)",
        "use padding: same, or a smaller window",
        id="a pool larger than its input",
    ),
    pytest.param(
        "{type: Conv1D, filters: 4, kernel_size: 2, groups: 4}",
        "{type",
        errors.ShapeMismatch,
        "`groups` (4) must divide the 6 input channels",
        "",
        id="groups that do not divide the channels",
    ),
    pytest.param(
        "{type: Reshape, target_shape: [5, 5]}",
        "{type",
        errors.ShapeMismatch,
        "Reshape cannot make (5, 5) of (8, 6), which has 48 entries",
        "the products of the sizes must be equal",
        id="a reshape of another size",
    ),
    pytest.param(
        "{type: Permute, dims: [1, 3, 2]}",
        "{type",
        errors.ShapeMismatch,
        "Permute orders 3 axes, and its input (None, 8, 6) has 2 besides the batch",
        "`dims` must name each of them, counted from 1",
        id="a permutation of other axes",
    ),
    pytest.param(
        "{type: GroupNormalization, groups: 4}",
        "{type",
        errors.ShapeMismatch,
        "`groups` (4) must divide the 6 channels",
        "",
        id="groups of a normalization",
    ),
    pytest.param(
        "{type: BatchNormalization, axis: 4}",
        "{type",
        errors.ShapeMismatch,
        "BatchNormalization works on axis 4, and the last axis of its input (None, 8, 6) is 2",
        "axes count from 0, the batch, or backward from -1",
        id="an axis that is not there",
    ),
    pytest.param(
        "{type: Dense, units: 3, bias_initializer: identity}",
        "identity",
        errors.ShapeMismatch,
        "Identity fills matrices only, not shape (3,) (dense/bias)",
        "dense/bias needs another initializer",
        id="an identity of rank 1",
    ),
    pytest.param(
        "{type: Conv1D, filters: 3, kernel_size: 2, kernel_initializer: {type: Identity}}",
        "{type: Id",
        errors.ShapeMismatch,
        "Identity fills matrices only, not shape (2, 6, 3) (conv1d/kernel)",
        "for a convolution, use Dirac",
        id="an identity of a convolution",
    ),
    pytest.param(
        "{type: Dense, units: 3, bias_initializer: orthogonal}",
        "orthogonal",
        errors.ShapeMismatch,
        "Orthogonal fills tensors of 2 axes or more, not shape (3,) (dense/bias)",
        "for a vector, use zeros",
        id="an orthogonal bias",
    ),
    pytest.param(
        "{type: Dense, units: 3, dtype: float16, bias_initializer: {type: Constant, value: 7e4}}",
        "{type: Co",
        errors.InvalidValue,
        "dense/bias constant 7e+04 is more than float16 holds, at most 65504",
        "draw smaller values, or take another dtype",
        id="more than the dtype holds",
    ),
    pytest.param(
        "{type: Dense, units: 3, name: a/b}",
        "a/b",
        errors.InvalidValue,
        "the name 'a/b' has a '/', which separates the name of a layer from those of its tensors",
        "",
        id="a name with a slash",
    ),
    pytest.param(
        "{type: Conv1D, filters: 2, kernel_size: 1000000000000000000, padding: same}",
        "{type",
        errors.ShapeMismatch,
        "conv1d/kernel would have 1.2e+19 entries",
        "no tensor can be that large",
        id="a tensor beyond counting",
    ),
]


@pytest.mark.parametrize(("entry", "at", "kind", "message", "remedy"), ENTRIES)
def test_a_mistake_in_a_layer(
    entry: str, at: str, kind: type[errors.SpecError], message: str, remedy: str
) -> None:
    error = first_error(layer(entry))
    assert type(error) is kind
    assert error.message == message
    assert error.remedy == remedy
    column = f"  - {entry}".rindex(at) if at != "{type" else 4
    assert str(error).splitlines() == [
        f"model.yaml:3:{column + 1}: {message}",
        f"  3 |   - {entry}" if len(entry) < 78 else str(error).splitlines()[1],
        str(error).splitlines()[2],
        *([f"  = {remedy}"] if remedy else []),
    ]
    shown, caret = str(error).splitlines()[1:3]
    assert shown[caret.index("^") :].startswith(at)


WHOLE = [
    pytest.param(
        "layers: [{type: Dense, units: 3}]",
        (1, 1),
        errors.InvalidGraph,
        "the spec does not give the shape of its input",
        id="no input shape",
    ),
    pytest.param(
        "input_shape: [3]\nlayers: []", (2, 9), errors.InvalidValue, "`layers` is empty", id="empty"
    ),
    pytest.param(
        "input_shape: [3]",
        (1, 1),
        errors.InvalidValue,
        "a spec needs `layers`, a list",
        id="no layers",
    ),
    pytest.param(
        "input_shape: [3]\nlayers:",
        (2, 8),
        errors.InvalidValue,
        "`layers` must be a list, not null",
        id="null layers",
    ),
    pytest.param(
        "input_shape: [3]\nsead: 1\nlayers: [{type: ReLU}]",
        (2, 1),
        errors.UnknownArgument,
        "a spec takes no `sead`",
        id="unknown key",
    ),
    pytest.param(
        "input_shape: [3]\ntype: 1\nlayers: [{type: ReLU}]",
        (2, 1),
        errors.UnknownArgument,
        "a spec takes no `type`",
        id="a spec has no type",
    ),
    pytest.param(
        "input_shape: [3, 0]\nlayers: [{type: ReLU}]",
        (1, 14),
        errors.InvalidValue,
        "`input_shape` must be a list of whole numbers of at least 1 or null, not [3, 0]",
        id="a size of zero",
    ),
    pytest.param(
        "input_shape: [3]\ndefaults: tensorflow\nlayers: [{type: ReLU}]",
        (2, 11),
        errors.InvalidValue,
        "`defaults` must be 'flax', 'keras' or 'torch', not 'tensorflow'",
        id="unknown defaults",
    ),
    pytest.param(
        "- {type: ReLU}",
        (1, 1),
        errors.InvalidValue,
        "a spec is a mapping with `layers`, not [{'type': 'ReLU'}]",
        id="a list",
    ),
    pytest.param(
        "input_shape: [3]\ninput_shape: [4]\nlayers: [{type: ReLU}]",
        (2, 1),
        errors.DuplicateKey,
        "the key 'input_shape' occurs twice in this mapping",
        id="a key twice",
    ),
    pytest.param(
        '{"input_shape": [3],\n "layers": [{"type": "ReLU", "type": "ELU"}]}',
        (2, 30),
        errors.DuplicateKey,
        "the key 'type' occurs twice in this mapping",
        id="a key twice in JSON",
    ),
    pytest.param(
        "input_shape: [3]\nlayers: [{type: ReLU, name: a}, {type: ReLU, name: a}]",
        (2, 52),
        errors.InvalidGraph,
        "two layers are called 'a', this and layers.0",
        id="a name twice",
    ),
    pytest.param(
        "input_shape: [3]\nlayers: [{type: ReLU}",
        (2, 22),
        errors.UnparsableText,
        "this is not YAML: while parsing a flow sequence, did not find expected ',' or ']'",
        id="YAML that does not parse",
    ),
    pytest.param(
        "input_shape: [3]\nlayers:\n\t- {type: ReLU}",
        (3, 1),
        errors.UnparsableText,
        "this is not YAML: while scanning for the next token, found character that cannot "
        "start any token",
        id="a tab",
    ),
    pytest.param(
        '{"input_shape": }',
        (1, 17),
        errors.UnparsableText,
        "this is not JSON: expecting value",
        id="JSON that does not parse",
    ),
    pytest.param(
        "input_shape: [3]\nlayers: [{type: ReLU}]\n---\n",
        (3, 1),
        errors.UnparsableText,
        "a spec is a single YAML document, but a second begins here",
        id="a second document",
    ),
    pytest.param(
        "layers: !!python/object/apply:os.system [echo]",
        (1, 9),
        errors.UnparsableText,
        "the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed in a spec",
        id="a tag that would run code",
    ),
    pytest.param("  \n", (0, 0), errors.UnreadableFile, "the file is empty", id="nothing"),
    pytest.param(
        "input_shape: [3]\nlayers: [{type: Input, shape: [3]}]",
        (2, 10),
        errors.ShapeMismatch,
        "this Input has an input already, from what comes before it",
        id="two inputs",
    ),
    pytest.param(
        "input_shape: [3]\ninitializers: {zeros: ones}\nlayers: [{type: ReLU}]",
        (2, 16),
        errors.InvalidValue,
        "'zeros' is the name of a built-in initializer",
        id="a recipe with a name that is taken",
    ),
]


@pytest.mark.parametrize(("text", "place", "kind", "message"), WHOLE)
def test_a_mistake_of_the_whole(
    text: str, place: tuple[int, int], kind: type[errors.SpecError], message: str
) -> None:
    error = first_error(text)
    assert type(error) is kind
    assert error.message == message
    assert error.place is not None
    assert (error.place.line, error.place.column) == place


def test_all_errors_are_reported_together_in_the_order_of_the_file() -> None:
    text = (
        "input_shape: [8, 6]\nlayers:\n"
        "  - {type: Conv1D, filters: 0, kernel_size: 3, activation: rellu}\n"
        "  - {type: Flaten}\n"
        "  - {type: Dense}\n"
        "color: red\n"
    )
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(text, file="m.yaml")
    places = [str(error.place) for error in caught.value.errors]
    assert places == ["m.yaml:3:29", "m.yaml:3:60", "m.yaml:4:12", "m.yaml:5:5", "m.yaml:6:1"]


def test_shapes_are_checked_up_to_the_first_layer_that_is_wrong() -> None:
    text = (
        "input_shape: [8, 6]\nlayers:\n"
        "  - {type: Conv1D, filters: 2, kernel_size: 9}\n"
        "  - {type: Dense, units: x}\n"
    )
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(text)
    assert [type(error) for error in caught.value.errors] == [
        errors.ShapeMismatch,
        errors.InvalidValue,
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"layers: []\nname: caf\xe9\n")
    (tmp_path / "empty.yaml").touch()
    reasons = {
        "none.yaml": "there is no such file",
        ".": "this is a directory, not a file",
        "latin.yaml": "line 2 is not UTF-8",
        "empty.yaml": "the file is empty",
        "a\0b": "it cannot be read: embedded null byte",
    }
    for name, reason in reasons.items():
        with pytest.raises(initcli.InvalidSpec) as caught:
            initcli.load(str(tmp_path / name) if name != "a\0b" else name)
        (error,) = caught.value.errors
        assert type(error) is errors.UnreadableFile
        assert error.message == reason


def test_a_long_line_is_shown_around_the_mistake() -> None:
    filler = ", ".join(f"a{i}: 1" for i in range(100))
    error = str(first_error(layer(f"{{type: Dense, units: 0, kernel_regularizer: {{{filler}}}}}")))
    shown, caret = error.splitlines()[1:3]
    assert len(shown) < 200
    assert shown[caret.index("^")] == "0"
    assert shown.endswith("...")


# The schema refuses the same specs where a schema can

SPEC = Draft202012Validator(json.loads(schema_text()))

BY_SHAPE = {
    errors.UnknownName: True,
    errors.UnknownArgument: True,
    errors.InvalidValue: True,
    errors.ShapeMismatch: False,  # it follows from what flows in from the layer before
    errors.InvalidGraph: False,  # entries must be compared, or another spec joined
    errors.DuplicateKey: False,  # no data comes of the text
    errors.UnparsableText: False,
    errors.UnreadableFile: False,
}
"""Whether errors of that kind are of the shape of the data, which is all that a schema judges."""

NOT_BY_SHAPE = {
    "unknown initializer": "it may be the name of a recipe",
    "an initializer that may be a function": "it may be one",
    "a list of the wrong length": "how long depends on the layer's rank, which is no field",
    "not a number": "JSON has no NaN, and validators take it for a number",
    "infinite": "JSON has no infinity, and validators take it for a number",
    "an empty interval": "two arguments must be compared",
    "strides with dilation": "two arguments must be compared",
    "groups that do not divide the filters": "two arguments must be compared",
    "more than the dtype holds": "the distribution must be compared with the dtype",
}
"""Invalid specs of py whose kind is of the data's shape, but not they."""


def invalid_specs() -> Iterator[Any]:
    for param in ENTRIES:
        entry, _, kind, *_ = param.values
        yield pytest.param(layer(str(entry)), kind, str(param.id), id=param.id)
    for param in WHOLE:
        text, _, kind, *_ = param.values
        yield pytest.param(text, kind, str(param.id), id=param.id)


@pytest.mark.parametrize(("text", "kind", "title"), list(invalid_specs()))
def test_an_invalid_spec_is_invalid_for_the_schema_where_that_is_of_the_data_s_shape(
    text: str, kind: type[errors.SpecError], title: str
) -> None:
    by_shape = BY_SHAPE[kind] and title not in NOT_BY_SHAPE
    try:
        data = parse(text).data
    except initcli.InvalidSpec:
        assert not by_shape
        return
    assert SPEC.is_valid(data) is not by_shape


def test_every_exception_is_an_invalid_spec() -> None:
    assert {param.values[2] for param in invalid_specs()} >= NOT_BY_SHAPE.keys()
