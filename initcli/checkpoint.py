"""A checkpoint: the tensors of a file of weights, without known layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import groupby
from typing import Any, ClassVar, cast

from initcli.display import Displayed
from initcli.documents.document import Document
from initcli.initializers.base import Undeclared
from initcli.layers import Layer
from initcli.model import BuiltLayer, Model, matching
from initcli.parameter import Parameter
from initcli.stored import StoredTensor
from initcli.types import shape_text


class Tensors(Layer, frozen=True, kw_only=True):
    """Stand-in for a layer of which only the names of tensors are known."""

    registered = False

    @property
    def type_name(self) -> str:
        return ""


class Checkpoint(Displayed, frozen=True, kw_only=True, dict=True):
    """The tensors of a file, with the attributes of a model that reports use.

    ``notes`` are facts about the file for its owner. ``has_model`` is whether the file also has the
    model of the tensors. ``file`` is its path.
    """

    name: str
    tensors: tuple[StoredTensor, ...]
    notes: tuple[str, ...] = ()
    has_model: bool = False
    file: str = ""

    view: ClassVar[str] = "model"
    seed = None
    defaults = None
    source = "weights"

    @property
    def headline(self) -> str:
        size = sum(tensor.size for tensor in self.tensors)
        return f"{self.name}: {len(self.tensors):,} tensors, {size:,} weights"

    def lines(self) -> Iterator[tuple[str, ...]]:
        for tensor in self.tensors:
            yield tensor.path, shape_text(tensor.shape), tensor.dtype

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every tensor as a parameter that has no initializer."""
        undeclared = Undeclared()
        return tuple(
            Parameter(
                path=tensor.path,
                shape=tensor.shape,
                initializer=undeclared,
                dtype=cast(Any, tensor.dtype),
                stored=tensor,
            )
            for tensor in self.tensors
        )

    @cached_property
    def document(self) -> Document:
        """Stand-in for the document of a spec, with the path of the file."""
        return Document(self.file, "", {}, dict)

    @cached_property
    def dtype(self) -> str | None:
        """The dtype of most entries; None without any."""
        entries: Counter[str] = Counter()
        for tensor in self.tensors:
            entries[tensor.dtype] += tensor.size
        return max(entries, key=entries.__getitem__, default=None)

    @cached_property
    def layers(self) -> tuple[BuiltLayer, ...]:
        """One layer for all tensors whose paths differ only in the last part."""
        return tuple(_groups(self.parameters))

    def matching(self, globs: Iterable[str]) -> tuple[Parameter, ...]:
        """The tensors whose path one of the patterns matches, in which ``*`` is any text.

        Raises:
            NoSuchTensor: a pattern matches none.
        """
        return matching(self.parameters, globs)


def _groups(parameters: Iterable[Parameter]) -> Iterator[BuiltLayer]:
    for name, members in groupby(parameters, lambda each: each.scope or each.path):
        yield BuiltLayer(name=name, layer=Tensors(), parameters=tuple(members))


Subject = Model | Checkpoint
"""The subject of a report on weights."""


def require_subject(value: object) -> None:
    """Raise TypeError unless a value is a model or the tensors of a file."""
    if not isinstance(value, Model | Checkpoint):
        kind = type(value).__name__
        raise TypeError(f"a model is needed, not {kind}: initcli.load and initcli.of make one")
