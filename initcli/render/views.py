"""The representations of results: the function named by a result's ``view`` returns its View.

Commands print the same; the further arguments of these functions are from their options. ``spec``
is the name of the source on the command line, which begins each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from initcli.checkpoint import Subject
from initcli.reports.record import Rows, plain

if TYPE_CHECKING:  # each view imports only its own modules
    from rich.console import Console, ConsoleOptions, RenderableType

    from initcli.checks import Report
    from initcli.render.page.fragment import Picture
    from initcli.render.page.shapes import Panel
    from initcli.reports.diff import Change, Diff
    from initcli.reports.identify import Found, Identification
    from initcli.reports.tensors import Summary, TensorSummary
    from initcli.signal.comparison import Comparison
    from initcli.signal.figures import Signal
    from initcli.signal.width_sweep import WidthSweep

Table = Callable[[int, bool], "RenderableType"]
"""The table for a width in characters, in ASCII only if the flag is set."""


class View(NamedTuple):
    """The representations of a result.

    ``pictures`` are columns of a notebook's table by heading; ``bars`` and ``line`` are the legends
    of their bars and lines. ``panels`` are shown above the table, ``notes`` below.
    """

    table: Table
    record: Callable[[], msgspec.Struct]
    rows: Callable[[], Rows]
    pictures: Callable[[int], Mapping[str, Sequence[Picture | None]]] = lambda limit: {}
    panels: Callable[[], Sequence[Panel]] = list
    bars: str = ""
    line: str = ""
    notes: Sequence[str] = ()

    def fitted(self) -> Fitted:
        """The table, in the width of the console that prints it."""
        return Fitted(self.table)

    def to_dict(self) -> dict[str, Any]:
        """The record as built-in values."""
        return dict(plain(self.record()))

    def html(self, limit: int) -> str:
        """A fragment of HTML with at most ``limit`` rows."""
        from initcli.render.page.fragment import fragment

        return fragment(
            self.rows(),
            self.pictures(limit),
            panels=self.panels(),
            bars=self.bars,
            line=self.line,
            notes=self.notes,
            limit=limit,
        )


class Fitted(NamedTuple):
    """A table that Rich prints in the available width."""

    table: Table

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        yield self.table(options.max_width, options.ascii_only)


def model(result: Subject) -> View:
    """A model: its tensors, with nothing drawn."""
    from initcli.reports.tensors import theory

    return summary(theory(result))


def summary(result: Summary) -> View:
    """The tensors of a model."""
    from initcli.render.outline import outline
    from initcli.render.table import summary_table
    from initcli.reports.identify import matched
    from initcli.reports.summary import TABLE_COLUMNS, SummaryReport, summary_rows
    from initcli.reports.tensors import is_stored

    subject, drawn = result.model, any(each.measured for each in result)

    def rows() -> Rows:
        found = summary_rows(subject.document.file, subject, result)
        expected = tuple(
            each.expected if not drawn and each.expected else each.name for each in TABLE_COLUMNS
        )
        shown = ("path", "shape", "size", "initializer", "distribution", *expected, "fit_p_value")
        return found._replace(shown=shown)

    def table(width: int, ascii_only: bool) -> RenderableType:
        paths = {each.parameter.path for each in result}
        is_whole = len(paths) == len(subject.parameters)
        rows = outline(subject.layers, only=None if is_whole else paths)
        return summary_table(subject, result, width=width, ascii_only=ascii_only, rows=rows)

    return View(
        table,
        lambda: SummaryReport.of(subject, matched(subject, result) if drawn else result),
        rows,
        lambda limit: {"histogram": [_histogram(each) for each in result[:limit]]},
        bars=("stored" if is_stored(subject) else "drawn") if drawn else "",
        line="distribution" if any(each.distribution for each in result) else "",
        notes=subject.notes,
    )


def signal(
    result: Signal,
    shown: Signal | None = None,
    *,
    depth: int | None = None,
    max_rows: int | None = None,
    spec: str = "",
) -> View:
    """A signal through a model; ``shown`` has the layers and tensors to show, by default all."""
    from initcli.render.page.data import signal_page
    from initcli.render.page.shapes import panels
    from initcli.render.signal_table import signal_table
    from initcli.reports.signal import SignalReport, signal_rows

    return View(
        lambda width, ascii_only: signal_table(
            result,
            width=width,
            ascii_only=ascii_only,
            shown=shown,
            depth=depth,
            max_rows=max_rows,
        ),
        lambda: SignalReport.of(result, shown),
        lambda: signal_rows(spec or result.model.document.file, result, shown),
        panels=lambda: panels(signal_page(result)["signal"]["layers"]),
        bars="measured" if result.draws else "",
        line="predicted",
        notes=result.notes,
    )


def compare(result: Comparison) -> View:
    """Several signals."""
    from initcli.render.page.data import signal_page
    from initcli.render.page.fragment import curve
    from initcli.render.page.shapes import panels
    from initcli.render.signal_table import comparison_table
    from initcli.reports.compare import CompareReport, compare_rows

    def curves(limit: int) -> list[Picture | None]:
        pages = (signal_page(each.signal)["signal"]["layers"] for each in result[:limit])
        return [curve(panels(layers)[0]) for layers in pages]

    return View(
        lambda width, ascii_only: comparison_table(
            result.entries, width=width, ascii_only=ascii_only
        ),
        lambda: CompareReport.of(result.entries),
        lambda: compare_rows(result.entries),
        lambda limit: {"std through the depth": curves(limit)},
        notes=tuple(dict.fromkeys(note for each in result for note in each.signal.notes)),
    )


def width(*sweeps: WidthSweep, max_rows: int | None = None) -> View:
    """Models at several widths."""
    from initcli.render.width_table import width_tables
    from initcli.reports.width import WidthReport, width_rows

    return View(
        lambda width, ascii_only: width_tables(
            sweeps, width=width, ascii_only=ascii_only, max_rows=max_rows
        ),
        lambda: WidthReport.of(sweeps),
        lambda: width_rows(sweeps),
        notes=[note for each in sweeps for note in (*each.notes, each.width.text)],
    )


def check(result: Report) -> View:
    """The findings of the checks."""
    from initcli.render.findings import findings_page, total
    from initcli.reports.check import CheckReport, check_rows

    return View(
        lambda *_: findings_page([result]),
        lambda: CheckReport.of([result]),
        lambda: check_rows([result], total([result], 0))._replace(title=result.model.name),
        notes=result.notes,
    )


def identify(result: Identification) -> View:
    """The initializers that stored values look like."""
    return identified(result.model, result)


def identified(subject: Subject, found: Iterable[Found], *, spec: str = "") -> View:
    """The initializers that stored values look like, once they are found."""
    from initcli.render.identify import identify_table
    from initcli.reports.identify import IdentifyReport, identify_rows

    return View(
        lambda width, ascii_only: identify_table(
            subject, found, width=width, ascii_only=ascii_only
        ),
        lambda: IdentifyReport.of(found),
        lambda: identify_rows(spec or subject.document.file, subject, found),
        notes=subject.notes,
    )


def diff(result: Diff) -> View:
    """The changes between two sources."""

    def pictures(limit: int) -> dict[str, list[Picture | None]]:
        shown = result[:limit]
        sides = {"A": [each.a for each in shown], "B": [each.b for each in shown]}
        return {
            name: [_histogram(each) if each else None for each in side]
            for name, side in sides.items()
        }

    def rows() -> Rows:
        return view.rows()._replace(facts=result.totals.text)

    view = compared(result.a, result.b, result)
    return view._replace(rows=rows, pictures=pictures)


def compared(a: Subject, b: Subject, changes: Iterable[Change], *, fold: bool = True) -> View:
    """The changes between two sources, once they are found."""
    from initcli.render.diff import diff_table
    from initcli.reports.diff import DiffReport, diff_rows

    return View(
        lambda width, ascii_only: diff_table(
            a, b, changes, width=width, ascii_only=ascii_only, fold=fold
        ),
        lambda: DiffReport.of(a, b, changes),
        lambda: diff_rows(a, b, changes),
    )


def _histogram(tensor: TensorSummary) -> Picture | None:
    from initcli.render.page.fragment import histogram

    return histogram(tensor)
