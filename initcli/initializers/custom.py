"""Initializers that a person wrote as a Python function ``f(shape, dtype=None)``.

Only a file named on the command line is ever run; a spec cannot name one.
"""

from __future__ import annotations

import importlib.util
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from initcli.errors import CustomFunctionError
from initcli.initializers.base import Initializer, Whole
from initcli.laws import Floats, Law
from initcli.types import Size, shape_text


class Custom(Whole, frozen=True, kw_only=True):
    """What the function ``name`` of a ``--custom`` file returns.

    Its law is its author's secret, unless the function has an attribute ``law``: the initializer
    whose law its values follow, by name or as a mapping, which is then ``declared``.

    The function is called as f(shape, dtype=…, rng=…), with those of the last two that it takes:
    dtype is NumPy's name of the tensor's dtype and rng the ``numpy.random.Generator`` of the
    parameter's stream.
    """

    spoken = False

    name: str
    function: Callable[..., Any]
    declared: Initializer | None = None

    def law(self, shape: Size) -> Law | None:
        return None if self.declared is None else self.declared.law(shape)

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        offered = {"dtype": dtype.name, "rng": rng}
        taken = inspect.signature(self.function).parameters
        every = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values())
        keywords = {name: value for name, value in offered.items() if every or name in taken}
        try:
            result = self.function(shape, **keywords)
        except (Exception, SystemExit) as error:
            raise self._failed(f"raised {_described(error)}", _line(error, self._file)) from error
        try:
            tensor = np.asarray(result)
            if tensor.dtype.kind not in "fiub":
                raise TypeError
            tensor = tensor.astype(dtype, copy=False)
        except (TypeError, ValueError):
            raise self._failed(f"returned no tensor of numbers but {_kind(result)}") from None
        if tensor.shape != shape:
            found = shape_text(tensor.shape)
            raise self._failed(f"returned shape {found} where {shape_text(shape)} was asked for")
        if not np.isfinite(tensor).all():
            what = "NaN" if np.isnan(tensor).any() else "an infinite value"
            raise self._failed(f"returned {what} among its {tensor.size:,} values")
        return tensor

    @property
    def arguments(self) -> dict[str, Any]:
        return {}

    @property
    def type_name(self) -> str:
        return self.name

    def __str__(self) -> str:
        return f"{self.name}()"

    @property
    def _file(self) -> str:
        return self.function.__code__.co_filename

    def _failed(self, what: str, line: int | None = None) -> CustomFunctionError:
        place = f"{self._file}:{line or self.function.__code__.co_firstlineno}"
        return CustomFunctionError(f"{place}: the initializer '{self.name}' {what}")


def load_functions(file: str) -> dict[str, Custom]:
    """Run a Python file and return its public functions as initializers, by name.

    Public is what the file itself defines under a name without a leading underscore.

    Raises:
        CustomFunctionError: the file cannot be read, or fails when it is run.
    """
    path = Path(file)
    if not path.is_file():
        reason = "this is not a file" if path.exists() else "there is no such file"
        raise CustomFunctionError(f"{file}: {reason}")
    spec = importlib.util.spec_from_file_location("initcli_custom", path)
    if spec is None or spec.loader is None:
        raise CustomFunctionError(f"{file}: a file of initializers ends in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        line = error.lineno if isinstance(error, SyntaxError) else _line(error, str(path))
        raise CustomFunctionError(f"{file}:{line or 1}: {_described(error)}") from error
    return {
        name: Custom(name=name, function=value)
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


def _line(error: BaseException, file: str) -> int | None:
    """The last line of that file that the error passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == Path(file)]
    return lines[-1] if lines else None


def _described(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _kind(result: object) -> str:
    return "None" if result is None else f"a {type(result).__name__}"
