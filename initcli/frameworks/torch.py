"""PyTorch's default initializers (``reset_parameters`` in ``torch/nn/modules``, 2.13).

Linear and convolutions call ``kaiming_uniform_(weight, a=√5)``, which is U(−b, b) with
b = √(6 / ((1 + 5) fan_in)) = 1/√fan_in, and give the bias the same b.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from initcli.frameworks.base import (
    Defaults,
    Note,
    Parameters,
    Rule,
    fan_axes,
    only_keras_renormalizes,
    padded,
    two_convolutions,
)
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
    activation,
    attention,
    cells,
    convolution,
    core,
    einsum,
    embedding,
    normalization,
    wrappers,
)
from initcli.parameter import Parameter


def _within(bound: float) -> Initializer:
    """U(−bound, bound)."""
    return RandomUniform(minval=-bound, maxval=bound)


def _uniform(**axes: Any) -> VarianceScaling:
    """U(±1/√fan_in)."""
    return VarianceScaling(scale=1 / 3, mode="fan_in", distribution="uniform", **axes)


def _transposed(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """The fan-in of a transposed convolution counts its outputs."""
    kernel = _uniform()
    bound = 1 / math.sqrt(kernel.fans(parameters["kernel"].shape).fan_in)
    return {"kernel": kernel, "bias": _within(bound)}


def _table(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """N(0, 1)."""
    return padded(layer, RandomNormal(mean=0.0, stddev=1.0))


def _recurrent(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """Every weight and bias U(±1/√units)."""
    units = parameters["recurrent_kernel"].shape[0]
    return dict.fromkeys(parameters, _within(1 / math.sqrt(units)))


def _multi_head(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """Glorot uniform; query, key and value count as one packed matrix if their widths are equal."""
    shapes = {f"{name}/kernel": parameters[f"{name}/kernel"].shape for name in _PACKED}
    packed: Initializer = GlorotUniform(input_axes=(0,), output_axes=(1, 2))
    features = {shape[0] for shape in shapes.values()}
    if len(features) == 1:
        widths = sum(math.prod(shape[1:]) for shape in shapes.values())
        packed = _within(math.sqrt(6 / (features.pop() + widths)))
    biases = (name for name in parameters if name.endswith("bias") and name != "gate/bias")
    return dict.fromkeys(shapes, packed) | dict.fromkeys(biases, Zeros())


_PACKED = ("query", "key", "value")
_NAMES = {"SimpleRNN": "RNN", "SimpleRNNCell": "RNNCell"}


def _two_biases(layer: Layer, parameters: Parameters) -> str:
    if "bias" not in parameters:
        return ""
    name = _NAMES.get(layer.type_name, layer.type_name)
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
    """The differences of torch.nn.MultiheadAttention."""
    notes: list[str] = []
    names = [f"{name}/kernel" for name in _PACKED]
    shapes = [parameters[name].shape for name in names if name in parameters]
    if len(shapes) == 3 and len({shape[0] for shape in shapes}) == 1:
        notes.append(
            "torch's MultiheadAttention packs query, key and value in one in_proj_weight, whose "
            "fan-out counts all three"
        )
    if any(math.prod(shape[1:]) != shapes[0][0] for shape in shapes):
        notes.append(
            "torch's MultiheadAttention needs heads · features of a head to be the query's features"
        )
    if "gate/kernel" in parameters:
        notes.append("torch's MultiheadAttention has no gate, which starts as a Linear")
    return "; ".join(notes)


def _one_alpha(layer: Layer, parameters: Parameters) -> str:
    sizes = [size for size in parameters["alpha"].shape if size > 1]
    return "torch's PReLU has one alpha, or one per channel" if len(sizes) > 1 else ""


def _reversible(layer: Layer, parameters: Parameters) -> str:
    more = " and a Linear without a bias" if "reverse_embeddings" in parameters else ""
    return f"torch has no ReversibleEmbedding; it starts as an Embedding{more}"


class Torch(Defaults):
    """PyTorch."""

    name = "torch"
    linear = "Linear"

    def kernel(self, kernel: Parameter) -> Initializer:
        """U(±1/√fan_in)."""
        inputs, outputs = fan_axes(kernel)
        return _uniform(input_axes=inputs, output_axes=outputs)

    def bias(self, kernel: Parameter, initializer: Initializer) -> Initializer:
        """U with the bound of the kernel."""
        return _within(1 / math.sqrt(initializer.fans(kernel.shape).fan_in))

    layers = (
        core.Dense,
        einsum.EinsumDense,
        convolution.Convolution,
        attention.GroupedQueryAttention,
        wrappers.WeightNormalization,
    )
    rules: ClassVar[Mapping[type[Layer], Rule]] = {
        convolution.ConvTranspose: _transposed,
        embedding.Table: _table,
        embedding.PositionEmbedding: _table,
        cells.Gated: _recurrent,
        attention.MultiHeadAttention: _multi_head,
        activation.PReLU: lambda *_: {"alpha": Constant(value=0.25)},
        # A unit vector: a normal one over its length, then 15 power iterations.
        wrappers.SpectralNormalization: lambda *_: {"vector_u": Orthogonal()},
    }
    notes: ClassVar[Mapping[type[Layer], Note]] = {
        cells.LSTMWeights: _two_biases,
        cells.SimpleRNNWeights: _two_biases,
        cells.GRUWeights: _gru,
        attention.MultiHeadAttention: _packed,
        attention.GroupedQueryAttention: (
            "torch has no grouped attention; its projections start as a Linear each"
        ),
        einsum.EinsumDense: "torch has no EinsumDense; it starts as a Linear",
        convolution.SeparableConv: two_convolutions("torch"),
        activation.PReLU: _one_alpha,
        embedding.PositionEmbedding: "torch has no position embedding; it starts as an Embedding",
        embedding.ReversibleEmbedding: _reversible,
        normalization.BatchNormalization: only_keras_renormalizes,
        wrappers.SpectralNormalization: (
            "torch's spectral_norm has v in addition to u, both after 15 power iterations"
        ),
    }
