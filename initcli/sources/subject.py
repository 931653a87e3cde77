"""Sources of weights: files of stored values, and models whose values are sampled.

Stored values in a folder with a ``config.json`` are compared with it.
"""

from __future__ import annotations

import os
from os import PathLike, fspath
from typing import Any

import msgspec

from initcli.checkpoint import Checkpoint, Subject
from initcli.errors import InvalidSpec, NotCovered, printable
from initcli.model import Model
from initcli.sources.load import load
from initcli.sources.pairing import paired
from initcli.sources.read import is_configuration
from initcli.sources.weights.read import checkpoint


def subject(source: str, *, sample: bool = False, **options: Any) -> Subject:
    """The weights of a file or folder, else the model of a spec, a file or code.

    Args:
        source: a file or folder of weights, or what :func:`initcli.load` takes.
        sample: whether to sample a model whose file also stores its weights.
        options: see :func:`initcli.load`.

    Raises:
        InitcliError: as :func:`initcli.load`; or a file of weights is damaged or exceeds a limit.
    """
    stored = None if source == "-" else checkpoint(source)
    if stored is None:
        return load(source, **options)
    if stored.has_model:
        return load(source, **options) if sample else paired(load(source, **options), stored)
    if not os.path.isfile(os.path.join(source, "config.json")):  # noqa: PTH113, PTH118
        return stored
    return _beside_configuration(source, stored, sample, options)


def _beside_configuration(
    source: str, stored: Checkpoint, sample: bool, options: dict[str, Any]
) -> Subject:
    """The tensors of a folder with a ``config.json``, as those of its model if that is known.

    ``sample`` is whether to leave the tensors out.
    """
    from initcli.sources.huggingface.checkpoint import is_of_library, is_quantized, with_checkpoint

    if not is_of_library(os.path.basename(stored.file)):  # noqa: PTH119
        return stored
    try:
        if not is_configuration(source):
            return stored
        model = load(source, **options)
    except InvalidSpec as error:
        if sample or not all(isinstance(each, NotCovered) for each in error.errors):
            raise
        return _alone(stored, error.errors[0].message)
    if sample:
        return model
    if is_quantized(model):
        return _alone(stored, "the configuration says that the tensors are quantized")
    return with_checkpoint(model, stored, {})


def _alone(stored: Checkpoint, reason: str) -> Checkpoint:
    note = printable(f"{reason}: the tensors are not compared with config.json")
    return msgspec.structs.replace(stored, notes=(*stored.notes, note))


def subject_of(source: str | PathLike[str] | Subject) -> Subject:
    """The source, loaded if it is a path or names code, see :func:`subject`."""
    return source if isinstance(source, Model | Checkpoint) else subject(fspath(source))
