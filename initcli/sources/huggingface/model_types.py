"""What the library says of its model types: names of classes, defaults, other names of keys.

``model_types.json`` is written by ``tests/reference/make_huggingface_model_types.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec


class Part(msgspec.Struct, frozen=True):
    """What the library says of a part that has a configuration of its own."""

    model_type: str
    """Its model type, where its configuration does not say another."""
    is_fixed: bool = False
    """Whether what its configuration says of the model type is ignored."""
    is_optional: bool = False
    """Whether the part is left out where it has no configuration."""
    given: Mapping[str, Any] = {}
    """Its configuration where there is none."""


class ModelType(msgspec.Struct, frozen=True):
    """What the library says of one ``model_type``."""

    classes: tuple[str, ...] = ()
    """The names of the classes, that of the bare model first."""
    defaults: Mapping[str, Any] = {}
    """The defaults of keys, but those that are null or false."""
    aliases: Mapping[str, str] = {}
    """Other names that the library takes for keys, and the keys."""
    parts: Mapping[str, Part] = {}
    """The parts, by the keys under which their configurations stand."""


@cache
def known_model_types() -> Mapping[str, ModelType]:
    """What the library says, by model type."""
    text = Path(__file__).with_name("model_types.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, ModelType])
