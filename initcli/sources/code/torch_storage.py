"""What is written to the storages of PyTorch's tensors, and what a view of one shows."""

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
    Computed,
    Content,
    Part,
    are_alike,
    is_random,
    joined,
    reshaped,
    unknown,
    whole,
)
from initcli.types import Array


class View(NamedTuple):
    """Which entries of a storage a tensor shows."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> View:
        """The view that a tensor has of its storage."""
        # Parameters whose shape is not known yet hide this one.
        shape = torch.Tensor.size(tensor)
        return cls(tensor.storage_offset(), tuple(shape), tensor.stride())

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    def box_in(self, whole: View) -> tuple[slice, ...] | None:
        """The slices of ``whole`` that hold these entries; None if they are no such box."""
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
            # One axis of the view can run over several of the whole: from the fastest outwards.
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
    """What was written to some entries of a storage."""

    view: View
    content: Content


class Storage:
    """What was written to one storage, the latest last."""

    def __init__(self, tensor: torch.Tensor, content: Content) -> None:
        storage = tensor.untyped_storage()
        self.itemsize = max(tensor.element_size(), 1)
        self.size = storage.nbytes() // self.itemsize
        # It keeps no memory, but the number, which another storage could have otherwise.
        self.reference = StorageWeakRef(storage)
        self.writes = [Write(self._everything, content)]

    @property
    def _everything(self) -> View:
        return View(0, (self.size,), (1,))

    def write(self, view: View, content: Content) -> None:
        """Note a write over some of the entries; known values are written into known ones."""
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
        """The boxes of a view and their contents; each may lie over those before."""
        every = whole(view.shape)
        parts: list[Part] = []
        for write in self.writes:
            content = write.content
            if write.view.size >= self.size:
                if isinstance(content, Computed):
                    content = Computed(_shown(content.values, write.view, view))
                else:
                    content = reshaped(content, write.view.shape, view.shape)
                parts = [Part(every, content)]
                continue
            box = write.view.box_in(view)
            if box is None:
                inside = view.box_in(write.view)
                if inside is not None:
                    if isinstance(content, Computed):
                        values = content.values.reshape(write.view.shape)[inside]
                        content = Computed(values.reshape(view.shape))
                    else:
                        content = reshaped(content, write.view.shape, view.shape)
                    parts = [Part(every, content)]
                elif _overlap(write.view, view):
                    return [Part(every, self._scattered(view))]
                continue
            shape = tuple(each.stop - each.start for each in box)
            if isinstance(content, Computed):
                content = Computed(content.values.reshape(shape))
            else:
                content = reshaped(content, write.view.shape, shape)
            if box == every:
                parts = [Part(every, content)]
            else:
                parts.append(Part(box, content))
        return parts

    def cast(self, tensor: torch.Tensor) -> Storage:
        """The same storage in entries of a view's size, such as the halves of complex numbers."""
        match self.content(self._everything):
            case Computed(values):
                return Storage(tensor, Computed(values.view(tensor.dtype)))
            case content:
                return Storage(tensor, unknown([content], "a view of another dtype"))

    def _scattered(self, view: View) -> Content:
        """The content of a view over writes to entries that form no box, such as every other."""
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
    """What a view shows of the entries of a storage."""
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
    """The entries of a view of a storage that ``values`` fills as ``written``."""
    if view == written:
        return values
    if values.stride() != written.strides:
        flat = torch.empty_strided(written.shape, written.strides, dtype=values.dtype)
        values = flat.copy_(values)
    start = values.storage_offset() + view.offset - written.offset
    return values.as_strided(view.shape, view.strides, start)


def values_of(parts: Sequence[Part], shape: tuple[int, ...]) -> torch.Tensor | None:
    """The values of a tensor in which nothing is random; None of others and of large ones."""
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
