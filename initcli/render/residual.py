"""Residual schemes, one line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from initcli.signal.residual import ResidualScheme

_SHOWN = 3
"""Maximum number of streams with their own line."""
_ASCII = str.maketrans({"√": "sqrt", "µ": "u"})


def residual_lines(schemes: Iterable[ResidualScheme], ascii_only: bool) -> Iterator[str]:
    """Each stream with more than one branch, and how its branches are scaled."""
    texts = [f"residual scheme {each.text}" for each in schemes if each.branches > 1]
    for text in texts[:_SHOWN]:
        yield text.translate(_ASCII) if ascii_only else text
    if len(texts) > _SHOWN:
        yield f"{len(texts) - _SHOWN:,} more residual streams"
