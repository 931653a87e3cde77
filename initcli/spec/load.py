"""From a path to a model."""

from __future__ import annotations

from collections.abc import Iterable

from initcli.defaults import Framework
from initcli.initializers.custom import Custom, load_functions
from initcli.spec.model import Model, build
from initcli.spec.read import parse as parse_text
from initcli.spec.read import read


def load(
    source: str,
    *,
    seed: int | None = None,
    defaults: Framework | None = None,
    custom: Iterable[str] = (),
) -> Model:
    """Read a spec and resolve it into a model.

    Args:
        source: the path of a YAML or JSON file or of a .keras archive, or ``-`` for standard
            input.
        seed: wins over the spec's own.
        defaults: whose default initializers; wins over the spec's own.
        custom: Python files whose public functions are initializers; they are run.

    Raises:
        InvalidSpec: the spec cannot be read, or is wrong; with all its problems.
        CustomFunctionError: a file of functions cannot be loaded.
    """
    functions: dict[str, Custom] = {}
    for file in custom:
        functions |= load_functions(file)
    return build(read(source), seed=seed, defaults=defaults, functions=functions)


def parse(
    text: str,
    *,
    seed: int | None = None,
    defaults: Framework | None = None,
    file: str = "<text>",
) -> Model:
    """The model of a spec's text; ``file`` is what errors call it.

    Raises:
        InvalidSpec: the text does not parse, or the spec is wrong; with all its problems.
    """
    return build(parse_text(text, file), seed=seed, defaults=defaults)
