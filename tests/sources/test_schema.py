"""The JSON Schema of the spec says yes and no where the reader does, to an outside validator."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

import initcli
from initcli import errors
from initcli.activations import known_activations
from initcli.cli.app import app
from initcli.initializers import known_initializers
from initcli.layers import Layer, known_layers
from initcli.layers.network import Network
from initcli.sources.building import Spec
from initcli.sources.graph import Networks
from initcli.sources.read import parse
from initcli.sources.schema import schema_text
from initcli.types import ArgumentError, arguments_of
from support.layers import layer_cases
from support.paths import SAMPLES, facts
from support.stacks import CHECKS

SCHEMA: dict[str, Any] = json.loads(schema_text())
SPEC = Draft202012Validator(SCHEMA)
INNER_LAYER = Draft202012Validator({"$ref": "#/$defs/inner_layer", "$defs": SCHEMA["$defs"]})


def problems(data: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}"[:300] for error in SPEC.iter_errors(data)]


def test_the_schema_is_one_of_2020_12_and_needs_no_other() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    references = set(re.findall(r'"\$ref": ?"([^"]*)"', schema_text()))
    assert references == {f"#/$defs/{name}" for name in SCHEMA["$defs"]}


def test_the_command_prints_the_schema() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "initcli", "schema"],
        capture_output=True,
        env={**os.environ, "PYTHONUTF8": "1"},
        check=True,
    )
    assert json.loads(done.stdout) == SCHEMA


def test_a_stream_that_is_not_utf_8_gets_the_same_in_ascii() -> None:
    shown = CliRunner(charset="cp1252").invoke(app, ["schema"])
    assert shown.stdout_bytes.isascii()
    assert json.loads(shown.stdout_bytes) == SCHEMA


# --------------------------------------------------------------------- what the reader accepts


@pytest.mark.parametrize(
    "file", [*sorted(SAMPLES.glob("*.yaml")), SAMPLES / "tour.json"], ids=lambda file: file.name
)
def test_a_sample_config_is_valid_and_names_its_schema(file: Path) -> None:
    text = file.read_text("utf-8")
    assert problems(parse(text, file.name).data) == []
    if file.suffix == ".yaml":
        # Editors look for it in the comments before the first key.
        assert text.startswith("# yaml-language-server: $schema=initcli.schema.json\n")


def examples() -> Iterator[Any]:
    """Specs that other tests hold valid."""
    for check in CHECKS:
        for text in map(check.example, ("Reported", "Not reported")):
            yield parse(text).data
    for text in re.findall(
        r"```yaml\n(.*?)```", (SAMPLES / "README.md").read_text("utf-8"), re.DOTALL
    ):
        if "layers:" in text:
            yield parse(text).data
    for case in list(facts("training_cases.yaml").values())[::4]:
        yield {key: value for key, value in case.items() if key != "about"}


def test_a_spec_that_other_tests_hold_valid_is_valid() -> None:
    found = list(examples())
    assert len(found) > 50
    assert [(each, problems(each)) for each in found if not SPEC.is_valid(each)] == []


def test_layers_that_are_accepted_are_valid() -> None:
    for name, each in layer_cases().items():
        definition = f"#/$defs/layer.{known_layers()[name].__name__}"
        validator = Draft202012Validator({"$ref": definition, "$defs": SCHEMA["$defs"]})
        for _, arguments in each:
            assert list(validator.iter_errors({"type": name, **arguments})) == []


# An entry of `layers` and whether its shape is that of one; what it names is another matter.
ENTRIES = [
    ("{type: ReLU, name: relu, inputs: input}", True),
    ("{type: ReLU, name: null, inputs: null}", True),
    ("{type: ReLU, inputs: [input]}", True),
    ("{type: ReLU, inputs: [{layer: input, output: 0}]}", True),
    ("{type: ReLU, inputs: {layer: input, output: 0}}", True),
    ("{type: ReLU, inputs: {layer: input}}", False),
    ("{type: ReLU, inputs: {layer: input, output: -1}}", False),
    ("{type: ReLU, inputs: {layer: input, output: 0, more: 1}}", False),
    ("{type: ReLU, inputs: 3}", False),
    ("{type: ReLU, name: a/b}", False),
    ('{type: ReLU, name: ""}', False),
    ('{type: ReLU, name: "a\\tb"}', False),
    ("{type: ReLU, name: [a]}", False),
    ("{type: Add, inputs: [input, input]}", True),
    ("{type: Add}", False),
    ("{type: Add, inputs: null}", False),
    ("{type: Conv1D, filters: 2, kernel_size: [3], padding: SAME}", True),
    ("{type: Conv1D, filters: 2, kernel_size: 3, padding: Causal}", True),
    ("{type: Conv1D, filters: 2, kernel_size: 3, padding: null}", False),
    ("{type: Dense, units: 2, kernel_regularizer: {l2: 0.1}, bias_constraint: any}", True),
    ("{type: Dense, units: 2, activity_regularizer: l2}", True),
    ("{type: Dense, units: 2, gamma_regularizer: l2}", False),
    ("{type: Dense, units: 2, kernel_initializer: null, activation: null}", True),
    ("{type: Dense, units: 2, activation: {type: leaky_relu, negative_slope: 0.1}}", True),
    ("{type: Dense, units: 2, activation: {type: relu, slope: 0.1}}", False),
    ("{type: Dense, units: 2, activation: opaque}", False),
    ("{type: Dense, units: 2, use_causal_mask: true}", False),
    ("{type: Attention, inputs: [first, first], use_causal_mask: true}", True),
    ("{type: Attention, inputs: [first, first], use_causal_mask: 1}", False),
    ("{repeat: 2, name: b, inputs: input, layers: [{type: ReLU}]}", True),
    ("{repeat: 2, inputs: [input], layers: [{repeat: 2, layers: [{type: ReLU}]}]}", True),
    ("{repeat: null, layers: [{type: ReLU}]}", True),
    ("{layers: [{type: ReLU}]}", True),
    ("{repeat: 2, inputs: [input, input], layers: [{type: ReLU}]}", False),
    ("{repeat: 2, inputs: [], layers: [{type: ReLU}]}", False),
    ("{repeat: 0, layers: [{type: ReLU}]}", False),
    ("{repeat: true, layers: [{type: ReLU}]}", False),
    ("{repeat: 2, layers: []}", False),
    ("{repeat: 2}", False),
    ("{repeat: 2, type: Dense, layers: [{type: ReLU}]}", False),
    ("{repeat: 2, layers: [{type: Input, shape: [2]}]}", False),
    ("{repeat: 2, layers: [{type: InputLayer, shape: [2]}]}", False),
    ("{call: first, name: again, inputs: first}", True),
    ("{call: first, reverse: true}", False),
    ("{call: 3}", False),
    ("{call: first, units: 3}", False),
    ("{type: Sequential, name: s, trainable: false, layers: [{type: Dense, units: 2}]}", True),
    ("{type: Functional, layers: [{type: Input, name: x, shape: [6, 2]}], outputs: x}", True),
    ("{type: Functional, layers: [{type: Input, name: x, shape: [2]}], input_layers: 3}", False),
    ("{type: Sequential, layers: []}", False),
    ("{type: Sequential}", False),
    ("{type: Sequential, units: 2, layers: [{type: ReLU}]}", False),
    ("{type: Sequential, layers: [{type: Dense}]}", False),
    ("{type: Bidirectional, layer: {type: LSTM, units: 2}, backward_layer: null}", True),
    ("{type: Bidirectional, layer: {type: LSTM, unit: 2}}", False),
    ("{type: Bidirectional, layer: {type: LSTM, units: 2, inputs: input}}", False),
    ("{type: Bidirectional, layer: LSTM}", False),
    ("{type: Bidirectional, layer: {type: LSTM, units: 2}, backward_layer: []}", False),
    ("{type: TimeDistributed, layer: {type: Sequential, layers: [{type: ReLU}]}}", True),
    ("{type: RNN, cell: [{type: LSTMCell, units: 2}, {type: GRUCell, units: 2}]}", True),
    ("{type: RNN, cell: {type: LSTMCell, units: 2}}", True),
    ("{type: RNN, cell: [3]}", False),
    ("{type: StackedRNNCells, cells: {type: LSTMCell, units: 2}}", False),
    ("{type: [ReLU]}", False),
    ("[{type: ReLU}]", False),
]
ELSEWHERE = {
    "{call: first, reverse: true}": "which options a call has depends on the layer it names",
}
"""Entries that the reader refuses for more than their shape."""


@pytest.mark.parametrize(("entry", "is_one"), ENTRIES, ids=[entry for entry, _ in ENTRIES])
def test_an_entry_is_valid_where_the_reader_takes_it(entry: str, is_one: bool) -> None:
    text = f"input_shape: [6, 2]\nlayers:\n  - {{type: ReLU, name: first}}\n  - {entry}\n"
    data = parse(text).data
    if is_one:
        assert problems(data) == []
        assert initcli.parse(text).layers
    else:
        with pytest.raises(initcli.InvalidSpec):
            initcli.parse(text)
        assert SPEC.is_valid(data) is (entry in ELSEWHERE)


def test_a_spec_that_extends_another_needs_no_layers_of_its_own() -> None:
    assert problems({"extends": "base.yaml"}) == []
    assert problems({"extends": "base.yaml", "layers": []}) == []
    assert not SPEC.is_valid({"extends": ""})
    assert not SPEC.is_valid({"extends": 3, "layers": [{"type": "ReLU"}]})


def test_an_initializer_may_be_a_recipe_or_a_function_of_its_author() -> None:
    dense = {"type": "Dense", "units": 2}
    for initializer in ("mine", {"function": "mine"}, "he_normal", "HeNormal", None):
        assert problems({"layers": [{**dense, "kernel_initializer": initializer}]}) == []
    mistakes: list[Any] = [{"type": "mine"}, {"function": 3}, {"function": "f", "type": "Zeros"}, 3]
    for wrong in mistakes:
        assert not SPEC.is_valid({"layers": [{**dense, "kernel_initializer": wrong}]})
    spec = {"layers": [dense], "initializers": {"a": "zeros", "b": {"type": "Orthogonal"}}}
    assert problems(spec) == []
    assert not SPEC.is_valid({**spec, "initializers": {"zeros": "ones"}})
    assert not SPEC.is_valid({**spec, "initializers": {"a": {"type": "Orthogonl"}}})


def test_a_mistake_is_spoken_of_as_that_of_the_layer_meant() -> None:
    """Not as that of 144 layers which it is not."""
    found = list(SPEC.iter_errors({"layers": [{"type": "Dense", "unit": 3}]}))
    assert sorted(error.validator for error in found) == ["additionalProperties", "required"]
    assert all("unit" in error.message for error in found)


# ------------------------------------------------------------------------------ from the classes

VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        2,
        -1,
        0.5,
        -2.5,
        1.5e-300,
        "",
        "auto",
        "hann",
        "same",
        "SAME",
        "valid",
    ),
    *("relu", "zeros", "float16", "BFloat16", "mixed_float16", "channels_last", "int", "keras"),
    *([], [1], [0], [1, 2], [0.5], [None, 1], [[1, 2]], [["a"]], {}, {"a": 1}, [True], ["x"]),
    {"type": "relu"},
    {"type": "Relu"},
    {"type": "softmax", "axis": 0},
    {"type": "softmax", "axes": 0},
    {"type": "Zeros"},
    {"type": "RandomNormal", "stddev": 0.1, "seed": None},
    {"type": "RandomNormal", "stddev": -0.1},
    {"type": "VarianceScaling", "mode": "FAN_AVG"},
    {"type": "VarianceScaling", "mode": "fan"},
    {"type": "Sparse"},
    {"type": "LSTM", "units": 2},
    {"type": "LSTMCell", "units": 2},
    {"type": "Dense"},
    [{"type": "GRUCell", "units": 2}],
]


class OfSeveralArguments(errors.InvalidValue):
    """What only the class itself knows, which compares its arguments."""


def refused(read: Callable[[Networks], object]) -> list[errors.SpecError]:
    """What the reader has against the shape of some data."""

    def of_several(self: Networks, error: ArgumentError, *_: object) -> None:
        self.errors.report(str(error), kind=OfSeveralArguments)

    reader = Networks()
    with mock.patch.object(Networks, "invalid_argument", of_several):
        read(reader)
    return [error for error in reader.errors if not is_beyond_a_schema(error)]


def is_beyond_a_schema(error: errors.SpecError) -> bool:
    """Whether it is of several arguments, or about a name that a recipe might have."""
    is_name = isinstance(error, errors.UnknownName) and error.path[-1:] != ("type",)
    return isinstance(error, OfSeveralArguments) or (is_name and "initializer" in error.message)


@cache
def taken(type_: Any) -> list[Any]:
    """The values that the reader takes for an argument of that type."""
    return [v for v in VALUES if not refused(lambda r, v=v: r.value(type_, "a", v, ()))]  # type: ignore[misc]


def classes() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Whatever has arguments, by its name in the schema."""
    kinds: dict[str, dict[str, type[Any]]] = {
        "layer": known_layers(),
        "initializer": known_initializers(),
        "activation": known_activations(),
    }
    for kind, known in kinds.items():
        for name, cls in known.items():
            if f"{kind}.{name}" in SCHEMA["$defs"] and not issubclass(cls, Network):
                yield f"{kind}.{name}", cls


def test_an_argument_takes_the_values_that_the_reader_takes() -> None:
    arguments = [
        (argument.type, SCHEMA["$defs"][name]["properties"][argument.name])
        for name, cls in classes()
        for argument in arguments_of(cls)
    ]
    arguments += [
        (argument.type, SCHEMA["properties"][argument.name])
        for argument in arguments_of(Spec)
        if argument.name not in ("layers", "outputs", "initializers")
    ]
    tried: set[str] = set()
    for type_, found in arguments:
        rules = {key: each for key, each in found.items() if key not in ("default", "description")}
        if (key := f"{type_} {rules}") in tried:
            continue
        tried.add(key)
        validator = Draft202012Validator({**rules, "$defs": SCHEMA["$defs"]})
        for value in VALUES:
            wrong = refused(lambda r, t=type_, v=value: r.value(t, "a", v, ()))  # type: ignore[misc]
            assert validator.is_valid(value) is not bool(wrong), (type_, rules, value)
    assert len(tried) > 60


@st.composite
def mappings(draw: st.DrawFn) -> dict[str, Any]:
    """A layer with most of the arguments that it needs, of values that they take, and others."""
    name, cls = draw(st.sampled_from([each for each in classes() if issubclass(each[1], Layer)]))
    fields = {argument.name: argument for argument in arguments_of(cls)}
    data: dict[str, Any] = {"type": name.partition(".")[2]}
    for field in fields.values():
        if field.required and draw(st.integers(0, 19)):
            data[field.name] = draw(st.sampled_from(taken(field.type) or VALUES))
    others = [*fields, "kernel_regularizer", "bias_constraint", "activity_regularizer", "zzz"]
    for other in draw(st.lists(st.sampled_from([*others, "inputs", "reverse"]), max_size=3)):
        wanted = (taken(fields[other].type) if other in fields else []) or VALUES
        data[other] = draw(st.sampled_from(wanted if draw(st.integers(0, 4)) else VALUES))
    return data


@settings(max_examples=50, deadline=None)
@given(mappings())
def test_a_layer_is_valid_where_the_reader_takes_it(data: dict[str, Any]) -> None:
    wrong = refused(lambda reader: reader.layer(data, ()))
    found = [error.message for error in INNER_LAYER.iter_errors(data)]
    assert bool(found) is bool(wrong), (wrong, found)


def test_every_argument_has_a_description_of_one_sentence_or_more() -> None:
    for name, cls in (*classes(), ("spec", Spec)):
        for argument in arguments_of(cls):
            if cls is Spec and argument.name in ("layers", "outputs", "initializers"):
                continue  # described by the schema
            text = argument.description
            assert text.endswith("."), (name, argument.name)
            assert text[0] == text[0].upper(), (name, argument.name)
            definition = SCHEMA if cls is Spec else SCHEMA["$defs"][name]
            said = definition["properties"][argument.name]
            shared = SCHEMA["$defs"].get(said.get("$ref", "").removeprefix("#/$defs/"), {})
            assert (said.get("description") or shared["description"]).startswith(text)


def test_a_default_is_a_value_that_the_argument_takes_and_words_say_which() -> None:
    for name, definition in (("spec", SCHEMA), *SCHEMA["$defs"].items()):
        for argument, found in definition.get("properties", {}).items():
            if name in ("layer", "inner_layer"):
                continue  # which say what the type may be, and what is no argument
            target = SCHEMA["$defs"].get(found.get("$ref", "").removeprefix("#/$defs/"), {})
            assert found.get("description") or target.get("description"), (name, argument)
            if "default" in found:
                validator = Draft202012Validator({**found, "$defs": SCHEMA["$defs"]})
                assert validator.is_valid(found["default"]), (name, argument)
    dense = SCHEMA["$defs"]["layer.Dense"]
    assert dense["description"].startswith("A fully connected layer")
    use_bias, units = (
        SCHEMA["$defs"][dense["properties"][name]["$ref"].removeprefix("#/$defs/")]
        for name in ("use_bias", "units")  # which other layers have too
    )
    assert use_bias["default"] is True
    assert units["description"].endswith("A whole number of at least 1.")
    assert dense["required"] == ["units"]


def test_no_option_of_a_call_is_called_like_an_argument() -> None:
    """A layer within another takes arguments, and no options."""
    options = {option for cls in known_layers().values() for option in cls.takes().options}
    for cls in known_layers().values():
        assert not options & {field.encode_name for field in msgspec.structs.fields(cls)}


NEW_LAYER = """
import json
from initcli.layers import Layer
from initcli.sources.schema import schema
from initcli.types import PositiveInt

class Blur(Layer, frozen=True, kw_only=True):
    aliases = ("Smear",)
    width: PositiveInt

print(json.dumps(schema()))
"""


def test_a_new_layer_class_is_in_the_schema_with_no_other_edit() -> None:
    done = subprocess.run([sys.executable, "-c", NEW_LAYER], capture_output=True, check=True)
    validator = Draft202012Validator(json.loads(done.stdout))
    assert validator.is_valid({"layers": [{"type": "Blur", "width": 2}]})
    assert validator.is_valid({"layers": [{"type": "Smear", "width": 2, "name": "s"}]})
    assert not validator.is_valid({"layers": [{"type": "Blur", "width": 0}]})
    assert not validator.is_valid({"layers": [{"type": "Blur"}]})
    assert not SPEC.is_valid({"layers": [{"type": "Blur", "width": 2}]})


# ------------------------------------------------------------------------------- in an editor

SERVER = shutil.which("yaml-language-server")


class Editor:
    """A client of the YAML language server that most editors use."""

    def __init__(self, folder: Path) -> None:
        assert SERVER is not None
        self.folder = folder
        self.process = subprocess.Popen(
            [SERVER, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.asked = 0
        capabilities: Any = {"textDocument": {"hover": {}, "completion": {}}}
        root = {"processId": None, "rootUri": folder.as_uri(), "capabilities": capabilities}
        self.ask("initialize", root)
        self.tell("initialized", {})
        wanted = {"validate": True, "hover": True, "completion": True}
        own = {"yaml": {**wanted, "schemaStore": {"enable": False}}}
        self.tell("workspace/didChangeConfiguration", {"settings": own})

    def tell(self, method: str, params: Any, **more: Any) -> None:
        self.send({"method": method, "params": params, **more})

    def ask(self, method: str, params: Any) -> Any:
        self.asked += 1
        self.tell(method, params, id=self.asked)
        while (found := self.receive()).get("id") != self.asked or "method" in found:
            pass
        return found["result"]

    def underlined(self, name: str, text: str) -> list[str]:
        """What the editor says against a new file of that text."""
        uri = (self.folder / name).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        while True:
            found = self.receive()
            params = found.get("params") or {}
            if found.get("method") == "textDocument/publishDiagnostics" and params["uri"] == uri:
                return [each["message"] for each in params["diagnostics"]]

    def at(self, method: str, name: str, text: str) -> Any:
        """What it offers or says where the only ``|`` of a new file's text stands."""
        before, after = text.split("|")
        self.underlined(name, before + after)
        line = before.count("\n")
        position = {"line": line, "character": len(before) - before.rfind("\n") - 1}
        document = {"uri": (self.folder / name).as_uri()}
        return self.ask(f"textDocument/{method}", {"textDocument": document, "position": position})

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """The next message; what the server asks in turn is answered with nothing."""
        assert self.process.stdout is not None
        length = 0
        while line := self.process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the server has ended"
        found: dict[str, Any] = json.loads(self.process.stdout.read(length))
        if "method" in found and "id" in found:
            self.send({"id": found["id"], "result": None})
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.skipif(SERVER is None, reason="yaml-language-server is not installed")
def test_an_editor_completes_explains_and_underlines(tmp_path: Path) -> None:
    (tmp_path / "initcli.schema.json").write_text(schema_text(), "utf-8")
    tour = (SAMPLES / "tour.yaml").read_text("utf-8")
    dense = f"{tour}  - type: Dense\n    units: 3\n"
    editor = Editor(tmp_path)
    try:
        assert editor.underlined("tour.yaml", tour) == []
        wrong = tour.replace("pool_size", "pol_size")
        assert editor.underlined("typo.yaml", wrong) == ["Property pol_size is not allowed."]
        offered = editor.at("completion", "a.yaml", f"{dense}    kernel_initializer: |\n")
        assert {"he_normal", "Orthogonal"} <= {item["label"] for item in offered["items"]}
        offered = editor.at("completion", "b.yaml", f"{tour}  - type: |\n")
        assert {item["label"] for item in offered["items"]} == known_layers().keys()
        offered = editor.at("completion", "c.yaml", f"{dense}    |\n")
        labels = {item["label"] for item in offered["items"]}
        assert {"activation", "bias_initializer", "name", "inputs"} <= labels
        assert not {"filters", "repeat", "call"} & labels
        offered = editor.at("completion", "e.yaml", f"{tour}  - |\n")
        assert {"type", "repeat", "call"} <= {item["label"] for item in offered["items"]}
        said = editor.at("hover", "d.yaml", tour.replace("type: Flatten", "type: Fl|atten"))
        assert (known_layers()["Flatten"].__doc__ or "")[:20] in json.dumps(said)
    finally:
        editor.close()
