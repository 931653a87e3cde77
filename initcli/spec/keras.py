"""Keras models' own JSON to the plain data of a spec. Nothing in a file is ever run.

Read are the texts of ``to_json()`` and the ``config.json`` of a ``.keras`` archive, of Keras 3
(https://keras.io/api/models/model_saving_apis) and of Keras 2. What only its author's code can
compute becomes an Opaque layer, whose output has the shape that its neighbours recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple

import msgspec

from initcli.activations import Activation, known_activations
from initcli.errors import InvalidValue, Path, listed, printable, quoted
from initcli.initializers import Initializer, known_initializers
from initcli.layers import Layer, known_layers
from initcli.layers.core import Input, Opaque
from initcli.layers.network import Functional, Network, Sequential
from initcli.layers.operations import Operation
from initcli.spec.document import Document, Origin
from initcli.spec.tensorflow import operation_of_tensorflow

_KERAS = ("keras", "tf_keras", "tensorflow")
_HUB = ("keras_hub", "keras_nlp")
_FROM_HUB = ("PositionEmbedding", "ReversibleEmbedding")
_STAND_FOR_NETWORKS = {"Functional": Functional, "Model": Functional, "Sequential": Sequential}

_OLD = {
    "SyncBatchNormalization": "BatchNormalization",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "LSTMV2": "LSTM",
    "GRUV2": "GRU",
}
"""Layers of Keras 2 that are others in Keras 3."""
_PASSING_ON = ("ThresholdedReLU", "AddLoss", "AddMetric")
"""Layers of Keras 2 that are gone, and that kept the shape of their input."""
_RENAMED = {
    ("LeakyReLU", "alpha"): "negative_slope",
    ("Attention", "causal"): "",
    ("ReLU", "alpha"): "negative_slope",
    ("GroupNormalization", "scale_"): "",
}
"""Arguments of Keras 2 under the names of Keras 3; none where they are gone."""
_SILENT = frozenset(
    """adjustment autocast batch_input_shape batch_shape batch_size build_config causal class_name
    experimental_run_tf_function filters fused gptq_unpacked_column_size groups implementation
    input_dim input_dtype input_length input_shape kernel_initializer key_shape noise_shape optional
    quantization_config query_shape ragged sparse stateful supports_masking synchronized
    seed time_major unroll use_cudnn value_shape virtual_batch_size weights zero_output_for_mask
    output_shape _build_input_shape _build_shapes_dict""".split()  # noqa: SIM905
)
"""Keys of a configuration that say nothing of shapes or of first weights where no argument does."""


class NotRead(Exception):
    """A part of the file that is no Keras model, and where it stands."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


def is_keras(data: Any) -> bool:
    """Whether plain data is a Keras model's, and no spec."""
    return _at_root(data) is not None


def _at_root(data: Any) -> Path | None:
    """Where in a file's data its model stands: TensorFlow.js puts others around it."""
    for path in ((), ("model_config",), ("modelTopology",), ("modelTopology", "model_config")):
        found = data
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping) and "class_name" in found and "config" in found:
            return path
    return None


def from_keras(document: Document) -> Document:
    """The spec that says what a Keras model's JSON says.

    Raises:
        InvalidSpec: it is no model whose layers could be read.
    """
    at = _at_root(document.data) or ()
    model = document.data
    for key in at:
        model = model[key]
    translation = _Translation(model)
    try:
        data = translation.network(model, at, ())
    except NotRead as error:
        raise document.invalid([InvalidValue(str(error), path=error.path)]) from None
    # What a network says of itself as one layer of another.
    data.pop("trainable", None)
    origins = {path: Origin(document, source) for path, source in translation.origins.items()}
    return replace(
        document,
        data=data,
        origins=origins,
        dialect="keras",
        notes=tuple(dict.fromkeys([*translation.notes, *_notes(translation.unknown)])),
    )


def _notes(unknown: Sequence[tuple[str, str, bool]]) -> Iterator[str]:
    """What there is to say of layers that are code of their author, once for each type."""
    alike: dict[tuple[str, bool], list[str]] = {}
    for name, kind, known in unknown:
        alike.setdefault((kind, known), []).append(name)
    for (kind, known), names in alike.items():
        more = len(names) - _NAMED
        shown = names if more <= 0 else [*names[:_NAMED], f"{more} more"]
        shape = "the shape of what comes out is the recorded one"
        said = [shape if known else "what comes out is not known"]
        if kind != "Lambda":
            said.append("weights of its own, if there are any, are not counted")
        yield (
            f"{listed(shown, 'and')} ({kind}): its author's own code, which is not run; "
            f"{'; '.join(said)}"
        )


_NAMED = 5
"""Layers of one type that a note names."""


class _Tensor(NamedTuple):
    """One output of one call of a layer, and its shape where the file says it."""

    layer: str
    node: int
    output: int
    shape: tuple[int | None, ...] | None

    @property
    def reference(self) -> Any:
        name = _call_name(self.layer, self.node)
        return {"layer": name, "output": self.output} if self.output else name


def _call_name(layer: str, node: int) -> str:
    """What a call of a layer is called; only the first has the layer's own name."""
    return layer if not node else f"{layer} · call {node + 1}"


@dataclass
class _Arguments:
    """What a layer was called with: tensors among other values."""

    positional: list[Any] = field(default_factory=list)
    keywords: dict[str, Any] = field(default_factory=dict)


_ONE_INPUT = _Arguments([_Tensor("", 0, 0, None)])
"""What a layer of a Sequential model is called with."""


class _Translation:
    """Walks a model's JSON; paths of what it makes lead back to the file by ``origins``."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        version = model.get("keras_version")
        self.is_old = isinstance(version, str) and version.startswith(("1.", "2."))
        self.origins: dict[Path, Path] = {}
        self.notes: list[str] = []
        # Layers of an author's own: their names, their types, and whether a shape is recorded.
        self.unknown: list[tuple[str, str, bool]] = []

    def network(self, data: Any, source: Path, target: Path) -> dict[str, Any]:
        """The mapping of a whole network."""
        data = _mapping(data, source, "a Keras model")
        config, at = data.get("config"), (*source, "config")
        layers: Any = config
        if isinstance(config, Mapping):
            layers, at = config.get("layers"), (*at, "layers")
        else:
            config = {}
        name = data.get("class_name")
        if not isinstance(layers, list):
            raise NotRead(
                f"{quoted(name)} has no list of layers: only Sequential and Functional models say "
                "in their JSON what they are made of",
                at,
            )
        self.origins[target] = (*source, "config")
        self.origins[(*target, "layers")] = at
        functional = any(isinstance(each, Mapping) and "inbound_nodes" in each for each in layers)
        made = self._functional if functional else self._sequential
        found = made(config, layers, at, target)
        self.origins[(*target, "type")] = (*source, "class_name")
        if isinstance(own := config.get("name"), str):
            found["name"] = own
        if config.get("trainable") is False:
            found["trainable"] = False
        return found

    # Sequential models

    def _sequential(
        self, config: Mapping[str, Any], layers: list[Any], at: Path, target: Path
    ) -> dict[str, Any]:
        entries: list[dict[str, Any]] = []
        for index, data in enumerate(layers):
            data = _mapping(data, (*at, index), "a layer")
            inner = data.get("config")
            inner = inner if isinstance(inner, Mapping) else {}
            if not entries and data.get("class_name") != "InputLayer":
                shape = _shape(inner.get("batch_input_shape") or inner.get("batch_shape"))
                shape = shape or _shape(config.get("build_input_shape")) or _built(data)
                if shape is not None:
                    entries.append(_input(shape, inner.get("dtype"), "sequential_input"))
            recorded = _built(layers[index + 1]) if index + 1 < len(layers) else None
            place = (*target, "layers", len(entries))
            shapes = [] if recorded is None else [recorded]
            entries.append(self._entry(data, (*at, index), place, shapes))
        return {"type": "Sequential", "layers": entries}

    # Functional models

    def _functional(
        self, config: Mapping[str, Any], layers: list[Any], at: Path, target: Path
    ) -> dict[str, Any]:
        named: dict[str, Mapping[str, Any]] = {}
        for index, data in enumerate(layers):
            data = _mapping(data, (*at, index), "a layer")
            name = data.get("name")
            if not isinstance(name, str):
                inner = data.get("config")
                name = inner.get("name") if isinstance(inner, Mapping) else None
            if not isinstance(name, str):
                raise NotRead("this layer has no name", (*at, index))
            if name in named:
                raise NotRead(f"two layers are called {quoted(name)}", (*at, index))
            named[name] = data
        nodes = {
            name: [
                _node(node, (*at, index, "inbound_nodes", i))
                for i, node in enumerate(_list(data.get("inbound_nodes")))
            ]
            for index, (name, data) in enumerate(named.items())
        }
        ends = {
            ours: list(_ends(config.get(key)))
            for key, ours in (("input_layers", "input_layers"), ("output_layers", "outputs"))
        }
        networks = {
            name
            for name, data in named.items()
            if _is_network(str(data.get("class_name")), data.get("config"))
        }
        nodes, ends = _numbered_from_zero(nodes, ends, networks)
        recorded = _recorded(nodes, named)
        entries: list[dict[str, Any]] = []
        calls: list[tuple[dict[str, Any], Path]] = []
        for index, (name, data) in enumerate(named.items()):
            place, origin = (*target, "layers", len(entries)), (*at, index)
            outputs = recorded.get((name, 0), {})
            shapes = [outputs[i] for i in range(len(outputs)) if i in outputs]
            inbound = nodes[name]
            entry = self._entry(data, origin, place, shapes, inbound[0] if inbound else None)
            entry["name"] = name
            self.origins[(*place, "inputs")] = (*origin, "inbound_nodes")
            entries.append(entry)
            if inbound and entry["type"] != "Input":
                entry.update(_inputs(inbound[0], entry))
                for number, again in enumerate(inbound[1:], start=1):
                    call = {"call": name, "name": _call_name(name, number)}
                    call.update(_inputs(again, entry))
                    calls.append((call, (*origin, "inbound_nodes", number)))
        for call, origin in calls:
            self.origins[(*target, "layers", len(entries))] = origin
            entries.append(call)
        found: dict[str, Any] = {"type": "Functional", "layers": entries}
        for ours, given in ends.items():
            if given:
                found[ours] = [end.reference for end in given]
                self.origins[(*target, ours)] = at[:-1]
        return found

    # Layers

    def _entry(
        self,
        data: Mapping[str, Any],
        source: Path,
        target: Path,
        shapes: Sequence[tuple[int | None, ...]],
        node: _Arguments | None = None,
    ) -> dict[str, Any]:
        """The mapping of one layer; ``shapes`` are those of its outputs as they are recorded."""
        kind = data.get("class_name")
        if not isinstance(kind, str):
            raise NotRead("a layer needs a `class_name`", source)
        own = ">" in kind
        kind = kind.rpartition(">")[2]
        if self.is_old:
            kind = _OLD.get(kind, kind)
        config = data.get("config")
        if not isinstance(config, Mapping | list):
            raise NotRead(f"{quoted(kind)} has no `config`", source)
        self.origins[target] = (*source, "config")
        self.origins[(*target, "type")] = (*source, "class_name")
        name = config.get("name") if isinstance(config, Mapping) else None
        name = data.get("name", name)
        if _is_network(kind, config):
            return self.network(data, source, target)
        config = config if isinstance(config, Mapping) else {}
        module = data.get("module")
        if isinstance(module, str) and ".ops." in module:
            return _operation(kind, config, node, shapes)
        if kind in ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "TensorFlowOpLayer"):
            called = node or _Arguments()
            function, keywords = operation_of_tensorflow(config, called.keywords)
            known = _Arguments(called.positional, keywords)
            return {**_operation(function, {}, known, shapes), "kind": kind}
        if kind in _PASSING_ON and not own:
            return {**_operation("Identity", {}, node or _ONE_INPUT, shapes), "kind": kind}
        cls = None if own else known_layers().get(kind)
        if cls is None or not _from_keras(data, kind) or issubclass(cls, Opaque | Operation):
            return self._opaque(kind, name, config, shapes)
        if cls is Input:
            return _input(
                _shape(config.get("batch_shape") or config.get("batch_input_shape")),
                config.get("dtype"),
                name if isinstance(name, str) else None,
            )
        try:
            entry = {"type": kind, **self._arguments(cls, config, (*source, "config"), target)}
        except _Unknown as unknown:
            return self._opaque(f"{kind} of {unknown}", name, config, shapes)
        if isinstance(name, str):
            entry["name"] = name
        return entry

    def _opaque(
        self,
        kind: str,
        name: Any,
        config: Mapping[str, Any],
        shapes: Sequence[tuple[int | None, ...]],
    ) -> dict[str, Any]:
        kind = printable(kind)
        given = _shape(config.get("output_shape"))
        if not shapes and kind == "Lambda" and given:
            shapes = [(None, *given)]
        self.unknown.append((quoted(name or kind), kind, bool(shapes)))
        entry: dict[str, Any] = {"type": "Opaque", "kind": kind, "shapes": [*map(list, shapes)]}
        if isinstance(name, str):
            entry["name"] = name
        return entry

    def _arguments(
        self, cls: type[Layer], config: Mapping[str, Any], source: Path, target: Path
    ) -> dict[str, Any]:
        """A layer's arguments under the names of Keras 3."""
        types = _types(cls)
        found: dict[str, Any] = {}
        for key, value in config.items():
            name = _RENAMED.get((cls.__name__, key), key)
            if name == "dtype":
                if (dtype := self._dtype(value)) is not None:
                    found["dtype"] = dtype
            elif name == "trainable":
                found["trainable"] = value is not False
            elif name == "axis" and isinstance(value, list) and len(value) == 1:
                found["axis"] = value[0]
            elif name in types:
                place = (*target, name)
                self.origins[place] = (*source, key)
                found[name] = self._value(types[name], value, (*source, key), place)
            elif not _says_nothing(name):
                shown = printable(str(name))
                self.notes.append(f"{cls.__name__}'s argument `{shown}` is not known, and ignored")
        if found.get("bin_boundaries") is not None:
            found.pop("num_bins", None)  # A layer that has seen its data writes down both.
        if self.is_old and "fans" in types:
            # What Keras 2 really starts these kernels with.
            found["fans"] = "convolution"
        return found

    def _dtype(self, value: Any) -> str | None:
        """The name of a dtype policy that a layer can have."""
        if isinstance(value, Mapping):
            config = value.get("config")
            if isinstance(config, Mapping):
                value = config.get("name") or config.get("source_name")
        if not isinstance(value, str):
            return None
        value = value.rpartition("_from_")[2]
        return value if value in _POLICIES else None

    def _value(self, type_: Any, value: Any, source: Path, target: Path) -> Any:
        """An argument's value, with what was serialised as an object in plain form."""
        if type_ is Initializer:
            return self._object(value, source, target)
        if type_ is Activation:
            return self._activation(value, source, target)
        if _is_layer_type(type_):
            if isinstance(value, list):
                return [
                    self._inner(each, (*source, i), (*target, i)) for i, each in enumerate(value)
                ]
            return None if value is None else self._inner(value, source, target)
        return _plain(value)

    def _inner(self, value: Any, source: Path, target: Path) -> dict[str, Any]:
        """A layer that is another's argument; the other cannot be made without it."""
        entry = self._entry(_mapping(value, source, "a layer"), source, target, ())
        if entry["type"] == "Opaque":
            self.unknown.pop()
            raise _Unknown(entry["kind"])
        return entry

    def _object(self, value: Any, source: Path, target: Path) -> Any:
        """An initializer: a name, or its class and arguments; a function is known by its name."""
        if isinstance(value, str) and ">" in value:
            return {"function": value.rpartition(">")[2]}
        if not isinstance(value, Mapping) or "class_name" not in value:
            return value
        kind, config = value["class_name"], value.get("config")
        if kind == "function" and isinstance(config, str):
            return {"function": config.rpartition(">")[2]}
        if not isinstance(kind, str):
            return value
        name = kind.rpartition(">")[2]
        cls = known_initializers().get(kind.removesuffix("V2"))
        if cls is None or not _from_keras(value, kind):
            return {"function": name}
        self.origins[target] = (*source, "config")
        self.origins[(*target, "type")] = (*source, "class_name")
        arguments = config if isinstance(config, Mapping) else {}
        types = _types(cls)
        found = {"type": cls.__name__}
        for key, each in arguments.items():
            if key in types and each is not None:
                found[key] = _seed(each) if key == "seed" else _plain(each)
        if found.get("distribution") == "normal":
            found["distribution"] = "truncated_normal"  # as Keras 3 calls what Keras 1 meant
        return found

    def _activation(self, value: Any, source: Path, target: Path) -> Any:
        """An activation: a name, a function, or a layer that is called on the output."""
        config: Any = None
        if isinstance(value, Mapping):
            kind, config = value.get("class_name"), value.get("config")
            value = config if kind == "function" else kind
        if not isinstance(value, str):
            return value
        name = value.rpartition(">")[2]
        known = known_activations()
        for form in (name, name.lower(), _AS_ACTIVATION.get(name, "")):
            if form in known:
                types = _types(known[form])
                arguments = config if isinstance(config, Mapping) else {}
                kept = {_RENAMED.get((name, k), k): v for k, v in arguments.items()}
                return {"type": form, **{k: _plain(v) for k, v in kept.items() if k in types}}
        name = printable(name)
        self.notes.append(f"the activation {quoted(name)} is its author's own code, and not known")
        return {"type": "opaque", "function": name}


class _Unknown(Exception):
    """A layer that holds another whose code only its author has."""


_POLICIES = ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")
_AS_ACTIVATION = {"LeakyReLU": "leaky_relu", "ReLU": "relu", "ELU": "elu", "Softmax": "softmax"}


def _mapping(value: Any, path: Path, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise NotRead(f"{what} is a mapping, not {quoted(value)}", path)
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


@cache
def _types(cls: type[msgspec.Struct]) -> dict[str, Any]:
    """The types of a struct's arguments."""
    return {f.encode_name: f.type for f in msgspec.structs.fields(cls)}


def _is_layer_type(type_: Any) -> bool:
    return type_ in (Layer, Layer | None, tuple[Layer, ...], Layer | tuple[Layer, ...])


def _is_network(kind: str, config: Any) -> bool:
    """Whether a configuration is that of a network, whatever its class is called."""
    if isinstance(config, list):
        return kind == "Sequential"
    if not isinstance(config, Mapping):
        return False
    layers = config.get("layers")
    if not isinstance(layers, list):
        return False
    return kind in _STAND_FOR_NETWORKS or "input_layers" in config


def _from_keras(data: Mapping[str, Any], kind: str) -> bool:
    """Whether a class of that name is Keras's own, and not a namesake."""
    module = data.get("module")
    if not isinstance(module, str):
        registered = data.get("registered_name")
        return not isinstance(registered, str) or registered.rpartition(">")[0] in (
            "",
            "Custom_Keras",
        )
    package = module.partition(".")[0]
    return package in _KERAS or (package in _HUB and kind in _FROM_HUB)


def _says_nothing(key: str) -> bool:
    return key == "name" or key in _SILENT or key.endswith(("_regularizer", "_constraint"))


def _shape(value: Any) -> tuple[int | None, ...] | None:
    """A shape with its batch, or None where the value is none."""
    value = _plain(value)
    if not isinstance(value, list):
        return None
    for size in value:
        if size is not None and (type(size) is not int or size < 1):
            return None
    return tuple(value)


def _built(data: Any) -> tuple[int | None, ...] | None:
    """The shape of the input that a layer was built for."""
    found = data.get("build_config") if isinstance(data, Mapping) else None
    return _shape(found.get("input_shape")) if isinstance(found, Mapping) else None


def _input(shape: tuple[int | None, ...] | None, dtype: Any, name: str | None) -> dict[str, Any]:
    """An Input of a shape that has the batch first."""
    batch, *sizes = shape or (None,)
    entry: dict[str, Any] = {"type": "Input", "shape": sizes}
    if batch is not None:
        entry["batch_size"] = batch
    if isinstance(dtype, str) and dtype in _input_dtypes():
        entry["dtype"] = dtype
    if name:
        entry["name"] = name
    return entry


@cache
def _input_dtypes() -> tuple[str, ...]:
    info = msgspec.inspect.type_info(_types(Input)["dtype"])
    assert isinstance(info, msgspec.inspect.UnionType)
    kinds = [kind for kind in info.types if isinstance(kind, msgspec.inspect.LiteralType)]
    return tuple(str(value) for kind in kinds for value in kind.values)


def _plain(value: Any) -> Any:
    """Tuples, arrays and other objects of Keras's serialisation as plain values."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    kind, config = value.get("class_name"), value.get("config")
    if kind == "__tuple__":
        return _plain(value.get("items", config))
    if kind == "TensorShape":
        return _plain(value.get("items"))
    if kind in ("__tensor__", "__numpy__") and isinstance(config, Mapping):
        return _plain(config.get("value"))
    if kind == "__slice__" and isinstance(config, Mapping):
        return {key: config.get(key) for key in ("start", "stop", "step")}
    if kind == "__ellipsis__":
        return "..."
    if value.get("type") == "ndarray":
        return _plain(value.get("value"))
    return {key: _plain(each) for key, each in value.items()}


def _seed(value: Any) -> Any:
    """A seed; that of a generator is the one that it was made with."""
    if isinstance(value, Mapping):
        config = value.get("config")
        return config.get("seed") if isinstance(config, Mapping) else None
    return value


# Calls


def _node(data: Any, path: Path) -> _Arguments:
    """What one call was given: the two forms of Keras 3 and Keras 2."""
    if isinstance(data, Mapping) and ("args" in data or "kwargs" in data):
        keywords = data.get("kwargs")
        return _Arguments(
            [_tensors(each) for each in _list(data.get("args"))],
            {k: _tensors(v) for k, v in keywords.items()} if isinstance(keywords, Mapping) else {},
        )
    found = _Arguments()
    inputs = list(data.values()) if isinstance(data, Mapping) else _list(data)
    if inputs and isinstance(inputs[0], str):
        inputs = [inputs]
    for each in inputs:
        if not (isinstance(each, list) and len(each) >= 3):
            raise NotRead(f"{quoted(each)} names no output of a layer", path)
        name, node, output, *rest = each
        if name == "_CONSTANT_VALUE":
            found.positional.append(_plain(output))
        elif isinstance(name, str) and _is_index(node) and _is_index(output):
            found.positional.append(_Tensor(name, node, output, None))
        else:
            raise NotRead(f"{quoted(each)} names no output of a layer", path)
        if rest and isinstance(rest[0], Mapping):
            found.keywords.update({k: _old_tensors(v) for k, v in rest[0].items()})
    return found


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
                return _Tensor(name, node, output, _shape(config.get("shape")))
        return None
    if "class_name" in value:
        return _plain(value)
    return {key: _tensors(each) for key, each in value.items()}


def _old_tensors(value: Any) -> Any:
    """A keyword of Keras 2 with its tensors in place: lists of a name and two numbers."""
    match value:
        case [str(name), int(node), int(output)] if node >= 0 and output >= 0:
            return _Tensor(name, node, output, None)
        case list():
            return [_old_tensors(each) for each in value]
        case {"class_name": _}:
            return _plain(value)
        case dict():
            return {key: _old_tensors(each) for key, each in value.items()}
    return value


def _flat(value: Any) -> Iterator[_Tensor]:
    """The tensors in a value, those of a mapping in the order of its keys."""
    if isinstance(value, _Tensor):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _flat(each)
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flat(value[key])


Nodes = dict[str, list[_Arguments]]


def _numbered_from_zero(
    nodes: Nodes, ends: dict[str, list[_Tensor]], networks: set[str]
) -> tuple[Nodes, dict[str, list[_Tensor]]]:
    """The same with every layer's calls numbered from 0.

    Keras 2 numbers those of a network from 1, its own making being the first.
    """
    every = list(_flat([[[c.positional, c.keywords] for c in n] for n in nodes.values()]))
    every += _flat(list(ends.values()))
    least: dict[str, int] = {}
    for tensor in every:
        least[tensor.layer] = min(tensor.node, least.get(tensor.layer, tensor.node))
    late = {
        tensor.layer
        for tensor in every
        if least[tensor.layer] == 1
        and (tensor.layer in networks or tensor.node >= len(nodes.get(tensor.layer, ())))
    }

    def moved(value: Any) -> Any:
        if isinstance(value, _Tensor):
            return value._replace(node=value.node - 1) if value.layer in late else value
        if isinstance(value, list):
            return [moved(each) for each in value]
        if isinstance(value, dict):
            return {key: moved(each) for key, each in value.items()}
        return value

    found = {
        name: [_Arguments(moved(call.positional), moved(call.keywords)) for call in calls]
        for name, calls in nodes.items()
    }
    return found, {key: moved(given) for key, given in ends.items()}


def _recorded(
    nodes: Mapping[str, list[_Arguments]], layers: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, int], dict[int, tuple[int | None, ...]]]:
    """The shapes of outputs, as those say that take them."""
    found: dict[tuple[str, int], dict[int, tuple[int | None, ...]]] = {}
    for name, calls in nodes.items():
        for number, call in enumerate(calls):
            taken = list(_flat([call.positional, call.keywords]))
            for tensor in taken:
                shape = tensor.shape
                if shape is None and not number and len(taken) == 1:
                    shape = _built(layers[name])
                if shape is not None:
                    found.setdefault((tensor.layer, tensor.node), {})[tensor.output] = shape
    return found


def _inputs(call: _Arguments, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs and options of a call of that layer."""
    cls = known_layers()[entry["type"]]
    takes = cls.takes()
    if issubclass(cls, Operation):
        tensors = list(_flat([call.positional, *call.keywords.values()]))
    elif issubclass(cls, Network | Opaque):
        tensors = list(_flat([call.positional, call.keywords]))
    else:
        tensors = list(_flat(call.positional))
        slots: dict[str, _Tensor] = dict(zip(takes.names, tensors, strict=False))
        by_name = [name for name in takes.names if isinstance(call.keywords.get(name), _Tensor)]
        if by_name:
            slots |= {name: call.keywords[name] for name in by_name}
            last = max(takes.names.index(name) for name in slots)
            first = next(iter(slots.values()))
            tensors = [slots.get(name, first) for name in takes.names[: last + 1]]
        if not tensors:
            # The first argument by its own name, such as `inputs` or `sequences`.
            tensors = [v for v in call.keywords.values() if isinstance(v, _Tensor)][:1]
        tensors += _flat(call.keywords.get("initial_state"))
        if takes.most < len(tensors):
            # A mask that is given by its place.
            tensors = tensors[: int(takes.most)]
    found: dict[str, Any] = {"inputs": [tensor.reference for tensor in tensors]}
    for option in takes.options:
        if isinstance(call.keywords.get(option), bool):
            found[option] = call.keywords[option]
    return found


def _operation(
    function: str,
    config: Mapping[str, Any],
    call: _Arguments | None,
    shapes: Sequence[tuple[int | None, ...]],
) -> dict[str, Any]:
    """An operation on tensors, with its arguments beside those of its call."""
    call = call or _Arguments()
    order: list[_Tensor] = []

    def placed(value: Any) -> Any:
        if isinstance(value, _Tensor):
            order.append(value)
            return {"input": len(order) - 1}
        if isinstance(value, list):
            return [placed(each) for each in value]
        return _plain(value)

    positional = [placed(each) for each in call.positional]
    keywords = {key: placed(each) for key, each in call.keywords.items()}
    own = {key: _plain(value) for key, value in config.items() if key != "name"}
    return {
        "type": "Operation",
        "function": printable(function),
        "arguments": positional,
        "keywords": {**own, **keywords},
        "shapes": [list(shape) for shape in shapes],
    }


def _ends(value: Any) -> Iterator[_Tensor]:
    """The inputs or outputs of a network: one, a list, or a mapping of them."""
    match value:
        case [str(name), int(node), int(output)] if node >= 0 and output >= 0:
            yield _Tensor(name, node, output, None)
        case list():
            for each in value:
                yield from _ends(each)
        case dict():
            for key in sorted(value):
                yield from _ends(value[key])
