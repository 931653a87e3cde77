"""The checks, one per file. Adding a file here registers its check."""

from __future__ import annotations

from functools import cache

from initcli.checks.base import Check
from initcli.registry import import_modules, known


@cache
def known_checks() -> dict[str, type[Check]]:
    """Every check by its code, in the order of the codes."""
    import_modules(__name__, __path__)
    return dict(sorted(known(Check).items()))
