"""PyTorch's names and layouts of weights (``torch/nn/modules``, 2.13).

The gates of an LSTM have the same order in both; those of a GRU are update, reset, new in Keras and
reset, update, new in PyTorch. If PyTorch has two biases that act as their sum, the second is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import msgspec
import numpy as np

from initcli.frameworks.base import Parameters, of_type
from initcli.layers import (
    Layer,
    activation,
    attention,
    convolution,
    core,
    embedding,
    normalization,
    recurrent,
)
from initcli.parameter import Parameter
from initcli.stored import Storage, StoredTensor
from initcli.types import Array, Size, TensorDtype


class NoCounterpart(Exception):
    """PyTorch has no module with these weights; the message is the reason, or empty."""


class Entry(msgspec.Struct, frozen=True):
    """One tensor of a file: its name, its shape, and the conversion of its values.

    ``convert`` takes the values of each of ``sources``, in Keras's layout; None if there is a
    single source whose values stay unchanged.
    """

    name: str
    shape: Size
    sources: tuple[Parameter, ...]
    convert: Callable[..., Array] | None = None


Rule = Callable[[Layer, Parameters], Iterator[Entry]]


def kernel_to_torch(values: Array) -> Array:
    """(window, in, out), or (window, out, in) of a transposed convolution, with both axes first."""
    return np.moveaxis(values, (-1, -2), (0, 1))


def depthwise_to_torch(values: Array) -> Array:
    """(window, in, multiplier) as (in · multiplier, 1, window)."""
    *window, inner, outer = values.shape
    return np.moveaxis(values, (-2, -1), (0, 1)).reshape(inner * outer, 1, *window)


def torch_shapes(shape: Size) -> list[Size]:
    """The shapes that a kernel has in PyTorch, as one of all channels and as a depthwise one."""
    if len(shape) < 2:
        return []
    *window, inner, outer = shape
    return [(outer, inner, *window), (inner * outer, 1, *window)]


def swapped_gates(values: Array) -> Array:
    """Values with the first two of three equal parts of the last axis exchanged."""
    update, reset, new = np.split(values, 3, axis=-1)
    return np.concatenate([reset, update, new], axis=-1)


class FromTorch(msgspec.Struct, frozen=True):
    """Entries of a PyTorch kernel in Keras's layout and ``shape``.

    ``image`` is the channels-last shape of the image whose flattened entries are the rows; None for
    others.
    """

    base: Storage
    shape: Size
    is_depthwise: bool
    swaps_gates: bool
    image: Size | None = None

    @property
    def is_sequential(self) -> bool:
        """Whether a part can be read only after all parts before it."""
        return self.base.is_sequential

    @property
    def bytes(self) -> int:
        """Bytes that the values take in the file."""
        return self.base.bytes

    def read(self, start: int, stop: int) -> Array:
        """Entries in the order of Keras's rows."""
        *window, inner, outer = self.shape
        values = self.base.read(0, math.prod(self.shape))
        if self.is_depthwise:
            values = np.moveaxis(values.reshape(inner, outer, *window), (0, 1), (-2, -1))
        else:
            values = np.moveaxis(values.reshape(outer, inner, *window), (0, 1), (-1, -2))
        if self.swaps_gates:
            values = swapped_gates(values)
        if self.image is not None:
            *sizes, channels = self.image
            values = np.moveaxis(values.reshape(channels, *sizes, outer), 0, -2)
        entries: Array = values.flat[start:stop]
        return entries


class BothBiases(msgspec.Struct, frozen=True):
    """Keras's bias of a recurrent layer: the sum of PyTorch's two, or those of a GRU as rows."""

    inputs: StoredTensor
    hidden: StoredTensor
    is_gru: bool

    is_sequential = False

    @property
    def dtype(self) -> TensorDtype:
        """The dtype of the entries; sums of narrow dtypes that NumPy lacks are float32."""
        dtypes = {self.inputs.dtype, self.hidden.dtype}
        if len(dtypes) == 1 and (self.is_gru or dtypes <= {"float16", "float32", "float64"}):
            return cast(TensorDtype, self.inputs.dtype)
        return "float64" if "float64" in dtypes else "float32"

    @property
    def bytes(self) -> int:
        """Bytes that both biases take in the file."""
        return self.inputs.bytes + self.hidden.bytes

    def read(self, start: int, stop: int) -> Array:
        """Entries in the order of Keras's rows."""
        size, dtype = self.inputs.size, self.dtype
        both = [
            each.entries(0, size) if each.dtype == dtype else each.read(0, size)
            for each in (self.inputs, self.hidden)
        ]
        if self.is_gru:
            return np.concatenate([swapped_gates(each) for each in both])[start:stop]
        total: Array = both[0] + both[1]
        return total.astype(dtype, copy=False)[start:stop]


def torch_entries(layer: Layer, parameters: Parameters) -> list[Entry]:
    """The tensors of the PyTorch module with the weights of a layer.

    Raises:
        NoCounterpart: there is no such module.
    """
    rule = of_type(_RULES, layer, None)
    if rule is None:
        raise NoCounterpart
    entries = list(rule(layer, parameters))
    used = {each.path for entry in entries for each in entry.sources}
    if others := [name for name, each in parameters.items() if each.path not in used]:
        raise NoCounterpart(f"it has no {others[0]}")
    return entries


def _made(name: str, convert: Callable[..., Array], *sources: Parameter) -> Entry:
    """An entry of the shape that ``convert`` gives."""
    nothing = (np.broadcast_to(np.float32(0), each.shape) for each in sources)
    return Entry(name, convert(*nothing).shape, sources, convert)


def _kept(name: str, parameter: Parameter) -> Entry:
    return Entry(name, parameter.shape, (parameter,))


def _if_any(parameters: Parameters, name: str, torch_name: str) -> Iterator[Entry]:
    if name in parameters:
        yield _kept(torch_name, parameters[name])


def _linear(layer: Layer, parameters: Parameters) -> Iterator[Entry]:
    """Linear, Conv1d to Conv3d, and ConvTranspose1d to ConvTranspose3d."""
    yield _made("weight", kernel_to_torch, parameters["kernel"])
    yield from _if_any(parameters, "bias", "bias")


def _depthwise(layer: Layer, parameters: Parameters) -> Iterator[Entry]:
    """Conv1d and Conv2d with a group for each channel."""
    yield _made("weight", depthwise_to_torch, parameters["kernel"])
    yield from _if_any(parameters, "bias", "bias")


def _separable(layer: Layer, parameters: Parameters) -> Iterator[Entry]:
    """Sequential of two convolutions, the first without a bias."""
    yield _made("0.weight", depthwise_to_torch, parameters["depthwise_kernel"])
    yield _made("1.weight", kernel_to_torch, parameters["pointwise_kernel"])
    yield from _if_any(parameters, "bias", "1.bias")


def _table(layer: Layer, parameters: Parameters) -> Iterator[Entry]:
    """Embedding."""
    yield _kept("weight", parameters["embeddings"])


def _affine(layer: Layer, parameters: Parameters) -> Iterator[Entry]:
    """BatchNorm, LayerNorm and GroupNorm, which have a weight if they have a bias."""
    gamma, beta = parameters.get("gamma"), parameters.get("beta")
    if gamma is not None:
        yield _kept("weight", gamma)
    elif beta is not None:
        yield Entry("weight", beta.shape, (beta,), np.ones_like)
    if beta is not None:
        yield _kept("bias", beta)
    elif gamma is not None:
        yield Entry("bias", gamma.shape, (gamma,), np.zeros_like)
    yield from _if_any(parameters, "moving_mean", "running_mean")
    yield from _if_any(parameters, "moving_variance", "running_var")


def _rms(layer: Layer, parameters: Parameters) -> Iterator[Entry]:
    """RMSNorm."""
    yield _kept("weight", parameters["scale"])


def _recurrent(layer: Layer, parameters: Parameters) -> Iterator[Entry]:
    """RNN and LSTM."""
    for name, torch_name in (("kernel", "weight_ih_l0"), ("recurrent_kernel", "weight_hh_l0")):
        yield _made(torch_name, kernel_to_torch, parameters[name])
    if bias := parameters.get("bias"):
        yield _kept("bias_ih_l0", bias)
        yield Entry("bias_hh_l0", bias.shape, (bias,), np.zeros_like)


def _gru(layer: Layer, parameters: Parameters) -> Iterator[Entry]:
    """GRU, which resets after the product, as Keras does with ``reset_after``."""
    if not getattr(layer, "reset_after", True):
        raise NoCounterpart("its GRU has only what Keras has with `reset_after: true`")
    for name, torch_name in (("kernel", "weight_ih_l0"), ("recurrent_kernel", "weight_hh_l0")):
        yield _made(
            torch_name, lambda values: kernel_to_torch(swapped_gates(values)), parameters[name]
        )
    if bias := parameters.get("bias"):
        yield _made("bias_ih_l0", lambda values: swapped_gates(values[0]), bias)
        yield _made("bias_hh_l0", lambda values: swapped_gates(values[1]), bias)


_PACKED = ("query", "key", "value")


def _multi_head(layer: Layer, parameters: Parameters) -> Iterator[Entry]:
    """MultiheadAttention: one matrix for query, key and value if they have the same features."""
    kernels = [parameters[f"{name}/kernel"] for name in _PACKED]
    out = parameters["attention_output/kernel"]
    features = kernels[0].shape[0]
    if {math.prod(each.shape[1:]) for each in kernels} | {out.shape[-1]} != {features}:
        raise NoCounterpart(
            "its MultiheadAttention needs heads · features of a head to be the query's features"
        )
    if len({each.shape[0] for each in kernels}) == 1:
        yield _made("in_proj_weight", _projections, *kernels)
    else:
        for name, kernel in zip("qkv", kernels, strict=True):
            yield _made(f"{name}_proj_weight", _projections, kernel)
    yield _made("out_proj.weight", lambda values: values.reshape(-1, features).T, out)
    if "query/bias" in parameters:
        biases = [parameters[f"{name}/bias"] for name in _PACKED]
        yield _made(
            "in_proj_bias", lambda *each: np.concatenate([b.ravel() for b in each]), *biases
        )
        yield _kept("out_proj.bias", parameters["attention_output/bias"])


def _projections(*kernels: Array) -> Array:
    """Kernels (in, heads, features) as one matrix (out, in)."""
    return np.concatenate([each.reshape(each.shape[0], -1).T for each in kernels])


def _slopes(layer: Layer, parameters: Parameters) -> Iterator[Entry]:
    """PReLU, with one slope, or one per channel."""
    alpha = parameters["alpha"]
    if sum(size > 1 for size in alpha.shape) > 1:
        raise NoCounterpart("its PReLU has one alpha, or one per channel")
    yield Entry("weight", (alpha.size,), (alpha,))


_RULES: Mapping[type[Layer], Rule] = {
    core.Dense: _linear,
    convolution.Convolution: _linear,
    convolution.DepthwiseConv: _depthwise,
    convolution.SeparableConv: _separable,
    embedding.Embedding: _table,
    normalization.BatchNormalization: _affine,
    normalization.LayerNormalization: _affine,
    normalization.GroupNormalization: _affine,
    normalization.RMSNormalization: _rms,
    recurrent.SimpleRNN: _recurrent,
    recurrent.LSTM: _recurrent,
    recurrent.GRU: _gru,
    attention.MultiHeadAttention: _multi_head,
    activation.PReLU: _slopes,
}
