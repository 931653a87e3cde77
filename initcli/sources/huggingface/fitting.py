"""The value of a configuration's key that fits the tensors of a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from initcli.errors import InvalidSpec, quoted
from initcli.model import BLOCK_NUMBER, Model
from initcli.sources.huggingface.family import known_families
from initcli.sources.huggingface.model import described
from initcli.sources.huggingface.names import Names
from initcli.stored import StoredTensor
from initcli.types import Size

_MAX_TRIALS = 200
"""Configurations that are tried."""
_MAX_TENSORS = 1_000_000
"""Tensors of all configurations that are tried."""
_MAX_KINDS = 6
"""Differing sizes, and counts of blocks, that suggest candidates."""
_MAX_COUNT = 2_000
"""Largest number of blocks or experts that is tried."""

Fault = tuple[str, str]
"""A kind of disagreement, and a path."""


class Fitting(NamedTuple):
    """A key whose value should change, the change in words, and the faults that remain."""

    key: str
    text: str
    left: frozenset[Fault]


def fitting(
    model: Model, tensors: Sequence[StoredTensor], faults: frozenset[Fault]
) -> Fitting | None:
    """The change of one key that removes most faults and adds none; None if there is none.

    Args:
        model: the model that the configuration declares.
        tensors: the tensors of the file.
        faults: the differences between the two.
    """
    best: Fitting | None = None
    trials = min(_MAX_TRIALS, _MAX_TENSORS // (len(tensors) + len(model.parameters) + 1))
    for trial, (key, value) in enumerate(_candidates(model, tensors)):
        if trial >= trials:
            break
        data = {**model.document.data, key: value}
        try:
            other = described(replace(model.document, data=data), None)
        except InvalidSpec:
            continue
        left = disagreeing(other, tensors)
        if left < faults and (best is None or len(left) < len(best.left)):
            written = str(value).lower() if isinstance(value, bool) else value
            was = model.document.data.get(key)
            text = f"`{key}: {written}` in the configuration fits the file"
            text = text if was is None else f"{text}, {quoted(was)} does not"
            best = Fitting(key, text, left)
        if best is not None and not best.left:
            break
    return best


def disagreeing(model: Model, tensors: Iterable[StoredTensor]) -> frozenset[Fault]:
    """The differences between a described model and the tensors of a file."""
    shapes = declared_shapes(model)
    names = Names(model.name, shapes)
    partners = names.partners(tensors)
    found = partners.by_path
    faults = {(each.kind, each.path) for each in partners.disagreements}
    broken = {each.path for each in partners.disagreements} | partners.unclear
    faults |= {("unexpected", each.path) for each in partners.unexpected}
    second = {first: name for name, first in model.ties.items() if name in found}
    for each in model.parameters:
        stored = found.get(each.path) or found.get(second.get(each.path, ""))
        if stored is not None and stored.shape != each.shape:
            faults.add(("shape", each.path))
        elif stored is None and each.path not in broken and not names.is_optional(each.path):
            faults.add(("missing", each.path))
    return frozenset(faults)


def declared_shapes(model: Model) -> dict[str, Size]:
    """The shapes of a described model's tensors by name, including second names of tied ones."""
    shapes = {each.path: each.shape for each in model.parameters}
    return shapes | {name: shapes[first] for name, first in model.ties.items() if first in shapes}


def _candidates(model: Model, tensors: Sequence[StoredTensor]) -> Iterator[tuple[str, int | bool]]:
    """Keys with other values, the likeliest first by the sizes and numbers of the tensors."""
    values = _values(model)
    flags = {key: value for key, value in values.items() if isinstance(value, bool)}
    sizes = {key: each for key, each in values.items() if type(each) is int and each > 0}
    pairs, counts = _sizes(model, tensors), _counts(tensors)
    for key, value in sizes.items():
        yield from ((key, seen) for size, seen in pairs if size == value)
    yield from ((key, not value) for key, value in flags.items())
    for key, value in sizes.items():
        yield from ((key, count) for count in counts if count != value and value < _MAX_COUNT)
    for key, value in sizes.items():
        for size, seen in pairs:
            if size != value and value * seen % size == 0:
                yield key, value * seen // size
            if size != value and 0 < value + seen - size != value * seen / size:
                yield key, value + seen - size


def _values(model: Model) -> Mapping[str, Any]:
    """The values of all keys, including defaults."""
    data = model.document.data
    model_type = data["model_type"]
    family = known_families()[model_type]
    aliases, declared = family.aliases_of(model_type), family.defaults_of(model_type)
    written = {aliases.get(key, key) for key in data}
    defaults = {key: each for key, each in declared.items() if key not in written}
    return {**data, **defaults}


def _sizes(model: Model, tensors: Iterable[StoredTensor]) -> list[tuple[int, int]]:
    """Pairs of differing axis sizes: declared, and in the file."""
    shapes = declared_shapes(model)
    found = Names(model.name, shapes).partners(tensors).by_path
    pairs: dict[tuple[int, int], None] = {}
    for path, tensor in found.items():
        declared = shapes[path]
        if len(declared) == len(tensor.shape):
            both = zip(declared, tensor.shape, strict=True)
            pairs |= dict.fromkeys((size, seen) for size, seen in both if size != seen and size)
    return list(pairs)[:_MAX_KINDS]


def _counts(tensors: Iterable[StoredTensor]) -> list[int]:
    """Numbers of blocks and experts in the file, counted by the numbers in its names."""
    counts: dict[tuple[str, ...], int] = {}
    for tensor in tensors:
        for match in BLOCK_NUMBER.finditer(tensor.path):
            scope = tuple(BLOCK_NUMBER.split(tensor.path[: match.start()]))
            counts[scope] = max(counts.get(scope, 0), int(match[0]) + 1)
    return list(dict.fromkeys(counts.values()))[:_MAX_KINDS]
