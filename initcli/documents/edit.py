"""Changes to the text of a spec: values come and go, while comments and layout stay."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from initcli.documents.document import Document
from initcli.documents.json_text import looks_like_json, parse_json
from initcli.documents.spans import COLON, Node, json_events, tree, yaml_events
from initcli.documents.yaml_text import parse_yaml
from initcli.errors import InitcliError, InvalidSpec, Path, printable

REMOVED = object()
"""In place of a value: the key goes."""


class Change(NamedTuple):
    """The value that the key at the end of a path is to have, or ``REMOVED``."""

    path: Path
    value: Any


class CannotEdit(InitcliError):
    """A change of a text that leads nowhere, or that cannot be made without harm."""


def edited(text: str, file: str, changes: Sequence[Change]) -> str:
    """The YAML or JSON text with keys of its mappings set, added or removed.

    What shares an anchor with something that changes keeps its own data, unless it is to change
    likewise. Of two changes of one path the later one counts.

    Raises:
        CannotEdit: a path leads nowhere, a value is no plain data, one change lies within another,
            or the new text would not read as it should.
        InvalidSpec: the text does not parse.
    """
    data = _parsed(text, file).data
    try:
        wishes = _wishes(data, changes)
        found = _Editor(text, file, data, wishes).edited()
        right = _same(_parsed(found, file).data, _changed(data, wishes))
    except (InvalidSpec, RecursionError):
        right = False
    if not right:
        message = f"{printable(file)} is written in a way that these changes would break"
        raise CannotEdit(message, "make them by hand")
    return found


def _is_json(text: str, file: str) -> bool:
    return file.endswith(".json") or looks_like_json(text)


def _parsed(text: str, file: str) -> Document:
    return parse_json(text, file) if _is_json(text, file) else parse_yaml(text, file)


_Wishes: TypeAlias = "dict[str | int, _Wishes | Change]"
"""Changes by the first key of their paths, by the second and so on."""


def _wishes(data: Any, changes: Iterable[Change]) -> _Wishes:
    """All changes that change something."""
    wishes: _Wishes = {}
    for path, value in {change.path: change.value for change in changes}.items():
        holder, key = _at(data, path[:-1]), path[-1] if path else None
        if not isinstance(holder, dict) or not isinstance(key, str):
            raise CannotEdit(f"{_named(path)} is no key of a mapping, and only these can be edited")
        if value is REMOVED and key not in holder:
            raise CannotEdit(f"{_named(path)} cannot be removed, for it is not there")
        if value is not REMOVED:
            value = _plain(path, value)
            if key in holder and _same(holder[key], value):
                continue
        inner: _Wishes | Change = wishes
        for step in path[:-1]:
            inner = {} if isinstance(inner, Change) else inner.setdefault(step, {})
        if isinstance(inner, Change) or key in inner:
            raise CannotEdit(f"{_named(path)} is changed twice, once with what is around it")
        inner[key] = Change(path, value)
    return wishes


def _plain(path: Path, value: Any) -> Any:
    """The value as a reader would give it."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise CannotEdit(f"{_named(path)} cannot have this value: {error}") from None


def _named(path: Path) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{printable(step)}" for step in path)
    return f"`{''.join(steps).removeprefix('.')}`"


def _at(data: Any, path: Path) -> Any:
    """The part of data or wishes at a path; None where there is none."""
    for step in path:
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and 0 <= step < len(data):
            data = data[step]
        else:
            return None
    return data


def _changed(data: Any, wishes: _Wishes | Change) -> Any:
    """The data with changes; what does not change is shared."""
    if isinstance(wishes, Change):
        return wishes.value
    if not wishes:
        return data
    found = data.copy()
    for key, wish in wishes.items():
        if isinstance(wish, Change) and wish.value is REMOVED:
            del found[key]
        else:
            found[key] = _changed(_at(data, (key,)), wish)
    return found


def _same(a: Any, b: Any) -> bool:
    """Whether two data are the same in every type, so that 1 is not 1.0."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


_WORDS = re.compile(r"[^\W\d][\w./+-]*(?: [\w./+-]+)*\Z")
_NO_TEXTS = ("null", "true", "false")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def yaml_flow(value: Any) -> str:
    """Plain data in flow style, each text without quotes where it is a text without them."""
    if isinstance(value, dict):
        return "{" + ", ".join(_pairs(value, yaml_flow)) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(yaml_flow, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' * (value < 0)}.inf"
    if not isinstance(value, str):
        return json.dumps(value)
    if _WORDS.match(value) and value.lower() not in _NO_TEXTS:
        return value
    # JSON leaves characters unescaped that are line breaks to YAML, or not allowed in it.
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in _json(value))


def _within(a: Any, b: Any) -> bool:
    """Whether both are mappings, and the second has all keys of the first."""
    return isinstance(a, dict) and isinstance(b, dict) and a.keys() <= b.keys()


def _beyond(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """What a mapping says that another does not say."""
    return {key: value for key, value in b.items() if key not in a or not _same(a[key], value)}


def _pairs(data: dict[str, Any], write: Callable[[Any], str]) -> list[str]:
    return [f"{write(key)}: {write(value)}" for key, value in data.items()]


_COMMA = re.compile(r"(?:\s|#[^\n]*+)*+,")
_LINE_END = re.compile(r"[ \t]*(?:#[^\n]*)?\r?\n")


class _Line(NamedTuple):
    """Where a line begins, where what breaks it begins, and where the next line does."""

    start: int
    end: int
    following: int


class _Spot(NamedTuple):
    """Where a key and its value stand within braces, from the comma before to the one behind."""

    key: str | int
    before: int
    start: int
    end: int
    behind: int


class _Editor:
    """Goes through the values in the order of the text and collects what to put where.

    Only what stays in the text is visited, so an anchor that no visit came by is gone.
    """

    def __init__(self, text: str, file: str, data: Any, wishes: _Wishes) -> None:
        is_json = _is_json(text, file)
        self.text = text
        self.data = data
        self.wishes = wishes
        self.write = _json if is_json else yaml_flow
        self.merges = not is_json
        events = json_events(text) if is_json else yaml_events(text)
        self.aliases: defaultdict[Node, list[Node]] = defaultdict(list)
        self.root = tree(text, events, self.aliases)
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.breaks = [found.start() for found in re.finditer("\n", text)]
        self.edits: list[tuple[int, int, str]] = []
        # How each anchored value that the new text has changes.
        self.anchored: dict[Node, _Wishes | Change] = {}

    def edited(self) -> str:
        self._visit(self.root, self.wishes)
        pieces, done = [], 0
        # What is put at one position stays in the order in which it was: the inner first.
        for start, end, new in sorted(self.edits, key=lambda edit: edit[:2]):
            pieces += [self.text[done:start], new]
            done = max(done, end)
        return "".join([*pieces, self.text[done:]])

    def _visit(self, node: Node, wishes: _Wishes | Change) -> None:
        if node.target is not None:
            self._alias(node, node.target, wishes)
        elif isinstance(wishes, Change):
            self._set(node, wishes)
        else:
            if node.begin.anchor is not None:
                self.anchored[node] = wishes
            if node.begin.kind == "mapping":
                self._mapping(node, wishes)
            else:
                for index, child in node.children.items():
                    self._visit(child, wishes.get(index, {}))

    def _set(self, node: Node, change: Change) -> None:
        others = [_at(self.wishes, alias.path) for alias in self.aliases[node]]
        values = [other.value for other in others if isinstance(other, Change)]
        if any(value is not REMOVED and _same(value, change.value) for value in values):
            self.anchored[node] = change
            self._replace(node, change.value, node.begin.anchor)
        else:
            self._replace(node, change.value)

    def _alias(self, node: Node, source: Node, wishes: _Wishes | Change) -> None:
        if not wishes and self.anchored.get(source) == {}:
            return
        # What is merged has no path of its own in the data.
        path = source.path if "<<" in node.path else node.path
        if "<<" in path:
            raise CannotEdit(f"`*{node.begin.word}` stands for a part of a `<<`; change it by hand")
        old = _at(self.data, path)
        new = _changed(old, wishes)
        if source in self.anchored:
            now = _changed(old, self.anchored[source])
            if _same(now, new):
                return
            if isinstance(wishes, Change) or not _within(now, new):
                self._replace(node, new)
            else:
                pairs = [f"<<: *{node.begin.word}", *_pairs(_beyond(now, new), yaml_flow)]
                self._rewrite(node, f"{{{', '.join(pairs)}}}")
        elif isinstance(wishes, Change):
            self._replace(node, new)
        else:
            self.anchored[source] = wishes
            self._replace(node, new, node.begin.word)

    def _mapping(self, node: Node, wishes: _Wishes) -> None:
        merge = node.children.get("<<") if self.merges else None
        merged = self._merged(node, merge)
        if not wishes and (merge is None or merged is None):
            for child in node.children.values():
                self._visit(child, {})
            return
        old = _at(self.data, node.path)
        new = _changed(old, wishes)
        own = {key for key, child in node.children.items() if child is not merge}
        base = {key: old[key] for key in old.keys() - own} if merged is None else merged
        gone = own - new.keys()
        added = {key: value for key, value in _beyond(base, new).items() if key not in own}
        empty = len(gone) == len(node.children) > 0
        if not base.keys() <= new.keys() or (gone and merged is None) or empty:
            self._replace(node, new, node.begin.anchor)
            return
        # The mapping's own keys make up for how what is merged changes.
        met = merge is not None and merged is not None and merge.target in self.anchored
        for key, child in node.children.items():
            if key not in gone and not (met and child is merge):
                self._visit(child, wishes.get(key, {}))
        if node.begin.flow:
            self._edit_flow(node, gone, _pairs(added, self.write))
        else:
            self._edit_block(node, gone, _pairs(added, self.write))

    def _merged(self, node: Node, merge: Node | None) -> dict[str, Any] | None:
        """What the mapping will have by its ``<<``; None where that is not known."""
        if merge is None:
            return {}
        source = merge.target
        if source is None or "<<" in node.path + source.path:
            return None
        found = _changed(_at(self.data, source.path), self.anchored.get(source, {}))
        return found if isinstance(found, dict) else None

    def _edit_flow(self, node: Node, gone: set[str | int], pairs: list[str]) -> None:
        spots: list[_Spot] = []
        for key, child in node.children.items():
            before = spots[-1].behind if spots else node.begin.end
            comma = _COMMA.match(self.text, child.end)
            behind = comma.end() if comma else child.end
            spots.append(_Spot(key, before, child.key[0], child.end, behind))
        cut, kept = node.begin.end, None
        for index, spot in enumerate(spots):
            if spot.key not in gone:
                kept = spot
                continue
            lead = self.text[spot.before : spot.start]
            rest = _LINE_END.match(self.text, spot.behind)
            start, end = spot.start, spot.behind
            if "\n" in lead and rest:
                start, end = spot.before + lead.rindex("\n") + 1, rest.end()
            elif kept is not None and "#" not in lead and cut <= spot.before:
                start = spot.before
            elif index + 1 < len(spots):
                end = spots[index + 1].start
            self._put(start, end)
            cut = end
        if kept is None:
            self._put(cut, cut, ", ".join(pairs))
            return
        has_comma, ends_with_comma = kept.behind > kept.end, spots[-1].behind > spots[-1].end
        lead = self.text[kept.before : kept.start]
        if pairs and "\n" in lead and "\n" in self.text[kept.end : node.end]:
            indent = self.newline + lead[lead.rindex("\n") + 1 :]
            end = self._line(kept.behind).end
            self._put(kept.end, kept.end, "" if has_comma else ",")
            self._put(end, end, indent + f",{indent}".join(pairs) + "," * ends_with_comma)
            return
        self._put(kept.end, kept.end, "".join(f", {pair}" for pair in pairs))
        if has_comma and not ends_with_comma:
            self._put(kept.behind - 1, kept.behind)

    def _edit_block(self, node: Node, gone: set[str | int], pairs: list[str]) -> None:
        keys = {key: child.key[0] for key, child in node.children.items()}
        kept = [key for key in keys if key not in gone]
        first = min(keys.values())
        line = self._line(first).start
        cut = line
        if self.text[line:first].strip():
            # Behind the dash of a list no whole line can go.
            cut = keys[kept[0]]
            self._put(first, cut)
        for key, start in keys.items():
            if key in gone and start >= cut:
                following = self._line(node.children[key].end).following
                self._put(self._line(start).start, following)
        lines = [" " * (first - line) + pair for pair in pairs]
        _, end, following = self._line(node.children[kept[-1]].end)
        if end < following:
            self._put(following, following, "".join(new + self.newline for new in lines))
        else:
            self._put(end, end, "".join(self.newline + new for new in lines))

    def _replace(self, node: Node, value: Any, anchor: str | None = None) -> None:
        new = self.write(value)
        self._rewrite(node, new if anchor is None else f"&{anchor} {new}")

    def _rewrite(self, node: Node, new: str) -> None:
        if node.start == node.end:
            new = f" {new}" if self.text[node.start - 1] == ":" else f": {new}"
        colon = COLON.match(self.text, node.key[1]) if node.key[0] < node.key[1] else None
        if colon and not node.begin.flow and self._line(colon.end()).end < node.start:
            # Below its key, where a comment may stand behind the key.
            self._put(colon.end(), colon.end(), f" {new}")
            self._put(self._line(colon.end()).end, self._line(node.end).end)
        else:
            self._put(node.start, node.end, new)

    def _put(self, start: int, end: int, new: str = "") -> None:
        self.edits.append((start, end, new))

    def _line(self, at: int) -> _Line:
        index = bisect_left(self.breaks, at)
        start = self.breaks[index - 1] + 1 if index else 0
        if index == len(self.breaks):
            return _Line(start, len(self.text), len(self.text))
        end = self.breaks[index]
        return _Line(start, end - (end > at and self.text[end - 1] == "\r"), end + 1)
