"""PyTorch's default initializers (``reset_parameters`` in ``torch/nn/modules``, 2.13).

Linear and convolutions call ``kaiming_uniform_(weight, a=√5)``, which is U(−b, b) with
b = √(6 / ((1 + 5) fan_in)) = 1/√fan_in, and give the bias the same b.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from initcli.frameworks.rules import KEPT, Rules, always, kept, renorm
from initcli.initializers import (
    Constant,
    GlorotUniform,
    Initializer,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    VarianceScaling,
    Zeros,
)
from initcli.layers import (
    Layer,
    attention,
    cells,
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


def _within(bound: float) -> Initializer:
    """U(−bound, bound)."""
    return RandomUniform(minval=-bound, maxval=bound)


def _kaiming(
    inputs: tuple[int, ...] | None = None, outputs: tuple[int, ...] | None = None
) -> Initializer:
    """U(±1/√fan_in), over those axes or over Keras's."""
    return VarianceScaling(
        scale=1 / 3,
        mode="fan_in",
        distribution="uniform",
        input_axes=inputs,
        output_axes=outputs,
    )


def _with_bias(kernel: Initializer, parameter: Parameter) -> dict[str, Initializer]:
    """A kernel, and a bias with the bound of its fan-in."""
    bound = 1 / math.sqrt(kernel.fans(parameter.shape).fan_in)
    return {"kernel": kernel, "bias": _within(bound)}


def _linear(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    return _with_bias(_kaiming(), parameters["kernel"])


def _einsum(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    given = parameters["kernel"].initializer
    inputs, outputs = getattr(given, "input_axes", None), getattr(given, "output_axes", None)
    return _with_bias(_kaiming(inputs, outputs), parameters["kernel"])


def _depthwise(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """A convolution with as many groups as channels: each output has one channel's window."""
    return _with_bias(_per_channel(parameters["kernel"]), parameters["kernel"])


def _per_channel(kernel: Parameter) -> Initializer:
    rank = len(kernel.shape) - 2
    return _kaiming(tuple(range(rank)), (rank, rank + 1))


def _separable(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    pointwise = _with_bias(_kaiming(), parameters["pointwise_kernel"])
    return {
        "depthwise_kernel": _per_channel(parameters["depthwise_kernel"]),
        "pointwise_kernel": pointwise["kernel"],
        "bias": pointwise["bias"],
    }


def _embedding(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """N(0, 1); what turns vectors back into scores is a Linear."""
    table: Initializer = RandomNormal(mean=0.0, stddev=1.0)
    if isinstance(layer, embedding.Embedding):
        table = layer.padded(table)
    return {"embeddings": table, "reverse_embeddings": _kaiming()}


def _spectral(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """A unit vector: a normal one over its length, then 15 power iterations."""
    return {"vector_u": Orthogonal()}


def _recurrent(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """Every weight and bias U(±1/√units)."""
    units = parameters["recurrent_kernel"].shape[0]
    return dict.fromkeys(parameters, _within(1 / math.sqrt(units)))


def _multi_head(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """Query, key and value are one packed matrix to Glorot's rule, if they have one width."""
    kernels = {name: parameters[f"{name}/kernel"].shape for name in ("query", "key", "value")}
    found: dict[str, Initializer] = dict.fromkeys(parameters, Zeros())
    widths = [math.prod(shape[1:]) for shape in kernels.values()]
    features = {shape[0] for shape in kernels.values()}
    for name, shape in kernels.items():
        if len(features) == 1:
            packed = math.sqrt(6 / (shape[0] + sum(widths)))
            found[f"{name}/kernel"] = _within(packed)
        else:
            found[f"{name}/kernel"] = GlorotUniform(input_axes=(0,), output_axes=(1, 2))
    if "gate/kernel" in parameters:
        gate = _with_bias(_kaiming((0,), (1, 2)), parameters["gate/kernel"])
        found |= {f"gate/{key}": value for key, value in gate.items()}
    heads = len(parameters["attention_output/kernel"].shape)
    found["attention_output/kernel"] = _kaiming((0, 1), tuple(range(2, heads)))
    return found


def _grouped(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """Projections that are a Linear each."""
    found: dict[str, Initializer] = {}
    for path, parameter in parameters.items():
        name, _, last = path.partition("/")
        if last == "kernel":
            inputs = (0, 1) if name == "attention_output" else (0,)
            outputs = tuple(range(len(inputs), len(parameter.shape)))
            both = _with_bias(_kaiming(inputs, outputs), parameter)
            found |= {f"{name}/{key}": value for key, value in both.items()}
    return found


def _prelu(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    return {"alpha": Constant(value=0.25)}


_TORCH_NAMES = {"SimpleRNN": "RNN", "SimpleRNNCell": "RNNCell"}


def _two_biases(layer: Layer, parameters: Parameters) -> str:
    if "bias" not in parameters:
        return ""
    name = _TORCH_NAMES.get(layer.type_name, layer.type_name)
    return (
        f"torch's {name} has two biases, bias_ih and bias_hh, each U(±1/√units), which act as "
        "their sum; Keras has one"
    )


def _gru(layer: Layer, parameters: Parameters) -> str:
    if getattr(layer, "reset_after", True):
        return ""
    kind = layer.type_name
    return f"torch's {kind} has bias_ih and bias_hh, as Keras's {kind} has with `reset_after: true`"


def _packed(layer: Layer, parameters: Parameters) -> str:
    """What torch.nn.MultiheadAttention has otherwise."""
    found: list[str] = []
    names = ("query/kernel", "key/kernel", "value/kernel")
    shapes = [parameters[name].shape for name in names if name in parameters]
    if len(shapes) == 3 and len({shape[0] for shape in shapes}) == 1:
        found.append(
            "torch's MultiheadAttention holds query, key and value in one in_proj_weight, whose "
            "fan-out counts all three"
        )
    if any(math.prod(shape[1:]) != shapes[0][0] for shape in shapes):
        found.append(
            "torch's MultiheadAttention needs heads · features of a head to be the query's features"
        )
    if "gate/kernel" in parameters:
        found.append("torch's MultiheadAttention has no gate, which starts as a Linear")
    return "; ".join(found)


def _one_alpha(layer: Layer, parameters: Parameters) -> str:
    sizes = [size for size in parameters["alpha"].shape if size > 1]
    return "torch's PReLU has one alpha, or one a channel" if len(sizes) > 1 else ""


def _reversible(layer: Layer, parameters: Parameters) -> str:
    more = " and a Linear without a bias" if "reverse_embeddings" in parameters else ""
    return f"torch has no ReversibleEmbedding; it starts as an Embedding{more}"


def _two_convolutions(layer: Layer, parameters: Parameters) -> str:
    more = ", of which the first would have a bias as well" if "bias" in parameters else ""
    return f"torch has no separable convolution; it starts as two{more}"


RULES = Rules(
    rules={
        **KEPT,
        core.Dense: _linear,
        einsum.EinsumDense: _einsum,
        convolution.Convolution: _linear,
        convolution.DepthwiseConv: _depthwise,
        convolution.SeparableConv: _separable,
        embedding.Table: _embedding,
        embedding.PositionEmbedding: _embedding,
        cells.Gated: _recurrent,
        attention.MultiHeadAttention: _multi_head,
        attention.GroupedQueryAttention: _grouped,
        activations.PReLU: _prelu,
        wrappers.SpectralNormalization: _spectral,
        wrappers.WeightNormalization: kept,
    },
    notes={
        cells.LSTMWeights: _two_biases,
        cells.SimpleRNNWeights: _two_biases,
        cells.GRUWeights: _gru,
        attention.MultiHeadAttention: _packed,
        attention.GroupedQueryAttention: always(
            "torch has no grouped attention; its projections start as a Linear each"
        ),
        einsum.EinsumDense: always("torch has no EinsumDense; it starts as a Linear"),
        convolution.SeparableConv: _two_convolutions,
        activations.PReLU: _one_alpha,
        embedding.PositionEmbedding: always(
            "torch has no position embedding; it starts as an Embedding"
        ),
        embedding.ReversibleEmbedding: _reversible,
        normalization.BatchNormalization: renorm,
        wrappers.SpectralNormalization: always(
            "torch's spectral_norm keeps a v beside u, both after 15 power iterations"
        ),
    },
)
