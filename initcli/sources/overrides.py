"""Changes of values of a spec before a model is built: ``--set``.

``--set PATH=VALUE`` takes a path of steps with dots between them: a key of a mapping, the index of
an item from 0 (``layers.3`` or ``layers[3]``), ``[key=value]`` for the items of a list that have
it (a layer's default name counts as its name), ``*`` for all items or keys, and ``**`` for
everything below at any depth::

    seed=3
    layers.3.units=128
    layers[name=head].kernel_initializer=zeros
    layers[type=Dense].bias_initializer={type: Constant, value: 0.1}
    layers.*.kernel_initializer=he_normal

Where a step matches several values, those that do not take the argument stay as they are. The name
of an initializer or an activation becomes a mapping where an argument of it is set.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from initcli.activations import known_activations
from initcli.documents.document import Document, Node, Nodes, Origin, with_values
from initcli.documents.yaml_text import parse_yaml
from initcli.errors import Errors, InitcliError, InvalidSpec, Path, printable
from initcli.initializers import known_initializers
from initcli.layers import known_layers
from initcli.limits import NESTING
from initcli.sources.graph import Networks

_MAX_COMPARED = 5_000
"""Paths of a spec that are searched for the nearest one."""
_MAX_CHANGED = 100_000
"""Values that one override may change."""


class Given(NamedTuple):
    """An option and its value, as they stand on the command line."""

    option: str
    text: str

    def origin(self, value: Any, start: int = 0) -> Origin:
        """The origin of a value that the text gives from character ``start`` on."""
        node = Node(start, len(self.text))
        return Origin(Document(self.option, self.text, value, lambda: {(): node}), ())


class BadOverride(InitcliError):
    """An override that cannot be parsed, or whose path does not exist."""

    def __init__(self, given: Given, message: str, remedy: str = "") -> None:
        super().__init__(f"{given.option} {printable(given.text)[:200]}: {message}", remedy)


class Step(NamedTuple):
    """One step of a path: a key or an index, ``*``, ``**``, or a condition."""

    word: str
    condition: tuple[str, str] | None = None

    @property
    def is_pattern(self) -> bool:
        """Whether it may match several values."""
        return self.condition is not None or self.word in ("*", "**")

    def __str__(self) -> str:
        return self.word if self.condition is None else f"[{'='.join(self.condition)}]"


def overridden(document: Document, changes: Iterable[str]) -> Document:
    """The document with values changed, each by a text ``PATH=VALUE``, one after another.

    An error at a changed value gives the override as its position.

    Raises:
        BadOverride: a text is not an override, or its path does not exist.
    """
    for text in changes:
        given = Given("--set", text)
        steps, start = steps_of(given)
        value = parsed(given, text[start:] or "null", start)
        places = matches(document.data, steps, given)
        document = replaced(document, dict.fromkeys(places, Origin(value, ())))
    return document


def replaced(document: Document, values: Mapping[Path, Origin]) -> Document:
    """The document with other values at some paths, an outer path winning over those within it.

    An error at a value has the place of its origin.
    """
    changed = set(values)
    # The text no longer has all data, so unchanged parts need an origin.
    origins = {(): Origin(document, ())} | {
        path: origin for path, origin in document.origins.items() if not _is_in(path, changed)
    }
    written: dict[Path, Any] = {}
    for path, origin in values.items():
        if not _is_in(path[:-1], changed):
            origins[path] = origin
        *outer, key = path or ("",)
        value = value_at(origin.document.data, origin.path)
        holder = value_at(document.data, tuple(outer))
        if path and isinstance(holder, str):
            written[tuple(outer)] = {"type": holder, key: value}
        else:
            written[path] = value
    data = with_values(document.data, written)
    return replace(document, data=data, origins=origins, is_editable=False)


def value_at(data: Any, path: Path) -> Any:
    """The value at a path."""
    for key in path:
        data = data[key]
    return data


def paths(data: Any) -> Iterator[str]:
    """The paths of all values in a spec, outer ones first."""
    return (".".join(map(str, path)) for path, _ in walk(data, ()) if path)


def _is_in(path: Path, changed: set[Path]) -> bool:
    """Whether a path is one of those that change, or lies within one."""
    return any(path[:length] in changed for length in range(len(path) + 1))


def parsed(given: Given, text: str, start: int) -> Document:
    """The document of a part of an option's value, with positions in the whole.

    ``start`` is where the part begins.
    """
    try:
        part = parse_yaml(text, given.option)
    except InvalidSpec as error:
        reason = error.errors[0]
        raise BadOverride(given, f"its value: {reason.message}", reason.remedy) from None

    def nodes() -> Nodes:
        return {
            path: node._replace(
                start=node.start + start,
                key=node.key and (node.key[0] + start, node.key[1] + start),
            )
            for path, node in part.nodes.items()
        }

    return Document(given.option, given.text, part.data, nodes)


_STEP = re.compile(r"\.?(?:\[([^\]=]+)=([^\]]*)\]|\[([0-9]+|\*)\]|([^.\[\]=]+))")


def steps_of(given: Given) -> tuple[list[Step], int]:
    """The steps of the path in PATH=VALUE, and where in the text the value begins."""
    text = given.text
    steps: list[Step] = []
    at = 0
    while at < len(text) and text[at] != "=":
        step = _STEP.match(text, at)
        if step is None or text.startswith("."):
            break
        condition = None if step[1] is None else (step[1].strip(), step[2].strip())
        steps.append(Step((step[3] or step[4] or "").strip(), condition))
        at = step.end()
    if not steps or at >= len(text) or text[at] != "=":
        remedy = "write PATH=VALUE, such as layers.3.units=128"
        raise BadOverride(given, "this does not change a value", remedy)
    if len(steps) > NESTING:
        raise BadOverride(given, "the path is too long")
    return steps, at + 1


def matches(data: Any, steps: list[Step], given: Given) -> Iterable[Path]:
    """The paths that the steps match, of which the last key need not exist yet.

    Raises:
        BadOverride: there are none, or too many.
    """
    held: list[tuple[Path, Any]] = [((), data)]
    is_pattern = any(step.is_pattern for step in steps)
    for index, step in enumerate(steps):
        is_last = index == len(steps) - 1
        adds = None if not is_last else takes if is_pattern else lambda *_: True
        held = [match for path, value in held for match in _next(path, value, step, adds)]
        if not held:
            raise _no_match(data, steps, index, given)
    found = dict.fromkeys(path for path, _ in islice(held, _MAX_CHANGED + 1))
    if len(found) > _MAX_CHANGED:
        raise BadOverride(given, f"it changes more than {_MAX_CHANGED:,} values")
    return found


def _next(
    path: Path, value: Any, step: Step, adds: Callable[[Any, str], bool] | None
) -> Iterator[tuple[Path, Any]]:
    """The values that a step matches; ``adds`` decides which mappings get a new key."""
    word = step.word
    if step.condition is not None:
        yield from _with_condition(path, value, *step.condition)
    elif word == "**":
        yield from walk(value, path)
    elif word == "*":
        yield from _items(path, value)
    elif isinstance(value, dict):
        if word in value or (adds and adds(value, word)):
            yield (*path, word), value.get(word)
    elif isinstance(value, list) and word.isdecimal() and len(word) < 10 and int(word) < len(value):
        yield (*path, int(word)), value[int(word)]
    elif adds and path and str(path[-1]).endswith(_NAMED) and takes({"type": value}, word):
        yield (*path, word), None


_NAMED = ("initializer", "activation")
"""Ends of the arguments that can be a name, in place of a mapping."""


def takes(entry: Any, argument: str) -> bool:
    """Whether an entry is a layer, initializer or activation with an argument of that name."""
    kind = entry.get("type") if isinstance(entry, Mapping) else None
    if not isinstance(kind, str):
        return False
    registries = (known_layers(), known_initializers(), known_activations())
    classes = [known[kind] for known in registries if kind in known]
    return any(argument in cls.__struct_encode_fields__ for cls in classes)


def _with_condition(path: Path, value: Any, key: str, wanted: str) -> Iterator[tuple[Path, Any]]:
    if not isinstance(value, list):
        return
    names = _names(value) if key == "name" else [None] * len(value)
    for index, (item, name) in enumerate(zip(value, names, strict=True)):
        given = item.get(key) if isinstance(item, dict) else None
        if wanted in (str(given), name):
            yield (*path, index), item


def _names(entries: list[Any]) -> list[str]:
    """The names of the layers in a list, default names included."""
    networks = Networks()
    networks.errors = Errors()  # without a limit: they are reported when the model is built
    return [entry.name for entry in networks.entries(entries, ())]


def walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """A value and all values within it, each with its path."""
    waiting = [(path, value)]
    while waiting:
        here, each = waiting.pop()
        yield here, each
        waiting += reversed(list(_items(here, each)))


def _items(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    is_list = isinstance(value, list)
    pairs = enumerate(value) if is_list else value.items() if isinstance(value, dict) else ()
    return (((*path, key), each) for key, each in pairs)


def _no_match(data: Any, steps: list[Step], index: int, given: Given) -> BadOverride:
    """The error for a step that matches nothing, with the most similar path."""
    step, before = steps[index], _joined(steps[:index])
    message = f"there is no `{step}` {f'in `{before}`' if before else 'in the spec'}"
    if any(each.is_pattern for each in steps[:index]) and index == len(steps) - 1:
        message = f"nothing there takes `{step}`"
    known = list(islice(paths(data), _MAX_COMPARED))
    near = difflib.get_close_matches(_joined(steps)[:200], reversed(known), n=1, cutoff=0.4)
    return BadOverride(given, message, f"the nearest path is `{near[0]}`" if near else "")


def _joined(steps: Iterable[Step]) -> str:
    text = ""
    for step in steps:
        text += str(step) if step.condition or not text else f".{step}"
    return text
