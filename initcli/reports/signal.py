"""The report on a signal: every layer's output and gradient, measured and predicted."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from initcli.choices import LayerOrder
from initcli.reports.record import ModelRecord, Rows, doc, record, rows_of
from initcli.signal.figures import (
    AttentionSignal,
    FirstLoss,
    LayerSignal,
    RouterSignal,
    Signal,
    TensorSignal,
)
from initcli.signal.residual import ResidualScheme
from initcli.signal.verdict import Verdict, verdict
from initcli.types import counted

_SHOWN = (
    *("layer", "type", "output_std", "predicted_std", "output_zeros", "output_correlation"),
    *("gradient_rms", "predicted_gradient_rms"),
)


class SignalReport(msgspec.Struct, frozen=True, kw_only=True):
    """The size of every layer's output and gradient, measured and predicted."""

    model: Annotated[ModelRecord, doc("The model.")]
    batch: Annotated[int, doc("Number of examples.")]
    draws: Annotated[int, doc("Number of draws; 0 with --theory.")]
    layers: Annotated[tuple[LayerSignal, ...], doc("Calls of layers, in the order of computation.")]
    tensors: Annotated[tuple[TensorSignal, ...], doc("Trained tensors.")]
    verdict: Annotated[Verdict, doc("Verdict on the whole signal.")]
    losses: Annotated[
        tuple[FirstLoss, ...], doc("Loss before the first step, of outputs that imply one.")
    ]
    attention: Annotated[
        tuple[AttentionSignal, ...], doc("Calls of attention, and how uniform each is.")
    ]
    routers: Annotated[
        tuple[RouterSignal, ...],
        doc("Calls of mixtures of experts, and how evenly each spreads tokens."),
    ]
    residuals: Annotated[
        tuple[ResidualScheme, ...], doc("Residual streams, and how their branches are scaled.")
    ]
    notes: Annotated[tuple[str, ...], doc("Assumptions.")]

    @classmethod
    def of(cls, signal: Signal, shown: Signal | None = None) -> SignalReport:
        """The report on the layers and tensors to show, by default all; the verdict is on all."""
        return record(
            cls, shown or signal, model=ModelRecord.of(signal.model), verdict=verdict(signal)
        )


def signal_rows(spec: str, signal: Signal, shown: Signal | None = None) -> Rows:
    """One row per shown layer; ``spec`` is the name of the model on the command line."""
    drawn = counted(signal.draws, "draw") if signal.draws else "nothing drawn"
    return rows_of(
        LayerSignal,
        (shown or signal).layers,
        {"spec": spec, "model": signal.model.name},
        title=signal.model.name,
        facts=f"batch {signal.batch}, {drawn}: {verdict(signal).text}",
        shown=_SHOWN,
    )


def ordered(signal: Signal, by: LayerOrder) -> Signal:
    """The signal with its layers, and by gradient its tensors too, in another order.

    Growth and loss compare the output of a layer with the input that is nearest in size. What has
    no known size comes last.
    """
    stds = {
        tensor: layer.std
        for layer, step in zip(signal.layers, signal.program.steps, strict=True)
        for tensor in step.outputs[:1]
    }

    def place(index: int) -> float:
        layer, step = signal.layers[index], signal.program.steps[index]
        if by == "gradient":
            return -(layer.gradient_rms or 0.0)
        std = layer.std
        if by == "std" or std is None:
            return math.inf if std is None else -std
        sources = [stds.get(tensor, signal.input_rms.get(tensor, 1.0)) for tensor in step.inputs]
        factors = [std / source for source in sources if source]
        if not factors:
            return math.inf
        factor = min(factors, key=lambda each: abs(math.log(each)) if each else math.inf)
        return -factor if by == "growth" else factor

    order = sorted(range(len(signal.layers)), key=place)
    tensors = signal.tensors
    if by == "gradient":
        tensors = tuple(sorted(tensors, key=lambda each: -each.gradient_rms.median))
    layers = tuple(signal.layers[index] for index in order)
    return msgspec.structs.replace(signal, layers=layers, tensors=tensors)
