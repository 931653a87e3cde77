"""A Keras model's layers to the entries of a spec, and its networks to networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec

from initcli.activations import Activation, known_activations
from initcli.documents.document import Document, Origin
from initcli.errors import InvalidValue, Path, quoted
from initcli.initializers import Initializer, known_initializers
from initcli.layers import Layer, known_layers
from initcli.layers.core import Input, Opaque
from initcli.layers.operations import Operation
from initcli.sources.keras.calls import (
    ONE_INPUT,
    CallArguments,
    call_name,
    call_of,
    ends_of,
    inputs_of,
    numbered_from_zero,
    operation_of,
    recorded_shapes,
    require_calls,
)
from initcli.sources.keras.first import branches_of, merged, of_keras1
from initcli.sources.keras.freezing import freezing_of, seems_frozen
from initcli.sources.keras.notes import few, of_quantized, of_thawed
from initcli.sources.keras.quantization import policy_in, quantization_of
from initcli.sources.keras.tensorflow import operation_of_tensorflow
from initcli.sources.keras.values import (
    NotRead,
    as_list,
    as_mapping,
    as_name,
    built_for,
    is_of_keras,
    plain,
    seed_of,
    shape_of,
    taken_by,
    truth,
)
from initcli.sources.keras.versions import (
    Version,
    initializer_of,
    meaning,
    version_of,
    with_fans,
)
from initcli.sources.keras.vocabulary import (
    AS_ACTIVATION,
    INPUT_SHAPES,
    OLD,
    PASSING_ON,
    POLICIES,
    RENAMED,
    says_nothing,
)
from initcli.types import arguments_of

_NETWORKS = ("Functional", "Model", "Sequential")
"""Classes whose configuration lists layers."""


def from_keras(document: Document) -> Document:
    """The spec that says what the Keras model of :func:`.finding.model_in` says.

    Raises:
        InvalidSpec: it is no model whose layers could be read.
    """
    version, guess = version_of(document.data)
    translation = _Translation(version)
    if guess:
        translation.notes.append(guess)
    try:
        data = translation.network(document.data, (), ())
    except NotRead as error:
        found = InvalidValue(str(error), remedy=error.remedy, path=error.path)
        raise document.invalid([found]) from None
    origins = {path: Origin(document, source) for path, source in translation.origins.items()}
    return replace(
        document,
        data=data,
        origins=origins,
        dialect="keras",
        notes=few(
            dict.fromkeys(
                [
                    *translation.notes,
                    *of_thawed(translation.thawed),
                    *of_quantized(translation.quantized),
                ]
            )
        ),
    )


class _Translation:
    """Walks a model's JSON; paths of what it makes lead back to the file by ``origins``."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.freezing = freezing_of(version)
        self.origins: dict[Path, Path] = {}
        self.notes: list[str] = []
        # The names of layers whose `trainable: false` does not reach the layers that they hold.
        self.thawed: list[str] = []
        # The names of layers whose weights are quantized, by how they are.
        self.quantized: dict[str, list[str]] = {}

    def network(self, data: Any, source: Path, target: Path) -> dict[str, Any]:
        """The mapping of a whole network."""
        data = as_mapping(data, source, "a Keras model")
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
                "build it with keras.Sequential or keras.Model(inputs, outputs), or write "
                "its layers as a spec",
            )
        self.origins[target] = (*source, "config")
        self.origins[(*target, "layers")] = at
        functional = any(isinstance(each, Mapping) and "inbound_nodes" in each for each in layers)
        made = self._functional if functional else self._sequential
        found = made(config, layers, at, target)
        self.origins[(*target, "type")] = (*source, "class_name")
        if isinstance(own := config.get("name"), str):
            found["name"] = own
        return {**found, **self.freezing.of_network(config, is_outermost=not target)}

    # Sequential models

    def _sequential(
        self, config: Mapping[str, Any], layers: list[Any], at: Path, target: Path
    ) -> dict[str, Any]:
        if self.version.is_old and layers and branches_of(layers[0]) is not None:
            return self._branched(layers, at, target)
        entries: list[dict[str, Any]] = []
        for index, data in enumerate(layers):
            data = as_mapping(data, (*at, index), "a layer")
            inner = data.get("config")
            inner = inner if isinstance(inner, Mapping) else {}
            if not entries and data.get("class_name") != "InputLayer":
                built = shape_of(config.get("build_input_shape"))
                shape, dtype = taken_by(data) or (built, inner.get("dtype"))
                if shape is not None:
                    entries.append(_input(shape, dtype, "sequential_input"))
            recorded = built_for(layers[index + 1]) if index + 1 < len(layers) else None
            place = (*target, "layers", len(entries))
            shapes = [] if recorded is None else [recorded]
            entries.append(self._entry(data, (*at, index), place, shapes))
        return {"type": "Sequential", "layers": entries}

    def _branched(self, layers: list[Any], at: Path, target: Path) -> dict[str, Any]:
        """A Sequential that begins with a Merge of others, whose layers stand beside its own."""
        entries: list[dict[str, Any]] = []
        inputs: list[str] = []

        def added(data: Any, source: Path, given: list[str]) -> str:
            place = (*target, "layers", len(entries))
            entry = self._entry(as_mapping(data, source, "a layer"), source, place, ())
            name = entry.get("name") or f"layer_{len(entries)}"
            entry["name"] = name
            if all(each["name"] != name for each in entries):
                # A branch that stands twice is one.
                entries.append({**entry, "inputs": given} if given else entry)
            return str(name)

        def chained(chain: list[Any], source: Path) -> str:
            last: list[str] = []
            for index, data in enumerate(chain):
                here = (*source, index)
                branches = branches_of(data) if not index else None
                if branches is not None:
                    ends = [(*here, "config", "layers", i) for i in range(len(branches))]
                    last = [branch(each, end) for each, end in zip(branches, ends, strict=True)]
                elif not index:
                    inner = data.get("config") if isinstance(data, Mapping) else None
                    inner = inner if isinstance(inner, Mapping) else {}
                    shape = shape_of(inner.get("batch_input_shape"))
                    start = f"{inner.get('name', 'sequential')}_input"
                    if all(each["name"] != start for each in entries):
                        entries.append(_input(shape, inner.get("input_dtype"), start))
                        inputs.append(start)
                    last = [start]
                last = [added(data, here, last)]
            return last[0]

        def branch(data: Any, source: Path) -> str:
            inner = as_mapping(data, source, "a branch of a Merge").get("config")
            if data.get("class_name") != "Sequential" or not isinstance(inner, list) or not inner:
                raise NotRead(
                    "only Sequential models with layers can be branches of a Merge here",
                    source,
                    "write the model with Input and merge",
                )
            return chained(inner, (*source, "config"))

        last = chained(layers, at)
        return {
            "type": "Functional",
            "layers": entries,
            "input_layers": inputs,
            "outputs": [last],
        }

    # Functional models

    def _functional(
        self, config: Mapping[str, Any], layers: list[Any], at: Path, target: Path
    ) -> dict[str, Any]:
        named: dict[str, Mapping[str, Any]] = {}
        for index, data in enumerate(layers):
            data = as_mapping(data, (*at, index), "a layer")
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
                call_of(node, (*at, index, "inbound_nodes", i))
                for i, node in enumerate(as_list(data.get("inbound_nodes")))
            ]
            for index, (name, data) in enumerate(named.items())
        }
        ends = {
            ours: list(ends_of(config.get(key)))
            for key, ours in (("input_layers", "input_layers"), ("output_layers", "outputs"))
        }
        nodes, ends = numbered_from_zero(nodes, ends, named)
        for index, made in enumerate(nodes.values()):
            for number, each in enumerate(made):
                taken = [each.positional, each.keywords]
                require_calls(nodes, taken, (*at, index, "inbound_nodes", number))
        require_calls(nodes, list(ends.values()), at[:-1])
        recorded = recorded_shapes(nodes, named)
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
                entry.update(inputs_of(inbound[0], entry))
                for number, again in enumerate(inbound[1:], start=1):
                    call = {"call": name, "name": call_name(name, number)}
                    call.update(inputs_of(again, entry))
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
        node: CallArguments | None = None,
    ) -> dict[str, Any]:
        """The mapping of one layer; ``shapes`` are those of its outputs as they are recorded."""
        kind = data.get("class_name")
        if not isinstance(kind, str):
            raise NotRead("a layer needs a `class_name`", source)
        kind = as_name(kind, (*source, "class_name"))
        own = ">" in kind
        kind = kind.rpartition(">")[2]
        if self.version.is_old and not own:
            kind = OLD.get(kind, kind)
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
        if self.version.is_first and not own:
            kind, config = of_keras1(kind, config, self.version, (*source, "config"))
        if kind == "Merge" and self.version.is_old and not own:
            kind, config = merged(config)
        module = data.get("module")
        if isinstance(module, str) and ".ops." in module:
            return operation_of(kind, config, node, shapes)
        if kind in ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "TensorFlowOpLayer"):
            called = node or CallArguments()
            function, keywords = operation_of_tensorflow(config, called.keywords)
            function = as_name(function, (*source, "config"))
            known = CallArguments(called.positional, keywords)
            return {**operation_of(function, {}, known, shapes), "kind": kind}
        if kind in PASSING_ON and not own:
            return {**operation_of("Identity", {}, node or ONE_INPUT, shapes), "kind": kind}
        cls = None if own else known_layers().get(kind)
        if cls is None or not is_of_keras(data, kind) or issubclass(cls, Opaque | Operation):
            return self._opaque(kind, name, config, shapes)
        if cls is Input:
            given = next((key for key in INPUT_SHAPES if config.get(key) is not None), None)
            shape = shape_of(config[given]) if given else None
            if shape is None:
                said = f"`{given}` is no shape" if given else "no `batch_shape`"
                at = (*source, "config", *([given] if given else []))
                raise NotRead(f"this InputLayer says no shape: {said}", at, _SHAPED)
            return _input(shape, config.get("dtype"), name if isinstance(name, str) else None)
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
        given = shape_of(config.get("output_shape"))
        if not shapes and kind in ("Lambda", "Merge") and given:
            shapes = [(None, *given)]
        entry: dict[str, Any] = {
            "type": "Opaque",
            "kind": kind,
            "output_shape": "recorded",
            "shapes": [*map(list, shapes)],
        }
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
            name = RENAMED.get((cls.__name__, key), key)
            if name == "dtype":
                if (dtype := self._dtype(value)) is not None:
                    found["dtype"] = dtype
            elif name == "trainable":
                found["trainable"] = truth(value) is not False
            elif name == "axis" and isinstance(value, list) and len(value) == 1:
                found["axis"] = value[0]
            elif name in types:
                place = (*target, name)
                self.origins[place] = (*source, key)
                found[name] = self._value(types[name], value, (*source, key), place)
                if types[name] is Initializer:
                    found[name] = with_fans(self.version, cls, name, found[name])
            elif not says_nothing(name):
                shown = quoted(name).strip("'")
                self.notes.append(f"{cls.__name__}'s argument `{shown}` is not known, and ignored")
        if "quantization" in types and (scheme := quantization_of(config)):
            found["quantization"] = scheme
            shown = quoted(config.get("name") or cls.__name__)
            self.quantized.setdefault(scheme, []).append(shown)
        if found.get("bin_boundaries") is not None:
            found.pop("num_bins", None)  # A layer that has seen its data writes down both.
        for name, default in _initializers(cls).items():
            if name not in found:
                counted = with_fans(self.version, cls, name, {"type": default})
                if len(counted) > 1:
                    found[name] = counted
        for name, value in meaning(self.version, cls.__name__).items():
            if name not in found:
                found[name] = self._value(types[name], value, source, (*target, name))
        if not self.freezing.counts(cls) and seems_frozen(found):
            self.thawed.append(quoted(config.get("name") or cls.__name__))
        return self.freezing.of_layer(cls, found)

    def _dtype(self, value: Any) -> str | None:
        """The name of a dtype policy that a layer can have."""
        if isinstance(value, Mapping):
            config = policy_in(value)
            value = config.get("name") or config.get("source_name")
        if not isinstance(value, str):
            return None
        value = value.rpartition("_from_")[2]
        return value if value in POLICIES else None

    def _value(self, type_: Any, value: Any, source: Path, target: Path) -> Any:
        """An argument's value, with what was serialized as an object in plain form."""
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
        return truth(value) if type_ is bool else plain(value)

    def _inner(self, value: Any, source: Path, target: Path) -> dict[str, Any]:
        """A layer that is another's argument; the other cannot be made without it."""
        entry = self._entry(as_mapping(value, source, "a layer"), source, target, ())
        if entry["type"] == "Opaque":
            raise _Unknown(entry["kind"])
        return entry

    def _object(self, value: Any, source: Path, target: Path) -> Any:
        """An initializer as it was in the file's version; a function is known by its name."""
        found = self._initializer(value, source, target)
        kind = found.get("type") if isinstance(found, Mapping) else found
        cls = known_initializers().get(kind) if isinstance(kind, str) else None
        if cls is None:
            return found
        return initializer_of(self.version, cls, found if isinstance(found, dict) else {})

    def _initializer(self, value: Any, source: Path, target: Path) -> Any:
        """An initializer: a name, or its class and arguments."""
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
        if cls is None or not is_of_keras(value, kind):
            return {"function": name}
        self.origins[target] = (*source, "config")
        self.origins[(*target, "type")] = (*source, "class_name")
        arguments = config if isinstance(config, Mapping) else {}
        types = _types(cls)
        found = {"type": cls.__name__}
        for key, each in arguments.items():
            if key in types and each is not None:
                found[key] = seed_of(each) if key == "seed" else plain(each)
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
        for form in (name, name.lower(), AS_ACTIVATION.get(name, "")):
            if form in known:
                types = _types(known[form])
                arguments = config if isinstance(config, Mapping) else {}
                kept: dict[Any, Any] = meaning(self.version, form)
                for key, each in arguments.items():
                    kept[RENAMED.get((name, key), RENAMED.get((form, key), key))] = each
                return {"type": form, **{k: plain(v) for k, v in kept.items() if k in types}}
        name = as_name(name, source)
        self.notes.append(f"the activation {quoted(name)} is its author's own code, and not known")
        return {"type": "opaque", "function": name}


_SHAPED = "a shape begins with the batch, such as [null, 28, 28, 1]"


class _Unknown(Exception):
    """A layer that holds another whose code only its author has."""


@cache
def _types(cls: type[msgspec.Struct]) -> dict[str, Any]:
    """The types of a struct's arguments."""
    return {argument.name: argument.type for argument in arguments_of(cls)}


@cache
def _initializers(cls: type[Layer]) -> dict[str, str]:
    """The names of the initializers that a layer has where nobody names others."""
    return {
        argument.name: argument.default.type_name
        for argument in arguments_of(cls)
        if argument.type is Initializer and isinstance(argument.default, Initializer)
    }


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
    return kind in _NETWORKS or "input_layers" in config


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
