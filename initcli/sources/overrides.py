"""``--set PATH=VALUE``: values of a spec that are changed before it is read as a model.

A path is made of steps with dots between them: a key of a mapping, the number of an item from 0
(``layers.3`` or ``layers[3]``), ``[key=value]`` for the items of a list that have it (the name that
a layer gets by default counts as its name), ``*`` for all items or keys, and ``**`` for whatever
lies below at any depth::

    seed=3
    layers.3.units=128
    layers[name=head].kernel_initializer=zeros
    layers[type=Dense].bias_initializer={type: Constant, value: 0.1}
    layers.*.kernel_initializer=he_normal

Where a step stands for several layers, those that do not take the argument stay as they are.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from initcli.documents.document import Document, Mark, Marks, Origin
from initcli.documents.yaml_text import parse_yaml
from initcli.errors import InitcliError, InvalidSpec, Path, nearest, printable
from initcli.layers import known_layers
from initcli.limits import NESTING
from initcli.sources.graph import Networks

OPTION = "--set"
_MOST_COMPARED = 5_000
"""Paths of a spec that are looked at for the nearest one, at most."""
_MOST_CHANGED = 100_000
"""Values that one override changes, at most."""


class BadOverride(InitcliError):
    """An override that is none, or whose path leads nowhere."""

    def __init__(self, text: str, message: str, remedy: str = "") -> None:
        super().__init__(f"{OPTION} {printable(text)[:200]}: {message}", remedy)


class _Step(NamedTuple):
    """One step of a path: a key or the number of an item, ``*``, ``**``, or a condition."""

    word: str
    condition: tuple[str, str] | None = None

    @property
    def many(self) -> bool:
        """Whether it may stand for several values."""
        return self.condition is not None or self.word in ("*", "**")

    def __str__(self) -> str:
        return self.word if self.condition is None else f"[{'='.join(self.condition)}]"


def overridden(document: Document, changes: Iterable[str]) -> Document:
    """The document with values changed, each as a text ``PATH=VALUE``, one after another.

    Errors at a changed value show the override as their place.

    Raises:
        BadOverride: a text is no override, or its path leads nowhere.
        InvalidSpec: a value is no YAML.
    """
    for text in changes:
        document = _overridden(document, text)
    return document


def paths(data: Any) -> Iterator[str]:
    """The paths of the values in a spec, outer ones before what is in them."""
    for path, _ in _walk(data, ()):
        if path:
            yield _shown(path)


def _overridden(document: Document, text: str) -> Document:
    steps, start = _steps(text)
    value = _value(text, start)
    data = document.data
    found = list(islice(_places(data, steps, text), _MOST_CHANGED + 1))
    if len(found) > _MOST_CHANGED:
        raise BadOverride(text, f"it changes more than {_MOST_CHANGED:,} values")
    origins = dict(document.origins)
    # What has no origin yet stands in the document itself, which the changed data is not.
    origins.setdefault((), Origin(document, ()))
    for path in _outermost(found):
        data = _with(data, path, value.data)
        for inner in [place for place in origins if place[: len(path)] == path]:
            del origins[inner]
        origins[path] = Origin(value, ())
    return replace(document, data=data, origins=origins)


def _outermost(places: Iterable[Path]) -> list[Path]:
    """The places that do not lie within another of them, which takes the value as a whole."""
    found: dict[Path, None] = {}
    for path in sorted(places, key=len):
        if not any(path[:length] in found for length in range(len(path))):
            found[path] = None
    return list(found)


def _value(text: str, start: int) -> Document:
    """The value behind the equals sign, whose places are those in the whole text."""
    try:
        parsed = parse_yaml(text[start:] or "null", OPTION)
    except InvalidSpec as error:
        reason = error.errors[0]
        raise BadOverride(text, f"its value: {reason.message}", reason.remedy) from None

    def marks() -> Marks:
        found = parsed.find_marks()
        return Marks(
            {path: _moved(mark, start) for path, mark in found.values.items()},
            {path: _moved(mark, start) for path, mark in found.keys.items()},
            [],
        )

    return Document(OPTION, text, parsed.data, marks)


def _moved(mark: Mark, by: int) -> Mark:
    return Mark(mark.line, mark.column + by) if mark.line == 0 else mark


_STEP = re.compile(r"\.?(?:\[([^\]=]+)=([^\]]*)\]|\[([0-9]+|\*)\]|([^.\[\]=]+))")


def _steps(text: str) -> tuple[list[_Step], int]:
    """The steps of the path, and where in the text the value begins."""
    steps: list[_Step] = []
    at = 0
    while at < len(text) and text[at] != "=":
        step = _STEP.match(text, at)
        if step is None or text.startswith("."):
            break
        condition = None if step[1] is None else (step[1].strip(), step[2].strip())
        steps.append(_Step((step[3] or step[4] or "").strip(), condition))
        at = step.end()
    if not steps or at >= len(text) or text[at] != "=":
        remedy = "write PATH=VALUE, such as layers.3.units=128"
        raise BadOverride(text, "this is no change of a value", remedy)
    if len(steps) > NESTING:
        raise BadOverride(text, "the path is too long")
    return steps, at + 1


def _places(data: Any, steps: list[_Step], text: str) -> Iterator[Path]:
    """The paths that the steps lead to, of which the last key need not be there yet."""
    *inner, last = steps
    held: list[tuple[Path, Any]] = [((), data)]
    for number, step in enumerate(inner):
        held = [place for path, value in held for place in _next(path, value, step)]
        if not held:
            raise _leads_nowhere(data, steps, number, text)
    several = any(step.many for step in steps)
    found = [path for path, value in held for path in _ends(path, value, last, several)]
    if not found:
        raise _leads_nowhere(data, steps, len(inner), text)
    yield from dict.fromkeys(found)


def _next(path: Path, value: Any, step: _Step) -> Iterator[tuple[Path, Any]]:
    if step.condition is not None:
        yield from _with_condition(path, value, step.condition)
    elif step.word == "**":
        yield from _walk(value, path)
    elif step.word == "*":
        yield from _items(path, value)
    elif (key := _key(value, step.word)) is not None and key in _keys(value):
        yield (*path, key), value[key]


def _ends(path: Path, value: Any, last: _Step, several: bool) -> Iterator[Path]:
    """Where the value goes: where it is, or under a new key of a mapping."""
    if last.many:
        yield from (place for place, _ in _next(path, value, last))
    elif isinstance(value, dict):
        if not several or last.word in value or _takes(value, last.word):
            yield (*path, last.word)
    elif (key := _key(value, last.word)) is not None and key in _keys(value):
        yield (*path, key)


def _takes(entry: Mapping[str, Any], argument: str) -> bool:
    """Whether an entry is a layer that takes an argument of that name."""
    kind = entry.get("type")
    cls = known_layers().get(kind) if isinstance(kind, str) else None
    return cls is not None and argument in cls.__struct_encode_fields__


def _with_condition(
    path: Path, value: Any, condition: tuple[str, str]
) -> Iterator[tuple[Path, Any]]:
    key, wanted = condition
    if not isinstance(value, list):
        return
    named = dict(zip(range(len(value)), _names(value), strict=True)) if key == "name" else {}
    for index, item in enumerate(value):
        there = item.get(key) if isinstance(item, dict) else None
        if str(there) == wanted or named.get(index) == wanted:
            yield (*path, index), item


def _names(entries: list[Any]) -> list[str]:
    """The names of the layers in a list, those they get by default too."""
    networks = Networks()
    networks.errors = []  # However many there are, they are reported when the model is built.
    return [entry.name for entry in networks.entries(entries)]


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """A value and all within it."""
    waiting = [(path, value)]
    while waiting:
        place, found = waiting.pop()
        yield place, found
        waiting += reversed(list(_items(place, found)))


def _items(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    for key in _keys(value):
        yield (*path, key), value[key]


def _keys(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.keys()
    return range(len(value)) if isinstance(value, list) else ()


def _key(value: Any, word: str) -> str | int | None:
    """A step as a key of that value."""
    if isinstance(value, list):
        return int(word) if word.isdecimal() and len(word) < 10 else None
    return word


def _with(data: Any, path: Path, value: Any) -> Any:
    """The data with another value at a path; what does not change is shared."""
    if not path:
        return value
    found = data.copy()
    key: Any = path[0]
    found[key] = _with(data[key] if key in _keys(data) else None, path[1:], value)
    return found


def _leads_nowhere(data: Any, steps: list[_Step], number: int, text: str) -> BadOverride:
    """That a step has nothing to go to, with the path that is most like what was written."""
    step, before = steps[number], _joined(steps[:number])
    where = f"in `{before}`" if before else "in the spec"
    message = f"there is no `{step}` {where}"
    if any(each.many for each in steps[:number]) and number == len(steps) - 1:
        message = f"no layer there takes `{step}`"
    found = _nearest_path(data, steps, number)
    return BadOverride(text, message, f"the nearest path is `{found}`" if found else "")


def _nearest_path(data: Any, steps: list[_Step], number: int) -> str:
    """The path that is most like what was written: with one step mended, or else of all paths."""
    holders = [data]
    for step in steps[:number]:
        holders = [value for each in holders for _, value in _next((), each, step)]
    for holder in holders[:1]:
        meant = nearest(steps[number].word, map(str, _keys(holder)))
        if meant:
            wanted = [*steps[:number], _Step(meant), *steps[number + 1 :]]
            if _exists(data, wanted):
                return _joined(wanted)
    known = list(islice(paths(data), _MOST_COMPARED))
    found = difflib.get_close_matches(_joined(steps)[:200], reversed(known), n=1, cutoff=0.4)
    return found[0] if found else ""


def _exists(data: Any, steps: list[_Step]) -> bool:
    held = [data]
    for step in steps:
        held = [value for each in held for _, value in _next((), each, step)]
    return bool(held)


def _joined(steps: Iterable[_Step]) -> str:
    text = ""
    for step in steps:
        text += str(step) if step.condition or not text else f".{step}"
    return text


def _shown(path: Path) -> str:
    return ".".join(map(str, path))
