"""What a check is, and what it finds."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

import msgspec

from initcli.documents.edit import Change
from initcli.errors import Path, printable
from initcli.types import Severity

if TYPE_CHECKING:
    from initcli.checks.evidence import Evidence


def merged(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The changes with one for each place, the last that was asked for."""
    return tuple({change.path: change for change in changes}.values())


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What a check sees in one place.

    Args:
        layer: whose problem it is.
        others: the layers that take part in it.
        tensor: the path of the parameter at fault, where it is one.
        path: where in the spec's data it stands.
        message: what was seen, with its numbers.
        remedy: what to write instead.
        changes: the remedy as changes of the spec, where it can be written at all.
        severity: where it is not the check's own.
    """

    layer: str
    others: tuple[str, ...] = ()
    tensor: str | None = None
    path: Path
    message: str
    remedy: str
    changes: tuple[Change, ...] = ()
    severity: Severity | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One problem of a model, and where in its file it stands.

    ``layers`` are all that take part, ``layer`` before them: those of a stretch through which a
    signal goes, or of a block that repeats. ``path`` is where in the spec's data the finding
    stands, and line and column count from 1.
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
    changes: tuple[Change, ...] = ()

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return printable(f"{place}: {self.code} {self.message}") + f"\n  = {printable(self.remedy)}"

    @property
    def fixable(self) -> bool:
        """Whether the remedy can be written into the spec."""
        return bool(self.changes)


class Check:
    """A rule about how weights start.

    A check is one class in a file of its own in ``checks/rules``. Its documentation is what
    ``--explain`` shows, before a spec that the check finds fault with and one that it just does
    not.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity] = "error"
    why: ClassVar[str]
    """Why it matters, in a sentence that names who found out."""
    triggers: ClassVar[str]
    """A spec with the problem."""
    passes: ClassVar[str]
    """A spec that just does not have it."""
    custom: ClassVar[str] = ""
    """A file of initializers that both name, where the check is about such."""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        """What is wrong, in the order of the layers."""
        raise NotImplementedError

    @classmethod
    def text(cls) -> str:
        """The documentation."""
        return inspect.cleandoc(cls.__doc__ or "")

    @classmethod
    def title(cls) -> str:
        """The first line of the documentation."""
        return cls.text().partition("\n")[0]
