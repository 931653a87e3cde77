"""The initializers that stored tensors look like, each with its runners-up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import tee
from os import PathLike
from typing import Annotated, ClassVar

import msgspec

from initcli.checkpoint import Subject
from initcli.display import DisplayedSequence
from initcli.errors import NoStoredValues
from initcli.matching.identify import identifier
from initcli.matching.independence import Stored
from initcli.matching.match import Identified
from initcli.measuring.measurement import Measurement
from initcli.parameter import Parameter
from initcli.reports.record import Rows, doc, record, rows_of
from initcli.reports.summary import MatchRecord
from initcli.reports.tensors import TensorSummary, is_stored, model_facts, summaries
from initcli.sources.subject import subject_of
from initcli.types import shape_text

Found = tuple[Parameter, Identified]
"""A tensor, and the initializers that it looks like."""


class Identification(DisplayedSequence[Found], frozen=True, kw_only=True):
    """The tensors of a source, each with the initializers that its values look like."""

    model: Subject

    view: ClassVar[str] = "identify"

    @property
    def headline(self) -> str:
        count = sum(bool(answer.matches) for _, answer in self)
        return f"of {self.model.name}: {count:,} of {len(self):,} tensors identified"

    def lines(self) -> Iterator[tuple[str, ...]]:
        for parameter, answer in self:
            rule = answer.matches[0].rule if answer.matches else answer.note or "not identified"
            yield parameter.path, shape_text(parameter.shape), rule


class IdentifiedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One stored tensor."""

    path: Annotated[str, doc("Path in the file.")]
    shape: Annotated[tuple[int, ...], doc("Shape in the file.")]
    dtype: Annotated[str, doc("Dtype of the elements.")]
    size: Annotated[int, doc("Number of elements.")]
    match: Annotated[
        MatchRecord | None, doc("Initializer that the values look like; null if none.")
    ]
    note: Annotated[
        str, doc("Structure of the values, or the reason why no initializer fits; may be empty.")
    ]

    @classmethod
    def of(cls, found: Found) -> IdentifiedRecord:
        """The record of a tensor."""
        parameter, answer = found
        return record(cls, parameter, match=MatchRecord.of(answer.matches), note=answer.note)


class IdentifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The stored tensors of a file, and the initializers that they look like."""

    tensors: Annotated[tuple[IdentifiedRecord, ...], doc("Tensors, in the order of the file.")]

    @classmethod
    def of(cls, found: Iterable[Found]) -> IdentifyReport:
        """The report on identified tensors."""
        return cls(tensors=tuple(map(IdentifiedRecord.of, found)))


def identify(source: str | PathLike[str] | Subject) -> Identification:
    """The initializer that each stored tensor looks like, and others that its values agree with.

    Args:
        source: a file or folder of weights, or a model with stored or live values.

    Raises:
        NoStoredValues: the source has no stored values.
        InvalidSpec: the source cannot be read.

    >>> import initcli, tempfile
    >>> model = initcli.parse("{input_shape: [64], layers: [{type: Dense, units: 64}]}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = f"{folder}/weights.npz"
    ...     initcli.export(model, file)
    ...     [(each.path, answer.matches[0].rule) for each, answer in initcli.identify(file)]
    []
    [('dense/kernel', 'U(±√(6/(fan_in + fan_out)))'), ('dense/bias', 'constant 0')]
    """
    model = subject_of(source)
    found = identified(model, summaries(model))
    return Identification(model=model, entries=tuple(found))


def identified(model: Subject, tensors: Iterable[TensorSummary]) -> Iterator[Found]:
    """The initializers that measured tensors of a model look like, as they come.

    Raises:
        NoStoredValues: the model has no stored values.
    """
    if not is_stored(model):
        raise NoStoredValues(
            f"{model.name} has no stored values to identify",
            "give a file of weights, such as model.safetensors",
        )
    stored = [each.stored for each in model.parameters if each.stored is not None]
    identify = identifier([each for each in stored if each.storage is not None])
    return (_identified(identify, each) for each in tensors)


def _identified(
    identify: Callable[[Stored, Measurement], Identified], tensor: TensorSummary
) -> Found:
    stored = tensor.parameter.stored
    if stored is None or tensor.measured is None:
        return tensor.parameter, Identified(note="no values that can be read")
    return tensor.parameter, identify(stored, tensor.measured)


def matched(model: Subject, tensors: Iterable[TensorSummary]) -> Iterator[TensorSummary]:
    """Measured tensors, stored ones with the initializers that they look like."""
    if not is_stored(model):
        yield from tensors
        return
    summaries, again = tee(tensors)
    for summary, (_, answer) in zip(summaries, identified(model, again), strict=True):
        yield msgspec.structs.replace(summary, match=answer)


def identify_rows(spec: str, model: Subject, found: Iterable[Found]) -> Rows:
    """One row per tensor, as it comes; ``spec`` is the name of the file on the command line."""
    return rows_of(
        IdentifiedRecord,
        map(IdentifiedRecord.of, found),
        {"spec": spec},
        title=model.name,
        facts=", ".join(model_facts(model)),
        shown=("path", "shape", "size", "match", "match_framework", "match_p_value", "note"),
    )
