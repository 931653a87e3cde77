"""Objects of a user's code, named as ``package.module:object`` or ``file.py:object``.

Code is run only if the user names it on the command line. Its output goes to standard error.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import random
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from initcli.errors import CodeError, did_you_mean, listed, nearest_file, printable, quoted
from initcli.process import reraise_interrupt

_NAMED = re.compile(r"(?P<module>.+\.py|[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d][\w.]*)")
_MAX_TEXT = 300
"""Maximum number of characters of the message of an exception that are shown."""
_MODULE = "initcli_code"
"""The name under which a file is imported."""


def is_code(source: str) -> bool:
    """Whether a source names an object in code and is not a file."""
    return _NAMED.fullmatch(source) is not None and not os.path.exists(source)  # noqa: PTH110


@contextmanager
def object_of(source: str, arguments: Mapping[str, Any], seed: int) -> Iterator[Callable[[], Any]]:
    """A function that returns the object of that name, or its result if it can be called.

    A required argument with a usual name of a JAX random key gets the key of the seed. At the end
    of the block, the user's modules are removed and the states of random generators restored.

    Raises:
        CodeError: the code cannot be imported, has no such object, or needs other arguments.
    """
    match = _NAMED.fullmatch(source)
    assert match is not None
    module, name = match["module"], match["name"]
    before, path = dict(sys.modules), list(sys.path)
    restore = _generators()
    try:
        with redirect_stdout(sys.stderr):
            value = _member(_imported(module, source), name, source)
            yield _maker(value, arguments, source, seed)
    finally:
        restore()
        sys.path[:] = path
        for added in sys.modules.keys() - before.keys():
            if added == _MODULE or added.partition(".")[0] == module.partition(".")[0]:
                del sys.modules[added]


def _generators() -> Callable[[], None]:
    """A function that restores the present states of random generators."""
    python, array = random.getstate(), np.random.get_state()
    torch = sys.modules.get("torch")
    state = None if torch is None else torch.random.get_rng_state()

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(array)
        if torch is not None:
            torch.random.set_rng_state(state)

    return restore


def _imported(module: str, source: str) -> ModuleType:
    if not module.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))
        with failing(source, f"cannot import {module}"):
            return importlib.import_module(module)
    file = Path(module)
    if not file.is_file():
        remedy = nearest_file(module, (".py",))
        raise CodeError(f"{printable(module)}: there is no such file", remedy)
    sys.path.insert(0, str(file.resolve().parent))
    spec = importlib.util.spec_from_file_location(_MODULE, file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = loaded
    with failing(source, "this file cannot be run"):
        spec.loader.exec_module(loaded)
    return loaded


def _member(module: ModuleType, name: str, source: str) -> Any:
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            known = [each for each in vars(value) if not each.startswith("_")]
            remedy = did_you_mean(part, known)
            raise CodeError(f"{printable(source)}: there is no {quoted(part)}", remedy)
        value = getattr(value, part)
    return value


_KEYS = ("key", "rng", "prng_key", "rngs")
"""Usual names of the random key in functions that initialize with JAX."""


def _maker(value: Any, arguments: Mapping[str, Any], source: str, seed: int) -> Callable[[], Any]:
    # Compiled and decorated functions have __wrapped__; a module is not called.
    is_function = inspect.isroutine(value) or isinstance(value, partial)
    if not (is_function or inspect.isclass(value) or hasattr(value, "__wrapped__")):
        if arguments:
            raise CodeError(f"{printable(source)} is not a function, and takes no arguments")
        return lambda: value
    keys: list[str] = []
    try:
        signature = _signature(value)
        needed = [
            each.name
            for each in signature.parameters.values()
            if each.default is each.empty and each.kind in (1, 3) and each.name not in arguments
        ]
        keys = [each for each in needed if each in _KEYS and "jax" in sys.modules]
        signature.bind(**arguments, **dict.fromkeys(keys))
    except TypeError as error:
        needed = [f"`{each}`" for each in needed if each not in keys]
        remedy = "pass them with --call '{\"name\": value}'"
        message = f"needs {listed(needed, 'and')}" if needed else f"cannot be called: {error}"
        raise CodeError(f"{printable(source)} {message}", remedy) from None
    except ValueError:
        pass  # a class in C has no signature

    def make() -> Any:
        with failing(source, "it failed"):
            return value(**arguments, **{name: _random_key(name, seed) for name in keys})

    return make


def _signature(value: Any) -> inspect.Signature:
    """The signature of a function or class, even if the metaclass of the class hides it."""
    signature = inspect.signature(value)
    if [each.kind for each in signature.parameters.values()] != [2, 4] or inspect.isroutine(value):
        return signature
    own = list(inspect.signature(value.__init__).parameters.values())
    return signature.replace(parameters=own[1:])


def _random_key(name: str, seed: int) -> Any:
    nnx = sys.modules.get("flax.nnx")
    return nnx.Rngs(seed) if nnx and name == "rngs" else sys.modules["jax"].random.key(seed)


@contextmanager
def failing(source: str, what: str) -> Iterator[None]:
    """Report an exception of a user's code as an error at the line of their file."""
    try:
        yield
    except CodeError:
        raise
    except BaseException as error:
        reraise_interrupt(error)
        file = source.rpartition(":")[0]
        frames = traceback.extract_tb(error.__traceback__)
        own = [each for each in frames if Path(each.filename).name == Path(file).name]
        line = error.lineno if isinstance(error, SyntaxError) else own[-1].lineno if own else None
        place = f"{file}:{line}" if line else source
        text = " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())
        text = text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
        raise CodeError(f"{printable(place)}: {what}: {printable(text)}", _advice(error)) from error


def _advice(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f"install {error.name.partition('.')[0]} beside initcli, or run "
            "`python -m initcli` in the environment that has it"
        )
    return ""
