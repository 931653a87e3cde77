"""What spreads the values of an image over their range, by its own histogram."""

from __future__ import annotations

from typing import Any

import numpy

from initcli.layers.image_augmentation import Ranged, clipped, moved
from initcli.layers.image_colors import BYTES
from initcli.layers.images import Transformation
from initcli.types import Array, NotComputable, PositiveInt


class AutoContrast(Ranged, frozen=True, kw_only=True):
    """Stretches each channel to the whole range."""

    always = True

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        # Keras takes the two axes after the batch, and where channels are first one is theirs.
        axes = (3, 1) if self.data_format == "channels_first" else (1, 2)
        values = moved(images, self.limits, BYTES)
        low, high = (f(values, axes, keepdims=True) for f in (xp.min, xp.max))
        flat = high == low
        scale = 255 / xp.where(flat, 1.0, high - low)
        stretched = clipped(xp, values * scale - low * scale, BYTES)
        return xp.where(flat, images, moved(stretched, BYTES, self.limits))


class Equalization(Ranged, frozen=True, kw_only=True):
    """Spreads each channel evenly over the range."""

    bins: PositiveInt = 256

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        """A channel is that of the whole batch, as in Keras; one of a single bin stays."""
        low, high = self.limits
        if low == high:
            raise NotComputable(f"its range from {low:g} to {high:g} is empty")
        scale, last = 255 / (high - low), self.bins - 1
        values = xp.constant(images) * scale - low * scale
        places = numpy.clip(values * last / 255, 0, last).astype("int64")
        counts = [
            numpy.bincount(places[..., channel].reshape(-1), minlength=self.bins)
            for channel in range(values.shape[-1])
        ]
        # Keras rounds in another way to look up, which may find the next bin.
        places = numpy.clip(values / 255 * last, 0, last).astype("int64")

        def spread(x: Array) -> Array:
            found = [_evenly(count)[places[..., channel]] for channel, count in enumerate(counts)]
            return (numpy.stack(found, -1) / scale + low).astype(x.dtype)

        is_plain = numpy.array([numpy.count_nonzero(count) <= 1 for count in counts])
        return xp.where(is_plain, images, xp.stepwise(spread, images))


class ContrastLimitedAdaptiveHistogramEqualization(Ranged, frozen=True, kw_only=True):
    """Equalizes tile by tile, up to a contrast (Zuiderveld 1994)."""

    always = True

    clip_limit: float = 4.0
    tile_grid_size: tuple[PositiveInt, ...] = (8, 8)

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        return xp.stepwise(self._equalized, images)

    def _equalized(self, images: Array) -> Array:
        values = moved(images, self.value_range, BYTES)
        batch, *size, channels = values.shape
        tile = [-(-n // tiles) for n, tiles in zip(size, self.tile_grid_size, strict=True)]
        ends = [
            (0, n * tiles - whole)
            for n, tiles, whole in zip(tile, self.tile_grid_size, size, strict=True)
        ]
        padded = numpy.pad(values, [(0, 0), *ends, (0, 0)], "symmetric")
        bins = numpy.clip(padded, 0, 255).astype("int64")
        # A row of tiles more on each side, as those at the edge.
        more = [(0, 0), (1, 1), (1, 1), (0, 0), (0, 0)]
        tables = numpy.pad(self._tables(bins, tile), more, "edge")
        image, channel = numpy.arange(batch)[:, None, None, None], numpy.arange(channels)
        found = numpy.zeros_like(padded)
        for row, down in _tiles(padded.shape[1], tile[0]):
            for column, across in _tiles(padded.shape[2], tile[1]):
                near = tables[image, row[:, None, None], column[:, None], channel, bins]
                found += near * (down[:, None, None] * across[:, None])
        return moved(found[:, : size[0], : size[1]], BYTES, self.value_range)

    def _tables(self, bins: Array, tile: list[int]) -> Array:
        """What becomes of each value in each tile: (batch, tiles, tiles, channels, 256)."""
        (batch, height, width, channels), area = bins.shape, tile[0] * tile[1]
        rows, columns = height // tile[0], width // tile[1]
        tiled = bins.reshape(batch, rows, tile[0], columns, tile[1], channels)
        tiled = tiled.transpose(0, 1, 3, 5, 2, 4).reshape(-1, area)
        first = numpy.arange(len(tiled))[:, None] * 256
        counts = numpy.bincount((tiled + first).reshape(-1), minlength=len(tiled) * 256)
        shares = counts.reshape(-1, 256).astype("float32")
        if self.clip_limit > 0:
            kept = numpy.minimum(shares, self.clip_limit * area / 256)
            shares = kept + (shares - kept).sum(1, keepdims=True) / 256
        total = shares.cumsum(1)
        least = total.min(1, keepdims=True)
        rest = numpy.where(area == least, 1, area - least)
        tables = numpy.clip((total - least) * 255 / rest, 0, 255)
        return tables.reshape(batch, rows, columns, channels, 256)


def _evenly(counts: Array) -> Array:
    """What becomes of each bin so that all values are as frequent."""
    total = counts.cumsum()
    least = total[numpy.flatnonzero(total)[0]]
    return numpy.round((total - least) * 255 / max(total[-1] - least, 1))


def _tiles(size: int, tile: int) -> list[tuple[Array, Array]]:
    """The two tiles between whose middles each entry lies, each with its share."""
    place = (numpy.arange(size, dtype="float32") - tile / 2) / tile + 1
    first = numpy.floor(place)
    share = place - first
    return [(first.astype("int64"), 1 - share), (first.astype("int64") + 1, share)]
