"""What a summary shows of a large model: layers, and folds that stand for many of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby

import msgspec

from initcli.model import BuiltLayer, leaves
from initcli.parameter import Parameter
from initcli.types import Shapes


class Row(msgspec.Struct, frozen=True):
    """One layer and those of its tensors that are shown; a network's own stand further below."""

    layer: BuiltLayer
    parameters: tuple[Parameter, ...]


class Fold(msgspec.Struct, frozen=True):
    """A block or a network in one row, or several blocks on end that are alike.

    ``layers`` and ``tensors`` count what is in one of them, ``size`` the weights in all.
    """

    first: str
    last: str
    count: int
    layers: int
    tensors: int
    size: int
    output_shapes: Shapes

    @property
    def rows(self) -> int:
        """The layers and tensors that the fold stands for."""
        return self.count * (self.layers + self.tensors)


def outline(
    layers: Iterable[BuiltLayer], depth: int | None = None, only: Collection[str] | None = None
) -> list[Row | Fold]:
    """The rows of a summary.

    Args:
        layers: those of a model.
        depth: levels of names that are shown; what is named ``block_0/dense`` has two.
        only: paths of the tensors that are shown, and with them their layers alone.
    """
    return _alike(_rows(layers, depth, only))


def shown_parameters(rows: Iterable[Row | Fold]) -> list[Parameter]:
    """The tensors that an outline shows."""
    return [each for row in rows if isinstance(row, Row) for each in row.parameters]


def _rows(
    layers: Iterable[BuiltLayer], depth: int | None, only: Collection[str] | None
) -> Iterator[Row | Fold]:
    for prefix, group in groupby(layers, key=lambda layer: _prefix(layer.name, depth)):
        members = [layer for layer in group if _shown(layer, only) or only is None]
        if not members:
            continue
        whole = [m for m in members if m.layers]
        if any(m.name != prefix for m in members) or (whole and _levels(prefix) == depth):
            yield _fold(prefix, members, only)
            continue
        for member in members:
            yield Row(member, () if member.layers else tuple(_shown(member, only)))
            yield from _rows(member.layers, depth, only)


def _levels(name: str) -> int:
    return name.count("/") + 1


def _prefix(name: str, depth: int | None) -> str:
    """The levels of a name that are shown."""
    return name if depth is None else "/".join(name.split("/")[:depth])


def _shown(layer: BuiltLayer, only: Collection[str] | None) -> list[Parameter]:
    return [each for each in layer.parameters if only is None or each.path in only]


def _fold(prefix: str, members: Sequence[BuiltLayer], only: Collection[str] | None) -> Fold:
    return Fold(
        first=prefix,
        last=prefix,
        count=1,
        layers=sum(1 for _ in leaves(members)),
        tensors=sum(len(_shown(member, only)) for member in members),
        size=sum(member.size for member in members),
        output_shapes=members[-1].output_shapes,
    )


def _alike(rows: Iterable[Row | Fold]) -> list[Row | Fold]:
    """The rows with folds that repeat a block joined into one."""
    found: list[Row | Fold] = []
    for row in rows:
        last = found[-1] if found else None
        if isinstance(row, Fold) and isinstance(last, Fold) and _repeats(last, row):
            found[-1] = msgspec.structs.replace(
                last,
                last=row.last,
                count=last.count + 1,
                size=last.size + row.size,
                output_shapes=row.output_shapes,
            )
        else:
            found.append(row)
    return found


def _repeats(one: Fold, two: Fold) -> bool:
    """Whether a fold is the next repetition of what another ends with."""
    before, after = (re.fullmatch(r"(.*_)(\d{1,9})", name) for name in (one.last, two.first))
    return (
        before is not None
        and after is not None
        and before[1] == after[1]
        and int(after[2]) == int(before[2]) + 1
        and (one.layers, one.tensors, one.size) == (two.layers, two.tensors, two.size * one.count)
    )
