"""Signals as tables: one with growth and decay as bars, or several ranked side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from initcli.errors import printable
from initcli.render.alike import (
    alike_attention,
    alike_layers,
    alike_routers,
    alike_tensors,
    at_depth,
)
from initcli.render.columns import Column, in_columns
from initcli.render.heading import heading, separator
from initcli.render.residual import residual_lines
from initcli.signal.figures import (
    AttentionSignal,
    FirstLoss,
    LayerSignal,
    RouterSignal,
    Signal,
    Spread,
    TensorSignal,
    call_figure,
)
from initcli.signal.verdict import Verdict, verdict
from initcli.types import counted

if TYPE_CHECKING:
    from initcli.signal.comparison import Compared

_WIDE = 116
"""Minimum width at which every figure has a column."""
_NARROW = 72
"""Width below which there are no bars."""
_ENDLESS = 1e6
"""Depth scale, in layers, above which it is shown as infinite."""
_UNLIKE = 1.25
"""Ratio of two heads' spreads of logits above which both are shown."""
_BLOCKS = " ▏▎▍▌▋▊▉█"
_MIN_DECADES = 2.0
"""Minimum span of a full bar, so that small changes look small."""


def signal_table(
    signal: Signal,
    *,
    width: int,
    ascii_only: bool = False,
    shown: Signal | None = None,
    depth: int | None = None,
    max_rows: int | None = None,
) -> RenderableType:
    """Every layer with the size of its output and gradient; then every trained tensor.

    Args:
        signal: the signal, on which the verdict is based.
        width: columns of the page.
        ascii_only: use ASCII only.
        shown: the layers and tensors to show, by default all.
        depth: levels of names to show; ``block_0/dense`` has two.
        max_rows: number of rows above which blocks that behave alike are folded.
    """
    page = _Page(width, ascii_only)
    every = signal if shown is None else shown
    layers, tensors = list(every.layers), list(every.tensors)
    attention, routers = list(every.attention), list(every.routers)
    if depth is not None:
        attention = [each for each in attention if each.layer.count("/") < depth]
        routers = [each for each in routers if each.layer.count("/") < depth]
        layers = list(at_depth(layers, depth))
        tensors = [tensor for tensor in tensors if tensor.path.count("/") <= depth]
    if max_rows is not None and len(layers) + len(tensors) > max_rows:
        layers, tensors = list(alike_layers(layers)), list(alike_tensors(tensors))
        attention, routers = list(alike_attention(attention)), list(alike_routers(routers))
    parts: list[RenderableType] = [page.heading(signal)]
    if layers:
        parts.append(page.layers(layers, signal.draws > 0))
    if tensors:
        parts.append(page.tensors(tensors))
    if attention:
        parts.append(page.attention(attention, signal.draws > 0))
    if routers:
        parts.append(page.routers(routers, signal.draws > 0))
    if more := more_rows(len(every.layers) - len(layers), len(every.tensors) - len(tensors)):
        remedy = "; --all shows all" if depth is None else ""
        parts.append(Text(f"{more}{remedy}", "dim"))
    parts.append(Text(page.dot.join(page.ending(verdict(signal)))))
    parts += [Text(page.dot.join(page.loss(each))) for each in signal.losses]
    parts += map(Text, residual_lines(signal.residuals, ascii_only))
    return Group(*parts)


def more_rows(layers: int, tensors: int) -> str:
    """So many rows that are not shown, in words."""
    hidden = (layers, "more layer"), (tensors, "more tensor")
    return " and ".join(counted(*each) for each in hidden if each[0])


class _Page:
    """The layout for one width."""

    def __init__(self, width: int, ascii_only: bool) -> None:
        self.width = width
        self.wide = width >= _WIDE
        self.ascii_only = ascii_only
        self.bar = 14 if self.wide else 8 if width >= _NARROW else 0
        self.dot = separator(ascii_only)
        self.to = "to" if ascii_only else "…"
        self.chi = "chi" if ascii_only else "χ"

    def heading(self, signal: Signal) -> Text:
        facts = [f"batch {signal.batch}"]
        if signal.draws:
            seeds = f"seed {signal.model.seed}"
            if signal.draws > 1:
                seeds = f"seeds {signal.model.seed} to {signal.model.seed + signal.draws - 1}"
            facts += [counted(signal.draws, "draw"), seeds]
        else:
            facts.append("nothing drawn")
        facts.append(f"{signal.model.defaults} defaults")
        return heading(signal.model.name, facts, self.ascii_only)

    def layers(self, layers: Sequence[LayerSignal], drawn: bool) -> RenderableType:
        """One row per layer; without draws all figures are predictions."""

        def predicted(heading: str, name: str) -> Column:
            return Column(heading, lambda layer: figure(getattr(layer.predicted, name)))

        def share(heading: str, name: str) -> Column:
            return Column(
                heading, lambda layer: share_text(_median(getattr(layer.output, name, None)))
            )

        shares = [share("zeros", "zeros")]
        if self.wide:
            shares += [share("dead", "dead_units"), share("sat.", "saturated")]
        if not drawn:
            shares = []
        columns: list[Column] = [
            Column("output std", lambda layer: figure(layer.std)),
            *([predicted("theory", "std")] if drawn else []),
            *self._bars(layers, attrgetter("std")),
            *shares,
            Column("corr.", _correlation),
            *([predicted(self.chi, "chi")] if self.wide or not drawn else []),
            Column("gradient", lambda layer: figure(layer.gradient_rms)),
            *([predicted("theory", "gradient_rms")] if drawn else []),
            *self._bars(layers, attrgetter("gradient_rms")),
        ]
        names: list[Column] = [Column("layer", lambda layer: call_text(layer.name, layer.call))]
        if self.wide:
            names.append(Column("type", lambda layer: printable(layer.type), "cyan"))
        return in_columns(names, columns, layers, self.width)

    def tensors(self, tensors: Sequence[TensorSignal]) -> RenderableType:
        """One row per trained tensor."""

        def gradient(tensor: TensorSignal) -> float | None:
            return _median(tensor.gradient_rms)

        def ratio(tensor: TensorSignal) -> float | None:
            return _median(tensor.gradient_to_weight)

        columns: list[Column] = [
            Column("gradient", lambda tensor: figure(gradient(tensor))),
            *self._bars(tensors, gradient),
            Column("gradient / weight", lambda tensor: figure(ratio(tensor))),
            *self._bars(tensors, ratio),
        ]
        names = [Column("tensor", lambda tensor: printable(tensor.path))]
        return in_columns(names, columns, tensors, self.width)

    def attention(self, rows: Sequence[AttentionSignal], drawn: bool) -> RenderableType:
        """One row per call of attention."""

        def between(row: AttentionSignal) -> str:
            low, high = row.between("logit_std") or (0.0, 0.0)
            return f"{figure(low)} {self.to} {figure(high)}" if high > _UNLIKE * low else ""

        columns = [
            *_pair("logit std", "logit_std", figure, drawn),
            *([Column("by head", between)] if any(map(between, rows)) else []),
            *_pair("entropy / ln n", "entropy", figure, drawn),
            *_pair("saturated", "saturated", share_text, drawn),
            Column("keys", lambda row: f"{row.keys:,}"),
        ]
        return in_columns([Column("attention", _call)], columns, rows, self.width)

    def routers(self, rows: Sequence[RouterSignal], drawn: bool) -> RenderableType:
        """One row per call of a mixture of experts."""
        columns = [
            *_pair("load entropy / ln n", "entropy", figure, drawn),
            *_pair("busiest / even", "busiest", figure, drawn),
            Column("experts", lambda row: f"{row.top_k:,} of {row.experts:,}"),
        ]
        return in_columns([Column("router", _call)], columns, rows, self.width)

    def ending(self, found: Verdict) -> Iterator[str]:
        """The verdict and its figures."""
        yield found.text
        if found.std_ratio is not None:
            yield f"last hidden layer's std / first's {figure(found.std_ratio)}"
        if found.gradient_ratio is not None:
            yield f"first's gradient / last's {figure(found.gradient_ratio)}"
        if found.chi is not None and found.depth_scale is not None:
            scale = depth_scale(found.depth_scale, self.ascii_only)
            yield f"{self.chi} {found.chi:.3g} per layer, depth scale {scale} layers"

    def loss(self, loss: FirstLoss) -> Iterator[str]:
        """The first loss of an output."""
        figures = [] if loss.measured is None else [figure(loss.measured.median)]
        if loss.predicted is not None:
            figures.append(f"theory {figure(loss.predicted)}")
        yield f"first loss of {printable(loss.layer)} {', '.join(figures) or 'not known'}"
        yield f"{figure(loss.knows_nothing)} if it knew nothing"
        kind = loss.loss.replace("_", " ")
        yield f"{kind} of {loss.classes:,} classes" if loss.loss == "cross_entropy" else kind

    def _bars(self, rows: Sequence[Any], value: Callable[[Any], float | None]) -> list[Column]:
        """A column of bars on the scale of all values; none on a narrow page."""
        if not self.bar:
            return []
        logs = [math.log10(v) for v in map(value, rows) if v is not None and 0 < v < math.inf]
        low, high = min(logs, default=0.0), max(logs, default=0.0)
        margin = max(_MIN_DECADES - (high - low), 0.0) / 2
        low, high = low - margin, high + margin

        def bar(row: Any) -> str:
            size = value(row)
            if size is None or not size > 0:
                return ""
            share = 1.0 if size == math.inf else (math.log10(size) - low) / (high - low)
            eighths = max(1, round(min(max(share, 0.0), 1.0) * self.bar * 8))
            if self.ascii_only:
                return "#" * max(1, eighths // 8)
            whole, rest = divmod(eighths, 8)
            return _BLOCKS[8] * whole + (_BLOCKS[rest] if rest else "")

        return [Column("", lambda row: bar(row).ljust(self.bar))]


def comparison_table(
    compared: Sequence[Compared], *, width: int, ascii_only: bool = False
) -> RenderableType:
    """One row per model, the best first."""
    from initcli.signal.comparison import ranks

    wide = width >= _WIDE

    def quoted(heading: str, name: str, form: Callable[[Any], str] = figure) -> Column:
        return Column(heading, lambda row: form(getattr(row[1].verdict, name)))

    def label(row: tuple[int, Compared]) -> str:
        text = printable(row[1].label)
        return text.replace("·", "-") if ascii_only else text

    columns = [
        quoted("distance", "distance", lambda value: "inf" if value is None else f"{value:.2f}"),
        quoted("output std", "output_std"),
        quoted("std ratio", "std_ratio"),
        quoted("grad. ratio", "gradient_ratio"),
    ]
    texts: list[Column] = [Column("verdict", lambda row: row[1].verdict.text)]
    if wide:
        columns += [
            quoted("chi" if ascii_only else "χ", "chi"),
            quoted("depth scale", "depth_scale", lambda layers: depth_scale(layers, ascii_only)),
            quoted("dead", "dead_units", share_text),
            quoted("saturated", "saturated", share_text),
        ]
        texts.insert(0, Column("worst layer", lambda row: printable(row[1].verdict.worst or "")))
    names: list[Column] = [
        Column("", lambda row: str(row[0]), "dim"),
        Column("variant", label, "bold"),
    ]
    return in_columns(
        names, columns, list(zip(ranks(compared), compared, strict=True)), width, texts
    )


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


def call_text(layer: str, call: int) -> str:
    """The name of a layer, with the number of the call unless it is the first."""
    return printable(layer) + (f" (call {call + 1})" if call else "")


def _call(row: AttentionSignal | RouterSignal) -> str:
    return call_text(row.layer, row.call)


def _pair(
    heading: str, name: str, form: Callable[[float | None], str], drawn: bool
) -> list[Column]:
    """The columns of a figure of a call: measured and predicted, or predicted alone."""
    own = Column(heading, lambda row: form(call_figure(row, name)))
    theory = Column("theory", lambda row: form(getattr(row.predicted, name, None)))
    return [own, theory] if drawn else [own]


def _correlation(layer: LayerSignal) -> str:
    output = layer.output
    value = layer.predicted.correlation if output is None else _median(output.correlation)
    return "" if value is None else f"{value:.2f}".replace("-0.00", "0.00")
