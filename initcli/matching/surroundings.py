"""Facts about a tensor from the others of its file: the kernel of a bias, the number of blocks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from initcli.types import Size

_NUMBERED = re.compile(r"(?:^|.*?[./_])(\d+)[./]")
_SEPARATORS = re.compile(r"[./]")


class Place(NamedTuple):
    """The place of a tensor among the others of its file.

    ``kernels`` are the shapes of the tensors of two or more axes that have the same parent, in
    rising order. ``block`` of ``blocks`` is the number of its block, 0 of 0 outside of blocks.
    ``width`` is the most common size of the file's vectors. ``trained`` names the evidence that it
    is trained: "the bias beside it", "the rest of the file" or "" for none.
    """

    kernels: tuple[Size, ...] = ()
    block: int = 0
    blocks: int = 0
    width: int = 0
    trained: str = ""


class Surroundings:
    """The tensors of one file, by their parents and blocks."""

    def __init__(self, shapes: Iterable[tuple[str, Size]]) -> None:
        kernels: dict[str, set[Size]] = {}
        self._blocks: dict[str, int] = {}
        widths: Counter[int] = Counter()
        for path, shape in shapes:
            if len(shape) > 1:
                kernels.setdefault(parent(path), set()).add(shape)
            elif len(shape) == 1:
                widths[shape[0]] += 1
            prefix, block = _block(path)
            self._blocks[prefix] = max(self._blocks.get(prefix, 0), block + 1)
        self._kernels = {name: tuple(sorted(each)) for name, each in kernels.items()}
        self._width = widths.most_common(1)[0][0] if widths else 0

    def of(self, path: str) -> Place:
        """The place of a tensor."""
        prefix, block = _block(path)
        return Place(
            self._kernels.get(parent(path), ()),
            block if prefix else 0,
            self._blocks.get(prefix, 0) if prefix else 0,
            self._width,
        )


def parent(path: str) -> str:
    """The path without its last part."""
    *parts, _ = _SEPARATORS.split(path)
    return "/".join(parts)


def _block(path: str) -> tuple[str, int]:
    """The path up to the first number in it, and the number; "" and 0 if there is none."""
    numbered = _NUMBERED.match(path)
    if numbered is None or len(numbered[1]) > 4:
        return "", 0
    return path[: numbered.start(1)] or ".", int(numbered[1])
