"""The entries of a spec, in repeated blocks, and the described tensors that they use."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

from initcli.initializers import Constant, Initializer
from initcli.initializers.given import Parts
from initcli.limits import in_force
from initcli.sources.describe import written
from initcli.sources.huggingface.modules import ZERO, Module, Tensor, TooManyModules

Entry = dict[str, Any]


class NotComputed(Exception):
    """No layer describes a part of the model."""


class Entries:
    """The entries of a spec, each of which uses tensors of the described modules.

    Names are the library's. Within a block they are relative to it, and ``input`` is its input.
    """

    def __init__(self, modules: list[Module], holds: bool = True) -> None:
        self.entries: list[Entry] = []
        self.holds = holds
        """Whether entries hold the weights of what is not computed."""
        self.notes: dict[str, None] = {}
        self.placeholders: dict[str, None] = {}
        """Notes on weights whose initializer no spec can write."""
        self._tensors = {
            f"{module.name}.{name}".removeprefix("."): tensor
            for module in modules
            for name, tensor in module.tensors.items()
        }
        self._unused = dict.fromkeys(self._tensors)
        self._paths: dict[str, list[str]] = {}
        """Tensors by each part of their names that ends before a dot, and by the whole names."""
        for path in self._tensors:
            parts = path.split(".")
            for name in ("", *accumulate(parts, "{}.{}".format)):
                self._paths.setdefault(name, []).append(path)
        self._prefix = ""
        """Prefix of the names of modules and entries."""
        self._scope = ""
        """Prefix of the names of modules; within a block, that block's name."""
        self._table = ""
        self._count, self._limit = 0, in_force().layers
        self._successors: dict[str, str] = {}
        """Entries, and what is taken instead of them: an entry after each that holds weights."""
        self._waiting: list[Entry] = []
        """Weights for an entry after the first layer."""

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Prefix the names of modules and entries within; an empty name adds nothing."""
        outer = self._prefix
        self._prefix = self._scope = f"{outer}{name}." if name else outer
        yield
        self._prefix = self._scope = outer

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Use names of modules and entries without a prefix."""
        outer, self._prefix, self._scope = self._prefix, "", ""
        yield
        self._prefix = self._scope = outer

    @contextmanager
    def block(self, scope: str, index: int, takes: str) -> Iterator[None]:
        """Add the entries within as a block, or repeat the last block if it has the same entries.

        The name of a later block that differs ends in its number.
        """
        outer, successors, scope = self.entries, self._successors, f"{self._prefix}{scope}"
        takes = self._passed_on(takes)
        self.entries, self._successors, self._scope = [], {}, f"{scope}.{index}."
        yield
        self._successors = successors
        last = outer[-1] if outer else {}
        if last.get("name") == takes and last.get("layers") == self.entries:
            last["repeat"] += 1
        else:
            inputs = {} if last.get("name") == takes else {"inputs": takes}
            name = f"{scope}.{index}" if index else scope
            outer.append({"name": name, **inputs, "repeat": 1, "layers": self.entries})
        self.entries, self._scope = outer, self._prefix

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor, or a module with tensors, of that name."""
        full = f"{self._scope}{name}"
        return full in self._tensors or f"{full}.weight" in self._tensors

    @property
    def last(self) -> str:
        """The name of the last output."""
        name: str = self.entries[-1]["name"]
        return name

    def inside_last(self, name: str) -> str:
        """The name by which other blocks refer to an entry of the last block."""
        last = self.entries[-1]
        return f"{last['name']}_{last['repeat'] - 1}/{name}"

    def add(self, type_: str, name: str, takes: str | list[str] = "", **arguments: Any) -> str:
        """Add a layer."""
        if isinstance(takes, str):
            takes = self._passed_on(takes)
        else:
            takes = [self._passed_on(each) for each in takes]
        inputs = {"inputs": takes} if takes else {}
        full = name if self._is_in_block else f"{self._prefix}{name}"
        self._append({"type": type_, "name": full, **inputs, **arguments})
        if self._waiting and type_ != "Input":
            waiting, self._waiting = self._waiting, []
            self._hold(f"{name}.held", waiting)
        return full

    def again(self, name: str, table: str, takes: str, **how: Any) -> str:
        """Apply a layer, such as a table, once more with the weights that it has."""
        name, takes = name if self._is_in_block else f"{self._prefix}{name}", self._passed_on(takes)
        self._append({"call": table, "name": name, "inputs": takes, **how})
        return name

    def repeat(self, layers: list[Entry]) -> None:
        """Add layers to a block again, with the weights that they have."""
        names = {each["name"]: str(index) for index, each in enumerate(layers)}
        for index, each in enumerate(layers):
            takes = each["inputs"]
            given = [takes] if isinstance(takes, str) else takes
            inputs = [names.get(name, "input") for name in given]
            self._append({"call": each["name"], "name": str(index), "inputs": inputs})

    def tied(self, name: str, table: str, takes: str) -> str:
        """Add a projection whose weight is an existing table."""
        return self.again(name, table, takes, reverse=True)

    def will_tie(self, table: str) -> None:
        """Declare that a table, which is added later, is also the head's weight."""
        self._table = f"{self._prefix}{table}"

    def leave_out(self, name: str, what: str) -> None:
        """Leave out a module or a tensor, with a note on its effect."""
        if self.hold(name):
            self.notes[f"the signal leaves out {what}"] = None

    def hold(self, name: str) -> bool:
        """Keep the weights of a module, or one tensor, that the signal does not pass through.

        They are held by an Opaque entry after the last entry, which passes its input on.

        Returns:
            Whether there are any.
        """
        held = self.weights(name)
        if held and self.holds:
            self._hold(f"{name}.held", held)
        return bool(held)

    def _hold(self, name: str, held: list[Entry]) -> None:
        first = {"name": "input"} if self._is_in_block else {"type": "Input"}
        last: Entry = self.entries[-1] if self.entries else first
        if last.get("passes_on"):
            last["parameters"] += held
        elif last.get("type") == "Input":
            self._waiting += held
        elif last.get("reverse"):  # The head stays the end of the model.
            self.entries.pop()
            self._hold(name, held)
            self.entries.append({**last, "inputs": self._passed_on(last["inputs"])})
        else:
            before = last["name"]
            how = {"kind": "LeftOut", "passes_on": True, "parameters": held}
            self._successors[before] = self.add("Opaque", name, before, **how)

    def _append(self, entry: Entry) -> None:
        self._count += 1
        if self._count > self._limit:
            raise TooManyModules
        self.entries.append(entry)

    def _passed_on(self, name: str) -> str:
        return self._successors.get(name, name)

    @property
    def _is_in_block(self) -> bool:
        return self._scope != self._prefix

    def use(self, name: str) -> bool:
        """Mark the tensors of a module, or one tensor, as used; False if there are none."""
        paths = self._unused_in(name)
        for path in paths:
            del self._unused[path]
        return bool(paths)

    def weights(self, name: str) -> list[Entry]:
        """The unused tensors of a module, as the weights of an Opaque entry.

        Args:
            name: a module or a tensor; empty for the whole block.
        """
        held: list[Entry] = []
        for path in self._unused_in(name):
            label = path.removeprefix(self._scope)
            tensor = self.tensor(label)
            filled: Any = "zeros"
            if _is_written(tensor.initializer):
                filled = self.filled(tensor.initializer)
            else:
                text = f"zeros stand for {label}, which no spec can fill: {tensor.initializer}"
                self.placeholders[text] = None
            held.append({"name": label, "shape": list(tensor.shape), "initializer": filled})
            if not tensor.trainable:
                held[-1]["trainable"] = False
        return held

    def _unused_in(self, name: str) -> list[str]:
        paths = self._paths.get(f"{self._scope}{name}".removesuffix("."), ())
        return [path for path in paths if path in self._unused]

    def finished(self) -> list[Entry]:
        """The entries.

        Raises:
            NotComputed: no entry uses a tensor.
        """
        if self._unused:
            raise NotComputed(f"'{next(iter(self._unused))}'")
        return self.entries

    def tensor(self, name: str) -> Tensor:
        path = f"{self._scope}{name}"
        self._unused.pop(path, None)
        if path not in self._tensors:
            raise NotComputed(f"a model without '{path}'")
        return self._tensors[path]

    def filled(self, initializer: Initializer) -> Any:
        """An initializer as a spec writes it; where the padding has its own, that of the others."""
        if isinstance(initializer, Parts):
            initializer = initializer.boxes[0].initializer
        return "zeros" if initializer == ZERO else written(initializer)


def _is_written(initializer: Initializer) -> bool:
    """Whether a spec can write an initializer."""
    is_infinite = isinstance(initializer, Constant) and not math.isfinite(initializer.value)
    return not is_infinite and bool(vars(type(initializer)).get("registered", True))


def unrolled(entries: list[Entry]) -> list[Entry]:
    """The entries with all blocks expanded, and layers named as in the library."""
    found: list[Entry] = []
    outputs: dict[str, str] = {}
    for entry in entries:
        if "layers" not in entry:
            found.append(_renamed(entry, "", outputs))
            continue
        scope, _, number = entry["name"].rpartition(".")
        if not number.isdecimal():
            scope, number = entry["name"], "0"
        before = outputs.get(takes := entry.get("inputs", ""), takes) or found[-1]["name"]
        for index in range(entry["repeat"]):
            inside = f"{scope}.{int(number) + index}."
            names = {**outputs, "input": before}
            own = {each["name"]: inside + each["name"] for each in entry["layers"]}
            names |= own
            outputs |= {f"{entry['name']}_{index}/{each}": full for each, full in own.items()}
            found += (_renamed(each, inside, names) for each in entry["layers"])
            before = found[-1]["name"]
        outputs[entry["name"]] = before
    return found


def _renamed(entry: Entry, scope: str, names: Mapping[str, str]) -> Entry:
    """The entry with a prefixed name and renamed inputs."""
    takes = entry.get("inputs", [])
    listed = [takes] if isinstance(takes, str) else takes
    inputs = [names.get(each, each) for each in listed]
    called = {"call": names.get(entry["call"], entry["call"])} if "call" in entry else {}
    renamed = {**entry, "name": scope + entry["name"], **called}
    return renamed | ({"inputs": inputs} if inputs else {})
