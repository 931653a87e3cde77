"""Reading: YAML 1.2 and JSON to plain data, and the place of every value."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import initcli
from initcli.documents.document import Document
from initcli.errors import Path
from initcli.sources.read import parse

SCALARS: list[tuple[str, Any]] = [
    ("1e-3", 0.001),
    (".5", 0.5),
    ("-1.", -1.0),
    ("+12", 12),
    ("0x1F", 31),
    ("0o17", 15),
    ("017", 17),
    (".inf", math.inf),
    ("-.Inf", -math.inf),
    ("1_000", "1_000"),
    ("yes", "yes"),
    ("no", "no"),
    ("on", "on"),
    ("off", "off"),
    ("true", True),
    ("FALSE", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("'1'", "1"),
    ('"true"', "true"),
    ("2001-01-01", "2001-01-01"),
    ("12:30:45", "12:30:45"),
    ("!!str 12", "12"),
    ("!!float 3", 3.0),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = parse(f"a: {text}\n").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_read_as_such() -> None:
    assert math.isnan(parse("a: .nan").data["a"])


def test_anchors_and_merges() -> None:
    data = parse("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: {<<: [*x, {p: 9, r: 4}]}\nd: *x").data
    assert data["b"] == {"p": 1, "q": 3}
    assert data["c"] == {"p": 1, "q": 2, "r": 4}
    assert data["d"] == data["a"]


@pytest.mark.parametrize("prefix", ["", "\ufeff", "\r\n", "# a comment\r\n", "%YAML 1.2\n---\n"])
def test_what_stands_before_a_spec(prefix: str, tmp_path: Any) -> None:
    file = tmp_path / "model.yaml"
    file.write_bytes(f"{prefix}input_shape: [3]\r\nlayers: [{{type: ReLU}}]\r\n".encode())
    assert initcli.load(str(file)).layers[0].output_shape == (None, 3)


def test_json_is_read_as_json() -> None:
    data = parse('{"a": "\\ud83d\\ude00\\/",\t"b": [1E3, -0.5e-2, true, null]}').data
    assert data == {"a": "\U0001f600/", "b": [1000.0, -0.005, True, None]}


# ------------------------------------------------------------------------ places

words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=6)
leaves = st.integers(-99, 99) | st.booleans() | words.map(lambda word: f"w{word}")
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(words.map(lambda word: f"k{word}"), inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)
roots = st.dictionaries(words.map(lambda word: f"k{word}"), trees, min_size=1, max_size=3)


def walk(data: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, data
    if isinstance(data, dict):
        for key, value in data.items():
            yield from walk(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from walk(value, (*path, index))


def text_at(document: Document, path: Path, at_key: bool = False) -> str:
    """What stands in the text from the place of a value, or of its key, to the end of the line."""
    place = document.place(path, at_key)
    line = document.text.splitlines()[place.line - 1]
    assert place.text == line
    return line[place.column - 1 :]


@given(roots, st.sampled_from([None, 0, 2]))
def test_every_value_and_key_of_json_has_its_place(
    root: dict[str, Any], indent: int | None
) -> None:
    document = parse(json.dumps(root, indent=indent), "model.json")
    assert document.data == root
    for path, value in walk(root):
        shown = text_at(document, path)
        whole = json.dumps(value)
        assert shown.startswith(whole[0] if isinstance(value, dict | list) else whole)
        if path and isinstance(path[-1], str):
            assert text_at(document, path, at_key=True).startswith(json.dumps(path[-1]))


@given(roots, st.sampled_from([True, False, None]))
def test_every_value_and_key_of_yaml_has_its_place(root: dict[str, Any], flow: bool | None) -> None:
    text = yaml.safe_dump(root, default_flow_style=flow, sort_keys=False, width=10_000)
    document = parse(text, "model.yaml")
    assert document.data == root
    for path, value in walk(root):
        shown = text_at(document, path)
        if not isinstance(value, dict | list):
            starts = str(value).lower() if isinstance(value, bool) else str(value)
            assert shown.startswith(starts)
        if path and isinstance(path[-1], str):
            assert text_at(document, path, at_key=True).startswith(path[-1])
