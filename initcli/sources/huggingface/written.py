"""Configurations as specs to edit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from initcli.model import Model
from initcli.sources.huggingface.model import spec_of

_WIDTH = 2**20


def spec_text(model: Model) -> str:
    """The YAML of what a described model computes, one layer a line, the notes before it.

    Raises:
        SignalError: no layer describes a part of the model.
    """
    spec, notes, placeholders = spec_of(model)
    lines = [f"# {note}" for note in (*notes, *placeholders)]
    lines += [f"{key}: {_flow(value)}" for key, value in spec.items() if key != "layers"]
    return "\n".join([*lines, "layers:", *_entries(spec["layers"], "  ")]) + "\n"


def _entries(entries: list[dict[str, Any]], indent: str) -> Iterator[str]:
    for entry in entries:
        if "layers" not in entry:
            yield f"{indent}- {_flow(entry)}"
            continue
        yield f"{indent}- name: {_flow(entry['name'])}"
        yield f"{indent}  repeat: {entry['repeat']}"
        yield f"{indent}  layers:"
        yield from _entries(entry["layers"], f"{indent}    ")


def _flow(value: Any) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=_WIDTH)
    return dumped.removesuffix("\n").removesuffix("\n...")
