"""Building PyTorch models on the meta device, where tensors have shapes but no memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from initcli.sources.code.torch_recording import Recorder


class _OnMeta(TorchFunctionMode):  # type: ignore[misc]
    """Makes initializers work on meta tensors, which those of ``torch.nn.init`` skip.

    Code can convert tensors with known values to lists and arrays, and needs no accelerator.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func == _IS_META and sys._getframe(1).f_globals.get("__name__") == "torch.nn.init":
            return False
        kwargs = kwargs or {}
        if func in _BROUGHT and args[0].is_meta:
            with torch._C.DisableTorchFunction(), _disable_current_modes():
                values = self._recorder.values(args[0])
            args = args if values is None else (values, *args[1:])
        if func in _INDEXED and args[0].is_meta:
            # PyTorch would convert a list to a tensor without dispatching that.
            args = (args[0], _indices(args[1]), *args[2:])
        if func == torch.Tensor.cuda:
            return args[0]
        if func == torch.Tensor.to:
            args = (args[0], *map(_here, args[1:]))
        if "device" in kwargs:
            kwargs = {**kwargs, "device": _here(kwargs["device"])}
        if func in (torch.tensor, torch.as_tensor, torch.scalar_tensor):
            # On the meta device the values would be lost.
            real = func(*args, **{**kwargs, "device": "cpu"})
            device = torch.device(kwargs.get("device") or "meta")
            return real.to(device) if device.type == "meta" else real
        return func(*args, **kwargs)


_IS_META = torch.Tensor.is_meta.__get__
_INDEXED = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)
_BROUGHT = (torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.__array__)


def _indices(index: Any) -> Any:
    """An index with lists and arrays converted to tensors."""
    if isinstance(index, tuple):
        return tuple(map(_indices, index))
    is_list = isinstance(index, list | np.ndarray)
    return torch.tensor(index, device="cpu").to("meta") if is_list else index


def _here(device: Any) -> Any:
    """The device, or the meta device in place of an accelerator."""
    if isinstance(device, str | torch.device) and torch.device(device).type != "cpu":
        return torch.device("meta")
    return device


@contextmanager
def recorded() -> Iterator[Recorder]:
    """Record on the meta device; the states of random generators do not change."""
    recorder = Recorder()
    patched = "transformers.modeling_utils" in sys.modules
    with ExitStack() as stack:
        stack.enter_context(recorder.rules(draws=False))
        if patched:
            # transformers initializes no weights on the meta device.
            current = "transformers.modeling_utils.get_torch_context_manager_or_global_device"
            stack.enter_context(mock.patch(current, return_value=None, create=True))
        stack.enter_context(torch.device("meta"))
        stack.enter_context(recorder)
        stack.enter_context(_OnMeta(recorder))
        yield recorder
    recorder.came_late = not patched and "transformers.modeling_utils" in sys.modules
