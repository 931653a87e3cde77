"""The summary as a table, for a terminal or a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from initcli.checkpoint import Subject
from initcli.errors import printable
from initcli.initializers.base import Undrawn
from initcli.matching.match import Identified
from initcli.measuring.measurement import Measurement
from initcli.model import BuiltLayer, Model
from initcli.render.blocks import ASCII, BLOCKS, distribution_sparkline, sparkline
from initcli.render.heading import separator
from initcli.render.outline import Fold, Row, outline, shown_parameters
from initcli.render.parametrization import parametrization_table
from initcli.render.residual import residual_lines
from initcli.render.wrapping import in_lines, wrapped
from initcli.reports.record import columns
from initcli.reports.summary import TABLE_COLUMNS, TensorRecord, statuses
from initcli.reports.tensors import TensorSummary, model_facts, totals
from initcli.signal.residual import residual_schemes
from initcli.types import Shapes, counted, shape_text, shapes_text

_NUMBER = 9
"""Width of a figure, in characters."""
_WIDE = 128
"""Minimum width at which a tensor's name and its figures share a line."""
_NARROW = 72
"""Width below which figures are not in columns."""
_MIN_LEFT = 16
"""Minimum width of a text at the left end if there is one at the right end."""
_MAX_LEFT = 80
"""Maximum width of the texts next to the figures; a third of the page if that is larger."""
_DRAWN = "drawn"
_BY_NAME = {column.name: column for column in columns(TensorRecord)}


def summary_table(
    model: Subject,
    tensors: Iterable[TensorSummary],
    *,
    width: int,
    ascii_only: bool = False,
    rows: Sequence[Row | Fold] | None = None,
) -> RenderableType:
    """Every layer with its type, output shape and number of weights, followed by its tensors.

    A constant tensor takes one line. Others have two rows of figures: those of the values, and
    those of the distribution. ``rows`` is the outline to show, by default that of all layers.
    """
    page = _Page(width, ascii_only)
    by_path = {tensor.parameter.path: tensor for tensor in tensors}
    table = page.of(model, outline(model.layers) if rows is None else rows, by_path)
    if isinstance(model, Model) and model.parametrization != "standard":
        parameters = (tensor.parameter for tensor in by_path.values())
        factors = parametrization_table(parameters, width=width)
        return table if factors is None else Group(table, factors)
    return table


class _Line(NamedTuple):
    """A line with texts at both ends; either may continue below.

    ``figures`` is whether the right end is that of the figures, not of the texts next to them.
    """

    left: Text
    right: Text = Text("")
    indent: int = 0
    gap: int = 0
    figures: bool = False

    @property
    def columns(self) -> int:
        """The width of the line, in characters."""
        return self.indent + self.left.cell_len + self.gap + self.right.cell_len


class _Page:
    """The layout for one width."""

    def __init__(self, width: int, ascii_only: bool) -> None:
        self.width = width
        self.wide = width >= _WIDE
        self.ascii_only = ascii_only
        self.picture = 24 if self.wide else 14
        self.dot = separator(ascii_only)
        self.wrong: Mapping[str, str] = {}
        self.unknown_shape = "?"
        # On wide pages the facts about layers are next to the figures, not above them.
        self.ends = width - self.figures if self.wide else width

    @property
    def figures(self) -> int:
        """Width of all figures and the picture."""
        return len(TABLE_COLUMNS) * (_NUMBER + 1) + 1 + self.picture

    def of(
        self,
        model: Subject,
        rows: Sequence[Row | Fold],
        tensors: Mapping[str, TensorSummary],
    ) -> Group:
        """The table, no wider than its content."""
        lines = list(self._lines(model, rows, tensors))
        if self.wide:
            needed = (
                line.columns - (self.figures if line.figures else 0)
                for line in lines
                if isinstance(line, _Line)
            )
            left = min(max(needed), max(_MAX_LEFT, self.width // 3))
            self.ends = min(self.ends, max(left, _WIDE - self.figures))
            self.width = self.ends + self.figures
        rule = Text(("-" if self.ascii_only else "─") * self.width, "dim")
        return Group(
            *(
                text
                for line in lines
                for text in (self._texts(line) if isinstance(line, _Line) else [rule])
            )
        )

    def _lines(
        self,
        model: Subject,
        rows: Sequence[Row | Fold],
        tensors: Mapping[str, TensorSummary],
    ) -> Iterator[_Line | None]:
        """All lines; None for a rule."""
        facts = list(model_facts(model))
        self.unknown_shape = "?" if isinstance(model, Model) else ""
        self.wrong = statuses(model)
        drawn = any(tensor.measured for tensor in tensors.values()) or not tensors
        if not drawn:
            facts[0] = "nothing drawn" if isinstance(model, Model) else "nothing measured"
        title, facts_text = Text(printable(model.name), "bold"), Text(self.dot.join(facts), "dim")
        yield _Line(title, facts_text, gap=2, figures=True)
        if self.width >= _NARROW:
            titles = [*(str(column.heading) for column in TABLE_COLUMNS)]
            titles.append("histogram" if drawn else "distribution")
            yield from self._figures(Text("tensor", "dim"), [Text(t, "dim") for t in titles], 0)
        yield None
        for row in rows:
            if isinstance(row, Fold):
                yield from self._fold(row)
                continue
            # A tensor whose path has one part is a row of its own.
            is_alone = not row.layer.type and row.layer.name == row.layer.parameters[0].path
            if not is_alone:
                yield from self._layer(row.layer)
            for parameter in row.parameters:
                name = parameter.path.removeprefix(f"{row.layer.name}{row.layer.separator}")
                yield from self._tensor(model, name, tensors[parameter.path], 0 if is_alone else 2)
        yield None
        yield from self._totals(model)
        for line in residual_lines(residual_schemes(model), self.ascii_only):
            yield _Line(Text(line))
        count = len(shown_parameters(rows))
        if hidden := len(model.parameters) - count:
            shown = f"{counted(count, 'tensor')} shown, {hidden:,} not"
            if any(isinstance(row, Fold) and row.repeats for row in rows):
                shown += "; --all shows all"
            yield _Line(Text(shown, "dim"))
        for note in model.notes:
            yield _Line(Text(f"note: {printable(note)}", "yellow"))

    def _ends(self, left: Text, *right: Text) -> Iterator[_Line]:
        """One line: the first cell at the left end, the others at the right end."""
        yield _Line(left, Text("  ").join(right), gap=2)

    def _figures(self, label: Text, cells: list[Text], indent: int = 3) -> Iterator[_Line]:
        """A label and, at the right end, figures and a picture."""
        *figures, picture = cells
        if self.width < _NARROW:
            headings = (Text(f"{column.heading} ", "dim") for column in TABLE_COLUMNS)
            named = [
                heading + cell for heading, cell in zip(headings, figures, strict=True) if cell
            ]
            for line in in_lines([label, *named, picture], self.width - indent):
                yield _Line(line, indent=indent)
            return
        right = Text("")
        for figure in figures:
            right.append(" " * (_NUMBER + 1 - figure.cell_len)).append_text(figure)
        right.append(" ").append_text(picture).append(" " * (self.picture - picture.cell_len))
        yield _Line(label, right, indent, figures=True)

    def _texts(self, line: _Line) -> Iterator[Text]:
        """The lines of text that a line takes."""
        left, right, indent, gap, figures = line
        width = self.width
        if right and not figures:
            width = min(max(self.ends, line.columns), width)
        room = width - indent - right.cell_len - gap
        if room < min(left.cell_len, _MIN_LEFT):
            yield from self._wrapped(left, indent, self.width - indent)
            for text in wrapped(right, width):
                yield self._whole(text, max(width - text.cell_len, 0))
            return
        first, *others = self._wrapped(left, indent, room)
        first.append(" " * (width - first.cell_len - right.cell_len) * bool(right))
        first.append_text(right).rstrip()
        yield first
        yield from others

    def _wrapped(self, text: Text, indent: int, room: int) -> Iterator[Text]:
        """The text in indented lines. Rich's own tables take ten times as long."""
        for line in wrapped(text, room):
            yield self._whole(line, indent)

    @staticmethod
    def _whole(line: Text, indent: int) -> Text:
        """An indented line that Rich does not wrap."""
        line.rstrip()
        line.pad_left(indent)
        line.no_wrap, line.overflow, line.end = True, "ignore", "\n"
        return line

    def _layer(self, layer: BuiltLayer) -> Iterator[_Line]:
        name = Text(printable(layer.name), "bold")
        if layer.type:
            name.append(self.dot, "not bold").append(printable(layer.type), "not bold cyan")
        if layer.calls > 1:
            name.append(f"{self.dot}called {layer.calls} times", "dim")
        yield from self._ends(name, *self._facts(layer.output_shapes, layer.size))

    def _fold(self, fold: Fold) -> Iterator[_Line]:
        ellipsis = " ... " if self.ascii_only else " … "
        title = fold.name if fold.name == fold.last else f"{fold.name}{ellipsis}{fold.last}"
        name = Text(printable(title), "bold")
        name.append(f"{self.dot}{counted(fold.rows, 'row')} folded", "dim")
        yield from self._ends(name, *self._facts(fold.output_shapes, fold.size))
        held = f"{counted(fold.layers, 'layer')} and {counted(fold.tensors, 'tensor')}"
        if fold.repeats:
            held = f"{counted(fold.count, 'more block')} of {held}, as above"
        elif fold.count > 1:
            held = f"{fold.count} blocks of {held}"
        yield _Line(Text(held, "dim"), indent=2)

    def _facts(self, shapes: Shapes, size: int) -> tuple[Text, Text]:
        shown = Text(shapes_text(shapes) if shapes else self.unknown_shape)
        return shown, Text(f"{size:>12,}", "bold" if size else "dim")

    def _tensor(
        self, model: Subject, name: str, tensor: TensorSummary, indent: int
    ) -> Iterator[_Line]:
        parameter, distribution, seen = tensor.parameter, tensor.distribution, tensor.measured
        title = Text(f"{printable(name)} {shape_text(parameter.shape)}")
        remarks = [each for each in self._remarks(model, tensor) if each]
        title.append("  " * bool(remarks)).append_text(Text(self.dot, "dim").join(remarks))
        record = TensorRecord.of(tensor, "")
        figures = [self._figure(column.value(record)) for column in TABLE_COLUMNS]
        expected = [
            self._figure(_BY_NAME[column.expected].value(record) if column.expected else None)
            for column in TABLE_COLUMNS
        ]
        text = "distribution not known" if distribution is None else self._plain(distribution.text)
        if isinstance(parameter.initializer, Undrawn):
            text = ""
            if seen is not None and seen.min == seen.max:
                title.append(f"  all {seen.min:.4g}", "dim")
                yield _Line(title, indent=indent)
                return
        label = text
        drawn = _DRAWN if parameter.stored is None else parameter.stored.origin
        if seen is not None and seen.entries < parameter.size:
            label = f"first {seen.entries:,}"
        elif seen is not None:
            label = drawn
        agrees = all(not e or f in ("", e) for f, e in zip(figures, expected, strict=True))
        if distribution is not None and distribution.std == 0 and agrees:
            title.append(f"  {text}", "dim")
            if label not in (text, drawn):
                title.append(f"{self.dot}{label}", "dim")
            yield _Line(title, indent=indent)
            return
        if distribution is None and seen is not None:
            label = text if label == drawn else f"{text}{self.dot}{label}"
        cells = [Text(f or e) for f, e in zip(figures, expected, strict=True)]
        cells.append(Text(self._picture(tensor), "blue"))
        if not any(cells):
            title.append(f"  {text}" if text else "", "dim")
            yield _Line(title, indent=indent)
            return
        if self.wide:
            if label:
                title.append(f"  {label}", "dim")
            yield from self._figures(title, cells, indent=indent)
        else:
            yield _Line(title, indent=indent)
            yield from self._figures(Text(label, "dim"), cells)
        if seen is not None and distribution is not None:
            yield from self._figures(
                Text(text, "dim"), [*(Text(e, "dim") for e in expected), self._fit(tensor)]
            )

    def _remarks(self, model: Subject, tensor: TensorSummary) -> Iterator[Text]:
        """Remarks on a tensor in addition to its figures; some texts may be empty."""
        parameter, seen = tensor.parameter, tensor.measured
        yield Text(printable(str(parameter.initializer)), "green")
        if parameter.dtype != model.dtype:
            yield Text(parameter.dtype, "dim")
        if seen is not None:
            for count, what in ((seen.nans, "NaN"), (seen.infs, "infinite")):
                yield Text(f"{count:,} {what}" if count else "", "bold red")
        yield Text(self.wrong.get(parameter.path, ""), "bold red")
        if not parameter.trainable:
            yield Text("not trained", "dim")
        is_declared = tensor.fit is not None and not tensor.fit.is_poor
        if tensor.match is not None and seen is not None and not is_declared:
            yield self._match(tensor.match, seen)

    def _match(self, match: Identified, seen: Measurement) -> Text:
        """The initializer that values look like, or why there is none; empty for constant values
        and values that are not finite."""
        if not seen.count or seen.min == seen.max or seen.nans or seen.infs:
            return Text("")
        if not match.matches:
            return Text(match.kind, "dim")
        first = match.matches[0]
        framework = f" ({first.framework})" if first.framework else ""
        return Text.assemble(
            "looks like ", (f"{self._plain(printable(first.rule))}{framework}", "green")
        )

    def _picture(self, tensor: TensorSummary) -> str:
        ramp = ASCII if self.ascii_only else BLOCKS
        if tensor.measured is not None:
            return sparkline(tensor.measured, self.picture, ramp)
        if tensor.distribution is not None:
            return distribution_sparkline(tensor.distribution, self.picture, ramp)
        return ""

    def _fit(self, tensor: TensorSummary) -> Text:
        if tensor.fit is None:
            return Text("")
        p = tensor.fit.p_value
        return Text(f"fit p={p:.2g}", "bold red" if tensor.fit.is_poor else "dim")

    def _totals(self, model: Subject) -> Iterator[_Line]:
        sums = totals(model)
        weights = Text.assemble(
            "Total ", (f"{sums.params:,}", "bold"), f" weights, {size_text(sums.bytes)}"
        )
        kinds = Text("")
        if sums.trainable is not None:
            kinds.append(f"trainable {sums.trainable:,}{self.dot}")
            kinds.append(f"non-trainable {sums.non_trainable:,}")
        yield _Line(weights, kinds, gap=2, figures=True)

    def _figure(self, value: Any) -> str:
        """A value with four digits, or as many as fit; empty for None."""
        if value is None or isinstance(value, str):
            return value or ""
        if math.isnan(value):
            return ""
        if isinstance(value, float) and math.isinf(value):
            return self._plain("∞" if value > 0 else "-∞")
        if isinstance(value, int) and len(f"{value:,}") <= _NUMBER:
            return f"{value:,}"
        forms = (f"{value:.{digits}g}" for digits in (4, 3, 2))
        return next((form for form in forms if len(form) <= _NUMBER), f"{value:.1e}")

    def _plain(self, text: str) -> str:
        """The text, in ASCII if the terminal shows only that."""
        if not self.ascii_only:
            return text
        for sign, plain in (("²", "^2"), ("±", "+-"), ("σ", " std"), ("∞", "inf"), ("·", "*")):
            text = text.replace(sign, plain)
        return text


def size_text(count: int) -> str:
    """A size in bytes, in a suitable unit."""
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
