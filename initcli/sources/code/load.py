"""Models from a person's own code: the distributions of all tensors, with nothing drawn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

from initcli.documents.document import Document
from initcli.errors import CodeError, printable
from initcli.layers.network import Network
from initcli.model import Model
from initcli.sources.code.objects import object_of


def load_code(source: str, arguments: Mapping[str, Any], seed: int | None = None) -> Model:
    """The tensors of the model that code builds, each with the initializer that fills it.

    Args:
        source: ``package.module:object`` or ``file.py:object``; a model, a function that returns
            one, or a class.
        arguments: keyword arguments of the function or class.
        seed: seed of what is sampled here.

    Raises:
        CodeError: the code fails, or returns no model of a framework that is known.
    """
    with object_of(source, arguments) as make, redirect_stdout(sys.stderr):
        return _torch_model(source, make, seed or 0)


def _torch_model(source: str, make: Callable[[], Any], seed: int) -> Model:
    if "torch" not in sys.modules:
        made = make()
        if "torch" not in sys.modules:
            raise _no_module(source, made)
    import torch

    from initcli.sources.code.torch_model import described
    from initcli.sources.code.torch_recording import Recorder, recorded

    recorder: Recorder | None = None
    reason = ""
    try:
        with recorded() as recorder:
            made = make()
        if recorder.came_late and type(made).__module__.startswith("transformers"):
            with recorded() as recorder:
                made = make()
    except CodeError as error:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            made = make()  # fails as it would for its author
        recorder, reason = None, error.args[0]
    if not isinstance(made, torch.nn.Module):
        raise _no_module(source, made)
    if recorder is not None and not any(each.is_meta for each in made.state_dict().values()):
        recorder = None  # made before it was asked for
    layers, notes = described(made, recorder, seed)
    if reason:
        notes += (f"built with its values, which are measured, since without memory {reason}",)
    return Model(
        name=type(made).__name__,
        seed=seed,
        dtype="float32",
        defaults="torch",
        network=Network(names=(), layers=(), calls=(), inputs=(), outputs=()),
        layers=layers,
        document=Document(source, "", {}, dict, dialect="python"),
        notes=notes,
    )


def _no_module(source: str, made: object) -> CodeError:
    message = f"{printable(source)} is a {type(made).__name__}, not a PyTorch module"
    return CodeError(message, "name a torch.nn.Module, or a function that returns one")
