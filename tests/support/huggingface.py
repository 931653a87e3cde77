"""The tensors of a model as lines, the same for a recorded and for a described one; folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import initcli
from initcli.distributions import Empirical
from initcli.initializers import Initializer
from initcli.initializers.given import Parts
from initcli.model import BuiltLayer
from initcli.types import Size


def lines(layers: Iterable[BuiltLayer], notes: Iterable[str]) -> list[str]:
    """One line for each tensor and for each tie, in alphabetic order."""
    ties = (note for note in notes if note.endswith("one tensor with two names"))
    return sorted([*_tensors(layers), *ties])


def save(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> Path:
    """Write a folder with a configuration and its tensors, as ``save_pretrained`` does."""
    entries, end = {}, 0
    for name, array in tensors.items():
        entries[name] = {
            "dtype": "F32",
            "shape": array.shape,
            "data_offsets": [end, end + 4 * array.size],
        }
        end += 4 * array.size
    header = json.dumps(entries).encode()
    values = b"".join(np.ascontiguousarray(each, "<f4").tobytes() for each in tensors.values())
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + values)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def drawn(config: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a configuration as they start, by their names in memory."""
    model = initcli.parse(json.dumps(config), file="config.json")
    return {each.path: initcli.draw(each) for each in model.parameters}


def digest(listed: Iterable[str]) -> str:
    """A digest of lines."""
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()[:16]


def _tensors(layers: Iterable[BuiltLayer]) -> Iterator[str]:
    for layer in layers:
        for each in layer.parameters:
            frozen = "" if each.trainable else " buffer"
            filled = _filled(each.initializer, each.shape)
            yield f"{each.path} {list(each.shape)} {filled}{frozen}"


def _filled(initializer: Initializer, shape: Size) -> str:
    if isinstance(initializer, Parts):
        parts = (
            f"{list(each.starts)}-{list(each.stops)} {_filled(each.initializer, each.shape)}"
            for each in initializer.visible
        )
        return "; ".join(parts)
    distribution = initializer.distribution_for(shape)
    if distribution is None:
        return str(initializer).partition(":")[0]
    if isinstance(distribution, Empirical):
        values = np.array(distribution.values)
        return f"{len(values)} values, mean {values.mean():.4g}, std {values.std():.4g}"
    arguments = (
        f"{float(each):.6g}" if isinstance(each, float | int) else str(each)
        for each in msgspec.structs.astuple(distribution)
    )
    return f"{type(distribution).__name__}({', '.join(arguments)})"
