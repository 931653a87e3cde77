"""The report on several signals side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from initcli.reports.record import Rows, doc, record, rows_of
from initcli.reports.signal import SignalReport
from initcli.signal.comparison import Compared, ranks
from initcli.signal.verdict import Verdict

_SHOWN = ("rank", "variant", "distance", "output_std", "std_ratio", "gradient_ratio", "text")


class VariantReport(SignalReport, frozen=True, kw_only=True):
    """The signal of one variant."""

    variant: Annotated[str, doc("Label of the variant.")]


class CompareReport(msgspec.Struct, frozen=True, kw_only=True):
    """Several variants and their signals."""

    variants: Annotated[tuple[VariantReport, ...], doc("Variants, best first.")]

    @classmethod
    def of(cls, compared: Sequence[Compared]) -> CompareReport:
        """The report on variants in their order."""
        return cls(
            variants=tuple(
                record(VariantReport, SignalReport.of(each.signal), variant=each.label)
                for each in compared
            )
        )


class VariantRow(msgspec.Struct, frozen=True, kw_only=True):
    """One variant as a row."""

    rank: Annotated[int, doc("Rank by distance, from 1 for the best; equal distances share one.")]
    variant: Annotated[str, doc("Label of the variant.")]
    verdict: Annotated[Verdict, doc("Verdict on its signal.", row="")]


def compare_rows(compared: Sequence[Compared]) -> Rows:
    """One row per variant, in their order."""
    rows = (
        VariantRow(rank=rank, variant=each.label, verdict=each.verdict)
        for rank, each in zip(ranks(compared), compared, strict=True)
    )
    return rows_of(VariantRow, rows, {}, shown=_SHOWN)
