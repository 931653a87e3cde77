"""Building of a model: a checked spec, its layers and their parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any

import msgspec

from initcli import limits
from initcli.choices import Parametrization
from initcli.documents.document import Document
from initcli.errors import Path, ShapeMismatch, TooManyErrors, nearest, quoted
from initcli.frameworks import Framework, with_defaults
from initcli.initializers import Custom, NormOf
from initcli.layers import Layer
from initcli.layers.base import within
from initcli.layers.core import Input, Opaque, Recorded
from initcli.layers.network import Network, Sequential, Shaped
from initcli.layers.spatial import Sliding
from initcli.model import BuiltLayer, Model, leaves
from initcli.parameter import Parameter
from initcli.sampling.chunks import draw
from initcli.sources.assembly import BROKEN, Built
from initcli.sources.graph import Networks
from initcli.types import (
    LARGEST,
    ArgumentError,
    Dtype,
    PositiveFloat,
    PositiveInt,
    ShapeError,
    Shapes,
    doc,
)

LARGEST_TENSOR = 2**62
"""Maximum number of entries of one tensor, of weights or of one example."""


EDITOR_KEY = "$schema"
"""Key by which an editor finds the schema of a JSON file."""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a spec."""

    layers: tuple[Any, ...]
    name: Annotated[str | None, doc("Name of the model.")] = None
    input_shape: Annotated[
        tuple[PositiveInt | None, ...] | None,
        doc(
            "Shape of the first layer's input without the batch; null for an unknown size. A model "
            "with Input layers needs none."
        ),
    ] = None
    batch_size: Annotated[
        PositiveInt | None, doc("Size of the batch, for layers whose weights depend on it.")
    ] = None
    outputs: Any = None
    seed: Annotated[int, doc("The same seed gives the same values on every machine.")] = 0
    dtype: Annotated[Dtype, doc("Data type of the weights.")] = "float32"
    defaults: Annotated[
        Framework, doc("Framework whose default initializers fill the parameters without one.")
    ] = "keras"
    initializers: dict[str, Any] = {}
    parametrization: Annotated[
        Parametrization,
        doc(
            "How initial scales, multipliers and learning rates depend on the width: `standard`, "
            "`mup` (Yang et al. 2022, arXiv:2203.03466) or `ntk` (Jacot et al. 2018, "
            "arXiv:1806.07572)."
        ),
    ] = "standard"
    base_width: Annotated[
        PositiveFloat,
        doc("Width of the base model of a parametrization, in units of the hidden sizes here."),
    ] = 1.0
    scale: Annotated[
        tuple[str, ...],
        doc(
            "Sizes that a sweep of widths scales, and of which the base model has others: names "
            "such as `units`, or `LAYER.NAME`; by default all that are hidden."
        ),
    ] = ()


def build(
    document: Document,
    *,
    seed: int | None = None,
    defaults: Framework | None = None,
    functions: Mapping[str, Custom] | None = None,
) -> Model:
    """Check a spec and resolve it into a model.

    Args:
        document: the spec.
        seed: seed of all weights; overrides the spec's own.
        defaults: framework whose default initializers apply; overrides the spec's own.
        functions: custom initializers by name.

    Raises:
        InvalidSpec: with all errors of the spec.
    """
    arguments = Networks(functions)
    arguments.of_keras = document.dialect == "keras"
    try:
        built, spec = _built(document, arguments, seed, defaults)
        model = msgspec.structs.replace(built, functions=functions or {})
    except TooManyErrors:
        raise document.invalid(arguments.errors) from None
    if spec.parametrization == "standard":
        return model
    from initcli.sources.parametrization import parametrized  # not needed to read a plain spec

    again = partial(build, seed=seed, defaults=defaults, functions=functions)
    return parametrized(model, spec.parametrization, spec.base_width, again)


def _built(
    document: Document, arguments: Networks, seed: int | None, defaults: Framework | None
) -> tuple[Model, Spec]:
    data = document.data
    kind = "Functional"
    if document.dialect == "keras":
        kind = data.get("type", kind)
        own = ("type", "input_layers", "trainable")
        data = {key: value for key, value in data.items() if key not in own}
    if not isinstance(data, Mapping):
        raise document.refused(f"a spec is a mapping with `layers`, not {quoted(data)}")
    data = {key: value for key, value in data.items() if key != EDITOR_KEY}
    if _is_something_else(data):
        message = "this is not a spec: it has no `layers` and unknown keys"
        remedy = "a spec lists `layers`; `initcli init` writes one to begin with"
        raise document.refused(message, (), remedy)
    spec = arguments.struct(Spec, data, ())
    if spec is not None and len(spec.name or "") > limits.NAME_CHARACTERS:
        message = f"the name of this model has {len(spec.name or ''):,} characters"
        arguments.errors.report(message, ("name",))
    recipes = data.get("initializers")
    for name, recipe in recipes.items() if isinstance(recipes, Mapping) else ():
        arguments.recipe(name, recipe, ("initializers", name))
    built: Built | None = None
    if isinstance(data.get("layers"), list):
        keys = ("layers", "outputs", "input_layers", "trainable")
        entries = {key: document.data[key] for key in keys if key in document.data}
        # Entries are checked even if the rest of the spec is wrong.
        shape, batch_size = (spec.input_shape, spec.batch_size) if spec else (None, None)
        flows_in = None
        if shape is not None or "input_shape" in data:
            flows_in = Input(shape=shape or (), batch_size=batch_size)
        built = arguments.network({"type": kind, **entries}, (), flows_in)
    if spec is None or built is None:
        raise document.invalid(arguments.errors)
    seed, defaults = spec.seed if seed is None else seed, defaults or spec.defaults
    spec = msgspec.structs.replace(spec, seed=seed, defaults=defaults)
    building = _Building(spec, arguments, list(document.notes))
    building.notes += (
        f"the initializer '{name}' is the function of --custom, not the spec's recipe of that name"
        for name in sorted(arguments.recipes.keys() & arguments.functions.keys())
    )
    if document.dialect == "keras" and defaults != "keras":
        message = f"the defaults of {defaults} change nothing: a Keras file names its initializers"
        building.notes.append(message)
    shaped = building.shapes(built)
    layers = tuple(building.layers(built.network, shaped, "", built.network.trainable, built.paths))
    if document.dialect == "keras":
        # Not needed to read a plain spec.
        from initcli.sources.keras.notes import of_unknown

        every = [(each.name, each.layer) for each in leaves(layers)]
        building.notes += of_unknown((n, layer) for n, layer in every if isinstance(layer, Opaque))
    if arguments.errors:
        raise document.invalid(arguments.errors)
    model = Model(
        name=spec.name or "model",
        seed=seed,
        dtype=spec.dtype,
        defaults=defaults,
        network=built.network,
        layers=layers,
        document=document,
        notes=tuple(dict.fromkeys(building.notes)),
    )
    return model, spec


def _is_something_else(data: Mapping[str, Any]) -> bool:
    """Whether a mapping is a file of another kind rather than a spec with a mistake."""
    unknown = [key for key in data if key not in Spec.__struct_fields__]
    return "layers" not in data and len(unknown) > 1 and nearest("layers", unknown) == ""


class _Building:
    """Builds the layers of a network with their parameters."""

    def __init__(self, spec: Spec, arguments: Networks, notes: list[str]) -> None:
        self.spec = spec
        self.arguments = arguments
        self.errors = arguments.errors
        self.notes = notes
        self.reported: set[Path] = set()

    def shapes(self, built: Built) -> list[Shaped]:
        """The shapes at every call; errors are added once for each place."""
        network, paths = built
        reported: set[Path] = set()
        failures: list[tuple[int, ShapeError | ArgumentError]] = []
        shaped = network.shapes(failed=lambda call, error: failures.append((call, error)))
        turned = next(_turned(network, shaped), "")
        self.notes += [turned] if turned else []
        for call, error in failures:
            layer, path = network.layers[network.calls[call].layer], paths[call]
            if layer is not BROKEN and path not in reported:
                reported.add(path)
                self._failed(error, layer, path, turned)
        for call, shapes in enumerate(shaped):
            layer, path = network.layers[network.calls[call].layer], paths[call]
            if not shapes.outputs and isinstance(layer, Recorded):
                continue
            sizes = (math.prod(n for n in shape if n is not None) for shape in shapes.outputs)
            if max(sizes, default=0) > LARGEST_TENSOR and path not in reported:
                reported.add(path)
                message = f"the output of this {layer.type_name} would have too many entries"
                remedy = f"no tensor can have more than {LARGEST_TENSOR:,}"
                self.errors.report(message, path, remedy, kind=ShapeMismatch)
        return shaped

    def _failed(
        self, error: ShapeError | ArgumentError, layer: Layer, path: Path, remedy: str = ""
    ) -> None:
        if isinstance(error, ArgumentError):
            given = {each for each in layer.__struct_fields__ if getattr(layer, each) is not None}
            self.arguments.invalid_argument(error, given, path)
        else:
            self.errors.report(str(error), path, remedy or error.remedy, kind=ShapeMismatch)

    def layers(
        self,
        network: Network,
        shaped: list[Shaped],
        prefix: str,
        trainable: bool,
        paths: list[Path],
    ) -> Iterator[BuiltLayer]:
        """The listed layers, named under ``prefix``; ``paths`` are those of the calls."""
        calls = network.calls_of_layers()
        for index, (name, layer) in enumerate(zip(network.names, network.layers, strict=True)):
            first = calls[index][0]
            shapes = shaped[first]
            is_listed = index not in network.hidden and not (
                isinstance(network, Sequential) and isinstance(layer, Input)
            )
            if not is_listed or not (shapes.outputs or isinstance(layer, Recorded)):
                continue
            full, path = f"{prefix}{name}", paths[first]
            children: tuple[BuiltLayer, ...] = ()
            parameters: tuple[Parameter, ...]
            if isinstance(layer, Network):
                inside = layer.shapes(shapes.inputs)
                places = self.arguments.built[id(layer)].paths
                trained = trainable and layer.trainable
                children = tuple(self.layers(layer, inside, f"{full}/", trained, places))
                parameters = tuple(p for child in children for p in child.parameters)
            else:
                parameters = self._parameters(layer, full, shapes.inputs, trainable, path)
            yield BuiltLayer(
                name=full,
                layer=layer,
                input_shapes=shapes.inputs,
                output_shapes=shapes.outputs,
                parameters=parameters,
                layers=children,
                calls=len(calls[index]),
                path=path,
            )

    def _parameters(
        self, layer: Layer, name: str, inputs: Shapes, trainable: bool, path: Path
    ) -> tuple[Parameter, ...]:
        try:
            own = list(within(layer, name, layer.parameters(*inputs), self.spec.dtype))
            own, notes = with_defaults(self.spec.defaults, own)
        except (ShapeError, ArgumentError) as error:
            self._failed(error, layer, path)
            return ()
        self.notes += notes
        finished = tuple(
            msgspec.structs.replace(
                parameter, trainable=parameter.trainable and trainable, seed=self.spec.seed
            )
            for parameter in own
        )
        finished = tuple(_linked(parameter, finished) for parameter in finished)
        if path not in self.reported:
            before = len(self.errors)
            for parameter in finished:
                self._require_fillable(parameter, path)
            if len(self.errors) > before:
                # A repeated block is reported once.
                self.reported.add(path)
        return finished

    def _require_fillable(self, parameter: Parameter, path: Path) -> None:
        """Report why a parameter cannot be filled, at the argument of its initializer."""
        place = (*path, parameter.argument or "type")
        if parameter.size > LARGEST_TENSOR:
            message = f"{parameter.path} would have {parameter.size:.3g} entries"
            self.errors.report(message, path, "no tensor can be that large", kind=ShapeMismatch)
            return
        try:
            distribution = parameter.initializer.distribution_for(parameter.shape)
            parameter.initializer.fans(parameter.shape)
        except ShapeError as error:
            remedy = error.remedy or f"{parameter.path} needs another initializer"
            message = f"{error} ({parameter.path})"
            self.errors.report(message, place, remedy, kind=ShapeMismatch)
            return
        if distribution is None:
            return
        low, high = distribution.extent
        largest = LARGEST[parameter.dtype]
        if (far := max(abs(low), abs(high)) > largest) or high - low > largest:
            what = "is more" if far else "is wider"
            held = f"{what} than {parameter.dtype} holds, at most {largest:.5g}"
            drawn = distribution.text if distribution.std == 0 else f"~ {distribution.text}"
            remedy = "draw smaller values, or take another dtype"
            self.errors.report(f"{parameter.path} {drawn} {held}", place, remedy)


def _turned(network: Network, shaped: Iterable[Shaped]) -> Iterator[str]:
    """What is said of square images of 1 or 3 channels that seem to come first, as in PyTorch."""
    for call, shapes in zip(network.calls, shaped, strict=True):
        match network.layers[call.layer], shapes.inputs:
            case Sliding(data_format=None), ((_, 1 | 3 as first, size, channels),):
                if size == channels and size is not None and size > 4:
                    yield (
                        f"the input ({first}, {size}, {size}) is read as height {first}, width "
                        f"{size} and {size} channels; if channels come first, as in PyTorch, write "
                        "data_format: channels_first"
                    )


def _linked(parameter: Parameter, layer: tuple[Parameter, ...]) -> Parameter:
    """The parameter; one computed from another of its layer gets access to that one's values."""
    made = parameter.initializer
    if not isinstance(made, NormOf):
        return parameter
    path = f"{parameter.path.removesuffix(parameter.name)}{made.source}"
    source = next(each for each in layer if each.path == path)
    linked = msgspec.structs.replace(
        made, values=partial(draw, source), source_distribution=source.distribution
    )
    return msgspec.structs.replace(parameter, initializer=linked)
