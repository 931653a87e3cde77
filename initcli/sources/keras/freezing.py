"""The effect of ``trainable: false`` in a Keras file on weights after Keras loads the file.

In a spec, a layer that is not trainable freezes all layers in it. ``from_config`` differs:

- A network's flag is saved but not applied, except for an outermost Functional model in Keras 3.
  Freezing a network also saves the flag of every layer in it.
- Keras 3: each weight takes its flag from the layer that creates it. A layer's flag does not apply
  to the layers inside it (``Layer.trainable``, ``Layer._track_variable``).
- Keras 2 in TensorFlow: a layer that is not trainable freezes all layers in it.
- Keras 2.1.4 to 2.3.1: the same, but TimeDistributed and Bidirectional overwrite the flags of the
  layers inside them; before 2.1.4 the flag of these two has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from initcli.layers import Layer
from initcli.layers.wrappers import Bidirectional, TimeDistributed
from initcli.sources.keras.values import truth
from initcli.sources.keras.versions import Version

_WRAPPERS = (TimeDistributed, Bidirectional)


def of_network(version: Version, config: Mapping[str, Any], is_outermost: bool) -> dict[str, Any]:
    """The flag of a network, if it has an effect."""
    given = config.get("trainable")
    counts = is_outermost and not version.is_old and "input_layers" in config
    return {"trainable": False} if counts and given is not None and not truth(given) else {}


def counts(version: Version, cls: type[Layer]) -> bool:
    """Whether a layer's flag has an effect."""
    if issubclass(cls, _WRAPPERS):
        is_late = version.maker != "keras" or version.numbers >= (2, 1, 4)
        return version.is_old and is_late
    return version.is_old or not cls.holds_layers


def of_layer(version: Version, cls: type[Layer], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a layer without the flags that have no effect."""
    own = dict(arguments)
    if not counts(version, cls):
        own.pop("trainable", None)
    elif issubclass(cls, _WRAPPERS) and version.maker == "keras":
        for argument in ("layer", "backward_layer"):
            if isinstance(inner := own.get(argument), dict):
                own[argument] = {k: v for k, v in inner.items() if k != "trainable"}
    return own


def seems_frozen(arguments: Mapping[str, Any]) -> bool:
    """Whether a layer is not trainable but contains a layer that is."""
    held = _held(arguments)
    return arguments.get("trainable") is False and not (held and all(map(_is_frozen, held)))


def _is_frozen(entry: Any) -> bool:
    if not isinstance(entry, Mapping) or entry.get("type") in (None, "Input"):
        return True
    held = _held(entry)
    return entry.get("trainable") is False or (bool(held) and all(map(_is_frozen, held)))


def _held(entry: Mapping[str, Any]) -> list[Any]:
    held = map(entry.get, ("layer", "backward_layer", "cell", "cells", "layers"))
    return [e for some in held for e in (some if isinstance(some, list) else [some]) if e]
