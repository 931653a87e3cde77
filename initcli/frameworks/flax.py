"""Flax's default initializers (``flax.linen``, 0.12): LeCun normal kernels and zero biases."""

from __future__ import annotations

import math
from collections.abc import Mapping

from initcli.frameworks.rules import KEPT, Rules, always, renorm
from initcli.initializers import (
    Constant,
    Initializer,
    LecunNormal,
    Ones,
    Orthogonal,
    RandomNormal,
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
    normalization,
    wrappers,
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
    table: Initializer = VarianceScaling(
        distribution="untruncated_normal", input_axes=(1,), output_axes=(0,)
    )
    if isinstance(layer, embedding.Embedding):
        table = layer.padded(table)
    return {"embeddings": table, "reverse_embeddings": LecunNormal()}


def _spectral(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """N(0, 1), whose length no power iteration has set yet."""
    return {"vector_u": RandomNormal(mean=0.0, stddev=1.0)}


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


def _lstm(layer: Layer, parameters: Parameters) -> str:
    if "bias" in parameters:
        return (
            "flax's LSTMCell has a bias on the state's side alone, without a one for the forget "
            "gate"
        )
    return _without_bias(layer, "LSTMCell")


def _gru(layer: Layer, parameters: Parameters) -> str:
    if "bias" in parameters:
        return "flax's GRUCell has one bias a gate, and a second for the candidate's state"
    return _without_bias(layer, "GRUCell")


def _simple(layer: Layer, parameters: Parameters) -> str:
    return _without_bias(layer, "SimpleCell")


def _without_bias(layer: Layer, name: str) -> str:
    has_bias = getattr(layer, "use_bias", True)
    return "" if has_bias else f"flax's {name} always has a bias"


def _two_biases(layer: Layer, parameters: Parameters) -> str:
    if "bias" not in parameters:
        return ""
    return (
        "flax's ConvLSTMCell has two biases, of zeros both, and adds 1 to its forget gate instead "
        "of starting a bias there"
    )


def _heads(layer: Layer, parameters: Parameters) -> str:
    found: list[str] = []
    names = ("query/kernel", "key/kernel", "value/kernel")
    widths = {math.prod(parameters[name].shape[1:]) for name in names if name in parameters}
    if len(widths) > 1:
        found.append("flax's MultiHeadDotProductAttention has one width for query, key and value")
    if "gate/kernel" in parameters:
        found.append("flax's MultiHeadDotProductAttention has no gate, which starts as a Dense")
    return "; ".join(found)


def _one_alpha(layer: Layer, parameters: Parameters) -> str:
    return "flax's PReLU has a single alpha" if parameters["alpha"].size > 1 else ""


def _padded(layer: Layer, parameters: Parameters) -> str:
    is_padded = getattr(layer, "padding_idx", None) is not None
    return "flax's Embed has no `padding_idx`" if is_padded else ""


def _reversible(layer: Layer, parameters: Parameters) -> str:
    if "reverse_embeddings" not in parameters:
        return ""
    return "flax has no ReversibleEmbedding; it starts as an Embed and a Dense without a bias"


def _two_convolutions(layer: Layer, parameters: Parameters) -> str:
    more = ", of which the first would have a bias as well" if "bias" in parameters else ""
    return f"flax has no separable convolution; it starts as two{more}"


def _weight_norm(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """Ones, which are not the norm of the kernel."""
    return {"g": Ones()}


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
        wrappers.SpectralNormalization: _spectral,
        wrappers.WeightNormalization: _weight_norm,
    },
    notes={
        cells.LSTMWeights: _lstm,
        cells.GRUWeights: _gru,
        cells.SimpleRNNWeights: _simple,
        conv_lstm.ConvLSTM: _two_biases,
        attention.MultiHeadAttention: _heads,
        attention.GroupedQueryAttention: always(
            "flax has no GroupedQueryAttention; its projections start as those of "
            "MultiHeadDotProductAttention"
        ),
        convolution.SeparableConv: _two_convolutions,
        activations.PReLU: _one_alpha,
        embedding.PositionEmbedding: always(
            "flax has no position embedding; it starts as an Embed"
        ),
        embedding.Embedding: _padded,
        embedding.ReversibleEmbedding: _reversible,
        normalization.BatchNormalization: renorm,
        wrappers.SpectralNormalization: always(
            "flax's SpectralNorm keeps a sigma of 1 beside u, divides every kernel of its layer, "
            "and holds them divided once already"
        ),
        wrappers.WeightNormalization: always(
            "flax's WeightNorm holds its layer's kernel over its norm already"
        ),
    },
)
