"""Run the checks on a model, and gather their findings in a report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

import msgspec

from initcli.checkpoint import Subject
from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence, How, first_line
from initcli.checks.rules import known_checks
from initcli.checks.values import ValueCheck, Values
from initcli.display import Displayed
from initcli.documents.edit import merged
from initcli.errors import (
    ChecksFailed,
    NotInCatalog,
    Path,
    SignalError,
    did_you_mean,
    printable,
    quoted,
)
from initcli.model import Model
from initcli.sources.load import computable
from initcli.types import texts


class Report(Displayed, frozen=True, kw_only=True):
    """The findings on a model in the order of its file, and notes on how they were made."""

    model: Subject
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    view: ClassVar[str] = "check"

    @property
    def headline(self) -> str:
        counts = (self.errors, "error"), (self.warnings, "warning")
        found = [f"{n:,} {what}{'s' * (n != 1)}" for n, what in counts if n]
        return f"on {self.model.name}: {' and '.join(found) or 'nothing found'}"

    def lines(self) -> Iterator[tuple[str, ...]]:
        for each in self.findings:
            yield f"{each.file}:{each.line}:{each.column}", each.code, each.message

    @property
    def errors(self) -> int:
        """The number of errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """The number of warnings."""
        return len(self.findings) - self.errors

    @property
    def text(self) -> str:
        """The findings as text, each with its place and its remedy."""
        return "\n".join(map(str, self.findings))

    def raise_for_errors(self, *, warnings: bool = False) -> None:
        """Raise if there are errors, so that a test of a model is one line.

        Args:
            warnings: raise for warnings too.

        Raises:
            ChecksFailed: there are errors; the message has each with its place and its remedy.
        """
        __tracebackhide__ = True  # pytest ends the traceback at the caller's line
        if self.errors or (warnings and self.findings):
            severe = [each for each in self.findings if warnings or each.severity == "error"]
            name = printable(self.headline.removeprefix("on "))
            raise ChecksFailed("\n".join([name, *map(str, severe)]))


def judged(
    model: Model,
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    how: How = "auto",
    batch: int | None = None,
    draws: int | None = None,
) -> Report:
    """The findings on a model, without a trial of their remedies.

    The arguments and errors are those of :func:`initcli.check`.
    """
    try:
        evidence = Evidence(built := computable(model), how, batch, draws)
        evidence.notes += built.notes[len(model.notes) :]
    except SignalError as error:
        evidence = Evidence(model, how, batch, draws)
        evidence.notes.append(f"the signal is not checked: {first_line(error)}")
    rules = [rule() for rule in chosen_checks(select, ignore) if not issubclass(rule, ValueCheck)]
    found = (each for rule in rules for each in rule.findings(evidence))
    return _report(evidence.model, found, evidence)


def judged_values(
    subject: Subject, *, select: Iterable[str] = (), ignore: Iterable[str] = ()
) -> Report:
    """The findings on stored values."""
    values = Values(subject)
    rules = [rule() for rule in chosen_checks(select, ignore) if issubclass(rule, ValueCheck)]
    return _report(subject, (each for rule in rules for each in rule.findings_of(values)), values)


def joined(one: Report, two: Report) -> Report:
    """The findings of two reports on the same model."""
    findings = sorted((*one.findings, *two.findings), key=_order)
    notes = tuple(dict.fromkeys((*one.notes, *two.notes)))
    return msgspec.structs.replace(two, findings=tuple(findings), notes=notes)


def _report(model: Subject, found: Iterable[Finding], evidence: Evidence | Values) -> Report:
    findings: dict[tuple[str, Path], list[Finding]] = {}
    for finding in found:
        # Layers that are written in the same place share one finding.
        findings.setdefault((finding.code, finding.path), []).append(finding)
    kept = [each for each in map(_joined, findings.values()) if not _is_ignored(model, each)]
    kept.sort(key=_order)
    return Report(model=model, findings=tuple(kept), notes=tuple(dict.fromkeys(evidence.notes)))


def _order(finding: Finding) -> tuple[int, int, str]:
    return finding.line, finding.column, finding.code


def _joined(findings: Sequence[Finding]) -> Finding:
    return msgspec.structs.replace(
        findings[0],
        layers=tuple(dict.fromkeys(name for each in findings for name in each.layers)),
        changes=merged(change for each in findings for change in each.changes),
    )


def chosen_checks(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> list[type[Check]]:
    """The checks that ``select`` names, all by default, without those that ``ignore`` names.

    Raises:
        NotInCatalog: no check has such a code.
    """
    wanted, unwanted = _matching(texts("select", select)), _matching(texts("ignore", ignore))
    return [
        cls
        for code, cls in known_checks().items()
        if (code in wanted or not wanted) and code not in unwanted
    ]


def _matching(names: Iterable[str]) -> set[str]:
    codes: set[str] = set()
    known = known_checks()
    for name in names:
        text = name.strip()
        matches = {
            code
            for code, cls in known.items()
            if text and (code.startswith(text.upper()) or cls.name == text.lower())
        }
        if not matches:
            every = (*known, *(cls.name for cls in known.values()))
            remedy = did_you_mean(text, every) or f"there are {', '.join(known)}"
            raise NotInCatalog(f"no check has the code {quoted(name)}", remedy)
        codes |= matches
    return codes


_IGNORED = re.compile(r"#\s*initcli:\s*ignore\b([\sA-Za-z0-9,]*)")


def _is_ignored(model: Subject, finding: Finding) -> bool:
    """Whether a comment on the finding's line ignores its code, or all codes."""
    comment = _IGNORED.search(model.document.place(finding.path).text)
    if comment is None:
        return False
    codes = comment[1].replace(",", " ").split()
    return not codes or any(finding.code.startswith(code.upper()) for code in codes)
