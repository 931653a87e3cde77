"""Rich representations of results in Python shells, terminals and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar, overload

import msgspec

from initcli.errors import printable

_LINES = 12
"""Entries that a ``repr`` shows."""
_ROWS = 200
"""Rows that a notebook shows."""
Entry = TypeVar("Entry")


class Displayed(msgspec.Struct, frozen=True):
    """Base class of results.

    ``view`` names the function of :mod:`initcli.render.views` that gives the table, the record and
    the rows. That module is imported when a result is shown.
    """

    view: ClassVar[str]

    @property
    def headline(self) -> str:
        """The subject of the result, in one line."""
        raise NotImplementedError

    def lines(self) -> Iterable[tuple[str, ...]]:
        """The cells of each entry in the ``repr``."""
        raise NotImplementedError

    def __repr__(self) -> str:
        cells = [tuple(map(printable, row)) for row in islice(self.lines(), _LINES + 1)]
        shown = cells[:_LINES]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in shown
        ]
        title = printable(f"{type(self).__name__} {self.headline}")
        return "\n  ".join([title, *map(str.rstrip, lines), *["…"] * (len(cells) > _LINES)])

    def __rich__(self) -> Any:
        return self._view().fitted()

    def _repr_html_(self) -> str:
        return str(self._view().html(_ROWS))

    def to_dict(self) -> dict[str, Any]:
        """The JSON of the command as built-in values; numbers that are not finite are None."""
        return dict(self._view().to_dict())

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the command's CSV, for ``pandas.DataFrame`` and ``polars.DataFrame``."""
        return list(self._view().rows().records())

    def _view(self) -> Any:
        return getattr(import_module("initcli.render.views"), self.view)(self)


class DisplayedSequence(Displayed, Generic[Entry], frozen=True, kw_only=True):
    """A result with several entries, which is a sequence of them."""

    entries: tuple[Entry, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Entry, ...]: ...
    def __getitem__(self, index: int | slice) -> Entry | tuple[Entry, ...]:
        return self.entries[index]
