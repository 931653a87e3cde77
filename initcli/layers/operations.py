"""Operations on tensors: what ``x + y`` or ``x[:, 0]`` becomes in a Functional Keras model.

An operation has no weights. Its output shape follows from a rule for its function, or is the one
that the file records.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from initcli.activations import Activation, Gelu, known_activations
from initcli.layers.base import Layer, Role
from initcli.layers.core import Recorded
from initcli.layers.flow import Flow
from initcli.layers.operation_shapes import ARGUMENTS_MAKE_NO_SENSE, shape_of
from initcli.registry import known
from initcli.types import Array, NotComputable, Shape, doc, snake_case

Computation = Callable[..., Any]

_OF_NUMPY = frozenset(
    """Abs Absolute Add Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Ceil Cos Cosh Cumsum
    Divide Exp Expm1 Fmax Fmin Logaddexp Log Log10 Log1p Log2 Maximum Minimum Multiply Negative
    Power Reciprocal Sign Sin Sinh Sqrt Square Subtract Tan Tanh TrueDivide Where Equal Greater
    GreaterEqual Less LessEqual NotEqual LogicalAnd LogicalNot LogicalOr LogicalXor BitwiseAnd
    BitwiseNot BitwiseOr BitwiseXor Isfinite Isinf Isnan""".split()  # noqa: SIM905
)
_MOVING = frozenset(["Transpose", "Swapaxes", "Moveaxis", "Squeeze", "Repeat", "Tile"])
"""Functions of NumPy's that have the arguments of Keras's, tuples for lists."""
_REDUCTIONS = frozenset(
    ["All", "Amax", "Amin", "Any", "Max", "Mean", "Min", "Prod", "Std", "Sum", "Var"]
)
_OTHERWISE_CALLED = {"IsFinite": "Isfinite", "IsInf": "Isinf", "IsNan": "Isnan"}


def computation(xp: Any, function: str) -> Computation | None:
    """The operation of that name in an array namespace, with the arguments of Keras."""
    function = _OTHERWISE_CALLED.get(function, function)
    name = snake_case(function)
    if function in _OF_NUMPY:
        return _of_numpy(xp, getattr(xp, name))
    if function in _MOVING or function in _REDUCTIONS:
        return _with_tuples(getattr(xp, name))
    own: Computation | None = getattr(_Computations(xp), name, None)
    if found := _formulas(xp).get(name, own):
        return found
    activation = known_activations().get(name)
    if activation is None:
        return None
    return lambda x, **more: activation(**more).call(xp, x)


def is_elementwise(function: str) -> bool:
    """Whether it is an elementwise function of NumPy."""
    return function in _OF_NUMPY and function != "Cumsum"


def _of_numpy(xp: Any, function: Computation) -> Computation:
    def computed(*values: Any, name: Any = None, **others: Any) -> Any:
        # Keras 2 names operands that NumPy takes by position.
        operands = [*values, *others.values()]
        dtype = next((x.dtype for x in operands if hasattr(x, "dtype")), None)
        return function(*(xp.asarray(x, dtype) if isinstance(x, list) else x for x in operands))

    return computed


def _with_tuples(function: Computation) -> Computation:
    def computed(x: Array, *values: Any, **named: Any) -> Any:
        return function(x, *map(_axes, values), **{k: _axes(v) for k, v in named.items()})

    return computed


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _formulas(xp: Any) -> dict[str, Computation]:
    """Operations of one formula that NumPy lacks, or has with other arguments."""
    return {
        "identity": lambda x, *others, **more: x,
        "count_nonzero": lambda x, axis=None: xp.sum(xp.constant(x) != 0, axis=_axes(axis)),
        "stop_gradient": lambda x: xp.constant(x),
        "rsqrt": lambda x: 1 / xp.sqrt(x),
        "clip": lambda x, x_min, x_max: xp.clip(x, x_min, x_max),
        "squared_difference": lambda one, two: xp.square(one - two),
        "ravel": lambda x: xp.reshape(x, (-1,)),
        "concatenate": lambda xs, axis=-1: xp.concatenate(xs, axis),
        "gelu": lambda x, approximate=True: Gelu(approximate=approximate).call(xp, x),
        "erf": lambda x: xp.erf(x),
        "cbrt": lambda x: xp.sign(x) * xp.abs(x) ** (1 / 3),
        "deg2rad": lambda x: x * (math.pi / 180),
    }


class _Computations:
    """Further operations that NumPy lacks, or has with other arguments."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def cast(self, x: Array, dtype: Any = None, **more: Any) -> Array:
        """Floating-point numbers keep their precision, so that gradients flow."""
        wanted = _dtype(x, dtype)
        if wanted == x.dtype:
            return x
        return self.xp.constant(x).astype(wanted)

    def convert_to_tensor(self, x: Array, dtype: Any = None, *others: Any, **more: Any) -> Array:
        return self.cast(x, dtype)

    def zeros_like(self, x: Array, dtype: Any = None) -> Array:
        return self.xp.zeros(x.shape, _dtype(x, dtype))

    def ones_like(self, x: Array, dtype: Any = None) -> Array:
        return self.xp.ones(x.shape, _dtype(x, dtype))

    def full_like(self, x: Array, fill_value: Any, dtype: Any = None) -> Array:
        return self.xp.full(x.shape, fill_value, _dtype(x, dtype))

    def moments(self, x: Array, axes: Any, keepdims: bool = False) -> list[Array]:
        axes = _axes(axes)
        return [f(x, axis=axes, keepdims=keepdims) for f in (self.xp.mean, self.xp.var)]

    def logsumexp(self, x: Array, axis: Any = None, keepdims: bool = False) -> Array:
        xp, axis = self.xp, _axes(axis)
        most = xp.constant(xp.max(x, axis=axis, keepdims=True))
        found = xp.log(xp.sum(xp.exp(x - most), axis=axis, keepdims=True)) + most
        return found if keepdims else xp.squeeze(found, axis=axis)

    def l2_normalize(self, x: Array, axis: Any = -1, epsilon: float = 1e-12) -> Array:
        xp = self.xp
        square = xp.sum(xp.square(x), axis=_axes(axis), keepdims=True)
        return x / xp.sqrt(xp.maximum(square, x.dtype.type(epsilon)))

    def reshape(self, x: Array, newshape: Any) -> Array:
        sizes = [newshape] if isinstance(newshape, int) else list(newshape)
        # An unknown size in a file is the batch; with several, all but the last are known.
        sizes = [-1 if not isinstance(size, int) else size for size in sizes]
        if sizes.count(-1) > 1 and sizes[0] == -1:
            sizes[0] = x.shape[0]
        return self.xp.reshape(x, tuple(sizes))

    def expand_dims(self, x: Array, axis: Any) -> Array:
        places = axis if isinstance(axis, list) else [axis]
        rank = x.ndim + len(places)
        inserted = {place % rank for place in places}
        rest = iter(x.shape)
        sizes = tuple(1 if i in inserted else next(rest) for i in range(rank))
        return self.xp.reshape(x, sizes)

    def stack(self, x: list[Array], axis: int = 0) -> Array:
        return self.xp.concatenate([self.expand_dims(each, axis) for each in x], axis)

    def split(self, x: Array, indices_or_sections: Any, axis: int = 0) -> list[Array]:
        size, parts = x.shape[axis], indices_or_sections
        if isinstance(parts, int):
            bounds = [size // parts * k for k in range(1, parts)]
        else:
            bounds = list(parts)
        edges = [0, *bounds, size]
        before = (slice(None),) * (axis % x.ndim)
        return [x[(*before, slice(a, b))] for a, b in itertools.pairwise(edges)]

    def unstack(self, x: Array, num: int | None = None, axis: int = 0) -> list[Array]:
        before = (slice(None),) * (axis % x.ndim)
        return [x[(*before, k)] for k in range(x.shape[axis])]

    def one_hot(self, x: Array, num_classes: int, axis: int = -1, **more: Any) -> Array:
        places = self.xp.arange(num_classes)
        found = (self.expand_dims(self.xp.constant(x), -1) == places).astype("float32")
        return self.xp.moveaxis(found, -1, axis)

    def get_item(self, x: Array, key: Any) -> Array:
        keys = key if isinstance(key, list) else [key]
        return x[tuple(_place(each) for each in keys)]

    def matmul(
        self, one: Array, two: Array, transpose_a: bool = False, transpose_b: bool = False
    ) -> Array:
        one = self.xp.swapaxes(one, -1, -2) if transpose_a else one
        two = self.xp.swapaxes(two, -1, -2) if transpose_b else two
        return self.xp.matmul(one, two)

    def einsum(self, *operands: Array, subscripts: str = "") -> Array:
        parts = operands if subscripts else operands[1:]
        return self.xp.einsum(subscripts or operands[0], *parts)

    def pad(
        self, x: Array, pad_width: Any, mode: str = "constant", constant_values: Any = 0
    ) -> Array:
        if mode != "constant" or constant_values not in (0, None):
            raise ValueError("only `mode: constant` with zeros is known")
        ends = [[pad_width, pad_width]] if isinstance(pad_width, int) else pad_width
        ends = ends * x.ndim if len(ends) == 1 else ends
        return self.xp.pad(x, [tuple(each) for each in ends], "constant")

    def broadcast_to(self, x: Array, shape: Any) -> Array:
        sizes = tuple(n if isinstance(n, int) else x.shape[0] for n in shape)
        return x + self.xp.zeros(sizes, x.dtype)


def _dtype(x: Array, given: Any) -> Any:
    """The dtype of that name, or that of x if both are floating-point."""
    name = str(x.dtype if given is None else given)
    if name == "bool":
        return bool
    if name.startswith(("int", "uint")):
        return "int64"
    return x.dtype if x.dtype.kind == "f" else "float32"


def _place(key: Any) -> Any:
    """An index from a file: slices are mappings of start, stop and step, an ellipsis is "..."."""
    if isinstance(key, dict):
        return slice(key["start"], key["stop"], key["step"])
    return Ellipsis if key == "..." else key


class Operation(Recorded, frozen=True, kw_only=True):
    """A Keras operation, such as Add or GetItem, called on its inputs."""

    function: Annotated[str, doc("Name of the operation in Keras.")]
    kind: Annotated[str | None, doc("Name of the layer's type, if not that of the operation.")] = (
        None
    )
    arguments: Annotated[
        tuple[Any, ...], doc("Positional arguments; {input: k} stands for input k.")
    ] = ()
    keywords: Annotated[
        dict[str, Any], doc("Keyword arguments; {input: k} stands for input k.")
    ] = msgspec.field(default_factory=dict)

    def output_shape(self, *inputs: Shape) -> Shape | list[Shape]:
        found = shape_of(self.function, self.arguments, self.keywords, inputs)
        # The file may record what no rule knows.
        return Recorded.output_shape(self) if found is None else found

    def call(self, flow: Flow, *inputs: Array) -> Any:
        positional = [_with_arrays(value, inputs) for value in self.arguments]
        keywords = {name: _with_arrays(value, inputs) for name, value in self.keywords.items()}
        function = computation(flow.xp, self.function)
        if function is None:
            raise NotComputable(f"initcli does not compute the operation {self.function}")
        try:
            return _as_precise(function(*positional, **keywords), inputs)
        except ARGUMENTS_MAKE_NO_SENSE as error:
            what = f"the operation {self.function} cannot be computed"
            raise NotComputable(f"{what}: {error}") from None

    def acts_as(self) -> Role | None:
        same = known(Layer).get(self.function)
        return same.role if same is not None and same.merges else None

    @property
    def last_activation(self) -> Activation | None:
        same = known_activations().get(self.function.lower())
        return None if same is None else same()

    @property
    def type_name(self) -> str:
        return self.kind or self.function


def _as_precise(found: Any, inputs: tuple[Array, ...]) -> Any:
    """An output in the precision of the input; NumPy converts integers to float64."""
    if isinstance(found, list):
        return [_as_precise(each, inputs) for each in found]
    is_wide = any(str(x.dtype) == "float64" for x in inputs)
    return found.astype("float32") if str(found.dtype) == "float64" and not is_wide else found


def _with_arrays(value: Any, inputs: tuple[Array, ...]) -> Any:
    """An argument with arrays in place of references."""
    if isinstance(value, dict) and set(value) == {"input"}:
        return inputs[value["input"]]
    if isinstance(value, list | tuple):
        return [_with_arrays(each, inputs) for each in value]
    return value
