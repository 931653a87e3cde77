"""The differences between two sources, as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from initcli.checkpoint import Subject
from initcli.errors import printable
from initcli.render.blocks import ASCII, BLOCKS, sparkline
from initcli.render.columns import Column, in_columns
from initcli.render.heading import model_heading, separator
from initcli.reports.diff import Change, DiffTotals
from initcli.reports.tensors import TensorSummary
from initcli.types import shape_text

_BARS = 8
"""Number of characters of a histogram."""
_MIN_FOLDED = 2
"""Minimum number of consecutive unchanged tensors to fold into one line."""

_MAX_NAMES = 3
"""Maximum number of tensors that a note names."""


class _Line(NamedTuple):
    """The cells of a line."""

    tensor: str
    change: str
    cosine: str = ""
    largest: str = ""
    a_std: str = ""
    b_std: str = ""
    a_bars: str = ""
    b_bars: str = ""


def diff_table(
    a: Subject,
    b: Subject,
    changes: Iterable[Change],
    *,
    width: int,
    ascii_only: bool = False,
    fold: bool = True,
) -> RenderableType:
    """A line for each tensor: its relative change, and both standard deviations and histograms.

    ``fold`` makes consecutive unchanged tensors one line.
    """
    bare: list[Change] = []
    notes: defaultdict[str, list[str]] = defaultdict(list)
    ramp = ASCII if ascii_only else BLOCKS

    def measured() -> Iterator[_Line]:
        # Measurements of very many tensors cannot be held.
        for change in changes:
            bare.append(change.bare)
            for note in _notes(change):
                notes[note].append(change.path)
            yield _line(change, ramp)

    lines = list(_folded(measured()) if fold else measured())
    totals = DiffTotals.of(bare)
    title = [
        Text.assemble((f"{letter}  ", "dim"), model_heading(each, ascii_only))
        for letter, each in (("A", a), ("B", b))
    ]
    if not lines:
        return Group(*title, Text("There are no tensors."))
    heads = {
        "change": "change",
        "cosine": "cosine",
        "largest": "largest",
        "a_std": "std A",
        "b_std": "std B",
        "a_bars": "A",
        "b_bars": "B",
    }
    table = in_columns(
        [Column("tensor", attrgetter("tensor"))],
        [Column(heading, attrgetter(name)) for name, heading in heads.items()],
        lines,
        width,
    )
    below = [
        Text.assemble((f"{printable(note)}: ", "dim"), printable(_some(paths)))
        for note, paths in notes.items()
    ]
    end = totals.text
    if totals.changed:
        end += f"{separator(ascii_only)}relative change of all pairs {_figure(totals.relative)}"
    return Group(*title, Text(""), table, Text(""), *below, Text(end, "bold"))


def _folded(lines: Iterable[_Line]) -> Iterator[_Line]:
    for change, group in groupby(lines, attrgetter("change")):
        members = list(group)
        if change == "unchanged" and len(members) >= _MIN_FOLDED:
            first, last = members[0].tensor, members[-1].tensor
            yield _Line(f"{first} … {last} ({len(members):,})", change)
        else:
            yield from members


def _line(change: Change, ramp: str) -> _Line:
    difference = change.difference
    paths = dict.fromkeys(each.parameter.path for each in (change.a, change.b) if each)
    is_changed = change.kind == "changed" and difference is not None
    a_bars, b_bars = _bars(change, ramp)
    return _Line(
        tensor=printable(" = ".join(paths)),
        change=_figure(difference.relative) if is_changed and difference else change.kind,
        cosine=_cosine(difference.cosine) if is_changed and difference else "",
        largest=_figure(difference.largest) if is_changed and difference else "",
        a_std=_std(change.a),
        b_std=_std(change.b),
        a_bars=a_bars,
        b_bars=b_bars,
    )


def _figure(value: float) -> str:
    return "" if value != value else "∞" if value == float("inf") else f"{value:.3g}"


def _cosine(value: float) -> str:
    return "" if value != value else f"{value:.4f}"


def _std(tensor: TensorSummary | None) -> str:
    seen = tensor and tensor.measured
    return _figure(seen.std) if seen and seen.count else ""


def _bars(change: Change, ramp: str) -> tuple[str, str]:
    """Both histograms, over the same range unless one of them is that of a constant."""
    seen = [each and each.measured for each in (change.a, change.b)]
    ranges = [each.visible for each in seen if each and each.count and each.min < each.max]
    scale = None
    if len(ranges) == len(seen):
        scale = min(low for low, _ in ranges), max(high for _, high in ranges)
    a, b = (sparkline(each, _BARS, ramp, scale) if each else "" for each in seen)
    return a, b


def _notes(change: Change) -> Iterator[str]:
    """Notes on a change that its figures do not show."""
    a, b, difference = change.a, change.b, change.difference
    if a and b:
        one, two = a.parameter, b.parameter
        if one.shape != two.shape:
            yield f"{shape_text(one.shape)} → {shape_text(two.shape)}"
        if one.dtype != two.dtype:
            yield f"{one.dtype} → {two.dtype}"
        if a.distribution and b.distribution and a.distribution != b.distribution:
            yield f"{a.distribution.text} → {b.distribution.text}"
    if difference and 0 < difference.changed < change.size:
        yield f"{difference.changed:,} of {change.size:,} entries changed"
    if difference and difference.not_finite:
        yield f"{difference.not_finite:,} NaN or infinite"


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _MAX_NAMES:,} more" if len(paths) > _MAX_NAMES else ""
    return ", ".join(paths[:_MAX_NAMES]) + more
