"""PyTorch modules as layers: one for each submodule, with the tensors that it holds itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from initcli.initializers import Initializer
from initcli.initializers.base import Undeclared
from initcli.layers.core import Opaque
from initcli.model import BuiltLayer
from initcli.parameter import Parameter
from initcli.sources.code.contents import Computed, filled
from initcli.sources.code.live import dtype_of, live
from initcli.sources.code.torch_recording import FOLLOWED, Recorder
from initcli.sources.code.torch_storage import View
from initcli.types import Array

_UNDECLARED = Undeclared()


class Contents(NamedTuple):
    """The tensors of a module, one layer for each submodule that holds some, and notes."""

    layers: tuple[BuiltLayer, ...]
    notes: tuple[str, ...]


def described(model: nn.Module, recorder: Recorder | None, seed: int) -> Contents:
    """The parameters and buffers of a module, by the names of its state.

    Names and shapes are PyTorch's. A tensor that has two names is listed under the first. Without a
    recorder the values that the tensors have are those of the parameters, which have the
    initializers that were recorded while PyTorch was followed.
    """
    layers: list[BuiltLayer] = []
    notes: list[str] = []
    names: dict[tuple[int, View], str] = {}
    trained = {id(each) for each in model.parameters() if each.requires_grad}
    for path, module in model.named_modules():
        parameters = []
        for name, tensor in _own(module):
            full = f"{path}.{name}" if path else name
            if isinstance(tensor, nn.parameter.UninitializedTensorMixin):
                notes.append(f"{full} gets its shape with the first input, and is left out")
                continue
            if tensor.layout != torch.strided:
                notes.append(f"{full} is sparse, and is left out")
                continue
            key = (tensor.untyped_storage()._cdata, View.of(tensor))
            if (first := names.setdefault(key, full)) != full:
                notes.append(f"{full} is {first}: one tensor with two names")
                continue
            contracts, produces = _axes(module, name, tensor)
            parameters.append(
                Parameter(
                    path=full,
                    shape=tuple(tensor.shape),
                    initializer=initializer(recorder or FOLLOWED, tensor),
                    stored=live(full, tensor) if recorder is None else None,
                    trainable=id(tensor) in trained,
                    dtype=dtype_of(tensor),
                    keeps_dtype=True,
                    seed=seed,
                    contracts=contracts,
                    produces=produces,
                )
            )
        if parameters:
            layers.append(
                BuiltLayer(
                    name=path or type(model).__name__,
                    layer=Opaque(kind=type(module).__name__, output_shape_="recorded"),
                    input_shapes=(),
                    output_shapes=(),
                    parameters=tuple(parameters),
                )
            )
    return Contents(tuple(layers), tuple(notes))


def _own(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters(recurse=False, remove_duplicate=False)
    for name, buffer in module.named_buffers(recurse=False, remove_duplicate=False):
        if name not in module._non_persistent_buffers_set:
            yield name, buffer


Axes = tuple[int, ...] | None


def _axes(module: nn.Module, name: str, tensor: torch.Tensor) -> tuple[Axes, Axes]:
    """The axes that a weight sums over and produces, where the module is PyTorch's own."""
    kernel = tuple(range(2, tensor.ndim))
    if name == "weight":
        if isinstance(module, nn.Linear):
            return (1,), (0,)
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            return (1, *kernel), (0, *kernel)
        if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            return (0, *kernel), (1, *kernel)
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            return (), (1,)
    return None, None


def initializer(recorder: Recorder, tensor: torch.Tensor) -> Initializer:
    """How a tensor was filled, as far as it was followed."""
    if recorder is FOLLOWED and not recorder.follows(tensor):
        return _UNDECLARED
    parts = (
        part._replace(content=Computed(_numbers(part.content.values)))
        if isinstance(part.content, Computed)
        else part
        for part in recorder.parts(tensor)
    )
    return filled(tuple(parts), tuple(tensor.shape))


def _numbers(values: torch.Tensor) -> Array:
    exact = torch.complex128 if values.is_complex() else torch.float64
    numbers: Array = values.detach().to(exact).numpy()
    return numbers
