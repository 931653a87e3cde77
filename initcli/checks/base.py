"""The base class of checks, and their findings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import msgspec

from initcli.checks.evidence import Evidence
from initcli.documents.document import Document
from initcli.documents.edit import Change, merged
from initcli.errors import Path, printable
from initcli.model import BuiltLayer
from initcli.parameter import Parameter
from initcli.types import Severity


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One problem of a model, and its place in a file.

    Args:
        code: code of the check; ``rule`` is its name.
        layer: the layer to look at first.
        layers: all layers involved, such as those of a repeated block.
        tensor: path of the parameter at fault, if any.
        path: path in the spec's data; ``file``, ``line`` and ``column`` (from 1) are the same place
            in the text.
        message: the problem, with its numbers.
        why: why it matters, with a source.
        remedy: what to write instead.
        advice: what else to change if the remedy does not fix the finding.
        changes: the remedy as changes of the spec, if it can be written.
        fixable: whether a trial of ``--fix`` removed the finding.
    """

    code: str
    rule: str
    severity: Severity
    layer: str
    layers: tuple[str, ...]
    tensor: str | None
    path: Path
    file: str
    line: int
    column: int
    message: str
    why: str
    remedy: str
    advice: str = ""
    changes: tuple[Change, ...] = ()
    fixable: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return printable(f"{place}: {self.code} {self.message}") + f"\n  = {printable(self.remedy)}"


class Check:
    """A rule about how weights start.

    A check is one class in a file of its own in ``checks/rules``. Its docstring is its
    documentation: a title, then sections under ``##`` headings, among them *What it does*,
    *Why is this bad*, *Reported* and *Not reported* (a spec each, which tests run) and
    *References*.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity] = "error"

    @classmethod
    def registered_names(cls) -> tuple[str, ...]:
        """The code under which the check is registered."""
        return (cls.code,)

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """The problems of a model, in the order of its layers."""
        raise NotImplementedError

    def finding(
        self,
        evidence: Evidence,
        layer: BuiltLayer,
        parameter: Parameter | None = None,
        *,
        message: str,
        initializer: Any = None,
        remedy: str = "",
        advice: str = "",
        changes: Iterable[Change] = (),
        others: Iterable[str] = (),
        severity: Severity | None = None,
    ) -> Finding:
        """A finding at a layer, or at the initializer of one of its parameters.

        Give the remedy as ``remedy`` with ``changes`` of the spec, or as another ``initializer`` of
        the parameter. ``advice`` replaces a remedy that is empty or does not help.
        """
        path = evidence.path(layer, parameter)
        if parameter is not None and initializer is not None:
            remedy = evidence.written(parameter, initializer)
            changes = evidence.change(layer, parameter, initializer)
        return self.placed(
            evidence.model.document,
            path,
            layer,
            parameter,
            message=message,
            remedy=remedy or advice,
            advice=advice,
            changes=changes,
            others=others,
            severity=severity,
        )

    def placed(
        self,
        document: Document,
        path: Path,
        layer: BuiltLayer,
        parameter: Parameter | None,
        *,
        message: str,
        remedy: str,
        advice: str = "",
        changes: Iterable[Change] = (),
        others: Iterable[str] = (),
        severity: Severity | None = None,
    ) -> Finding:
        """A finding at a place of a document."""
        place = document.place(path)
        return Finding(
            code=self.code,
            rule=self.name,
            severity=severity or self.severity,
            layer=layer.name,
            layers=tuple(dict.fromkeys((layer.name, *others))),
            tensor=None if parameter is None else parameter.path,
            path=path,
            file=place.file,
            line=place.line,
            column=place.column,
            message=message,
            why=self.why(),
            remedy=remedy,
            advice=advice,
            changes=merged(changes) if document.is_editable else (),
        )

    @classmethod
    def text(cls) -> str:
        """The documentation."""
        return inspect.cleandoc(cls.__doc__ or "")

    @classmethod
    def title(cls) -> str:
        """The first line of the documentation."""
        return cls.text().partition("\n")[0]

    @classmethod
    def sections(cls) -> dict[str, str]:
        """The sections of the documentation by their headings."""
        _, *parts = re.split(r"^## (.+)\n", cls.text(), flags=re.MULTILINE)
        return {
            heading: text.strip() for heading, text in zip(parts[::2], parts[1::2], strict=True)
        }

    @classmethod
    def why(cls) -> str:
        """Why the problem matters, with references."""
        sections = cls.sections()
        reason = " ".join(sections["Why is this bad"].split()).removesuffix(".")
        items = re.split(r"^- ", sections["References"], flags=re.MULTILINE)
        references = "; ".join(" ".join(item.split()) for item in items if item.strip())
        return f"{reason} ({references})."

    @classmethod
    def example(cls, section: str) -> str:
        """The code in a section, such as the spec in *Reported*."""
        code = re.search(r"^```\w+\n(.*?)^```$", cls.sections().get(section, ""), _BLOCK)
        return "" if code is None else code[1]


_BLOCK = re.DOTALL | re.MULTILINE
