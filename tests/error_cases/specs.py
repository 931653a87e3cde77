"""Specs that are wrong, archives and Keras files that are no model's, and functions that fail."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import initcli
from error_cases.case import DENSE, Case
from initcli.limits import limited
from initcli.sources import overrides


def of_yaml() -> Iterator[Case]:
    """The cases of the file of plain ones."""
    written = yaml.safe_load(Path(__file__).with_name("written.yaml").read_text("utf-8"))
    for command, lines in (("summary", written["layers"]), ("signal", written["signal"])):
        for line in lines.splitlines():
            shape, entry = "[8, 6]", line
            if line.startswith("["):
                shape, _, entry = line.partition("] ")
                shape += "]"
            spec = f"input_shape: {shape}\nlayers:\n  - {entry}\n"
            yield Case(entry[:60], f"{command} spec.yaml", {"spec.yaml": spec})
    for title, spec in written["specs"].items():
        yield Case(title, "summary spec.yaml", {"spec.yaml": spec})
    for line in written["commands"].splitlines():
        yield Case(line, line, {"spec.yaml": DENSE})


def of_texts() -> Iterator[Case]:
    """Texts that YAML could not hold, or that are better made than written."""
    several = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 8)]
    texts: dict[str, str | bytes] = {
        "nothing": "  \n",
        "a control character": "layers: [\x00]",
        "deep YAML": "layers: " + "[" * 101 + "]" * 101,
        "aliases of aliases": "\n".join(["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", *several]),
        "another encoding": b"layers: []\nname: caf\xe9\n",
        "HDF5": b"\x89HDF\r\n\x1a\n",
        "a binary file": b"\x80\x04\x95\x10\x00\xff",
        "a file of another kind": "on: push\njobs: {}\n",
        "an object of Keras in YAML": "config: !!python/object:keras.Model [1]\n",
        "a key in camelCase and in snake_case": '{"className": "Model", "class_name": "Model"}',
        "a file of 17 megabytes": b" " * (17 << 20),
    }
    for title, text in texts.items():
        yield Case(title, "summary spec.yaml", {"spec.yaml": text})
    yield Case("a folder", "signal .")
    yield Case("a folder of specs", "summary .", {"a.yaml": DENSE})
    code = "import torch\n\nclass Net(torch.nn.Module):\n    pass\n\ndef train():\n    pass\n"
    yield Case("Python code", "summary net.py", {"net.py": code})
    deep = '{"a":' * 101 + "1" + "}" * 101
    yield Case("deep JSON", "summary spec.json", {"spec.json": deep})
    repeated = "input_shape: [3]\nlayers: [{repeat: 9, layers: [{type: ReLU}]}]\n"
    many = f"input_shape: [3]\nlayers: [{{type: Add, inputs: [{', '.join(['input'] * 1001)}]}}]\n"
    yield Case("too many inputs", "summary spec.yaml", {"spec.yaml": many})
    yield Case("too many layers", "summary spec.yaml --limit layers=8", {"spec.yaml": repeated})
    for title, value, base in (
        ("extends no path", "3", ""),
        ("extends itself", "spec.yaml", ""),
        ("extends a list", "base.yaml", "- 1\n"),
        ("extends what is out of reach", "../base.yaml", ""),
    ):
        files = {"spec.yaml": f"extends: {value}\n{DENSE}", "base.yaml": base}
        yield Case(title, "summary spec.yaml", files)
    relu = {"spec.yaml": "input_shape: [3]\nlayers: [{type: ReLU}]\n"}
    command = "compare spec.yaml --kernel-initializer zeros"
    yield Case("an initializer for no kernel", command, relu)
    path = ".".join(["a"] * 101)
    yield Case("a path without end", f"summary spec.yaml --set {path}=1", {"spec.yaml": DENSE})
    yield Case(
        "a change of everything",
        "summary spec.yaml --set layers[*].units=3",
        {"spec.yaml": DENSE},
        lambda patch: patch.setattr(overrides, "_MAX_CHANGED", 0),
    )
    yield Case(
        "extends a pipe",
        "summary spec.yaml",
        {"spec.yaml": f"extends: base.yaml\n{DENSE}", "base.yaml": ""},
        _neither_file_nor_folder,
    )
    chain: dict[str, str | bytes] = {f"{i}.yaml": f"extends: {i + 1}.yaml\n" for i in range(30)}
    yield Case("extends without end", "summary 0.yaml", chain)


def _neither_file_nor_folder(patch: pytest.MonkeyPatch) -> None:
    for name in ("S_ISREG", "S_ISDIR"):
        patch.setattr(stat, name, lambda _: False)


def archive(
    name: str, content: str, files: int = 1, compression: int = zipfile.ZIP_STORED
) -> bytes:
    """A zip archive of a file, and of others with longer names."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as made:
        for number in range(files):
            made.writestr(name + "_" * number, content)
    return stream.getvalue()


def of_archives() -> Iterator[Case]:
    """Archives that are no Keras model's, or too large."""
    archives = {
        "an archive of nothing": b"PK\x03\x04",
        "an archive of something else": archive("model.txt", "hello"),
        "an archive of another method": archive("config.json", "{}", 1, zipfile.ZIP_BZIP2),
        "an archive of many files": archive("config.json", "{}", 600),
        "an archive of a large file": archive("config.json", " " * 2000),
    }
    for title, data in archives.items():
        yield Case(title, "summary m.keras --limit file_bytes=1000", {"m.keras": data})
    yield Case("an archive without end", call=_read_archive_from_pipe)


def _read_archive_from_pipe() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as stream:
        stream.write(archive("config.json", " " * 2000))
    with (
        os.fdopen(reading, encoding="utf-8") as stdin,
        pytest.MonkeyPatch.context() as patch,
        limited(file_bytes=1000),
    ):
        patch.setattr(sys, "stdin", stdin)
        patch.setattr("initcli.sources.readers.keras_archive.ARCHIVE_BYTES", 1500)
        initcli.load("-")


# ------------------------------------------------------------------------- Keras's files


# ------------------------------------------------------------------------- Keras's files


def layer(kind: str, name: str, *inputs: Any, **config: Any) -> dict[str, Any]:
    """A layer of a Functional model, as Keras 2 writes it, called on layers or on references."""
    nodes = [[[each, 0, 0, {}] if isinstance(each, str) else each for each in inputs]]
    return {
        "class_name": kind,
        "name": name,
        "config": config,
        "inbound_nodes": nodes if inputs else [],
    }


def functional(*layers: Any) -> str:
    """The JSON of a Functional model."""
    return json.dumps({"class_name": "Functional", "config": {"name": "m", "layers": layers}})


def sequential(*layers: Any) -> str:
    """The JSON of a Sequential model."""
    return json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": layers}})


SOURCE = layer("InputLayer", "x", batch_input_shape=[None, 3])
INSIDE = {
    "name": "inside",
    "layers": [
        layer("InputLayer", "y", batch_input_shape=[None, 3]),
        layer("Lambda", "own", "y"),
    ],
    "input_layers": [["y", 0, 0]],
    "output_layers": [["own", 0, 0]],
}
KERAS = {
    "a model without layers": json.dumps({"class_name": "Mine", "config": {"units": 3}}),
    "a graph of TensorFlow.js": json.dumps({"format": "graph-model"}),
    "an input without a shape": sequential({"class_name": "InputLayer", "config": {}}),
    "a layer without a class": sequential({"config": {}}),
    "a layer without a config": sequential({"class_name": "Dense"}),
    "a layer that is a number": sequential(3),
    "a layer without a name": functional({"class_name": "Dense", "inbound_nodes": []}),
    "two layers of a name": functional(SOURCE, SOURCE),
    "a class with an endless name": functional(SOURCE, layer("X" * 300, "own", "x")),
    "a call on a number": functional(SOURCE, layer("ReLU", "r", 3)),
    "a call on no output": functional(SOURCE, layer("ReLU", "r", ["x", "a", 0])),
    "a layer behind an unknown one": functional(
        SOURCE, layer("Lambda", "own", "x"), layer("Dense", "d", "own", units=3)
    ),
    "a network with an unknown end": functional(
        SOURCE,
        {**layer("Functional", "inside", "x"), "config": INSIDE},
        layer("Dense", "d", ["inside", 1, 0], units=3),
    ),
    "an output of a call that nobody makes": functional(
        SOURCE, layer("ReLU", "r", "x"), layer("Dense", "d", ["r", 1, 0], units=3)
    ),
    "an initializer of an author's own": sequential(
        {"class_name": "InputLayer", "config": {"batch_shape": [None, 3]}},
        {
            "class_name": "Dense",
            "config": {"units": 3, "kernel_initializer": {"class_name": "Mine", "config": {}}},
        },
    ),
}


OF_KERAS_1: list[tuple[str, str, dict[str, Any]]] = [
    ("a layer of Keras 1 alone", "SReLU", {}),
    ("padding of Keras 1 alone", "Convolution1D", {"nb_filter": 2, "border_mode": "full"}),
    ("a bias of Keras 1 alone", "LSTM", {"output_dim": 2, "forget_bias_init": "uniform"}),
    ("a normalization of Keras 1 alone", "BatchNormalization", {"mode": 1}),
    ("a Merge of functional models", "Merge", {"mode": "sum", "layers": [{"class_name": "Model"}]}),
]


def of_keras() -> Iterator[Case]:
    """Files of Keras that are no model, or not a whole one."""
    for title, text in KERAS.items():
        yield Case(title, "summary model.json", {"model.json": text})
    for title, kind, arguments in OF_KERAS_1:
        config = {"name": "a", "batch_input_shape": [None, 6, 6], **arguments}
        layers: list[Any] = [{"class_name": kind, "config": config}]
        first = {"class_name": "Sequential", "keras_version": "1.2.2", "config": layers}
        yield Case(title, "summary model.json", {"model.json": json.dumps(first)})
    own = functional(
        SOURCE, layer("Lambda", "own", "x", output_shape=[3]), layer("Dense", "d", "own", units=2)
    )
    yield Case("a signal through code of its own", "signal model.json", {"model.json": own})
    last = functional(SOURCE, layer("Lambda", "own", "x"))
    activated = functional(SOURCE, layer("Dense", "d", "x", units=2, activation="mine"))
    files: dict[str, str | bytes] = {"model.json": activated}
    spec = "input_shape: [3]\nlayers: [{type: Dense, units: 2, quantization: int8}]\n"
    yield Case("a signal through codes", "signal spec.yaml", {"spec.yaml": spec})
    yield Case("a signal through an own activation", "signal model.json", files)
    yield Case("a signal to an unknown shape", "signal model.json", {"model.json": last})


# ------------------------------------------------------------------------- functions of one's own

FUNCTIONS = {
    "returns ragged rows": "return [[1, 2], [3]]",
    "returns what fails as an array": (
        "return type('A', (), {'__array__': lambda *_, **__: 1 / 0})()"
    ),
    "raises": "raise ValueError('not today')",
    "gives None": "return None",
    "gives another shape": "import numpy\n    return numpy.zeros(7)",
    "gives NaN": "import numpy\n    return numpy.full(shape, numpy.nan)",
    "gives more than float16 holds": "import numpy\n    return numpy.full(shape, 1e9)",
}


def of_functions() -> Iterator[Case]:
    """Files of --custom that fail, and functions that do."""
    spec = (
        "input_shape: [3]\ndtype: float16\n"
        "layers: [{type: Dense, units: 2, kernel_initializer: mine}]\n"
    )
    command = "summary spec.yaml --custom own.py"
    for title, body in FUNCTIONS.items():
        code = f"def mine(shape):\n    {body}\n"
        yield Case(f"a function that {title}", command, {"spec.yaml": spec, "own.py": code})
    broken = {"spec.yaml": spec, "own.py": "import math\nmath.sqrt('four')\n"}
    yield Case("a file that fails", command, broken)
    nothing = {"spec.yaml": spec, "own.py": "import math\n"}
    yield Case("a file that defines nothing", command, nothing)
    given = spec.replace("mine", "{type: mine, stdev: 1}")
    for title, arguments in (("another argument", "stddev=1"), ("an argument", "stdev, mean")):
        code = f"def mine(shape, {arguments}):\n    return 0\n"
        yield Case(f"a function that takes {title}", command, {"spec.yaml": given, "own.py": code})
    declared = "def mine(shape):\n    return 0\nmine.distribution = 'he_unifrom'\n"
    yield Case("a distribution that is none", command, {"spec.yaml": spec, "own.py": declared})
