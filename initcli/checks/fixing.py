"""Try remedies on a model, and write those that fix a finding into its spec."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, NamedTuple

import msgspec

from initcli.checkpoint import Checkpoint, Subject, require_subject
from initcli.checks.base import Finding
from initcli.checks.evidence import How
from initcli.checks.judging import Report, joined, judged, judged_values
from initcli.checks.values import without_values
from initcli.documents.document import Document
from initcli.documents.edit import CannotEdit, Change, edited
from initcli.errors import printable
from initcli.frameworks import Framework
from initcli.model import Model, leaves
from initcli.signal.sharing import sharing
from initcli.sources.building import build
from initcli.sources.load import load
from initcli.sources.read import parse
from initcli.types import SEVERITIES, texts

_MAX_ROUNDS = 6
"""Maximum number of rounds; each tries remedies of findings that the previous one revealed."""
_MAX_TRIALS = 4
"""Maximum number of sets of remedies to try, each without those that did not help before."""
_MAX_LAYERS = 4_000
"""Maximum number of layers that all trials check together; two models are checked at least."""


class Fixed(msgspec.Struct, frozen=True, kw_only=True):
    """A spec's text and findings before and after fixing, and notes on what was not written."""

    file: str
    before: str
    after: str
    first: Report
    last: Report
    notes: tuple[str, ...] = ()

    @property
    def fixed(self) -> int:
        """The number of fixed findings."""
        return max(len(self.first.findings) - len(self.last.findings), 0)

    @property
    def diff(self) -> str:
        """The changes as a unified diff."""
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        name = printable(self.file)
        lines = difflib.unified_diff(before, after, fromfile=name, tofile=name)
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in lines
        )


def check(
    model: Subject,
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    how: How = "auto",
    batch: int | None = None,
    draws: int | None = None,
) -> Report:
    """Check the initial weights of a model, or stored values, and try the remedies.

    A finding is fixable if a trial of its remedy removes it.

    Args:
        model: the model to check, or the tensors of a file.
        select: codes, prefixes of codes, or names of checks to run; all by default.
        ignore: codes, prefixes of codes, or names of checks to skip.
        how: whether the signal is ``measured``, ``predicted`` from the distributions alone, or
            ``auto``: measured if that takes a few seconds at most.
        batch: number of examples to measure.
        draws: number of draws to measure.

    Raises:
        NotInCatalog: no check has such a code.
        TooLarge: a tensor that must be drawn does not fit in memory.
        CustomFunctionError: a custom initializer failed.

    >>> import initcli
    >>> report = initcli.check(initcli.load("sample_configs/mlp_tanh_deep.yaml"))
    >>> report.errors, report.findings[0].code, report.findings[0].line
    (1, 'I202', 10)
    """
    require_subject(model)
    chosen: dict[str, Any] = {
        "select": texts("select", select),
        "ignore": texts("ignore", ignore),
    }
    has_values = any(each.stored for each in model.parameters)
    if isinstance(model, Checkpoint) or (has_values and model.source == "huggingface"):
        # The initial signal of a configuration says nothing about trained tensors.
        return judged_values(model, **chosen)
    signal = {"how": how, "batch": batch, "draws": draws}
    start = _fixed(without_values(model), {**chosen, **signal}).first
    if not has_values:
        return start
    return joined(start, judged_values(model, **chosen))


def fix(
    source: str | PathLike[str],
    *,
    seed: int | None = None,
    defaults: Framework | None = None,
    custom: Iterable[str | PathLike[str]] = (),
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    how: How = "auto",
    batch: int | None = None,
    draws: int | None = None,
) -> Fixed:
    """Write the remedies that pass a trial into a spec's text; no file is changed.

    The scales of kernels are solved together, so that the signal keeps its size at each layer.

    Args:
        source: path of a spec, or ``-`` for standard input.
        seed: as in :func:`initcli.load`, like ``defaults`` and ``custom``.
        select: as in :func:`initcli.check`, like ``ignore``, ``how``, ``batch`` and ``draws``.

    Raises:
        InvalidSpec: the spec cannot be read, or is wrong.

    >>> import initcli
    >>> fixed = initcli.fix("sample_configs/mlp_tanh_deep.yaml")
    >>> len(fixed.first.findings), len(fixed.last.findings), fixed.fixed
    (1, 0, 1)
    """
    model = load(source, seed=seed, defaults=defaults, custom=custom)
    judging = {"select": select, "ignore": ignore, "how": how, "batch": batch, "draws": draws}
    return _fixed(model, judging)


class _Trial(NamedTuple):
    """A text with remedies, the findings that they are for, and the findings that remain.

    ``moved`` are the findings that the last remedies only moved to other places.
    """

    text: str
    remedied: tuple[Finding, ...]
    last: Report
    moved: tuple[Finding, ...] = ()

    @property
    def failed(self) -> list[Finding]:
        """The findings that their remedies have not fixed."""
        left = [each for each in self.remedied if _is_among(each, self.last.findings)]
        return left or list(self.moved)

    def followed_by(self, text: str, remedied: Sequence[Finding], last: Report) -> _Trial:
        """The next trial: further remedies, the findings that they are for, and the last report."""
        before, after = (
            Counter(each.code for each in report.findings) for report in (self.last, last)
        )
        moved = tuple(each for each in remedied if after[each.code] >= before[each.code])
        return _Trial(text, (*self.remedied, *remedied), last, moved)


@sharing()
def _fixed(model: Model, judging: dict[str, Any]) -> Fixed:
    """The findings on a model, and those that remain with the remedies that help."""
    document, first = model.document, judged(model, **judging)
    notes: list[str] = []
    if not document.is_editable and first.findings:
        is_keras = document.dialect == "keras"
        reason = "made by Keras" if is_keras else "neither YAML nor JSON"
        where = "into its model's Python" if is_keras else "by hand"
        notes.append(f"{document.file} is {reason}: write the remedies {where}")
    useless: list[Finding] = []
    known: dict[str, Report] = {}
    best = _Trial(document.text, (), first)
    for _ in range(_MAX_TRIALS):
        trial = _tried(model, first, useless, judging, notes, known)
        if not trial.remedied:
            break
        if not trial.failed and _counts(trial.last) < _counts(first):
            best = trial
            break
        useless += trial.failed or trial.remedied
    hidden = [each for each in best.remedied if not _is_among(each, first.findings)]
    if hidden:
        codes = ", ".join(dict.fromkeys(each.code for each in hidden))
        more = f"--fix also fixes findings that these remedies reveal ({codes}); see --diff"
        first = msgspec.structs.replace(first, notes=(*first.notes, more))
    findings = tuple(
        msgspec.structs.replace(
            each,
            fixable=best.text != document.text and not _is_among(each, best.last.findings),
            remedy=each.advice if each.advice and _is_among(each, useless) else each.remedy,
        )
        for each in first.findings
    )
    return Fixed(
        file=document.file,
        before=document.text,
        after=best.text,
        first=msgspec.structs.replace(first, findings=findings),
        last=best.last,
        notes=tuple(dict.fromkeys(notes)),
    )


def _tried(
    model: Model,
    first: Report,
    useless: Sequence[Finding],
    judging: dict[str, Any],
    notes: list[str],
    known: dict[str, Report],
) -> _Trial:
    """Write all remedies but the useless ones, errors before warnings, until one fails.

    ``known`` caches the report on each text.
    """
    document = model.document
    most = max(_MAX_LAYERS // max(sum(1 for _ in leaves(model.layers)), 1), 2)
    trial = _Trial(document.text, (), first)
    for _ in range(_MAX_ROUNDS):
        wanted = [each for each in trial.last.findings if not _is_among(each, useless)]
        text, remedied = _written(document, trial.text, wanted, notes)
        if text == trial.text:
            break
        document = parse(text, document.file)
        if text not in known:
            if len(known) == most:
                break
            changed = build(
                document, seed=model.seed, defaults=model.defaults, functions=model.functions
            )
            known[text] = judged(changed, **judging)
        trial = trial.followed_by(text, remedied, known[text])
        if trial.failed:
            break
    return trial


def _written(
    document: Document, text: str, findings: Sequence[Finding], notes: list[str]
) -> tuple[str, list[Finding]]:
    """The text with the remedies of the most severe findings, and the findings written."""
    remedied: list[Finding] = []
    for severity in SEVERITIES:
        severe = [each for each in findings if each.severity == severity and each.changes]
        owned = [(each, _own(document, each.changes, notes)) for each in severe]
        text, remedied = _edited(document, text, [pair for pair in owned if pair[1]], notes)
        if remedied:
            break
    return text, remedied


def _edited(
    document: Document, text: str, owned: Sequence[tuple[Finding, list[Change]]], notes: list[str]
) -> tuple[str, list[Finding]]:
    """The text with the changes of findings, all at once, or by halves if that fails."""
    if not owned:
        return text, []
    try:
        changes = [change for _, own in owned for change in own]
        return edited(text, document.file, changes), [each for each, _ in owned]
    except CannotEdit as error:
        if len(owned) == 1:
            notes.append(str(error))
            return text, []
    half = len(owned) // 2
    text, first = _edited(document, text, owned[:half], notes)
    text, second = _edited(document, text, owned[half:], notes)
    return text, first + second


def _own(document: Document, changes: Sequence[Change], notes: list[str]) -> list[Change]:
    """The changes by their paths in a document's own text; empty if one is in another file."""
    own: list[Change] = []
    for change in changes:
        origin = document.origin(change.path)
        if origin.document.file != document.file:
            name = printable(origin.document.file)
            notes.append(f"{name}, which this extends, has to be fixed by itself")
            return []
        own.append(change._replace(path=origin.path))
    return own


def _is_among(finding: Finding, others: Sequence[Finding]) -> bool:
    """Whether one of the others is of the same check and about one of the same layers."""
    layers = set(finding.layers)
    return any(each.code == finding.code and layers.intersection(each.layers) for each in others)


def _counts(report: Report) -> tuple[int, int]:
    return report.errors, report.warnings
