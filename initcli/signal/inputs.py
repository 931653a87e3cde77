"""Inputs of the signal: arrays from NumPy files, and random arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from initcli import limits
from initcli.errors import SignalError, did_you_mean, listed, nearest_file, quoted
from initcli.model import Model
from initcli.random.streams import Stream
from initcli.sampling.chunks import working_dtype
from initcli.signal.program import InputTensor, Program
from initcli.types import Array, Size, shape_text


def read_inputs(file: str, model: Model) -> dict[str, Array]:
    """The arrays of a .npy file (for a model with one input) or a .npz file, by input name.

    Raises:
        SignalError: the file cannot be read, or has no array for an input.
    """
    network = model.network
    names = [network.names[network.calls[index].layer] for index in network.inputs]
    try:
        with np.errstate(all="ignore"), FilePath(file).open("rb") as stream:
            _refuse_large(file, os.fstat(stream.fileno()).st_size)
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                arrays = {names[0]: loaded}
            else:
                with loaded:
                    _refuse_large(file, sum(info.file_size for info in loaded.zip.infolist()))
                    arrays = {name: loaded[name] for name in loaded.files}
    except SignalError:
        raise
    except Exception as error:  # NumPy and zipfile raise many kinds of errors for broken files.
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        if isinstance(error, FileNotFoundError):
            remedy = nearest_file(file, (".npy", ".npz")) or "numpy.save(FILE, x) writes one"
            raise SignalError(f"{file}: there is no such file", remedy) from None
        if isinstance(error, ValueError) and "pickle" in str(error):
            reason = "it is no .npy or .npz file, or holds more than numbers"
        raise SignalError(f"{file}: cannot be read as NumPy's arrays: {reason}") from None
    # NumPy returns other members of an archive as bytes.
    arrays = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    missing = [name for name in names if name not in arrays]
    if missing:
        remedy = did_you_mean(missing[0], arrays) or f"numpy.savez(FILE, {missing[0]}=x) writes it"
        message = f"{file}: has no array for the input {quoted(missing[0])}"
        raise SignalError(message, remedy)
    if any(array.ndim == 0 or array.shape[0] == 0 for array in arrays.values()):
        raise SignalError(f"{file}: has no examples", "the first axis of an array counts them")
    return arrays


def _refuse_large(file: str, size: int) -> None:
    """Raise SignalError where arrays have more bytes than the limit."""
    if size > (limit := limits.in_force().input_bytes):
        message = f"{file}: its arrays have {size:,} bytes, and {limit:,} are allowed"
        raise SignalError(message, limits.remedy("input_bytes", size))


def fitting_inputs(built: Program, arrays: Mapping[str, Array]) -> dict[int, Array]:
    """The given inputs by tensor, with the dtype and batch of the program.

    Raises:
        SignalError: there is no such input, or it does not fit.
    """
    inputs = {each.name: each for each in built.inputs}
    tensors: dict[int, Array] = {}
    for name, x in arrays.items():
        own = inputs.get(name)
        if own is None:
            known = did_you_mean(name, inputs) or f"it has {listed(islice(inputs, 9), 'and')}"
            raise SignalError(f"the model has no input {quoted(name)}", known)
        tensors[own.tensor] = _fitting(own, np.asarray(x), built.shapes[own.tensor])
    return tensors


def _fitting(own: InputTensor, x: Array, shape: Size) -> Array:
    what = f"the input {quoted(own.name)}"
    if x.dtype.kind not in "fiub":
        raise SignalError(f"{what} must hold numbers, not values of the type {x.dtype.name}")
    if x.shape[1:] != shape[1:] or len(x) < shape[0]:
        problem = f"has shape {shape_text(x.shape)}, and the model takes {shape_text(shape)}"
        raise SignalError(f"{what} {problem}", "the first axis of an array counts the examples")
    x = x[: shape[0]]
    if own.num_tokens is None:
        if not np.all(np.isfinite(x)):
            raise SignalError(f"{what} must hold finite numbers, and has NaN or infinite ones")
        limit = float(np.finfo(np.float32).max)
        largest = float(np.max(np.abs(x.astype(np.float64)), initial=0.0))
        if largest > limit:
            wanted = f"numbers that float32 holds, at most {limit:.3g}, and has {largest:.3g}"
            raise SignalError(f"{what} must hold {wanted}", "scale it down")
        return x.astype(np.float32)
    wrong = x[(x != np.floor(x)) | (x < 0) | (x >= own.num_tokens)]
    if wrong.size:
        wanted = f"whole numbers from 0 to {own.num_tokens - 1}, not {wrong.flat[0]:g}"
        raise SignalError(f"{what} must hold {wanted}")
    return x.astype(np.int64)


def drawn_inputs(
    built: Program, seed: int, model: Model, given: Mapping[int, Array] | None = None
) -> dict[int, Array]:
    """The inputs of a program by tensor: the given ones, and draws for the others."""
    tensors = dict(given or {})
    for each in built.inputs:
        if each.tensor not in tensors:
            tensors[each.tensor] = drawn_input(each, built.shapes[each.tensor], seed, model)
    return tensors


def drawn_input(own: InputTensor, shape: Size, seed: int, model: Model) -> Array:
    """Draw standard normal numbers, or uniform integers for a table."""
    if own.num_tokens is None:
        return standard_normal(f"input {own.name}", seed, shape, working_dtype(model.dtype))
    generator = Stream(f"initcli 1\0input\0{seed}\0{own.name}").generator()
    return generator.integers(0, own.num_tokens, shape)


def standard_normal(purpose: str, seed: int, shape: Size, dtype: Any) -> Array:
    """Draw standard normal numbers, which depend on the purpose and the seed."""
    generator = Stream(f"initcli 1\0{purpose}\0{seed}").generator()
    return generator.standard_normal(shape, np.float32).astype(dtype)
