"""Shell completion of names of layers, initializers, activations, checks and tensors.

Each function returns candidates; Typer keeps those that start with the incomplete word. Slow
imports are made inside the functions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from initcli.model import Model


def names() -> list[str]:
    """All names of the catalog."""
    from initcli.reports.catalog import catalog

    return sorted({name for thing in catalog() for name in (thing.name, *thing.aliases)})


def _listed(module: str, function: str) -> Callable[[str], list[str]]:
    """Completion of the last item of a comma-separated list of registered names."""

    def complete(incomplete: str) -> list[str]:
        """The registered names that can continue the list."""
        return _continued(incomplete, getattr(import_module(f"initcli.{module}"), function)())

    return complete


def _continued(incomplete: str, known: Iterable[str]) -> list[str]:
    *before, _ = incomplete.split(",")
    head = "".join(f"{each}," for each in before)
    return [f"{head}{name}" for name in sorted(known) if name not in before]


initializers = _listed("initializers", "known_initializers")
activations = _listed("activations", "known_activations")
checks = _listed("checks", "known_checks")


def frameworks(incomplete: str) -> list[str]:
    """Names of frameworks, for the last item of a comma-separated list."""
    from typing import get_args

    from initcli.frameworks import Framework

    return _continued(incomplete, get_args(Framework))


def filters() -> list[str]:
    """Paths of the tensors of the spec on the command line."""
    model = _model()
    return [] if model is None else [parameter.path for parameter in model.parameters]


def settings(incomplete: str) -> list[str]:
    """Paths of the values of the spec on the command line, and names of their values."""
    from initcli.activations import known_activations
    from initcli.initializers import known_initializers
    from initcli.sources.overrides import paths

    path, equals, _ = incomplete.partition("=")
    if equals:
        key = path.rpartition(".")[2]
        known: Iterable[str] = ()
        if key.endswith("initializer"):
            known = known_initializers()
        elif key == "activation":
            known = known_activations()
        return [f"{path}={name}" for name in sorted(known)]
    model = _model()
    return [] if model is None else [f"{each}=" for each in paths(model.document.data)]


def _model() -> Model | None:
    """The model of the first spec on the command line; None without one."""
    from initcli.errors import InitcliError
    from initcli.sources.load import load

    # Typer does not parse a command line that ends in an option without its value.
    words = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    for word in words.split()[2:]:
        file = Path(word.strip("'\"")).expanduser()
        if file.is_file():
            try:
                return load(str(file))
            except InitcliError:
                return None
    return None
