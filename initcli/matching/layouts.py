"""The fans that frameworks count for a shape: which axes are inputs, and which are outputs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from initcli.types import Size

_GROUPS = (2, 4, 8, 16, 32, 64)
"""Numbers of groups of convolutions to try; that of depthwise ones follows from the shape."""
_PACKED = (2, 3, 4)
"""Numbers of packed matrices: gate and value, query, key and value, the gates of an LSTM."""
_TORCH = re.compile(r"(^|[._])(weight|bias|in_proj_(weight|bias))(_[a-z0-9_]+)?$|original\d$")
_KERAS = re.compile(r"(^|[/._])(kernel|embeddings?|bias|alpha|gamma|beta|scale)(:0)?$")


class Layout(NamedTuple):
    """One way to count the fans of a shape.

    ``rarity`` counts its unusual properties: 0 for the layout of a common layer.
    """

    fan_in: int
    fan_out: int
    rarity: int


@lru_cache(maxsize=4096)
def layouts(shape: Size, style: str) -> tuple[Layout, ...]:
    """Every way to count the fans of a shape, the usual ones first, each pair of fans once.

    Args:
        shape: the shape of the tensor.
        style: the style of its name, from :func:`style_of`; layouts of that framework come first.
    """
    found: dict[tuple[int, int], Layout] = {}
    for each in _layouts(shape, style):
        known = found.get(each[:2])
        if min(each[:2]) >= 1 and (known is None or each.rarity < known.rarity):
            found[each[:2]] = each
    return tuple(sorted(found.values(), key=lambda layout: layout.rarity))


def _layouts(shape: Size, style: str) -> Iterator[Layout]:
    if len(shape) < 2:
        # Keras counts both fans of a vector as its size.
        size = math.prod(shape)
        yield Layout(size, size, 1)
        return
    torch, keras = int(style == "keras"), int(style == "torch")
    field = math.prod(shape[2:])
    inputs, outputs = shape[1] * field, shape[0] * field
    yield Layout(inputs, outputs, 0 if style == "embedding" else torch)
    field = math.prod(shape[:-2])
    keras_inputs, keras_outputs = shape[-2] * field, shape[-1] * field
    yield Layout(keras_inputs, keras_outputs, keras)
    for parts in _PACKED:
        yield Layout(inputs, outputs // parts, torch + 1)
        yield Layout(keras_inputs, keras_outputs // parts, keras + 1)
    if len(shape) == 2:
        return
    if shape[1] == 1:
        yield Layout(inputs, outputs // shape[0], torch)
    for groups in _GROUPS:
        if shape[0] % groups == 0:
            yield Layout(inputs, outputs // groups, torch + 1)
    for axis in range(1, len(shape)):
        # Attention heads (d, h, k) and (h, k, d), and kernels flattened to matrices.
        first, last = math.prod(shape[:axis]), math.prod(shape[axis:])
        yield Layout(first, last, keras)
        yield Layout(last, first, torch + int(axis > 1))
    # A stack of matrices, as of experts or of layers that are scanned.
    yield Layout(shape[-2], shape[-1], keras + 1)
    yield Layout(shape[-1], shape[-2], torch + 1)


def style_of(path: str) -> str:
    """The framework whose names a path has: torch, keras (as flax), embedding (flax), or ""."""
    name = path.rpartition("/")[2]
    if name == "embedding":
        return "embedding"
    if "/" in path or (_KERAS.search(path) and not _TORCH.search(path)):
        return "keras" if _KERAS.search(name) or "kernel" in name else ""
    return "torch" if _TORCH.search(path) or "." in path else ""
