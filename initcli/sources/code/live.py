"""Arrays in memory: those of NumPy, PyTorch, JAX, and any with ``__array__`` or DLPack."""

from __future__ import annotations

import sys
from typing import Any, cast

import msgspec
import numpy as np

from initcli.stored import StoredTensor
from initcli.types import BYTES, NUMPY, Array, TensorDtype


class Live(msgspec.Struct, frozen=True):
    """Entries of a flat array, which are converted to NumPy part by part."""

    values: Any
    bytes: int

    is_sequential = False

    def read(self, start: int, stop: int) -> Array:
        """Entries; a view if NumPy can access their memory."""
        return _numpy(self.values[start:stop])


def is_array(value: Any) -> bool:
    """Whether a value is an array of numbers that can be converted to NumPy."""
    has_entries = hasattr(value, "__array__") or hasattr(value, "__dlpack__")
    if not has_entries or not hasattr(value, "dtype") or not hasattr(value, "shape"):
        return False
    return getattr(value.dtype, "kind", "f") not in "OSUTMm"  # objects, texts and times


def dtype_of(value: Any) -> TensorDtype:
    """The name of an array's dtype, such as ``bfloat16``."""
    # Dtypes of TensorFlow and classes such as jnp.float32 have a name; PyTorch has torch.float32.
    dtype = value.dtype
    name = getattr(dtype, "name", None) or str(dtype).rpartition(".")[2]
    return cast(TensorDtype, name)


def live(path: str, value: Any) -> StoredTensor:
    """The values of an array, which are read without a copy of the whole."""
    shape, dtype = tuple(map(int, value.shape)), dtype_of(value)
    tensor = StoredTensor(path=path, shape=shape, dtype=dtype, storage=None, origin="live")
    if dtype not in NUMPY:
        return tensor
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        if value.is_meta:
            return tensor
        flat = value.detach().contiguous().reshape(-1)
    else:
        is_here = _is_here(value)
        flat = (_array(value) if is_here else value).reshape(-1)
    return msgspec.structs.replace(tensor, storage=Live(flat, tensor.size * BYTES[dtype]))


def _is_here(value: Any) -> bool:
    """Whether NumPy can access the memory of an array."""
    devices = getattr(value, "devices", None)  # of JAX
    return devices is None or all(each.platform == "cpu" for each in devices())


def _array(value: Any) -> Array:
    return np.asarray(value) if hasattr(value, "__array__") else np.from_dlpack(value)


def _numpy(values: Any) -> Array:
    """A flat array in NumPy; its bits if NumPy lacks its dtype."""
    dtype = dtype_of(values)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        values = values.cpu()
        if dtype.startswith(("bfloat16", "float8")):
            values = values.view(torch.int16 if dtype == "bfloat16" else torch.uint8)
        values = values.numpy()
    array = _array(values)
    bits = array.dtype.kind in "Vb" or dtype.startswith(("bfloat16", "float8"))
    return array.view(NUMPY[dtype]) if bits else array.astype(NUMPY[dtype], copy=False)
