"""Layers of the core: input, dense, and those that only pass on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from initcli.activations import Activation, Linear
from initcli.initializers import GlorotUniform, HeUniform, Initializer, Zeros
from initcli.layers.base import Layer, known_size
from initcli.layers.flow import Flow
from initcli.parameter import Parameter
from initcli.types import (
    Array,
    NotComputable,
    PositiveFloat,
    PositiveInt,
    Shape,
    ShapeError,
    shape_text,
)

InputDtype = Literal[
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "string",
]


class Input(Layer, frozen=True, kw_only=True):
    """What flows into the model; ``shape`` is without the batch, null where a size is unknown."""

    aliases: ClassVar[tuple[str, ...]] = ("InputLayer",)

    shape: tuple[PositiveInt | None, ...]
    batch_size: PositiveInt | None = None
    dtype: InputDtype | None = None  # type: ignore[assignment]  # token ids are whole numbers

    def output_shape(self) -> Shape:
        return (self.batch_size, *self.shape)

    @property
    def type_name(self) -> str:
        return "InputLayer"

    @classmethod
    def default_name(cls) -> str:
        return "input_layer"

    def call(self, flow: Flow, x: Array) -> Array:
        return x


class Dense(Layer, frozen=True, kw_only=True):
    """A fully connected layer: activation(x · kernel + bias).

    Shapes: input (…, d), kernel (d, units), bias (units,), output (…, units). With ``lora_rank``
    r the kernel is frozen, and lora_kernel_a (d, r) and lora_kernel_b (r, units) are trained.
    """

    units: PositiveInt
    activation: Activation = Linear()
    use_bias: bool = True
    kernel_initializer: Initializer = GlorotUniform()
    bias_initializer: Initializer = Zeros()
    lora_rank: PositiveInt | None = None
    lora_alpha: PositiveFloat | None = None

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            raise ShapeError(
                f"Dense needs features beside the batch, not {shape_text(shape)}",
                "give the input a size, such as input_shape: [10]",
            )
        known_size(self, shape, -1)
        return (*shape[:-1], self.units)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        kernel = (known_size(self, shape, -1), self.units)
        yield Parameter(
            path="kernel",
            shape=kernel,
            initializer=self.kernel_initializer,
            trainable=self.lora_rank is None,
            contracts=(0,),
            produces=(1,),
        )
        if self.use_bias:
            yield Parameter(path="bias", shape=(self.units,), initializer=self.bias_initializer)
        yield from lora("lora_kernel", kernel, self.lora_rank)

    def call(self, flow: Flow, x: Array) -> Array:
        kernel = adapted(flow, "kernel", "lora_kernel", self.lora_rank, self.lora_alpha)
        y = flow.np.matmul(x, kernel)
        return self.activation.call(flow.np, y + flow["bias"] if self.use_bias else y)


class Masking(Layer, frozen=True, kw_only=True):
    """Marks time steps whose every feature is ``mask_value`` as absent."""

    mask_value: float = 0.0

    def call(self, flow: Flow, x: Array) -> Array:
        present = flow.np.any(flow.np.constant(x) != self.mask_value, axis=-1, keepdims=True)
        return flow.np.where(present, x, 0.0)


class Identity(Layer, frozen=True, kw_only=True):
    """Passes its input on."""

    def call(self, flow: Flow, x: Array) -> Array:
        return x


class Recorded(Layer, frozen=True, kw_only=True):
    """What may have no shape but the one that a file records; without one, nothing comes out."""

    spoken = False
    needs_batch = False

    shapes: tuple[tuple[PositiveInt | None, ...], ...] = ()

    def output_shape(self, *inputs: Shape) -> Shape | list[Shape]:
        return list(self.shapes)


class Opaque(Recorded, frozen=True, kw_only=True):
    """A layer that only its author's code can compute: its outputs' shapes are what was recorded.

    ``kind`` is what its author calls it. Its weights, if it has any, are not known.
    """

    kind: str

    @property
    def type_name(self) -> str:
        return self.kind

    def call(self, flow: Flow, *inputs: Array, **options: Any) -> Any:
        raise NotComputable(f"{self.kind} is its author's own code, which is not run")


def lora(name: str, shape: tuple[int, ...], rank: int | None) -> Iterator[Parameter]:
    """The two factors of a low-rank adaptation of a weight of that shape (Hu et al. 2021).

    They are float32 whatever the dtype of the layer, as in Keras.
    """
    if rank is not None:
        a, b = (*shape[:-1], rank), (rank, shape[-1])
        yield Parameter(path=f"{name}_a", shape=a, initializer=HeUniform(), keeps_dtype=True)
        yield Parameter(path=f"{name}_b", shape=b, initializer=Zeros(), keeps_dtype=True)


def adapted(flow: Flow, weight: str, factors: str, rank: int | None, alpha: float | None) -> Array:
    """A weight, with alpha / r times the product of its low-rank factors added where it has any."""
    if rank is None:
        return flow[weight]
    change = flow.np.matmul(flow[f"{factors}_a"], flow[f"{factors}_b"])
    return flow[weight] + (rank if alpha is None else alpha) / rank * change
