"""Models from a person's own code: the distributions of all tensors, with nothing drawn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, NamedTuple

from initcli.documents.document import Document
from initcli.errors import CodeError, printable
from initcli.layers.network import Network
from initcli.model import Model
from initcli.sources.code.objects import object_of

if TYPE_CHECKING:
    from initcli.sources.code.torch_recording import Recorder


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


class _Made(NamedTuple):
    """What code made, how its tensors were filled where that was recorded, and why it was not."""

    value: Any
    recorder: Recorder | None = None
    reason: str = ""


def _torch_model(source: str, make: Callable[[], Any], seed: int) -> Model:
    made = _made(make, seed)
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(made.value, torch.nn.Module):
        message = f"{printable(source)} is a {type(made.value).__name__}, not a PyTorch module"
        raise CodeError(message, "name a torch.nn.Module, or a function that returns one")
    from initcli.sources.code.torch_model import described

    layers, notes = described(made.value, made.recorder, seed)
    if made.reason:
        notes += (f"its values are measured, since without memory {made.reason}",)
    return Model(
        name=type(made.value).__name__,
        seed=seed,
        dtype="float32",
        defaults="torch",
        network=Network(names=(), layers=(), calls=(), inputs=(), outputs=()),
        layers=layers,
        document=Document(source, "", {}, dict, dialect="python"),
        notes=notes,
    )


def _made(make: Callable[[], Any], seed: int) -> _Made:
    if "torch" not in sys.modules:
        value = make()
        if "torch" not in sys.modules:
            return _Made(value)
    import torch

    from initcli.sources.code.torch_recording import recorded

    try:
        with recorded() as recorder:
            value = make()
        if recorder.came_late and type(value).__module__.startswith("transformers"):
            with recorded() as recorder:
                value = make()
    except CodeError as error:
        torch.manual_seed(seed)
        return _Made(make(), reason=error.args[0])  # fails as it would for its author
    is_module = isinstance(value, torch.nn.Module)
    if is_module and any(each.is_meta for each in value.state_dict().values()):
        return _Made(value, recorder)
    return _Made(value)  # made before it was asked for
