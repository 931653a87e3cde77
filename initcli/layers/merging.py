"""Layers that merge several inputs."""

from __future__ import annotations

import operator
from functools import reduce
from typing import Annotated, Any, ClassVar

from initcli.errors import listed, quoted
from initcli.layers.base import Layer, require_axis
from initcli.layers.flow import Flow, Mask
from initcli.types import ArgumentError, Array, Shape, ShapeError, doc, shape_text


class _Merging(Layer, frozen=True, kw_only=True):
    """Combines its inputs entry by entry.

    Axes of size 1 are broadcast; an input with fewer axes gets axes of size 1 after the batch.
    """

    supports_masking = True
    merges = True

    def output_shape(self, shape: Shape, *others: Shape) -> Shape:
        shapes = (shape, *others)
        batches = {each[0] for each in shapes} - {None}
        if len(batches) > 1:
            given = listed(map(shape_text, shapes), "and")
            message = f"{type(self).__name__} needs inputs of one batch, not {given}"
            raise ShapeError(message, "give its inputs one batch_size")
        merged = reduce(self._merged, (each[1:] for each in shapes))
        return (batches.pop() if batches else None, *merged)

    def output_mask(self, flow: Flow, *inputs: Array) -> Mask:
        """The disjunction of the masks; None unless every input has one."""
        xp, masks = flow.xp, flow.masks
        return None if any(m is None for m in masks) else reduce(xp.logical_or, masks)

    def kept(self, flow: Flow, inputs: tuple[Array, ...]) -> list[Mask]:
        """The masks of the aligned inputs, each with the shape of its input.

        As in Keras, an input that gains an axis loses its mask.
        """
        xp, rank = flow.xp, max(len(x.shape) for x in inputs)
        masks = flow.masks or (None,) * len(inputs)
        return [
            None
            if mask is None or len(x.shape) < rank
            else xp.broadcast_to(xp.expand_dims(mask, -1), x.shape)
            for mask, x in zip(masks, inputs, strict=True)
        ]

    def aligned(self, xp: Any, inputs: tuple[Array, ...]) -> list[Array]:
        """The inputs with equal ranks; new axes follow the batch."""
        rank = max(len(x.shape) for x in inputs)
        return [
            xp.reshape(x, (x.shape[0], *(1,) * (rank - len(x.shape)), *x.shape[1:])) for x in inputs
        ]

    def _merged(self, one: Shape, other: Shape) -> Shape:
        longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
        apart = len(longer) - len(shorter)
        found: list[int | None] = list(longer[:apart])
        for a, b in zip(longer[apart:], shorter, strict=True):
            if a is None or b is None:
                found.append(None)
            elif 1 in (a, b) or a == b:
                found.append(max(a, b))
            else:
                raise ShapeError(
                    f"{type(self).__name__} cannot merge {shape_text(one)} and "
                    f"{shape_text(other)}, which differ in an axis",
                    "sizes must be the same, or 1",
                )
        return tuple(found)


class Add(_Merging, frozen=True, kw_only=True):
    """The sum of its inputs."""

    role = "adds"

    def call(self, flow: Flow, *inputs: Array) -> Array:
        return reduce(operator.add, self.aligned(flow.xp, inputs))


class Subtract(_Merging, frozen=True, kw_only=True):
    """The first input minus the second."""

    role = "adds"

    def output_shape(self, shape: Shape, other: Shape) -> Shape:  # type: ignore[override]
        return _Merging.output_shape(self, shape, other)

    def call(self, flow: Flow, x: Array, other: Array) -> Array:
        one, two = self.aligned(flow.xp, (x, other))
        return one - two


class _LeavingOut(_Merging, frozen=True, kw_only=True):
    """Combines its inputs without masked entries."""

    def heeds_masks(self, flow: Flow) -> bool:
        return flow.has_masks


class Multiply(_LeavingOut, frozen=True, kw_only=True):
    """The product of its inputs."""

    role = "multiplies"

    def call(self, flow: Flow, *inputs: Array) -> Array:
        xp = flow.xp
        kept = self.kept(flow, inputs)
        factors = [
            x if mask is None else xp.where(mask, x, x.dtype.type(1))
            for x, mask in zip(self.aligned(xp, inputs), kept, strict=True)
        ]
        found = reduce(operator.mul, factors)
        if any(mask is None for mask in kept):
            return found
        return xp.where(reduce(xp.logical_or, kept), found, found.dtype.type(0))


class Average(_Merging, frozen=True, kw_only=True):
    """The mean of its inputs."""

    role = "adds"

    def call(self, flow: Flow, *inputs: Array) -> Array:
        return reduce(operator.add, self.aligned(flow.xp, inputs)) / len(inputs)


class _Choosing(_LeavingOut, frozen=True, kw_only=True):
    """The entries of one of its inputs each."""

    function: ClassVar[str]

    def call(self, flow: Flow, *inputs: Array) -> Array:
        xp = flow.xp
        found, *others = self.aligned(xp, inputs)
        present, *masks = self.kept(flow, inputs)
        for x, kept in zip(others, masks, strict=True):
            other = x if kept is None else xp.where(kept, x, found)
            found = found if present is None else xp.where(present, found, other)
            either = kept is not None and present is not None
            present = xp.logical_or(present, kept) if either else None
            found = getattr(xp, self.function)(found, other)
        return found


class Maximum(_Choosing, frozen=True, kw_only=True):
    """The maximum of its inputs."""

    function = "maximum"


class Minimum(_Choosing, frozen=True, kw_only=True):
    """The minimum of its inputs."""

    function = "minimum"


class Concatenate(Layer, frozen=True, kw_only=True):
    """Joins its inputs along ``axis``."""

    supports_masking = True
    role = "joins"
    merges = True

    axis: Annotated[int, doc("Axis along which the inputs are joined; -1 is the last.")] = -1

    def output_shape(self, shape: Shape, *others: Shape) -> Shape:
        require_axis(self, shape, self.axis)
        rank = len(shape)
        along = self.axis % rank
        found = list(shape)
        for other in others:
            if len(other) != rank:
                raise ShapeError(
                    f"Concatenate cannot join {shape_text(shape)} and {shape_text(other)}, which "
                    "differ in the number of axes",
                    "a Flatten or Reshape before it gives both as many",
                )
            for axis, (one, two) in enumerate(zip(found, other, strict=True)):
                if axis == along:
                    found[axis] = None if one is None or two is None else one + two
                elif one is None:
                    found[axis] = two
                elif two not in (None, one):
                    raise ShapeError(
                        f"Concatenate cannot join {shape_text(shape)} and {shape_text(other)} "
                        f"along axis {self.axis}: they differ in axis {axis}",
                        "all sizes but those of the joined axis must be the same",
                    )
        return tuple(found)

    def call(self, flow: Flow, *inputs: Array) -> Array:
        return flow.xp.concatenate(inputs, self.axis)

    def output_mask(self, flow: Flow, *inputs: Array) -> Mask:
        """The masks joined like the inputs; inputs without a mask are valid."""
        xp = flow.xp
        if all(mask is None for mask in flow.masks):
            return None
        parts = []
        for x, mask in zip(inputs, flow.masks, strict=True):
            if mask is None:
                mask = xp.ones(x.shape, bool)
            elif mask.ndim < x.ndim:
                mask = xp.broadcast_to(xp.expand_dims(mask, -1), x.shape)
            parts.append(mask)
        return xp.any(xp.concatenate(parts, self.axis), axis=-1)


class Dot(Layer, frozen=True, kw_only=True):
    """The product of two inputs, summed over an axis of each."""

    supports_masking = True

    axes: Annotated[int | tuple[int, ...], doc("Axis to sum over, of both inputs or one for each.")]
    normalize: Annotated[bool, doc("Whether to divide each input by its Euclidean norm.")] = False

    def __post_init__(self) -> None:
        if not isinstance(self.axes, int) and len(self.axes) != 2:
            wanted = "one number, or one for each of the two inputs"
            raise ArgumentError("axes", f"`axes` must be {wanted}, not {quoted([*self.axes])}")

    @property
    def _both(self) -> tuple[int, ...]:
        """The axis of each input."""
        return (self.axes, self.axes) if isinstance(self.axes, int) else self.axes

    def output_shape(self, one: Shape, other: Shape) -> Shape:
        axes: list[int] = []
        for axis, shape in zip(self._both, (one, other), strict=True):
            if not -len(shape) <= axis < len(shape) or axis % len(shape) == 0:
                raise ShapeError(
                    f"Dot cannot sum over axis {axis} of its input {shape_text(shape)}",
                    f"axes count from 1 (0 is the batch) to {len(shape) - 1}",
                )
            axes.append(axis % len(shape))
        sizes = {one[axes[0]], other[axes[1]]} - {None}
        if len(sizes) > 1:
            raise ShapeError(
                f"Dot sums over axis {axes[0]} of {shape_text(one)} and axis {axes[1]} of "
                f"{shape_text(other)}, which differ in size"
            )
        kept = (*_without(one, axes[0]), *_without(other, axes[1])[1:])
        return kept if len(kept) > 1 else (*kept, 1)

    def call(self, flow: Flow, one: Array, other: Array) -> Array:
        xp = flow.xp
        flat = []
        for axis, x in zip(self._both, (one, other), strict=True):
            if self.normalize:
                squares = xp.sum(x * x, axis, keepdims=True)
                x = x / xp.sqrt(xp.where(squares > 1e-12, squares, 1e-12))
            flat.append(xp.reshape(xp.moveaxis(x, axis, -1), (x.shape[0], -1, x.shape[axis])))
        product = xp.matmul(flat[0], xp.swapaxes(flat[1], 1, 2))
        return xp.reshape(product, self.output_shape(one.shape, other.shape))

    def output_mask(self, flow: Flow, one: Array, other: Array) -> Mask:
        return None


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])
