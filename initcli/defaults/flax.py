"""Flax's default initializers (``flax.linen``, 0.12): LeCun normal kernels and zero biases."""

from __future__ import annotations

from collections.abc import Mapping

from initcli.defaults.rules import KEPT, Rules
from initcli.initializers import (
    Constant,
    Initializer,
    LecunNormal,
    Orthogonal,
    VarianceScaling,
    Zeros,
    per_gate,
)
from initcli.layers import (
    Layer,
    attention,
    cells,
    conv_lstm,
    convolution,
    core,
    einsum,
    embedding,
    recurrent,
)
from initcli.layers import activation as activations
from initcli.parameter import Parameter

Parameters = Mapping[str, Parameter]


def _dense(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    return {"kernel": LecunNormal(), "bias": Zeros()}


def _transposed(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """Flax's kernel is (k…, in, out), and Keras's (k…, out, in): the fan-in counts the inputs."""
    rank = len(parameters["kernel"].shape) - 2
    kernel = LecunNormal(input_axes=(*range(rank), rank + 1), output_axes=(rank,))
    return {"kernel": kernel, "bias": Zeros()}


def _depthwise(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """A convolution with as many groups as channels: its kernel is (k…, 1, channels · m)."""
    return {"kernel": _per_channel(parameters["kernel"]), "bias": Zeros()}


def _per_channel(kernel: Parameter) -> Initializer:
    rank = len(kernel.shape) - 2
    return LecunNormal(input_axes=tuple(range(rank)), output_axes=(rank, rank + 1))


def _separable(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    return {
        "depthwise_kernel": _per_channel(parameters["depthwise_kernel"]),
        "pointwise_kernel": LecunNormal(),
        "bias": Zeros(),
    }


def _embedding(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """N(0, 1/features): variance scaling whose fan-in is the width of a vector."""
    table = VarianceScaling(distribution="untruncated_normal", input_axes=(1,), output_axes=(0,))
    return {"embeddings": table}


def _recurrent(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """Each gate has matrices of its own: LeCun normal for the input, orthogonal for the state."""
    units, width = parameters["recurrent_kernel"].shape
    gates = width // units
    recurrent_kernel: Initializer = Orthogonal()
    if gates > 1:
        recurrent_kernel = per_gate(recurrent_kernel, gates, units)
    return {"kernel": LecunNormal(), "recurrent_kernel": recurrent_kernel, "bias": Zeros()}


def _conv_lstm(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    kernels = {name: LecunNormal() for name in parameters if name.endswith("kernel")}
    return {**dict.fromkeys(parameters, Zeros()), **kernels}


def _attention(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """Projections whose kernels are flattened to (inputs, outputs) to count their fans."""
    found: dict[str, Initializer] = dict.fromkeys(parameters, Zeros())
    for path, parameter in parameters.items():
        if path.endswith("/kernel"):
            inputs = 2 if path.startswith("attention_output") else 1
            axes = tuple(range(len(parameter.shape)))
            found[path] = LecunNormal(input_axes=axes[:inputs], output_axes=axes[inputs:])
    return found


def _prelu(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    return {"alpha": Constant(value=0.01)}


RULES = Rules(
    rules={
        **KEPT,
        core.Dense: _dense,
        einsum.EinsumDense: _dense,
        convolution.Convolution: _dense,
        convolution.ConvTranspose: _transposed,
        convolution.DepthwiseConv: _depthwise,
        convolution.SeparableConv: _separable,
        embedding.Table: _embedding,
        embedding.PositionEmbedding: _embedding,
        cells.Gated: _recurrent,
        conv_lstm.ConvLSTM: _conv_lstm,
        attention.MultiHeadAttention: _attention,
        attention.GroupedQueryAttention: _attention,
        activations.PReLU: _prelu,
    },
    notes={
        recurrent.LSTM: "flax's LSTM has a bias on the state's side alone, without a one for the "
        "forget gate",
        recurrent.GRU: "flax's GRU has one bias a gate, and a second for the candidate's state",
        attention.GroupedQueryAttention: "flax has no GroupedQueryAttention; its projections start "
        "as those of MultiHeadDotProductAttention",
        convolution.SeparableConv: "flax has no separable convolution; it starts as two, of which "
        "the first would have a bias as well",
        activations.PReLU: "flax's PReLU has a single alpha",
        embedding.PositionEmbedding: "flax has no position embedding; it starts as an Embed",
    },
)
