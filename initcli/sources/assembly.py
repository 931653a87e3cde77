"""Assembly of entries to a network: blocks repeat, names are resolved, calls are ordered."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from initcli import limits
from initcli.errors import (
    Errors,
    InvalidGraph,
    Path,
    ShapeMismatch,
    UnknownArgument,
    UnknownName,
    did_you_mean,
    listed,
    quoted,
)
from initcli.layers import Layer
from initcli.layers.core import Input, Missing
from initcli.layers.network import Call, CallOutput, Network, Sequential

BROKEN = Missing()
"""Stand-in for a layer whose errors are reported."""


class Reference(NamedTuple):
    """A layer named as an input, and the index of its output."""

    name: str
    output: int
    path: Path


class Entry(msgspec.Struct, frozen=True):
    """One entry: a layer, a further call of a layer, or a block."""

    path: Path
    name: str
    inputs: tuple[Reference, ...] | None
    options: Mapping[str, bool]
    masks: Mapping[str, Reference] = {}
    layer: Layer | None = None
    shared: str = ""
    block: tuple[Entry, ...] = ()
    repeat: int | None = None


INPUT = "input"
"""The name of the input of a block, or of a stack with an input_shape."""


class _Item(msgspec.Struct):
    """One call of the network; ``layer`` is None until a shared layer is resolved."""

    entry: Entry
    name: str
    scope: str = ""
    layer: int | None = None
    sources: list[CallOutput] = []
    masks: dict[str, CallOutput] = {}

    @property
    def before(self) -> list[CallOutput]:
        """The calls whose outputs it takes, masks included."""
        return [*self.sources, *self.masks.values()]


class Built(NamedTuple):
    """A network, and the path of each of its calls."""

    network: Network
    paths: list[Path]


class CannotGoOn(Exception):
    """Raised when the errors found leave nothing else to check."""


class Assembly:
    """Collects the calls of one network, resolves the names in them, and orders them."""

    def __init__(self, errors: Errors, flows_in: Layer | None) -> None:
        self.errors = errors
        self.layers: list[Layer] = []
        self.names: list[str] = []
        self.items: list[_Item] = []
        self.places: dict[str, int] = {}
        self.reported: set[Path] = set()
        self.max_layers = limits.in_force().layers
        self.flows_in = flows_in
        if flows_in is not None:
            self._new(_Item(Entry((), INPUT, None, {}), INPUT), flows_in)

    def network(
        self,
        cls: type[Network],
        own: Layer,
        entries: Sequence[Entry],
        outputs: tuple[Reference, ...] | None,
        order: tuple[Reference, ...] | None,
    ) -> Built:
        """The network of those entries."""
        if self.flows_in is None and not any(isinstance(e.layer, Input) for e in entries):
            remedy = "add `input_shape: [28, 28, 1]`, without the batch, or an Input layer"
            message = "the spec does not give the shape of its input"
            self.errors.report(message, (), remedy, kind=InvalidGraph)
            raise CannotGoOn
        last = self._add(entries, "", None if self.flows_in is None else 0)
        for item in self.items:
            self._resolve(item)
        if self.reported:
            raise CannotGoOn
        given = [self._resolved(reference, "") for reference in outputs or ()]
        inputs = [i for i, item in enumerate(self.items) if self._is_input(item)]
        ordered = [self._resolved(reference, "") for reference in order or ()]
        if ordered and sorted(source.call for source in ordered if source) == sorted(inputs):
            inputs = [source.call for source in ordered if source]
        places = self._order()
        numbers = {item: call for call, item in enumerate(places)}
        calls = tuple(self._call(self.items[item], numbers) for item in places)
        fed = {source.call for call in calls for source in call.sources}
        # Layers are listed in the order of their first calls.
        order_of_layers = dict.fromkeys(call.layer for call in calls)
        number = {layer: index for index, layer in enumerate(order_of_layers)}
        ends = [CallOutput(numbers[source.call], source.output) for source in given if source]
        if not ends and last is not None and issubclass(cls, Sequential):
            ends = [CallOutput(numbers[last])]
        ends = ends or [CallOutput(i) for i in range(len(calls)) if i not in fed]
        network = cls(
            name=own.name,
            trainable=own.trainable,
            names=tuple(self.names[layer] for layer in order_of_layers),
            layers=tuple(self.layers[layer] for layer in order_of_layers),
            calls=tuple(msgspec.structs.replace(call, layer=number[call.layer]) for call in calls),
            inputs=tuple(numbers[item] for item in inputs),
            outputs=tuple(ends),
            hidden=() if self.flows_in is None else (number[0],),
        )
        return Built(network, [self.items[item].entry.path for item in places])

    def _add(self, entries: Sequence[Entry], scope: str, flow: int | None) -> int | None:
        """Add a list of entries under a scope; returns the call that ends it."""
        for entry in entries:
            name = f"{scope}{entry.name}"
            if entry.block:
                flow = self._add_block(entry, name, scope, flow)
                continue
            item = _Item(entry, name, scope)
            if entry.inputs is None and not isinstance(entry.layer, Input) and flow is not None:
                item.sources = [CallOutput(flow)]
            if isinstance(entry.layer, Input) and self.flows_in is not None:
                message = "this Input has an input already, from what comes before it"
                remedy = "give either input_shape or an Input as the first layer"
                self.errors.report(message, entry.path, remedy, kind=ShapeMismatch)
                raise CannotGoOn
            flow = self._new(item, entry.layer)
        return flow

    def _add_block(self, entry: Entry, name: str, scope: str, flow: int | None) -> int | None:
        if entry.inputs:
            source = self._resolved(entry.inputs[0], scope)
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
        if len(self.items) >= self.max_layers:
            message = f"this makes more than {self.max_layers:,} layers"
            self.errors.report(message, item.entry.path, limits.remedy("layers"))
            raise CannotGoOn
        if layer is not None:
            item.layer = len(self.layers)
            self.layers.append(layer)
            self.names.append(item.name)
        self.items.append(item)
        self.places[item.name] = len(self.items) - 1
        return len(self.items) - 1

    def _is_input(self, item: _Item) -> bool:
        if item.layer is None or item.entry.shared:
            return False
        layer = self.layers[item.layer]
        return isinstance(layer, Input) or layer is self.flows_in

    def _resolve(self, item: _Item) -> None:
        for reference in item.entry.inputs or ():
            if source := self._resolved(reference, item.scope):
                item.sources.append(source)
        for name, reference in item.entry.masks.items():
            if source := self._resolved(reference, item.scope):
                item.masks[name] = source
        shared = item.entry.shared
        if not shared:
            assert item.layer is not None
            self._require_masks(item, self.layers[item.layer])
            return
        place = Reference(shared, 0, (*item.entry.path, "call"))
        source = self._resolved(place, item.scope)
        target = None if source is None else self.items[source.call]
        walked = 0
        while target is not None and target.entry.shared and target is not item:
            walked += 1
            if walked > len(self.items):
                break  # They call one another in a circle.
            again = self._resolved(place._replace(name=target.entry.shared), target.scope)
            target = None if again is None else self.items[again.call]
        if target is item or (target is not None and target.layer is None):
            message = f"'{shared}' is a call that leads to no layer"
            remedy = "`call` takes the name of a layer"
            self.errors.report(message, place.path, remedy, kind=UnknownName)
        if target is None or target.layer is None:
            item.layer = len(self.layers)
            self.layers.append(BROKEN)
            self.names.append(item.name)
            return
        item.layer = target.layer
        layer = self.layers[item.layer]
        self._require_masks(item, layer)
        for option in item.entry.options.keys() - set(layer.takes().options):
            if layer is not BROKEN:
                message = f"a call of {layer.type_name} takes no `{option}`"
                path = (*item.entry.path, option)
                self.errors.report(message, path, kind=UnknownArgument, at_key=True)

    def _require_masks(self, item: _Item, layer: Layer) -> None:
        """Report the masks that a call of the layer does not take."""
        for name in item.entry.masks.keys() - layer.takes_masks.keys():
            if layer is not BROKEN:
                message = f"a call of {layer.type_name} takes no mask called {quoted(name)}"
                known = did_you_mean(name, layer.takes_masks)
                remedy = known or f"it takes {listed(layer.takes_masks or ['none'], 'and')}"
                path = (*item.entry.path, "masks", name)
                self.errors.report(message, path, remedy, kind=UnknownArgument, at_key=True)

    def _resolved(self, reference: Reference, scope: str) -> CallOutput | None:
        """The call that a reference names: the nearest in the enclosing scopes."""
        looked = scope
        while True:
            if (place := self.places.get(f"{looked}{reference.name}")) is not None:
                return CallOutput(place, reference.output)
            if not looked:
                break
            looked = looked[:-1].rpartition("/")[0]
            looked = f"{looked}/" if looked else ""
        if reference.path not in self.reported:
            self.reported.add(reference.path)
            once = (name for name, i in self.places.items() if not self.items[i].entry.shared)
            inner = (name.removeprefix(scope) for name in once)
            remedy = did_you_mean(reference.name, {name for name in inner if name})
            remedy = remedy or "a layer without a `name` is called after its type: dense, dense_1"
            message = f"no layer is called {quoted(reference.name)}"
            self.errors.report(message, reference.path, remedy, kind=UnknownName)
        return None

    def _order(self) -> list[int]:
        """The items in an order in which each follows its inputs, as written where possible.

        A further call of a layer follows the first, as early as possible, so that layers keep
        their order.
        """
        first = {item.layer: i for i, item in enumerate(self.items) if not item.entry.shared}
        before: list[dict[int, None]] = []
        followers: list[list[int]] = [[] for _ in self.items]
        for index, item in enumerate(self.items):
            before.append(dict.fromkeys(source.call for source in item.before))
            if item.entry.shared and item.layer in first:
                before[-1][first[item.layer]] = None
            for call in before[-1]:
                followers[call].append(index)
        waits = list(map(len, before))
        ready = [(not self.items[i].entry.shared, i) for i, left in enumerate(waits) if not left]
        heapq.heapify(ready)
        order: list[int] = []
        while ready:
            _, index = heapq.heappop(ready)
            order.append(index)
            for follower in followers[index]:
                waits[follower] -= 1
                if not waits[follower]:
                    heapq.heappush(ready, (not self.items[follower].entry.shared, follower))
        if len(order) < len(self.items):
            self._report_circle(set(range(len(self.items))) - set(order), before)
        return order

    def _report_circle(self, left: set[int], before: Sequence[Iterable[int]]) -> None:
        """Walk against the flow until a call comes again: those between are a circle."""
        index = min(left)
        walked: list[int] = []
        while index not in walked:
            walked.append(index)
            index = next(call for call in before[index] if call in left)
        circle = [index, *reversed(walked[walked.index(index) :])]
        names = " → ".join(self.items[i].name for i in circle[:8]) + " …" * (len(circle) > 8)
        message = f"layers feed one another in a circle: {names}"
        first = min(circle)
        self.errors.report(message, (*self.items[first].entry.path, "inputs"), kind=InvalidGraph)
        raise CannotGoOn

    @staticmethod
    def _call(item: _Item, numbers: Mapping[int, int]) -> Call:
        assert item.layer is not None
        return Call(
            layer=item.layer,
            inputs=tuple(CallOutput(numbers[each.call], each.output) for each in item.sources),
            options=dict(item.entry.options),
            masks={
                name: CallOutput(numbers[each.call], each.output)
                for name, each in item.masks.items()
            },
        )
