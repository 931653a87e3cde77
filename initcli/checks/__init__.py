"""Checks: what is wrong with how a model's weights start, where, why, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from initcli.checks.base import Check, Finding, Problem, merged
from initcli.checks.evidence import Evidence, How
from initcli.checks.rules import known_checks
from initcli.errors import NotInCatalog, Path, did_you_mean, quoted
from initcli.model import Model

__all__ = ["Check", "Finding", "Report", "check", "chosen_checks", "known_checks"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The findings on a model, in the order of its file, and what there is to know of how they
    were found."""

    model: Model
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def text(self) -> str:
        """The findings as text, each with its place and its remedy."""
        return "\n".join(map(str, self.findings))

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return len(self.findings) - self.errors


def check(
    model: Model,
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    how: How = "auto",
    batch: int | None = None,
    draws: int | None = None,
) -> Report:
    """Judge how a model's weights start.

    Args:
        model: what to judge.
        select: codes of the checks to make, or how they begin; all by default.
        ignore: codes of those not to make.
        how: whether the signal is ``measured``, ``predicted`` from the distributions alone, or
            ``auto``:
            measured where that takes a few seconds at most.
        batch: examples that are measured.
        draws: draws that are measured.

    Raises:
        NotInCatalog: no check has such a code.
        TooLarge: a tensor that has to be drawn cannot be held.
        CustomFunctionError: a custom initializer failed.

    >>> import initcli
    >>> report = initcli.check(initcli.load("sample_configs/mlp_tanh_deep.yaml"))
    >>> report.errors, report.findings[0].code, report.findings[0].line
    (1, 'I202', 10)
    """
    evidence = Evidence(model, how, batch, draws)
    found: list[Finding] = []
    for each in chosen_checks(select, ignore):
        found += _gathered(evidence, each, each().problems(evidence))
    found = [finding for finding in found if not _is_ignored(evidence, finding)]
    found.sort(key=lambda finding: (finding.line, finding.column, finding.code))
    return Report(model=model, findings=tuple(found), notes=tuple(dict.fromkeys(evidence.notes)))


def chosen_checks(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> list[type[Check]]:
    """The checks whose code or name is chosen, or whose code begins so, without the ignored.

    Raises:
        NotInCatalog: none has such a code.
    """
    wanted, unwanted = _matching(select), _matching(ignore)
    known = known_checks()
    return [
        known[code] for code in known if (code in wanted or not wanted) and code not in unwanted
    ]


def _matching(codes: Iterable[str]) -> set[str]:
    found: set[str] = set()
    known = known_checks()
    for each in codes:
        text = each.strip()
        matches = {
            code
            for code, cls in known.items()
            if text and (code.startswith(text.upper()) or cls.name == text.lower())
        }
        if not matches:
            names = (*known, *(cls.name for cls in known.values()))
            remedy = did_you_mean(text, names) or f"there are {', '.join(known)}"
            raise NotInCatalog(f"no check has the code {quoted(each)}", remedy)
        found |= matches
    return found


_IGNORED = re.compile(r"#\s*initcli:\s*ignore\b([\sA-Za-z0-9,]*)")


def _is_ignored(evidence: Evidence, finding: Finding) -> bool:
    """Whether a comment at the finding's line says to leave it out, by its code or altogether."""
    said = _IGNORED.search(evidence.model.document.place(finding.path).text)
    if said is None:
        return False
    codes = said[1].replace(",", " ").split()
    return not codes or any(finding.code.startswith(code.upper()) for code in codes)


def _gathered(evidence: Evidence, check: type[Check], problems: Iterable[Problem]) -> list[Finding]:
    """The problems as findings: those that are written in one place are one."""
    groups: dict[Path, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.path, []).append(problem)
    return [_finding(evidence, check, path, group) for path, group in groups.items()]


def _finding(
    evidence: Evidence, check: type[Check], path: Path, group: Sequence[Problem]
) -> Finding:
    first = group[0]
    each = (name for problem in group for name in (problem.layer, *problem.others))
    document = evidence.model.document
    place = document.place(path)
    # What Keras has written is made by Python, where the remedy belongs.
    is_fixable = document.dialect != "keras"
    return Finding(
        code=check.code,
        rule=check.name,
        severity=first.severity or check.severity,
        layer=first.layer,
        layers=tuple(dict.fromkeys(each)),
        tensor=first.tensor,
        path=path,
        file=place.file,
        line=place.line,
        column=place.column,
        message=first.message,
        why=check.why,
        remedy=first.remedy,
        changes=merged(c for each in group for c in each.changes) if is_fixable else (),
    )
