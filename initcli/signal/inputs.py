"""Inputs of one's own, from NumPy's files."""

from __future__ import annotations

import numpy as np

from initcli.errors import SignalError
from initcli.layers.core import Input
from initcli.spec.model import Model
from initcli.types import Array


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
