"""Signals as tables: one with growth and decay as bars, or several ranked side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initcli.errors import printable
from initcli.signal.figures import LayerSignal, Signal, Spread, TensorSignal
from initcli.signal.judgment import gradient_of, std_of
from initcli.signal.verdict import Verdict, verdict

if TYPE_CHECKING:
    from initcli.signal.comparison import Compared

_WIDE = 116
"""Width from which every figure has a column."""
_NARROW = 72
"""Width below which there are no bars."""
_ENDLESS = 1e6
"""Depth scale, in layers, from which it is shown as infinite."""
_BLOCKS = " ▏▎▍▌▋▊▉█"
_MIN_DECADES = 2.0
"""Minimum span of a full bar, so that small changes look small."""

Column = tuple[str, Callable[[Any], str]]
"""The heading of a column, empty for bars, and the text of its cells."""


def signal_table(
    signal: Signal, *, width: int, ascii_only: bool = False, only: Sequence[str] = ()
) -> RenderableType:
    """Every layer with the size of its output and gradient; then every trained tensor.

    Args:
        signal: what to show.
        width: columns of the page.
        ascii_only: use ASCII only.
        only: patterns of names to show; the verdict is on the whole signal.

    Raises:
        NoSuchTensor: a pattern matches none.
    """
    page = _Page(width, ascii_only)
    shown = signal.matching(only) if only else signal
    parts: list[RenderableType] = [page.heading(signal)]
    if shown.layers:
        parts.append(page.layers(shown.layers, signal.draws > 0))
    if shown.tensors:
        parts.append(page.tensors(shown.tensors))
    parts.append(Text(page.dot.join(page.ending(verdict(signal)))))
    return Group(*parts)


class _Page:
    """The layout for one width."""

    def __init__(self, width: int, ascii_only: bool) -> None:
        self.wide = width >= _WIDE
        self.ascii_only = ascii_only
        self.bar = 14 if self.wide else 8 if width >= _NARROW else 0
        self.dot = " - " if ascii_only else " · "
        self.chi = "chi" if ascii_only else "χ"

    def heading(self, signal: Signal) -> Text:
        facts = [f"batch {signal.batch}"]
        if signal.draws:
            seeds = f"seed {signal.model.seed}"
            if signal.draws > 1:
                seeds = f"seeds {signal.model.seed} to {signal.model.seed + signal.draws - 1}"
            facts += [f"{signal.draws} draw{'s' * (signal.draws > 1)}", seeds]
        else:
            facts.append("nothing drawn")
        facts.append(f"{signal.model.defaults} defaults")
        name = Text(printable(signal.model.name), "bold")
        return name.append_text(Text(f"{self.dot}{self.dot.join(facts)}", "dim"))

    def layers(self, layers: Sequence[LayerSignal], drawn: bool) -> Table:
        """One row a layer; without draws all figures are predictions."""

        def predicted(heading: str, name: str) -> Column:
            return heading, lambda layer: figure(getattr(layer.predicted, name))

        def share(heading: str, name: str) -> Column:
            return heading, lambda layer: share_text(_median(getattr(layer.output, name, None)))

        shares = [share("zeros", "zeros")]
        if self.wide:
            shares += [share("dead", "dead_units"), share("sat.", "saturated")]
        if not drawn:
            shares = []
        columns: list[Column] = [
            ("output std", lambda layer: figure(std_of(layer))),
            *([predicted("theory", "std")] if drawn else []),
            ("", self._bars(layers, std_of)),
            *shares,
            ("corr.", _correlation),
            *([predicted(self.chi, "chi")] if self.wide or not drawn else []),
            ("gradient", lambda layer: figure(gradient_of(layer))),
            *([predicted("theory", "gradient_rms")] if drawn else []),
            ("", self._bars(layers, gradient_of)),
        ]
        names: list[Column] = [("layer", _call)]
        if self.wide:
            names.append(("type", lambda layer: printable(layer.type)))
        return self._table(names, columns, layers)

    def tensors(self, tensors: Sequence[TensorSignal]) -> Table:
        """One row a trained tensor."""

        def gradient(tensor: TensorSignal) -> float | None:
            return _median(tensor.gradient_rms)

        def ratio(tensor: TensorSignal) -> float | None:
            return _median(tensor.gradient_to_weight)

        columns: list[Column] = [
            ("gradient", lambda tensor: figure(gradient(tensor))),
            ("", self._bars(tensors, gradient)),
            ("gradient / weight", lambda tensor: figure(ratio(tensor))),
            ("", self._bars(tensors, ratio)),
        ]
        return self._table([("tensor", lambda tensor: printable(tensor.path))], columns, tensors)

    def ending(self, found: Verdict) -> Iterator[str]:
        """The verdict and its figures."""
        yield found.text
        if found.std_ratio is not None:
            yield f"last hidden layer's std / first's {figure(found.std_ratio)}"
        if found.gradient_ratio is not None:
            yield f"first's gradient / last's {figure(found.gradient_ratio)}"
        if found.chi is not None and found.depth_scale is not None:
            scale = depth_scale(found.depth_scale, self.ascii_only)
            yield f"{self.chi} {found.chi:.3g} a layer, depth scale {scale} layers"

    def _table(
        self, names: Sequence[Column], columns: Sequence[Column], rows: Iterable[Any]
    ) -> Table:
        table = _plain_table()
        for heading, _ in names:
            style, ratio = ("cyan", None) if heading == "type" else (None, 1)
            table.add_column(heading, overflow="fold", style=style, ratio=ratio)
        for heading, _ in columns:
            if heading:
                table.add_column(heading, justify="right", no_wrap=True)
            else:
                table.add_column("", no_wrap=True, width=self.bar or None)
        for row in rows:
            table.add_row(*(cell(row) for _, cell in (*names, *columns)))
        return table

    def _bars(
        self, rows: Sequence[Any], value: Callable[[Any], float | None]
    ) -> Callable[[Any], str]:
        """Bars of a column, on the scale of all its values."""
        logs = [math.log10(v) for v in map(value, rows) if v is not None and 0 < v < math.inf]
        low, high = min(logs, default=0.0), max(logs, default=0.0)
        margin = max(_MIN_DECADES - (high - low), 0.0) / 2
        low, high = low - margin, high + margin

        def bar(row: Any) -> str:
            size = value(row)
            if size is None or not size > 0 or not self.bar:
                return ""
            share = 1.0 if size == math.inf else (math.log10(size) - low) / (high - low)
            eighths = max(1, round(min(max(share, 0.0), 1.0) * self.bar * 8))
            if self.ascii_only:
                return "#" * max(1, eighths // 8)
            whole, rest = divmod(eighths, 8)
            return _BLOCKS[8] * whole + (_BLOCKS[rest] if rest else "")

        return bar


def comparison_table(
    compared: Sequence[Compared], *, width: int, ascii_only: bool = False
) -> RenderableType:
    """One row a model, the best first."""
    wide = width >= _WIDE
    figures = ["output std", "std ratio", "grad. ratio"]
    if wide:
        figures += ["chi" if ascii_only else "χ", "depth scale", "dead", "saturated"]
    table = _plain_table()
    table.add_column("", justify="right", style="dim")
    table.add_column("variant", style="bold", overflow="fold", ratio=2)
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    if wide:
        table.add_column("worst layer", overflow="fold", ratio=2)
    table.add_column("verdict", overflow="fold", ratio=3)
    for rank, each in enumerate(compared, 1):
        found = each.verdict
        cells = [figure(found.output_std), figure(found.std_ratio), figure(found.gradient_ratio)]
        if wide:
            cells += [figure(found.chi), depth_scale(found.depth_scale, ascii_only)]
            cells += [share_text(found.dead_units), share_text(found.saturated)]
            cells.append(printable(found.worst or ""))
        label = printable(each.label)
        label = label.replace("·", "-") if ascii_only else label
        table.add_row(str(rank), label, *cells, found.text)
    return table


def _plain_table() -> Table:
    """A table of the full width without lines."""
    return Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)


def figure(value: float | None) -> str:
    """A number in three digits; nothing for None."""
    if value is None:
        return ""
    return f"{value:.3g}" if math.isfinite(value) else "inf"


def share_text(value: float | None) -> str:
    """A fraction as a percentage; nothing for None."""
    return "" if value is None else f"{100 * value:.0f}%"


def depth_scale(layers: float | None, ascii_only: bool) -> str:
    """A depth scale in layers."""
    if layers is None or layers < _ENDLESS:
        return figure(layers)
    return "inf" if ascii_only else "∞"


def _median(value: Spread | None) -> float | None:
    return None if value is None else value.median


def _call(layer: LayerSignal) -> str:
    return printable(layer.name) + (f" (call {layer.call + 1})" if layer.call else "")


def _correlation(layer: LayerSignal) -> str:
    output = layer.output
    value = layer.predicted.correlation if output is None else _median(output.correlation)
    return "" if value is None else f"{value:.2f}".replace("-0.00", "0.00")
