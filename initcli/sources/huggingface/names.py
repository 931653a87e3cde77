"""Names of tensors in a file, and in memory.

Since version 5 the library renames what it reads, joins the experts of a layer in one tensor, and
divides packed projections. ``names.json`` says what it does for each class; it is written by
``tests/reference/make_huggingface_names.py``.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

import msgspec

from initcli.model import BLOCK_NUMBER, Disagreement, blocks_as_one
from initcli.stored import Joined, Part, StoredTensor
from initcli.types import Size

_MAX_NAMES = 5
"""Names of missing parts that are listed."""


class _Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One conversion of names. The one field with a pattern says which.

    Args:
        to: the names in memory, which may refer to groups of the pattern by number.
        renamed: pattern of a part of a name; the match is replaced.
        joined: patterns of the parts of an expert; the group is the expert's number. Experts are
            joined along a new first axis, the parts of an expert along the next one.
        divided: pattern of a tensor that is divided along its first axis.
        converted: patterns of tensors that are converted in another way, which is not followed.
        scope: prefix of the names; the base's name may precede it.
    """

    to: str | tuple[str, ...]
    renamed: str = ""
    joined: tuple[str, ...] = ()
    divided: str = ""
    converted: tuple[str, ...] = ()
    scope: str | None = msgspec.field(default=None, name="in")

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of tensors whose values it converts; none if it only renames."""
        return self.joined or self.converted or ((self.divided,) if self.divided else ())

    @property
    def targets(self) -> tuple[str, ...]:
        """The names in memory."""
        return (self.to,) if isinstance(self.to, str) else self.to


class _Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the library converts names in files for some classes.

    Args:
        classes: names of the classes.
        base: name of the bare model within the classes with a head.
        steps: the conversions in order: all renamings apply, then the first other one that fits.
        unread: patterns of tensors that are skipped without a warning.
        optional: patterns of tensors that may be missing.
    """

    classes: tuple[str, ...]
    base: str = ""
    steps: tuple[_Step, ...] = ()
    unread: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


class _Table(msgspec.Struct, frozen=True):
    """``legacy`` are the steps that follow those of each class."""

    legacy: tuple[_Step, ...]
    classes: tuple[_Rules, ...]


@cache
def _table() -> _Table:
    text = files(__package__).joinpath("names.json").read_bytes()
    return msgspec.json.decode(text, type=_Table)


@cache
def _rules() -> Mapping[str, _Rules]:
    return {name: rules for rules in _table().classes for name in rules.classes}


def known_classes() -> frozenset[str]:
    """The classes whose names in files are known."""
    return frozenset(_rules())


class Partners(NamedTuple):
    """The tensors of a file by their names in memory, and those that have none.

    Args:
        by_path: tensors by their names in memory, joined or divided as in memory.
        disagreements: tensors with missing parts, or with parts whose shapes differ.
        loose: the present parts of those tensors, and tensors whose conversion is not followed.
        unclear: names in memory of tensors whose conversion is not followed.
        unread: tensors that the library skips without a warning.
        unexpected: all others.
    """

    by_path: Mapping[str, StoredTensor]
    disagreements: tuple[Disagreement, ...]
    loose: tuple[StoredTensor, ...]
    unclear: frozenset[str]
    unread: tuple[StoredTensor, ...]
    unexpected: tuple[StoredTensor, ...]


class _Found(NamedTuple):
    """A tensor of the file, with the conversion and the pattern that fit its name, if any."""

    tensor: StoredTensor
    step: _Step | None = None
    pattern: int = 0
    number: int = 0


class Names:
    """The names of a class's tensors.

    Args:
        class_name: name of the library's class.
        declared: shapes of its tensors by their names in memory, second names included.
    """

    def __init__(self, class_name: str, declared: Mapping[str, Size]) -> None:
        self.declared = declared
        self.rules = _rules().get(class_name, _Rules(classes=()))
        steps = (*self.rules.steps, *_table().legacy)
        self.renamings = [(step, re.compile(step.renamed)) for step in steps if step.renamed]
        self.conversions = [
            (step, [re.compile(each) for each in step.patterns]) for step in steps if step.patterns
        ]

    def partners(self, tensors: Iterable[StoredTensor]) -> Partners:
        """Assign the tensors of a file to the tensors in memory."""
        found: dict[str, list[_Found]] = {}
        others: list[StoredTensor] = []
        for tensor in tensors:
            name, one = self._found(tensor)
            if name in self.declared:
                found.setdefault(name, []).append(one)
            else:
                others.append(tensor)
        by_path: dict[str, StoredTensor] = {}
        disagreements: list[Disagreement] = []
        loose: list[StoredTensor] = []
        unclear: set[str] = set()
        for path, members in found.items():
            # A tensor that has the name already wins over one that is renamed to it.
            members.sort(key=lambda each: each.tensor.path != path)
            step = members[0].step
            alike = [each for each in members if each.step is step]
            others += [each.tensor for each in members if each.step is not step]
            if step is None:
                by_path[path] = alike[0].tensor
                others += [each.tensor for each in alike[1:]]
            elif step.joined:
                joined = self._joined(path, step, alike, others)
                if isinstance(joined, Disagreement):
                    disagreements.append(joined)
                    paths = {each.path for each in others}
                    loose += [each.tensor for each in alike if each.tensor.path not in paths]
                else:
                    by_path[path] = joined
            elif step.divided:
                by_path |= _divided(path, step, alike[0].tensor, self.declared)
            else:
                unclear |= {path.replace(step.targets[0], each) for each in step.targets}
                loose += [each.tensor for each in alike]
        unread = [each for each in others if self._matches(self.rules.unread, each.path)]
        silent = {each.path for each in unread}
        return Partners(
            by_path=by_path,
            disagreements=tuple(disagreements),
            loose=tuple(loose),
            unclear=frozenset(unclear),
            unread=tuple(unread),
            unexpected=tuple(each for each in others if each.path not in silent),
        )

    def is_optional(self, path: str) -> bool:
        """Whether the library accepts a file without a tensor, without a warning."""
        return self._matches(self.rules.optional, path)

    @staticmethod
    def _matches(patterns: Iterable[str], name: str) -> bool:
        return any(re.search(each, name) for each in patterns)

    def _found(self, tensor: StoredTensor) -> tuple[str, _Found]:
        """The name in memory of a tensor, and its conversion."""
        name = self._based(tensor.path)
        if name in self.declared:
            return name, _Found(tensor)
        name = tensor.path
        for step, pattern in self.renamings:
            for scope, rest in self._within(step, name):
                if match := pattern.search(rest):
                    start, stop = match.span()
                    name = scope + rest[:start] + match.expand(step.targets[0]) + rest[stop:]
        for step, patterns in self.conversions:
            for scope, rest in self._within(step, name):
                for index, pattern in enumerate(patterns):
                    if match := pattern.search(rest):
                        start, stop = match.span()
                        target = self._based(scope + rest[:start] + step.targets[0] + rest[stop:])
                        if target in self.declared:
                            number = int(match[1]) if step.joined else 0
                            return target, _Found(tensor, step, index, number)
        return self._based(name), _Found(tensor)

    def _within(self, step: _Step, name: str) -> Iterator[tuple[str, str]]:
        """The scope of a step and the rest of the name; nothing for a name outside of the scope."""
        if step.scope is None:
            yield "", name
            return
        scope = f"{step.scope}." if step.scope else ""
        for before in dict.fromkeys((f"{self.rules.base}.{scope}", scope)):
            if name.startswith(before):
                yield before, name.removeprefix(before)
                return

    def _based(self, name: str) -> str:
        """The name, with the base's prefix added or removed where only that one is declared."""
        prefix = f"{self.rules.base}."
        for other in (name, name.removeprefix(prefix), prefix + name):
            if other in self.declared:
                return other
        return name

    def _joined(
        self, path: str, step: _Step, members: list[_Found], others: list[StoredTensor]
    ) -> StoredTensor | Disagreement:
        """Join the parts of all experts; surplus parts are appended to ``others``."""
        declared = self.declared[path]
        experts = declared[0] if declared else 0
        parts: dict[tuple[int, int], StoredTensor] = {}
        shapes: defaultdict[int, Counter[Size]] = defaultdict(Counter)
        for each in members:
            key = each.number, each.pattern
            if each.number < experts and key not in parts:
                parts[key] = each.tensor
                shapes[each.pattern][each.tensor.shape] += 1
            else:
                others.append(each.tensor)
        whole = (declared[1] // len(step.joined), *declared[2:]) if len(declared) > 1 else ()
        usual = {
            pattern: whole if whole in counts else counts.most_common(1)[0][0]
            for pattern, counts in shapes.items()
        }
        if missing := experts * len(step.joined) - len(parts):
            names = tuple(_missing_parts(parts, experts, members))
            kind: Literal["missing", "shape"] = "missing"
        elif odd := [key for key in sorted(parts) if parts[key].shape != usual[key[1]]]:
            names = tuple(parts[key].path for key in odd[:_MAX_NAMES])
            kind, missing = "shape", len(odd)
        else:
            return _joined(path, experts, [parts[key] for key in sorted(parts)])
        return Disagreement(kind=kind, path=path, declared=declared, names=names, count=missing)


def _missing_parts(
    parts: Mapping[tuple[int, int], StoredTensor], experts: int, members: Iterable[_Found]
) -> Iterator[str]:
    """The first names of missing parts, formed like those of another expert."""
    alike = {each.pattern: each.tensor.path for each in members}
    left = _MAX_NAMES
    for number in range(experts):
        for pattern, name in alike.items():
            if (number, pattern) not in parts and left:
                left -= 1
                *_, last = BLOCK_NUMBER.finditer(name)
                yield name[: last.start()] + str(number) + name[last.end() :]
        if not left:
            return


def _joined(path: str, experts: int, parts: list[StoredTensor]) -> StoredTensor:
    """Parts of experts as one tensor; those of an expert are joined along its first axis."""
    each = len(parts) // experts
    rows = sum(part.shape[0] if part.shape else 0 for part in parts[:each])
    shape = (experts, rows, *parts[0].shape[1:])
    dtypes = {part.dtype for part in parts}
    storages = [part.storage for part in parts]
    whole = None
    if len(dtypes) == 1 and None not in storages and sum(p.size for p in parts) == math.prod(shape):
        sizes = tuple(part.size for part in parts)
        names = tuple(part.path for part in parts)
        whole = Joined(tuple(one for one in storages if one is not None), sizes, names)
    return StoredTensor(path=path, shape=shape, dtype=parts[0].dtype, storage=whole)


def _divided(
    path: str, step: _Step, tensor: StoredTensor, declared: Mapping[str, Size]
) -> Iterator[tuple[str, StoredTensor]]:
    """The parts of a tensor by name: of the declared sizes if these add up, else of equal size."""
    rows, *rest = tensor.shape or (0,)
    names = [path.replace(step.targets[0], target) for target in step.targets]
    parts = [(declared.get(name) or (0,))[0] for name in names]
    if sum(parts) != rows:
        parts = [rows // len(names)] * len(names)
    start = 0
    for name, part in zip(names, parts, strict=True):
        shape = (part, *rest)
        size, storage = math.prod(shape), None
        if tensor.storage is not None:
            share = tensor.storage.bytes * part // max(rows, 1)
            storage = Part(tensor.storage, start, size, share)
        start += size
        yield name, StoredTensor(path=name, shape=shape, dtype=tensor.dtype, storage=storage)


class Analogies:
    """Predicts the name of a tensor in the file from those of the same tensor in other blocks.

    Args:
        pairs: names in memory, and those in the file.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.alike = {
            blocks_as_one(path): name
            for path, name in pairs
            if BLOCK_NUMBER.findall(path) == BLOCK_NUMBER.findall(name)
        }

    def name(self, path: str) -> str:
        """The name in the file; the name in memory where no other block has that tensor."""
        numbers = iter(BLOCK_NUMBER.findall(path))
        return BLOCK_NUMBER.sub(lambda _: next(numbers), self.alike.get(blocks_as_one(path), path))
