"""Models of other widths: which sizes of a spec are hidden, and all of them scaled by a factor.

A size is hidden if it can grow while the shapes of the model's inputs and results stay what they
are. All are tried at once: shapes are computed twice in parallel, as they are and twice as wide.
Where both meet, in a result or in a layer whose inputs no longer fit, the sizes behind are fixed,
until the whole model fits. A size of a head is fixed, and the number of heads is scaled, as in
Tensor Programs V (Yang et al. 2022, arXiv:2203.03466). An entry that is marked `base: true` keeps
the sizes of the base model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from initcli.documents.document import Document, Origin
from initcli.errors import Path, did_you_mean, quoted
from initcli.layers import Layer
from initcli.layers.base import output_shapes
from initcli.layers.core import Input
from initcli.layers.network import CallOutput, Network, Sequential
from initcli.model import BuiltLayer, HiddenSize, Model
from initcli.sources.graph import BASE
from initcli.sources.overrides import BadOverride, Given, replaced, value_at
from initcli.types import ArgumentError, Shape, ShapeError, Shapes, Size, arguments_of

LARGEST_FACTOR = 1_000
"""Largest factor, and the inverse of the smallest."""
_FACTOR = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?|[0-9]{1,9}/[1-9][0-9]{0,8}")
_TRIED = 2
"""The factor that trials scale sizes by."""
_WHOLE = ("heads", "n_head", "groups")
"""Ends of the names of arguments that divide a size, and must stay whole."""


def factors(texts: Iterable[str]) -> list[tuple[Given, Fraction]]:
    """The factors in texts such as ``0.5,1,2`` with their texts, the smallest first.

    Raises:
        BadOverride: a text holds something else, or there are fewer than two factors.
    """
    found: dict[Fraction, Given] = {}
    every = list(texts)
    for given in (Given("--width", text) for text in every):
        for word in map(str.strip, given.text.split(",")):
            if not _FACTOR.fullmatch(word):
                remedy = "list factors: 0.5,1,2,4"
                raise BadOverride(given, f"{quoted(word)} is no number above 0", remedy)
            factor = Fraction(word)
            if not Fraction(1, LARGEST_FACTOR) <= factor <= LARGEST_FACTOR:
                message = f"a factor lies between 1/{LARGEST_FACTOR:,} and {LARGEST_FACTOR:,}"
                raise BadOverride(given, message)
            found.setdefault(factor, given)
    if every and len(found) < 2:
        message = "a sweep needs at least two widths"
        raise BadOverride(Given("--width", every[0]), message, "list factors: 0.5,1,2,4")
    return [(found[factor], factor) for factor in sorted(found)]


def hidden_sizes(model: Model, scale: Iterable[str] = ()) -> tuple[HiddenSize, ...]:
    """The sizes of a spec or a Keras model that could be scaled, with why some are fixed.

    Args:
        model: built from its document.
        scale: names of arguments, or patterns of ``layer.argument``, that are scaled in place of
            those that the layers declare as their width; by default as the spec says.

    Raises:
        BadOverride: a name is that of no size.
        InvalidSpec: so is one in the spec.
    """
    patterns, document = tuple(scale), model.document
    is_written = not patterns and document.dialect == "initcli"
    if is_written:
        patterns = tuple(document.data.get("scale", ()))
    if model.source == "huggingface":
        return _of_configuration(model, patterns)
    widening = _Widening(model, patterns)
    widening.run()
    for pattern in patterns:
        if pattern not in widening.used:
            known = {size.argument for size in widening.sizes.values()} | widening.unused
            remedy = did_you_mean(pattern, known) or f"there are {', '.join(sorted(known)[:9])}"
            message = "no layer has such a size"
            if is_written:
                raise document.refused(message, ("scale", patterns.index(pattern)), remedy)
            raise BadOverride(Given("--scale", pattern), message, remedy)
    return (*widening.sizes.values(), *widening.following.values())


def scaled(
    document: Document, sizes: Iterable[HiddenSize], given: Given, factor: Fraction
) -> Document:
    """The document with its hidden sizes scaled by a factor, and rounded.

    Raises:
        BadOverride: a number of heads or groups would not be whole.
    """
    if document.dialect == "huggingface":
        from initcli.sources.huggingface.model import with_parts  # not needed to read a spec

        document = with_parts(document)
    values: dict[Path, Origin] = {}
    for size in sizes:
        if size.why:
            continue
        exact = size.size * factor
        if exact.denominator > 1 and size.argument.endswith(_WHOLE):
            where = f" of '{size.layer}'" if size.layer else ""
            message = f"{float(factor):g} times the {size.size} `{size.argument}`{where} is no "
            remedy = f"take multiples of 1/{size.size}, or --scale other sizes"
            raise BadOverride(given, f"{message}whole number", remedy)
        value: Any = max(1, math.floor(exact + Fraction(1, 2)))
        path = size.path
        if isinstance(path[-1], int) and path[-2] not in value_at(document.data, path[:-2]):
            # A list that a configuration does not give is that of the library.
            path = path[:-1]
            before = values[path].document.data if path in values else []
            value = [*before, value]
        values[path] = given.origin(value)
    if document.data.get("parametrization", "standard") != "standard":
        # The base model stays the same.
        base = document.data.get("base_width", 1.0)
        if isinstance(base, int | float) and not isinstance(base, bool):
            values[("base_width",)] = given.origin(float(base / factor))
    return replaced(document, values)


def with_scale(document: Document, scale: Sequence[str]) -> Document:
    """The spec with the names of the sizes that are scaled, for its base model."""
    if not scale or document.dialect != "initcli":
        return document
    given = Given("--scale", ",".join(scale))
    return replaced(document, {("scale",): given.origin(list(scale))})


def is_rounded(sizes: Iterable[HiddenSize], factor: Fraction) -> bool:
    """Whether a size times the factor is not whole."""
    return any((size.size * factor).denominator > 1 for size in sizes if not size.why)


class _Flowing(NamedTuple):
    """The shapes of a tensor in the model and in the wider one, and the sizes that it grows by."""

    own: Shape
    wide: Shape
    by: frozenset[Path]

    @property
    def as_it_is(self) -> _Flowing:
        return _Flowing(self.own, self.own, frozenset())


class _Widening:
    """Finds the hidden sizes of a model.

    ``sizes`` are all that could be scaled, by their path in the document. ``used`` are the patterns
    that were met, and ``unused`` other names of sizes.
    """

    def __init__(self, model: Model, patterns: tuple[str, ...]) -> None:
        self.model = model
        self.patterns = patterns
        self.sizes: dict[Path, HiddenSize] = {}
        self.following: dict[Path, HiddenSize] = {}
        """Shapes of inputs that networks within the model declare."""
        self.used: set[str] = set()
        self.unused: set[str] = set()
        self.free: set[Path] = set()
        """Sizes of layers that a pattern names, which may change results."""
        self.places = dict(_places(model.layers))
        self.kernels: dict[str, tuple[list[Size], list[Size], frozenset[Path]]] = {}
        self.changed = False

    def run(self) -> None:
        """Fix sizes until the wider model fits."""
        self.changed = True
        while self.changed:
            self.changed = False
            self.kernels.clear()
            self.following.clear()
            for result in self._network(self.model.network, "", None):
                if result is not None and result.wide != result.own:
                    self._fix(result.by - self.free, "it reaches a result")

    def _network(
        self, network: Network, prefix: str, inputs: Sequence[_Flowing] | None
    ) -> list[_Flowing | None]:
        """The results of a network for inputs, by default its own; None where not known."""
        given = dict(zip(network.inputs, inputs or (), strict=False))
        made: list[list[_Flowing | None]] = []

        def output(source: CallOutput) -> _Flowing | None:
            outputs = made[source.call]
            return outputs[source.output] if source.output < len(outputs) else None

        for index, call in enumerate(network.calls):
            layer = network.layers[call.layer]
            name = f"{prefix}{network.names[call.layer]}"
            if index in given:
                self._input(network, layer, name, prefix, given[index])
                made.append([given[index]])
                continue
            taken = [each for source in call.inputs if (each := output(source)) is not None]
            if len(taken) < len(call.inputs):
                made.append([])
            elif isinstance(layer, Network):
                made.append(self._network(layer, f"{name}/", taken))
            else:
                made.append([*self._layer(layer, name, taken, call.options)])
        return [output(source) for source in network.outputs]

    def _input(
        self, network: Network, layer: Layer, name: str, prefix: str, given: _Flowing
    ) -> None:
        """Scale the input shape that an inner network declares with its input."""
        place = self.places.get(name)
        if place is None and isinstance(network, Sequential):
            outer = self.places.get(prefix.removesuffix("/"))
            place = None if outer is None else (*outer, "layers", 0)
        if not isinstance(layer, Input) or place is None:
            return
        for axis, (own, wide) in enumerate(zip(given.own[1:], given.wide[1:], strict=True)):
            path: Path = (*place, "shape", axis)
            if own is not None and own != wide and layer.shape[axis] is not None:
                size = HiddenSize(layer=name, argument="shape", size=own, path=path)
                self.following[path] = size

    def _layer(
        self, layer: Layer, name: str, inputs: list[_Flowing], options: Mapping[str, bool]
    ) -> list[_Flowing]:
        """The outputs of a layer; sizes are fixed if the wider one does not fit."""
        own = tuple(each.own for each in inputs)
        before = output_shapes(layer, own, options)
        keys = self._own_sizes(layer, name, own)
        wide = self._wide(layer, keys.values(), inputs, options)
        by = frozenset[Path]().union(*(each.by for each in inputs))
        if wide is None or len(wide) != len(before):
            self._fix_one_of(layer, keys, inputs, by, options)
            return [_Flowing(shape, shape, frozenset()) for shape in before]
        self._require_same_kernels(layer, name, keys, inputs, by)
        if wide == before:
            return [_Flowing(shape, shape, frozenset()) for shape in before]
        grows: frozenset[Path] = frozenset()
        for index, each in enumerate(inputs):
            others = [*inputs[:index], each.as_it_is, *inputs[index + 1 :]]
            if each.by and self._wide(layer, keys.values(), others, options) != wide:
                grows |= each.by
        for path in keys:
            others_keys = [key for other, key in keys.items() if other != path]
            if self._wide(layer, others_keys, inputs, options) != wide:
                grows |= {path}
        return [
            _Flowing(a, b, grows if a != b else frozenset())
            for a, b in zip(before, wide, strict=True)
        ]

    def _own_sizes(self, layer: Layer, name: str, inputs: Shapes) -> dict[Path, Path]:
        """The sizes of a layer that are not fixed: their paths in the document and the layer."""
        place = self.places.get(name)
        if place is None:
            return {}
        found: dict[Path, Path] = {}
        declared = list(layer.widths(*inputs))
        keys = _whole_numbers(layer) if self.patterns else declared
        for key in keys:
            path, argument = (*place, *key), ".".join(str(k) for k in key if isinstance(k, str))
            value = _value(layer, key)
            if not self._is_wanted(name, argument, path):
                self.unused.update([argument] if key in declared else ())
                continue
            if path not in self.sizes:
                is_marked = path not in self.free and _is_marked(self.model.document.data, place)
                why = f"it is marked `{BASE}`" if is_marked else ""
                size = HiddenSize(layer=name, argument=argument, size=value, path=path, why=why)
                self.sizes[path] = size
            if not self.sizes[path].why:
                found[path] = key
        return found

    def _is_wanted(self, name: str, argument: str, path: Path) -> bool:
        if not self.patterns:
            return True
        full, last = f"{name}.{argument}", argument.rpartition(".")[2]
        by_layer = {p for p in self.patterns if "." in p and fnmatchcase(full, p)}
        by_name = {p for p in self.patterns if fnmatchcase(argument, p) or fnmatchcase(last, p)}
        self.free.update([path] if by_layer else ())
        self.used |= by_layer | by_name
        return bool(by_layer or by_name)

    def _wide(
        self,
        layer: Layer,
        keys: Iterable[Path],
        inputs: Sequence[_Flowing],
        options: Mapping[str, bool],
    ) -> Shapes | None:
        """The output shapes of the wider layer; None if it does not fit."""
        try:
            wider = _widened(layer, keys)
            shapes = tuple(each.wide for each in inputs)
            list(wider.parameters(*shapes))
            return output_shapes(wider, shapes, options)
        except (ShapeError, ArgumentError):
            return None

    def _fix_one_of(
        self,
        layer: Layer,
        keys: Mapping[Path, Path],
        inputs: Sequence[_Flowing],
        by: frozenset[Path],
        options: Mapping[str, bool],
    ) -> None:
        """Fix the sizes that make a wider layer fail: its own, or those of its inputs."""
        why = f"it meets a fixed size in {type(layer).__name__}"
        if keys and self._wide(layer, (), inputs, options) is not None:
            self._fix(keys, why)
        else:
            self._fix(by or keys, why)

    def _require_same_kernels(
        self,
        layer: Layer,
        name: str,
        keys: Mapping[Path, Path],
        inputs: Sequence[_Flowing],
        by: frozenset[Path],
    ) -> None:
        """Fix the sizes of inputs of a layer if its calls would need weights of several shapes."""
        wider = _widened(layer, keys.values())
        shapes = [p.shape for p in wider.parameters(*(each.wide for each in inputs))]
        own = [p.shape for p in layer.parameters(*(each.own for each in inputs))]
        first = self.kernels.setdefault(name, (own, shapes, by))
        if first[0] == own and first[1] != shapes:
            self._fix(first[2] | by, f"several calls of {name} share its weights")

    def _fix(self, paths: Collection[Path], why: str) -> None:
        for path in paths:
            if not self.sizes[path].why:
                self.sizes[path] = msgspec.structs.replace(self.sizes[path], why=why)
                self.changed = True


def _is_marked(data: Any, place: Path) -> bool:
    """Whether the entry at a place of a document, or one around it, is marked."""
    for step in place:
        data = data[step]
        if isinstance(data, Mapping) and data.get(BASE) is True:
            return True
    return False


def _places(layers: Iterable[BuiltLayer]) -> Iterator[tuple[str, Path]]:
    """The layers by name, with where they are written."""
    for layer in layers:
        yield layer.name, layer.path
        yield from _places(layer.layers)


def _whole_numbers(layer: Layer) -> Iterator[Path]:
    """All whole numbers of a layer's arguments, those of layers within it too."""
    for argument in arguments_of(type(layer)):
        value = getattr(layer, argument.attribute)
        parts = enumerate(value) if isinstance(value, tuple) else [(None, value)]
        for index, each in parts:
            own: Path = (argument.name,) if index is None else (argument.name, index)
            if isinstance(each, Layer):
                yield from ((*own, *path) for path in _whole_numbers(each))
            elif type(each) is int and each > 0:
                yield own


def _attribute(layer: msgspec.Struct, key: str) -> str:
    return next(each.attribute for each in arguments_of(type(layer)) if each.name == key)


def _value(layer: Any, key: Path) -> int:
    for step in key:
        layer = layer[step] if isinstance(step, int) else getattr(layer, _attribute(layer, step))
    assert isinstance(layer, int)
    return layer


def _widened(layer: Layer, keys: Iterable[Path]) -> Layer:
    """The layer with some sizes larger.

    Raises:
        ArgumentError: they do not fit one another.
    """
    values: dict[Path, int] = {key: _TRIED * _value(layer, key) for key in keys}
    made: Layer = _with(layer, values)
    return made


def _with(value: Any, values: Mapping[Path, Any]) -> Any:
    if not values:
        return value
    if () in values:
        return values[()]
    inner: dict[Any, dict[Path, Any]] = {}
    for (first, *rest), each in values.items():
        inner.setdefault(first, {})[tuple(rest)] = each
    if isinstance(value, tuple):
        return tuple(_with(each, inner.get(i, {})) for i, each in enumerate(value))
    names = {key: _attribute(value, key) for key in inner}
    changed = {names[key]: _with(getattr(value, names[key]), own) for key, own in inner.items()}
    return msgspec.structs.replace(value, **changed)


def _of_configuration(model: Model, patterns: tuple[str, ...]) -> tuple[HiddenSize, ...]:
    """The keys of a configuration that are widths."""
    from initcli.sources.huggingface.model import sizes_of  # not needed to read a spec

    every, widths = sizes_of(model.document)
    names = {path: ".".join(each for each in path if isinstance(each, str)) for path in every}
    found = []
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names.values()):
            remedy = did_you_mean(pattern, set(names.values()))
            message = "the configuration has no such size"
            raise BadOverride(Given("--scale", pattern), message, remedy)
    for path, size in every.items():
        name = names[path]
        # One head of keys for all queries is a choice that a wider model keeps.
        is_kept = size == 1 and "heads" in name
        is_width = path in widths and not is_kept
        if any(fnmatchcase(name, each) for each in patterns) if patterns else is_width:
            found.append(HiddenSize(layer="", argument=name, size=size, path=path))
    return tuple(found)
