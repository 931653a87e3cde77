"""The signal as a table for people: growth and decay as bars on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initcli.errors import printable
from initcli.signal.figures import LayerSignal, Signal, Spread, TensorSignal
from initcli.signal.judgment import Verdict, gradient_of, std_of, verdict

_WIDE = 116
"""Columns from which every figure has a column."""
_ENDLESS = 1e6
"""Layers from which a depth scale is as good as infinite."""
_NARROW = 72
"""Columns below which there are no bars."""
_BLOCKS = " ▏▎▍▌▋▊▉█"
_LEAST_DECADES = 2.0
"""What a whole bar spans at least, so that what hardly changes does not look as if it did."""


def signal_table(
    signal: Signal, *, width: int, ascii_only: bool = False, only: Sequence[str] = ()
) -> RenderableType:
    """Every layer with the size of its output and gradient; then every trained tensor.

    Args:
        signal: what to show.
        width: columns.
        ascii_only: whether nothing but ASCII is written.
        only: patterns of names; the verdict is on the whole signal all the same.

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
    parts += [Text(line) for line in page.ending(verdict(signal))]
    return Group(*parts)


class _Page:
    """The layout for one width."""

    def __init__(self, width: int, ascii_only: bool) -> None:
        self.wide = width >= _WIDE
        self.ascii_only = ascii_only
        self.bar = 14 if self.wide else 8 if width >= _NARROW else 0
        self.dot = " - " if ascii_only else " · "

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
        """One row a layer; where nothing was drawn the figures are the predicted ones alone."""
        table = self._table()
        table.add_column("layer", overflow="fold", ratio=1)
        if self.wide:
            table.add_column("type", overflow="fold", style="cyan")
        titles = ["output std", *(["theory"] if drawn else []), ""]
        chi = "chi" if self.ascii_only else "χ"
        figures = ["zeros", "dead", "sat.", "corr.", chi] if self.wide else ["zeros", "corr."]
        if not drawn:
            figures = ["corr.", chi]
        titles += [*figures, "gradient", *(["theory"] if drawn else []), ""]
        self._add_figures(table, titles)
        outputs = self._scale(map(std_of, layers))
        gradients = self._scale(map(gradient_of, layers))
        for layer in layers:
            name = printable(layer.name) + (f" (call {layer.call + 1})" if layer.call else "")
            cells = [name, *([printable(layer.type)] if self.wide else [])]
            cells.append(figure(std_of(layer)))
            if drawn:
                cells.append(figure(layer.predicted.std))
            cells.append(self._drawn_bar(std_of(layer), outputs))
            cells += self._shares(layer) if drawn else [_correlation(layer.predicted.correlation)]
            if self.wide or not drawn:
                cells.append(figure(layer.predicted.chi))
            cells.append(figure(gradient_of(layer)))
            if drawn:
                cells.append(figure(layer.predicted.gradient_rms))
            cells.append(self._drawn_bar(gradient_of(layer), gradients))
            table.add_row(*cells)
        return table

    def _add_figures(self, table: Table, titles: Sequence[str]) -> None:
        """Columns of figures, and without a title those of bars, which may be of no width."""
        for title in titles:
            if title:
                table.add_column(title, justify="right", no_wrap=True)
            else:
                table.add_column("", no_wrap=True, width=self.bar or None)

    def tensors(self, tensors: Sequence[TensorSignal]) -> Table:
        """One row a trained tensor."""
        table = self._table()
        table.add_column("tensor", overflow="fold", ratio=1)
        self._add_figures(table, ["gradient", "", "gradient / weight", ""])
        sizes = self._scale(tensor.gradient_rms.median for tensor in tensors)
        ratios = self._scale(_median(tensor.gradient_to_weight) for tensor in tensors)
        for tensor in tensors:
            size, ratio = tensor.gradient_rms.median, _median(tensor.gradient_to_weight)
            table.add_row(
                printable(tensor.path),
                figure(size),
                self._drawn_bar(size, sizes),
                figure(ratio),
                self._drawn_bar(ratio, ratios),
            )
        return table

    def ending(self, found: Verdict) -> Iterator[str]:
        """What it comes to."""
        facts = [found.text]
        if found.std_ratio is not None:
            facts.append(f"last hidden layer's std / first's {figure(found.std_ratio)}")
        if found.gradient_ratio is not None:
            facts.append(f"first's gradient / last's {figure(found.gradient_ratio)}")
        if found.chi is not None and found.depth_scale is not None:
            chi = "chi" if self.ascii_only else "χ"
            scale = depth_scale(found.depth_scale, self.ascii_only)
            facts.append(f"{chi} {found.chi:.3g} a layer, depth scale {scale} layers")
        yield self.dot.join(facts)

    def _table(self) -> Table:
        return Table(
            box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False
        )

    def _shares(self, layer: LayerSignal) -> list[str]:
        output = layer.output
        if output is None:
            return [""] * (4 if self.wide else 2)
        found = [_share(output.zeros)]
        if self.wide:
            found += [_share(output.dead_units), _share(output.saturated)]
        return [*found, _correlation(_median(output.correlation))]

    def _scale(self, values: Iterable[float | None]) -> tuple[float, float]:
        """Powers of ten at both ends of the bars of a column."""
        logs = [math.log10(v) for v in values if v is not None and 0 < v < math.inf]
        if not logs:
            return 0.0, _LEAST_DECADES
        low, high = min(logs), max(logs)
        missing = max(_LEAST_DECADES - (high - low), 0.0) / 2
        return low - missing, high + missing

    def _drawn_bar(self, value: float | None, scale: tuple[float, float]) -> str:
        if value is None or not value > 0 or not self.bar:
            return ""
        low, high = scale
        share = 1.0 if value == math.inf else (math.log10(value) - low) / (high - low)
        eighths = max(1, round(min(max(share, 0.0), 1.0) * self.bar * 8))
        if self.ascii_only:
            return "#" * max(1, eighths // 8)
        whole, rest = divmod(eighths, 8)
        return _BLOCKS[8] * whole + (_BLOCKS[rest] if rest else "")


def _median(value: Spread | None) -> float | None:
    return None if value is None else value.median


def figure(value: float | None) -> str:
    """A number in three digits."""
    if value is None:
        return ""
    return f"{value:.3g}" if math.isfinite(value) else "inf"


def depth_scale(layers: float | None, ascii_only: bool) -> str:
    """A depth scale, infinite where nobody has as many layers."""
    if layers is None or layers < _ENDLESS:
        return figure(layers)
    return "inf" if ascii_only else "∞"


def _share(value: Spread | None) -> str:
    return "" if value is None else f"{100 * value.median:.0f}%"


def _correlation(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}".replace("-0.00", "0.00")
