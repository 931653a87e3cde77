"""``check --fix``: write remedies into a spec until there is nothing more to write."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec

from initcli.checks import Finding, Report, check
from initcli.checks.evidence import How
from initcli.documents.document import Document
from initcli.documents.edit import CannotEdit, Change, edited, merged
from initcli.errors import printable
from initcli.frameworks import Framework
from initcli.sources.building import build
from initcli.sources.load import custom_functions
from initcli.sources.read import parse, read
from initcli.types import SEVERITIES

_MAX_ROUNDS = 6
"""Rounds in which remedies of findings that came to light with the last ones are written."""


class Fixed(msgspec.Struct, frozen=True, kw_only=True):
    """A spec's text before and after, the findings of each, and notes on what was not written."""

    file: str
    before: str
    after: str
    first: Report
    last: Report
    notes: tuple[str, ...] = ()

    @property
    def fixed(self) -> int:
        """The number of findings that are gone."""
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


def fix(
    source: str,
    *,
    seed: int | None = None,
    defaults: Framework | None = None,
    custom: Iterable[str] = (),
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    how: How = "auto",
    batch: int | None = None,
    draws: int | None = None,
) -> Fixed:
    """Write remedies into a spec's text, errors before warnings; nothing is saved.

    The scales of kernels are solved for together, so that the signal keeps its size at each layer.

    Args:
        source: path of a spec, or ``-`` for standard input.
        seed: as in :func:`initcli.load`, as are ``defaults`` and ``custom``.
        select: as in :func:`initcli.check`, as are ``ignore``, ``how``, ``batch`` and ``draws``.

    Raises:
        InvalidSpec: the spec cannot be read, or is wrong.

    >>> import initcli
    >>> fixed = initcli.fix("sample_configs/mlp_tanh_deep.yaml")
    >>> len(fixed.first.findings), len(fixed.last.findings), fixed.fixed
    (1, 0, 1)
    """
    functions = custom_functions(custom)

    def checked(document: Document) -> Report:
        model = build(document, seed=seed, defaults=defaults, functions=functions)
        return check(model, select=select, ignore=ignore, how=how, batch=batch, draws=draws)

    document = read(source)
    first = last = checked(document)
    file, before = document.file, document.text
    notes: list[str] = []
    if not document.is_editable and first.findings:
        is_keras = document.dialect == "keras"
        reason = "made by Keras" if is_keras else "neither YAML nor JSON"
        where = "into its model's Python" if is_keras else "by hand"
        notes.append(f"{file} is {reason}: write the remedies {where}")
    text = before
    for _ in range(_MAX_ROUNDS):
        changes = _changes(document, last.findings, notes)
        if not changes:
            break
        try:
            changed = edited(text, file, changes)
        except CannotEdit as error:
            notes.append(str(error))
            break
        if changed == text:
            break
        text = changed
        document = parse(text, file)
        last = checked(document)
    notes = list(dict.fromkeys(notes))
    return Fixed(file=file, before=before, after=text, first=first, last=last, notes=tuple(notes))


def _changes(document: Document, findings: Sequence[Finding], notes: list[str]) -> list[Change]:
    """The changes of the most severe findings that stand in the document's own file."""
    fixable = [finding for finding in findings if finding.changes]
    worst = min((SEVERITIES.index(each.severity) for each in fixable), default=0)
    own: list[Change] = []
    for change in merged(
        change for each in fixable if each.severity == SEVERITIES[worst] for change in each.changes
    ):
        origin = document.origin(change.path)
        if origin.document.file == document.file:
            own.append(change._replace(path=origin.path))
        else:
            notes.append(f"{origin.document.file}, which this extends, has to be fixed by itself")
    return own
