"""The library's model types: names of classes, defaults, aliases of keys.

``model_types.json`` is written by ``tests/reference/make_huggingface_model_types.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec


class Part(msgspec.Struct, frozen=True):
    """A part with a configuration of its own."""

    model_type: str
    """Its model type, unless its configuration gives another."""
    is_fixed: bool = False
    """Whether a model type in its configuration is ignored."""
    is_optional: bool = False
    """Whether the model lacks the part if it has no configuration."""
    given: Mapping[str, Any] = {}
    """Its configuration if none is given."""


class ModelType(msgspec.Struct, frozen=True):
    """One ``model_type`` of the library."""

    classes: tuple[str, ...] = ()
    """The names of the classes, that of the bare model first."""
    defaults: Mapping[str, Any] = {}
    """The defaults of keys, except those that are null or false."""
    aliases: Mapping[str, str] = {}
    """Keys by their aliases."""
    parts: Mapping[str, Part] = {}
    """Parts by the key of their configuration."""


@cache
def known_model_types() -> Mapping[str, ModelType]:
    """All model types of the library by name."""
    text = Path(__file__).with_name("model_types.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, ModelType])
