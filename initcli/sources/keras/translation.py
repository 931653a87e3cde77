"""Translation of the layers of a Keras model to the entries of a spec."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from initcli.activations import Activation, known_activations
from initcli.documents.document import Document, Origin
from initcli.errors import Path, quoted
from initcli.initializers import Initializer, known_initializers
from initcli.layers import Layer, known_layers
from initcli.layers.core import Input, Opaque
from initcli.layers.operations import Operation
from initcli.sources.arguments import LAYER_TYPES
from initcli.sources.describe import choices
from initcli.sources.keras import freezing
from initcli.sources.keras.calls import (
    ONE_INPUT,
    CallArguments,
    call_name,
    call_of,
    ends_of,
    inputs_of,
    numbered_from_zero,
    operation_of,
    operation_of_tensorflow,
    recorded_shapes,
    require_calls,
)
from initcli.sources.keras.finding import model_in
from initcli.sources.keras.first import branched, branches_of, merged, of_keras1
from initcli.sources.keras.notes import THAWED, few, note_on, of_quantized
from initcli.sources.keras.values import (
    AS_ACTIVATION,
    INPUT_SHAPES,
    OLD,
    PASSING_ON,
    RENAMED,
    NotRead,
    as_list,
    as_mapping,
    as_mapping_or_empty,
    as_name,
    built_for,
    config_of,
    input_entry,
    is_of_keras,
    plain,
    policy_in,
    quantization_of,
    says_nothing,
    seed_of,
    shape_of,
    taken_by,
    truth,
    types_of,
)
from initcli.sources.keras.versions import Version, initializer_of, meaning, version_of, with_fans
from initcli.types import DtypePolicy, Shape, arguments_of

_NETWORKS = ("Functional", "Model", "Sequential")
"""Classes whose configuration lists layers."""


def translated(document: Document) -> Document:
    """The spec that is equivalent to the Keras model in a document; any other document unchanged.

    Raises:
        InvalidSpec: the model cannot be read.
    """
    model = model_in(document)
    if model is None:
        return document
    version, guess = version_of(model.data)
    translation = _Translation(version)
    if guess:
        translation.notes.append(guess)
    try:
        data = translation.network(model.data, (), ())
    except NotRead as error:
        raise model.refused(str(error), error.path, error.remedy) from None
    origins = {path: Origin(model, source) for path, source in translation.origins.items()}
    of_layers = [note_on(names, *kind) for kind, names in translation.noted.items()]
    notes = few(dict.fromkeys([*translation.notes, *of_layers]))
    model = replace(model, data=data, origins=origins, dialect="keras", is_editable=False)
    return replace(model, notes=notes)


class _Translation:
    """Translates the data of a model.

    ``origins`` maps paths of the spec to those of the file. ``noted`` has the names of layers by
    their kind and the note on it.
    """

    def __init__(self, version: Version) -> None:
        self.version = version
        self.origins: dict[Path, Path] = {}
        self.notes: list[str] = []
        self.noted: defaultdict[tuple[str, str], list[str]] = defaultdict(list)

    def network(self, data: Any, source: Path, target: Path) -> dict[str, Any]:
        """The mapping of a whole network."""
        data = as_mapping(data, source, "a Keras model")
        config, at = config_of(data), (*source, "config")
        layers: Any = data.get("config")
        if isinstance(layers, Mapping):
            layers, at = config.get("layers"), (*at, "layers")
        if not isinstance(layers, list):
            raise NotRead(
                f"{quoted(data.get('class_name'))} has no list of layers: only Sequential "
                "and Functional models have one in JSON",
                at,
                "build it with keras.Sequential or keras.Model(inputs, outputs), or write "
                "its layers as a spec",
            )
        self.origins[target] = (*source, "config")
        self.origins[(*target, "layers")] = at
        functional = any(isinstance(each, Mapping) and "inbound_nodes" in each for each in layers)
        translate = self._functional if functional else self._sequential
        network = translate(config, layers, at, target)
        self.origins[(*target, "type")] = (*source, "class_name")
        if isinstance(name := config.get("name"), str):
            network["name"] = name
        return {**network, **freezing.of_network(self.version, config, is_outermost=not target)}

    # Sequential models

    def _sequential(
        self, config: Mapping[str, Any], layers: list[Any], at: Path, target: Path
    ) -> dict[str, Any]:
        if self.version.is_old and layers and branches_of(layers[0]) is not None:

            def translate(data: Any, source: Path, index: int) -> dict[str, Any]:
                layer = as_mapping(data, source, "a layer")
                return self._entry(layer, source, (*target, "layers", index), ())

            return branched(layers, at, translate)
        entries: list[dict[str, Any]] = []
        for index, data in enumerate(layers):
            data = as_mapping(data, (*at, index), "a layer")
            if not entries and data.get("class_name") != "InputLayer":
                built = shape_of(config.get("build_input_shape"))
                shape, dtype = taken_by(data) or (built, config_of(data).get("dtype"))
                if shape is not None:
                    entries.append(input_entry(shape, dtype, "sequential_input"))
            recorded = built_for(layers[index + 1]) if index + 1 < len(layers) else None
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
            data = as_mapping(data, (*at, index), "a layer")
            name = data.get("name")
            name = name if isinstance(name, str) else config_of(data).get("name")
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
            "input_layers": ends_of(config.get("input_layers")),
            "outputs": ends_of(config.get("output_layers")),
        }
        nodes, ends = numbered_from_zero(nodes, ends, named)
        for index, made in enumerate(nodes.values()):
            for number, call in enumerate(made):
                require_calls(nodes, call.tensors, (*at, index, "inbound_nodes", number))
        require_calls(nodes, [tensor for each in ends.values() for tensor in each], at[:-1])
        recorded = recorded_shapes(nodes, named)
        entries: list[dict[str, Any]] = []
        again: list[tuple[dict[str, Any], Path]] = []
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
                for number, call in enumerate(inbound[1:], start=1):
                    further = {"call": name, "name": call_name(name, number)}
                    further |= inputs_of(call, entry)
                    again.append((further, (*origin, "inbound_nodes", number)))
        for further, origin in again:
            self.origins[(*target, "layers", len(entries))] = origin
            entries.append(further)
        network: dict[str, Any] = {"type": "Functional", "layers": entries}
        for key, given in ends.items():
            if given:
                network[key] = [end.reference for end in given]
                self.origins[(*target, key)] = at[:-1]
        return network

    # Layers

    def _entry(
        self,
        data: Mapping[str, Any],
        source: Path,
        target: Path,
        shapes: Sequence[Shape],
        node: CallArguments | None = None,
    ) -> dict[str, Any]:
        """The entry of one layer; ``shapes`` are the recorded shapes of its outputs."""
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
        name = data.get("name", config_of(data).get("name"))
        if _is_network(kind, config):
            return self.network(data, source, target)
        config = config_of(data)
        if self.version.is_first and not own:
            kind, config = of_keras1(kind, config, self.version, (*source, "config"))
        if kind == "Merge" and self.version.is_old and not own:
            kind, config = merged(config)
        module = data.get("module")
        if isinstance(module, str) and ".ops." in module:
            return operation_of(kind, config, node, shapes)
        if kind in ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "TensorFlowOpLayer"):
            call, place = node or CallArguments(), (*source, "config")
            return operation_of_tensorflow(kind, config, call, shapes, place)
        if kind in PASSING_ON and not own:
            return {**operation_of("Identity", {}, node or ONE_INPUT, shapes), "kind": kind}
        cls = None if own else known_layers().get(kind)
        if cls is None or not is_of_keras(data, kind) or issubclass(cls, Opaque | Operation):
            return self._opaque(kind, name, config, shapes)
        if cls is Input:
            key = next((key for key in INPUT_SHAPES if config.get(key) is not None), None)
            shape = shape_of(config[key]) if key else None
            if shape is None:
                reason = f"`{key}` is not a shape" if key else "it has no `batch_shape`"
                at = (*source, "config", *([key] if key else []))
                raise NotRead(f"this InputLayer has no shape: {reason}", at, _SHAPE_EXAMPLE)
            return input_entry(shape, config.get("dtype"), name)
        try:
            entry = {"type": kind, **self._arguments(cls, config, (*source, "config"), target)}
        except _Unknown as unknown:
            return self._opaque(f"{kind} of {unknown}", name, config, shapes)
        if isinstance(name, str):
            entry["name"] = name
        return entry

    def _opaque(
        self, kind: str, name: Any, config: Mapping[str, Any], shapes: Sequence[Shape]
    ) -> dict[str, Any]:
        sizes = shape_of(config.get("output_shape"))
        if not shapes and kind in ("Lambda", "Merge") and sizes:
            shapes = [(None, *sizes)]
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
        """The arguments of a layer under the names of Keras 3."""
        types = types_of(cls)
        arguments: dict[str, Any] = {}
        for key, value in config.items():
            name = RENAMED.get((cls.__name__, key), key)
            if name == "dtype":
                if (dtype := self._dtype(value)) is not None:
                    arguments["dtype"] = dtype
            elif name == "trainable":
                arguments["trainable"] = truth(value) is not False
            elif name == "axis" and isinstance(value, list) and len(value) == 1:
                arguments["axis"] = value[0]
            elif name in types:
                place = (*target, name)
                self.origins[place] = (*source, key)
                arguments[name] = self._value(types[name], value, (*source, key), place)
                if types[name] is Initializer:
                    arguments[name] = with_fans(self.version, cls, name, arguments[name])
            elif not says_nothing(name):
                shown = quoted(name).strip("'")
                self.notes.append(f"{cls.__name__}'s argument `{shown}` is not known, and ignored")
        shown = str(config.get("name") or cls.__name__)
        if "quantization" in types and (scheme := quantization_of(config)):
            arguments["quantization"] = scheme
            self.noted[scheme.partition("/")[0], of_quantized(scheme)].append(shown)
        if arguments.get("bin_boundaries") is not None:
            arguments.pop("num_bins", None)  # A layer that is adapted to data saves both.
        for each in arguments_of(cls):
            if each.name in arguments or not isinstance(each.default, Initializer):
                continue
            counted = with_fans(self.version, cls, each.name, {"type": each.default.type_name})
            if each.type is Initializer and len(counted) > 1:
                arguments[each.name] = counted
        for name, value in meaning(self.version, cls.__name__).items():
            if name not in arguments:
                arguments[name] = self._value(types[name], value, source, (*target, name))
        if not freezing.counts(self.version, cls) and freezing.seems_frozen(arguments):
            self.noted["", THAWED].append(shown)
        return freezing.of_layer(self.version, cls, arguments)

    def _dtype(self, value: Any) -> str | None:
        """The dtype policy of a layer, if a spec can name it."""
        if isinstance(value, Mapping):
            config = policy_in(value)
            value = config.get("name") or config.get("source_name")
        if not isinstance(value, str):
            return None
        value = value.rpartition("_from_")[2]
        return value if value in choices(DtypePolicy) else None

    def _value(self, type_: Any, value: Any, source: Path, target: Path) -> Any:
        """The value of an argument, with serialized objects as plain data."""
        if type_ is Initializer:
            return initializer_of(self.version, self._initializer(value, source, target))
        if type_ is Activation:
            return self._activation(value, source, target)
        if type_ in LAYER_TYPES:
            if isinstance(value, list):
                return [
                    self._inner(each, (*source, i), (*target, i)) for i, each in enumerate(value)
                ]
            return None if value is None else self._inner(value, source, target)
        return truth(value) if type_ is bool else plain(value)

    def _inner(self, value: Any, source: Path, target: Path) -> dict[str, Any]:
        """A layer that is an argument of another one, which is unknown without it."""
        entry = self._entry(as_mapping(value, source, "a layer"), source, target, ())
        if entry["type"] == "Opaque":
            raise _Unknown(entry["kind"])
        return entry

    def _initializer(self, value: Any, source: Path, target: Path) -> Any:
        """An initializer as a name or a mapping; one with custom code as a function."""
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
        given = as_mapping_or_empty(config)
        if cls is None or not is_of_keras(value, kind):
            return {"function": name, "config": {k: plain(each) for k, each in given.items()}}
        self.origins[target] = (*source, "config")
        self.origins[(*target, "type")] = (*source, "class_name")
        return {"type": cls.__name__} | {
            key: seed_of(each) if key == "seed" else plain(each)
            for key, each in given.items()
            if key in types_of(cls) and each is not None
        }

    def _activation(self, value: Any, source: Path, target: Path) -> Any:
        """An activation, which can be a name, a function, or a layer."""
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
                types = types_of(known[form])
                given: dict[Any, Any] = meaning(self.version, form)
                for key, each in as_mapping_or_empty(config).items():
                    given[RENAMED.get((name, key), RENAMED.get((form, key), key))] = each
                return {"type": form, **{k: plain(v) for k, v in given.items() if k in types}}
        name = as_name(name, source)
        self.notes.append(f"the activation {quoted(name)} is custom code, and not known")
        return {"type": "opaque", "function": name}


_SHAPE_EXAMPLE = "a shape begins with the batch, such as [null, 28, 28, 1]"


class _Unknown(Exception):
    """Raised for a layer that contains a layer with custom code."""


def _is_network(kind: str, config: Mapping[str, Any] | list[Any]) -> bool:
    """Whether a configuration is that of a network, regardless of its class name."""
    if isinstance(config, list):
        return kind == "Sequential"
    has_layers = isinstance(config.get("layers"), list)
    return has_layers and (kind in _NETWORKS or "input_layers" in config)
