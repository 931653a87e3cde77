"""Where the values and keys of a text stand, from their first character to their last."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import yaml

from initcli.errors import Path


class Event(NamedTuple):
    """The beginning of a value or a key, or the end of a mapping or list."""

    kind: Literal["scalar", "alias", "mapping", "list", "end"]
    start: int
    end: int
    word: str = ""
    anchor: str | None = None
    flow: bool = True


def yaml_events(text: str) -> Iterator[Event]:
    """The events of a YAML text that parses."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    events: Iterator[Any] = yaml.parse(text, Loader=loader)
    for event in events:
        start, end = event.start_mark.index, event.end_mark.index
        if isinstance(event, yaml.ScalarEvent):
            if event.style in ("|", ">"):
                end = start + len(text[start:end].rstrip())
            yield Event("scalar", start, end, event.value, event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            yield Event("alias", start, end, event.anchor or "")
        elif isinstance(event, yaml.MappingStartEvent):
            yield Event("mapping", start, end, "", event.anchor, bool(event.flow_style))
        elif isinstance(event, yaml.SequenceStartEvent):
            yield Event("list", start, end, "", event.anchor, bool(event.flow_style))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            yield Event("end", start, end)


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{\]}]|[^\s\[{\]},:"]+', re.DOTALL)


def json_events(text: str) -> Iterator[Event]:
    """The events of a JSON text that parses."""
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word in "[{":
            yield Event("list" if word == "[" else "mapping", *token.span())
        elif word in "]}":
            yield Event("end", *token.span())
        else:
            yield Event("scalar", *token.span(), json.loads(word) if word[0] == '"' else word)


@dataclass(frozen=True, eq=False)
class Node:
    """A value in the text; one of a mapping knows where its key stands."""

    begin: Event
    path: Path
    key: tuple[int, int]
    start: int
    end: int
    children: dict[str | int, Node]
    target: Node | None


COLON = re.compile(r"\s*:")
"""What stands between a key and its value."""


def tree(text: str, events: Iterator[Event], aliases: defaultdict[Node, list[Node]]) -> Node:
    """All values; also fills in which aliases stand for which of them."""
    anchors: dict[str, Node] = {}

    def node(begin: Event, path: Path, key: tuple[int, int]) -> Node:
        children: dict[str | int, Node] = {}
        start, end = begin.start, begin.end
        if begin.kind in ("mapping", "list"):
            for event in events:
                if event.kind == "end":
                    # What ends by its indentation is said to end behind blank lines and comments.
                    end = event.end if begin.flow else [*children.values()][-1].end
                    break
                if begin.kind == "mapping":
                    name, value = event.word, next(events)
                    children[name] = node(value, (*path, name), (event.start, event.end))
                else:
                    index = len(children)
                    children[index] = node(event, (*path, index), (event.start, event.start))
        elif start == end and key[0] < key[1]:
            colon = COLON.match(text, key[1])
            start = end = colon.end() if colon else key[1]
        target = anchors[begin.word] if begin.kind == "alias" else None
        found = Node(begin, path, key, start, end, children, target)
        if target is not None:
            aliases[target].append(found)
        if begin.anchor is not None:
            anchors[begin.anchor] = found
        return found

    return node(next(events), (), (0, 0))
