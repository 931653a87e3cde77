"""Folding of rows in a signal's table: blocks, and blocks that behave alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from typing import TypeVar

import msgspec

from initcli.render.outline import block_name, repetition
from initcli.signal.figures import (
    AttentionSignal,
    LayerSignal,
    RouterSignal,
    TensorSignal,
    call_figure,
)
from initcli.signal.width_sweep import LayerTrend, TensorTrend

ALIKE = 2.0
"""Largest factor between the sizes of two rows that behave alike."""
_MIN_SAVED = 4
"""Minimum number of rows that a fold must save."""
_NUMBER = re.compile(r"_?\d+(?=.*/)|^([^/]*?)_?\d+$")
"""A number in the name of a layer's block, or at the end of the name of a layer outside blocks."""

Sizes = tuple[float | None, ...]
_Row = TypeVar("_Row", bound=msgspec.Struct)


def at_depth(layers: Sequence[LayerSignal], depth: int) -> Iterator[LayerSignal]:
    """The layers, each block below ``depth`` levels of names as the row of its last layer."""

    def prefix(layer: LayerSignal) -> str:
        return "/".join(layer.name.split("/")[:depth])

    for name, members in groupby(layers, prefix):
        within = list(members)
        is_block = any(layer.name != name for layer in within)
        yield from [msgspec.structs.replace(within[-1], name=name)] if is_block else within


def alike_layers(layers: Sequence[LayerSignal]) -> Iterator[LayerSignal]:
    """The layers; blocks after one that behave like it become the row of the last layer."""
    names = [layer.name for layer in layers]
    sizes = [(layer.std, layer.gradient_rms) for layer in layers]
    for start, length, count in _runs(names, list(map(_stem, names)), sizes):
        yield from layers[start : start + length]
        if count > 1:
            end = start + length * count
            first = block_name(names[start + length : start + 2 * length], "/", 0)
            last = block_name(names[end - length : end], "/", -1)
            yield msgspec.structs.replace(layers[end - 1], name=_title(first, last, count - 1))


def alike_trends(layers: Sequence[LayerTrend]) -> Iterator[LayerTrend]:
    """The layers of a sweep of widths; those that behave alike at both ends become one row."""
    sizes = [
        tuple(trend.sizes[end] for _, trend in layer.trends for end in (0, -1)) for layer in layers
    ]
    return _folded(layers, "name", sizes)


def alike_tensors(tensors: Sequence[TensorSignal]) -> Iterator[TensorSignal]:
    """The tensors; blocks that behave alike become the rows of the last block."""
    sizes = [(tensor.gradient_rms.median,) for tensor in tensors]
    return _folded(tensors, "path", sizes, _stem_of_path)


def alike_tensor_trends(tensors: Sequence[TensorTrend]) -> Iterator[TensorTrend]:
    """The parameters of a sweep of widths, those that behave alike as in :func:`alike_trends`."""
    sizes = [tuple(each.gradient.sizes[end] for end in (0, -1)) for each in tensors]
    return _folded(tensors, "path", sizes, _stem_of_path)


def alike_attention(rows: Sequence[AttentionSignal]) -> Iterator[AttentionSignal]:
    """The calls of attention; calls that are about equally uniform become the row of the last."""
    return _folded(rows, "layer", _figures(rows, "logit_std", "entropy"))


def alike_routers(rows: Sequence[RouterSignal]) -> Iterator[RouterSignal]:
    """The mixtures of experts; those that are about equally even become the row of the last."""
    return _folded(rows, "layer", _figures(rows, "entropy", "busiest"))


def _figures(rows: Sequence[AttentionSignal | RouterSignal], *names: str) -> list[Sizes]:
    return [tuple(call_figure(each, name) for name in names) for each in rows]


def _stem(name: str) -> str:
    """The name of a layer without the numbers in which repetitions differ."""
    return _NUMBER.sub(r"\1", name)


def _stem_of_path(path: str) -> str:
    layer, slash, own = path.rpartition("/")
    return _stem(layer) + slash + own


def _folded(
    rows: Sequence[_Row],
    field: str,
    sizes: Sequence[Sizes],
    stem: Callable[[str], str] = _stem,
) -> Iterator[_Row]:
    """The rows; blocks that behave alike become the rows of the last block.

    ``field`` is the attribute with the name of a row.
    """
    names = [getattr(row, field) for row in rows]
    for start, length, count in _runs(names, list(map(stem, names)), sizes):
        for index in range(start, start + length):
            end = index + length * (count - 1)
            title = _title(names[index], names[end], count) if count > 1 else names[index]
            yield msgspec.structs.replace(rows[end], **{field: title})


def _title(first: str, last: str, count: int) -> str:
    return f"{first} · alike" if count == 1 else f"{first} … {last} · {count} alike"


def _runs(
    names: Sequence[str], stems: Sequence[str], sizes: Sequence[Sizes]
) -> Iterator[tuple[int, int, int]]:
    """Start and length of each block, and how many in a row behave like it, itself included.

    ``stems`` are the names without the numbers in which repetitions differ.
    """
    scopes = [name.rpartition("/")[0] for name in names]
    start = 0
    while start < len(names):
        length, count = repetition(stems, scopes, start)
        if length * (count - 1) <= _MIN_SAVED:
            yield start, 1, 1
            start += 1
            continue
        end = start + length * count
        while start < end:
            block = sizes[start : start + length]
            alike = 1
            while (place := start + length * alike) < end and _alike(
                block, sizes[place : place + length]
            ):
                alike += 1
            yield start, length, alike
            start += length * alike


def _alike(block: Sequence[Sizes], other: Sequence[Sizes]) -> bool:
    pairs = zip(chain(*block), chain(*other), strict=True)
    return all(a == b or (a and b and 1 / ALIKE <= a / b <= ALIKE) for a, b in pairs)
