"""Initializers written as Python functions ``f(shape, dtype=None)``.

Only files named on the command line are run; a spec cannot name one.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np

from initcli.distributions import Distribution, Floats
from initcli.errors import (
    CustomFunctionError,
    did_you_mean,
    listed,
    nearest_file,
    printable,
    quoted,
)
from initcli.initializers.base import Initializer, Whole
from initcli.process import reraise_interrupt
from initcli.types import ArgumentError, Size, shape_text


class Custom(Whole, frozen=True, kw_only=True):
    """The tensor that the function ``name`` of a ``--custom`` file returns.

    It is called as f(shape, dtype=…, rng=…), with those of the last two that it takes: the NumPy
    name of the tensor's dtype, and the ``numpy.random.Generator`` of the parameter's stream.
    ``given`` are further arguments, from the spec.

    The distribution is unknown, unless the function has an attribute ``distribution``: an
    initializer with the same distribution (``declared``).
    """

    registered = False

    name: str
    function: Callable[..., Any]
    declared: Initializer | None = None
    given: tuple[tuple[str, Any], ...] = ()

    def with_arguments(self, given: Mapping[str, Any]) -> Custom:
        """The same function with those arguments. The declared distribution does not cover them.

        Raises:
            ArgumentError: the function does not take one of them, or needs another.
        """
        own, takes_any = self._parameters
        for name in given:
            if name not in own and not (takes_any and name not in _OFFERED):
                takes = f"it takes {listed([f'`{each}`' for each in own], 'and')}" if own else ""
                remedy = did_you_mean(name, own) or takes or "it takes no arguments"
                message = f"the function '{self.name}' takes no `{quoted(name).strip(chr(39))}`"
                raise ArgumentError(name, message, remedy)
        for name, parameter in own.items():
            if name not in given and parameter.default is parameter.empty:
                message = f"the function '{self.name}' needs `{name}`"
                raise ArgumentError(name, message, f"such as {{type: {self.name}, {name}: 1}}")
        if not given:
            return self
        return msgspec.structs.replace(self, declared=None, given=tuple(given.items()))

    @property
    def _parameters(self) -> tuple[dict[str, inspect.Parameter], bool]:
        """The parameters that a spec can set, and whether the function takes any others."""
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        named = {
            each.name: each
            for each in parameters
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        }
        own = {name: each for name, each in named.items() if name not in _OFFERED}
        return own, any(each.kind is each.VAR_KEYWORD for each in parameters)

    def distribution_for(self, shape: Size) -> Distribution | None:
        return None if self.declared is None else self.declared.distribution_for(shape)

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        taken, takes_any = inspect.signature(self.function).parameters, self._parameters[1]
        offered = dict(zip(_OFFERED, (dtype.name, rng), strict=True))
        keywords = {name: offered[name] for name in _OFFERED if takes_any or name in taken}
        try:
            result = self.function(shape, **keywords, **dict(self.given))
            returned = np.asarray(result)
        except BaseException as error:
            reraise_interrupt(error)
            line = _line(error, self.function.__code__.co_filename)
            raise self._failed(f"raised {_text(error)}", line) from error
        if returned.dtype.kind not in "fiub":
            raise self._failed(
                f"returned {_kind(result)}, not an array of numbers",
                remedy="return an array of numbers of the given shape",
            )
        with np.errstate(all="ignore"):  # overflow is reported below
            tensor = returned.astype(dtype, copy=False)
        if tensor.shape != shape:
            expected = f"{shape_text(shape)}, the given shape"
            raise self._failed(
                f"returned an array of shape {shape_text(tensor.shape)}, not {expected}"
            )
        if not np.isfinite(tensor).all():
            what = "NaN" if np.isnan(tensor).any() else "an infinite value"
            if np.isfinite(returned).all():
                what = f"a value out of the range of {dtype.name}"
            raise self._failed(f"returned {what}; every weight must be finite")
        return tensor

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.given)

    @property
    def type_name(self) -> str:
        return self.name

    def __str__(self) -> str:
        return super().__str__() if self.given else f"{self.name}()"

    def _failed(self, what: str, line: int | None = None, remedy: str = "") -> CustomFunctionError:
        code = self.function.__code__
        place = f"{printable(code.co_filename)}:{line or code.co_firstlineno}"
        return CustomFunctionError(f"{place}: the initializer '{self.name}' {what}", remedy)


_OFFERED = ("dtype", "rng")
"""Arguments that a function gets besides the shape if it takes them."""


def load_functions(file: str) -> dict[str, Custom]:
    """Run a Python file and return the public functions that it defines, by name.

    Raises:
        CustomFunctionError: the file cannot be read, or fails.
    """
    try:
        source = Path(file).read_bytes()
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        remedy = nearest_file(file, (".py",))
        raise CustomFunctionError(f"{printable(file)}: cannot be read: {why}", remedy) from None
    module = ModuleType("initcli_custom")
    module.__file__ = file
    try:
        exec(compile(source, file, "exec", dont_inherit=True), vars(module))
    except BaseException as error:
        reraise_interrupt(error)
        line = error.lineno if isinstance(error, SyntaxError) else _line(error, file)
        message = f"this file cannot be run: {_text(error)}"
        raise CustomFunctionError(f"{printable(file)}:{line or 1}: {message}") from error
    return {
        name: Custom(name=name, function=value)
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


def _line(error: BaseException, file: str) -> int | None:
    """The last line of the file in the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == file), None)


def _text(error: BaseException) -> str:
    return " ".join(traceback.format_exception_only(error)[-1].split())


def _kind(result: object) -> str:
    if isinstance(result, np.ndarray):
        return f"an array of {result.dtype.name}"
    return "None" if result is None else f"a {type(result).__name__}"
