"""The report on models of several widths: the trend of every layer and parameter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec

from initcli.model import HiddenSize
from initcli.reports.record import ModelRecord, Rows, doc, record, rows_of
from initcli.signal.training import Training
from initcli.signal.width_sweep import LayerTrend, Scaling, TensorTrend, Trend, WidthSweep

_SHOWN = ("variant", "name", "quantity", "width", "rms", "exponent", "error", "verdict")


class SweepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One model at several widths."""

    variant: Annotated[str, doc("Label of the variant.")]
    model: Annotated[ModelRecord, doc("The model.")]
    widths: Annotated[tuple[float, ...], doc("Factors of all hidden sizes, in rising order.")]
    batch: Annotated[int, doc("Number of examples.")]
    draws: Annotated[int, doc("Number of draws; 0 where predicted.")]
    scaled: Annotated[tuple[HiddenSize, ...], doc("Hidden sizes, at width 1.")]
    fixed: Annotated[tuple[HiddenSize, ...], doc("Sizes that stay the same.")]
    layers: Annotated[tuple[LayerTrend, ...], doc("Calls of layers, in the order of computation.")]
    tensors: Annotated[
        tuple[TensorTrend, ...],
        doc("Trained parameters; where nothing was drawn, kernels of dense layers."),
    ]
    training: Annotated[Training | None, doc("Steps of training; null without --steps.")]
    losses: Annotated[
        tuple[tuple[float, ...], ...],
        doc("For each width, the loss before and after each step of training."),
    ]
    notes: Annotated[tuple[str, ...], doc("Assumptions.")]

    @classmethod
    def of(cls, sweep: WidthSweep) -> SweepRecord:
        """The record of a sweep."""
        width = sweep.width
        return record(
            cls,
            sweep,
            variant=sweep.label,
            model=ModelRecord.of(sweep.model),
            widths=sweep.factors,
            scaled=width.scaled,
            fixed=width.fixed,
        )


class WidthReport(msgspec.Struct, frozen=True, kw_only=True):
    """Models at several widths."""

    sweeps: Annotated[tuple[SweepRecord, ...], doc("One for each variant.")]

    @classmethod
    def of(cls, sweeps: Sequence[WidthSweep]) -> WidthReport:
        """The report on sweeps in their order."""
        return cls(sweeps=tuple(map(SweepRecord.of, sweeps)))


class WidthRow(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a layer or parameter at one width."""

    variant: Annotated[str, doc("Label of the variant.")]
    name: Annotated[str, doc("Name of the layer, or path of the parameter.")]
    call: Annotated[int | None, doc("Number of earlier calls of the same layer.")]
    quantity: Annotated[
        str, doc("What the RMS is of: output, gradient, or change after STEPS of training.")
    ]
    width: Annotated[float, doc("Factor of all hidden sizes.")]
    rms: Annotated[float | None, doc("Root mean square; null if not known.")]
    exponent: Annotated[float | None, doc("Exponent of the power law in the width.")]
    error: Annotated[float | None, doc("Standard error of the exponent.")]
    verdict: Annotated[Scaling | None, doc("stays, grows or shrinks; null if not known.")]


def width_rows(sweeps: Sequence[WidthSweep]) -> Rows:
    """One row for each figure at each width."""
    rows = (row for sweep in sweeps for row in _rows(sweep))
    return rows_of(WidthRow, rows, {}, shown=_SHOWN)


def _rows(sweep: WidthSweep) -> Iterator[WidthRow]:
    for layer in sweep.layers:
        for quantity, trend in layer.trends:
            yield from _of_trend(sweep, layer.name, layer.call, quantity, trend)
    for tensor in sweep.tensors:
        yield from _of_trend(sweep, tensor.path, None, "gradient", tensor.gradient)


def _of_trend(
    sweep: WidthSweep, name: str, call: int | None, quantity: str, trend: Trend
) -> Iterator[WidthRow]:
    for width, rms in zip(sweep.factors, trend.sizes, strict=True):
        yield record(
            WidthRow,
            trend,
            variant=sweep.label,
            name=name,
            call=call,
            quantity=quantity,
            width=width,
            rms=rms,
        )
