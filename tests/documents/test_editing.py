"""Editing: values of a spec's text change, and nothing else of the text does."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from random import Random
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from initcli.documents.edit import CannotEdit, Change, edited
from initcli.documents.json_text import parse_json
from initcli.documents.yaml_text import parse_yaml
from initcli.errors import InvalidSpec, Path
from initcli.sources.read import parse
from support.paths import SAMPLES

KERNEL = "kernel_initializer"


def changed(text: str, *changes: tuple[Path, Any], file: str = "model.yaml") -> str:
    return edited(text, file, [Change(path, value) for path, value in changes])


def unindented(text: str) -> str:
    """A text in triple quotes without the indentation of the test it stands in."""
    return dedent(text).removeprefix("\n")


EXAMPLES: list[tuple[str, str, list[tuple[Path, Any]], str]] = [
    (
        "a value in braces, and one that is added",
        """
        layers:
          - {type: Dense, units: 64, activation: relu}  # the first
          - { type: Dense, units: 8 }
        """,
        [(("layers", 0, "units"), 32), (("layers", 1, KERNEL), "he_normal")],
        """
        layers:
          - {type: Dense, units: 32, activation: relu}  # the first
          - { type: Dense, units: 8, kernel_initializer: he_normal }
        """,
    ),
    (
        "a value on a line, and one that is added",
        """
        layers:
          - type: Dense
            units: 64   # wide

          # the next
          - type: Dense
            units: 8
        seed: 0
        """,
        [(("layers", 0, "units"), 32), (("layers", 0, KERNEL), {"type": "Zeros"}), (("a",), [1.5])],
        """
        layers:
          - type: Dense
            units: 32   # wide
            kernel_initializer: {type: Zeros}

          # the next
          - type: Dense
            units: 8
        seed: 0
        a: [1.5]
        """,
    ),
    (
        "a mapping over several lines becomes one on the line of its key",
        """
        layers:
          - kernel_initializer:  # how it starts
              type: RandomNormal
              # small
              stddev: 0.05 # smaller still
            type: Dense # dense
        """,
        [(("layers", 0, KERNEL), {"type": "VarianceScaling", "scale": 2.0, "mode": "fan_in"})],
        """
        layers:
          - kernel_initializer: {type: VarianceScaling, scale: 2.0, mode: fan_in}  # how it starts
            type: Dense # dense
        """,
    ),
    (
        "lists and texts over several lines",
        """
        note: |
          Two
          lines.

        layers:
        - a
        - b # b
        inputs: [x,
                 y] # two
        plain: many
          words # one
        quoted: 'don''t'
        """,
        [((key,), key[0]) for key in ("note", "layers", "inputs", "plain", "quoted")],
        """
        note: n

        layers: l
        inputs: i # two
        plain: p # one
        quoted: q
        """,
    ),
    (
        "values that are not written",
        """
        a:
        b:   # nothing
        c: {d, e: , f}
        """,
        [(("a",), 1), (("b",), 2), (("c", "d"), 3), (("c", "e"), 4), (("c", "f"), 5)],
        """
        a: 1
        b: 2   # nothing
        c: {d: 3, e: 4 , f: 5}
        """,
    ),
    (
        "keys in quotes, commas at the end, empty braces",
        """
        x: {'a': 1, "b c": 2,}
        y: {}
        z: [{"a":1,"b":2}]
        """,
        [
            (("x", "a"), 3),
            (("x", "b c"), 4),
            (("x", "d: e"), 5),
            (("y", "f"), 6),
            (("y", "1"), 7),
            (("z", 0, "a"), "he_normal"),
        ],
        """
        x: {'a': 3, "b c": 4, "d: e": 5,}
        y: {f: 6, "1": 7}
        z: [{"a":he_normal,"b":2}]
        """,
    ),
    (
        "braces over several lines",
        """
        x: {
          a: 1, # one
          b: 2  # two
        }
        y: {
          a: 1,
          b: 2, # two
          # the end
        }
        z: {a: 1,
            b: 2}
        """,
        [(("x", "c"), 3), (("x", "d"), 4), (("y", "c"), 3), (("z", "c"), 3)],
        """
        x: {
          a: 1, # one
          b: 2,  # two
          c: 3,
          d: 4
        }
        y: {
          a: 1,
          b: 2, # two
          c: 3,
          # the end
        }
        z: {a: 1,
            b: 2, c: 3}
        """,
    ),
    (
        "wide characters before what changes",
        """
        name: "\N{GRINNING FACE}\N{GREEK SMALL LETTER ALPHA}" # \N{GRINNING FACE}
        layers: [{name: \N{GRINNING FACE}, units: 3}]
        """,
        [(("layers", 0, "units"), "π"), (("layers", 0, "a"), "\N{GRINNING FACE}")],
        """
        name: "\N{GRINNING FACE}\N{GREEK SMALL LETTER ALPHA}" # \N{GRINNING FACE}
        layers: [{name: \N{GRINNING FACE}, units: π, a: "\N{GRINNING FACE}"}]
        """,
    ),
]


@pytest.mark.parametrize(
    ("before", "changes", "after"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_yaml_is_edited(
    before: str, changes: list[tuple[Path, Any]], after: str, newline: str
) -> None:
    before, after = (unindented(text).replace("\n", newline) for text in (before, after))
    assert changed(before, *changes) == after


def test_a_last_line_without_an_end() -> None:
    assert changed("a:\n  b: 1", (("a", "c"), 2), (("d",), 3)) == "a:\n  b: 1\n  c: 2\nd: 3"
    assert changed("a: 1\nb: 2", (("b",), 3)) == "a: 1\nb: 3"
    assert changed("a: 1 # c", (("a",), "x")) == "a: x # c"


def test_keys_are_added_where_an_inner_and_an_outer_mapping_end() -> None:
    text = "- a:\n    b: 1\n- e\n"
    changes = (((0, "f"), 4), ((0, "a", "c"), 2))
    assert changed(text, *changes) == "- a:\n    b: 1\n    c: 2\n  f: 4\n- e\n"


def test_pretty_json_is_edited() -> None:
    before = """
    {
      "name": "a",
      "layers": [
        {"type": "Dense", "units": 8},
        {
          "type": "Dense",
          "units": 8
        },
        {
            "units": 8,
            "type": {
                "x": 1
            }
        }
      ],
      "more": {}
    }
    """
    after = """
    {
      "name": "a",
      "layers": [
        {"type": "Dense", "units": 9, "é": "\\"\\n"},
        {
          "type": "Dense",
          "units": 8,
          "kernel_initializer": {"type": "Zeros", "x": [1.0, true, null]},
          "name": "b"
        },
        {
            "units": 8,
            "type": "Dense",
            "<<": 2
        }
      ],
      "more": {"a": 1, "b": 2}
    }
    """
    changes: list[tuple[Path, Any]] = [
        (("layers", 0, "units"), 9),
        (("layers", 0, "é"), '"\n'),
        (("layers", 1, KERNEL), {"type": "Zeros", "x": [1.0, True, None]}),
        (("layers", 1, "name"), "b"),
        (("layers", 2, "type"), "Dense"),
        (("layers", 2, "<<"), 2),
        (("more", "a"), 1),
        (("more", "b"), 2),
    ]
    for newline in ("\n", "\r\n"):
        text, found = (unindented(text).replace("\n", newline) for text in (before, after))
        assert changed(text, *changes, file="model.json") == found


def test_json_on_one_line_is_edited() -> None:
    text = '{"a": [{"b": 1, "c": "}, #"}], "d": {"e": -1.5e3}, "f\\u00e9": true}'
    changes: Any = ((("a", 0, "b"), None), (("d", "f"), 2), (("fé",), "x"), (("g",), []))
    assert changed(text, *changes, file="<stdin>") == (
        '{"a": [{"b": null, "c": "}, #"}], "d": {"e": -1.5e3, "f": 2}, "f\\u00e9": "x", "g": []}'
    )


def test_a_name_says_whether_a_text_is_json() -> None:
    assert changed("[1, {}]", ((1, "a"), "b")) == "[1, {a: b}]"
    assert changed("[1, {}]", ((1, "a"), "b"), file="x.json") == '[1, {"a": "b"}]'


def test_nothing_to_change() -> None:
    text = "layers: [{type: 'Dense', units: 0x10, rate: 5e-1}] # c"
    changes = [(("layers", 0, "type"), "Dense"), (("layers", 0, "units"), 16)]
    assert changed(text) == text
    assert changed(text, *changes, (("layers", 0, "rate"), 0.5)) == text


def test_the_last_change_of_a_path_counts() -> None:
    assert changed("a: 1\n", (("a",), 3), (("a",), 2)) == "a: 2\n"


# ------------------------------------------------------------------------ values

TEXTS = [
    ("he_normal", "he_normal"),
    ("two words", "two words"),
    ("µ/x-1.5+2", "µ/x-1.5+2"),
    ("", '""'),
    ("null", '"null"'),
    ("True", '"True"'),
    ("~", '"~"'),
    ("1e-3", '"1e-3"'),
    (".inf", '".inf"'),
    ("0x1F", '"0x1F"'),
    ("a: b", '"a: b"'),
    ("a #b", '"a #b"'),
    ("a, b", '"a, b"'),
    ("- a", '"- a"'),
    ("*a", '"*a"'),
    ("<<", '"<<"'),
    ("a ", '"a "'),
    ("a\n", '"a\\n"'),
    ('"\\', '"\\"\\\\"'),
    ("\x85\u2028", '"\\U00000085\\U00002028"'),
]
NUMBERS = [0, -12, 10**150, 2.0, 1e-6, 1e22, -0.0, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize(("value", "written"), TEXTS)
def test_texts_are_quoted_where_they_would_be_read_as_something_else(
    value: str, written: str
) -> None:
    assert changed("a: 1 # c\n", (("a",), value)) == f"a: {written} # c\n"


def same(a: Any, b: Any) -> bool:
    """Whether data are equal in every type."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


@pytest.mark.parametrize("value", [*NUMBERS, *(value for value, _ in TEXTS), None, True, [], {}])
@pytest.mark.parametrize("text", ["k: 1\nl:\n", "{k: 1, l: 2}", '{"k": 1, "l": null}'])
def test_values_are_read_back(value: Any, text: str) -> None:
    wanted = {"k": value, "l": {"in": [value]}, "m": value}
    assert same(parse(changed(text, *(((key,), wanted[key]) for key in wanted))).data, wanted)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab:# é1", max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(VALUES)
def test_any_value_is_read_back(value: Any) -> None:
    for text in ("k: 1\nl:\n", "[x, {k: 1}]", '{"k": 1}'):
        path: Path = (1, "k") if text[0] == "[" else ("k",)
        data: Any = parse(changed(text, (path, value))).data
        for step in path:
            data = data[step]
        assert same(data, value)


# ------------------------------------------------------------------------ what cannot be edited


@pytest.mark.parametrize(
    ("text", "path", "value", "message"),
    [
        ("layers: [{a: 1}]", ("layers", 1, "a"), 1, "`layers.1.a` is not a key"),
        ("layers: [{a: 1}]", ("layers", 0, "b", "c"), 1, "`layers.0.b.c` is not a key"),
        ("layers: [{a: 1}]", ("layers", 0, "a", "c"), 1, "is not a key"),
        ("layers: [{a: 1}]", ("layers", 0), 1, "`layers.0` is not a key"),
        ("layers: [{a: 1}]", ("layers", "0", "a"), 1, "is not a key"),
        ("layers: [{a: 1}]", (), 1, "is not a key"),
        # What would read otherwise than it must.
        ("a: 1", ("a",), 10**250, "would break"),
        ("a: {b: 1}", ("a", "<<"), {"c": 1}, "would break"),
        ("a: [b: 1]", ("a", 0, "c"), 1, "would break"),
        ("? a\n: 1\n", ("b",), 2, "would break"),
        ("a: |+\n  b\n\n", ("c",), 1, "would break"),
        # What is shared.
        ("a: &x {b: 1}\nc: *x", ("a", "b"), 2, "model.yaml:1:4: this value is shared"),
        ("a: &x {b: 1}\nc: *x", ("a",), 2, "model.yaml:1:4: this value is shared"),
        ("a: &x {b: 1}\nc: *x", ("c", "b"), 2, "model.yaml:2:4: this value is shared"),
        ("a: {b: &x 1, c: [*x]}", ("a", "b"), 2, "model.yaml:1:8: this value is shared"),
        ("a: {<<: &x {b: 1}}\nc: {<<: *x}", ("c", "b"), 2, "model.yaml:2:4: this value is shared"),
        ("a: [&x {b: 1}]\nc: *x", ("a",), 2, "model.yaml:1:4: this value is shared"),
    ],
)
def test_what_cannot_be_edited(text: str, path: Path, value: Any, message: str) -> None:
    with pytest.raises(CannotEdit, match=re.escape(message)):
        changed(text, (path, value))


@pytest.mark.parametrize(
    ("text", "path", "value", "after"),
    [
        ("a: &x {b: 1}\nc: *x", ("c",), 2, "a: &x {b: 1}\nc: 2"),
        ("a: &x {b: 1}\nc: {<<: *x}", ("c", "d"), 2, "a: &x {b: 1}\nc: {<<: *x, d: 2}"),
        ("a: &x {b: 1}\nc: [*x, {d: 1}]", ("c", 1, "d"), 2, "a: &x {b: 1}\nc: [*x, {d: 2}]"),
    ],
)
def test_what_stands_beside_a_shared_value_is_edited(
    text: str, path: Path, value: Any, after: str
) -> None:
    assert changed(text, (path, value)) == after


def test_what_does_not_parse() -> None:
    for text in ("a: [", "a: 1\na: 2"):
        with pytest.raises(InvalidSpec):
            changed(text, (("a",), 1))


# ------------------------------------------------------------------------ whole specs


def mappings(data: Any, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """All mappings of a document, by path."""
    if isinstance(data, dict):
        yield path, data
    if isinstance(data, (dict, list)):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from mappings(value, (*path, key))


def layers(data: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """All layers of a spec, and not what else has a type: initializers and activations."""
    for path, mapping in mappings(data):
        if "type" in mapping and (path[-2:-1] == ("layers",) or path[-1] == "layer"):
            yield path, mapping


def at(data: Any, path: Path) -> Any:
    for step in path:
        data = data[step]
    return data


def with_changes(data: Any, changes: list[tuple[Path, Any]]) -> Any:
    found = json.loads(json.dumps(data))
    for path, value in changes:
        holder = found
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = copy.deepcopy(value)
    return found


NATIVE = [
    file
    for file in sorted(SAMPLES.iterdir())
    if file.suffix in (".yaml", ".json")
    and not file.name.startswith(("keras_", "initcli."))
    and "&" not in file.read_text("utf-8")
]
AN_INITIALIZER = re.compile(r'(, )?"?kernel_initializer"?: (\{[^}]*\}|"?\w+"?)')


def data_of(file: FilePath, text: str) -> Any:
    """What a file says, without what it extends."""
    read = parse_json if file.suffix == ".json" else parse_yaml
    return read(text, file.name).data


@pytest.mark.parametrize("file", NATIVE, ids=lambda file: file.name)
def test_every_layer_of_a_spec_gets_an_initializer(file: FilePath) -> None:
    text = file.read_bytes().decode()
    before = data_of(file, text)
    changes: list[tuple[Path, Any]]
    changes = [((*path, KERNEL), {"type": "VarianceScaling"}) for path, _ in layers(before)]
    assert changes
    after = changed(text, *changes, file=file.name)
    assert same(data_of(file, after), with_changes(before, changes))
    assert AN_INITIALIZER.sub("", after) == AN_INITIALIZER.sub("", text)


@pytest.mark.parametrize("file", NATIVE, ids=lambda file: file.name)
def test_one_layer_of_a_spec_gets_an_initializer(file: FilePath) -> None:
    text = file.read_bytes().decode()
    before = data_of(file, text)
    for path, _ in [*layers(before)][::4]:
        change = ((*path, KERNEL), "lecun_normal")
        after = changed(text, change, file=file.name)
        assert same(data_of(file, after), with_changes(before, [change]))
        old, new = text.split("\n"), after.split("\n")
        assert len(new) == len(old)
        assert sum(a != b for a, b in zip(old, new, strict=True)) == 1


# ------------------------------------------------------------------------ specs of any style

KEYS = ["type", "units", "a b", "1", "true", "é: ü", "#", "kernel"]
SCALARS = st.sampled_from(
    [None, True, 1, 1.0, -2.5e-9, "relu", "1", "", "a: b # c", "é\n\U0001f600"]
)
DATA = st.dictionaries(
    st.sampled_from(KEYS),
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3)
            # The same several times, so that aliases can stand for it.
            | st.builds(lambda value, times: [value] * times, inner, st.integers(2, 4))
            | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
        ),
        max_leaves=20,
    ),
    min_size=1,
)


class Writer:
    """Writes data as YAML, each value in a style of its own, with comments and aliases."""

    def __init__(self, random: Random, shares: bool) -> None:
        self.random = random
        self.shares = shares
        self.comments = 0
        self.names = 0
        self.anchors: dict[str, Any] = {}

    def comment(self) -> str:
        self.comments += 1
        return self.random.choice(["", "", f" # comment {self.comments}, {{"])

    def anchor(self) -> str:
        self.names += 1
        return f"x{self.names}" if self.shares and self.random.random() < 0.6 else ""

    def alias(self, value: Any) -> str:
        names = [name for name, other in self.anchors.items() if same(other, value)]
        return f"*{self.random.choice(names)} " if names and self.random.random() < 0.8 else ""

    def pairs(self, value: dict[str, Any]) -> list[tuple[str, Any]]:
        """The keys and values to write, of which the first may merge what others say."""
        for name, other in self.anchors.items():
            within = isinstance(other, dict) and other.keys() <= value.keys()
            if within and same(other, {key: value[key] for key in other}):
                own = [(key, value[key]) for key in value if key not in other]
                return [("<<", name), *own]
        return list(value.items())

    def scalar(self, value: Any) -> str:
        plain = isinstance(value, str) and re.fullmatch(r"[a-z]+", value)
        return value if plain else json.dumps(value, ensure_ascii=False)

    def flow(self, value: Any, indent: int) -> str:
        alias = self.alias(value)
        if alias:
            return alias
        name = self.anchor()
        if isinstance(value, dict):
            pieces = [self.pair(key, inner, indent) for key, inner in self.pairs(value)]
            text = f"{{{self.joined(pieces, indent)}}}"
        elif isinstance(value, list):
            pieces = [self.flow(inner, indent + 2) for inner in value]
            text = f"[{self.joined(pieces, indent)}]"
        else:
            text = self.scalar(value)
        if name:
            self.anchors[name] = value
            text = f"&{name} {text}"
        return text

    def pair(self, key: str, value: Any, indent: int) -> str:
        if key == "<<":
            return f"<<: *{value} "
        return f"{self.scalar(key)}: {self.flow(value, indent + 2)}"

    def joined(self, pieces: list[str], indent: int) -> str:
        end = self.random.choice(["", "", ","]) if pieces else ""
        if not pieces or self.random.random() < 0.6:
            return ", ".join(pieces) + end
        margin = f"\n{' ' * indent}"
        lines = [f"{piece},{self.comment()}" for piece in pieces[:-1]]
        lines.append(f"{pieces[-1]}{end}{self.comment()}")
        return margin + margin.join(lines) + margin

    def block(self, value: Any, indent: int) -> str:
        """What stands behind a colon or a dash, to the end of its last line."""
        if not isinstance(value, (dict, list)) or not value or self.random.random() < 0.4:
            return f" {self.flow(value, indent + 1)}{self.comment()}\n"
        name = self.anchor()
        text = (f" &{name}" if name else "") + self.comment() + "\n" + self.lines(value, indent)
        if name:
            self.anchors[name] = value
        return text

    def lines(self, value: Any, indent: int) -> str:
        margin, text = " " * indent, ""
        if isinstance(value, dict):
            for key, inner in self.pairs(value):
                text += f"{margin}{self.scalar(key)}:"
                text += f" *{inner}\n" if key == "<<" else self.block(inner, indent + 2)
        else:
            for inner in value:
                if isinstance(inner, dict) and inner and self.random.random() < 0.6:
                    text += f"{margin}- {self.lines(inner, indent + 2).lstrip()}"
                else:
                    text += f"{margin}-{self.block(inner, indent + 2)}"
        return text


@st.composite
def texts(draw: st.DrawFn, shares: bool) -> tuple[str, Any]:
    """A text, in YAML or JSON of some style, and what it says."""
    data = draw(DATA)
    style = draw(st.sampled_from(["yaml", "yaml", "yaml", "json", "pretty"]))
    if style == "yaml":
        text = Writer(draw(st.randoms(use_true_random=False)), shares).lines(data, 0)
    else:
        text = json.dumps(data, ensure_ascii=False, indent=2 if style == "pretty" else None) + "\n"
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return text, data


@st.composite
def ways(draw: st.DrawFn, data: Any, values: st.SearchStrategy[Any]) -> list[tuple[Path, Any]]:
    """Changes of which none lies within another."""
    found: dict[Path, Any] = {}
    places = [(path, mapping) for path, mapping in mappings(data)]
    for path, mapping in draw(st.lists(st.sampled_from(places), min_size=1, max_size=6)):
        key = draw(st.sampled_from([*mapping, "new", "kernel"]))
        here = (*path, key)
        if all(here[: len(other)] != other[: len(here)] for other in found):
            found[here] = draw(values)
    return list(found.items())


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_any_spec_has_the_changes_that_were_asked_for(data: st.DataObject) -> None:
    text, before = data.draw(texts(shares=True))
    assert same(parse(text).data, before)
    values = SCALARS | st.just({"type": "Zeros"}) | st.just([1, "a, b"])
    changes = data.draw(ways(before, values))
    try:
        after = changed(text, *changes)
    except CannotEdit as error:
        assert ("&" in text, "shared" in str(error)) == (True, True)  # noqa: PT017
        return
    assert same(parse(after).data, with_changes(before, changes))
    assert changed(after, *changes) == after
    assert after.count("\r\n") in (0, after.count("\n"))


@settings(deadline=None)
@given(st.data())
def test_changes_that_are_undone_leave_no_trace(data: st.DataObject) -> None:
    text, before = data.draw(texts(shares=False))
    changes, back = [], []
    for path, value in data.draw(ways(before, SCALARS)):
        if path[-1] in at(before, path[:-1]) and not isinstance(at(before, path), (dict, list)):
            changes.append((path, value))
            back.append((path, at(before, path)))
    after = changed(text, *changes)
    comment = re.compile(r"# comment \d+, \{(?=\r?\n)")
    assert comment.findall(after) == comment.findall(text)
    assert changed(after, *back) == text
