"""The readers, one file each. Adding a file here registers its reader."""

from __future__ import annotations

from functools import cache

from initcli.registry import import_modules
from initcli.sources.reader import Reader


@cache
def known_readers() -> tuple[Reader, ...]:
    """Every reader, in the order of their files."""
    import_modules(__name__, __path__)
    return tuple(cls() for cls in Reader.__subclasses__())
