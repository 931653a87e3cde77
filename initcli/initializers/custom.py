"""Initializers that a person wrote as a Python function ``f(shape, dtype=None)``.

Only a file named on the command line is ever run; a spec cannot name one.
"""

from __future__ import annotations

import importlib.util
import inspect
import signal
import stat
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
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
from initcli.process import Interrupted
from initcli.types import ArgumentError, Size, shape_text


class Custom(Whole, frozen=True, kw_only=True):
    """What the function ``name`` of a ``--custom`` file returns.

    Its distribution is its author's secret, unless the function has an attribute ``distribution``:
    the initializer whose distribution its values follow, by name or as a mapping, which is then
    ``declared``.

    The function is called as f(shape, dtype=…, rng=…), with those of the last two that it takes:
    dtype is NumPy's name of the tensor's dtype and rng the ``numpy.random.Generator`` of the
    parameter's stream. Beside them it gets the arguments that the spec gives it, by name.
    """

    registered = False

    name: str
    function: Callable[..., Any]
    declared: Initializer | None = None
    given: tuple[tuple[str, Any], ...] = ()

    def with_arguments(self, given: Mapping[str, Any]) -> Custom:
        """The same function called with those arguments; what distribution they lead to, nobody
        declared.

        Raises:
            ArgumentError: the function does not take one of them, or needs another.
        """
        own = self._own
        for name in given:
            if name not in own and not self._takes_any:
                takes = f"it takes {listed([f'`{each}`' for each in own], 'and')}" if own else ""
                remedy = did_you_mean(name, own) or takes or "it takes no arguments of a spec"
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
    def _own(self) -> dict[str, inspect.Parameter]:
        """What the function takes by name beside what it is always offered."""
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        return {
            each.name: each
            for each in parameters
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
            and each.name not in _OFFERED
        }

    @property
    def _takes_any(self) -> bool:
        parameters = inspect.signature(self.function).parameters.values()
        return any(each.kind is each.VAR_KEYWORD for each in parameters)

    def distribution_for(self, shape: Size) -> Distribution | None:
        return None if self.declared is None else self.declared.distribution_for(shape)

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        offered = dict(zip(_OFFERED, (dtype.name, rng), strict=True))
        taken = inspect.signature(self.function).parameters
        every = self._takes_any
        keywords = {name: value for name, value in offered.items() if every or name in taken}
        keywords |= dict(self.given)
        try:
            result = self.function(shape, **keywords)
        except BaseException as error:
            _refuse_to_hide(error)
            raise self._failed(f"raised {_described(error)}", _line(error, self._file)) from error
        try:
            returned = np.asarray(result)
        except BaseException as error:
            _refuse_to_hide(error)
            if isinstance(error, TypeError | ValueError):
                raise self._no_array(result) from None
            what = f"returned {_kind(result)}, which is no array: {_described(error)}"
            raise self._failed(what, _line(error, self._file), _WANTED) from error
        if returned.dtype.kind not in "fiub":
            raise self._no_array(result)
        with np.errstate(all="ignore"):  # what is lost is said below
            tensor = returned.astype(dtype, copy=False)
        if tensor.shape != shape:
            found = shape_text(tensor.shape)
            wanted = f"{shape_text(shape)}, which it was given"
            raise self._failed(f"returned an array of shape {found}, not {wanted}")
        if not np.isfinite(tensor).all():
            what = "NaN" if np.isnan(tensor).any() else "an infinite value"
            if np.isfinite(returned).all():
                what = f"a value beyond what {dtype.name} holds"
            counted = f"among its {tensor.size:,} values"
            raise self._failed(f"returned {what} {counted}, and every weight must be finite")
        return tensor

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.given)

    @property
    def type_name(self) -> str:
        return self.name

    def __str__(self) -> str:
        return super().__str__() if self.given else f"{self.name}()"

    @property
    def _file(self) -> str:
        return self.function.__code__.co_filename

    def _no_array(self, result: object) -> CustomFunctionError:
        return self._failed(f"returned {_kind(result)}, not an array of numbers", remedy=_WANTED)

    def _failed(self, what: str, line: int | None = None, remedy: str = "") -> CustomFunctionError:
        place = f"{self._file}:{line or self.function.__code__.co_firstlineno}"
        return CustomFunctionError(f"{place}: the initializer '{self.name}' {what}", remedy)


_OFFERED = ("dtype", "rng")
"""What a function gets without asking, beside the shape, if it takes it."""
_WANTED = "it must return an array of numbers, of the shape that it is given"


def load_functions(file: str) -> dict[str, Custom]:
    """Run a Python file and return its public functions as initializers, by name.

    Public is what the file itself defines under a name without a leading underscore.

    Raises:
        CustomFunctionError: the file cannot be read, or fails when it is run.
    """
    path = Path(file)
    try:
        mode, reason = path.stat().st_mode, ""
    except (OSError, ValueError) as error:
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError | ValueError)
        why = getattr(error, "strerror", None)
        mode, reason = 0, "there is no such file" if is_missing else f"it cannot be read: {why}"
    if stat.S_ISDIR(mode):
        reason = "this is a directory, not a file"
    elif mode and not stat.S_ISREG(mode):
        reason = "this is a pipe or a device, not a file"
    if reason:
        remedy = nearest_file(file, (".py",))
        raise CustomFunctionError(f"{printable(file)}: {reason}", remedy)
    spec = importlib.util.spec_from_file_location("initcli_custom", path)
    if spec is None or spec.loader is None:
        message = "the name of a file of initializers must end in .py"
        raise CustomFunctionError(f"{printable(file)}: {message}")
    module = importlib.util.module_from_spec(spec)
    try:
        with _no_compiled_file():
            spec.loader.exec_module(module)
    except BaseException as error:
        _refuse_to_hide(error)
        origin = spec.origin or file  # absolute, as it stands in the traceback
        line = error.lineno if isinstance(error, SyntaxError) else _line(error, origin)
        message = f"this file cannot be run: {_described(error)}"
        raise CustomFunctionError(f"{printable(file)}:{line or 1}: {message}") from error
    return {
        name: Custom(name=name, function=value)
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


@contextmanager
def _no_compiled_file() -> Iterator[None]:
    """While a person's file is imported, nothing is written into its folder."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _line(error: BaseException, file: str) -> int | None:
    """The last line of that file that the error passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == Path(file)]
    return lines[-1] if lines else None


def _refuse_to_hide(error: BaseException) -> None:
    """Raise an interrupt anew that is a person's, and not a function's own.

    Where Python's own handler is at work the two cannot be told apart.
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if isinstance(error, Interrupted) or (isinstance(error, KeyboardInterrupt) and is_default):
        raise error


def _described(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # the text of a person's own exception may fail as well
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _kind(result: object) -> str:
    if isinstance(result, np.ndarray):
        return f"an array of {result.dtype.name}"
    return "None" if result is None else f"a {type(result).__name__}"
