"""The tensors of PyTorch modules, with how each was filled."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from initcli.initializers import Initializer
from initcli.initializers.base import Undeclared
from initcli.sources.code.contents import Computed, filled
from initcli.sources.code.torch_recording import FOLLOWED, Recorder
from initcli.sources.code.torch_storage import View
from initcli.sources.code.trees import Axes, Leaf
from initcli.types import Array


def tensors(model: nn.Module) -> tuple[list[Leaf], list[str]]:
    """The parameters and buffers of a module under the names of its state, and notes.

    A tensor with two names is listed under the first.
    """
    found: list[Leaf] = []
    notes: list[str] = []
    names: dict[tuple[int, View], str] = {}
    trained = {id(each) for each in model.parameters() if each.requires_grad}
    for path, module in model.named_modules():
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
            found.append(Leaf(full, tensor, module, id(tensor) in trained, _axes(module, name)))
    return found, notes


def _own(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters(recurse=False, remove_duplicate=False)
    for name, buffer in module.named_buffers(recurse=False, remove_duplicate=False):
        if name not in module._non_persistent_buffers_set:
            yield name, buffer


def _axes(module: nn.Module, name: str) -> tuple[Axes, Axes]:
    """The axes that a weight sums over and produces, if the module is PyTorch's own."""
    if name == "weight":
        kernel = tuple(range(2, module.weight.ndim))
        if isinstance(module, nn.Linear):
            return (1,), (0,)
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            return (1, *kernel), (0, *kernel)
        if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            return (0, *kernel), (1, *kernel)
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            return (), (1,)
    return None, None


def initializer(tensor: torch.Tensor, recorder: Recorder | None = None) -> Initializer:
    """How a recorder, by default that of :func:`initcli.recording`, saw a tensor being filled."""
    if recorder is None and not FOLLOWED.follows(tensor):
        return Undeclared()
    parts = (
        part._replace(content=Computed(_numbers(part.content.values)))
        if isinstance(part.content, Computed)
        else part
        for part in (recorder or FOLLOWED).parts(tensor)
    )
    return filled(tuple(parts), tuple(tensor.shape))


def _numbers(values: torch.Tensor) -> Array:
    exact = torch.complex128 if values.is_complex() else torch.float64
    numbers: Array = values.detach().to(exact).numpy()
    return numbers
