"""Signals, files, workers and memory: what is wrong outside of a spec."""

from __future__ import annotations

import errno
import io
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest

import initcli
from error_cases.case import DENSE, Case
from error_cases.specs import SOURCE, functional, layer
from initcli import files
from initcli.documents.edit import Change, edited
from initcli.initializers import Zeros
from initcli.layers import core, network
from initcli.parameter import Parameter
from initcli.render import weights_file as exporting
from initcli.sampling import chunks as drawing
from initcli.sampling import workers
from initcli.signal import cost, passes
from initcli.signal.planning import planned
from initcli.signal.training import Training

# ------------------------------------------------------------------------- signals

CALLED_AGAIN = """input_shape: [3]
layers:
  - {type: Sequential, name: pair, layers: [{type: ReLU}, {type: ReLU}]}
  - {call: pair}
  - {call: pair}
"""


def of_signals() -> Iterator[Case]:
    """Inputs that do not fit, and models that no signal passes."""
    tokens = "input_shape: [3]\nlayers: [{type: Embedding, input_dim: 10, output_dim: 2}]\n"
    for title, spec, given in (
        ("an input without examples", DENSE, np.zeros((0, 3))),
        ("an input of texts", DENSE, np.array([["a", "b", "c"]])),
        ("an input of another shape", DENSE, np.zeros((4, 5))),
        ("an input that is not finite", DENSE, np.full((4, 3), np.nan)),
        ("an input beyond its dtype", DENSE, np.full((4, 3), 1e308)),
        ("tokens that are not in the table", tokens, np.full((4, 3), 12)),
    ):
        files: dict[str, str | bytes] = {"spec.yaml": spec, "x.npy": array(given)}
        yield Case(title, "signal spec.yaml --input x.npy", files)
    compared = partial(initcli.compare, [("spec", initcli.parse(DENSE))], theory=True)
    steps = Training(steps=1)
    yield Case("training by theory", call=lambda: compared(training=steps))
    cast = initcli.parse("{layers: [{type: Input, shape: [3], dtype: int32}, {type: Flatten}]}")
    yield Case(
        "results that cannot be trained",
        call=lambda: initcli.compare([("spec", cast)], training=steps),
    )
    yield Case("models of one width", call=lambda: initcli.fit_widths(compared()))
    yield Case("nothing stored to identify", "identify spec.yaml", {"spec.yaml": DENSE})
    stream = io.BytesIO()
    np.savez(stream, other=np.zeros((4, 3)))
    files = {"spec.yaml": DENSE, "x.npz": stream.getvalue()}
    yield Case("no array for an input", "signal spec.yaml --input x.npz", files)
    stream = io.BytesIO()
    np.savez(stream, input=np.zeros((4, 3)), other=np.zeros((4, 3)))
    files = {"spec.yaml": DENSE, "x.npz": stream.getvalue()}
    yield Case("an array for no input", "signal spec.yaml --input x.npz", files)
    files = {"spec.yaml": DENSE, "x.npy": array(np.zeros((4, 3)))}
    command = "signal spec.yaml --input x.npy --limit input_bytes=10"
    yield Case("an input that is too large", command, files)
    open_size = "input_shape: [null, 3]\nlayers: [{type: Reshape, target_shape: [7]}]\n"
    yield Case("no size that fits", "signal spec.yaml", {"spec.yaml": open_size})
    for title, masked in MASKED.items():
        yield Case(title, "signal spec.yaml", {"spec.yaml": masked})
    after = {**layer("ReLU", "r", "op"), "build_config": {"input_shape": [None, 3]}}
    yield Case(
        "operations that only Keras knows",
        "signal model.json",
        {"model.json": functional(SOURCE, operation("nn.mystery"), after)},
    )
    yield Case(
        "an operation with senseless arguments",
        "signal model.json",
        {
            "model.json": functional(
                SOURCE, operation("pad", paddings=[[0, 0], [1, 1]], mode="REFLECT")
            )
        },
    )
    yield Case(
        "a layer on one number",
        "summary model.json",
        {"model.json": functional(SOURCE, operation("reduce_sum"), layer("ReLU", "r", "op"))},
    )
    yield Case(
        "more calls than a signal can pass",
        "signal spec.yaml --limit layers=4",
        {"spec.yaml": CALLED_AGAIN},
    )
    large = "input_shape: [50000, 50000, 1]\nlayers: [{type: ReLU}]\n"
    yield Case("more positions than a signal may have", "signal spec.yaml", {"spec.yaml": large})
    deep = f"input_shape: [{', '.join('2' * 30)}]\nlayers: [{{type: ReLU}}]\n"
    yield Case("more axes than a signal may have", "signal spec.yaml", {"spec.yaml": deep})
    yield Case(
        "a batch beyond memory",
        "signal spec.yaml --batch 9",
        {"spec.yaml": DENSE},
        cause=lambda patch: patch.setattr(cost, "physical_memory", lambda: 1 << 20),
    )
    yield Case(
        "a signal that takes too long",
        call=lambda: planned(initcli.parse(DENSE), seconds=0.0),
    )
    yield Case(
        "a gradient that cannot be pulled back",
        "signal spec.yaml",
        {"spec.yaml": DENSE},
        cause=lambda patch: patch.setattr(passes, "_pull", lambda *_: _no_gradient),
    )
    yield Case(
        "a layer that says nothing about its output",
        "signal spec.yaml",
        {"spec.yaml": DENSE},
        cause=lambda patch: patch.delattr(core.Dense, "call"),
    )
    shared = "input_shape: [3]\nlayers:\n  - {type: Sequential, layers: [{type: ReLU}]}\n"
    yield Case(
        "a network of too many shapes",
        "summary spec.yaml",
        {"spec.yaml": shared},
        cause=lambda patch: patch.setattr(network, "MAX_SHAPES", 0),
    )


MASKED = {
    "a mask that Softmax cannot take": """
input_shape: [4, 3]
layers: [{type: Masking}, {type: Softmax}]
""",
    "masks that do not match": """
layers:
  - {type: Input, shape: [6, 3]}
  - {type: Masking, name: steps}
  - {type: Input, shape: [3]}
  - {type: Masking, name: examples}
  - {type: Add, inputs: [steps, examples]}
""",
    "a mask that BatchNormalization cannot take": """
layers:
  - {type: Input, name: kept, shape: [5], dtype: bool}
  - {type: Input, shape: [5, 4, 3]}
  - {type: BatchNormalization, masks: {mask: kept}}
""",
    "a mask that attention cannot take": """
layers:
  - {type: Input, name: kept, shape: [7], dtype: bool}
  - {type: Input, name: x, shape: [5, 4]}
  - {type: MultiHeadAttention, num_heads: 1, key_dim: 2, masks: {attention_mask: kept}}
""",
}
"""Specs in which a mask is of another shape than its layer needs."""


def array(values: Any) -> bytes:
    """The bytes of a .npy file."""
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def operation(function: str, **keywords: Any) -> dict[str, Any]:
    """A function of TensorFlow's, called on the input."""
    made = layer("TFOpLambda", "op", ["x", 0, 0, keywords])
    return {**made, "config": {"function": function}}


def _no_gradient(_: object) -> NoReturn:
    raise ValueError("operands could not be broadcast together")


# ------------------------------------------------------------------------- files that are written


def of_writing() -> Iterator[Case]:
    """Files that cannot be written, and their causes."""
    spec: dict[str, str | bytes] = {"spec.yaml": DENSE}
    npz = "export spec.yaml --out w.npz"
    full = SimpleNamespace(total=1, used=1, free=0)
    causes: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
        "a folder in place of a file": (npz, lambda _: Path("w.npz").mkdir()),
        "a full disk": (npz, lambda patch: patch.setattr(shutil, "disk_usage", lambda _: full)),
        "a disk that fails": (npz, lambda patch: patch.setattr(Path, "replace", _failing)),
        "a spec that is read-only": (
            "check spec.yaml --fix",
            lambda _: Path("spec.yaml").chmod(0o444),
        ),
        "a spec on a disk that fails": (
            "summary spec.yaml",
            lambda patch: patch.setattr(Path, "open", _failing),
        ),
    }
    zeros = "{type: Dense, units: 9, kernel_initializer: zeros}"
    fixable = f"input_shape: [3]\nlayers: [{zeros}, {zeros}]\n"
    for title, (command, cause) in causes.items():
        text = fixable if "--fix" in command else DENSE.replace("units: 2", "units: 500000")
        yield Case(title, command, {"spec.yaml": text}, cause)
    page = {**spec, "page/index.html": "<html></html>"}
    yield Case("a page of somebody else", "signal spec.yaml --html page", page)
    yield Case(
        "a page on a disk that fails",
        "signal spec.yaml --html page",
        page,
        partial(_failing_file, name="index.html"),
    )
    yield Case("a folder without a name", "hist spec.yaml --out ''", spec)
    same = DENSE.replace("2}", "9, kernel_initializer: ones}, {type: Dense, units: 4}")
    yield Case(
        "a test of weights that start wrong",
        call=lambda: initcli.check(initcli.parse(same)).raise_for_errors(warnings=True),
    )
    yield Case("an endless name", call=lambda: _export("n" * 70_000))
    yield Case("a name that is no text", call=lambda: _export("a\0b"))
    yield Case("a name of no file", call=lambda: _export("a", "w.txt"))
    yield Case(
        "no standard input",
        cause=lambda patch: patch.setattr(sys, "stdin", None),
        call=lambda: initcli.load("-"),
    )
    for title, text, path, value in (
        ("a change of a list", "a: [1]\n", ("a", 0), 2),
        ("a change in a list without braces", "a: [b: 1]\n", ("a", 0, "c"), 1),
        ("a change of a shared value", "a: &x {b: 1}\nc: *x\n", ("c", "b"), 2),
    ):
        change = Change(path, value)
        yield Case(title, call=partial(edited, text, "spec.yaml", [change]))


def _export(name: str, file: str = "w.npz") -> None:
    parameter = Parameter(path=name, shape=(2,), initializer=Zeros())
    exporting.export(initcli.parse(DENSE), Path(file), only=[parameter])


def _failing(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.EIO, "Input/output error")


def of_files() -> Iterator[Case]:
    """What a file system can have against a file, told without one."""

    def raising(name: str, error: Exception) -> Callable[[pytest.MonkeyPatch], None]:
        def fail(*_: object, **__: object) -> NoReturn:
            raise error

        return lambda patch: patch.setattr(Path, name, fail)

    yield Case("half of a character", call=lambda: initcli.parse("layers: \ud800"))
    spec, file = Path("spec.yaml"), Path("w.npz")
    denied = PermissionError(errno.EACCES, "Permission denied")
    no_folder = NotADirectoryError(errno.ENOTDIR, "Not a directory")

    for title, cause, call in (
        ("a file in place of a folder", None, lambda: files.make_folder(spec)),
        (
            "a file in place of a folder above",
            raising("mkdir", no_folder),
            lambda: files.make_folder(spec / "plots"),
        ),
        (
            "a folder that is not allowed",
            raising("mkdir", denied),
            lambda: files.make_folder(Path("plots")),
        ),
        (
            "a folder where no file may be made",
            raising("open", denied),
            lambda: files.write_whole(file, b""),
        ),
        (
            "a name that no system takes",
            None,
            lambda: files.write_whole(Path("w\0"), b""),
        ),
        ("a pipe in place of a file", _pipe, lambda: files.write_whole(spec, b"")),
        ("a spec that is gone", None, lambda: files.rewrite(Path("gone.yaml"), "", "")),
        ("a spec of two names", lambda _: Path("other").hardlink_to(spec), _rewrite_spec),
        ("a spec that somebody else changes", None, lambda: files.rewrite(spec, "a: 1", "a: 2")),
    ):
        yield Case(title, "", {"spec.yaml": DENSE}, cause, call)


def _pipe(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "is_file", lambda _: False)


def _rewrite_spec() -> None:
    files.rewrite(Path("spec.yaml"), DENSE, "")


def _failing_file(patch: pytest.MonkeyPatch, name: str) -> None:
    """Has a disk fail where the file of that name is opened."""
    usual = Path.open

    def open_or_fail(path: Path, *arguments: Any, **keywords: Any) -> Any:
        return _failing() if path.name == name else usual(path, *arguments, **keywords)

    patch.setattr(Path, "open", open_or_fail)


# ------------------------------------------------------------------------- workers and memory


def of_workers() -> Iterator[Case]:
    """Machines that are too small, and clusters that are not there."""
    spec: dict[str, str | bytes] = {"spec.yaml": DENSE}
    large = (
        "input_shape: [200000]\n"
        "layers: [{type: Dense, units: 200000, kernel_initializer: orthogonal}]\n"
    )
    yield Case(
        "a matrix beyond memory",
        "summary spec.yaml",
        {"spec.yaml": large},
        lambda patch: patch.setattr(drawing, "physical_memory", lambda: 16 << 30),
    )
    command = "summary spec.yaml --cluster tcp://127.0.0.1:9"
    yield Case(
        "no Dask", command, spec, lambda patch: patch.setitem(sys.modules, "distributed", None)
    )

    def unreachable(*_: object, **__: object) -> NoReturn:
        raise OSError("timed out after 10 s")

    yield Case("no scheduler", command, spec, partial(_with_dask, client=unreachable))

    def nobody(*_: object, **__: object) -> NoReturn:
        raise TimeoutError

    found = {
        "no workers": SimpleNamespace(wait_for_workers=nobody),
        "workers without initcli": SimpleNamespace(
            wait_for_workers=lambda *_, **__: None, run=_failing_import
        ),
        "workers of another version": SimpleNamespace(
            wait_for_workers=lambda *_, **__: None, run=lambda _: {"worker": "0.0.1"}
        ),
    }
    for title, client in found.items():
        client.close = lambda: None
        made = partial(_with_dask, client=lambda *_, c=client, **__: c)
        yield Case(title, command, spec, made)
    yield Case(
        "a shell that is not there",
        "--install-completion pwsh",
        cause=lambda patch: patch.setenv("PATH", ""),
    )
    yield Case("workers that are lost", call=_lose_workers)
    yield Case(
        "a cluster that is lost",
        cause=lambda patch: patch.setattr(workers, "PATIENCE", 0.0),
        call=lambda: workers._Watch(SimpleNamespace(nthreads=dict))(),
    )
    yield Case(
        "no more processes",
        cause=lambda patch: patch.setattr(BaseProcess, "start", _failing),
        call=_start_workers,
    )


def _with_dask(patch: pytest.MonkeyPatch, client: Callable[..., object]) -> None:
    """Puts a client in place of Dask's, for no cluster is there."""
    dask = ModuleType("distributed")
    dask.Client = client  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "distributed", dask)


def _failing_import(_: object) -> NoReturn:
    raise ModuleNotFoundError("No module named 'initcli'")


def _start_workers() -> None:
    with workers.processes(1):
        pass


def _lose_workers() -> None:
    with ThreadPoolExecutor(1) as executor:
        lost = workers.Workers(executor.submit, losses=(OSError,))
        list(lost.in_order(_failing, [1, 2]))
