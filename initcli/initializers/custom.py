"""Custom initializers: functions ``f(shape, dtype=None)``, and classes of such callables.

Only files named on the command line are run; a spec cannot name one.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
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
from initcli.registry import known
from initcli.types import ArgumentError, Size, shape_text


class Custom(Whole, frozen=True, kw_only=True):
    """The tensor that the callable ``name`` of a ``--custom`` file returns.

    It is called as f(shape, dtype=…, rng=…), if it takes ``dtype`` and ``rng``: the NumPy name of
    the tensor's dtype, and the ``numpy.random.Generator`` of the parameter's stream. ``given`` are
    further arguments from the spec. For a class they are arguments of the constructor, and the
    instance is called; a ``seed`` of the constructor depends on the stream unless given.

    The distribution is unknown, unless a function has an attribute ``distribution``: an
    initializer with the same distribution (``declared``).

    ``file`` and ``line`` are its place in the code; the line is None if it is not known.
    """

    registered = False

    name: str
    function: Callable[..., Any]
    file: str
    line: int | None = None
    declared: Initializer | None = None
    given: tuple[tuple[str, Any], ...] = ()

    def with_arguments(self, given: Mapping[str, Any]) -> Custom:
        """The same initializer with arguments, to which the declared distribution does not apply.

        Raises:
            ArgumentError: it does not take one of them, or needs another.
        """
        own, takes_any = _parameters(self.function)
        if not self.is_class:
            own = {name: each for name, each in own.items() if name not in _OFFERED}
        for name in given:
            if name not in own and (not takes_any or (name in _OFFERED and not self.is_class)):
                takes = f"it takes {listed([f'`{each}`' for each in own], 'and')}" if own else ""
                remedy = did_you_mean(name, own) or takes or "it takes no arguments"
                message = f"the initializer '{self.name}' takes no `{quoted(name).strip(chr(39))}`"
                raise ArgumentError(name, message, remedy)
        for name, parameter in own.items():
            if name not in given and parameter.default is parameter.empty:
                message = f"the initializer '{self.name}' needs `{name}`"
                raise ArgumentError(name, message, f"such as {{type: {self.name}, {name}: 1}}")
        if not given:
            return self
        return msgspec.structs.replace(self, declared=None, given=tuple(given.items()))

    @property
    def is_class(self) -> bool:
        """Whether it is a class, so that arguments are those of its constructor."""
        return inspect.isclass(self.function)

    @property
    def place(self) -> str:
        """Its file and line, for messages."""
        return printable(self.file) if self.line is None else f"{printable(self.file)}:{self.line}"

    def distribution_for(self, shape: Size) -> Distribution | None:
        return None if self.declared is None else self.declared.distribution_for(shape)

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        try:
            result = self._called(shape, rng, dtype)
            returned = np.asarray(result)
        except BaseException as error:
            reraise_interrupt(error)
            raise self._failed(f"raised {_text(error)}", _line(error, self.file)) from error
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

    def _called(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Any:
        function, given = self.function, dict(self.given)
        if self.is_class:
            if given.get("seed") is None and "seed" in _parameters(function)[0]:
                given["seed"] = int(rng.integers(2**31))
            function, given = function(**given), {}
        taken, takes_any = _parameters(function)
        offered = dict(zip(_OFFERED, (dtype.name, rng), strict=True))
        keywords = {name: offered[name] for name in _OFFERED if takes_any or name in taken}
        return function(shape, **keywords, **given)

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.given)

    @property
    def type_name(self) -> str:
        return self.name

    def __str__(self) -> str:
        return super().__str__() if self.given else f"{self.name}()"

    def _failed(self, what: str, line: int | None = None, remedy: str = "") -> CustomFunctionError:
        place = msgspec.structs.replace(self, line=line or self.line).place
        return CustomFunctionError(f"{place}: the initializer '{self.name}' {what}", remedy)


_OFFERED = ("dtype", "rng")
"""Arguments that a function gets besides the shape if it takes them."""


def load_functions(file: str) -> dict[str, Custom]:
    """Run a Python file and return its public callables by name: functions, classes and instances.

    Imported callables come last, and do not replace built-in initializers of the same name.

    Raises:
        CustomFunctionError: the file cannot be read, fails, or defines no initializer.
    """
    try:
        source = Path(file).read_bytes()
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        remedy = nearest_file(file, (".py",))
        raise CustomFunctionError(f"{printable(file)}: cannot be read: {why}", remedy) from None
    module = ModuleType("initcli_custom")
    module.__file__ = file
    sys.modules[module.__name__] = module  # dataclasses look up the types of their fields there
    try:
        exec(compile(source, file, "exec", dont_inherit=True), vars(module))
    except BaseException as error:
        reraise_interrupt(error)
        line = error.lineno if isinstance(error, SyntaxError) else _line(error, file)
        message = f"this file cannot be run: {_text(error)}"
        raise CustomFunctionError(f"{printable(file)}:{line or 1}: {message}") from error
    own: dict[str, Custom] = {}
    imported: dict[str, Custom] = {}
    for name, value in vars(module).items():
        if not name.startswith("_") and _is_initializer(value):
            found = imported if _is_imported(value, module) else own
            line = _first_line(value, file)
            found[name] = Custom(name=name, function=value, file=file, line=line)
    built_in = known(Initializer)
    functions = own | {name: each for name, each in imported.items() if name not in built_in}
    if not functions:
        remedy = "such as a function f(shape, dtype=None) that returns an array"
        raise CustomFunctionError(f"{printable(file)}: this file defines no initializer", remedy)
    return functions


def _is_initializer(value: Any) -> bool:
    """Whether it can be called with a shape; for a class, whether its instances can."""
    if not inspect.isclass(value):
        return callable(value)
    has_call = any("__call__" in vars(base) for base in value.__mro__)
    return has_call and not inspect.isabstract(value)


def _is_imported(value: Any, module: ModuleType) -> bool:
    is_named = inspect.isroutine(value) or inspect.isclass(value)
    return is_named and getattr(value, "__module__", None) != module.__name__


def _parameters(function: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """The keyword parameters besides the shape, and whether any others are accepted.

    For a class they are those of its constructor. Functions that are not written in Python may have
    no known parameters.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        return {}, False
    if not inspect.isclass(function):
        parameters = parameters[1:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    own = {each.name: each for each in parameters if each.kind in named}
    return own, any(each.kind is each.VAR_KEYWORD for each in parameters)


def _first_line(value: Any, file: str) -> int | None:
    """The line of the file where the called code begins; None if it is in another file."""
    function = value
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):
        function = function.__call__
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code.co_firstlineno if code is not None and code.co_filename == file else None


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
