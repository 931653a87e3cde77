"""The entries of a spec as written, each with its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from initcli.errors import DuplicateName, Path, SpecError
from initcli.layers import Layer
from initcli.layers.core import Missing

BROKEN = Missing()
"""In place of a layer whose errors have been reported."""


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


def named(entries: list[Entry], errors: list[SpecError]) -> Iterable[Entry]:
    """The entries with names: their own, or that of their type and a number, as in Keras."""
    taken: dict[str, Entry] = {}
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
        yield msgspec.structs.replace(entry, name=name)


def _stem(entry: Entry) -> str:
    """The default name of an entry, without its number."""
    if entry.block:
        return "block"
    if entry.shared:
        return f"{entry.shared.rpartition('/')[2]}_call"
    assert entry.layer is not None
    return entry.layer.default_name()


def _numbered(stem: str, number: int, is_block: bool) -> str:
    """The default name of an entry by its number: conv1d, conv1d_1, …

    A second block is block2: block_1 is the second repetition of the first.
    """
    if number == 1:
        return stem
    return f"{stem}{number}" if is_block else f"{stem}_{number - 1}"
