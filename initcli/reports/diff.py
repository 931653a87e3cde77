"""The differences between the tensors of two sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Annotated, ClassVar, Literal, get_args

import msgspec

from initcli.checkpoint import Subject
from initcli.display import DisplayedSequence
from initcli.measuring.difference import NOTHING, Difference, differences
from initcli.measuring.portions import Progress
from initcli.model import matching
from initcli.parameter import Parameter
from initcli.reports.record import ModelRecord, Rows, doc, record, rows_of
from initcli.reports.summary import DistributionRecord, MeasuredRecord, TensorRecord
from initcli.reports.tensors import TensorSummary, has_values, held, summaries
from initcli.sampling.workers import HERE, Workers
from initcli.sources.packed import with_unpacked
from initcli.sources.pairing import counterparts
from initcli.sources.subject import subject_of
from initcli.types import texts

Kind = Literal["unchanged", "changed", "reshaped", "added", "removed", "unknown"]
"""How a tensor changed; unknown if its values cannot be read or drawn."""

Aligned = tuple[Parameter | None, Parameter | None]
"""A pair of tensors of A and B; None for a tensor that is missing."""


class Change(msgspec.Struct, frozen=True):
    """The change of the tensor at a path, from ``a`` (None if added) to ``b`` (None if removed).

    The path is that in A, or in B if the tensor was added.

    ``size`` is the number of entries, in B for a reshaped tensor. ``difference`` is that of the
    values, None unless both have values and the same shape.
    """

    path: str
    kind: Kind
    size: int
    a: TensorSummary | None = None
    b: TensorSummary | None = None
    difference: Difference | None = None

    @property
    def bare(self) -> Change:
        """The change without measurements, which takes little memory."""
        return msgspec.structs.replace(self, a=None, b=None)


class Diff(DisplayedSequence[Change], frozen=True, kw_only=True):
    """The change of each tensor from A to B, as a :class:`Change`."""

    a: Subject
    b: Subject

    view: ClassVar[str] = "diff"

    @property
    def totals(self) -> DiffTotals:
        """The number of tensors by kind of change, and the change of all together."""
        return DiffTotals.of(self)

    @property
    def headline(self) -> str:
        return f"from {self.a.name} to {self.b.name}: {self.totals.text or 'no tensors'}"

    def lines(self) -> Iterator[tuple[str, ...]]:
        for each in self:
            relative = "" if each.difference is None else f"{each.difference.relative:.3g}"
            yield each.path, each.kind, relative if each.kind == "changed" else ""


def diff(
    a: str | PathLike[str] | Subject,
    b: str | PathLike[str] | Subject,
    *,
    pairs: Iterable[str] = (),
) -> Diff:
    """The change of each tensor from A to B: the tensors of A in order, then those only in B.

    Tensors are paired by path or, if A and B have no path in common, like a model with the weights
    of another file. Values of a model that stores none are sampled.

    Args:
        a: a file or folder of weights, any source that :func:`initcli.load` takes, or a loaded
            model.
        b: the same, after the change.
        pairs: pairs of tensors with different paths, each as ``A=B``.

    Raises:
        InvalidSpec: a source cannot be read, or the pairing is ambiguous.
        BadOverride: a pair names no tensor, or the shapes differ.
        TooLarge: a tensor does not fit in memory, or there are too many weights.
        CustomFunctionError: a custom initializer failed.
        CodeError: code fails, or returns no model.

    >>> import initcli
    >>> text = "{input_shape: [8], layers: [{type: Dense, units: 4}]}"
    >>> a, b = (initcli.parse(text, seed=seed) for seed in (0, 1))
    >>> [(change.path, change.kind) for change in initcli.diff(a, b)]
    [('dense/kernel', 'changed'), ('dense/bias', 'unchanged')]
    """
    one, two = subject_of(a), subject_of(b)
    tensors = aligned(one, two, pairs=texts("pairs", pairs))
    return Diff(a=one, b=two, entries=tuple(changes(one, two, tensors)))


def aligned(
    a: Subject, b: Subject, globs: Iterable[str] = (), *, pairs: Iterable[str] = ()
) -> list[Aligned]:
    """The tensors of both in pairs, see :func:`diff`, that match one of the patterns ``globs``.

    Two sources of one tensor each are a pair regardless of the paths, because the path of a single
    array is the name of its file.

    Raises:
        NoSuchTensor: a pattern matches no tensor of either.
        InvalidSpec: the pairing is ambiguous.
        BadOverride: one of ``pairs`` names no tensor, or the shapes differ.
    """
    first, second = ({each.path: each for each in model.parameters} for model in (a, b))
    if len(first) == len(second) == 1:
        second = dict(zip(first, second.values(), strict=True))
    guess, pairs = first.keys().isdisjoint(second), list(pairs)
    if guess:
        whole = {name for pair in pairs for name in pair.split("=")}
        a, b = with_unpacked(a, b, whole), with_unpacked(b, a, whole)
        first, second = ({each.path: each for each in model.parameters} for model in (a, b))
    renamed = counterparts(a, b, pairs, guess=guess)
    partners = {one.path: (one, two) for one, two in renamed}
    taken = {two.path for _, two in renamed}
    rest = {path: each for path, each in second.items() if path not in taken}
    tensors: list[Aligned] = [
        partners[path] if path in partners else (each, rest.pop(path, None))
        for path, each in first.items()
    ]
    tensors += ((None, each) for each in rest.values())
    wanted = texts("globs", globs)
    if not wanted:
        return tensors
    kept = {each.path for each in matching((*a.parameters, *b.parameters), wanted)}
    return [pair for pair in tensors if any(each and each.path in kept for each in pair)]


def changes(
    a: Subject,
    b: Subject,
    tensors: Sequence[Aligned],
    *,
    workers: Workers = HERE,
    progress: Progress | None = None,
) -> Iterator[Change]:
    """The changes of tensors from A to B, see :func:`aligned`.

    All values are compared before the first change is returned; of equal tensors only one side is
    measured.
    """
    pairs = [(one, two) for one, two in tensors if one and two and _are_comparable(one, two)]
    compared = zip(pairs, differences(pairs, workers=workers, progress=progress), strict=True)
    found = {one.path: difference for (one, _), difference in compared}
    kinds = [_kind(one, two, found) for one, two in tensors]
    changed = [
        two for (_, two), kind in zip(tensors, kinds, strict=True) if two and kind != "unchanged"
    ]
    before = summaries(a, only=[one for one, _ in tensors if one], workers=workers)
    after = summaries(b, only=changed, workers=workers)
    for (one, two), kind in zip(tensors, kinds, strict=True):
        first = next(before) if one else None
        if first and two and kind == "unchanged":
            second: TensorSummary | None = held(two, first.measured)
        else:
            second = next(after) if two else None
        path = (one or two).path  # type: ignore[union-attr]  # at least one has the path
        size = (two or one).size  # type: ignore[union-attr]
        yield Change(path, kind, size, first, second, found.get(path))


def _are_comparable(one: Parameter, two: Parameter) -> bool:
    return one.shape == two.shape and has_values(one) and has_values(two)


def _kind(one: Parameter | None, two: Parameter | None, found: dict[str, Difference]) -> Kind:
    if one is None:
        return "added"
    if two is None:
        return "removed"
    if one.shape != two.shape:
        return "reshaped"
    if one.path not in found:
        return "unknown"
    return "changed" if found[one.path].changed or one.dtype != two.dtype else "unchanged"


class DifferenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The difference of the values of two tensors of the same shape."""

    relative: Annotated[
        float, doc("Relative L2 change ‖b − a‖ / ‖a‖; null if ‖a‖ is 0 and ‖b‖ is not.")
    ]
    cosine: Annotated[float, doc("Cosine similarity of both; null if one of them is 0.")]
    largest: Annotated[float, doc("Largest change |b − a| of an element.")]
    changed: Annotated[int, doc("Number of elements that differ, bit by bit if dtypes agree.")]
    not_finite: Annotated[
        int,
        doc(
            "Number of elements that are NaN or infinite in A or B; all other figures exclude them."
        ),
    ]


class SideRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor before or after the change."""

    path: Annotated[str, doc("Path in this source.")]
    shape: Annotated[tuple[int, ...], doc("Shape.")]
    dtype: Annotated[str, doc("Dtype of the elements.")]
    values: Annotated[
        str | None, doc("Origin of the values: sampled, stored, live; null if there are none.")
    ]
    distribution: Annotated[
        DistributionRecord | None, doc("Declared distribution of one element; null if not known.")
    ]
    measured: Annotated[MeasuredRecord | None, doc("Statistics of the values.", row="")]

    @classmethod
    def of(cls, tensor: TensorSummary | None) -> SideRecord | None:
        """The record of a tensor, if there is one."""
        return None if tensor is None else record(cls, TensorRecord.of(tensor, ""))


class ChangeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The change of one tensor."""

    path: Annotated[str, doc("Path in A, in B if added.")]
    kind: Annotated[
        Kind, doc("unchanged (bit by bit), changed, reshaped, added, removed or unknown.")
    ]
    difference: Annotated[
        DifferenceRecord | None,
        doc("Difference of the values; null unless both have values and the same shape.", row=""),
    ]
    a: Annotated[SideRecord | None, doc("The tensor in A; null if added.")]
    b: Annotated[SideRecord | None, doc("The tensor in B; null if removed.")]

    @classmethod
    def of(cls, change: Change) -> ChangeRecord:
        """The record of a change."""
        difference = change.difference and record(DifferenceRecord, change.difference)
        a, b = SideRecord.of(change.a), SideRecord.of(change.b)
        return record(cls, change, difference=difference, a=a, b=b)


class DiffTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Number of tensors by kind of change, and the change of all pairs together."""

    unchanged: Annotated[int, doc("Number of tensors that are equal bit by bit.")]
    changed: Annotated[int, doc("Number of tensors whose values or dtypes differ.")]
    reshaped: Annotated[int, doc("Number of tensors whose shapes differ.")]
    added: Annotated[int, doc("Number of tensors that only B has.")]
    removed: Annotated[int, doc("Number of tensors that only A has.")]
    unknown: Annotated[int, doc("Number of tensors whose values cannot be read or drawn.")]
    relative: Annotated[
        float, doc("Relative L2 change of all pairs with equal shapes together; null without any.")
    ]

    @classmethod
    def of(cls, changes: Iterable[Change]) -> DiffTotals:
        """The totals of changes."""
        counts: Counter[str] = Counter()
        whole = NOTHING
        for change in changes:
            counts[change.kind] += 1
            whole += change.difference or NOTHING
        return cls(**{kind: counts[kind] for kind in get_args(Kind)}, relative=whole.relative)

    @property
    def text(self) -> str:
        """The totals as text."""
        counts = {kind: getattr(self, kind) for kind in get_args(Kind)}
        return ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)


class DiffReport(msgspec.Struct, frozen=True, kw_only=True):
    """The differences between the tensors of two sources, A and B."""

    a: Annotated[ModelRecord, doc("The first source.")]
    b: Annotated[ModelRecord, doc("The second source.")]
    tensors: Annotated[
        tuple[ChangeRecord, ...], doc("Tensors of A in order, then those that only B has.")
    ]
    totals: Annotated[DiffTotals, doc("Sums over these tensors.")]

    @classmethod
    def of(cls, a: Subject, b: Subject, changes: Iterable[Change]) -> DiffReport:
        """The report on the changes from A to B."""
        bare, tensors = [], []
        for change in changes:
            bare.append(change.bare)
            tensors.append(ChangeRecord.of(change))
        return cls(
            a=ModelRecord.of(a),
            b=ModelRecord.of(b),
            tensors=tuple(tensors),
            totals=DiffTotals.of(bare),
        )


def diff_rows(a: Subject, b: Subject, changes: Iterable[Change]) -> Rows:
    """One row per tensor, as it comes."""
    shown = ("path", "kind", "relative", "cosine", "largest", "a_mean", "b_mean", "a_std", "b_std")
    return rows_of(
        ChangeRecord,
        map(ChangeRecord.of, changes),
        {},
        title=f"{a.name} and {b.name}",
        shown=shown,
    )
