"""The report on what the checks found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from initcli.checks import Report
from initcli.reports.record import Rows, doc, record, rows_of
from initcli.types import Severity

_SHOWN = ("code", "severity", "file", "line", "layer", "message", "remedy")


class FindingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One problem of a model, and its place in a file."""

    code: Annotated[str, doc("Code of the check, such as I202.")]
    rule: Annotated[str, doc("Name of the check, such as signal-size.")]
    severity: Annotated[Severity, doc("Severity of the finding.")]
    layer: Annotated[str, doc("The layer to look at first.")]
    layers: Annotated[tuple[str, ...], doc("All layers involved.")]
    tensor: Annotated[str | None, doc("Path of the parameter at fault, if any.")]
    file: Annotated[str, doc("File to change.")]
    line: Annotated[int, doc("Line in the file, from 1.")]
    column: Annotated[int, doc("Column in the line, from 1.")]
    message: Annotated[str, doc("The problem, with its numbers.")]
    why: Annotated[str, doc("Why it matters, with a source.")]
    remedy: Annotated[str, doc("What to write instead.")]
    fixable: Annotated[bool, doc("Whether --fix fixes the finding, according to a trial.")]


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """The findings on all specs."""

    findings: Annotated[tuple[FindingRecord, ...], doc("Findings, in the order of each file.")]
    not_read: Annotated[
        tuple[str, ...], doc("Specs that could not be read, as named on the command line.")
    ] = ()

    @classmethod
    def of(cls, reports: Sequence[Report], not_read: Sequence[str] = ()) -> CheckReport:
        """The findings of several models, and the specs that could not be read."""
        return cls(findings=_findings(reports), not_read=tuple(not_read))


def check_rows(reports: Sequence[Report], facts: str) -> Rows:
    """One row per finding."""
    return rows_of(FindingRecord, _findings(reports), {}, facts=facts, shown=_SHOWN)


def _findings(reports: Sequence[Report]) -> tuple[FindingRecord, ...]:
    return tuple(record(FindingRecord, each) for report in reports for each in report.findings)
