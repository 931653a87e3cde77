"""Compiled functions, and instructions that they need and Numba does not offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from llvmlite import ir
from numba import (  # type: ignore[attr-defined, unused-ignore]
    float32,
    int32,
    int64,
    njit,
    types,
)
from numba.extending import intrinsic

_Function = TypeVar("_Function", bound=Callable[..., Any])
OPTIONS: Any = {"error_model": "numpy"}


def compiled(function: _Function) -> _Function:
    """Compile a function when it is first called."""
    made: _Function = njit(**OPTIONS)(function)  # type: ignore[assignment, unused-ignore]
    return made


def _instruction(
    purpose: str, result: Any, argument: Any, emitted: Callable[[Any, Any], Any]
) -> Any:
    """A function of one number that is the instruction which a builder emits."""

    def typed(context: Any, value: Any) -> Any:
        return result(argument), lambda context, builder, signature, values: emitted(
            builder, values[0]
        )

    typed.__doc__ = purpose
    return intrinsic(typed)


def _square_root(builder: Any, x: Any) -> Any:
    return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [ir.FloatType()]), [x])


bits_of = _instruction(
    *("The bits of a float32.", int32, float32),
    lambda builder, x: builder.bitcast(x, ir.IntType(32)),
)
float_of = _instruction(
    *("The float32 with those bits.", float32, int32),
    lambda builder, x: builder.bitcast(x, ir.FloatType()),
)
root = _instruction(
    *("The square root as an instruction; NumPy's may be a call of a library.", float32, float32),
    _square_root,
)
pointer = _instruction(
    *("The pointer to an address.", types.voidptr, int64),
    lambda builder, x: builder.inttoptr(x, ir.IntType(8).as_pointer()),
)
