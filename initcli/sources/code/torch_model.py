"""PyTorch modules as specs: one opaque layer a module, with the parameters that it holds itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from initcli.initializers import Initializer
from initcli.initializers.given import Box, Parts, Uninitialized, Unknown, Values
from initcli.sources.code.torch_recording import (
    Computed,
    Content,
    Drawn,
    Part,
    Recorder,
    Unwritten,
    View,
    recorded,
)

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def described(model: nn.Module, recorder: Recorder) -> dict[str, Any]:
    """The data of a spec with the parameters and buffers of a module, by the names of its state.

    Names and shapes are PyTorch's. A tensor that has two names is listed under the first.
    """
    layers: list[dict[str, Any]] = []
    notes: list[str] = []
    names: dict[tuple[int, View], str] = {}
    trained = {id(each) for each in model.parameters() if each.requires_grad}
    for path, module in model.named_modules():
        weights = []
        for name, tensor in _own(module):
            full = f"{path}.{name}" if path else name
            if isinstance(tensor, nn.parameter.UninitializedTensorMixin):
                notes.append(f"{full} gets its shape with the first input; call the model once")
                continue
            key = (tensor.untyped_storage()._cdata, View.of(tensor))
            if (first := names.setdefault(key, full)) != full:
                notes.append(f"{full} is {first}: two names of one tensor")
                continue
            weights.append(
                {
                    "name": full,
                    "shape": list(tensor.shape),
                    "initializer": initializer(recorder.parts(tensor)),
                    "trainable": id(tensor) in trained,
                    "dtype": str(tensor.dtype).removeprefix("torch."),
                    **_axes(module, name, tensor),
                }
            )
        if weights:
            layers.append(
                {
                    "type": "Opaque",
                    "name": path or type(model).__name__,
                    "kind": type(module).__name__,
                    "output_shape": "recorded",
                    "full_names": True,
                    "parameters": weights,
                }
            )
    return {"name": type(model).__name__, "layers": layers, "notes": notes}


def _own(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters(recurse=False, remove_duplicate=False)
    for name, buffer in module.named_buffers(recurse=False, remove_duplicate=False):
        if name not in module._non_persistent_buffers_set:
            yield name, buffer


def _axes(module: nn.Module, name: str, tensor: torch.Tensor) -> dict[str, Any]:
    """The axes that a weight sums over and produces, where the module is PyTorch's own."""
    rank = tensor.ndim
    if name != "weight" or rank < 2:
        return {}
    if isinstance(module, nn.Linear):
        return {"contracts": [1], "produces": [0]}
    kernel = list(range(2, rank))
    if isinstance(module, _CONVOLUTIONS):
        return {"contracts": [1, *kernel], "produces": [0, *kernel]}
    if isinstance(module, _TRANSPOSED):
        return {"contracts": [0, *kernel], "produces": [1, *kernel]}
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return {"contracts": [], "produces": [1]}
    return {}


def initializer(parts: list[Part]) -> Initializer:
    """The initializer of a tensor that was filled in parts."""
    if len(parts) == 1:
        return _initializer(parts[0].content)
    return Parts(
        boxes=tuple(
            Box(
                starts=tuple(each.start for each in box),
                stops=tuple(each.stop for each in box),
                initializer=_initializer(content),
            )
            for box, content in parts
        )
    )


def _initializer(content: Content) -> Initializer:
    match content:
        case Drawn(initializer):
            return initializer
        case Computed(values) if not values.is_complex():
            return Values(numbers=np.asarray(values.detach().double().numpy()).tobytes())
        case Unwritten(place):
            return Uninitialized(made_at=f"{place.file}:{place.line} in {place.function}")
        case Computed():
            return Unknown(made_by="complex numbers")
    return Unknown(made_by=content.operation)


def built(build: Any) -> tuple[nn.Module, Recorder]:
    """What a function returns, built without memory for its tensors."""
    with recorded() as recorder:
        model = build()
    return model, recorder
