"""The entries of a spec, in blocks that repeat, and the described tensors that they use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from initcli.initializers import Initializer
from initcli.initializers.given import Parts
from initcli.sources.describe import written
from initcli.sources.huggingface.modules import ZERO, Module, Tensor

Entry = dict[str, Any]


class NotComputed(Exception):
    """A part of the model that no layer describes."""


class Entries:
    """The entries of a spec, each of which uses tensors of the described modules.

    Names are the library's. Within a block they are relative to it, and ``input`` is the block's
    input.
    """

    def __init__(self, modules: list[Module]) -> None:
        self.entries: list[Entry] = []
        self.notes: dict[str, None] = {}
        self.placeholders: dict[str, None] = {}
        """Notes on weights whose initializer no spec can write."""
        self._tensors = {
            f"{module.name}.{name}".removeprefix("."): tensor
            for module in modules
            for name, tensor in module.tensors.items()
        }
        self._unused = dict.fromkeys(self._tensors)
        self._prefix = ""
        """What names of modules and entries begin with."""
        self._scope = ""
        """What names of modules begin with, within a block its own name."""
        self._table = ""

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Put a name before those of modules and entries that follow; none for an empty name."""
        outer = self._prefix
        self._prefix = self._scope = f"{outer}{name}." if name else outer
        yield
        self._prefix = self._scope = outer

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Put no name before those of modules and entries that follow."""
        outer, self._prefix, self._scope = self._prefix, "", ""
        yield
        self._prefix = self._scope = outer

    @contextmanager
    def block(self, scope: str, index: int, takes: str) -> Iterator[None]:
        """Add what follows as a block; one that equals the block before repeats it.

        The first of others that follow has its number in its name.
        """
        outer, scope = self.entries, f"{self._prefix}{scope}"
        self.entries, self._scope = [], f"{scope}.{index}."
        yield
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
        """The name of the output that was added last."""
        name: str = self.entries[-1]["name"]
        return name

    def add(self, type_: str, name: str, takes: str | list[str] = "", **arguments: Any) -> str:
        """Add a layer."""
        inputs = {"inputs": takes} if takes else {}
        if self._scope == self._prefix:
            name = f"{self._prefix}{name}"
        self.entries.append({"type": type_, "name": name, **inputs, **arguments})
        return name

    def again(self, name: str, table: str, takes: str) -> str:
        """Look up vectors in a table that was added."""
        name = f"{self._prefix}{name}"
        self.entries.append({"call": table, "name": name, "inputs": takes})
        return name

    def tied(self, name: str, table: str, takes: str) -> str:
        """Add a projection whose weight is a table, which was added."""
        name = f"{self._prefix}{name}"
        self.entries.append({"call": table, "name": name, "inputs": takes, "reverse": True})
        return name

    def will_tie(self, table: str) -> None:
        """Say that a table, which is not yet added, is also the head's weight."""
        self._table = f"{self._prefix}{table}"

    def leave_out(self, name: str, what: str) -> None:
        """Leave out a module or a tensor, with a note that says what it would do."""
        if self.use(name):
            self.notes[f"the signal leaves out {what}"] = None

    def use(self, name: str) -> bool:
        """Say that the tensors of a module, or one tensor, need no entry; False without any."""
        paths = self._unused_in(name)
        for path in paths:
            del self._unused[path]
        return bool(paths)

    def weights(self, name: str) -> list[Entry]:
        """The tensors of a module, or one tensor, as weights of an entry that computes nothing."""
        held: list[Entry] = []
        for path in self._unused_in(name):
            label = path.removeprefix(self._scope)
            tensor = self.tensor(label)
            filled: Any = "zeros"
            if vars(type(tensor.initializer)).get("registered", True):
                filled = self.filled(tensor.initializer)
            else:
                text = f"zeros stand for {label}, which no spec can fill: {tensor.initializer}"
                self.placeholders[text] = None
            held.append({"name": label, "shape": list(tensor.shape), "initializer": filled})
            if not tensor.trainable:
                held[-1]["trainable"] = False
        return held

    def _unused_in(self, name: str) -> list[str]:
        full = f"{self._scope}{name}"
        return [path for path in self._unused if path == full or path.startswith(f"{full}.")]

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


def unrolled(entries: list[Entry]) -> list[Entry]:
    """The entries with every block written out, its layers named as the library names them."""
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
        for index in range(int(number), int(number) + entry["repeat"]):
            inside = f"{scope}.{index}."
            names = {**outputs, "input": before}
            names |= {each["name"]: inside + each["name"] for each in entry["layers"]}
            found += (_renamed(each, inside, names) for each in entry["layers"])
            before = found[-1]["name"]
        outputs[entry["name"]] = before
    return found


def _renamed(entry: Entry, scope: str, names: Mapping[str, str]) -> Entry:
    """The entry with its scope before its name, and other names for what it takes."""
    takes = entry.get("inputs", [])
    listed = [takes] if isinstance(takes, str) else takes
    inputs = [names.get(each, each) for each in listed]
    return {**entry, "name": scope + entry["name"]} | ({"inputs": inputs} if inputs else {})
