"""The model: checked layers, each with its name, its shapes and its parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

import msgspec

from initcli.choices import Loss, Parametrization
from initcli.display import Displayed
from initcli.documents.document import Document
from initcli.errors import NoSuchTensor, Path, nearest_pattern, quoted
from initcli.frameworks import Framework
from initcli.initializers.custom import Custom
from initcli.layers import Layer
from initcli.layers.network import Network
from initcli.parameter import Parameter
from initcli.types import Dtype, Shape, Shapes, Size, doc, shapes_text, texts

BLOCK_NUMBER = re.compile(r"(?<![^.])[0-9]{1,18}(?![^.])")
"""The number of a block in the path of a tensor, between dots."""


class BuiltLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer in a model: its name, its input and output shapes, and its parameters.

    Shapes are those of the first call. A network within the model has ``layers``, and their
    parameters. ``path`` is the path of the layer in the document.
    """

    name: str
    layer: Layer
    input_shapes: Shapes = ()
    output_shapes: Shapes = ()
    parameters: tuple[Parameter, ...]
    layers: tuple[BuiltLayer, ...] = ()
    calls: int = 1
    path: Path = ()

    @property
    def output_shape(self) -> Shape:
        """The shape of the output, or of the first of several."""
        return self.output_shapes[0]

    @property
    def separator(self) -> str:
        """What separates the parts of the name."""
        return self.parameters[0].separator if self.parameters else "/"

    @property
    def type(self) -> str:
        """The name of the layer's type."""
        return self.layer.type_name

    def path_of(self, parameter: Parameter) -> Path:
        """Where in the document the initializer of a parameter is written, or could be."""
        if parameter.owner is None:
            return self.path
        argument = () if parameter.argument is None else (parameter.argument,)
        return (*self.path, *parameter.owner.keys, *argument)

    @property
    def size(self) -> int:
        """The number of its weights."""
        return sum(parameter.size for parameter in self.parameters)


def leaves(layers: Iterable[BuiltLayer]) -> Iterator[BuiltLayer]:
    """The layers without inner layers, those of networks within the model included."""
    for layer in layers:
        if layer.layers:
            yield from leaves(layer.layers)
        else:
            yield layer


def blocks_as_one(path: str) -> str:
    """The path of a tensor with ``*`` in place of the number of a block: ``layers.*.norm``.

    >>> from initcli.model import blocks_as_one
    >>> blocks_as_one("model.layers.11.mlp.fc1.weight")
    'model.layers.*.mlp.fc1.weight'
    """
    return BLOCK_NUMBER.sub("*", path)


def with_parameters(layer: BuiltLayer, change: Callable[[Parameter], Parameter]) -> BuiltLayer:
    """The layer with a function applied to its parameters, and to those of inner layers."""
    return msgspec.structs.replace(
        layer,
        parameters=tuple(map(change, layer.parameters)),
        layers=tuple(with_parameters(inner, change) for inner in layer.layers),
    )


def with_notes(model: Model, notes: Iterable[str]) -> Model:
    """The model with further notes."""
    return msgspec.structs.replace(model, notes=(*model.notes, *notes))


class HiddenSize(msgspec.Struct, frozen=True, kw_only=True):
    """One size of a spec that is, or could be, larger in a wider model."""

    layer: Annotated[str, doc("Layer that it belongs to; empty for a key of a configuration.")]
    argument: Annotated[str, doc("Argument, such as units.")]
    size: Annotated[int, doc("Size at width 1.")]
    why: Annotated[str, doc("Why it is fixed; empty for a size that is scaled.")] = ""
    path: Annotated[tuple[str | int, ...], doc("Where it stands in the spec.")] = ()


class Width(msgspec.Struct, frozen=True, kw_only=True):
    """The width of a model: the factor of all hidden sizes.

    ``family`` is what the models of one sweep have in common, as a label; ``scaled`` and ``fixed``
    are the sizes at width 1.
    """

    factor: float
    family: str = ""
    scaled: tuple[HiddenSize, ...] = ()
    fixed: tuple[HiddenSize, ...] = ()

    @property
    def text(self) -> str:
        """The sizes in short: how many of each argument."""
        has_heads = any("head" in size.argument for size in self.scaled)
        heads = ", each head of the same size" if has_heads else ""
        return f"scaled: {_counted(self.scaled)}{heads}; fixed: {_counted(self.fixed) or 'none'}"


def _counted(sizes: Sequence[HiddenSize]) -> str:
    """A summary of sizes: the layers of each argument, or their number."""
    named: dict[str, list[str]] = {}
    for size in sizes:
        named.setdefault(size.argument, []).append(size.layer)
    parts = []
    for argument, layers in named.items():
        names = [layer for layer in layers if layer]
        few = " and ".join(names) if len(names) < 3 else f"{len(names)} layers"
        parts.append(f"{argument} of {few}" if names else argument)
    return ", ".join(parts)


Kind = Literal["missing", "optional", "unexpected", "shape", "untied"]


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor that differs between a file and the model that its values are compared with.

    Args:
        kind: ``missing`` where the file has no values of a declared tensor, ``optional`` where it
            need not have any, ``unexpected`` where the model declares no tensor of the file,
            ``shape`` where the shapes differ, and ``untied`` where two tensors that should be one
            have different values.
        path: of the tensor.
        declared: the declared shape, if there is one.
        names: tensors of the file that it is about: those that are missing, or that differ.
        count: how many these are, where not all are named.
        remedy: what the model would have to say for the file to fit; empty if that is not known.
        key: the key of the configuration that this is about.
    """

    kind: Kind
    path: str
    declared: Size | None = None
    names: tuple[str, ...] = ()
    count: int = 1
    remedy: str = ""
    key: str = ""


class Model(Displayed, frozen=True, kw_only=True):
    """Checked layers, from which every weight follows.

    ``network`` has the connections of the layers. ``document`` is the source, and ``notes`` are
    facts about it for its author. ``functions`` are the custom initializers that the document may
    name. ``width`` is the factor of a sweep of widths. ``ties`` are other names of parameters, with
    their paths. ``loss`` is that of outputs without an activation, if the source names it.
    ``disagreements`` are those of a file with the values of the model.
    """

    name: str
    seed: int
    dtype: Dtype
    defaults: Framework
    network: Network
    layers: tuple[BuiltLayer, ...]
    document: Document
    functions: Mapping[str, Custom] = {}
    notes: tuple[str, ...] = ()
    width: Width | None = None
    parametrization: Parametrization = "standard"
    ties: Mapping[str, str] = {}
    loss: Loss | None = None
    disagreements: tuple[Disagreement, ...] = ()

    view: ClassVar[str] = "model"

    @property
    def headline(self) -> str:
        size = sum(layer.size for layer in self.layers)
        return f"{self.name}: {len(self.layers):,} layers, {size:,} weights"

    def lines(self) -> Iterator[tuple[str, ...]]:
        for layer in self.layers:
            yield layer.name, layer.type, shapes_text(layer.output_shapes), f"{layer.size:,}"

    @property
    def source(self) -> str:
        """What the model was read from: ``spec``, or the dialect of its document."""
        return "spec" if self.document.dialect == "initcli" else self.document.dialect

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every parameter, in the order of the layers."""
        return tuple(parameter for layer in self.layers for parameter in layer.parameters)

    def matching(self, globs: Iterable[str]) -> tuple[Parameter, ...]:
        """The parameters whose path one of the patterns matches, in which ``*`` is any text.

        Raises:
            NoSuchTensor: a pattern matches none.
        """
        return matching(self.parameters, globs)


def matching(parameters: Sequence[Parameter], globs: Iterable[str]) -> tuple[Parameter, ...]:
    """The parameters whose path one of the patterns matches, see :meth:`Model.matching`."""
    wanted = texts("globs", globs)
    for glob in wanted:
        if not any(fnmatchcase(parameter.path, glob) for parameter in parameters):
            remedy = nearest_pattern(glob, (parameter.path for parameter in parameters))
            raise NoSuchTensor(f"no tensor's path matches {quoted(glob)}", remedy)
    return tuple(
        parameter
        for parameter in parameters
        if any(fnmatchcase(parameter.path, glob) for glob in wanted)
    )
