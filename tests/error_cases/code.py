"""Code named as a source that cannot be run, or is no model."""

from __future__ import annotations

from collections.abc import Iterator

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
    yield Case("the signal of code", call=lambda: initcli.predict_signal(_without_layers()))


def _without_layers() -> initcli.Model:
    """A model of which only tensors are known, as code gives it."""
    network = Network(names=(), layers=(), calls=(), inputs=(), outputs=())
    return msgspec.structs.replace(initcli.parse(DENSE), network=network)
