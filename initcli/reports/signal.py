"""The report on a signal: every layer's output and gradient, measured and predicted."""

from __future__ import annotations

from typing import Annotated

import msgspec

from initcli.reports.record import ModelRecord, Rows, doc, record, rows_of
from initcli.signal.figures import AttentionSignal, FirstLoss, LayerSignal, Signal, TensorSignal
from initcli.signal.residual import ResidualScheme
from initcli.signal.verdict import Verdict, verdict

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
        tuple[FirstLoss, ...], doc("Loss before the first step, of outputs that say which.")
    ]
    attention: Annotated[
        tuple[AttentionSignal, ...], doc("Calls of attention, and how even each is.")
    ]
    residuals: Annotated[
        tuple[ResidualScheme, ...], doc("Residual streams, and how their branches are scaled.")
    ]
    notes: Annotated[tuple[str, ...], doc("What was assumed.")]

    @classmethod
    def of(cls, signal: Signal, shown: Signal | None = None) -> SignalReport:
        """The report on the layers and tensors to show, by default all; the verdict is on all."""
        return record(
            cls, shown or signal, model=ModelRecord.of(signal.model), verdict=verdict(signal)
        )


def signal_rows(spec: str, signal: Signal, shown: Signal | None = None) -> Rows:
    """One row a layer to show; ``spec`` is how the model was named on the command line."""
    drawn = f"{signal.draws} draw{'s' * (signal.draws > 1)}" if signal.draws else "nothing drawn"
    return rows_of(
        LayerSignal,
        (shown or signal).layers,
        {"spec": spec, "model": signal.model.name},
        title=signal.model.name,
        facts=f"batch {signal.batch}, {drawn}: {verdict(signal).text}",
        shown=_SHOWN,
    )
