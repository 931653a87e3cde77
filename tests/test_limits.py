"""Every limit refuses what exceeds it, says its name and how to raise it, and can be raised."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import initcli
from initcli.limits import NESTING, InvalidLimit, Limits, from_options, highest, in_force, limited
from initcli.signal.inputs import read_inputs
from initcli.sources.weights.read import checkpoint
from support.archives import CONFIG, DENSE

KERAS = CONFIG.decode()


def load_file(folder: Path) -> None:
    (folder / "spec.yaml").write_text(DENSE)
    initcli.load(str(folder / "spec.yaml"))


def load_arrays(folder: Path) -> None:
    np.save(folder / "x.npy", np.zeros((4, 3)))
    read_inputs(str(folder / "x.npy"), initcli.parse(DENSE))


def parse(text: str) -> Callable[[Path], object]:
    return lambda _: initcli.parse(text)


def predict(_: Path) -> None:
    initcli.predict_signal(initcli.parse("input_shape: [9, 3]\nlayers: [{type: ReLU}]"))


def measure_signal(_: Path) -> None:
    initcli.measure_signal(initcli.parse(DENSE))


def draw(_: Path) -> None:
    list(initcli.measure(initcli.parse(DENSE).parameters))


def read_weights(file: Path) -> None:
    np.savez_compressed(file.with_suffix(".npz"), a=np.zeros(3), b=np.zeros(3))
    checkpoint(str(file.with_suffix(".npz")))


def read_header(file: Path) -> None:
    text = b'{"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}'
    weights = file.with_suffix(".safetensors")
    weights.write_bytes(len(text).to_bytes(8, "little") + text)
    checkpoint(str(weights))


EXCEEDING: dict[str, list[Callable[[Path], object]]] = {
    "file_bytes": [load_file],
    "header_bytes": [read_header],
    "unpacked_bytes": [read_weights],
    "tensors": [read_weights],
    "input_bytes": [load_arrays],
    "values": [parse(DENSE), parse(KERAS)],
    "layers": [parse(DENSE)],
    "positions": [predict],
    "memory": [measure_signal],
    "weights": [draw],
}
CASES = [(name, action) for name, actions in EXCEEDING.items() for action in actions]


@pytest.mark.parametrize(("name", "action"), CASES, ids=[name for name, _ in CASES])
def test_what_exceeds_a_limit_says_how_to_raise_it_and_then_passes(
    name: str, action: Callable[[Path], object], tmp_path: Path
) -> None:
    changes = {name: 1}
    for _ in range(8):
        with limited(**changes), pytest.raises(initcli.InitcliError) as caught:
            action(tmp_path)
        said = re.findall(r"= --limit (\S+) raises it", str(caught.value))
        assert len(said) == 1, str(caught.value)
        assert from_options(said)[name] > changes[name]
        changes = from_options(said)
        try:
            with limited(**changes):
                action(tmp_path)
        except initcli.InitcliError:
            continue  # Nobody knows how much is needed of what was not read to its end.
        return
    pytest.fail(f"{changes} were not enough")


def test_every_limit_is_tried() -> None:
    assert {*EXCEEDING, "errors"} == set(Limits.__struct_fields__)


def test_of_many_errors_the_first_are_shown_and_then_how_to_see_more() -> None:
    text = "input_shape: [3]\nlayers: [" + "{type: Nothing}, " * 300 + "]"
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(text)
    assert len(caught.value.errors) == 100
    assert str(caught.value).endswith(
        "there may be more than these 100 errors\n  = --limit errors=200 raises it"
    )
    with limited(errors=1000), pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(text)
    assert len(caught.value.errors) == 300
    assert caught.value.more == ""


def test_limits_hold_within_their_block_alone_even_when_it_fails() -> None:
    before = in_force()
    with limited(layers=7):
        with limited(values=8):
            assert (in_force().layers, in_force().values) == (7, 8)
        assert (in_force().layers, in_force().values) == (7, before.values)
    with pytest.raises(initcli.InvalidSpec), limited(values=1):
        initcli.parse(DENSE)
    assert in_force() == before


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_a_limit_ends_where_raising_it_would_do_harm(name: str) -> None:
    bound = highest()[name]
    assert bound >= getattr(Limits(), name)
    with limited(**{name: bound}):
        assert getattr(in_force(), name) == bound
    for number in (0, -1, bound + 1, 1.5, True):
        with pytest.raises(InvalidLimit, match=f"{name} is a whole number from 1 to {bound:,}"):
            limited(**{name: number}).__enter__()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer=3", "there is no limit 'layer'\n  = did you mean 'layers'?"),
        ("zzz=3", "there is no limit 'zzz'\n  = the names are file_bytes, header_bytes"),
        ("layers", "--limit takes NAME=N, such as layers=200000, not 'layers'"),
        ("layers=", "--limit takes NAME=N"),
        ("layers=many", "--limit takes NAME=N"),
        ("layers=1.5", "--limit takes NAME=N"),
        ("layers=-3", "--limit takes NAME=N"),
        ("layers=1e99", "layers is a whole number from 1 to 100,000,000, not 1000000000"),
        ("layers=0", "layers is a whole number from 1 to 100,000,000, not 0"),
        ("layers=" + "9" * 9999, "--limit takes NAME=N"),
    ],
)
def test_an_option_that_is_no_limit(text: str, message: str) -> None:
    with pytest.raises(InvalidLimit, match=re.escape(message)) as caught:
        from_options([text])
    assert len(str(caught.value)) < 400


def test_options_are_read_as_people_write_them() -> None:
    given = ["layers=200000", "weights=1e14", " values = 5e5 ", "layers=300000"]
    assert from_options(given) == {"layers": 300_000, "weights": 10**14, "values": 500_000}


def blocks(depth: int) -> str:
    inner = "{type: Dense, units: 3}"
    return f"input_shape: [3]\nlayers: [{'{layers: [' * depth}{inner}{']}' * depth}]"


def networks(depth: int) -> str:
    inner = "{type: Dense, units: 3}"
    return (
        f"input_shape: [3]\nlayers: [{'{type: Sequential, layers: [' * depth}{inner}{']}' * depth}]"
    )


def wrappers(depth: int) -> str:
    inner = "{type: Dense, units: 3}"
    shape = ", ".join(["1"] * depth)
    wrapped = f"{'{type: TimeDistributed, layer: ' * depth}{inner}{'}' * depth}"
    return f"input_shape: [{shape}, 3]\nlayers: [{wrapped}]"


def keras_networks(depth: int) -> str:
    found: dict[str, Any] = json.loads(KERAS)
    for level in range(depth):
        layers = [found["config"]["layers"][0], found]
        config = {"name": f"level{level}", "layers": layers}
        found = {"class_name": "Sequential", "config": config}
    return json.dumps(found)


@pytest.mark.parametrize(
    ("made", "levels"), [(blocks, 2), (networks, 2), (wrappers, 1), (keras_networks, 3)]
)
def test_the_deepest_nesting_that_can_be_allowed_is_read(
    made: Callable[[int], str], levels: int
) -> None:
    model = initcli.parse(made((NESTING - 6) // levels))
    assert len(model.parameters) == 2
    assert list(initcli.theory(model))
    with pytest.raises(initcli.InvalidSpec, match="nested more than 100 deep"):
        initcli.parse(made(NESTING // levels + 1))


def test_the_limits_are_few_and_plain_numbers() -> None:
    assert all(type(value) is int for value in msgspec.structs.astuple(Limits()))
