"""Reading of a spec's entries to networks, with every error in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from initcli import limits
from initcli.errors import InvalidGraph, Path, UnknownArgument, did_you_mean, printable, quoted
from initcli.initializers import Custom
from initcli.layers import Layer, known_layers
from initcli.layers.core import Input, Missing
from initcli.layers.network import Network
from initcli.sources.arguments import Arguments
from initcli.sources.assembly import BROKEN, Assembly, Built, CannotGoOn, Entry, Reference

_MAX_TYPE = 40
"""Characters of a layer's type that a remedy repeats."""


class Networks(Arguments):
    """Arguments that may be whole networks.

    ``of_keras`` allows the names of Keras 2, which may contain slashes.
    """

    of_keras = False

    def __init__(self, functions: Mapping[str, Custom] | None = None) -> None:
        super().__init__(functions)
        self.built: dict[int, Built] = {}
        """The networks that are layers, by id, with the paths of their calls."""

    def layer(self, data: Any, path: Path) -> Layer | None:
        kind = data.get("type") if isinstance(data, Mapping) else None
        if isinstance(kind, str) and kind in _network_types():
            built = self.network(data, path)
            if built is None:
                return None
            self.built[id(built.network)] = built
            return built.network
        return super().layer(data, path)

    def network(
        self, data: Mapping[str, Any], path: Path, flows_in: Layer | None = None
    ) -> Built | None:
        """The network of a mapping with ``layers``; ``flows_in`` is an input without an entry.

        Errors are added to ``errors``; the network is None if they leave nothing else to check.
        """
        cls = _network_types()[data["type"]]
        entries = data.get("layers")
        if "layers" not in data:
            self.errors.report(f"{cls.__name__} needs `layers`, a list", path)
            return None
        if not isinstance(entries, list):
            self.errors.report(f"`layers` must be a list, not {quoted(entries)}", (*path, "layers"))
            return None
        if not entries:
            remedy = "add one, such as {type: Dense, units: 10}"
            self.errors.report("`layers` is empty", (*path, "layers"), remedy)
            return None
        self._only(data, _NETWORK_KEYS, cls.__name__, path)
        own = Layer(
            name=self.value(str | None, "name", data.get("name"), (*path, "name")),
            trainable=self.value(bool, "trainable", data.get("trainable", True), path) is not False,
        )
        written = self.entries(entries, (*path, "layers"))
        has_inputs = any(isinstance(entry.layer, Input) for entry in written)
        if path and not has_inputs:
            # The input of the call goes to the first layer.
            flows_in = Missing()
        outputs = self._references(data.get("outputs"), (*path, "outputs"))
        order = self._references(data.get("input_layers"), (*path, "input_layers"))
        assembly = Assembly(self.errors, flows_in)
        try:
            return assembly.network(cls, own, written, outputs, order)
        except CannotGoOn:
            return None

    def entries(self, entries: Sequence[Any], path: Path) -> tuple[Entry, ...]:
        """The entries of one list, with their names; errors are added to ``errors``."""
        made = [self._entry(entry, (*path, index)) for index, entry in enumerate(entries)]
        self._require_different_names(made)
        return tuple(_named(made))

    def _require_different_names(self, entries: Sequence[Entry]) -> None:
        taken: dict[str, Entry] = {}
        for entry in entries:
            if entry.name in taken:
                other = ".".join(map(str, taken[entry.name].path))
                message = f"two layers are called '{entry.name}', this and {other}"
                remedy = "give one of them another name, or none"
                self.errors.report(message, (*entry.path, "name"), remedy, kind=InvalidGraph)
            if entry.name:
                taken[entry.name] = entry
        for name, entry in taken.items():
            stem, _, number = name.rpartition("_")
            repeat = taken[stem].repeat or 0 if stem in taken and taken[stem].block else 0
            if number.isdecimal() and int(number[:9]) < repeat:
                message = f"'{name}' is a repetition of the block '{stem}'"
                remedy = "give it another name"
                self.errors.report(message, (*entry.path, "name"), remedy, kind=InvalidGraph)

    def _entry(self, data: Any, path: Path) -> Entry:
        mapping: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
        name = self._name(mapping.get("name"), (*path, "name"))
        before = len(self.errors)
        inputs = self._references(mapping.get("inputs"), (*path, "inputs"))
        misnamed = len(self.errors) > before
        masks = self._masks(mapping.get("masks"), (*path, "masks"))
        self._mark(mapping, path)
        entry = Entry(path, name or "", inputs, {}, masks)
        if "repeat" in mapping or ("layers" in mapping and "type" not in mapping):
            return self._block(entry, mapping)
        if "call" in mapping:
            return self._shared(entry, mapping)
        kind = mapping.get("type")
        cls = known_layers().get(kind) if isinstance(kind, str) else None
        allowed = cls.takes().options if cls else ()
        options = self._options(mapping, allowed, path)
        if isinstance(data, Mapping):
            own = {"inputs", "masks", *([] if self.of_keras else [BASE]), *allowed}
            data = {k: v for k, v in data.items() if k not in own}
            if name is None:
                data.pop("name", None)
        layer = self.layer(data, path)
        if layer is not None and layer.merges and inputs is None:
            message = f"{layer.type_name} merges several inputs, but has only one here"
            self.errors.report(message, path, "name them: `inputs: [one, other]`")
            layer = None
        if misnamed:
            layer = None
        return msgspec.structs.replace(entry, layer=layer or BROKEN, options=options)

    def _mark(self, data: Mapping[str, Any], path: Path) -> None:
        """Check the mark of an entry whose sizes a sweep of widths does not scale."""
        if not self.of_keras and "call" not in data:
            self.value(bool, BASE, data.get(BASE, False), (*path, BASE))

    def _name(self, name: Any, path: Path) -> str | None:
        if name is None:
            return None
        allowed = limits.NAME_CHARACTERS
        if not isinstance(name, str):
            self.errors.report(f"`name` must be a text, not {quoted(name)}", path)
            return None
        if not name:
            problem = "is empty"
        elif "/" in name and not self.of_keras:
            problem = "has a '/', which separates the name of a layer from those of its tensors"
        elif len(name) > allowed:
            problem = f"has {len(name):,} characters, but {allowed} are allowed"
        elif printable(name) != name:
            problem = "has a character that cannot be printed"
        else:
            return name
        self.errors.report(f"the name {quoted(name)} {problem}", path)
        return None

    def _block(self, entry: Entry, data: Mapping[str, Any]) -> Entry:
        path = entry.path
        if "type" in data and "repeat" in data:
            message = "`repeat` repeats the layers of a block, not a layer"
            layer = printable(str(data["type"])[:_MAX_TYPE])
            remedy = f"write {{repeat: {quoted(data['repeat'])}, layers: [{{type: {layer}, ...}}]}}"
            self.errors.report(message, (*path, "repeat"), remedy, at_key=True)
            return msgspec.structs.replace(entry, layer=BROKEN)
        self._only(data, ("repeat", "name", "inputs", BASE, "layers"), "a block", path)
        repeat = data.get("repeat")
        if repeat is not None and (type(repeat) is not int or repeat < 1):
            message = f"`repeat` must be a whole number of at least 1, not {quoted(repeat)}"
            self.errors.report(message, (*path, "repeat"))
            repeat = 1
        entries = data.get("layers")
        if not isinstance(entries, list) or not entries:
            self.errors.report("a block needs `layers`, a list", path)
            return msgspec.structs.replace(entry, layer=BROKEN)
        if entry.inputs is not None and len(entry.inputs) != 1:
            message = "a block takes one input, which its layers call `input`"
            remedy = "its layers may also name any layer outside the block"
            self.errors.report(message, (*path, "inputs"), remedy)
        block: list[Entry] = []
        for inner in self.entries(entries, (*path, "layers")):
            if isinstance(inner.layer, Input):
                self.errors.report("a block cannot have an Input", inner.path)
                inner = msgspec.structs.replace(inner, layer=BROKEN)
            block.append(inner)
        return msgspec.structs.replace(entry, block=tuple(block), repeat=repeat)

    def _shared(self, entry: Entry, data: Mapping[str, Any]) -> Entry:
        known = sorted({name for cls in known_layers().values() for name in cls.takes().options})
        self._only(data, ("call", "name", "inputs", "masks", *known), "a call", entry.path)
        shared = data["call"]
        if not isinstance(shared, str):
            message = f"`call` must be the name of a layer, not {quoted(shared)}"
            self.errors.report(message, (*entry.path, "call"))
            return msgspec.structs.replace(entry, layer=BROKEN)
        options = self._options(data, known, entry.path)
        return msgspec.structs.replace(entry, shared=shared, options=options)

    def _options(
        self, data: Mapping[str, Any], known: Iterable[str], path: Path
    ) -> dict[str, bool]:
        return {
            name: self.value(bool, name, data[name], (*path, name)) is True
            for name in known
            if name in data
        }

    def _only(self, data: Mapping[str, Any], keys: Collection[str], what: str, path: Path) -> None:
        for key in data:
            if key not in keys:
                message = f"{what} takes no `{quoted(key).strip(chr(39))}`"
                remedy = did_you_mean(key, keys)
                self.errors.report(message, (*path, key), remedy, kind=UnknownArgument, at_key=True)

    def _references(self, data: Any, path: Path) -> tuple[Reference, ...] | None:
        """The layers that ``inputs`` or ``outputs`` names: one, or a list of them."""
        if data is None:
            return None
        several = isinstance(data, list)
        if several and len(data) > limits.INPUTS:
            message = f"{len(data):,} inputs are named here, but {limits.INPUTS:,} are allowed"
            self.errors.report(message, path)
            return ()
        return tuple(
            reference
            for index, each in enumerate(data if several else [data])
            for reference in self._reference(each, (*path, index) if several else path)
        )

    def _reference(self, data: Any, path: Path) -> list[Reference]:
        """A reference to one layer, empty if it is not valid."""
        match data:
            case str():
                return [Reference(data, 0, path)]
            case {"layer": str(name), "output": int(output), **rest} if (
                not rest and output >= 0 and not isinstance(output, bool)
            ):
                return [Reference(name, output, path)]
        forms = "the name of a layer, or {layer: NAME, output: NUMBER}"
        self.errors.report(f"an input is {forms}, not {quoted(data)}", path)
        return []

    def _masks(self, data: Any, path: Path) -> dict[str, Reference]:
        """The masks that a call names, each an output of a layer."""
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            message = f"`masks` must be a mapping of masks to layers, not {quoted(data)}"
            self.errors.report(message, path, "such as `masks: {mask: NAME}`")
            return {}
        return {
            str(name): reference
            for name, each in data.items()
            for reference in self._reference(each, (*path, name))
        }


def _named(entries: Sequence[Entry]) -> Iterable[Entry]:
    """The entries with names: their own, or their type and a number, as in Keras."""
    taken = {entry.name for entry in entries}
    counts: dict[str, int] = {}
    for entry in entries:
        name = entry.name
        while not name:
            stem = _stem(entry)
            counts[stem] = counts.get(stem, 0) + 1
            number = counts[stem]
            # conv1d, conv1d_1, …; but a second block is block2, as block_1 is a repetition.
            further = f"{stem}{number}" if entry.block else f"{stem}_{number - 1}"
            candidate = stem if number == 1 else further
            name = "" if candidate in taken else candidate
        yield msgspec.structs.replace(entry, name=name)


def _stem(entry: Entry) -> str:
    if entry.block:
        return "block"
    if entry.shared:
        return f"{entry.shared.rpartition('/')[2]}_call"
    assert entry.layer is not None
    return entry.layer.default_name()


BASE = "base"
"""The key that marks an entry whose sizes no sweep of widths scales."""
_NETWORK_KEYS = ("type", "name", "trainable", "layers", "outputs", "input_layers")


@cache
def _network_types() -> dict[str, type[Network]]:
    return {k: cls for k, cls in known_layers().items() if issubclass(cls, Network)}
