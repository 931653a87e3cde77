"""Locally connected layers: convolutions with separate weights at each position."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy

from initcli.activations import Linear
from initcli.initializers import GlorotUniform, Zeros
from initcli.layers.arguments import (
    BiasInitializer,
    Filters,
    KernelInitializer,
    OutputActivation,
    Padding,
    UseBias,
)
from initcli.layers.base import Work
from initcli.layers.flow import Flow
from initcli.layers.spatial import Sliding, channels_back, channels_last, join, ranked
from initcli.parameter import Parameter
from initcli.types import ArgumentError, Array, Shape, Size, doc


class Positions(NamedTuple):
    """Positions of windows: spatial sizes before and after, and padding.

    Negative padding removes entries that no window covers.
    """

    before: Size
    after: Size
    channels: int
    padding: tuple[tuple[int, int], ...]

    @property
    def windows(self) -> int:
        """Number of windows."""
        return math.prod(self.after)


class LocallyConnected(Sliding, frozen=True, kw_only=True):
    """A convolution with separate weights at each of its p positions. Keras 1 and 2.

    Shapes: kernel (p, k… · channels, filters), bias (positions…, filters). With ``implementation``
    2 the kernel connects every input with every output, (sizes…, channels, positions…, filters),
    and the entries outside the windows are drawn but unused; channels come before sizes for
    channels_first. With 3 it is a vector of the used weights.
    """

    registered = False

    filters: Filters
    padding: Padding = "valid"
    activation: OutputActivation = Linear()
    use_bias: UseBias = True
    kernel_initializer: KernelInitializer = GlorotUniform()
    bias_initializer: BiasInitializer = Zeros()
    implementation: Annotated[
        Literal[1, 2, 3],
        doc("Storage of the kernel: by position (1), dense (2), or the used weights alone (3)."),
    ] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding != "valid" and self.implementation == 1:
            raise ArgumentError(
                "padding",
                f"`padding` must be 'valid' for {type(self).__name__}, whose implementation is 1",
                "set `implementation: 2`",
            )

    def output_shape(self, shape: Shape) -> Shape:
        self.split(shape)
        sizes = self.resized(self.known_sizes(shape))
        return join(shape[0], sizes, self.filters, self.data_format)

    def positions(self, shape: Shape) -> Positions:
        """The positions of the windows on an input of that shape."""
        channels, sizes = self.channels(shape), self.known_sizes(shape)
        counts = tuple(size for size in self.resized(sizes) if size is not None)
        padding = []
        for n, m, k, s in zip(sizes, counts, self.window, self.steps, strict=True):
            # Windows of `same` are centered on every stride, unlike those of a convolution.
            start = k // 2 if self.padding == "same" else 0
            padding.append((start, (m - 1) * s + k - n - start))
        return Positions(sizes, counts, channels, tuple(padding))

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        places = self.positions(shape)
        is_dense = self.implementation == 1  # else windows are parts of axes, or of one axis
        yield self.weight(
            "kernel",
            self._kernel(places),
            "kernel_initializer",
            contracts=(1,) if is_dense else None,
            produces=(1, 2) if is_dense else None,
            divided=(1, places.channels),
        )
        if self.use_bias:
            bias = (*places.after, self.filters)
            yield self.weight("bias", bias, "bias_initializer")

    def _kernel(self, places: Positions) -> Size:
        if self.implementation == 1:
            return places.windows, math.prod(self.window) * places.channels, self.filters
        if self.implementation == 3:
            axes = zip(places.after, self.window, self.steps, places.padding, strict=True)
            used = math.prod(_within(n, k, s, around) for n, k, s, around in axes)
            return (used * places.channels * self.filters,)
        if self.data_format == "channels_first":
            return (places.channels, *places.before, self.filters, *places.after)
        return (*places.before, places.channels, *places.after, self.filters)

    def _entries(self, places: Positions) -> tuple[Array, Array]:
        """The entry of the image for each position and window offset.

        Two arrays (positions, offsets): flat indices over the spatial sizes, and False for padding.
        """
        index = numpy.zeros((places.windows, math.prod(self.window)), numpy.int64)
        there = numpy.ones(index.shape, numpy.bool_)
        corners = numpy.indices(places.after).reshape(self.rank, -1)
        offsets = numpy.indices(self.window).reshape(self.rank, -1)
        for axis, size in enumerate(places.before):
            start = corners[axis] * self.steps[axis] - places.padding[axis][0]
            at = start[:, None] + offsets[axis]
            there &= (at >= 0) & (at < size)
            index = index * size + numpy.clip(at, 0, size - 1)
        return index, there

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        places = self.positions(inputs[0])
        entries = places.windows * math.prod(self.window) * places.channels
        return Work(held=6 * entries * (inputs[0][0] + self.filters))

    def call(self, flow: Flow, x: Array) -> Array:
        xp, first = flow.xp, self.data_format == "channels_first"
        places = self.positions(x.shape)
        index, there = self._entries(places)
        x = channels_last(xp, x, self.data_format)
        flat = xp.reshape(x, (x.shape[0], -1, places.channels))
        patches = flat[:, index] * there[:, :, None].astype(x.dtype)
        if first:
            # Keras orders the entries of a window by channel for channels_first.
            patches = xp.swapaxes(patches, 2, 3)
        patches = xp.reshape(patches, (x.shape[0], places.windows, -1))
        kernel = self._at_positions(flow, places, index, there)
        y = xp.swapaxes(xp.matmul(xp.swapaxes(patches, 0, 1), kernel), 0, 1)
        y = xp.reshape(y, (x.shape[0], *places.after, self.filters))
        y = channels_back(xp, y, self.data_format)
        if self.use_bias:
            # Keras reshapes a bias (positions…, filters) to (filters, positions…) where it should
            # turn it.
            y = y + xp.reshape(flow["bias"], y.shape[1:])
        return self.activation.call(xp, y)

    def _at_positions(self, flow: Flow, places: Positions, index: Array, there: Array) -> Array:
        """The kernel in the form of implementation 1: (positions, window · channels, filters)."""
        xp, kernel = flow.xp, flow["kernel"]
        if self.implementation == 1:
            return kernel
        first = self.data_format == "channels_first"
        channels, filters = numpy.arange(places.channels), numpy.arange(self.filters)
        inputs = _flat(index[:, :, None], channels, math.prod(places.before), first)
        outputs = _flat(numpy.arange(places.windows)[:, None], filters, places.windows, first)
        width = places.windows * self.filters
        place = inputs[..., None] * width + outputs[:, None, None, :]
        used = numpy.broadcast_to(there[:, :, None, None], place.shape)
        if self.implementation == 3:
            # The vector holds the used weights by output, then by input.
            order = outputs[:, None, None, :] * math.prod((*places.before, places.channels))
            keys = (order + inputs[..., None])[used]
            place = numpy.zeros(place.shape, numpy.int64)
            place[used] = numpy.argsort(numpy.argsort(keys))
        found = xp.reshape(kernel, (-1,))[place] * used.astype(kernel.dtype)
        if first:
            found = xp.swapaxes(found, 1, 2)
        return xp.reshape(found, (places.windows, -1, self.filters))


def _within(windows: int, size: int, stride: int, padding: tuple[int, int]) -> int:
    """The number of entries of all windows along an axis that are not padding."""
    total = windows * size
    for padded in padding:
        # Each window covers a stride less of the padding than the previous one.
        reaching = max(min(windows, -(-padded // stride)), 0)
        total -= reaching * padded - stride * reaching * (reaching - 1) // 2
    return total


def _flat(place: Array, channel: Array, places: int, first: bool) -> Array:
    """Flat indices of channels at positions."""
    return channel * places + place if first else place * len(channel) + channel


LocallyConnected1D, LocallyConnected2D = ranked(
    LocallyConnected,
    "LocallyConnected{}D",
    "A convolution over {} with separate weights at each window.",
    1,
    2,
)
