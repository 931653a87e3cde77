"""Calls of layers in a Keras file: tensors and other arguments.

Keras 3 writes a call as ``args`` and ``kwargs`` that contain tensors, Keras 2 as a list of tensors
(layer, call, output) and keywords.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    as_mapping_or_empty,
    as_name,
    built_for,
    is_functional,
    layers_of,
    plain,
    shape_of,
    taken_by,
)
from initcli.types import Shape


class TensorOf(NamedTuple):
    """One output of one call of a layer, and its shape if the file records it."""

    layer: str
    node: int
    output: int
    shape: Shape | None = None

    @property
    def reference(self) -> Any:
        name = call_name(self.layer, self.node)
        return {"layer": name, "output": self.output} if self.output else name


def call_name(layer: str, node: int) -> str:
    """The name of a call; the first has the layer's own."""
    return layer if not node else f"{layer} · call {node + 1}"


@dataclass
class CallArguments:
    """The arguments of one call: tensors and other values.

    ``is_one`` is whether all positional tensors are one argument, as in Keras 2.
    """

    positional: list[Any] = field(default_factory=list)
    keywords: dict[str, Any] = field(default_factory=dict)
    is_one: bool = False

    @property
    def tensors(self) -> list[TensorOf]:
        """The tensors; those of keywords are sorted by name."""
        return list(_flat([self.positional, self.keywords]))


ONE_INPUT = CallArguments([TensorOf("", 0, 0)])
"""The call of a layer of a Sequential model."""


def call_of(data: Any, path: Path) -> CallArguments:
    """The arguments of one call.

    Raises:
        NotRead: the arguments do not name outputs of layers.
    """
    if _is_of_keras_3(data):
        keywords = as_mapping_or_empty(data.get("kwargs"))
        arguments = [_tensors(each) for each in as_list(data.get("args"))]
        return CallArguments(arguments, _tensors(dict(keywords)))
    call = CallArguments(is_one=True)
    inputs = list(data.values()) if isinstance(data, Mapping) else as_list(data)
    if inputs and isinstance(inputs[0], str):
        inputs = [inputs]
    for each in inputs:
        match each:
            case ["_CONSTANT_VALUE", _, value, *rest]:
                call.positional.append(plain(value))
            case [str(name), int(node), int(output), *rest] if node >= 0 and output >= 0:
                call.positional.append(TensorOf(name, node, output))
            case _:
                raise NotRead(f"{quoted(each)} is not an output of a layer", path)
        call.keywords |= _tensors(dict(as_mapping_or_empty(rest[0] if rest else None)))
    return call


def _is_of_keras_3(call: Any) -> bool:
    return isinstance(call, Mapping) and ("args" in call or "kwargs" in call)


def _tensors(value: Any) -> Any:
    """A value with the tensors in it, which Keras 2 and Keras 3 write differently."""
    match value:
        case {"class_name": "__keras_tensor__", "config": dict(config)}:
            match config.get("keras_history"):
                case [str(name), int(node), int(output)] if node >= 0 and output >= 0:
                    return TensorOf(name, node, output, shape_of(config.get("shape")))
            return None
        case [str(name), int(node), int(output)] if node >= 0 and output >= 0:
            return TensorOf(name, node, output)
        case {"class_name": _}:
            return plain(value)
        case list():
            return [_tensors(each) for each in value]
        case dict():
            return {key: _tensors(each) for key, each in value.items()}
    return value


def _flat(value: Any) -> Iterator[TensorOf]:
    """The tensors in a value; those of a mapping are sorted by key."""
    if isinstance(value, TensorOf):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _flat(each)
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flat(value[key])


def ends_of(value: Any) -> list[TensorOf]:
    """The inputs or outputs of a network: one, a list, or a mapping of them."""
    return list(_flat(_tensors(value)))


Nodes = dict[str, list[CallArguments]]
"""The calls of each layer."""


def numbered_from_zero(
    nodes: Nodes, ends: dict[str, list[TensorOf]], layers: Mapping[str, Mapping[str, Any]]
) -> tuple[Nodes, dict[str, list[TensorOf]]]:
    """Nodes and ends with the calls of each layer numbered from 0; ``layers`` is their data.

    A model that is a layer has an implicit first call, on its Input, which no file lists. Keras 2
    counts it everywhere, for any model that begins with an input (``reconstruct_from_config``).
    Keras 3 counts it for Functional models, and only in the inputs and outputs of a model
    (``functional_from_config``).
    """
    calls = [call for data in layers.values() for call in as_list(data.get("inbound_nodes"))]
    is_keras_3 = any(_is_of_keras_3(call) for call in calls)
    late = {name for name, data in layers.items() if is_functional(data)}
    if not is_keras_3:
        late |= {name for name, data in layers.items() if layers_of(data) and taken_by(data)}

    def moved(value: Any) -> Any:
        if isinstance(value, TensorOf) and value.layer in late:
            # Keras 3 converts 0 to the index -1 here, that of the last call.
            last = len(nodes[value.layer]) - 1
            return value._replace(node=value.node - 1 if value.node or not is_keras_3 else last)
        if isinstance(value, list):
            return [moved(each) for each in value]
        if isinstance(value, dict):
            return {key: moved(each) for key, each in value.items()}
        return value

    if not is_keras_3:
        nodes = {
            name: [
                CallArguments(moved(call.positional), moved(call.keywords), call.is_one)
                for call in given
            ]
            for name, given in nodes.items()
        }
    return nodes, {key: moved(given) for key, given in ends.items()}


def require_calls(nodes: Nodes, taken: Iterable[TensorOf], path: Path) -> None:
    """Require that each tensor is the output of a call that exists."""
    for tensor in taken:
        calls = len(nodes.get(tensor.layer, ())) or 1
        if tensor.layer in nodes and not 0 <= tensor.node < calls:
            times = "once" if calls == 1 else f"{calls:,} times"
            raise NotRead(
                f"{quoted(tensor.layer)} is called {times} here, but this takes the output of its "
                f"call number {tensor.node + 1:,}",
                path,
                "save the model again: no version of Keras writes such numbers",
            )


def recorded_shapes(
    nodes: Nodes, layers: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, int], dict[int, Shape]]:
    """The shapes of outputs by layer and call, which the calls that take them record."""
    shapes: dict[tuple[str, int], dict[int, Shape]] = {}
    for name, calls in nodes.items():
        for number, call in enumerate(calls):
            taken = call.tensors
            for tensor in taken:
                shape = tensor.shape
                if shape is None and not number and len(taken) == 1:
                    shape = built_for(layers[name])
                if shape is not None:
                    shapes.setdefault((tensor.layer, tensor.node), {})[tensor.output] = shape
    return shapes


def inputs_of(call: CallArguments, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs, masks and options of a call of a layer, as keys of an entry of a spec."""
    cls = known_layers()[entry["type"]]
    takes = cls.takes()
    masks: dict[str, TensorOf] = {}
    if issubclass(cls, Operation):
        tensors = list(_flat([call.positional, *call.keywords.values()]))
    elif issubclass(cls, Opaque):
        tensors = call.tensors
    elif issubclass(cls, Network):
        # A network uses the masks of its inputs.
        keywords = {key: value for key, value in call.keywords.items() if key != "mask"}
        tensors = list(_flat([call.positional, keywords]))
    else:
        call, masks = _without_masks(call, cls)
        tensors = list(_flat(call.positional))
        slots: dict[str, TensorOf] = dict(zip(takes.names, tensors, strict=False))
        by_name = {n: t for n in takes.names if isinstance(t := call.keywords.get(n), TensorOf)}
        if by_name:
            slots |= by_name
            last = max(takes.names.index(name) for name in slots)
            first = next(iter(slots.values()))
            tensors = [slots.get(name, first) for name in takes.names[: last + 1]]
        if not tensors:
            # The first argument by its own name, such as `inputs` or `sequences`.
            tensors = [v for v in call.keywords.values() if isinstance(v, TensorOf)][:1]
        tensors += _flat(call.keywords.get("initial_state"))
    options = {name: call.keywords.get(name) for name in takes.options}
    named: dict[str, Any] = {"inputs": [tensor.reference for tensor in tensors]}
    named |= {name: value for name, value in options.items() if isinstance(value, bool)}
    if masks:
        named["masks"] = {name: tensor.reference for name, tensor in masks.items()}
    return named


def _without_masks(
    call: CallArguments, cls: type[Layer]
) -> tuple[CallArguments, dict[str, TensorOf]]:
    """A call without its masks, and the masks."""
    positional, keywords = list(call.positional), dict(call.keywords)
    masks: dict[str, Any] = {}
    if isinstance(several := keywords.get("mask"), list):
        # One argument for the masks of several inputs.
        masks |= zip(cls.takes_masks, several, strict=False)
        del keywords["mask"]
    for name, place in cls.takes_masks.items():
        if place < len(positional) and not call.is_one:
            given, positional[place] = positional[place], None
            if isinstance(given, list):
                masks |= zip(cls.takes_masks, given, strict=False)
            else:
                masks[name] = given
        if name in keywords:
            masks[name] = keywords.pop(name)
    masks = {name: each for name, each in masks.items() if isinstance(each, TensorOf)}
    return CallArguments(positional, keywords), masks


def operation_of(
    function: str, config: Mapping[str, Any], call: CallArguments | None, shapes: Sequence[Shape]
) -> dict[str, Any]:
    """The entry of an operation on tensors, with its own arguments and those of its call."""
    call = call or CallArguments()
    inputs = 0

    def placed(value: Any) -> Any:
        nonlocal inputs
        if isinstance(value, TensorOf):
            inputs += 1
            return {"input": inputs - 1}
        return [placed(each) for each in value] if isinstance(value, list) else plain(value)

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


# TensorFlow functions in files of Keras 2, under the names of operations of Keras 3

_NAMES = {
    "reduce_variance": "Var",
    "concat": "Concatenate",
    "sub": "Subtract",
    "mul": "Multiply",
    "pow": "Power",
    "neg": "Negative",
    "truediv": "Divide",
    "floordiv": "FloorDivide",
    "getitem": "GetItem",
    "gather": "Take",
    "clip_by_value": "Clip",
    "l2_normalize": "Normalize",
    "shape": "ShapeOf",
    "rank": "SizeOf",
    "size": "SizeOf",
    "eq": "Equal",
    "ne": "NotEqual",
    "add_n": "Add",
    "floor_div": "FloorDivide",
    "floormod": "Mod",
    "atan2": "Arctan2",
    "reverse": "Flip",
    "bias_add": "Add",
    "clip_by_norm": "Clip",
}
_KEYWORDS = {
    "perm": "axes",
    "paddings": "pad_width",
    "multiples": "repeats",
    "num_or_size_splits": "indices_or_sections",
    "depth": "num_classes",
    "equation": "subscripts",
    "slice_spec": "key",
    "keep_dims": "keepdims",
}


def operation_of_tensorflow(
    kind: str, config: Mapping[str, Any], call: CallArguments, shapes: Sequence[Shape], path: Path
) -> dict[str, Any]:
    """The entry of a TensorFlow function."""
    function, keywords = _of_tensorflow(config, call.keywords)
    call = CallArguments(call.positional, keywords)
    return {**operation_of(as_name(function, path), {}, call, shapes), "kind": kind}


def _of_tensorflow(
    config: Mapping[str, Any], keywords: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The operation and keywords of a function such as ``math.reduce_mean``.

    A function without a counterpart keeps its name; its output has the recorded shape.
    """
    function = config.get("function")
    full = function if isinstance(function, str) else str(config.get("name", "operation"))
    last = full.rpartition(".")[2]
    words = last.removeprefix("reduce_").split("_")
    name = _NAMES.get(last, "".join(word.capitalize() for word in words))
    given = {_KEYWORDS.get(key, key): value for key, value in keywords.items()}
    if name == "Reshape" and "shape" in given:
        given["newshape"] = given.pop("shape")
    sections = given.get("indices_or_sections")
    if name == "Split" and isinstance(sections, list):
        # TensorFlow takes the sizes of the parts, and Keras the indices of their ends.
        ends: list[int] = []
        for size in sections[:-1]:
            if not isinstance(size, int):
                return full, given
            ends.append((ends[-1] if ends else 0) + size)
        given["indices_or_sections"] = ends
    return name or full, given
