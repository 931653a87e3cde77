"""The entries of a spec to a network: blocks, names, calls, and who takes what from whom."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple

from initcli.errors import (
    CircularInputs,
    DuplicateName,
    EmptyStack,
    InvalidValue,
    MissingArgument,
    MissingInputShape,
    Path,
    ShapeMismatch,
    SpecError,
    UnknownArgument,
    UnknownName,
    did_you_mean,
    printable,
    quoted,
)
from initcli.layers import Layer, known_layers
from initcli.layers.core import Input, Opaque
from initcli.layers.network import Call, Network, Source
from initcli.spec.arguments import Arguments

LONGEST_NAME = 200
"""Characters of a layer's name at most."""
MOST_CALLS = 100_000
"""Calls of layers in one model at most, every repetition counted."""
INPUT = "input"
"""What flows into a block, or into a stack that has an input_shape."""

_BROKEN = Opaque(kind="")
"""Stands for a layer that could not be made, whose mistakes are reported already."""


class Reference(NamedTuple):
    """A layer that is named as an input, and which of its outputs."""

    name: str
    output: int
    path: Path


@dataclass(frozen=True)
class _Entry:
    """One entry as it is written: a layer, or one more call of a layer, or a block."""

    path: Path
    name: str
    inputs: tuple[Reference, ...] | None
    options: Mapping[str, bool]
    layer: Layer | None = None
    shared: str = ""
    block: tuple[_Entry, ...] = ()
    repeat: int | None = None


@dataclass
class _Item:
    """One call of the network to be; layer is None until the layer that it shares is found."""

    name: str
    path: Path
    scope: str
    layer: int | None
    shared: str = ""
    inputs: Sequence[Reference] = ()
    sources: list[Source] = field(default_factory=list)
    options: Mapping[str, bool] = field(default_factory=dict)


class Built(NamedTuple):
    """A network, and where each of its calls is written."""

    network: Network
    paths: list[Path]


class Networks(Arguments):
    """Arguments among which whole networks may be.

    ``of_keras`` says that names are Keras's, which may be long and, of Keras 2, hold slashes.
    """

    of_keras = False

    def layer(self, data: Any, path: Path) -> Layer | None:
        kind = data.get("type") if isinstance(data, Mapping) else None
        if isinstance(kind, str) and kind in _network_types():
            built = self.network(data, path)
            return None if built is None else built.network
        return super().layer(data, path)

    def network(
        self, data: Mapping[str, Any], path: Path, flows_in: Layer | None = None
    ) -> Built | None:
        """The network of a mapping with ``layers``; ``flows_in`` stands for what is not an entry.

        What is wrong stands in ``errors``; it is None where nothing can be said of the rest.
        """
        cls = _network_types()[data["type"]]
        entries = data.get("layers")
        if "layers" not in data:
            message = f"{cls.__name__} needs `layers`, a list"
            self.errors.append(MissingArgument(message, path=path))
            return None
        if not isinstance(entries, list):
            message = f"`layers` must be a list, not {quoted(entries)}"
            self.errors.append(InvalidValue(message, path=(*path, "layers")))
            return None
        if not entries:
            remedy = "add one, such as {type: Dense, units: 10}"
            place = (*path, "layers")
            self.errors.append(EmptyStack("`layers` is empty", remedy=remedy, path=place))
            return None
        self._only(data, _NETWORK_KEYS, cls.__name__, path)
        own = Layer(
            name=self.value(str | None, "name", data.get("name"), (*path, "name")),
            trainable=self.value(bool, "trainable", data.get("trainable", True), path) is not False,
        )
        written = self._entries(entries, (*path, "layers"))
        has_inputs = any(isinstance(entry.layer, Input) for entry in written)
        if path and not has_inputs:
            # Whatever a network is called on flows into its first layer.
            flows_in = Opaque(kind=INPUT)
        outputs = self._references(data.get("outputs"), (*path, "outputs"))
        order = self._references(data.get("input_layers"), (*path, "input_layers"))
        assembly = _Assembly(self.errors, flows_in)
        try:
            return assembly.network(cls, own, written, outputs, order)
        except _CannotGoOn:
            return None

    def _entries(self, entries: Sequence[Any], path: Path) -> tuple[_Entry, ...]:
        """The entries of one list, each with its name."""
        found = [self._entry(entry, (*path, index)) for index, entry in enumerate(entries)]
        return tuple(_named(found, self.errors))

    def _entry(self, data: Any, path: Path) -> _Entry:
        mapping: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
        name = mapping.get("name")
        if name is not None:
            if not isinstance(name, str):
                message = f"`name` must be a text, not {quoted(name)}"
                self.errors.append(InvalidValue(message, path=(*path, "name")))
                name = None
            elif problem := self._unusable(name):
                message = f"the name {quoted(name)} {problem}"
                self.errors.append(InvalidValue(message, path=(*path, "name")))
                name = None
        before = len(self.errors)
        inputs = self._references(mapping.get("inputs"), (*path, "inputs"))
        misnamed = len(self.errors) > before
        entry = _Entry(path, name or "", inputs, {})
        if "repeat" in mapping or ("layers" in mapping and "type" not in mapping):
            return self._block(entry, mapping)
        if "call" in mapping:
            return self._shared(entry, mapping)
        kind = mapping.get("type")
        cls = known_layers().get(kind) if isinstance(kind, str) else None
        allowed = cls.takes().options if cls else ()
        options = self._options({key: mapping[key] for key in allowed if key in mapping}, path)
        if isinstance(data, Mapping):
            data = {k: v for k, v in data.items() if k not in ("inputs", *allowed)}
            if name is None:
                data.pop("name", None)
        layer = self.layer(data, path)
        if layer is not None and layer.merges and inputs is None:
            message = f"{layer.type_name} merges several inputs, and here it is given one"
            remedy = "name them: `inputs: [one, other]`"
            self.errors.append(MissingArgument(message, remedy=remedy, path=path))
            layer = None
        if misnamed:
            layer = None
        return replace(entry, layer=layer or _BROKEN, options=options)

    def _block(self, entry: _Entry, data: Mapping[str, Any]) -> _Entry:
        path = entry.path
        self._only(data, ("repeat", "name", "inputs", "layers"), "a block", path)
        repeat = data.get("repeat")
        if repeat is not None and (type(repeat) is not int or repeat < 1):
            message = f"`repeat` must be a whole number of at least 1, not {quoted(repeat)}"
            self.errors.append(InvalidValue(message, path=(*path, "repeat")))
            repeat = 1
        entries = data.get("layers")
        if not isinstance(entries, list) or not entries:
            message = "a block needs `layers`, a list of what it repeats"
            self.errors.append(MissingArgument(message, path=path))
            return replace(entry, layer=_BROKEN)
        if entry.inputs is not None and len(entry.inputs) != 1:
            message = "a block takes one input, which is `input` inside"
            remedy = "layers inside may name any layer outside as well"
            place = (*path, "inputs")
            self.errors.append(InvalidValue(message, remedy=remedy, path=place))
        block: list[_Entry] = []
        for inner in self._entries(entries, (*path, "layers")):
            if isinstance(inner.layer, Input):
                message = "an Input cannot stand in a block"
                self.errors.append(InvalidValue(message, path=inner.path))
                inner = replace(inner, layer=_BROKEN)
            block.append(inner)
        return replace(entry, block=tuple(block), repeat=repeat)

    def _shared(self, entry: _Entry, data: Mapping[str, Any]) -> _Entry:
        known = {name for cls in known_layers().values() for name in cls.takes().options}
        self._only(data, ("call", "name", "inputs", *sorted(known)), "a call", entry.path)
        shared = data["call"]
        if not isinstance(shared, str):
            message = f"`call` must be the name of a layer, not {quoted(shared)}"
            self.errors.append(InvalidValue(message, path=(*entry.path, "call")))
            return replace(entry, layer=_BROKEN)
        options = self._options({key: data[key] for key in known & data.keys()}, entry.path)
        return replace(entry, shared=shared, options=options)

    def _options(self, data: Mapping[str, Any], path: Path) -> dict[str, bool]:
        return {
            name: self.value(bool, name, value, (*path, name)) is True
            for name, value in data.items()
        }

    def _only(self, data: Mapping[str, Any], keys: Sequence[str], what: str, path: Path) -> None:
        for key in data:
            if key not in keys:
                message = f"{what} takes no `{quoted(key).strip(chr(39))}`"
                remedy = did_you_mean(key, keys)
                place = (*path, key)
                error = UnknownArgument(message, remedy=remedy, path=place, at_key=True)
                self.errors.append(error)

    def _references(self, data: Any, path: Path) -> tuple[Reference, ...] | None:
        """What ``inputs`` or ``outputs`` names: one layer, or a list of them."""
        if data is None:
            return None
        several = isinstance(data, list)
        found: list[Reference] = []
        for index, each in enumerate(data if several else [data]):
            place = (*path, index) if several else path
            match each:
                case str():
                    found.append(Reference(each, 0, place))
                case {"layer": str(name), "output": int(output), **rest} if (
                    not rest and output >= 0 and output is not True
                ):
                    found.append(Reference(name, output, place))
                case _:
                    message = (
                        "an input is the name of a layer, or {layer: NAME, output: NUMBER}, "
                        f"not {quoted(each)}"
                    )
                    self.errors.append(InvalidValue(message, path=place))
        return tuple(found)

    def _unusable(self, name: str) -> str:
        """What is wrong with a layer's name, if anything is."""
        if not name:
            return "is empty"
        if "/" in name and not self.of_keras:
            return "holds a '/', which separates a layer's name from its tensors'"
        if len(name) > LONGEST_NAME and not self.of_keras:
            return f"has {len(name):,} characters, and {LONGEST_NAME} are allowed"
        if printable(name) != name:
            return "holds a character that cannot be printed"
        return ""


_NETWORK_KEYS = ("type", "name", "trainable", "layers", "outputs", "input_layers", "inputs")


@cache
def _network_types() -> dict[str, type[Network]]:
    return {k: cls for k, cls in known_layers().items() if issubclass(cls, Network)}


class _CannotGoOn(Exception):
    """What is wrong leaves nothing that could be said of the rest."""


class _Assembly:
    """Collects the calls of one network, finds whom they name, and puts them in order."""

    def __init__(self, errors: list[SpecError], flows_in: Layer | None) -> None:
        self.errors = errors
        self.layers: list[Layer] = []
        self.names: list[str] = []
        self.items: list[_Item] = []
        self.places: dict[str, int] = {}
        self.reported: set[Path] = set()
        self.flows_in = flows_in
        if flows_in is not None:
            self._new(_Item(INPUT, (), "", 0), flows_in)

    def network(
        self,
        cls: type[Network],
        own: Layer,
        entries: Sequence[_Entry],
        outputs: tuple[Reference, ...] | None,
        order: tuple[Reference, ...] | None,
    ) -> Built:
        """The network of those entries."""
        if self.flows_in is None and not any(isinstance(e.layer, Input) for e in entries):
            remedy = "add `input_shape: [28, 28, 1]`, without the batch, or an Input layer"
            message = "the spec does not say what shape flows into its first layer"
            self.errors.append(MissingInputShape(message, remedy=remedy))
            raise _CannotGoOn
        last = self._add(entries, "", None if self.flows_in is None else 0)
        for item in self.items:
            self._resolve(item)
        if self.reported:
            raise _CannotGoOn
        given = [self._found(reference, "") for reference in outputs or ()]
        inputs = [i for i, item in enumerate(self.items) if self._is_input(item)]
        ordered = [self._found(reference, "") for reference in order or ()]
        if ordered and sorted(source.call for source in ordered if source) == sorted(inputs):
            inputs = [source.call for source in ordered if source]
        places = self._order()
        found = {item: call for call, item in enumerate(places)}
        calls = tuple(self._call(self.items[item], found) for item in places)
        fed = {source.call for call in calls for source in call.inputs}
        # Layers are listed as they are first called.
        listed_layers = dict.fromkeys(call.layer for call in calls)
        number = {layer: index for index, layer in enumerate(listed_layers)}
        ends = [Source(found[source.call], source.output) for source in given if source]
        if not ends and last is not None and "Sequential" in cls.__name__:
            ends = [Source(found[last])]
        ends = ends or [Source(i) for i in range(len(calls)) if i not in fed]
        network = cls(
            name=own.name,
            trainable=own.trainable,
            names=tuple(self.names[layer] for layer in listed_layers),
            layers=tuple(self.layers[layer] for layer in listed_layers),
            calls=tuple(
                Call(layer=number[call.layer], inputs=call.inputs, options=call.options)
                for call in calls
            ),
            inputs=tuple(found[item] for item in inputs),
            outputs=tuple(ends),
            hidden=() if self.flows_in is None else (number[0],),
        )
        return Built(network, [self.items[item].path for item in places])

    def _add(self, entries: Sequence[_Entry], scope: str, flow: int | None) -> int | None:
        """Add a list of entries under a scope; what comes out of the last of them."""
        for entry in entries:
            name = f"{scope}{entry.name}"
            if entry.block:
                flow = self._add_block(entry, name, scope, flow)
                continue
            item = _Item(name, entry.path, scope, None, entry.shared, options=entry.options)
            if entry.inputs is not None:
                item.inputs = entry.inputs
            elif not isinstance(entry.layer, Input) and flow is not None:
                item.sources = [Source(flow)]
            if isinstance(entry.layer, Input) and self.flows_in is not None:
                message = "what flows in here is known already, from what comes before this Input"
                remedy = "give either input_shape or an Input as the first layer"
                self.errors.append(ShapeMismatch(message, remedy=remedy, path=entry.path))
                raise _CannotGoOn
            flow = self._new(item, entry.layer)
        return flow

    def _add_block(self, entry: _Entry, name: str, scope: str, flow: int | None) -> int | None:
        if entry.inputs:
            source = self._found(entry.inputs[0], scope)
            flow = None if source is None else source.call
        for number in range(1 if entry.repeat is None else entry.repeat):
            inner = name if entry.repeat is None else f"{name}_{number}"
            if flow is not None:
                self.places[f"{inner}/{INPUT}"] = flow
            flow = self._add(entry.block, f"{inner}/", flow)
            if flow is not None:
                self.places[inner] = flow
        if flow is not None:
            self.places[name] = flow
        return flow

    def _new(self, item: _Item, layer: Layer | None) -> int:
        if len(self.items) >= MOST_CALLS:
            message = f"this makes more than {MOST_CALLS:,} layers"
            self.errors.append(InvalidValue(message, path=item.path))
            raise _CannotGoOn
        if layer is not None:
            item.layer = len(self.layers)
            self.layers.append(layer)
            self.names.append(item.name)
        self.items.append(item)
        self.places[item.name] = len(self.items) - 1
        return len(self.items) - 1

    def _is_input(self, item: _Item) -> bool:
        if item.layer is None or item.shared:
            return False
        layer = self.layers[item.layer]
        return isinstance(layer, Input) or layer is self.flows_in

    def _resolve(self, item: _Item) -> None:
        """Find the layers that an item names."""
        for reference in item.inputs:
            if source := self._found(reference, item.scope):
                item.sources.append(source)
        if not item.shared:
            return
        place = Reference(item.shared, 0, (*item.path, "call"))
        source = self._found(place, item.scope)
        target = None if source is None else self.items[source.call]
        walked = 0
        while target is not None and target.shared and target is not item:
            walked += 1
            if walked > len(self.items):
                break  # They call one another.
            again = self._found(place._replace(name=target.shared), target.scope)
            target = None if again is None else self.items[again.call]
        if target is item or (target is not None and target.layer is None):
            message = f"'{item.shared}' is a call, and of no layer"
            self.errors.append(UnknownName(message, path=place.path))
        if target is None or target.layer is None:
            item.layer = len(self.layers)
            self.layers.append(_BROKEN)
            self.names.append(item.name)
            return
        item.layer = target.layer
        layer = self.layers[item.layer]
        for option in item.options.keys() - set(layer.takes().options):
            if layer is not _BROKEN:
                message = f"a call of {layer.type_name} takes no `{option}`"
                path = (*item.path, option)
                self.errors.append(UnknownArgument(message, path=path, at_key=True))

    def _found(self, reference: Reference, scope: str) -> Source | None:
        """Whom a reference means: the nearest of that name, looking outwards."""
        looked = scope
        while True:
            if (place := self.places.get(f"{looked}{reference.name}")) is not None:
                return Source(place, reference.output)
            if not looked:
                break
            looked = looked[:-1].rpartition("/")[0]
            looked = f"{looked}/" if looked else ""
        if reference.path not in self.reported:
            self.reported.add(reference.path)
            once = (name for name, i in self.places.items() if not self.items[i].shared)
            inner = (name.removeprefix(scope) for name in once)
            remedy = did_you_mean(reference.name, {name for name in inner if name})
            message = f"no layer is called {quoted(reference.name)}"
            self.errors.append(UnknownName(message, remedy=remedy, path=reference.path))
        return None

    def _order(self) -> list[int]:
        """The items in an order in which each comes after all that it takes, as written if it can.

        A further call of a layer comes after the first, but then as early as it can, so that
        layers keep their order.
        """
        first = {item.layer: i for i, item in enumerate(self.items) if not item.shared}
        waits: list[int] = []
        followers: list[list[int]] = [[] for _ in self.items]
        for index, item in enumerate(self.items):
            before = {source.call for source in item.sources}
            if item.shared and item.layer in first:
                before.add(first[item.layer])
            waits.append(len(before))
            for call in before:
                followers[call].append(index)
        ready = [(not self.items[i].shared, i) for i, left in enumerate(waits) if not left]
        heapq.heapify(ready)
        order: list[int] = []
        while ready:
            _, index = heapq.heappop(ready)
            order.append(index)
            for follower in followers[index]:
                waits[follower] -= 1
                if not waits[follower]:
                    heapq.heappush(ready, (not self.items[follower].shared, follower))
        if len(order) < len(self.items):
            self._report_circle(set(range(len(self.items))) - set(order))
        return order

    def _report_circle(self, left: set[int]) -> None:
        """Walk against the flow until a layer comes again: what lies between is a circle."""
        index = min(left)
        walked: list[int] = []
        while index not in walked:
            walked.append(index)
            item = self.items[index]
            before = [source.call for source in item.sources if source.call in left]
            # A further call waits for the first as well.
            index = (
                before[0]
                if before
                else next(
                    i
                    for i in left
                    if self.items[i].layer == item.layer and not self.items[i].shared
                )
            )
        circle = [index, *reversed(walked[walked.index(index) :])]
        names = " → ".join(self.items[i].name for i in circle[:8]) + " …" * (len(circle) > 8)
        message = f"layers feed one another in a circle: {names}"
        first = min(circle)
        self.errors.append(CircularInputs(message, path=(*self.items[first].path, "inputs")))
        raise _CannotGoOn

    @staticmethod
    def _call(item: _Item, found: Mapping[int, int]) -> Call:
        assert item.layer is not None
        sources = tuple(Source(found[source.call], source.output) for source in item.sources)
        return Call(layer=item.layer, inputs=sources, options=dict(item.options))


def is_broken(layer: Layer) -> bool:
    """Whether a layer stands for one whose mistakes are reported already."""
    return layer is _BROKEN


def _named(entries: list[_Entry], errors: list[SpecError]) -> Iterable[_Entry]:
    """The entries with names: their own, or their type's and a number, as in Keras."""
    taken: dict[str, _Entry] = {}
    blocks: dict[str, int] = {}
    for entry in entries:
        if not entry.name:
            continue
        if entry.name in taken:
            other = taken[entry.name].path
            errors.append(
                DuplicateName(
                    f"two layers are called '{entry.name}', this and {'.'.join(map(str, other))}",
                    remedy="give one of them another name, or none",
                    path=(*entry.path, "name"),
                )
            )
        taken[entry.name] = entry
        if entry.block and entry.repeat:
            blocks[entry.name] = entry.repeat
    for name, entry in taken.items():
        stem, _, number = name.rpartition("_")
        if number.isdecimal() and int(number[:9]) < blocks.get(stem, 0):
            message = f"'{name}' is a repetition of the block '{stem}'"
            path = (*entry.path, "name")
            errors.append(DuplicateName(message, remedy="give it another name", path=path))
    counts: dict[str, int] = {}
    for entry in entries:
        name = entry.name
        while not name:
            stem = _stem(entry)
            counts[stem] = counts.get(stem, 0) + 1
            candidate = _numbered(stem, counts[stem], bool(entry.block))
            name = "" if candidate in taken else candidate
        yield replace(entry, name=name)


def _stem(entry: _Entry) -> str:
    """What an entry is called when it has no name."""
    if entry.block:
        return "block"
    if entry.shared:
        return f"{entry.shared.rpartition('/')[2]}_call"
    assert entry.layer is not None
    return entry.layer.default_name()


def _numbered(stem: str, number: int, is_block: bool) -> str:
    """The name of the number-th entry of that stem: conv1d, conv1d_1, …

    A second block is block2, for block_1 is the second repetition of the first.
    """
    if number == 1:
        return stem
    return f"{stem}{number}" if is_block else f"{stem}_{number - 1}"
