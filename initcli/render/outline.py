"""The rows of a summary's table: layers, and folds of several layers."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from itertools import groupby, takewhile
from typing import Any

import msgspec

from initcli.model import BuiltLayer, leaves
from initcli.parameter import Parameter
from initcli.types import Shapes

_MAX_BLOCK = 400
"""Maximum number of rows of a block whose repetitions are detected."""
_MIN_SAVED = 4
"""Minimum number of lines that a fold of repetitions must save."""


class Row(msgspec.Struct, frozen=True):
    """One layer and its shown tensors; the layers of a network follow it."""

    layer: BuiltLayer
    parameters: tuple[Parameter, ...]


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """One row for a block or network, or for several equal ones in sequence.

    ``layers`` and ``tensors`` count those of one block, ``size`` the weights of all blocks.
    ``repeats`` is whether the first block is shown above the fold.
    """

    name: str
    last: str
    count: int = 1
    layers: int
    tensors: int
    size: int
    output_shapes: Shapes
    kind: Hashable = None
    repeats: bool = False

    @property
    def rows(self) -> int:
        """The number of layers and tensors in the fold."""
        return self.count * (self.layers + self.tensors)


def outline(
    layers: Iterable[BuiltLayer],
    depth: int | None = None,
    only: Collection[str] | None = None,
    max_lines: int | None = None,
) -> list[Row | Fold]:
    """The rows of a summary.

    Args:
        layers: the layers of a model.
        depth: levels of names to show; ``block_0/dense`` has two.
        only: paths of the tensors to show, each under its layer.
        max_lines: number of lines above which repeated blocks are folded, if no depth is given.
    """
    rows: list[Row | Fold] = []
    for row in _rows(layers, depth, only):
        last = rows[-1] if rows else None
        if isinstance(row, Fold) and isinstance(last, Fold) and row.kind == last.kind:
            size, count = last.size + row.size, last.count + 1
            rows[-1] = msgspec.structs.replace(last, last=row.last, count=count, size=size)
        else:
            rows.append(row)
    if max_lines is None or depth is not None:
        return rows
    plain = [row for row in rows if isinstance(row, Row)]
    return list(_shortened(plain)) if _lines(plain) > max_lines else rows


def shown_parameters(rows: Iterable[Row | Fold]) -> list[Parameter]:
    """The tensors that an outline shows."""
    return [each for row in rows if isinstance(row, Row) for each in row.parameters]


def _rows(
    layers: Iterable[BuiltLayer], depth: int | None, only: Collection[str] | None
) -> Iterator[Row | Fold]:
    for prefix, group in groupby(layers, key=lambda layer: _prefix(layer, depth)):
        members = [layer for layer in group if only is None or _shown(layer, only)]
        networks = [member for member in members if member.layers]
        deepest = prefix.count("/") + 1 == depth
        if any(m.name != prefix for m in members) or (networks and deepest):
            yield _fold(prefix, members, only)
            continue
        for member in members:
            yield Row(member, () if member.layers else tuple(_shown(member, only)))
            yield from _rows(member.layers, depth, only)


def _prefix(layer: BuiltLayer, depth: int | None) -> str:
    sign = layer.separator
    return layer.name if depth is None else sign.join(layer.name.split(sign)[:depth])


def _shown(layer: BuiltLayer, only: Collection[str] | None) -> list[Parameter]:
    return [each for each in layer.parameters if only is None or each.path in only]


def _kind(layer: BuiltLayer) -> Hashable:
    parameters = (
        (each.name, each.shape, each.dtype, each.trainable, str(each.initializer))
        for each in layer.parameters
    )
    return (layer.type, layer.output_shapes, *parameters)


def _fold(prefix: str, members: Sequence[BuiltLayer], only: Collection[str] | None) -> Fold:
    return Fold(
        name=prefix,
        last=prefix,
        layers=sum(1 for _ in leaves(members)),
        tensors=sum(len(_shown(member, only)) for member in members),
        size=sum(member.size for member in members),
        output_shapes=members[-1].output_shapes,
        kind=tuple(map(_kind, leaves(members))),
    )


def _lines(rows: Sequence[Row]) -> int:
    """The approximate number of lines in a table of 80 columns."""
    distributions = [parameter.distribution for row in rows for parameter in row.parameters]
    return len(rows) + sum(3 if each is None or each.std else 1 for each in distributions)


def _shortened(rows: Sequence[Row]) -> Iterator[Row | Fold]:
    kinds = [_kind(row.layer) for row in rows]
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
    codes = [numbers[kind] for kind in kinds]
    scopes = [row.layer.name.rpartition(row.layer.separator)[0] for row in rows]
    start = 0
    while start < len(rows):
        length, count = repetition(codes, scopes, start)
        end = start + length * count
        repetitions = rows[start + length : end]
        if _lines(repetitions) < 2 + _MIN_SAVED:
            yield rows[start]
            start += 1
            continue
        yield from _shortened(rows[start : start + length])
        yield _repeated(repetitions, count - 1)
        start = end


def repetition(codes: Sequence[Any], scopes: Sequence[str], start: int) -> tuple[int, int]:
    """The length and number of repetitions of the block at ``start`` that repeats furthest.

    A block is some rows within one scope of names, or whole scopes.
    """
    best = (1, 1)
    starts_scope = start == 0 or scopes[start - 1] != scopes[start]
    for length in range(1, min(_MAX_BLOCK, (len(codes) - start) // 2) + 1):
        end = start + length
        is_scope = starts_scope and scopes[end - 1] != scopes[end]
        if codes[end] != codes[start] or not (is_scope or scopes[end] == scopes[start]):
            continue
        block = codes[start : start + length]
        count = 1
        while codes[start + count * length : start + (count + 1) * length] == block:
            count += 1
        if (count - 1) * length > (best[1] - 1) * best[0]:
            best = length, count
    return best


def _repeated(rows: Sequence[Row], count: int) -> Fold:
    """One fold for ``count`` equal blocks."""
    length = len(rows) // count
    inner = [row for row in rows if not row.layer.layers]
    names, separator = [row.layer.name for row in rows], rows[0].layer.separator
    return Fold(
        name=block_name(names[:length], separator, 0),
        last=block_name(names[-length:], separator, -1),
        count=count,
        layers=len(inner) // count,
        tensors=len(shown_parameters(rows)) // count,
        size=sum(row.layer.size for row in inner),
        output_shapes=rows[-1].layer.output_shapes,
        repeats=True,
    )


def block_name(names: Sequence[str], separator: str, place: int) -> str:
    """The common scope of a block's layers, or else the name of its first or last layer."""
    levels = zip(*(name.split(separator) for name in names), strict=False)
    common = takewhile(lambda parts: len(set(parts)) == 1, levels)
    return separator.join(parts[0] for parts in common) or names[place]
