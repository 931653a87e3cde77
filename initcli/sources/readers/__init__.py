"""The readers, one file each. Adding a file here registers its reader."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from initcli.sources.reader import Reader


@cache
def known_readers() -> tuple[Reader, ...]:
    """Every reader, in the order of their files."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        import_module(module.name)
    return tuple(cls() for cls in Reader.__subclasses__())
