"""What holds for every spec that can be made of the layers there are, whatever their arguments."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

import initcli
from initcli.activations import Activation
from initcli.initializers import Initializer
from initcli.layers import Layer, known_layers
from initcli.layers.core import Input
from initcli.layers.network import Network
from initcli.registry import public_subclasses
from initcli.reports.record import json_text
from initcli.reports.summary import SummaryReport
from initcli.types import arguments_of
from support.layers import layer_cases

Data = Any
NONSENSE: st.SearchStrategy[Data] = st.sampled_from(
    [None, -1, 0, 1.5, 10**30, "x", [], {}, [[]], True, [1, None]]
)
ACTIVATIONS = st.sampled_from(["relu", "tanh", "linear", "softmax", {"type": "elu", "alpha": 0.5}])
INITIALIZERS = st.sampled_from(
    [
        "zeros",
        "he_normal",
        "orthogonal",
        {"type": "Constant", "value": 0.5},
        {"type": "VarianceScaling", "mode": "fan_out", "distribution": "uniform"},
        {"type": "RandomNormal", "stddev": 0.1, "seed": 1},
    ]
)


def values(kind: Any, depth: int) -> st.SearchStrategy[Data]:
    """Plain data that a field of that type admits, small as far as sizes go."""
    match kind:
        case inspect.IntType():
            return st.integers(1 if kind.ge is None else kind.ge, 4 if kind.le is None else kind.le)
        case inspect.FloatType():
            return st.floats(0.01, 0.99)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.UnionType():
            return st.one_of([values(each, depth) for each in kind.types])
        case inspect.TupleType():
            return st.tuples(*(values(each, depth) for each in kind.item_types)).map(list)
        case inspect.VarTupleType() | inspect.ListType():
            return st.lists(values(kind.item_type, depth), min_size=1, max_size=3)
        case inspect.StructType() if issubclass(kind.cls, Initializer):
            return INITIALIZERS
        case inspect.StructType() if issubclass(kind.cls, Activation):
            return ACTIVATIONS
        case inspect.StructType() if issubclass(kind.cls, Layer) and depth:
            return layers(depth - 1)
    return st.sampled_from(["a", "relu", "abc->bc"]) | NONSENSE


@cache
def fields(cls: type[msgspec.Struct]) -> dict[str, tuple[Any, bool]]:
    """The types of a class's arguments by name, and whether they have to be given."""
    found: dict[str, tuple[Any, bool]] = {}
    for field in arguments_of(cls):
        if field.type in (Initializer, Initializer | None, Activation, Layer):
            base = field.type if isinstance(field.type, type) else Initializer
            kind: Any = inspect.StructType(base, ())
        elif "Layer" in str(field.type):
            kind = inspect.StructType(Layer, ())
        else:
            kind = inspect.type_info(field.type)
        found[field.name] = (kind, field.required)
    return found


@st.composite
def layers(draw: st.DrawFn, depth: int = 1) -> Data:
    """An entry of a spec: a layer of any type with some of its arguments."""
    cls = draw(st.sampled_from(TYPES))
    entry: dict[str, Data] = {"type": cls.__name__}
    optional = [name for name, (_, required) in fields(cls).items() if not required]
    given = draw(st.lists(st.sampled_from(optional), max_size=2, unique=True))
    for name, (kind, required) in fields(cls).items():
        if name in ("name", "dtype") or not (required or name in given):
            continue
        wrong = draw(st.integers(0, 19)) == 0
        entry[name] = draw(NONSENSE if wrong else values(kind, depth))
    return entry


TYPES = [cls for cls in public_subclasses(Layer) if not issubclass(cls, Network | Input)]


def _cases() -> dict[str, list[tuple[list[int | None], dict[str, Data]]]]:
    """Shapes and arguments that go together, of layers that take one input."""
    found: dict[str, list[tuple[list[int | None], dict[str, Data]]]] = {}
    for kind, cases in layer_cases().items():
        for shape, arguments in cases:
            if not any(isinstance(size, list) for size in shape):
                found.setdefault(kind, []).append((shape, arguments))
    return found


CASES = _cases()


@st.composite
def stacks(draw: st.DrawFn) -> tuple[list[int | None], Data]:
    """A shape and a layer that takes it, of the reference cases, perhaps with one change."""
    kind = draw(st.sampled_from(sorted(CASES)))
    shape, arguments = draw(st.sampled_from(CASES[kind]))
    cls = known_layers()[kind]
    entry = {"type": kind, **arguments}
    if draw(st.booleans()):
        name = draw(st.sampled_from(sorted(fields(cls))))
        kinds = fields(cls)[name][0]
        if name not in ("name", "dtype"):
            entry[name] = draw(st.one_of(values(kinds, 1), values(kinds, 1), NONSENSE))
    return shape, entry


TAKING_ALL = st.sampled_from(
    [
        {"type": "ReLU"},
        {"type": "Dropout", "rate": 0.5},
        {"type": "LayerNormalization"},
        {"type": "Flatten"},
        {"type": "Activation", "activation": "tanh"},
    ]
)


@st.composite
def graphs(draw: st.DrawFn) -> Data:
    """A spec of layers that take one another's outputs, of blocks, calls and networks."""
    shape, first = draw(stacks())
    entries: list[Data] = [first]
    for number in range(draw(st.integers(0, 3))):
        entry: Data = draw(layers()) if draw(st.integers(0, 4)) == 0 else draw(TAKING_ALL)
        names = [each["name"] for each in entries if "name" in each]
        form = draw(st.integers(0, 9))
        if form == 0:
            entry = {"repeat": draw(st.integers(1, 3)), "layers": [entry, draw(TAKING_ALL)]}
        elif form == 1 and names:
            entry = {"call": draw(st.sampled_from(names))}
        elif form == 2:
            entry = {"type": "Sequential", "layers": [entry]}
        elif form == 3 and names:
            entry = {"type": "Add", "inputs": [names[-1], draw(st.sampled_from(names))]}
        elif form == 4 and names:
            entry = {**entry, "inputs": draw(st.sampled_from([*names, "nobody"]))}
        entries.append({**entry, "name": f"layer{number}"} if draw(st.booleans()) else entry)
    return {"input_shape": shape, "layers": entries}


def held(model: initcli.Model) -> None:
    """What holds for every model."""
    report = json.loads(json_text(SummaryReport.of(model, initcli.theory(model))))
    assert report["totals"]["params"] == sum(tensor["size"] for tensor in report["tensors"])
    assert report["totals"]["params"] == sum(layer["params"] for layer in report["layers"])
    assert len({layer["name"] for layer in report["layers"]}) == len(report["layers"])
    assert len({tensor["path"] for tensor in report["tensors"]}) == len(report["tensors"])


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_layers_with_any_arguments_are_a_model_or_errors_with_a_place(spec: Data) -> None:
    try:
        model = initcli.parse(json.dumps(spec))
    except initcli.InvalidSpec as invalid:
        without = [error.message for error in invalid.errors if error.place is None]
        if without or not invalid.errors:
            pytest.fail(f"errors without a place: {without}")
        return
    held(model)
    again = initcli.parse(json.dumps(spec))
    assert again.parameters == model.parameters


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(stacks(), st.integers(1, 3))
def test_a_block_that_repeats_is_that_block_written_out(
    drawn: tuple[list[int | None], Data], repeat: int
) -> None:
    shape, entry = drawn
    inner = [entry, {"type": "Dense", "units": 2}]
    short = [{"name": "b", "repeat": repeat, "layers": inner}]
    long = [{"name": f"b_{number}", "layers": inner} for number in range(repeat)]
    found: list[Data] = []
    for entries in (short, long):
        try:
            model = initcli.parse(json.dumps({"input_shape": shape, "layers": entries}))
        except initcli.InvalidSpec:
            found.append(None)
        else:
            found.append([(p.path, p.shape, str(p.initializer)) for p in model.parameters])
    assert found[0] == found[1]
