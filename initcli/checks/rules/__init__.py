"""The checks, one a file. To add one is to add its file here: nothing else needs to be told."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from initcli.checks.base import Check


@cache
def known_checks() -> dict[str, type[Check]]:
    """Every check by its code, in the order of the codes."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        import_module(module.name)
    found = {cls.code: cls for cls in Check.__subclasses__()}
    return dict(sorted(found.items()))
