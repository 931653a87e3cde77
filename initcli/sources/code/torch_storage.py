"""Recorded writes to the storages of PyTorch tensors, and the contents of their views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from torch.multiprocessing.reductions import StorageWeakRef

from initcli.initializers import Constant
from initcli.initializers.base import Whole
from initcli.initializers.given import Unknown
from initcli.sources.code.contents import (
    MAX_COMPUTED,
    Box,
    Computed,
    Content,
    Part,
    are_alike,
    is_random,
    joined,
    lengths,
    reshaped,
    unknown,
    whole,
)
from initcli.types import Array


class View(NamedTuple):
    """The entries of a storage that a tensor has."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> View:
        """The view of its storage that a tensor is."""
        # Uninitialized parameters override the method of the instance.
        shape = torch.Tensor.size(tensor)
        return cls(tensor.storage_offset(), tuple(shape), tensor.stride())

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    def box_in(self, whole: View) -> Box | None:
        """The box of ``whole`` with these entries; None if they form none."""
        rest, starts = self.offset - whole.offset, []
        if rest < 0:
            return None
        axes = sorted(range(len(whole.shape)), key=lambda axis: -whole.strides[axis])
        position = dict.fromkeys(axes, 0)
        for axis in axes:
            if whole.shape[axis] > 1 and whole.strides[axis]:
                position[axis], rest = divmod(rest, whole.strides[axis])
        if rest:
            return None
        lengths = dict.fromkeys(axes, 1)
        for length, stride in zip(self.shape, self.strides, strict=True):
            if length == 1:
                continue
            remaining = length
            # One axis of the view can span several of the whole, the fastest first.
            for axis in reversed(axes):
                if whole.strides[axis] != stride or whole.shape[axis] == 1 or remaining == 1:
                    continue
                taken = min(remaining, whole.shape[axis])
                if remaining % taken:
                    return None
                lengths[axis] *= taken
                remaining //= taken
                stride *= whole.shape[axis] if taken == whole.shape[axis] else 0
            if remaining != 1:
                return None
        for axis in range(len(whole.shape)):
            stop = position[axis] + lengths[axis]
            if stop > whole.shape[axis]:
                return None
            starts.append(slice(position[axis], stop))
        return tuple(starts)


class Write(NamedTuple):
    """A write to some entries of a storage."""

    view: View
    content: Content


class Storage:
    """The writes to one storage, the latest last."""

    def __init__(self, tensor: torch.Tensor, content: Content) -> None:
        storage = tensor.untyped_storage()
        self.itemsize = max(tensor.element_size(), 1)
        self.size = storage.nbytes() // self.itemsize
        # It keeps the identifier of the storage from being reused, but not its memory.
        self.reference = StorageWeakRef(storage)
        self.writes = [Write(self._everything, content)]

    @property
    def _everything(self) -> View:
        return View(0, (self.size,), (1,))

    def write(self, view: View, content: Content) -> None:
        """Record a write to some entries; known values are merged with known ones."""
        everything = self._everything
        if view.size >= self.size:
            self.writes = []
        else:
            values = values_of([Part((), content)], view.shape)
            before = None if values is None else values_of(self.parts(everything), everything.shape)
            if values is not None and before is not None:
                before = before.to(torch.promote_types(before.dtype, values.dtype))
                before.as_strided(view.shape, view.strides, view.offset).copy_(values)
                self.writes, view, content = [], everything, Computed(before)
        self.writes.append(Write(view, content))

    def content(self, view: View) -> Content:
        """The content of all entries of a view."""
        parts = self.parts(view)
        if len(parts) == 1:
            return parts[0].content
        values = values_of(parts, view.shape)
        if values is not None:
            return Computed(values)
        return unknown([part.content for part in parts], "a part of several contents")

    def parts(self, view: View) -> list[Part]:
        """The boxes of a view and their contents; a later one overwrites earlier ones."""
        every = whole(view.shape)
        parts: list[Part] = []
        for written, content in self.writes:
            values = content.values if isinstance(content, Computed) else None
            box = every
            if written.size >= self.size:
                values = values if values is None else _shown(values, written, view)
            elif (inner := written.box_in(view)) is not None:
                box = inner
            elif (outer := view.box_in(written)) is not None:
                values = values if values is None else values.reshape(written.shape)[outer]
            elif _overlap(written, view):
                return [Part(every, self._scattered(view))]
            else:
                continue
            if values is None:
                content = reshaped(content, written.shape, lengths(box))
            else:
                content = Computed(values.reshape(lengths(box)))
            parts = [*([] if box == every else parts), Part(box, content)]
        return parts

    def cast(self, tensor: torch.Tensor) -> Storage:
        """The storage with entries of a tensor's dtype, such as the parts of complex numbers."""
        match self.content(self._everything):
            case Computed(values):
                return Storage(tensor, Computed(values.view(tensor.dtype)))
            case content:
                return Storage(tensor, unknown([content], "a view of another dtype"))

    def _scattered(self, view: View) -> Content:
        """The content of a view after writes to entries that form no box, such as every other."""
        operation = "a write to scattered entries"
        if self.size > MAX_COMPUTED:
            return Unknown(operation=operation)
        latest, numbers = np.zeros(self.size, np.int32), np.zeros(self.size)
        for at, write in enumerate(self.writes):
            _seen(latest, write.view)[...] = at
            values = values_of([Part((), write.content)], write.view.shape)
            if values is not None and not values.is_complex():
                _seen(numbers, write.view)[...] = values
        contents = [self.writes[at].content for at in np.unique(_seen(latest, view))]
        if not any(map(is_random, contents)):
            return Computed(torch.from_numpy(_seen(numbers, view).copy()))
        if are_alike(contents) and not isinstance(contents[0], Whole):
            return joined(contents)
        return unknown(contents, operation)


def _seen(entries: Array, view: View) -> Array:
    """The entries of a storage that a view has."""
    strides = tuple(stride * entries.itemsize for stride in view.strides)
    return as_strided(entries[view.offset :], view.shape, strides)


def _overlap(one: View, two: View) -> bool:
    def span(view: View) -> tuple[int, int]:
        steps = (
            (length - 1) * stride for length, stride in zip(view.shape, view.strides, strict=True)
        )
        return view.offset, view.offset + sum(steps)

    (a, b), (c, d) = span(one), span(two)
    return one.size > 0 and two.size > 0 and a <= d and c <= b


def _shown(values: torch.Tensor, written: View, view: View) -> torch.Tensor:
    """The entries of a view of a storage, given those of the view ``written`` of all entries."""
    if view == written:
        return values
    if values.stride() != written.strides:
        flat = torch.empty_strided(written.shape, written.strides, dtype=values.dtype)
        values = flat.copy_(values)
    start = values.storage_offset() + view.offset - written.offset
    return values.as_strided(view.shape, view.strides, start)


def values_of(parts: Sequence[Part], shape: tuple[int, ...]) -> torch.Tensor | None:
    """The values of a tensor; None if some are random, or if it is large."""
    if math.prod(shape) > MAX_COMPUTED or is_random(parts[-1].content):
        return None
    if len(parts) == 1 and isinstance(parts[0].content, Computed):
        return parts[0].content.values.reshape(shape).clone()
    found = torch.empty(shape, dtype=torch.float64)
    known = torch.zeros(shape, dtype=torch.bool)
    for box, content in parts:
        match content:
            case Computed(values) if not values.is_complex():
                found[box], known[box] = values.to(found.dtype), True
            case Constant(value=value):
                found[box], known[box] = value, True
            case _:
                known[box] = False
    return found if bool(known.all()) else None
