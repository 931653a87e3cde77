"""Base of the checks of stored values, and the evidence that they use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

import msgspec

from initcli.checkpoint import Checkpoint, Subject
from initcli.checks.base import Check, Finding
from initcli.distributions import Distribution
from initcli.errors import Path
from initcli.initializers import given
from initcli.matching.identify import identifier
from initcli.matching.match import FLOATS, Identified
from initcli.measuring.measure import measure
from initcli.measuring.measurement import Measurement
from initcli.measuring.standing import standing
from initcli.model import BuiltLayer, Model, blocks_as_one, leaves, with_parameters
from initcli.parameter import Parameter
from initcli.sampling.chunks import CHUNK
from initcli.stored import Joined, StoredTensor
from initcli.types import Array, Severity

_NOT_RANDOM = re.compile(r"bias|scale|gamma|beta|mask|mean|variance|freq", re.IGNORECASE)
"""Last parts of the paths of tensors that start constant or are computed."""


class Held(NamedTuple):
    """A tensor with stored values, and their measurement."""

    layer: BuiltLayer
    parameter: Parameter
    stored: StoredTensor
    measured: Measurement

    @property
    def path(self) -> str:
        """The path of the parameter."""
        return self.parameter.path

    @property
    def declared(self) -> Distribution | None:
        """The distribution that the model declares; None without a model."""
        return self.parameter.distribution

    @property
    def is_float(self) -> bool:
        """Whether the values are floating-point numbers as training has them."""
        return self.stored.dtype in FLOATS

    @property
    def is_kernel(self) -> bool:
        """Whether random values are expected, by the declared distribution or by shape and name."""
        if self.declared is not None:
            is_computed = isinstance(self.parameter.initializer, given.Values)
            return self.declared.std > 0 and not is_computed
        has_rows = sum(size > 1 for size in self.parameter.shape) > 1
        is_named = _NOT_RANDOM.search(self.parameter.name) or "lora" in self.path.lower()
        return has_rows and self.is_float and not is_named

    def parts(self, is_meant: Callable[[Iterator[Array]], bool]) -> list[str]:
        """Names of the parts for which ``is_meant`` is true, if several tensors are joined.

        ``is_meant`` takes the chunks of a part, which are read one by one.
        """
        joined = self.stored.storage
        if not isinstance(joined, Joined):
            return []
        found, start = [], 0
        for name, size in zip(joined.names, joined.sizes, strict=False):
            places = range(start, start + size, CHUNK)
            start += size
            if is_meant(self.stored.read(n, min(n + CHUNK, start)) for n in places):
                found.append(name)
        return found


class Values:
    """The stored values of a model or checkpoint, and what is known about them."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.notes: list[str] = []

    @cached_property
    def tensors(self) -> list[Held]:
        """Every tensor with readable values; tied tensors appear once."""
        owned = {
            each.path: (layer, each)
            for layer in leaves(self.subject.layers)
            for each in layer.parameters
            if each.stored is not None
        }
        readable = [
            each
            for _, each in owned.values()
            if each.stored and each.stored.storage is not None and each.stored.alias_of is None
        ]
        tensors = [
            Held(owned[each.path][0], each, each.stored, seen)
            for each, seen in measure(readable)
            if each.stored is not None
        ]
        if owned and isinstance(self.subject, Model) and self.subject.source == "huggingface":
            self.notes.append(_standings(self.subject, tensors))
        elif owned:
            weights = sum(each.parameter.size for each in tensors)
            note = (
                f"checked: {weights:,} values of {len(tensors):,} of {len(owned):,} stored tensors"
            )
            if isinstance(self.subject, Checkpoint):
                note += "; not checked: distributions and signal, since no model is declared"
            self.notes.append(note)
        return tensors

    @cached_property
    def _looks_like(self) -> dict[str, Identified]:
        identify = identifier([each.stored for each in self.tensors])
        return {each.path: identify(each.stored, each.measured) for each in self.tensors}

    def looks_like(self, tensor: Held) -> Identified:
        """The initializers that fit the values of a tensor."""
        return self._looks_like[tensor.path]


class ValueCheck(Check):
    """A rule about stored values.

    Its examples are Python code that fills ``tensors``, a dictionary of arrays by path, and
    optionally ``spec``, the text of the model that declares them.
    """

    registered = False

    def findings_of(self, values: Values) -> Iterator[Finding]:
        """The problems of the values, in the order of the file."""
        raise NotImplementedError

    def finding_of(
        self,
        values: Values,
        tensor: Held,
        message: str,
        remedy: str,
        *,
        severity: Severity | None = None,
    ) -> Finding:
        """A finding at a tensor."""
        layer, parameter = tensor.layer, tensor.parameter
        return self.placed(
            values.subject.document,
            place_of(values.subject, layer, parameter),
            layer,
            parameter,
            message=message,
            remedy=remedy,
            severity=severity,
        )


def _standings(model: Model, tensors: Iterable[Held]) -> str:
    """How many declared tensors a file has, and in which state, as text."""
    wrong = Counter(each.kind for each in model.disagreements)
    seen = Counter(standing(each.parameter, each.measured) for each in tensors)
    total = sum(each.distribution is not None for each in model.parameters) + wrong["shape"]
    counts = (
        (seen["follows"], "follow their initial distribution"),
        (seen["differs"], "differ"),
        (seen["not finite"], "not finite"),
        (wrong["shape"], "of another shape"),
        (wrong["missing"] + wrong["optional"], "missing"),
    )
    shown = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    text = f"of {total:,} declared tensors, {shown}"
    if wrong["unexpected"]:
        text += f"; {wrong['unexpected']:,} of the file not declared"
    return f"{text}; the signal is not checked: `initcli check config.json` does that"


def place_of(subject: Subject, layer: BuiltLayer, parameter: Parameter) -> Path:
    """The path of a tensor's layer, or its own path in a file of weights.

    The blocks of a configuration are equal, so their tensors share one path.
    """
    path = parameter.path
    return (*layer.path, blocks_as_one(path) if subject.source == "huggingface" else path)


def without_values(model: Model) -> Model:
    """The model as declared, without stored values."""

    def declared(parameter: Parameter) -> Parameter:
        dtype = parameter.dtype if parameter.keeps_dtype else model.dtype
        return msgspec.structs.replace(parameter, stored=None, dtype=dtype)

    if not any(each.stored for each in model.parameters):
        return model
    layers = tuple(with_parameters(layer, declared) for layer in model.layers)
    return msgspec.structs.replace(model, layers=layers)
