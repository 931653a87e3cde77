"""Specs that mean harm end soon, with a message, and write nothing where they should not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import initcli
from initcli.files import file_stems

ROOT = Path(__file__).parents[1]
TOUR = (ROOT / "sample_configs" / "tour.yaml").read_text("utf-8")


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for level in range(1, levels):
        inner = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{inner}]")
    return "\n".join(lines)


DEEP = 100_000
TEXTS = {
    "alias bomb": bomb(30),
    "alias of itself": "layers: &a [*a]",
    "deep flow": "[" * DEEP,
    "deep flow, closed": "layers: " + "[" * DEEP + "]" * DEEP,
    "deep mappings": "{a: " * DEEP,
    "deep blocks": "".join(" " * i + "a:\n" for i in range(3000)),
    "deep list blocks": "- " * 5000 + "a",
    "deep JSON": '{"layers": ' + "[" * DEEP + "]" * DEEP + "}",
    "deep JSON objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "integer of 10,000 digits": f"input_shape: [{'9' * 10_000}]\nlayers: [{{type: ReLU}}]",
    "integer of 10,000 digits in JSON": f'{{"input_shape": [{"9" * 10_000}], "layers": []}}',
    "hexadecimal of 10,000 digits": f"input_shape: [0x{'f' * 10_000}]\nlayers: [{{type: ReLU}}]",
    "octal of 10,000 digits": f"input_shape: [0o{'7' * 10_000}]\nlayers: [{{type: ReLU}}]",
    "exponent": "input_shape: [1e400]\nlayers: [{type: ReLU}]",
    "sizes whose product has 6,000 digits": f"input_shape: [{', '.join(['9' * 200] * 30)}]\n"
    "layers: [{type: Flatten}]",
    "an STFT of a galaxy": "input_shape: [9000000, 1]\nlayers: [{type: Conv1D, filters: 9000000, "
    "kernel_size: 9000000, kernel_initializer: stft}]",
    "10^18 units": "input_shape: [8]\nlayers: [{type: Dense, units: 1000000000000000000}]",
    "product beyond 2^64": "input_shape: [4294967296]\nlayers: [{type: Dense, units: 4294967296}]",
    "sizes that multiply": "input_shape: [100000, 100000, 100000, 100000]\n"
    "layers: [{type: Flatten}, {type: Dense, units: 3}]",
    "a month of weights": "input_shape: [1000000000]\nlayers: [{type: Dense, units: 1000000000}]",
    "an orthogonal matrix that fits nowhere": "input_shape: [10000000]\n"
    "layers: [{type: Dense, units: 10000000, kernel_initializer: orthogonal}]",
    "negative sizes": "input_shape: [-8]\nlayers: [{type: Dense, units: -3}]",
    "NaN": "input_shape: [.nan]\nlayers: [{type: Dropout, rate: .nan}]",
    "infinity in JSON": '{"input_shape": [3], "layers": [{"type": "Dropout", "rate": Infinity}]}',
    "unhashable type": "input_shape: [3]\nlayers: [{type: [ReLU]}]",
    "mapping for a name": "input_shape: [3]\nlayers: [{type: ReLU, name: {a: 1}}]",
    "key of a list": "? [a, b]\n: 1",
    "key of null": "~: 1",
    "nothing but a comment": "# nothing",
    "control characters": "layers: [\x00]",
    "terminal escape in a name": 'input_shape: [3]\nlayers: [{type: ReLU, name: "\\e[31mred"}]',
    "terminal escape in the text": "input_shape: [3]\nlayers: [{type: \x9b31mReLU}]",
    "lone surrogate": '{"input_shape": [3], "name": "\\ud800", "layers": [{"type": "\\ud800"}]}',
    "newline in a name": 'input_shape: [3]\nlayers: [{type: ReLU, name: "a\\nb"}]',
    "endless name": f"input_shape: [3]\nlayers: [{{type: ReLU, name: {'n' * 10_000}}}]",
    "endless type": f"input_shape: [3]\nlayers: [{{type: {'n' * 1_000_000}}}]",
    "endless line": f"input_shape: [3]\nlayers: [{{type: ReLU, {'x' * 1_000_000}: 1}}]",
    "merge of a number": "<<: 3",
    "tag": "!!python/object/new:os.system [echo]",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_harm_ends_soon_with_a_message(text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "initcli", "summary", "-"],
        input=text.encode("utf-8", "surrogatepass"),
        capture_output=True,
        timeout=20,
        env={**os.environ, "PYTHONUTF8": "1"},
        check=False,
    )
    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert done.stdout == b""
    assert "Traceback" not in said
    assert len(said) < 5000
    assert all(c.isprintable() or c == "\n" for c in said)


def test_a_name_of_the_model_is_shown_without_its_escapes() -> None:
    spec = 'name: "\\e[31mred\\e]0;title\\a"\ninput_shape: [3]\nlayers: [{type: ReLU}]\n'
    done = subprocess.run(
        [sys.executable, "-m", "initcli", "summary", "-"],
        input=spec.encode(),
        capture_output=True,
        check=True,
    )
    assert b"\x1b" not in done.stdout
    assert b"\\x1b[31mred" in done.stdout


def test_a_file_of_100_megabytes_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    with large.open("wb") as stream:
        stream.truncate(100 * 2**20)
    with pytest.raises(initcli.InvalidSpec, match="at most 16,777,216 bytes"):
        initcli.load(str(large))


def test_names_write_inside_the_folder_only_and_never_over_one_another(tmp_path: Path) -> None:
    names = [
        "..",
        "Head",
        "head",
        "caf\u00e9",
        "cafe\u0301",
        "con",
        "a b",
        "a_b",
        "a$\\\\frac{x}$",
        "x" * 200,
    ]
    layers = "".join(f'  - {{type: Dense, units: 2, name: "{name}"}}\n' for name in names)
    spec = f"input_shape: [2]\nlayers:\n{layers}"
    out = tmp_path / "deep" / "out"
    done = subprocess.run(
        [sys.executable, "-m", "initcli", "hist", "-", "--out", str(out)],
        input=spec.encode(),
        capture_output=True,
        env={**os.environ, "PYTHONUTF8": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    files = [Path(line) for line in done.stdout.decode().splitlines()]
    assert len(files) == 2 * len(names) + 2
    assert len({file.name.casefold() for file in files}) == len(files)
    everything = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert everything == set(files)
    assert {file.parent for file in files} == {out}
    for file in files:
        with Image.open(file) as image:
            image.load()


RESERVED = {"", "con", "nul", "aux", "prn", "com1", "lpt9"}  # the last of them on Windows


@given(st.lists(st.text(max_size=300), min_size=2, max_size=20, unique=True))
def test_file_stems_are_safe_and_distinct(names: list[str]) -> None:
    stems = file_stems(f"{name}/kernel" for name in names)
    assert len({stem.casefold() for stem in stems.values()}) == len(names)
    for stem in stems.values():
        assert stem.isascii()
        assert 0 < len(stem) < 150
        assert not set(stem) & set('<>:"/\\|?* ')
        assert stem.partition(".")[0].lower() not in {
            "",
            "con",
            "nul",
            "aux",
            "prn",
            "com1",
            "lpt9",
        }


def outcome(text: str) -> str:
    """The model's name or the errors; anything else that is raised fails the test."""
    try:
        return initcli.parse(text).name
    except initcli.InvalidSpec as error:
        return str(error)


SPECIAL = ["[", "]", "{", "}", ":", ",", "- ", "&a ", "*a", "!!int ", "|", ">", "?", "'", '"', "\t"]
NUMBERS = ["0", "-1", "1e9", ".nan", "-.inf", "0x10", "null", "true", "~", "99999999999999999999"]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_mangled_spec_is_a_model_or_an_error(data: st.DataObject) -> None:
    text = TOUR
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(text)))
        stop = min(len(text), start + data.draw(st.integers(0, 12)))
        put = data.draw(st.sampled_from([*SPECIAL, *NUMBERS, "\n", "  "]) | st.text(max_size=3))
        text = text[:start] + put + text[stop:]
    assert outcome(text)


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["type", "layers", "name", "units", "input_shape", "seed", "x"]),
                inner | st.sampled_from(["Dense", "Conv1D", "zeros"]),
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
def test_any_data_is_a_model_or_an_error(data: object) -> None:
    assert outcome(json.dumps(data))
