"""The registry: every class derived from a base, by the names that users write for it.

To register a class is to define it in a file of its package, which :func:`import_modules` imports.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, TypeVar


class Named(Protocol):
    """A class that has names."""

    @classmethod
    def registered_names(cls) -> Iterable[str]:
        """The names that stand for the class, the preferred one first."""
        ...


def import_modules(package: str, path: Iterable[str]) -> None:
    """Import every module of a package, which registers their classes."""
    for module in iter_modules(path, f"{package}."):
        import_module(module.name)


Class = TypeVar("Class")
NamedClass = TypeVar("NamedClass", bound=Named)


def public_subclasses(base: type[Class]) -> list[type[Class]]:
    """Every class derived from ``base`` that users can name, in the order of definition.

    They cannot name a class with a leading underscore, nor one that sets ``registered = False``.
    """
    classes: list[type[Class]] = []
    for child in base.__subclasses__():
        if not child.__name__.startswith("_") and vars(child).get("registered", True):
            classes.append(child)
        classes += public_subclasses(child)
    return classes


@cache
def known(base: type[NamedClass]) -> dict[str, type[NamedClass]]:
    """Every public subclass of ``base``, by each of its names."""
    return {name: cls for cls in public_subclasses(base) for name in cls.registered_names()}
