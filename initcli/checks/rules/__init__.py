"""The checks, one in each file. To add one, add its file."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from initcli.checks.base import Check
from initcli.registry import known


@cache
def known_checks() -> dict[str, type[Check]]:
    """Every check by its code, in the order of the codes."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        import_module(module.name)
    return dict(sorted(known(Check).items()))
