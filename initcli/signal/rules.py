"""What each kind of layer does to a field, and to the gradients that come back: one rule a kind.

A rule gives the fields of what comes out, and a function that takes the gradients of the outputs to
those of the inputs. A gradient is E[g²] of an entry at each position, and E[g g'] at two positions
of an example, of shape (2, positions…); gradients of two examples, of two units and of two branches
are taken to be independent, and gradients to be independent of what flows forwards
(Schoenholz et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import singledispatch
from typing import Any, NamedTuple

import numpy as np
from autograd import elementwise_grad

from initcli.activations import Activation, Glu, Linear, LogSoftmax, Softmax, Sparsemax
from initcli.layers import (
    activation,
    applications,
    convolution,
    core,
    einsum,
    embedding,
    features,
    images,
    merging,
    normalization,
    pooling,
    regularization,
    reshaping,
    wrappers,
)
from initcli.layers.base import Layer, per_axis
from initcli.layers.spatial import ends, spread_ends
from initcli.signal import arrays
from initcli.signal.field import (
    NODES,
    RANKS,
    WEIGHTS,
    Field,
    added,
    field,
    hidden,
    mapped,
    multiplied,
    normal,
    profile_of,
    shared,
    slopes,
)
from initcli.types import Array, DataFormat, Size

Gradient = Array
Pull = Callable[[Gradient], Sequence[Gradient | None]]
"""Takes the gradient of the first output to those of the inputs."""


class NoTheory(Exception):
    """Raised where no rule covers a layer."""


class Weight(NamedTuple):
    """Mean and variance of the entries of a parameter."""

    mean: float
    variance: float

    @property
    def second(self) -> float:
        """E[w²]."""
        return self.variance + self.mean**2


class Place(NamedTuple):
    """Where a layer stands: its weights' moments and shapes, what flows in and out, its options."""

    weights: dict[str, Weight]
    sizes: dict[str, Size]
    inputs: list[Size]
    outputs: list[Size]
    options: Mapping[str, bool]
    training: bool

    @property
    def batch(self) -> int:
        """Examples."""
        return self.inputs[0][0]

    def within(self, name: str) -> Place:
        """The place of a layer within, whose weights stand under that name."""
        start = f"{name}/"
        weights = {k.removeprefix(start): v for k, v in self.weights.items() if k.startswith(start)}
        sizes = {k.removeprefix(start): v for k, v in self.sizes.items() if k.startswith(start)}
        return self._replace(weights=weights, sizes=sizes)


class Expected(NamedTuple):
    """What is expected of a layer's first output, and how gradients come back through it."""

    output: Field
    pull: Pull


@singledispatch
def expected(layer: Layer, place: Place, *fields: Field) -> Expected:
    """What is expected of a layer for inputs of those fields.

    Raises:
        NoTheory: no rule covers the layer.
    """
    raise NoTheory(layer.type_name)


_PASSING = (
    core.Input,
    core.Identity,
    core.Masking,
    regularization.ActivityRegularization,
)


def _identity(layer: Any, place: Place, given: Field) -> Expected:
    return Expected(given, lambda g: [g])


for _each in _PASSING:
    expected.register(_each)(_identity)


# Functions of single entries


def activated(function: Activation, given: Field) -> Expected:
    """A function of single entries, or a softmax over units."""
    if isinstance(function, Linear):
        return Expected(given, lambda g: [g])
    if isinstance(function, Softmax | LogSoftmax | Sparsemax):
        return _softmaxed(function, given)
    if isinstance(function, Glu):
        return _gated(given)

    def value(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.nan_to_num(function.call(arrays, x), posinf=1e150, neginf=-1e150)

    differentiated = elementwise_grad(lambda x: function.call(arrays, x))

    def slope(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.nan_to_num(differentiated(x), posinf=1e150, neginf=-1e150)

    factors = slopes(slope, given)
    return Expected(mapped(value, given), lambda g: [factors * g])


def _softmaxed(function: Activation, given: Field) -> Expected:
    if not isinstance(function, Softmax) or function.axis != -1:
        raise NoTheory(str(function))
    n, grid = given.units, given.grid
    size = math.sqrt(float(given.second.mean()))
    centred = size * (given.profile - WEIGHTS @ given.profile)
    centred -= centred.max()
    second = n * softmax_squares(centred, n) / n if n > 1 else 1.0
    mean = 1 / n
    powers = mapped(lambda x: np.exp(x - size * given.profile.max()), given)
    spread = np.maximum(powers.second - powers.means**2, 1e-300)
    moments = np.empty((4, *grid))
    moments[0] = second
    shared = (powers.moments[1:] - powers.means**2) / spread
    moments[1:] = mean**2 + (second - mean**2) * shared
    values = np.exp(centred)
    # p (g − Σ p g): E[p²] (1 − 2 E[p] + Σ p²), of the units together.
    factor = second * max(1 - 2 * n * second / max(n * mean, 1e-300) + n * second, 0.0)
    return Expected(field(moments, n, values), lambda g: [np.stack([factor * g[0], 0 * g[1]])])


def softmax_squares(values: Array, n: int, weights: Array = WEIGHTS) -> float:
    """E[p²] for one share p = e^z / Σ e^z' of n independent z, of these values.

    With 1/S² = ∫ t e^(−tS) dt it is ∫ t E[e^(2z − t e^z)] E[e^(−t e^z)]^(n−1) dt.
    """
    powers = np.exp(values)
    mean = float(weights @ powers)
    low, high = math.log(1e-6 / (n * mean)), math.log(1e3 / max(mean, 1e-300))
    logs = np.linspace(low, high, 600)
    t = np.exp(logs)
    decay = np.exp(-np.outer(t, powers))
    one, rest = decay @ (weights * powers**2), decay @ weights
    integrand = t * t * one * np.exp((n - 1) * np.log(np.maximum(rest, 1e-300)))
    return float(np.sum((integrand[1:] + integrand[:-1]) / 2) * (logs[1] - logs[0]))


def _gated(given: Field) -> Expected:
    half = field(given.moments, given.units // 2, given.profile)
    other = field(given.moments, given.units // 2, given.profile)
    gate = mapped(arrays.sigmoid, other)
    slope = slopes(lambda x: arrays.sigmoid(x) * (1 - arrays.sigmoid(x)), other)
    product = multiplied([half, gate])
    to_half = gate.moments[[0, 2]]
    to_gate = half.moments[[0, 2]] * slope
    return Expected(product, lambda g: [(to_half + to_gate) / 2 * g])


@expected.register
def _(layer: activation.Activation, place: Place, given: Field) -> Expected:
    return activated(layer.activation, given)


@expected.register(activation.ReLU)
@expected.register(activation.LeakyReLU)
@expected.register(activation.ELU)
def _(layer: Any, place: Place, given: Field) -> Expected:
    from initcli import activations

    kind = {"ReLU": activations.Relu, "LeakyReLU": activations.LeakyRelu, "ELU": activations.Elu}
    names = ("max_value", "negative_slope", "threshold", "alpha")
    arguments = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
    return activated(kind[type(layer).__name__](**arguments), given)


@expected.register
def _(layer: activation.PReLU, place: Place, given: Field) -> Expected:
    alpha = place.weights["alpha"]
    mean = alpha.mean

    def function(x: Array) -> Array:
        return np.where(x > 0, x, mean * x)

    factors = slopes(lambda x: np.where(x > 0, 1.0, mean), given)
    return Expected(mapped(function, given), lambda g: [factors * g])


@expected.register
def _(layer: activation.Softmax, place: Place, given: Field) -> Expected:
    if layer.axis != -1:
        raise NoTheory("softmax over several axes")
    return activated(Softmax(), given)


@expected.register(images.Rescaling)
def _(layer: Any, place: Place, given: Field) -> Expected:
    if not isinstance(layer.scale, int | float) or not isinstance(layer.offset, int | float):
        raise NoTheory("a scale for each channel")
    return affine(given, layer.scale, layer.offset)


@expected.register(features.Normalization)
def _(layer: Any, place: Place, given: Field) -> Expected:
    if layer.mean is not None:
        raise NoTheory("a mean for each channel")
    return Expected(given, lambda g: [g])


def affine(given: Field, scale: float, offset: float) -> Expected:
    """scale · x + offset."""
    found = mapped(lambda x: scale * x + offset, given)
    return Expected(found, lambda g: [scale * scale * g])


# Sums over units


def summed(given: Field, fan_in: float, units: int, kernel: Weight) -> tuple[Array, Array]:
    """Moments and means of Σ w x over ``fan_in`` units of one position."""
    moments, means = given.moments, given.means
    total = fan_in * fan_in * means**2 + fan_in * (moments - means**2)
    return (
        fan_in * kernel.variance * moments + kernel.mean**2 * total,
        kernel.mean * fan_in * means,
    )


def with_bias(moments: Array, means: Array, bias: Weight | None) -> tuple[Array, Array]:
    """Moments and means after a bias is added."""
    if bias is None:
        return moments, means
    return moments + bias.second + 2 * bias.mean * means, means + bias.mean


def connected(
    given: Field, fan_in: float, units: int, kernel: Weight, bias: Weight | None
) -> Expected:
    """Σ w x + b over all units of a position: q' = fan_in Var[w] q + Var[b] (Poole et al. 2016).

    Backwards, E[g²] of an input is units · E[w²] · E[g²] of an output.
    """
    moments, means = with_bias(*summed(given, fan_in, units, kernel), bias)
    back = given.units and units * kernel.second
    return Expected(normal(moments, means, units), lambda g: [back * g])


def then(first: Expected, *rest: Callable[[Field], Expected]) -> Expected:
    """One step after another."""
    found = first
    for step in rest:
        after = step(found.output)

        def pull(g: Gradient, before: Pull = found.pull, last: Pull = after.pull) -> Any:
            (inside,) = last(g)
            return before(inside) if inside is not None else [None]

        found = Expected(after.output, pull)
    return found


@expected.register
def _(layer: core.Dense, place: Place, given: Field) -> Expected:
    kernel = place.weights["kernel"]
    linear = connected(given, place.inputs[0][-1], layer.units, kernel, place.weights.get("bias"))
    return then(linear, lambda y: activated(layer.activation, y))


@expected.register
def _(layer: einsum.EinsumDense, place: Place, given: Field) -> Expected:
    projection = layer.project(place.inputs[0])
    sizes = place.sizes["kernel"]
    fan_in = math.prod(sizes[axis] for axis in projection.input_axes)
    units = math.prod(sizes[axis] for axis in projection.output_axes)
    if fan_in == place.inputs[0][-1] and place.outputs[0][:2] == place.inputs[0][:2]:
        linear = connected(given, fan_in, units, place.weights["kernel"], place.weights.get("bias"))
    else:
        flat = given.at(())
        linear = connected(flat, fan_in, units, place.weights["kernel"], place.weights.get("bias"))
        linear = replaced(linear, given, linear.output.at(place.outputs[0][1:-1]))
    return then(linear, lambda y: activated(layer.activation, y))


def moved(g: Gradient, grid: Size) -> Gradient:
    """The gradient of as many entries at other positions."""
    if g.shape[1:] == grid:
        return g
    found = np.zeros((2, *grid))
    found[0] = g[0].mean()
    if grid and g.ndim > 1:
        found[1] = g[1].mean()
    return found


def replaced(step: Expected, given: Field, output: Field) -> Expected:
    """A step whose output stands at other positions than it was computed at."""
    inside = step.output.grid

    def pull(g: Gradient) -> list[Gradient | None]:
        (found,) = step.pull(moved(g, inside))
        return [None if found is None else moved(found, given.grid)]

    return Expected(output, pull)


# Windows


def _sizes(shape: Size, data_format: DataFormat | None) -> tuple[Size, int]:
    """Spatial sizes and channels."""
    if data_format == "channels_first":
        return shape[2:], shape[1]
    return shape[1:-1], shape[-1]


def box(moments: Array, size: Size, window: Any) -> Array:
    """The sum of moments (any number, positions…) over the window."""
    kernel = np.ones((*size, 1, 1))
    found: Array = arrays.correlate(moments[..., None], kernel, window)[..., 0]
    return found


def unboxed(moments: Array, size: Size, window: Any, grid: Size) -> Array:
    """The transpose of :func:`box`."""
    kernel = np.ones((*size, 1, 1))
    found: Array = arrays.spread(moments[..., None], kernel, window, grid)[..., 0]
    return found


@expected.register
def _(layer: convolution.Convolution, place: Place, given: Field) -> Expected:
    """Moments are summed over the window as entries are over units (Xiao et al. 2018)."""
    shape = place.inputs[0]
    grid, channels = _sizes(shape, layer.data_format)
    given = given.at(grid)
    rank, weights = layer.rank, place.weights
    strides = per_axis(layer.strides, rank, "strides")
    dilation = per_axis(layer.dilation_rate, rank, "dilation_rate")
    bias = weights.get("bias")
    outputs, filters = _sizes(place.outputs[0], layer.data_format)
    if isinstance(layer, convolution.ConvTranspose):
        extras = getattr(layer, "_output_padding")  # noqa: B009
        cut = spread_ends(layer.window, strides, dilation, layer.padding, extras, grid, outputs)
        window = arrays.Window(strides, dilation, cut)

        def widen(x: Array) -> Array:
            return unboxed(x, layer.window, window, outputs)

        def narrow(x: Array) -> Array:
            return box(x, layer.window, window)

        linear = _slid(given, channels, filters, weights["kernel"], bias, widen, narrow)
        return then(linear, lambda y: activated(layer.activation, y))
    around = ends(grid, layer.window, strides, dilation, layer.padding)
    window = arrays.Window(strides, dilation, around)

    def over(x: Array) -> Array:
        return box(x, layer.window, window)

    def back(x: Array) -> Array:
        return unboxed(x, layer.window, window, grid)

    if isinstance(layer, convolution.SeparableConv):
        each = layer.depth_multiplier
        depthwise, mixed = weights["depthwise_kernel"], channels * each
        linear = _slid(given, 1, mixed, depthwise, None, over, back, each)
        pointwise = weights["pointwise_kernel"]
        linear = then(linear, lambda y: connected(y, mixed, filters, pointwise, bias))
    elif isinstance(layer, convolution.DepthwiseConv):
        each = layer.depth_multiplier
        linear = _slid(given, 1, filters, weights["kernel"], bias, over, back, each)
    else:
        groups = getattr(layer, "groups", 1)
        depth, kernel = channels // groups, weights["kernel"]
        linear = _slid(given, depth, filters, kernel, bias, over, back, filters // groups)
    return then(linear, lambda y: activated(layer.activation, y))


def _slid(
    given: Field,
    depth: int,
    filters: int,
    kernel: Weight,
    bias: Weight | None,
    over: Callable[[Array], Array],
    back: Callable[[Array], Array],
    feeds: int | None = None,
) -> Expected:
    """A window of weights over ``depth`` channels; an entry of a channel feeds ``feeds`` filters."""
    moments, means = given.moments, given.means
    found = depth * kernel.variance * over(moments)
    total = np.zeros(found.shape[1:])
    if kernel.mean:
        total = kernel.mean * depth * over(means[None])[0]
        rest = over(moments - means**2)
        found = found + total**2 + kernel.mean**2 * depth * rest
    found, total = with_bias(found, total, bias)
    factor = (filters if feeds is None else feeds) * kernel.second
    return Expected(normal(found, total, filters), lambda g: [factor * back(g)])


@expected.register(pooling._MaxPooling)
@expected.register(pooling._AveragePooling)
def _(layer: Any, place: Place, given: Field) -> Expected:
    grid, _ = _sizes(place.inputs[0], layer.data_format)
    given = given.at(grid)
    size = per_axis(layer.pool_size, layer.rank, "pool_size")
    strides = size if layer.strides is None else per_axis(layer.strides, layer.rank, "strides")
    every = (1,) * layer.rank
    around = ends(grid, size, strides, every, layer.padding)
    window = arrays.Window(strides, every, around)
    count = box(np.ones((1, *grid)), size, window)
    is_largest = isinstance(layer, pooling._MaxPooling)
    return pooled(given, is_largest, lambda x: box(x, size, window) / count, window, size, count)


def pooled(
    given: Field,
    is_largest: bool,
    averaged: Callable[[Array], Array],
    window: Any,
    size: Size,
    count: Array,
) -> Expected:
    """The largest or the mean entry of each window."""
    n = count[0]
    moments = averaged(given.moments)
    grid = given.grid

    def back(g: Gradient) -> list[Gradient | None]:
        found: Gradient = unboxed(g / count, size, window, grid)
        if not is_largest:
            covered = unboxed(g / count**2, size, window, grid)
            # Every entry of a window has the same gradient.
            alike = unboxed(np.ones_like(g) / count, size, window, grid)
            return [np.stack([covered[0], np.maximum(covered[0] * (alike[1] > 0), covered[1])])]
        return [np.stack([found[0], found[1] / n.mean()])]

    if not is_largest:
        same, inputs, places, both = moments
        found = np.stack(
            [same / n + (1 - 1 / n) * places, inputs / n + (1 - 1 / n) * both, places, both]
        )
        return Expected(normal(found, averaged(given.means[None])[0], given.units), back)
    # Where a window has entries that are 0, as at padded borders, it is as if it had fewer.
    most: Array = arrays.largest(given.second[None, ..., None], size, window)[0, ..., 0]
    entries = np.maximum(np.rint(n * moments[0] / np.maximum(most, 1e-300)), 1)
    found, values = np.empty(moments.shape), given.profile
    for number in np.unique(entries):
        level, values = largest_of(given, int(number))
        found[:, entries == number] = level[:, None]
    found *= most / max(float(given.second.mean()), 1e-300)
    return Expected(field(found, given.units, values), back)


def largest_of(given: Field, n: int) -> tuple[Array, Array]:
    """Moments (4,) and profile of the largest of n entries of a window.

    The normal numbers behind the entries have parts that all share: with all examples, or within
    one example. The largest is that of what is left, of which the law is Φⁿ.
    """
    rho = hidden(given).reshape(3, -1).mean(1)
    inputs, places, both = (float(min(max(r, 0.0), 0.9999)) for r in rho)
    places, both = max(places, 0.0), min(both, places, inputs)
    alone = np.interp(RANKS ** (1 / n), RANKS, NODES)
    mean = float(WEIGHTS @ alone)
    spread = math.sqrt(max(float(WEIGHTS @ (alone * alone)) - mean * mean, 1e-300))
    values = profile_of(
        (math.sqrt(places) * NODES[2::5, None] + math.sqrt(1 - places) * alone[None, 2::5]).ravel(),
        np.multiply.outer(WEIGHTS[2::5], WEIGHTS[2::5]).ravel(),
    )
    variance = places + (1 - places) * spread**2
    # Of the rest, what two examples share; the first of n may be the largest in one, not in both.
    share = min(max((inputs - both) / max(1 - places, 1e-9), 0.0), 1.0)
    kept = share * ((1 - share) / (n * spread**2) + share) if n > 1 else share
    behind = np.array([both + (1 - places) * spread**2 * kept, places, both]) / variance
    size = math.sqrt(float(given.second.mean()))
    rising = np.sort(given.profile)
    whole = size * np.interp(values, NODES, rising)
    return shared(whole, np.append(1.0, np.clip(behind, 0, 1))), whole


@expected.register(pooling._GlobalMaxPooling)
@expected.register(pooling._GlobalAveragePooling)
def _(layer: Any, place: Place, given: Field) -> Expected:
    grid, _ = _sizes(place.inputs[0], layer.data_format)
    given = given.at(grid)
    n = math.prod(grid)
    after = (1,) * layer.rank if layer.keepdims else ()
    is_largest = isinstance(layer, pooling._GlobalMaxPooling)

    def back(g: Gradient) -> list[Gradient | None]:
        first = float(g[0].mean())
        found = np.zeros((2, *grid))
        found[0] = first / n if is_largest else first / n**2
        found[1] = 0.0 if is_largest else first / n**2
        return [found]

    if is_largest:
        level, values = largest_of(given, n)
        shape = (4, *(1,) * len(after))
        return Expected(field(level.reshape(shape), given.units, values), back)
    same, inputs, places, both = given.moments.reshape(4, -1).mean(1)
    first = same / n + (1 - 1 / n) * places
    second = inputs / n + (1 - 1 / n) * both
    found = np.array([first, second, first, second]).reshape(4, *(1,) * len(after))
    return Expected(normal(found, np.array(given.mean), given.units), back)


# Normalisations


def scaled(found: Expected, place: Place) -> Expected:
    """gamma · x + beta."""
    gamma, beta = place.weights.get("gamma"), place.weights.get("beta")
    if gamma is not None and gamma != Weight(1.0, 0.0):
        found = then(found, lambda y: weighted(y, gamma))
    if beta is not None and beta != Weight(0.0, 0.0):
        y = found.output
        moments, means = with_bias(y.moments, y.means, beta)
        found = Expected(normal(moments, means, y.units), found.pull)
    return found


def weighted(given: Field, weight: Weight) -> Expected:
    """x times one weight a unit."""
    moments = weight.second * given.moments
    values = given.profile if weight.mean >= 0 else -given.profile
    latent = given.latent if weight.variance == 0 else None
    found = field(moments, given.units, values, latent)
    return Expected(found, lambda g: [weight.second * g])


def standardised(given: Field, level: Array, variance: Array, values: Array) -> Field:
    """(x − μ) / √variance, where E[μ²] is the level."""
    moments = (given.moments - level) / variance
    moments[0] = np.maximum(moments[0], 0.0)
    return field(moments, given.units, values, given.latent)


@expected.register
def _(layer: normalization.BatchNormalization, place: Place, given: Field) -> Expected:
    """Channel by channel: the mean that is taken off is that of all pairs of entries.

    Backwards the mean of g, and what of g goes along the output, are taken off (Yang et al. 2019).
    """
    if layer.renorm:
        raise NoTheory("renorm")
    if not (place.training and layer.trainable):
        variance = place.weights["moving_variance"].mean + layer.epsilon
        centre = place.weights["moving_mean"].mean
        return scaled(affine(given, variance**-0.5, -centre * variance**-0.5), place)
    if layer.axis % len(place.inputs[0]) == 1 and given.grid:
        given = given.at(place.inputs[0][2:])
    shares = _shares(place.batch, math.prod(given.grid))
    # E[x μ] at each position, for the mean μ over the batch and all positions.
    beside_mean = np.tensordot(shares, given.moments, 1)
    centred = given.moments - 2 * beside_mean + beside_mean.mean()
    centred[0] = np.maximum(centred[0], 0.0)
    size = float(centred[0].mean()) + layer.epsilon
    values = given.profile - float(WEIGHTS @ given.profile)
    found = field(centred / size, given.units, values, given.latent)
    unit = found.moments.reshape(4, -1).mean(1)

    def pull(g: Gradient) -> list[Gradient | None]:
        same, places = (float(each.mean()) for each in g)
        pairs = np.array([same, 0.0, places, 0.0])
        off = float(shares @ pairs)
        along = float(shares @ (pairs * unit))
        kept = np.stack([np.maximum(g[0] - off - along, 0.0), g[1] - off])
        return [kept / size]

    return scaled(Expected(found, pull), place)


def _shares(batch: int, positions: int) -> Array:
    """How many of all pairs of entries of a channel are of each kind."""
    inputs, places = (batch - 1) / batch, (positions - 1) / positions
    return np.array([1 / (batch * positions), inputs / positions, places / batch, inputs * places])


@expected.register(normalization.LayerNormalization)
@expected.register(normalization.GroupNormalization)
@expected.register(normalization.RMSNormalization)
@expected.register(normalization.UnitNormalization)
def _(layer: Any, place: Place, given: Field) -> Expected:
    rank = len(place.inputs[0])
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
    is_group = isinstance(layer, normalization.GroupNormalization)
    if not isinstance(layer.axis, int) and len(layer.axis) > 1:
        raise NoTheory("several axes")
    if axis % rank != rank - 1 and not is_group:
        raise NoTheory("an axis that is not the last")
    centres = is_group or (
        isinstance(layer, normalization.LayerNormalization) and not layer.rms_scaling
    )
    means = given.means if centres else np.zeros(given.grid)
    second, count = given.second, given.units
    level = means**2
    if is_group:
        groups = given.units if layer.groups == -1 else layer.groups
        count, positions = given.units // groups, math.prod(given.grid)
        # Units of a group have their own means over positions.
        places = float((given.moments[2] - level).mean()) / count * (1 - 1 / positions)
        level = np.full(given.grid, float(level.mean()) + places)
        second = np.full(given.grid, float(second.mean()))
    variance = np.maximum(second - level, 0.0)
    if isinstance(layer, normalization.UnitNormalization):
        size = second * given.units
    elif isinstance(layer, normalization.LayerNormalization) and layer.rms_scaling:
        size = second - given.means**2 + layer.epsilon
    else:
        size = variance + layer.epsilon
    values = given.profile - (float(WEIGHTS @ given.profile) if centres else 0.0)
    found = standardised(given, level, size, values)
    lost = (1 + centres) / max(count, 1)

    def pull(g: Gradient) -> list[Gradient | None]:
        return [g * max(1 - lost, 0.0) / size]

    weights = dict(place.weights)
    if "scale" in weights:
        weights["gamma"] = weights["scale"]
    return scaled(Expected(found, pull), place._replace(weights=weights))


@expected.register
def _(layer: applications.LayerScale, place: Place, given: Field) -> Expected:
    return weighted(given, place.weights["gamma"])


# What acts in training only


@expected.register(regularization.Dropout)
@expected.register(regularization._SpatialDropout)
@expected.register(applications.StochasticDepth)
def _(layer: Any, place: Place, given: Field) -> Expected:
    rate = getattr(layer, "rate", None)
    rate = layer.drop_path_rate if rate is None else rate
    if not place.training or rate == 0:
        return Expected(given, lambda g: [g])
    whole = not isinstance(layer, regularization.Dropout) or layer.noise_shape is not None
    return dropped(given, rate, whole)


def dropped(given: Field, rate: float, whole: bool) -> Expected:
    """Entries that are 0 with that probability, else larger; ``whole`` ones at all positions."""
    if rate >= 1:
        return affine(given, 0.0, 0.0)
    more = 1 / (1 - rate)
    factors = np.array([more, 1.0, more if whole else 1.0, 1.0])
    moments = given.moments * factors.reshape(4, *(1,) * len(given.grid))
    values = np.concatenate([given.profile * more, [0.0]])
    profile = profile_of(values, np.append(WEIGHTS * (1 - rate), rate))
    pairs = factors[[0, 2]].reshape(2, *(1,) * len(given.grid))
    return Expected(field(moments, given.units, profile), lambda g: [g * pairs])


@expected.register
def _(layer: regularization.AlphaDropout, place: Place, given: Field) -> Expected:
    if not place.training or layer.rate in (0, 1):
        return Expected(given, lambda g: [g])
    least = -1.6732632423543772 * 1.0507009873554805
    scale = ((1 - layer.rate) * (1 + layer.rate * least**2)) ** -0.5
    shift = -scale * least * layer.rate
    kept = 1 - layer.rate
    moments, means = given.moments, given.means
    found = kept**2 * moments + 2 * kept * layer.rate * least * means + (layer.rate * least) ** 2
    found[0] = kept * moments[0] + layer.rate * least**2
    after = kept * means + layer.rate * least
    found = scale**2 * found + 2 * scale * shift * after + shift**2
    size = math.sqrt(float(given.second.mean()))
    values = np.append(scale * size * given.profile + shift, scale * least + shift)
    profile = profile_of(values, np.append(WEIGHTS * kept, layer.rate))
    factor = scale**2 * kept
    return Expected(field(found, given.units, profile), lambda g: [g * factor])


@expected.register(regularization.GaussianDropout)
@expected.register(regularization.GaussianNoise)
def _(layer: Any, place: Place, given: Field) -> Expected:
    if not place.training:
        return Expected(given, lambda g: [g])
    moments = given.moments.copy()
    factor = 1.0
    if isinstance(layer, regularization.GaussianNoise):
        moments[0] += layer.stddev**2
    elif 0 < layer.rate < 1:
        factor += layer.rate / (1 - layer.rate)
        moments[0] *= factor
    found = field(moments, given.units, given.profile)
    return Expected(found, lambda g: [np.stack([g[0] * factor, g[1]])])


# Several inputs


@expected.register(merging.Add)
@expected.register(merging.Subtract)
@expected.register(merging.Average)
def _(layer: Any, place: Place, *fields: Field) -> Expected:
    """Branches that share no weights have no correlation but that of their means."""
    share = 1 / len(fields) if isinstance(layer, merging.Average) else 1.0
    parts = list(fields)
    if isinstance(layer, merging.Subtract):
        parts[1] = affine(fields[1], -1.0, 0.0).output
    found = added(parts)
    if share != 1:
        found = affine(found, share, 0.0).output

    def pull(g: Gradient) -> list[Gradient | None]:
        return [folded(share**2 * g, each.grid) for each in fields]

    return Expected(found, pull)


def folded(g: Gradient, grid: Size) -> Gradient:
    """The gradient of what was repeated along axes that it does not have."""
    if g.shape[1:] == grid:
        return g
    lost = math.prod(g.shape[1:]) / max(math.prod(grid), 1)
    total = lost * float(g[0].mean()) + lost * (lost - 1) * float(g[1].mean())
    found = np.zeros((2, *grid))
    found[0] = total
    return found


@expected.register
def _(layer: merging.Multiply, place: Place, *fields: Field) -> Expected:
    found = multiplied(fields)

    def pull(g: Gradient) -> list[Gradient | None]:
        back: list[Gradient | None] = []
        for index, each in enumerate(fields):
            others = [other for i, other in enumerate(fields) if i != index]
            factor: Array = np.ones((2, *(1,) * (g.ndim - 1)))
            for other in others:
                grid = (1,) * (g.ndim - 1 - len(other.grid)) + other.grid
                factor = factor * other.moments[[0, 2]].reshape(2, *grid)
            back.append(folded(np.broadcast_to(g * factor, g.shape), each.grid))
        return back

    return Expected(found, pull)


@expected.register(merging.Maximum)
@expected.register(merging.Minimum)
def _(layer: Any, place: Place, *fields: Field) -> Expected:
    sign = 1.0 if isinstance(layer, merging.Maximum) else -1.0
    mean = np.mean([each.moments for each in fields], axis=0)
    one = field(mean, fields[0].units, sign * fields[0].profile)
    level, values = largest_of(one, len(fields))
    scale = mean[0] / max(float(mean[0].mean()), 1e-300)
    moments = level.reshape(4, *(1,) * len(one.grid)) * scale
    found = field(moments, fields[0].units, sign * values)
    return Expected(found, lambda g: [g / len(fields) for _ in fields])


@expected.register
def _(layer: merging.Concatenate, place: Place, *fields: Field) -> Expected:
    rank = len(place.outputs[0])
    if layer.axis % rank == rank - 1:
        return beside(fields)
    axis = layer.axis % rank - 1
    grid = place.outputs[0][1:-1]
    if axis < 0 or any(len(each.grid) != len(grid) for each in fields):
        raise NoTheory("entries along another axis")
    moments = np.concatenate([each.moments for each in fields], axis + 1)
    weights = [math.prod(each.grid) for each in fields]
    found = field(moments, fields[0].units, _mixture(fields, weights))
    ends_at = np.cumsum([each.grid[axis] for each in fields])[:-1]
    return Expected(found, lambda g: list(np.split(g, ends_at, axis + 1)))


def beside(fields: Sequence[Field]) -> Expected:
    """Units beside one another."""
    units = [each.units for each in fields]
    total = sum(units)
    moments = sum(each.moments * (n / total) for each, n in zip(fields, units, strict=True))
    found = field(np.asarray(moments), total, _mixture(fields, units))
    return Expected(found, lambda g: [g for _ in fields])


def _mixture(fields: Sequence[Field], weights: Sequence[float]) -> Array:
    values = [math.sqrt(float(each.second.mean())) * each.profile for each in fields]
    shares = [WEIGHTS * (n / sum(weights)) for n in weights]
    return profile_of(np.concatenate(values), np.concatenate(shares))


@expected.register
def _(layer: applications.CustomScaleLayer, place: Place, one: Field, two: Field) -> Expected:
    found = added([one, affine(two, layer.scale, 0.0).output])
    return Expected(found, lambda g: [g, layer.scale**2 * g])


# Tables


@expected.register(embedding.Embedding)
@expected.register(embedding.ReversibleEmbedding)
def _(layer: Any, place: Place, given: Field) -> Expected:
    table = place.weights["embeddings"]
    if place.options.get("reverse", False):
        weight = table if layer.tie_weights else place.weights["reverse_embeddings"]
        return connected(given, layer.output_dim, layer.input_dim, weight, None)
    again = 1 / layer.input_dim
    other = table.mean**2 + again * table.variance
    moments = np.empty((4, *place.inputs[0][1:]))
    moments[0] = table.second
    moments[1:] = other
    found = normal(moments, np.full(moments.shape[1:], table.mean), layer.output_dim)
    return Expected(found, lambda g: [None])


@expected.register
def _(layer: embedding.PositionEmbedding, place: Place, given: Field) -> Expected:
    table = place.weights["embeddings"]
    moments = np.empty((4, *place.inputs[0][1:-1]))
    moments[0] = moments[1] = table.second
    moments[2] = moments[3] = table.mean**2
    found = normal(moments, np.full(moments.shape[1:], table.mean), place.inputs[0][-1])
    return Expected(found, lambda g: [None])


@expected.register
def _(layer: embedding.ClassToken, place: Place, given: Field) -> Expected:
    token = place.weights["token"]
    first = np.full((4, 1), token.second)
    moments = np.concatenate([first, given.moments], 1)
    found = field(moments, given.units, given.profile)
    return Expected(found, lambda g: [g[:, 1:]])


# Rearrangements


@expected.register(reshaping.Flatten)
@expected.register(reshaping.Reshape)
@expected.register(reshaping.Permute)
def _(layer: Any, place: Place, given: Field) -> Expected:
    return rearranged(given, place.outputs[0])


def rearranged(given: Field, shape: Size) -> Expected:
    """The same entries at positions of other sizes; the units are what stands last."""
    if shape[1:] == (*given.grid, given.units):
        return Expected(given, lambda g: [g])
    grid = shape[1:-1]
    if grid and math.prod(grid) == math.prod(given.grid) and shape[-1] == given.units:
        again = (4, *grid)
        found = field(given.moments.reshape(again), given.units, given.profile, given.latent)
        return Expected(found, lambda g: [g.reshape(2, *given.grid)])
    means, flat = given.mean, given.moments.reshape(4, -1).mean(1)
    moments = np.empty((4, *grid))
    moments[0], moments[1] = flat[0], flat[1]
    # What were other units are other positions now.
    moments[2], moments[3] = (flat[2], flat[3]) if shape[-1] == given.units else (means**2,) * 2
    profile = given.profile
    found = field(moments, shape[-1] if len(shape) > 1 else 1, profile)
    return Expected(found, lambda g: [moved(g, given.grid)])


@expected.register
def _(layer: reshaping.RepeatVector, place: Place, given: Field) -> Expected:
    same, inputs = (float(each.mean()) for each in given.moments[:2])
    moments = np.empty((4, layer.n))
    moments[0] = moments[2] = same
    moments[1] = moments[3] = inputs
    found = field(moments, given.units, given.profile)

    def pull(g: Gradient) -> list[Gradient | None]:
        total = layer.n * float(g[0].mean()) + layer.n * (layer.n - 1) * float(g[1].mean())
        return [np.array([total, 0.0])]

    return Expected(found, pull)


@expected.register(reshaping._ZeroPadding)
@expected.register(reshaping._Cropping)
@expected.register(reshaping.Cropping1D)
def _(layer: Any, place: Place, given: Field) -> Expected:
    is_padding = isinstance(layer, reshaping._ZeroPadding)
    amount = layer.padding if is_padding else layer.cropping
    around = reshaping.each_end(amount, layer.rank, "padding" if is_padding else "cropping")
    grid, _ = _sizes(place.inputs[0], getattr(layer, "data_format", None))
    given = given.at(grid)
    cuts = (slice(None), *(slice(a, n + a) for n, (a, b) in zip(grid, around, strict=True)))
    inner = (slice(None), *(slice(a, n - b) for n, (a, b) in zip(grid, around, strict=True)))
    if is_padding:
        moments = np.pad(given.moments, [(0, 0), *around])
        found = field(moments, given.units, given.profile, given.latent)
        return Expected(found, lambda g: [g[cuts]])
    found = field(given.moments[inner], given.units, given.profile, given.latent)
    return Expected(found, lambda g: [np.pad(g, [(0, 0), *around])])


@expected.register(reshaping.UpSampling1D)
@expected.register(reshaping._UpSampling)
def _(layer: Any, place: Place, given: Field) -> Expected:
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise NoTheory("interpolation")
    rank = getattr(layer, "rank", 1)
    grid, _ = _sizes(place.inputs[0], getattr(layer, "data_format", None))
    given, times = given.at(grid), per_axis(layer.size, rank, "size")
    moments = given.moments
    for axis, more in enumerate(times, 1):
        moments = np.repeat(moments, more, axis)
    found = field(moments, given.units, given.profile)
    window = arrays.Window(times, (1,) * rank, ((0, 0),) * rank)
    n = math.prod(times)

    def pull(g: Gradient) -> list[Gradient | None]:
        same, places = (box(each[None], times, window)[0] for each in g)
        return [np.stack([same + (n - 1) * places, n * places])]

    return Expected(found, pull)


# A layer within a layer


@expected.register
def _(layer: wrappers.TimeDistributed, place: Place, given: Field) -> Expected:
    inner = layer.layer
    own = place.within(inner.name or inner.default_name())
    inside = own._replace(
        inputs=[(own.batch, *place.inputs[0][2:])], outputs=[(own.batch, *place.outputs[0][2:])]
    )
    if not isinstance(inner, core.Dense | activation.Activation | regularization.Dropout):
        raise NoTheory(f"{inner.type_name} at every step")
    return expected(inner, inside, given)
