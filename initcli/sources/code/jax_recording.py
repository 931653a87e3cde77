"""How JAX fills arrays, without allocating or drawing them.

The function that makes a model is traced to a jaxpr. The jaxpr is interpreted: each intermediate
array is a distribution or known values. No function of ``jax.random`` is recognized by name,
because JAX computes uniform numbers from random bits with the exponent of 1, normal and truncated
normal numbers with the inverse error function, and orthogonal matrices as the Q of normal ones.
What depends on no random number is computed. Any other operation makes random entries unknown, and
its name is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from initcli.initializers import Constant, Orthogonal, RandomNormal, RandomUniform
from initcli.initializers.base import Undrawn, Whole
from initcli.initializers.given import Mapped, Unknown
from initcli.sources.code.contents import (
    MAX_COMPUTED,
    UNARY,
    Computed,
    Content,
    Part,
    are_alike,
    are_signs,
    arithmetic,
    clamped,
    draw_of,
    erfinv,
    mapped,
    moved,
    plain,
    scaled,
    signs,
    whole,
)
from initcli.sources.code.jax_parts import (
    MAX_PARTS,
    concatenated,
    moved_entries,
    padded,
    scattered,
    selected,
    sliced,
    split,
    updated,
)
from initcli.sources.code.jax_values import (
    Bits,
    Boxes,
    Value,
    content_of,
    each_changed,
    number_of,
    parts_of,
    size_of,
    unknown_result,
)
from initcli.sources.code.trees import Leaf, leaves
from initcli.types import Size

_KEYS = Unknown(operation="random keys")
_SHARED_KEYS = Unknown(operation="the same random keys again")
_UNUSED = Unknown(operation="what is not used")
_KEY_OPERATIONS = {"seed", "wrap", "unwrap", "fold_in", "split", "clone"}


Rule = Callable[[Any, list[Value]], Value]
"""Computes the value of the result of an equation from those of its inputs."""


class Traced(NamedTuple):
    """The arrays of a value, and the parts of each array."""

    leaves: tuple[Leaf, ...]
    parts: tuple[tuple[Part, ...], ...]


def traced(make: Callable[[], Any]) -> tuple[Any, Traced | None]:
    """The value that ``make`` returns, and how its arrays are filled.

    The latter is None if the arrays were made before the call. In the value, tracers stand for
    arrays.
    """
    made: list[Any] = []
    found: list[Leaf] = []

    def function() -> list[Any]:
        made.append(make())
        found.extend(leaves(made[0]))
        return [each.array for each in found if isinstance(each.array, jax.core.Tracer)]

    closed = jax.make_jaxpr(function)()
    results = iter(zip(_evaluated(closed, []), closed.jaxpr.outvars, strict=True))
    if not closed.jaxpr.outvars:
        return made[0], None
    parts = []
    for leaf in found:
        if isinstance(leaf.array, jax.core.Tracer):
            value, variable = next(results)
            parts.append(parts_of(value, variable.aval.shape))
        elif math.prod(leaf.array.shape) <= MAX_COMPUTED:
            parts.append(parts_of(Computed(np.asarray(leaf.array)), leaf.array.shape))
        else:
            parts.append(parts_of(Unknown(operation="values made before"), leaf.array.shape))
    return made[0], Traced(tuple(found), tuple(parts))


def _evaluated(closed: Any, inputs: Sequence[Value], wanted: Sequence[bool] = ()) -> list[Value]:
    """The values of the outputs of a jaxpr, by default of all; others are unknown."""
    jaxpr = getattr(closed, "jaxpr", closed)
    wanted = wanted or [True] * len(jaxpr.outvars)
    known: dict[Any, Value] = dict(zip(jaxpr.invars, inputs, strict=True))
    known.update(zip(jaxpr.constvars, map(_given, getattr(closed, "consts", ())), strict=True))

    def value_of(each: Any) -> Value:
        return _given(each.val) if _is_literal(each) else known[each]

    needed = {
        each for each, want in zip(jaxpr.outvars, wanted, strict=True) if want
        and not _is_literal(each)
    }  # fmt: skip
    steps = []
    for equation in reversed(jaxpr.eqns):
        if not needed.isdisjoint(equation.outvars):
            needed.update(each for each in equation.invars if not _is_literal(each))
            steps.append(equation)
    for equation in reversed(steps):
        read = [value_of(each) for each in equation.invars]
        results = _after(equation, read, [each in needed for each in equation.outvars])
        known.update(zip(equation.outvars, results, strict=True))
    return [
        value_of(each) if want else _UNUSED
        for each, want in zip(jaxpr.outvars, wanted, strict=True)
    ]


def _is_literal(each: Any) -> bool:
    return hasattr(each, "val")


def _given(value: Any) -> Value:
    return _KEYS if is_key(value) else Computed(np.asarray(value))


def is_key(value: Any) -> bool:
    """Whether an array holds keys of random numbers."""
    return bool(jax.dtypes.issubdtype(getattr(value, "dtype", None), jax.dtypes.prng_key))


def _after(equation: Any, inputs: list[Value], wanted: list[bool]) -> list[Value]:
    """The values of the outputs of an equation."""
    name, parameters = equation.primitive.name, equation.params
    inner = next((parameters[key] for key in _INNER if key in parameters), None)
    if name == "scan":
        return _scanned(equation, inputs)
    if name == "cond":
        return _branched(equation, inputs, wanted)
    if inner is not None and len(inputs) == len(getattr(inner, "jaxpr", inner).invars):
        return _evaluated(inner, inputs, wanted)
    if name.startswith("random_"):
        result = _random(name.removeprefix("random_"), equation, inputs)
    elif any(each in (_KEYS, _SHARED_KEYS) for each in inputs) and name in _KEEPS_KEYS:
        result = next(each for each in inputs if each in (_KEYS, _SHARED_KEYS))
    elif (computed := _computed(equation, inputs)) is not None:
        return computed
    elif name in _RULES:
        result = _RULES[name](equation, inputs)
        if name in _MOVES and isinstance(result, Mapped | Boxes):
            result = each_changed(result, moved)
    elif name in _PASSED:
        return inputs
    elif name == "split":
        return [each_changed(each, moved) for each in split(equation, inputs)]
    elif name == "qr":
        orthogonal = _orthogonal(equation, inputs)
        return [orthogonal, *[Unknown(operation=name)] * (len(wanted) - 1)]
    else:
        result = unknown_result(equation, inputs)
    return [result] * len(wanted)


_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_PASSED = ("device_put", "optimization_barrier")
_KEEPS_KEYS = (
    "reshape", "squeeze", "expand_dims", "transpose", "broadcast_in_dim", "concatenate", "slice",
    "dynamic_slice", "gather", "copy", "copy_p", "convert_element_type", "split",
)  # fmt: skip


def _random(operation: str, equation: Any, inputs: list[Value]) -> Value:
    if operation not in _KEY_OPERATIONS:
        if _SHARED_KEYS in inputs:
            return _SHARED_KEYS
        is_bits = operation == "bits"
        return Bits(equation.params["bit_width"]) if is_bits else Unknown(operation=operation)
    varies = any(isinstance(each, Undrawn) and each is not _SHARED_KEYS for each in inputs)
    return _SHARED_KEYS if _SHARED_KEYS in inputs and not varies else _KEYS


def _branched(equation: Any, inputs: list[Value], wanted: list[bool]) -> list[Value]:
    which, *rest = inputs
    branches = equation.params["branches"]
    number = number_of(which)
    if number is not None:
        index = min(max(int(number), 0), len(branches) - 1)
        return _evaluated(branches[index], rest, wanted)
    first, *others = (_evaluated(branch, rest, wanted) for branch in branches)
    return [
        value if all(_same(value, other[at]) for other in others) else Unknown(operation="cond")
        for at, value in enumerate(first)
    ]


def _same(one: Value, two: Value) -> bool:
    if isinstance(one, Computed) and isinstance(two, Computed):
        return bool(np.array_equal(one.values, two.values))
    if isinstance(one, Boxes | Bits) or isinstance(two, Boxes | Bits):
        return not isinstance(one, Boxes) and one == two
    return are_alike([one, two])


def _scanned(equation: Any, inputs: list[Value]) -> list[Value]:
    """The values of the outputs of a scan, known if all steps do the same."""
    count, length = equation.params["num_consts"], equation.params["length"]
    carried = equation.params["num_carry"]
    fixed = [_repeated(each) for each in inputs[:count]]
    carry = inputs[count : count + carried]
    steps = [_step(each) for each in inputs[count + carried :]]
    results = _evaluated(equation.params["jaxpr"], [*fixed, *carry, *steps])
    if not all(map(_same, carry, results)):
        # A split random key is still a key; other carried values are unknown after the first step.
        carry = [
            one if _same(one, two) else Unknown(operation="scan")
            for one, two in zip(carry, results, strict=False)
        ]
        results = _evaluated(equation.params["jaxpr"], [*fixed, *carry, *steps])
    outputs = equation.outvars[carried:]
    return [
        *(results[:carried]),
        *(
            _stacked(value, length, variable.aval.shape)
            for value, variable in zip(results[carried:], outputs, strict=True)
        ),
    ]


def _repeated(value: Value) -> Value:
    """A value that every step reads; what is random in it is the same in all steps."""
    if value == _KEYS:
        return _SHARED_KEYS
    is_known = isinstance(value, Computed | Constant | Undrawn)
    return value if is_known else Unknown(operation="copies")


def _step(value: Value) -> Value:
    """The slice of a stack that one step reads."""
    if isinstance(value, Computed):
        first = value.values[:1]
        is_same = len(value.values) and bool(np.all(value.values == first))
        return Computed(first[0]) if is_same else Unknown(operation="scan")
    if isinstance(value, Boxes | Bits | Whole):
        return Unknown(operation="scan")
    return value


def _stacked(value: Value, length: int, shape: Size) -> Value:
    """The stack of the values that the steps write."""
    if isinstance(value, Computed) and math.prod(shape) <= MAX_COMPUTED:
        return Computed(np.broadcast_to(value.values, shape))
    if isinstance(value, Orthogonal):
        return _orthogonals(value, shape, 1)
    return Unknown(operation="scan") if isinstance(value, Boxes | Computed) else value


def _computed(equation: Any, inputs: Sequence[Value]) -> list[Value] | None:
    """The results of an equation without random inputs; None if there are random or large ones."""
    if not all(isinstance(each, Computed | Constant) for each in inputs):
        return None
    sizes = [math.prod(each.aval.shape) for each in (*equation.invars, *equation.outvars)]
    if equation.primitive.name == "broadcast_in_dim" and sizes[-1] > 1:
        value = number_of(inputs[0])
        if value is not None:
            return [Constant(value=value)]
    if max(sizes) > MAX_COMPUTED:
        return None
    arrays = [
        each.values if isinstance(each, Computed) else np.full(
            variable.aval.shape, number_of(each), variable.aval.dtype
        )
        for each, variable in zip(inputs, equation.invars, strict=True)
    ]  # fmt: skip
    try:
        results = equation.primitive.bind(*arrays, **equation.params)
    except (TypeError, ValueError, NotImplementedError, RuntimeError):
        return None
    several = equation.primitive.multiple_results
    return [Computed(np.asarray(each)) for each in (results if several else [results])]


# Arithmetic


def _affine(equation: Any, inputs: list[Value]) -> Value:
    """Arithmetic of distributions and numbers."""
    name = equation.primitive.name
    if name == "neg":
        return each_changed(inputs[0], lambda each: scaled(each, -1.0, 0.0))
    random = [at for at, each in enumerate(inputs) if not isinstance(each, Computed | Constant)]
    contents = [content_of(each) for each in inputs]
    if len(random) == 2:
        if name == "mul" and any(map(are_signs, contents)):
            at = 1 if are_signs(contents[0]) else 0
            sign = contents[1 - at]
            return each_changed(inputs[at], lambda each: arithmetic(name, each, sign))
        is_alike = equation.invars[0].aval.shape == equation.invars[1].aval.shape
        return arithmetic(name, *contents) if is_alike else unknown_result(equation, inputs)
    # Without random entries, there are too many to compute.
    at = random[0] if random else max((0, 1), key=lambda at: size_of(equation, at))
    number = number_of(inputs[1 - at])
    if number is None or size_of(equation, at) != size_of(equation):
        return unknown_result(equation, inputs)
    if at == 0:
        return each_changed(inputs[at], lambda each: arithmetic(name, each, number))
    return each_changed(inputs[at], lambda each: arithmetic(name, number, each))


def _clamped(equation: Any, inputs: list[Value]) -> Value:
    name = equation.primitive.name
    if name == "clamp":
        bounds, value = (number_of(inputs[0]), number_of(inputs[2])), inputs[1]
    else:
        at = 1 if number_of(inputs[0]) is not None else 0
        number, value = number_of(inputs[1 - at]), inputs[at]
        bounds = (number, math.inf) if name == "max" else (-math.inf, number)
    low, high = bounds
    if low is None or high is None:
        return unknown_result(equation, inputs)
    return each_changed(value, lambda each: clamped(each, low, high))


def _elementwise(change: Callable[[Content], Content]) -> Rule:
    """The rule for a function of the first input."""
    return lambda equation, inputs: each_changed(inputs[0], change)


def _power(equation: Any, inputs: list[Value]) -> Value:
    exponent = equation.params["y"] if len(inputs) == 1 else number_of(inputs[1])
    if exponent is None:
        return unknown_result(equation, inputs)
    if exponent == 2:
        return each_changed(inputs[0], lambda each: mapped(each, "square"))
    return each_changed(inputs[0], lambda each: mapped(each, "pow", exponent))


def _shifted(equation: Any, inputs: list[Value]) -> Value:
    bits, by = inputs[0], number_of(inputs[1])
    if isinstance(bits, Bits) and not bits.above and by is not None:
        return Bits(bits.width - int(by))
    return unknown_result(equation, inputs)


def _joined_bits(equation: Any, inputs: list[Value]) -> Value:
    for bits, other in (inputs, inputs[::-1]):
        number = number_of(other)
        if isinstance(bits, Bits) and number is not None and not bits.above:
            return Bits(bits.width, int(number))
    return unknown_result(equation, inputs)


def _reinterpreted(equation: Any, inputs: list[Value]) -> Value:
    """A float with the exponent of 1 and a random fraction is uniform from 1 to 2."""
    dtype = equation.params["new_dtype"]
    bits = inputs[0]
    if isinstance(bits, Bits) and jax.numpy.issubdtype(dtype, jax.numpy.floating):
        one = int(np.ones((), dtype).view(f"u{np.dtype(dtype).itemsize}"))
        if bits == Bits(jax.numpy.finfo(dtype).nmant, one):
            # Draws of equal keys are equal.
            return draw_of(RandomUniform(minval=1.0, maxval=2.0), (0,))
    return unknown_result(equation, inputs)


def _converted(equation: Any, inputs: list[Value]) -> Value:
    dtype, value = equation.params["new_dtype"], inputs[0]
    if isinstance(value, Bits) and jax.numpy.issubdtype(dtype, jax.numpy.unsignedinteger):
        if np.dtype(dtype).itemsize * 8 >= value.width:
            return value
    elif jax.numpy.issubdtype(dtype, jax.numpy.floating) and not isinstance(value, Bits):
        return value
    return unknown_result(equation, inputs)


def _orthogonal(equation: Any, inputs: list[Value]) -> Value:
    """The Q of QR decompositions of normal matrices."""
    shape = equation.outvars[0].aval.shape
    match plain(content_of(inputs[0])):
        case RandomNormal(mean=0.0) if shape[-2:] == equation.invars[0].aval.shape[-2:]:
            return _orthogonals(Orthogonal(), shape, len(shape) - 2)
    return unknown_result(equation, inputs)


def _orthogonals(content: Content, shape: Size, axes: int) -> Value:
    """One content for each index of the first axes."""
    if not axes:
        return content
    if math.prod(shape[:axes]) > MAX_PARTS:
        return Unknown(operation="stack")
    rest = whole(shape[axes:])
    return Boxes(
        tuple(
            Part((*(slice(at, at + 1) for at in index), *rest), content)
            for index in np.ndindex(*shape[:axes])
        )
    )


_COPIES = ("copy", "copy_p", "stop_gradient", "reduce_precision", "sharding_constraint", "pvary")
_RESHAPES = ("reshape", "squeeze", "expand_dims", "transpose", "broadcast_in_dim", "rev")
_SLICES = ("slice", "dynamic_slice")
_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("mul", "add", "sub", "div", "neg"), _affine),
    **dict.fromkeys(("max", "min", "clamp"), _clamped),
    **{name: _elementwise(partial(mapped, operation=name)) for name in UNARY - {"neg"}},
    "logistic": _elementwise(partial(mapped, operation="sigmoid")),
    "sign": _elementwise(signs),
    "erf_inv": _elementwise(erfinv),
    **dict.fromkeys((*_COPIES, *_RESHAPES), moved_entries),
    **dict.fromkeys(("pow", "integer_pow"), _power),
    "shift_right_logical": _shifted,
    "or": _joined_bits,
    "bitcast_convert_type": _reinterpreted,
    "convert_element_type": _converted,
    **dict.fromkeys(_SLICES, sliced),
    "concatenate": concatenated,
    "dynamic_update_slice": updated,
    "scatter": scattered,
    "select_n": selected,
    "pad": padded,
}
_MOVES = {*_RESHAPES, *_SLICES, "concatenate", "dynamic_update_slice", "scatter", "select_n", "pad"}
"""Operations that move entries."""
