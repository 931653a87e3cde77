"""PyTorch operations that write to entries given by indices or a mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_flatten, tree_map

from initcli.sources.code.contents import MAX_COMPUTED

PARTIAL = frozenset(
    ("index_put_", "_index_put_impl_", "masked_fill_", "index_copy_", "index_fill_", "scatter_")
)
"""Operations that write one argument to some entries of the first one."""
_SOURCES = ("values", "value", "source", "src")


class Partial(NamedTuple):
    """A write of ``source`` to views of a tensor with ``size`` entries in all."""

    source: Any
    views: tuple[torch.Tensor, ...]
    size: int


def partial(
    func: Any, args: Any, values: Callable[[torch.Tensor], torch.Tensor | None]
) -> Partial | None:
    """Where one of :data:`PARTIAL` writes; None if that is not known, or not rows or a box.

    Args:
        func: the operation.
        args: its arguments.
        values: gives the values of a tensor, or None if some are random.
    """
    names = [each.name for each in func._schema.arguments]
    given = dict(zip(names, args, strict=False))
    name = next((each for each in _SOURCES if each in given), None)
    if name is None or any(map(given.get, ("accumulate", "reduce"))):
        return None
    target, source = given.pop("self"), given.pop(name)
    places = [each for each in tree_flatten(given)[0] if isinstance(each, torch.Tensor)]
    if target.numel() > MAX_COMPUTED or any(values(each) is None for each in places):
        return None
    # The operation writes ones to zeros, which shows where it writes.
    given = tree_map(lambda each: values(each) if isinstance(each, torch.Tensor) else each, given)
    given["self"] = torch.zeros(target.shape, device="cpu")
    is_tensor = isinstance(source, torch.Tensor)
    given[name] = torch.ones(source.shape, device="cpu") if is_tensor else 1.0
    mask = func(*(given[each] for each in names if each in given)) > 0
    views = tuple(_views(target, mask))
    size = int(mask.sum())
    return Partial(source, views, size) if sum(each.numel() for each in views) == size else None


def _views(tensor: torch.Tensor, mask: torch.Tensor) -> Iterator[torch.Tensor]:
    """Views of runs of whole rows, or else of the box around the entries of a mask."""
    rows = mask.reshape(mask.shape[0], -1).all(1).tolist() if mask.ndim > 1 else mask.tolist()
    start = 0
    for is_written, run in groupby(rows):
        stop = start + len(list(run))
        if is_written:
            yield tensor[start:stop]
        start = stop
    if not any(rows) and bool(mask.any()):
        ends = [(int(each.min()), int(each.max()) + 1) for each in mask.nonzero(as_tuple=True)]
        yield tensor[tuple(slice(*each) for each in ends)]
