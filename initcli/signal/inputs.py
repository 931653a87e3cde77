"""What flows in: inputs of one's own, from NumPy's files, and drawn ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from initcli.drawing import working_dtype
from initcli.errors import SignalError
from initcli.layers.core import Input
from initcli.signal.program import Program, Source
from initcli.spec.model import Model
from initcli.streams import Stream
from initcli.types import Array, Size


def read_inputs(file: str, model: Model) -> dict[str, Array]:
    """The arrays of a .npy file (of a model's one input) or a .npz file, by the inputs' names.

    Raises:
        SignalError: it cannot be read, or says nothing of an input.
    """
    network = model.network
    names = [network.names[network.calls[index].layer] for index in network.inputs]
    assert all(isinstance(network.layers[network.calls[i].layer], Input) for i in network.inputs)
    try:
        with np.errstate(all="ignore"):
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                arrays = {names[0]: found}
            else:
                with found:
                    arrays = {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SignalError(f"{file}: cannot be read as NumPy's arrays: {reason}") from None
    missing = [name for name in names if name not in arrays]
    if missing:
        raise SignalError(f"{file}: has no array for the input '{missing[0]}'")
    if any(array.ndim == 0 or array.shape[0] == 0 for array in arrays.values()):
        raise SignalError(f"{file}: has no examples")
    return arrays


def fitting_inputs(built: Program, inputs: Mapping[str, Array]) -> dict[int, Array]:
    """One's own inputs by tensor, as the program needs them.

    Raises:
        SignalError: there is no such input, or it does not fit.
    """
    sources = {source.name: source for source in built.sources}
    found: dict[int, Array] = {}
    for name, x in inputs.items():
        source = sources.get(name)
        if source is None:
            known = ", ".join(sources)
            raise SignalError(f"the model has no input '{name}'; it has {known}")
        found[source.tensor] = _fitting(source, np.asarray(x), built.shapes[source.tensor])
    return found


def _fitting(source: Source, x: Array, shape: Size) -> Array:
    if x.dtype.kind not in "fiub":
        raise SignalError(f"the input '{source.name}' holds {x.dtype}, which are no numbers")
    if x.shape[1:] != shape[1:] or len(x) < shape[0]:
        raise SignalError(f"the input '{source.name}' is {x.shape}, and the model takes {shape}")
    x = x[: shape[0]]
    if source.most is None:
        if not np.all(np.isfinite(x)):
            raise SignalError(f"the input '{source.name}' holds what is not finite")
        return x.astype(np.float32)
    if np.any(x != np.floor(x)) or x.min() < 0 or x.max() >= source.most:
        raise SignalError(
            f"the input '{source.name}' needs whole numbers from 0 to {source.most - 1}"
        )
    return x.astype(np.int64)


def drawn_input(source: Source, shape: Size, seed: int, model: Model) -> Array:
    """Standard normal numbers, or whole ones that are all as probable."""
    if source.most is None:
        dtype = working_dtype(model.dtype)
        return standard_normal(f"input {source.name}", seed, shape, dtype)
    generator = Stream(f"initcli 1\0input\0{seed}\0{source.name}").generator()
    return generator.integers(0, source.most, shape)


def standard_normal(purpose: str, seed: int, shape: Size, dtype: Any) -> Array:
    """The same numbers for the same purpose and seed."""
    generator = Stream(f"initcli 1\0{purpose}\0{seed}").generator()
    return generator.standard_normal(shape, np.float32).astype(dtype)
