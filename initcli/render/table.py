"""The summary as a table for people, in a terminal or a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.text import Text

from initcli.errors import printable
from initcli.model import BuiltLayer, Model
from initcli.render.blocks import ASCII, BLOCKS, distribution_sparkline, sparkline
from initcli.render.outline import Fold, Row, outline
from initcli.reports.summary import TensorSummary, totals
from initcli.types import Shapes, shape_text, shapes_text

_NUMBER = 9
_WIDE = 116
"""Columns from which a tensor's name and its numbers share a line."""
_NARROW = 72
"""Columns below which numbers do not stand in columns."""
_LEAST = 16
"""Columns at least that a text at the left end has beside one at the right end."""
_DRAWN = "drawn"
_COLUMNS = ("mean", "std", "min", "max")


def summary_table(
    model: Model,
    tensors: Iterable[TensorSummary],
    *,
    width: int,
    ascii_only: bool = False,
    rows: Sequence[Row | Fold] | None = None,
) -> RenderableType:
    """Every layer with its type, output shape and weights, and under it its tensors.

    A tensor has its initializer, its distribution, and two rows of numbers: drawn above, expected
    below. ``rows`` are what an outline shows of the model, all of it by default.
    """
    page = _Page(width, ascii_only)
    by_path = {tensor.parameter.path: tensor for tensor in tensors}
    return Group(*page.lines(model, outline(model.layers) if rows is None else rows, by_path))


class _Page:
    """The layout for one width."""

    def __init__(self, width: int, ascii_only: bool) -> None:
        self.width = width
        self.wide = width >= _WIDE
        self.ascii_only = ascii_only
        self.picture = 24 if self.wide else 14
        self.dot = " - " if ascii_only else " · "
        self._console = Console(width=width, file=StringIO())

    def lines(
        self, model: Model, rows: Sequence[Row | Fold], tensors: Mapping[str, TensorSummary]
    ) -> Iterator[Text]:
        facts = [f"seed {model.seed}", model.dtype, f"{model.defaults} defaults"]
        drawn = any(tensor.measured for tensor in tensors.values()) or not tensors
        if not drawn:
            facts = ["nothing drawn", *facts[1:]]
        yield from self._ends(
            Text(printable(model.name), "bold"), Text(self.dot.join(facts), "dim")
        )
        if self.width >= _NARROW:
            header = [Text(word, "dim") for word in (*_COLUMNS, "distribution")]
            label = "tensor: drawn, distribution" if drawn else "tensor: distribution"
            yield from self._numbers(Text(label, "dim"), header, indent=0)
        rule = Text(("-" if self.ascii_only else "─") * self.width, "dim")
        yield rule
        for row in rows:
            if isinstance(row, Fold):
                yield from self._fold(row)
                continue
            yield from self._layer(row.layer)
            for parameter in row.parameters:
                name = parameter.path.removeprefix(f"{row.layer.name}/")
                yield from self._tensor(model, name, tensors[parameter.path])
        yield rule
        yield from self._totals(model)
        if hidden := len(model.parameters) - len(tensors):
            shown = f"{_counted(len(tensors), 'tensor')} shown, {hidden:,} not"
            yield from self._folded(Text(shown, "dim"))
        for note in model.notes:
            yield from self._folded(Text(f"note: {printable(note)}", "yellow"))

    def _ends(self, left: Text, *right: Text) -> Iterator[Text]:
        """Cells of one line, the first at the left end and the others at the right end."""
        yield from self._line(left, Text("  ").join(right), gap=2)

    def _numbers(self, label: Text, cells: list[Text], indent: int = 3) -> Iterator[Text]:
        """A label and, at the right end, four numbers and a picture."""
        if self.width < _NARROW:
            named = [Text(f"{n} ", "dim") + c for n, c in zip(_COLUMNS, cells, strict=False)]
            line = Text("  ").join([label, *named, *cells[len(_COLUMNS) :]])
            yield from self._folded(line, indent)
            return
        *numbers, picture = cells
        right = Text("")
        for number in numbers:
            right.append(" " * (_NUMBER + 1 - number.cell_len)).append_text(number)
        right.append(" ").append_text(picture).append(" " * (self.picture - picture.cell_len))
        yield from self._line(label, right, indent)

    def _line(self, left: Text, right: Text, indent: int = 0, gap: int = 0) -> Iterator[Text]:
        """Text at both ends of a line; the left one goes on below where it is too long."""
        room = self.width - indent - right.cell_len - gap
        if room < min(left.cell_len, _LEAST):
            yield from self._folded(left, indent)
            for line in self._folded(right):
                line.pad_left(max(self.width - line.cell_len, 0))
                yield line
            return
        first, *others = self._folded(left, indent, room)
        first.append(" " * (self.width - first.cell_len - right.cell_len)).append_text(right)
        first.rstrip()
        yield first
        yield from others

    def _folded(self, text: Text, indent: int = 0, room: int | None = None) -> Iterator[Text]:
        """The text in lines of at most ``room`` columns, the width without the indent by default.

        Rich's own tables do this and more, and take ten times as long.
        """
        room = self.width - indent if room is None else room
        if text.cell_len <= room:
            lines: Iterable[Text] = [text]
        else:
            lines = text.wrap(self._console, room, overflow="fold")
        for line in lines:
            line.rstrip()
            line.pad_left(indent)
            line.no_wrap, line.overflow, line.end = True, "ignore", "\n"
            yield line

    def _layer(self, layer: BuiltLayer) -> Iterator[Text]:
        name = Text.assemble((layer.name, "bold"), self.dot, (printable(layer.type), "cyan"))
        if layer.calls > 1:
            name.append(f"{self.dot}called {layer.calls} times", "dim")
        yield from self._ends(name, *self._facts(layer.output_shapes, layer.size))

    def _fold(self, fold: Fold) -> Iterator[Text]:
        """One row for many, whose title says for how many."""
        several = fold.count > 1
        ellipsis = " ... " if self.ascii_only else " … "
        title = f"{fold.first}{ellipsis}{fold.last}" if several else fold.first
        rows = Text(f"{self.dot}{_counted(fold.rows, 'row')} folded", "dim")
        name = Text(title, "bold") + rows
        yield from self._ends(name, *self._facts(fold.output_shapes, fold.size))
        times = f"{fold.count} blocks of " if several else ""
        held = f"{times}{_counted(fold.layers, 'layer')} and {_counted(fold.tensors, 'tensor')}"
        yield from self._folded(Text(held, "dim"), 2)

    def _facts(self, shapes: Shapes, size: int) -> tuple[Text, Text]:
        shown = Text(shapes_text(shapes) if shapes else "?")
        return shown, Text(f"{size:>12,}", "bold" if size else "dim")

    def _tensor(self, model: Model, name: str, tensor: TensorSummary) -> Iterator[Text]:
        parameter = tensor.parameter
        title = Text(f"{name} {shape_text(parameter.shape)}  ")
        title.append(printable(str(parameter.initializer)), "green")
        if parameter.dtype != model.dtype:
            title.append(f"{self.dot}{parameter.dtype}", "dim")
        if not parameter.trainable:
            title.append(f"{self.dot}not trained", "dim")
        (label, cells), *expected = self._rows(tensor)
        if self.wide:
            if label != _DRAWN:
                title.append(f"  {label}", "dim")
            yield from self._numbers(title, cells, indent=2)
        else:
            yield from self._folded(title, 2)
            yield from self._numbers(Text(label, "dim"), cells)
        for label, cells in expected:
            yield from self._numbers(Text(label, "dim"), cells)

    def _rows(self, tensor: TensorSummary) -> Iterator[tuple[str, list[Text]]]:
        """What was drawn and what the distribution expects, or one row for both where they are
        the same."""
        distribution, seen = tensor.distribution, tensor.measured
        text = "distribution not known" if distribution is None else self._plain(distribution.text)
        expected = (
            []
            if distribution is None
            else [distribution.mean, distribution.std, *distribution.support]
        )
        numbers = [self._plain(_number(value)) for value in expected] or [""] * len(_COLUMNS)
        ramp = ASCII if self.ascii_only else BLOCKS
        if seen is None:
            picture = (
                ""
                if distribution is None
                else distribution_sparkline(distribution, self.picture, ramp)
            )
            yield text, [*map(Text, numbers), Text(picture, "blue")]
            return
        drawn = [_number(n) for n in (seen.mean, seen.std, seen.min, seen.max)]
        cells = [*map(Text, drawn), Text(sparkline(seen.shown, self.picture, ramp), "blue")]
        some = seen.count < tensor.parameter.size
        label = f"first {seen.count:,}" if some else _DRAWN
        if drawn == numbers or distribution is None:
            yield f"{text}{self.dot}{label}" if some else text, cells
        else:
            yield label, cells
            yield text, [*(Text(n, "dim") for n in numbers), self._fit(tensor)]

    def _fit(self, tensor: TensorSummary) -> Text:
        if tensor.fit is None:
            return Text("")
        p = tensor.fit.p_value
        return Text(f"fit p={p:.2g}", "bold red" if tensor.fit.is_poor else "dim")

    def _totals(self, model: Model) -> Iterator[Text]:
        sums = totals(model)
        weights = Text.assemble(
            "Total ", (f"{sums.params:,}", "bold"), f" weights, {size_text(sums.bytes)}"
        )
        kinds = Text(f"trainable {sums.trainable:,}{self.dot}non-trainable {sums.non_trainable:,}")
        yield from self._ends(weights, kinds)

    def _plain(self, text: str) -> str:
        """The text in ASCII where nothing else can be shown."""
        if not self.ascii_only:
            return text
        for sign, plain in (("²", "^2"), ("±", "+-"), ("σ", " std"), ("∞", "inf"), ("·", "*")):
            text = text.replace(sign, plain)
        return text


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _number(value: float) -> str:
    """Four digits, or as many of them as there is room for."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    forms = (f"{value:.{digits}g}" for digits in (4, 3, 2))
    return next((form for form in forms if len(form) <= _NUMBER), f"{value:.1e}")


def size_text(count: int) -> str:
    """Bytes with a unit that keeps the number short."""
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
