"""Specs that mean harm end soon, with a message, and take little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import initcli
from initcli.files import file_stems
from support.paths import ROOT
from support.quick_runs import Done, QuickRuns

TOUR = (ROOT / "sample_configs" / "tour.yaml").read_text("utf-8")
SECONDS = 30
"""A generous bound, for machines that do much else: none takes more than 3 seconds by itself."""
MEMORY = 500 * 2**20


@pytest.fixture(scope="module")
def runs() -> Iterator[QuickRuns]:
    found = QuickRuns()
    yield found
    found.close()


def ended(done: Done) -> None:
    """It came to an end by itself, with little memory and nothing but messages."""
    assert done.status in (0, 1, 2), f"{done.status} after {done.seconds:.1f} s: {done.stderr}"
    assert "Traceback" not in done.stderr
    assert "not enough memory" not in done.stderr
    assert len(done.stderr) < 100_000
    assert all(c.isprintable() or c == "\n" for c in done.stderr)


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for level in range(1, levels):
        inner = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{inner}]")
    return "\n".join(lines)


def stack(*layers: str, shape: str = "3") -> str:
    return f"input_shape: [{shape}]\nlayers:\n" + "".join(f"  - {layer}\n" for layer in layers)


def blocks(depth: int, repeat: int, inner: str) -> str:
    return stack(f"{{repeat: {repeat}, layers: [" * depth + inner + "]}" * depth)


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
    "tag that runs": "layers: !!python/object/apply:os.system [echo]",
    "tag of a module": "layers: !!python/module:os ''",
    "anchors without end": "layers: [" + "".join(f"&a{i} 1, " for i in range(100_000)) + "]",
    "values without end": "layers:\n" + "- 1\n" * 1_000_000,
    "values without end in JSON": '{"layers": [' + "1," * 2_000_000 + "1]}",
    "keys without end in JSON": "{" + ",".join(f'"k{i}":1' for i in range(400_000)) + "}",
    "one key 20,000 times": "a: 1\n" * 20_000,
    "one key 20,000 times in JSON": "{" + '"a":1,' * 20_000 + '"a":1}',
    "quotes that nothing ends": '{"a": "' + '\\"' * 2_000_000,
    "quotes without end": '{"a": ' + '"' * 4_000_000,
    "merges that multiply": "b: &b {"
    + ", ".join(f"k{i}: 1" for i in range(1000))
    + "}\nl:\n"
    + "- {<<: *b}\n" * 1000,
    "tabs": "a:\t" * 1_000_000,
    "question marks": "? " * 2_000_000,
    "an endless scalar": 'a: "' + "\\x41" * 1_000_000 + '"',
    "20,000 unknown layers": stack(*(f"{{type: Dens{i}}}" for i in range(20_000))),
    "20,000 unknown arguments": stack(*(f"{{type: ReLU, a{i}: 1}}" for i in range(20_000))),
    "15,000 unknown inputs": stack(*(f"{{type: ReLU, inputs: [r{i}]}}" for i in range(15_000))),
    "names that are nearly those of others": stack(
        *(f"{{type: ReLU, name: {'ab' * 95}{i}}}" for i in range(3000)),
        *(f"{{type: ReLU, inputs: [{'ba' * 95}{i}]}}" for i in range(200)),
    ),
    "repeat: 1000000000": blocks(1, 10**9, "{type: ReLU}"),
    "blocks within blocks": blocks(5, 1000, "{type: ReLU}"),
    "blocks within blocks of nothing known": blocks(5, 10**8, "{type: Nothing}"),
    "repeat of 10,000 digits": blocks(1, int("9" * 150), "{type: ReLU}"),
    "a repeat that is negative": blocks(1, -3, "{type: ReLU}"),
    "a shape of 50,000 sizes": stack("{type: Dense, units: 3}", shape="1, " * 50_000 + "-1"),
    "a kernel of 50,000 sizes": stack(
        f"{{type: Conv1D, filters: 3, kernel_size: [{'1, ' * 50_000}]}}", shape="8, 3"
    ),
    "fractional sizes": stack("{type: Dense, units: 2.5}", shape="1.5"),
    "an endless number": f"input_shape: [{'9' * 4_000_000}]\nlayers: [{{type: ReLU}}]",
    "a rate of a million digits": stack(f"{{type: Dropout, rate: 1.{'9' * 1_000_000}}}"),
    "an endless name of the model": f"name: {'n' * 1_000_000}\n{TOUR}",
    "bidirectional override in a name": stack('{type: ReLU, name: "a\\u202Eb"}'),
    "zero-width space in a name": stack('{type: ReLU, name: "a\\u200Bb"}'),
    "NUL in a name": stack('{type: ReLU, name: "a\\0b"}'),
    "a path as a name": stack("{type: ReLU, name: ../../etc/passwd}"),
    "inputs in a circle": stack(
        *(f"{{type: ReLU, name: r{i}, inputs: [r{(i + 1) % 9000}]}}" for i in range(9000))
    ),
    "one input 100,000 times": stack(
        "{type: ReLU, name: r}", f"{{type: Concatenate, inputs: [{'r, ' * 100_000}]}}"
    ),
    "calls of one another": stack("{call: b, name: a}", "{call: a, name: b}"),
    "a model of nothing but itself": "layers: &a\n  - {type: Sequential, layers: *a}",
}


def in_keras(*layers: Mapping[str, object]) -> str:
    begin = {"class_name": "InputLayer", "config": {"batch_shape": [None, 3], "name": "i"}}
    config = {"name": "m", "layers": [begin, *layers]}
    return json.dumps({"class_name": "Sequential", "config": config})


def keras_dense(name: str, **more: object) -> dict[str, object]:
    return {"class_name": "Dense", "config": {"name": name, "units": 3, **more}}


TEXTS |= {
    "an endless name in Keras": in_keras(keras_dense("n" * 1_000_000)),
    "an endless class in Keras": in_keras({"class_name": "O" * 1_000_000, "config": {}}),
    "two layers of one name in Keras": in_keras(keras_dense("a"), keras_dense("a")),
    "layers of nobody in Keras": in_keras(
        *({"class_name": f"Own{i}", "config": {"name": f"o{i}"}} for i in range(5000))
    ),
}
READ = {
    "a thousand arguments that nobody knows": in_keras(
        keras_dense("d", **{f"x{i}": 1 for i in range(1000)}), keras_dense("e", **{"y" * 10**6: 1})
    ),
    "a rank of 10,000": stack("{type: Dense, units: 3}", shape="1, " * 10_000),
    "a block of 4,000": blocks(1, 2_000, "{type: Dense, units: 3}, {type: ReLU}"),
    "one input 900 times": stack(
        "{type: ReLU, name: r}", f"{{type: Concatenate, inputs: [{'r, ' * 900}]}}"
    ),
    "a rate of a million nines": stack(f"{{type: Dropout, rate: 0.{'9' * 1_000_000}}}"),
    "a picture of a country": stack("{type: ReLU}", shape="1000000, 1000000, 3"),
    "wrappers in wrappers": stack(
        "{type: TimeDistributed, layer: " * 40 + "{type: Dense, units: 3}" + "}" * 40,
        shape="2, " * 40 + "3",
    ),
    "combining characters": stack('{type: ReLU, name: "e' + "\u0301" * 150 + '"}'),
    "characters of two columns and of none": stack('{type: ReLU, name: "漢字👩\u200d👩"}').replace(
        "\u200d", ""
    ),
}


def saved(text: str, folder: Path) -> Path:
    file = folder / "spec.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    return file


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_harm_ends_soon_with_a_message(text: str, runs: QuickRuns, tmp_path: Path) -> None:
    done = runs.run("summary", saved(text, tmp_path), after=SECONDS, memory=MEMORY)
    ended(done)
    assert done.status == 2, done.stderr
    assert done.stdout == ""


COMMANDS: dict[str, tuple[str, ...]] = {
    "summary": ("summary", "--theory", "--depth", "1"),
    "summary in JSON": ("summary", "--theory", "--format", "json"),
    "signal": ("signal", "--theory"),
    "check": ("check",),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.parametrize("text", READ.values(), ids=READ.keys())
def test_what_is_large_and_no_harm_is_read_as_soon(
    text: str, command: tuple[str, ...], runs: QuickRuns, tmp_path: Path
) -> None:
    name, *options = command
    if name in ("signal", "check") and "repeat" in text:
        text = text.replace("2000", "20")  # Each layer takes its milliseconds there.
    done = runs.run(name, saved(text, tmp_path), *options, after=SECONDS, memory=MEMORY)
    ended(done)
    if name == "summary":
        assert done.status == 0, done.stderr
    assert len(done.stdout) < 10_000_000


@pytest.mark.parametrize("name", ["alias bomb", "deep flow", "repeat: 1000000000", "10^18 units"])
@pytest.mark.parametrize(
    "command", ["check", "signal", "compare", "hist --out out", "export --out w.npz"]
)
def test_harm_ends_soon_in_every_command(
    name: str, command: str, runs: QuickRuns, tmp_path: Path
) -> None:
    what, *options = command.replace("out ", f"out {tmp_path}/").split()
    done = runs.run(what, saved(TEXTS[name], tmp_path), *options, after=SECONDS, memory=MEMORY)
    ended(done)
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["spec.yaml"]


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
    with pytest.raises(initcli.InvalidSpec, match="at most 8,388,608 bytes"):
        initcli.load(str(large))


def test_names_write_inside_the_folder_only_and_never_over_one_another(
    runs: QuickRuns, tmp_path: Path
) -> None:
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
    done = runs.run("hist", saved(spec, tmp_path), "--out", out, after=2 * SECONDS)
    assert done.status == 0, done.stderr
    files = [Path(line) for line in done.stdout.splitlines()]
    assert len(files) == 2 * len(names) + 1  # with the overview
    assert len({file.name.casefold() for file in files}) == len(files)
    everything = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert everything == {*files, tmp_path / "spec.yaml"}
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
        assert stem.partition(".")[0].lower() not in RESERVED


def outcome(text: str) -> str:
    """The model's name or the errors; anything else that is raised fails the test."""
    try:
        return initcli.parse(text).name
    except initcli.InvalidSpec as error:
        return str(error)


SPECIAL = ["[", "]", "{", "}", ":", ",", "- ", "&a ", "*a", "!!int ", "|", ">", "?", "'", '"', "\t"]
NUMBERS = ["0", "-1", "1e9", ".nan", "-.inf", "0x10", "null", "true", "~", "99999999999999999999"]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_mangled_spec_is_a_model_or_an_error(data: st.DataObject) -> None:
    text = TOUR
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(text)))
        stop = min(len(text), start + data.draw(st.integers(0, 12)))
        put = data.draw(st.sampled_from([*SPECIAL, *NUMBERS, "\n", "  "]) | st.text(max_size=3))
        text = text[:start] + put + text[stop:]
    assert outcome(text)


@settings(max_examples=80, deadline=None)
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
