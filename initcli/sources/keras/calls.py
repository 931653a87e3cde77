"""Calls of layers in a Keras file: which tensors, among which other values.

A call has one form in files of Keras 3 and another in those of Keras 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from initcli.errors import Path, printable, quoted
from initcli.layers import Layer, known_layers
from initcli.layers.core import Opaque
from initcli.layers.network import Network
from initcli.layers.operations import Operation
from initcli.sources.keras.values import (
    NotRead,
    as_list,
    built_for,
    is_functional,
    layers_of,
    plain,
    shape_of,
    taken_by,
)


class TensorOf(NamedTuple):
    """One output of one call of a layer, and its shape where the file says it."""

    layer: str
    node: int
    output: int
    shape: tuple[int | None, ...] | None

    @property
    def reference(self) -> Any:
        name = call_name(self.layer, self.node)
        return {"layer": name, "output": self.output} if self.output else name


def call_name(layer: str, node: int) -> str:
    """What a call of a layer is called; only the first has the layer's own name."""
    return layer if not node else f"{layer} · call {node + 1}"


@dataclass
class CallArguments:
    """What a layer was called with: tensors among other values."""

    positional: list[Any] = field(default_factory=list)
    keywords: dict[str, Any] = field(default_factory=dict)
    is_one: bool = False
    """Whether what stands by place is all of it the first argument, as in Keras 2."""


ONE_INPUT = CallArguments([TensorOf("", 0, 0, None)])
"""What a layer of a Sequential model is called with."""


def call_of(data: Any, path: Path) -> CallArguments:
    """What one call was given: the two forms of Keras 3 and Keras 2."""
    if _is_of_keras_3(data):
        keywords = data.get("kwargs")
        return CallArguments(
            [_tensors(each) for each in as_list(data.get("args"))],
            {k: _tensors(v) for k, v in keywords.items()} if isinstance(keywords, Mapping) else {},
        )
    found = CallArguments(is_one=True)
    inputs = list(data.values()) if isinstance(data, Mapping) else as_list(data)
    if inputs and isinstance(inputs[0], str):
        inputs = [inputs]
    for each in inputs:
        if not (isinstance(each, list) and len(each) >= 3):
            raise NotRead(f"{quoted(each)} names no output of a layer", path)
        name, node, output, *rest = each
        if name == "_CONSTANT_VALUE":
            found.positional.append(plain(output))
        elif isinstance(name, str) and _is_index(node) and _is_index(output):
            found.positional.append(TensorOf(name, node, output, None))
        else:
            raise NotRead(f"{quoted(each)} names no output of a layer", path)
        if rest and isinstance(rest[0], Mapping):
            found.keywords.update({k: _old_tensors(v) for k, v in rest[0].items()})
    return found


def _is_of_keras_3(call: Any) -> bool:
    return isinstance(call, Mapping) and ("args" in call or "kwargs" in call)


def _is_index(value: Any) -> bool:
    return type(value) is int and value >= 0


def _tensors(value: Any) -> Any:
    """A value of Keras 3 with its tensors in place."""
    if isinstance(value, list):
        return [_tensors(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    config = value.get("config")
    if value.get("class_name") == "__keras_tensor__" and isinstance(config, Mapping):
        match config.get("keras_history"):
            case [str(name), int(node), int(output)] if node >= 0 and output >= 0:
                return TensorOf(name, node, output, shape_of(config.get("shape")))
        return None
    if "class_name" in value:
        return plain(value)
    return {key: _tensors(each) for key, each in value.items()}


def _old_tensors(value: Any) -> Any:
    """A keyword of Keras 2 with its tensors in place: lists of a name and two numbers."""
    match value:
        case [str(name), int(node), int(output)] if node >= 0 and output >= 0:
            return TensorOf(name, node, output, None)
        case list():
            return [_old_tensors(each) for each in value]
        case {"class_name": _}:
            return plain(value)
        case dict():
            return {key: _old_tensors(each) for key, each in value.items()}
    return value


def _flat(value: Any) -> Iterator[TensorOf]:
    """The tensors in a value, those of a mapping in the order of its keys."""
    if isinstance(value, TensorOf):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _flat(each)
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flat(value[key])


Nodes = dict[str, list[CallArguments]]


def numbered_from_zero(
    nodes: Nodes, ends: dict[str, list[TensorOf]], layers: Mapping[str, Mapping[str, Any]]
) -> tuple[Nodes, dict[str, list[TensorOf]]]:
    """The same with every layer's calls numbered from 0; ``layers`` is what the file says of them.

    A model that is a layer comes with a call of its own, of its Input, which no file lists. Keras 2
    counts it everywhere (``reconstruct_from_config``), for any model that begins with an input.
    Keras 3 counts it for Functional models, and only where a model names its inputs and outputs
    (``functional_from_config``).
    """
    calls = [call for data in layers.values() for call in as_list(data.get("inbound_nodes"))]
    is_keras_3 = any(_is_of_keras_3(call) for call in calls)
    late = {name for name, data in layers.items() if is_functional(data)}
    late_in_calls: set[str] = set()
    if not is_keras_3:
        stacks = {name for name, data in layers.items() if layers_of(data) and taken_by(data)}
        late = late_in_calls = late | stacks

    def moved(value: Any, from_one: set[str]) -> Any:
        if isinstance(value, TensorOf) and value.layer in from_one:
            # Python takes what Keras 3 makes of a 0 there, which is -1, for the last.
            last = len(nodes[value.layer]) - 1
            return value._replace(node=value.node - 1 if value.node or not is_keras_3 else last)
        if isinstance(value, list):
            return [moved(each, from_one) for each in value]
        if isinstance(value, dict):
            return {key: moved(each, from_one) for key, each in value.items()}
        return value

    found: Nodes = {name: [] for name in nodes}
    for name, given in nodes.items():
        for call in given:
            positional = moved(call.positional, late_in_calls)
            keywords = moved(call.keywords, late_in_calls)
            found[name].append(CallArguments(positional, keywords, call.is_one))
    return found, {key: moved(given, late) for key, given in ends.items()}


def require_calls(nodes: Nodes, taken: Any, path: Path) -> None:
    """Raise NotRead where an output is taken of a call that no layer of those has."""
    for tensor in _flat(taken):
        calls = len(nodes.get(tensor.layer, ())) or 1
        if tensor.layer in nodes and not 0 <= tensor.node < calls:
            times = "once" if calls == 1 else f"{calls:,} times"
            raise NotRead(
                f"{quoted(tensor.layer)} is called {times} here, and this takes what comes out of "
                f"its call number {tensor.node + 1:,}",
                path,
                "save the model anew: its calls are numbered as no Keras numbers them",
            )


def recorded_shapes(
    nodes: Mapping[str, list[CallArguments]], layers: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, int], dict[int, tuple[int | None, ...]]]:
    """The shapes of outputs, as those say that take them."""
    found: dict[tuple[str, int], dict[int, tuple[int | None, ...]]] = {}
    for name, calls in nodes.items():
        for number, call in enumerate(calls):
            taken = list(_flat([call.positional, call.keywords]))
            for tensor in taken:
                shape = tensor.shape
                if shape is None and not number and len(taken) == 1:
                    shape = built_for(layers[name])
                if shape is not None:
                    found.setdefault((tensor.layer, tensor.node), {})[tensor.output] = shape
    return found


def inputs_of(call: CallArguments, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs and options of a call of that layer."""
    cls = known_layers()[entry["type"]]
    takes = cls.takes()
    masks: dict[str, TensorOf] = {}
    if issubclass(cls, Operation):
        tensors = list(_flat([call.positional, *call.keywords.values()]))
    elif issubclass(cls, Opaque):
        tensors = list(_flat([call.positional, call.keywords]))
    elif issubclass(cls, Network):
        # The mask that a network is called with is the one that its inputs carry.
        keywords = {key: value for key, value in call.keywords.items() if key != "mask"}
        tensors = list(_flat([call.positional, keywords]))
    else:
        call, masks = _apart(call, cls)
        tensors = list(_flat(call.positional))
        slots: dict[str, TensorOf] = dict(zip(takes.names, tensors, strict=False))
        by_name = [name for name in takes.names if isinstance(call.keywords.get(name), TensorOf)]
        if by_name:
            slots |= {name: call.keywords[name] for name in by_name}
            last = max(takes.names.index(name) for name in slots)
            first = next(iter(slots.values()))
            tensors = [slots.get(name, first) for name in takes.names[: last + 1]]
        if not tensors:
            # The first argument by its own name, such as `inputs` or `sequences`.
            tensors = [v for v in call.keywords.values() if isinstance(v, TensorOf)][:1]
        tensors += _flat(call.keywords.get("initial_state"))
    found: dict[str, Any] = {"inputs": [tensor.reference for tensor in tensors]}
    for option in takes.options:
        if isinstance(call.keywords.get(option), bool):
            found[option] = call.keywords[option]
    if masks:
        found["masks"] = {name: tensor.reference for name, tensor in masks.items()}
    return found


def _apart(call: CallArguments, cls: type[Layer]) -> tuple[CallArguments, dict[str, TensorOf]]:
    """A call without the masks that it names, and these."""
    positional, keywords = list(call.positional), dict(call.keywords)
    found: dict[str, Any] = {}
    if isinstance(several := keywords.get("mask"), list):
        # One argument for the masks of several inputs.
        found.update(zip(cls.takes_masks, several, strict=False))
        del keywords["mask"]
    for name, place in cls.takes_masks.items():
        if place < len(positional) and not call.is_one:
            given, positional[place] = positional[place], None
            if isinstance(given, list):
                found.update(zip(cls.takes_masks, given, strict=False))
            else:
                found[name] = given
        if name in keywords:
            found[name] = keywords.pop(name)
    masks = {name: each for name, each in found.items() if isinstance(each, TensorOf)}
    return CallArguments(positional, keywords), masks


def operation_of(
    function: str,
    config: Mapping[str, Any],
    call: CallArguments | None,
    shapes: Sequence[tuple[int | None, ...]],
) -> dict[str, Any]:
    """An operation on tensors, with its arguments beside those of its call."""
    call = call or CallArguments()
    order: list[TensorOf] = []

    def placed(value: Any) -> Any:
        if isinstance(value, TensorOf):
            order.append(value)
            return {"input": len(order) - 1}
        if isinstance(value, list):
            return [placed(each) for each in value]
        return plain(value)

    positional = [placed(each) for each in call.positional]
    keywords = {key: placed(each) for key, each in call.keywords.items()}
    own = {key: plain(value) for key, value in config.items() if key != "name"}
    return {
        "type": "Operation",
        "function": printable(function),
        "arguments": positional,
        "keywords": {**own, **keywords},
        "shapes": [list(shape) for shape in shapes],
    }


def ends_of(value: Any) -> Iterator[TensorOf]:
    """The inputs or outputs of a network: one, a list, or a mapping of them."""
    match value:
        case [str(name), int(node), int(output)] if node >= 0 and output >= 0:
            yield TensorOf(name, node, output, None)
        case list():
            for each in value:
                yield from ends_of(each)
        case dict():
            for key in sorted(value):
                yield from ends_of(value[key])
