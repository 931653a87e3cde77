"""Reading Keras's own files: forms, archives, what is nobody's but the author's, and harm."""

from __future__ import annotations

import copy
import io
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import initcli
from initcli import errors
from support.keras_models import models
from support.paths import SAMPLES

TOUR = (SAMPLES / "keras_tour.json").read_text("utf-8")


def archive(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return stream.getvalue()


KERAS = archive(
    ("metadata.json", b"{}"), ("config.json", TOUR.encode()), ("model.weights.h5", b"\0" * 9999)
)


def summary(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "initcli", "summary", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def test_keras_s_tour_is_the_tour() -> None:
    keras = initcli.load(str(SAMPLES / "keras_tour.json"))
    ours = initcli.load(str(SAMPLES / "tour.yaml"))
    assert [layer.type for layer in keras.layers] == [layer.type for layer in ours.layers]
    assert [(p.path, p.shape, p.initializer) for p in keras.parameters] == [
        (p.path, p.shape, p.initializer) for p in ours.parameters
    ]
    assert keras.name == "keras_tour"


def test_an_archive_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "model.any").write_bytes(KERAS)
    assert initcli.totals(initcli.load(str(tmp_path / "model.any"))).params == 40_152


def test_an_archive_comes_through_a_pipe() -> None:
    done = summary("-", "--format", "json", stdin=KERAS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["totals"]["params"] == 40_152


def test_an_error_in_an_archive_is_found_in_its_member(tmp_path: Path) -> None:
    broken = TOUR.replace('"RandomUniform"', '"RandomUniforn"', 1)
    (tmp_path / "m.keras").write_bytes(archive(("config.json", broken.encode())))
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.load(str(tmp_path / "m.keras"))
    assert caught.value.errors[0].place is not None
    assert caught.value.errors[0].place.file.endswith("m.keras/config.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(("other.json", b"{}")), "this archive has no config.json, as a .keras file has"),
        (KERAS[: len(KERAS) // 2], "this archive cannot be read: File is not a zip file"),
        (
            archive(("config.json", b"\0" * (17 * 2**20))),
            "a spec may have at most 8,388,608 bytes",
        ),
        (
            b"\x89HDF\r\n\x1a\n" + b"\0" * 99,
            "this HDF5 file cannot be read: ",
        ),
    ],
    # An archive holds the time, so that its bytes name another test in each process.
    ids=["without config.json", "cut in half", "too large", "HDF5"],
)
def test_an_archive_that_is_no_model(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m.keras").write_bytes(content)
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.load(str(tmp_path / "m.keras"))
    (error,) = caught.value.errors
    assert error.message.startswith(message)


def sequential(*layers: dict[str, Any], **rest: Any) -> str:
    config = {"name": "model", "layers": list(layers), **rest}
    return json.dumps({"class_name": "Sequential", "config": config})


def layer(kind: str, shape: list[Any] | None = None, **config: Any) -> dict[str, Any]:
    found = {"class_name": kind, "config": config}
    return {**found, "build_config": {"input_shape": shape}} if shape else found


INPUT = layer("InputLayer", batch_shape=[None, 6], name="given")


def test_code_of_its_author_is_named_and_the_rest_is_there() -> None:
    mine = {**layer("Mine", [None, 6], name="own"), "module": "my_code", "registered_name": "Mine"}
    text = sequential(
        INPUT, mine, layer("Dense", [None, 9], units=4, name="after"), layer("ReLU", [None, 4])
    )
    model = initcli.parse(text)
    assert model.layers[0].output_shape == (None, 9)
    assert model.layers[0].type == "Mine"
    assert initcli.totals(model).params == 40
    (note,) = model.notes
    assert note == (
        "'own' (Mine): its custom code is not run; its output has the recorded shape; "
        "its own weights, if any, are not counted"
    )


def test_many_layers_of_one_type_are_one_note() -> None:
    own = [layer("Mine>Block", [None, 6], name=f"own_{number}") for number in range(8)]
    model = initcli.parse(sequential(INPUT, *own, layer("ReLU", [None, 6])))
    (note,) = model.notes
    assert note.startswith("'own_0', 'own_1', 'own_2', 'own_3', 'own_4' and 3 more (Block): ")


def test_a_namesake_of_a_keras_layer_is_not_keras_s() -> None:
    named = {**layer("Dense", [None, 6], units=4, name="own"), "module": "my_code"}
    model = initcli.parse(sequential(INPUT, named, layer("ReLU", [None, 5])))
    assert model.parameters == ()
    assert len(model.notes) == 1
    prefixed = layer("Mine>Dense", [None, 6], units=4, name="own")
    assert initcli.parse(sequential(INPUT, prefixed, layer("ReLU", [None, 5]))).parameters == ()


def test_a_name_in_a_file_cannot_speak_to_the_terminal() -> None:
    text = sequential(INPUT, layer("Mine\x1b[31m", [None, 6], name="own"), layer("ReLU", [None, 6]))
    done = summary("-", stdin=text.encode())
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout + done.stderr


def test_what_comes_out_of_unrecorded_code_is_named() -> None:
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(sequential(INPUT, layer("Lambda", name="cut"), layer("Dense", units=4)))
    (error,) = caught.value.errors
    assert error.message == "the shape of what comes out of 'cut' (Lambda) is recorded nowhere"
    last = initcli.parse(sequential(INPUT, layer("Dense", units=4), layer("Lambda", name="cut")))
    assert last.layers[-1].output_shapes == ()
    assert initcli.totals(last).params == 28


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    code = f"open({str(witness)!r}, 'w')"
    config = {"code": code, "defaults": None, "closure": None}
    function = {"class_name": "__lambda__", "config": config}
    text = sequential(INPUT, layer("Lambda", [None, 6], function=function, output_shape=[3]))
    assert initcli.parse(text).layers[0].output_shape == (None, 3)
    assert not witness.exists()


OWN = [
    {
        "module": "builtins",
        "class_name": "function",
        "config": "mine",
        "registered_name": "function",
    },
    {"module": None, "class_name": "mine", "config": {"x": 1}, "registered_name": "Custom>mine"},
    {"module": "my_code", "class_name": "mine", "config": {}},
    "Custom>mine",
    "mine",
]


@pytest.mark.parametrize("initializer", OWN)
def test_an_initializer_of_one_s_own_is_found_with_custom(tmp_path: Path, initializer: Any) -> None:
    text = sequential(INPUT, layer("Dense", units=4, kernel_initializer=initializer))
    (tmp_path / "model.json").write_text(text)
    (tmp_path / "own.py").write_text(
        "import numpy\ndef mine(shape, dtype=None):\n    return numpy.full(shape, 0.5)\n"
    )
    model = str(tmp_path / "model.json")
    found = initcli.load(model, custom=[str(tmp_path / "own.py")])
    assert found.parameters[0].initializer.type_name == "mine"
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.load(model)
    assert "mine" in caught.value.errors[0].message
    assert "--custom FILE.py" in caught.value.errors[0].remedy


def test_a_namesake_of_a_keras_initializer_is_not_keras_s() -> None:
    own = {"module": "my_code", "class_name": "Zeros", "config": {}, "registered_name": "My>Zeros"}
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(sequential(INPUT, layer("Dense", units=4, kernel_initializer=own)))
    assert type(caught.value.errors[0]) is errors.UnknownName


def test_an_activation_of_one_s_own_changes_no_weight() -> None:
    own = {"module": "builtins", "class_name": "function", "config": "my_relu"}
    model = initcli.parse(sequential(INPUT, layer("Dense", units=4, activation=own)))
    assert initcli.totals(model).params == 28
    assert model.notes == ("the activation 'my_relu' is custom code, and not known",)


DENSE = layer("Dense", units=4)
LISTED = [layer("Dense", units=4, batch_input_shape=[None, 6])]
IN_JAVASCRIPT = {"modelTopology": {"model_config": json.loads(sequential(INPUT, DENSE))}}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"class_name": "Sequential", "config": LISTED}),
        sequential(DENSE, build_input_shape=[None, 6]),
        sequential(layer("Dense", [None, 6], units=4)),
        json.dumps(IN_JAVASCRIPT),
    ],
)
def test_older_and_other_forms(text: str) -> None:
    assert initcli.totals(initcli.parse(text)).params == 28


def test_a_sequential_that_was_never_built_says_so() -> None:
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(sequential(layer("Dense", units=4)))
    assert type(caught.value.errors[0]) is errors.InvalidGraph


def test_a_model_without_layers_in_its_file_says_so() -> None:
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(json.dumps({"class_name": "MyModel", "config": {"units": 3}}))
    assert "only Sequential and Functional" in caught.value.errors[0].message


def test_keras_does_not_read_the_flag_of_a_whole_sequential() -> None:
    # Sequential.from_config takes no `trainable`; freezing one writes the flag of each layer.
    frozen = initcli.parse(sequential(INPUT, DENSE, trainable=False))
    assert initcli.totals(frozen).non_trainable == 0


def test_an_unknown_argument_is_a_note_and_no_error() -> None:
    model = initcli.parse(sequential(INPUT, layer("Dense", units=4, of_the_future=True)))
    assert model.notes == ("Dense's argument `of_the_future` is not known, and ignored",)


SMALL = sorted(
    name
    for keras in ("keras2", "keras3")
    for name, fact in models(keras).items()
    if len(json.dumps(fact["json"])) < 30_000
)
VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        3,
        2.5,
        -2.5,
        1e308,
        10**30,
        "",
        "x",
        "relu",
        "../../etc",
        [],
        [None],
    ),
    *([0], [1, 2, 3], [[1]], {}, {"class_name": "x"}, {"class_name": "Dense", "config": {}}),
    {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}},
    *(["input_1", 0, 0], "float16", "Dense", "Functional", "Lambda", "Sequential", ["a", "b"]),
]


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inner = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for key, value in inner:
        yield from places(value, (*path, key))


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


@pytest.mark.parametrize("seed", range(40))
def test_a_file_that_was_tampered_with_is_read_or_refused(seed: int) -> None:
    """Real files with a value replaced, dropped, doubled or moved: a message, never a traceback."""
    chance = random.Random(seed)
    name = chance.choice(SMALL)
    whole = models("keras3" if name in models("keras3") else "keras2")[name]["json"]
    everywhere = list(places(whole))
    for _ in range(25):
        data = copy.deepcopy(whole)
        for path in chance.sample(everywhere, chance.choice((1, 1, 2, 4))):
            try:
                parent = at(data, path[:-1])
                change = chance.choice(("replace", "replace", "drop", "move", "double"))
                if change == "drop":
                    del parent[path[-1]]
                elif change == "double" and isinstance(parent, list):
                    parent.append(parent[path[-1]])
                else:
                    other = at(whole, chance.choice(everywhere))
                    parent[path[-1]] = other if change == "move" else chance.choice(VALUES)
            except (KeyError, IndexError, TypeError):
                continue  # An earlier change took the place away.
        try:
            model = initcli.parse(json.dumps(data))
        except initcli.InitcliError:
            continue
        assert initcli.totals(model).params >= 0
