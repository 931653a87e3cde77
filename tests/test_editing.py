"""Changes to a spec's text: the data changes as it should, and nothing else does."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_command_line import ROOT

from initcli.spec.edit import REMOVED, CannotEdit, Change, edited
from initcli.spec.json_text import parse_json
from initcli.spec.yaml_text import parse_yaml

HE: dict[str, Any] = {"type": "VarianceScaling", "scale": 2.0, "input_axes": [0, 1]}
HE_TEXT = "{type: VarianceScaling, scale: 2.0, input_axes: [0, 1]}"


def change(*path: str | int, to: Any = HE) -> Change:
    return Change(path, to)


def data_of(text: str, file: str) -> Any:
    return (parse_json if file.endswith(".json") else parse_yaml)(text, file).data


# What a text looks like before and after

EXAMPLES = {
    "a value in braces": (
        "layers:\n  - {type: Dense, k: glorot, units: 4} # first\n",
        "layers:\n  - {type: Dense, k: %s, units: 4} # first\n",
    ),
    "a new key in braces": (
        "layers:\n  - {type: Dense, units: 4} # first\n",
        "layers:\n  - {type: Dense, units: 4, k: %s} # first\n",
    ),
    "a new key in braces over two lines": (
        "layers:\n  - {type: Dense,\n     units: 4} # first\n",
        "layers:\n  - {type: Dense,\n     units: 4, k: %s} # first\n",
    ),
    "a new key in empty braces": ("layers:\n  - {}\n", "layers:\n  - {k: %s}\n"),
    "a new key behind a trailing comma": (
        "layers: [{type: Dense, units: 4,}]\n",
        "layers: [{type: Dense, units: 4, k: %s,}]\n",
    ),
    "a value on its key's line": (
        "layers:\n  - type: Dense # a\n    k: glorot # b\n    units: 4 # c\n# d\n",
        "layers:\n  - type: Dense # a\n    k: %s # b\n    units: 4 # c\n# d\n",
    ),
    "a value on lines of its own": (
        "layers:\n  - type: Dense\n    k:\n      type: Zeros\n      seed: 1\n    units: 4\n",
        "layers:\n  - type: Dense\n    k: %s\n    units: 4\n",
    ),
    "a new key on a line of its own": (
        "layers:\n  - type: Dense # a\n    units: 4 # b\n\n# c\nname: x\n",
        "layers:\n  - type: Dense # a\n    units: 4 # b\n    k: %s\n\n# c\nname: x\n",
    ),
    "quoted keys and values": (
        "layers:\n  - {\"type\": 'Dense', \"k\": 'glorot'}\n",
        'layers:\n  - {"type": \'Dense\', "k": %s}\n',
    ),
    "lines that end as on Windows": (
        "layers:\r\n  - type: Dense\r\n    units: 4\r\n",
        "layers:\r\n  - type: Dense\r\n    units: 4\r\n    k: %s\r\n",
    ),
    "characters beyond the basic plane": (
        "name: 𝔘 é # 😀\nlayers:\n  - {name: 😀, k: 1} # 😀\n",
        "name: 𝔘 é # 😀\nlayers:\n  - {name: 😀, k: %s} # 😀\n",
    ),
    "no line end at the end": ("layers:\n  - units: 4", "layers:\n  - units: 4\n    k: %s"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_yaml_text_keeps_its_layout(name: str) -> None:
    before, after = EXAMPLES[name]
    assert edited(before, "a.yaml", [change("layers", 0, "k")]) == after % HE_TEXT


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"layers": [{"units": 4, "k": "x"}]}', '{"layers": [{"units": 4, "k": %s}]}'),
        ('{"layers": [{"units": 4}]}', '{"layers": [{"units": 4, "k": %s}]}'),
        ('{"layers": [{}]}', '{"layers": [{"k": %s}]}'),
        (
            '{\n  "layers": [\n    {\n      "units": 4\n    }\n  ]\n}\n',
            '{\n  "layers": [\n    {\n      "units": 4,\n      "k": %s\n    }\n  ]\n}\n',
        ),
    ],
)
def test_a_json_text_keeps_its_layout(before: str, after: str) -> None:
    found = edited(before, "a.json", [change("layers", 0, "k")])
    assert found == after % json.dumps(HE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("l:\n  - {a: 1, k: 2, b: 3} # c\n", "l:\n  - {a: 1, b: 3} # c\n"),
        ("l:\n  - {k: 2, b: 3}\n", "l:\n  - {b: 3}\n"),
        ("l:\n  - {a: 1, k: 2}\n", "l:\n  - {a: 1}\n"),
        ("l:\n  - a: 1\n    k: 2 # gone\n    b: 3 # stays\n", "l:\n  - a: 1\n    b: 3 # stays\n"),
        ("l:\n  - k: 2\n    b: 3\n", "l:\n  - b: 3\n"),
        ("l:\n  - a: 1\n    k:\n      x: 1\n      y: 2\n", "l:\n  - a: 1\n"),
    ],
)
def test_a_key_goes_with_its_line_or_its_comma(before: str, after: str) -> None:
    assert edited(before, "a.yaml", [change("l", 0, "k", to=REMOVED)]) == after


# Anchors and aliases

STACK = "l:\n  - &h {type: Dense, k: a} # h\n  - *h\n  - *h\n"


def test_what_all_share_is_changed_where_it_is_written() -> None:
    every = [change("l", i, "k", to="b") for i in range(3)]
    assert edited(STACK, "a.yaml", every) == STACK.replace("k: a", "k: b")


def test_an_alias_that_changes_alone_overrides() -> None:
    found = edited(STACK, "a.yaml", [change("l", 1, "k", to="b")])
    assert found == "l:\n  - &h {type: Dense, k: a} # h\n  - {<<: *h, k: b}\n  - *h\n"


def test_aliases_of_what_changes_alone_keep_their_data() -> None:
    found = edited(STACK, "a.yaml", [change("l", 0, "k", to="b")])
    assert data_of(found, "a.yaml")["l"] == [{"type": "Dense", "k": k} for k in ("b", "a", "a")]
    assert "&h {type: Dense, k: b} # h" in found


def test_a_merge_is_overridden_by_an_own_key() -> None:
    text = "a: &a {x: 1, y: 2}\nl:\n  - {<<: *a, z: 3} # one\n  - {<<: *a}\n"
    found = edited(text, "a.yaml", [change("l", 0, "x", to=9)])
    assert data_of(found, "a.yaml")["l"] == [{"x": 9, "y": 2, "z": 3}, {"x": 1, "y": 2}]
    assert "# one" in found
    gone = edited(text, "a.yaml", [change("l", 0, "x", to=REMOVED)])
    assert data_of(gone, "a.yaml")["l"] == [{"y": 2, "z": 3}, {"x": 1, "y": 2}]


# Values

NAMES = st.text(max_size=4)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["1e-3", "true", "null", "~", "a: b", "- x", "#c", "0x1f", "1.", "yes", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_every_plain_value_is_read_back_as_it_is(value: Any) -> None:
    for file, text in (("a.yaml", "l: {k: 0}\n"), ("a.json", '{"l": {"k": 0}}')):
        try:
            found = edited(text, file, [change("l", "k", to=value)])
        except CannotEdit:
            # Only what the reader itself refuses: a merge, or a surrogate.
            assert "<<" in repr(value) or not _encodes(value)
            continue
        back = data_of(found, file)["l"]["k"]
        assert (back, repr(back)) == (value, repr(value))


def _encodes(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


# Any text, any changes

KEYS = st.sampled_from(["a", "b", "c", "units", "k"])
SCALARS = st.integers(0, 99) | st.sampled_from(["relu", "he normal", "1e-3"])
MAPPINGS = st.dictionaries(KEYS, SCALARS, min_size=1, max_size=4)
DATA = st.fixed_dictionaries(
    {"l": st.lists(st.dictionaries(KEYS, SCALARS | MAPPINGS, min_size=1, max_size=4), max_size=4)}
)


def rendered(data: Any, draw: Any, indent: int = 0, flow: bool = False) -> str:
    """YAML of some data, in braces or on lines as it comes, with comments here and there."""
    if not isinstance(data, dict | list) or not data:
        return json.dumps(data)
    if flow or (indent and draw(st.booleans())):
        comma = draw(st.sampled_from([", ", ",", " , ", f",\n{' ' * (indent + 3)}"]))
        if isinstance(data, list):
            inner = comma.join(rendered(each, draw, indent, True) for each in data)
            return f"[{inner}]"
        pairs = (f"{json.dumps(k)}: {rendered(v, draw, indent, True)}" for k, v in data.items())
        end: str = draw(st.sampled_from(["", ",", " "]))
        return f"{{{comma.join(pairs)}{end}}}"
    pad, lines = " " * indent, []
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        below = rendered(value, draw, indent + 2)
        is_block = isinstance(value, dict | list) and below[:1] not in "{["
        comment = draw(st.sampled_from(["", "", "  # said"]))
        if isinstance(data, list):
            head = f"{pad}- {below.lstrip()}" if is_block else f"{pad}- {below}{comment}"
        elif is_block:
            head = f"{pad}{key}:{comment}\n{below}"
        else:
            head = f"{pad}{key}: {below}{comment}"
        lines.append(head)
        if draw(st.integers(0, 5)) == 0:
            lines.append(f"{pad}# between")
    return "\n".join(lines)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_data_change_as_they_should_and_comments_stay(given_data: st.DataObject) -> None:
    data = given_data.draw(DATA)
    as_json = given_data.draw(st.booleans())
    if as_json:
        text = json.dumps(data, indent=given_data.draw(st.sampled_from([None, 1, 2])))
        file = "a.json"
    else:
        text, file = rendered(data, given_data.draw), "a.yaml"
        if given_data.draw(st.booleans()):
            text = text.replace("\n", "\r\n")
        text += given_data.draw(st.sampled_from(["", "\n", "\n# end\n"]))
    assert data_of(text, file) == data
    expected, changes = copy.deepcopy(data), []
    for index, entry in enumerate(data["l"]):
        for key in given_data.draw(st.lists(KEYS, max_size=2, unique=True)):
            if key in entry and given_data.draw(st.booleans()):
                changes.append(change("l", index, key, to=REMOVED))
                del expected["l"][index][key]
            else:
                value = given_data.draw(SCALARS | MAPPINGS)
                changes.append(change("l", index, key, to=value))
                expected["l"][index][key] = value
    found = edited(text, file, changes)
    assert data_of(found, file) == expected
    if not changes:
        assert found == text
    # Comments between entries belong to no value.
    assert found.count("# end") == text.count("# end")


@pytest.mark.parametrize(
    "file", sorted(path.name for path in (ROOT / "sample_configs").glob("*.yaml"))
)
def test_every_layer_of_a_sample_can_be_given_another_initializer(file: str) -> None:
    text = (ROOT / "sample_configs" / file).read_text(encoding="utf-8")
    data = data_of(text, file)
    expected, changes = copy.deepcopy(data), []

    def walk(layers: list[Any], wanted: list[Any], path: tuple[str | int, ...]) -> None:
        for index, layer in enumerate(layers):
            here = (*path, index)
            if "layers" in layer:
                walk(layer["layers"], wanted[index]["layers"], (*here, "layers"))
            elif layer.get("type") in ("Dense", "Conv2D", "Conv1D", "BatchNormalization"):
                changes.append(Change((*here, "kernel_initializer"), "he_normal"))
                wanted[index] = {**wanted[index], "kernel_initializer": "he_normal"}

    walk(data["layers"], expected["layers"], ("layers",))
    found = edited(text, file, changes)
    assert data_of(found, file) == expected
    old, new = text.splitlines(), found.splitlines()
    if len(old) == len(new):
        kept = sum(a == b for a, b in zip(old, new, strict=True))
        assert kept >= len(old) - len(changes)
    assert [line for line in old if line.startswith("#")] == [
        line for line in new if line.startswith("#")
    ]


# What cannot be


@pytest.mark.parametrize(
    "path",
    [("layers", 7, "k"), ("nowhere", "k"), ("layers", 0), (), ("layers", 0, "units", "k")],
)
def test_a_path_that_leads_nowhere_is_an_error(path: tuple[str | int, ...]) -> None:
    with pytest.raises(CannotEdit):
        edited("layers:\n  - {units: 4}\n", "a.yaml", [Change(path, 1)])


def test_what_is_not_there_cannot_go() -> None:
    with pytest.raises(CannotEdit, match=r"`layers\[0\].k` cannot be removed"):
        edited("layers:\n  - {units: 4}\n", "a.yaml", [change("layers", 0, "k", to=REMOVED)])


def test_a_change_within_a_change_is_an_error() -> None:
    with pytest.raises(CannotEdit, match="twice"):
        edited("a: {b: {c: 1}}\n", "a.yaml", [change("a", "b", to=1), change("a", "b", "c", to=2)])


def test_thousands_of_changes_take_no_longer_than_they_should() -> None:
    """Four times as many take about four times as long: nothing is gone through again and again."""

    def seconds(count: int) -> float:
        text = "layers:\n" + "  - {type: Dense, units: 4}\n" * count
        changes = [change("layers", index, "k") for index in range(count)]
        start = time.perf_counter()
        edited(text, "a.yaml", changes)
        return time.perf_counter() - start

    small = min(seconds(500) for _ in range(3))
    assert seconds(4000) < 40 * small
