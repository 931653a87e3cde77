"""Code named as a source that cannot be run, or is no model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import msgspec

import initcli
from error_cases.case import DENSE, Case
from initcli.layers.network import Network

_FILE = """import sys
number = 3
def fails(): raise ValueError("no GPU")
def leaves(): sys.exit(3)
def needs(width): return width
"""


def of_code() -> Iterator[Case]:
    """Names, arguments and code."""
    files: dict[str, str | bytes] = {"model.py": _FILE, "spec.yaml": DENSE}
    for title, command in (
        ("code that raises", "summary model.py:fails"),
        ("code that ends the program", "summary model.py:leaves"),
        ("a function that needs an argument", "summary model.py:needs"),
        ("an argument that a function does not take", "summary model.py:fails --call '{\"a\": 1}'"),
        ("arguments of what is no function", "summary model.py:number --call '{\"a\": 1}'"),
        ("arguments that are no JSON object", "summary model.py:needs --call 3"),
        ("arguments of a spec", "summary spec.yaml --call '{}'"),
        ("an object that is no model", "summary model.py:number"),
        ("an object that is not there", "summary model.py:numbr"),
        ("a file of code that is not there", "summary modl.py:number"),
        ("a module that is not installed", "summary no_such_module.models:build"),
        ("options that code decides", "summary model.py:number --defaults torch"),
        ("the signal of several sources, one of them code", "compare model.py:number spec.yaml"),
        ("code that is to be fixed", "check --fix model.py:number"),
    ):
        yield Case(title, command, files)
    yield Case("arguments of a file, from Python", call=lambda: initcli.load("a.yaml", call={}))
    yield Case("a value without arrays", call=lambda: initcli.of(3))
    yield Case("mappings within mappings", call=lambda: initcli.of(_nested(300)))
    yield Case("a module of Flax Linen alone", call=_of_linen)
    yield Case("recording without PyTorch", call=_record_without_torch)
    yield Case("the signal of code", call=lambda: initcli.predict_signal(_without_layers()))


def _nested(depth: int) -> dict[str, Any]:
    return {"a": _nested(depth - 1)} if depth else {}


def _of_linen() -> None:
    linen = SimpleNamespace(Module=int)
    with mock.patch.dict(sys.modules, {"flax.linen": linen}):
        initcli.of({"module": 3})


def _record_without_torch() -> None:
    missing = {"initcli.sources.code.torch_recording": None}
    with mock.patch.dict(sys.modules, missing), initcli.recording():
        pass


def _without_layers() -> initcli.Model:
    """A model of which only tensors are known, as code gives it."""
    network = Network(names=(), layers=(), calls=(), inputs=(), outputs=())
    return msgspec.structs.replace(initcli.parse(DENSE), network=network)
