"""Loading of models from files and texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from os import PathLike, fspath
from types import FunctionType
from typing import Any

import msgspec

from initcli.checkpoint import require_subject
from initcli.documents.document import Document
from initcli.errors import CodeError, CustomFunctionError, printable
from initcli.frameworks import Framework
from initcli.initializers.custom import Custom, load_functions
from initcli.model import Model
from initcli.sources.arguments import Arguments
from initcli.sources.building import build
from initcli.sources.code.load import load_code
from initcli.sources.code.objects import is_code
from initcli.sources.overrides import overridden
from initcli.sources.read import parse as parse_text
from initcli.sources.read import read
from initcli.types import texts


def load(
    source: str | PathLike[str],
    *,
    seed: int | None = None,
    defaults: Framework | None = None,
    custom: Iterable[str | PathLike[str]] = (),
    changes: Iterable[str] = (),
    call: Mapping[str, Any] | None = None,
) -> Model:
    """Read a spec and resolve it into a model.

    Args:
        source: path of a YAML or JSON file, of a .keras archive, or of a config.json of Hugging
            Face or its folder, ``-`` for standard input, or
            ``package.module:object`` or ``file.py:object`` for code of PyTorch, JAX or Keras, which
            is run.
        seed: seed of all weights; overrides the spec's own.
        defaults: framework whose default initializers apply; overrides the spec's own.
        custom: Python files whose public callables are initializers; they are run.
        call: keyword arguments of the function or class that ``source`` names.
        changes: values of the spec to change, each as ``PATH=VALUE``, such as
            ``layers.3.units=128``; see :mod:`initcli.sources.overrides`.

    Raises:
        InvalidSpec: the spec cannot be read or is invalid; with all its errors.
        BadOverride: a change cannot be parsed, or its path does not exist.
        CustomFunctionError: a file of functions cannot be loaded.
        CodeError: code fails, or gives no model.

    >>> import initcli
    >>> model = initcli.load("sample_configs/tour.yaml", changes=["layers.3.units=128"])
    >>> model.layers[3].output_shape
    (None, 128)
    """
    source = fspath(source)
    functions, settings = texts("custom", custom), texts("changes", changes)
    if is_code(source):
        if defaults is not None or functions or settings:
            message = f"{printable(source)} is code, which alone decides its initializers"
            raise CodeError(message, "leave out --defaults, --custom and --set")
        return load_code(source, call or {}, seed)
    if call is not None:
        raise CodeError(f"{printable(source)} is no code that could be called", "see --call")
    document = overridden(read(source), settings)
    return model_of(document, seed, defaults, custom_functions(functions))


def computable(model: Model) -> Model:
    """The model with the layers that compute its signal; those of a configuration are made anew.

    Raises:
        SignalError: no layer describes a part of what the configuration declares.
    """
    require_subject(model)
    if model.source != "huggingface" or model.network.layers:
        return model
    from initcli.sources.huggingface.model import computed  # not needed to read a spec

    return computed(model)


def model_of(
    document: Document,
    seed: int | None,
    defaults: Framework | None,
    functions: Mapping[str, Custom],
) -> Model:
    """The model of a document, see :func:`load`; ``functions`` are custom initializers by name."""
    if document.dialect == "huggingface":
        from initcli.sources.huggingface.model import described  # not needed to read a spec

        if defaults is not None or functions:
            message = f"{printable(document.file)}: the library alone decides the initializers"
            raise CodeError(message, "leave out --defaults and --custom")
        return described(document, seed)
    return build(document, seed=seed, defaults=defaults, functions=functions)


def custom_functions(files: Iterable[str | PathLike[str]]) -> dict[str, Custom]:
    """The public callables of Python files, as initializers by name; the files are run.

    Raises:
        CustomFunctionError: a file cannot be loaded, or a declared distribution is invalid.
    """
    functions: dict[str, Custom] = {}
    for file in texts("custom", files):
        for name, custom in load_functions(file).items():
            functions[name] = _with_distribution(custom)
    return functions


def _with_distribution(custom: Custom) -> Custom:
    """The function with the initializer that its attribute ``distribution`` names, if any.

    Of an object of a class, as Keras's VarianceScaling, the attribute may mean something else.
    """
    if not isinstance(custom.function, FunctionType | partial):
        return custom
    declared = getattr(custom.function, "distribution", None)
    if declared is None:
        return custom
    arguments = Arguments()
    initializer = arguments.initializer(declared, ())
    if initializer is None or arguments.errors:
        problem = arguments.errors[0] if arguments.errors else "unknown value"
        raise CustomFunctionError(
            f"{custom.place}: `{custom.name}.distribution` is not an initializer: {problem}"
        )
    return msgspec.structs.replace(custom, declared=initializer)


def parse(
    text: str, *, seed: int | None = None, defaults: Framework | None = None, file: str = "<text>"
) -> Model:
    """The model of a spec's text; ``file`` is its name in errors.

    Raises:
        InvalidSpec: the text does not parse or the spec is invalid; with all its errors.

    >>> import initcli
    >>> model = initcli.parse("{input_shape: [8], layers: [{type: Dense, units: 4}]}")
    >>> [(each.path, each.shape, each.distribution.text) for each in model.parameters]
    [('dense/kernel', (8, 4), 'U(-0.7071, 0.7071)'), ('dense/bias', (4,), 'constant 0')]
    >>> try:
    ...     initcli.parse("{input_shape: [8], layers: [{type: Dens, units: 4}]}")
    ... except initcli.InvalidSpec as error:
    ...     print(error)
    <text>:1:36: unknown layer 'Dens'
      1 | {input_shape: [8], layers: [{type: Dens, units: 4}]}
                                             ^
      = did you mean 'Dense'?
    """
    return model_of(parse_text(text, file), seed, defaults, {})
