"""Sweeps of widths as tables: the size of every layer's output and gradient against width."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from initcli.errors import printable
from initcli.render.alike import alike_tensor_trends, alike_trends
from initcli.render.columns import Column, in_columns
from initcli.render.heading import heading
from initcli.render.signal_table import call_text, figure, more_rows
from initcli.signal.training import Training
from initcli.signal.width_sweep import LayerTrend, TensorTrend, Trend, WidthSweep, exponent_text
from initcli.types import counted

_WIDE = 116
"""Minimum width of a page with more columns of sizes."""
_COLUMNS = {False: 3, True: 7}
"""Maximum number of widths with a column, on a narrow and on a wide page."""


def width_tables(
    sweeps: Sequence[WidthSweep],
    *,
    width: int,
    ascii_only: bool = False,
    max_rows: int | None = None,
) -> RenderableType:
    """Each sweep with its layers and, where they were measured, its parameters.

    ``max_rows`` is the number of rows above which layers that behave alike are folded.
    """
    page = _Page(width, ascii_only, max_rows)
    parts = [part for sweep in sweeps for part in (*page.sweep(sweep), Text())]
    return Group(*parts[:-1])


class _Page:
    """The layout for one width of the page."""

    def __init__(self, width: int, ascii_only: bool, max_rows: int | None) -> None:
        self.width = width
        self.max_rows = max_rows
        self.most = _COLUMNS[width >= _WIDE]
        self.ascii_only = ascii_only

    def sweep(self, sweep: WidthSweep) -> Iterator[RenderableType]:
        """The heading, the tables and a summary of them."""
        yield self.heading(sweep)
        every = layers = [sweep.layers[index] for index in sweep.main]
        tensors = list(sweep.tensors)
        if self.max_rows is not None and len(layers) + len(tensors) > self.max_rows:
            layers, tensors = list(alike_trends(every)), list(alike_tensor_trends(tensors))
        steps = sweep.training.steps if sweep.training else 0
        quantities = ("output", "gradient", *([f"change {steps}"] if steps else []))
        for quantity in quantities:
            if quantity != "gradient" or not sweep.draws:
                yield self.table(sweep, layers, quantity, partial(_of, quantity))
        if tensors:
            yield self.table(sweep, tensors, "gradient", lambda each: each.gradient)
        if more := more_rows(len(every) - len(layers), len(sweep.tensors) - len(tensors)):
            yield Text(f"{more}; --all shows all", "dim")
        for quantity in quantities:
            yield Text(f"{quantity}: {_counted(_of(quantity, each) for each in every)}")
        if sweep.training is not None:
            yield self.losses(sweep, sweep.training)
        if sweep.tensors:
            found = _counted(each.gradient for each in sweep.tensors)
            yield Text(f"gradient of parameters: {found}")
        yield Text(printable(sweep.width.text), "dim")

    def heading(self, sweep: WidthSweep) -> Text:
        """The heading: what was measured, and how."""
        draws = counted(sweep.draws, "draw") if sweep.draws else "nothing drawn"
        widths = ", ".join(f"{factor:g}" for factor in sweep.factors)
        facts = [f"widths {widths}", f"batch {sweep.batch}", draws]
        name = sweep.label.replace("·", "-") if self.ascii_only else sweep.label
        return heading(name, facts, self.ascii_only)

    def losses(self, sweep: WidthSweep, training: Training) -> Text:
        """The loss before and after training, at the smallest and the largest width."""
        rate = f"learning rate {training.learning_rate:g}"
        parts = [f"{training.steps} steps of {training.optimizer}, {rate}: loss"]
        arrow = "->" if self.ascii_only else "→"
        for index in dict.fromkeys((0, len(sweep.factors) - 1)):
            first, last = sweep.losses[index][0], sweep.losses[index][-1]
            parts.append(
                f"{figure(first)} {arrow} {figure(last)} at width {sweep.factors[index]:g}"
            )
        return Text(f"{parts[0]} {', '.join(parts[1:])}")

    def table(
        self,
        sweep: WidthSweep,
        rows: Sequence[LayerTrend] | Sequence[TensorTrend],
        quantity: str,
        trend: Callable[[Any], Trend],
    ) -> RenderableType:
        """One row per layer or parameter, with its size at some widths."""
        count = len(sweep.factors)
        shown = dict.fromkeys(np.linspace(0, count - 1, min(count, self.most)).round().astype(int))

        def size(index: int) -> Column:
            heading = f"{'x' if self.ascii_only else '×'}{sweep.factors[index]:g}"
            return Column(heading, lambda each: figure(trend(each).sizes[index]))

        def exponent(each: Any) -> str:
            text = exponent_text(trend(each))
            return text.replace("±", "+-") if self.ascii_only else text

        kind = "parameter" if isinstance(rows[0], TensorTrend) else "layer"
        names = [Column(f"{quantity} of {kind}", _name)]
        figures = [*map(size, shown), Column("exponent", exponent)]
        verdicts = [Column("verdict", lambda each: trend(each).verdict or "not known")]
        return in_columns(names, figures, rows, self.width, verdicts)


def _of(quantity: str, layer: LayerTrend) -> Trend:
    return dict(layer.trends).get(quantity) or Trend(sizes=(None,) * len(layer.output.sizes))


def _name(each: LayerTrend | TensorTrend) -> str:
    if isinstance(each, TensorTrend):
        return printable(each.path)
    return call_text(each.name, each.call)


def _counted(trends: Iterable[Trend]) -> str:
    counts: Counter[str] = Counter(each.verdict or "not known" for each in trends)
    order = ("stays", "grows", "shrinks", "not known")
    words = {"stays": "stay", "grows": "grow", "shrinks": "shrink", "not known": "not known"}
    return ", ".join(f"{counts[each]} {words[each]}" for each in order if counts[each])
