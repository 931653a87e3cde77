"""Sources of weights: those that a file stores, or a model whose values are sampled."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

from initcli.checkpoint import Checkpoint, Subject
from initcli.model import Model
from initcli.sources.load import load
from initcli.sources.pairing import paired
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
    if stored is None or (stored.has_model and sample):
        return load(source, **options)
    return paired(load(source, **options), stored) if stored.has_model else stored


def subject_of(source: str | PathLike[str] | Subject) -> Subject:
    """The source, loaded if it is a path or names code, see :func:`subject`."""
    return source if isinstance(source, Model | Checkpoint) else subject(fspath(source))
