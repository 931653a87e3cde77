"""Core layers: input, dense layers, masking, and layers known only from a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from initcli.activations import Linear
from initcli.errors import printable, quoted
from initcli.initializers import GlorotUniform, HeUniform, Initializer, Ones, Zeros
from initcli.layers.arguments import (
    BiasInitializer,
    KernelInitializer,
    LoraAlpha,
    LoraRank,
    OutputActivation,
    Quantization,
    Units,
    UseBias,
)
from initcli.layers.base import Layer, Role, known_size
from initcli.layers.flow import Flow
from initcli.layers.quantization import Matrix, Scheme, require_floats, scheme_of, stored_kernel
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    Dtype,
    NotComputable,
    PositiveInt,
    Shape,
    ShapeError,
    Size,
    doc,
)

InputDtype = Literal[
    Dtype,
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
    """An input of the model."""

    aliases = ("InputLayer",)

    shape: Annotated[
        tuple[PositiveInt | None, ...],
        doc("Shape of the input without the batch; null for an unknown size."),
    ]
    batch_size: Annotated[PositiveInt | None, doc("Size of the batch, if fixed.")] = None
    dtype: Annotated[InputDtype | None, doc("Data type of the input; integers are token ids.")] = (
        None  # type: ignore[assignment]  # token ids are whole numbers
    )

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


class Adapted(Layer, frozen=True, kw_only=True):
    """A layer with a weight that may be quantized, or frozen with trained low-rank factors."""

    registered = False

    lora_rank: LoraRank = None
    lora_alpha: LoraAlpha = None
    quantization: Quantization = None

    def __post_init__(self) -> None:
        _ = self.scheme

    @property
    def scheme(self) -> Scheme | None:
        """How the weight is stored; None for floating-point numbers."""
        return scheme_of(self.quantization)

    def adapted(self, flow: Flow, weight: str) -> Array:
        """The weight plus alpha / r times the product of its low-rank factors, if any."""
        require_floats(self.scheme, "table" if weight == "embeddings" else weight)
        return adapted(flow, weight, self.lora_rank, self.lora_alpha)


def lora(weight: str, shape: Size, rank: int | None) -> Iterator[Parameter]:
    """The factors of a low-rank adaptation of a weight (Hu et al. 2021, arXiv:2106.09685).

    As in Keras, they are float32 whatever the dtype of the layer.
    """
    if rank is not None:
        a, b = (*shape[:-1], rank), (rank, shape[-1])
        name = f"lora_{weight}"
        yield Parameter(path=f"{name}_a", shape=a, initializer=HeUniform(), keeps_dtype=True)
        yield Parameter(path=f"{name}_b", shape=b, initializer=Zeros(), keeps_dtype=True)


def adapted(flow: Flow, weight: str, rank: int | None, alpha: float | None) -> Array:
    """A weight plus alpha / r times the product of its low-rank factors, if any."""
    if rank is None:
        return flow[weight]
    change = flow.xp.matmul(flow[f"lora_{weight}_a"], flow[f"lora_{weight}_b"])
    return flow[weight] + (rank if alpha is None else alpha) / rank * change


class Dense(Adapted, frozen=True, kw_only=True):
    """A fully connected layer: activation(x · kernel + bias).

    Shapes: input (…, d), kernel (d, units), bias (units,), output (…, units). With ``lora_rank`` r
    the kernel is frozen, and lora_kernel_a (d, r) and lora_kernel_b (r, units) are trained.
    """

    is_positionwise = True
    supports_masking = True

    units: Units
    activation: OutputActivation = Linear()
    use_bias: UseBias = True
    kernel_initializer: KernelInitializer = GlorotUniform()
    bias_initializer: BiasInitializer = Zeros()

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            remedy = "give the input a size, such as input_shape: [10]"
            raise self.misfit("needs features besides the batch", shape, remedy=remedy)
        known_size(self, shape, -1)
        return (*shape[:-1], self.units)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        kernel = (known_size(self, shape, -1), self.units)
        axes: Any = {"contracts": (0,), "produces": (1,)}
        trainable = self.lora_rank is None
        weight = self.weight("kernel", kernel, "kernel_initializer", trainable=trainable, **axes)
        stored = stored_kernel(self.scheme, weight, Matrix(*kernel, (self.units,)), "kernel_zero")
        bias = [self.weight("bias", (self.units,), "bias_initializer")] * self.use_bias
        return stored.around(bias, lora("kernel", kernel, self.lora_rank))

    def call(self, flow: Flow, x: Array) -> Array:
        y = flow.xp.matmul(x, self.adapted(flow, "kernel"))
        return self.activation.call(flow.xp, y + flow["bias"] if self.use_bias else y)


class Masking(Layer, frozen=True, kw_only=True):
    """Masks time steps whose features all equal ``mask_value``."""

    role = "keeps"
    supports_masking = True

    mask_value: Annotated[float, doc("Value of the features of a masked step.")] = 0.0

    def call(self, flow: Flow, x: Array) -> Array:
        present = self.output_mask(flow, x)
        return flow.xp.where(flow.xp.expand_dims(present, -1), x, x.dtype.type(0))

    def output_mask(self, flow: Flow, x: Array) -> Array:
        return flow.xp.any(flow.xp.constant(x) != self.mask_value, axis=-1)


class Identity(Layer, frozen=True, kw_only=True):
    """Returns its input."""

    supports_masking = True


class Recorded(Layer, frozen=True, kw_only=True):
    """A layer whose output shape is known only if a file records it."""

    registered = False
    needs_batch = False

    shapes: Annotated[
        tuple[tuple[PositiveInt | None, ...], ...],
        doc("Output shapes, batch included, as a Keras file records them."),
    ] = ()

    def output_shape(self, *inputs: Shape) -> Shape | list[Shape]:
        return list(self.shapes)

    @property
    def has_shape(self) -> bool:
        """Whether the output shape can be known."""
        return bool(self.shapes)


class Missing(Recorded, frozen=True, kw_only=True):
    """Stands for a layer of which nothing is known; nothing is reported about it."""

    registered = False

    @property
    def has_shape(self) -> bool:
        return True


OwnShapes = tuple[PositiveInt | tuple[PositiveInt | None, ...] | None, ...]
"""A shape without the batch, or a list of such shapes."""


class OwnWeight(msgspec.Struct, frozen=True, kw_only=True):
    """A weight of a layer that initcli does not know."""

    name: Annotated[str, doc("Name of the weight within the layer.")]
    shape: Annotated[tuple[PositiveInt, ...], doc("Sizes of its axes.")]
    initializer: Annotated[Initializer, doc("Fills the weight.")]
    trainable: Annotated[bool, doc("Whether training changes the weight.")] = True

    def __post_init__(self) -> None:
        # As in Keras, a slash separates the names of inner layers.
        if not all(self.name.split("/")) or printable(self.name) != self.name:
            raise ArgumentError(
                "name",
                f"the name {quoted(self.name)} of a weight is empty or cannot be printed",
                "such as `name: kernel`",
            )


class Opaque(Recorded, frozen=True, kw_only=True):
    """A layer that initcli does not know and cannot compute; its code is not run."""

    kind: Annotated[str, doc("Name of the layer's class.")] = "Opaque"
    output_shape_: Annotated[
        Literal["same", "recorded"] | OwnShapes,
        doc(
            "Output shape without the batch, or a list of shapes; `same` for that of the first "
            "input, `recorded` for `shapes`."
        ),
    ] = msgspec.field(default="same", name="output_shape")
    parameters_: Annotated[tuple[OwnWeight, ...], doc("Weights of the layer.")] = msgspec.field(
        default=(), name="parameters"
    )
    passes_on: Annotated[
        bool, doc("Whether the output is the first input; if not, no signal goes through.")
    ] = False

    def __post_init__(self) -> None:
        if not self.kind or printable(self.kind) != self.kind:
            message = f"the kind {quoted(self.kind)} is empty or cannot be printed"
            raise ArgumentError("kind", message, "such as `kind: InstanceNormalization`")
        names = [weight.name for weight in self.parameters_]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ArgumentError(
                "parameters", f"two weights are called {quoted(twice[0])}", "rename one of them"
            )
        given = self.output_shape_
        if not isinstance(given, str) and len({isinstance(each, tuple) for each in given}) > 1:
            raise ArgumentError(
                "output_shape",
                "`output_shape` must be one shape or a list of shapes, not a mixture",
                "such as [32, 32, 3], or [[32, 32, 3], [10]] for two outputs",
            )
        if self.passes_on and not isinstance(given, str):
            raise ArgumentError(
                "passes_on",
                "`passes_on` keeps the shape of the input, and `output_shape` gives another",
                "remove one of them",
            )

    def output_shape(self, *inputs: Shape) -> Shape | list[Shape]:
        given = self.output_shape_
        if self.passes_on or given == "same":
            if not inputs:
                raise ShapeError(
                    f"{self.kind} has no input whose shape it can keep",
                    "give its `output_shape`, without the batch",
                )
            return inputs[0]
        if given == "recorded":
            return list(self.shapes)
        batch = inputs[0][:1] if inputs and inputs[0] else (None,)
        several = bool(given) and all(isinstance(each, tuple) for each in given)
        outputs: Any = given if several else (given,)
        return [(*batch, *sizes) for sizes in outputs]

    def parameters(self, *inputs: Shape, **options: Any) -> Iterator[Parameter]:
        for weight in self.parameters_:
            yield Parameter(
                path=weight.name,
                shape=weight.shape,
                initializer=weight.initializer,
                trainable=weight.trainable,
            )

    @property
    def has_shape(self) -> bool:
        return self.passes_on or self.output_shape_ != "recorded" or bool(self.shapes)

    @property
    def type_name(self) -> str:
        return self.kind

    def acts_as(self) -> Role | None:
        return "keeps" if self.passes_on else None

    def call(self, flow: Flow, *inputs: Array, **options: Any) -> Any:
        if self.passes_on:
            return inputs[0]
        raise NotComputable(
            f"{self.kind} is custom code, which is not run",
            "if it returns its input, say so with `passes_on: true`, or --set "
            f"'**[kind={self.kind}].passes_on=true'",
        )


class MaxoutDense(Layer, frozen=True, kw_only=True):
    """The maximum of ``features`` linear maps (Goodfellow et al. 2013, arXiv:1302.4389). Keras 1.

    Shapes: input (batch, d), kernel (features, d, units), bias (features, units), output (batch,
    units).
    """

    units: Units
    features: Annotated[PositiveInt, doc("Number of linear maps.")] = 4
    kernel_initializer: KernelInitializer = GlorotUniform()
    use_bias: UseBias = True
    bias_initializer: BiasInitializer = Zeros()

    def output_shape(self, shape: Shape) -> Shape:
        self.require_rank(shape, 2, "(features)")
        return (shape[0], self.units)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        kernel = (self.features, known_size(self, shape, -1), self.units)
        yield self.weight("kernel", kernel, "kernel_initializer", contracts=(1,), produces=(0, 2))
        if self.use_bias:
            bias = (self.features, self.units)
            yield self.weight("bias", bias, "bias_initializer")

    def call(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        y = xp.swapaxes(xp.matmul(x, flow["kernel"]), 0, 1)
        return xp.max(y + flow["bias"] if self.use_bias else y, 1)


class Highway(Layer, frozen=True, kw_only=True):
    """t · activation(x · kernel + bias) + (1 − t) · x, with a learned gate t. Keras 1.

    t is sigmoid(x · carry_kernel + carry_bias), whose bias starts at 1. Shapes: input (batch, d),
    kernels (d, d), biases (d,). (Srivastava et al. 2015, arXiv:1505.00387.)
    """

    activation: OutputActivation = Linear()
    kernel_initializer: Annotated[Initializer, doc("Fills both kernels.")] = GlorotUniform()
    use_bias: UseBias = True

    def output_shape(self, shape: Shape) -> Shape:
        self.require_rank(shape, 2, "(features)")
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        d = known_size(self, shape, -1)
        for path in ("kernel", "carry_kernel"):
            yield self.weight(path, (d, d), "kernel_initializer", contracts=(0,), produces=(1,))
        if self.use_bias:
            yield Parameter(path="bias", shape=(d,), initializer=Zeros())
            yield Parameter(path="carry_bias", shape=(d,), initializer=Ones())

    def call(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        y, gate = xp.matmul(x, flow["kernel"]), xp.matmul(x, flow["carry_kernel"])
        if self.use_bias:
            y, gate = y + flow["bias"], gate + flow["carry_bias"]
        share = xp.sigmoid(gate)
        return share * self.activation.call(xp, y) + (1 - share) * x
