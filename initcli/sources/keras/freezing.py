"""Which ``trainable: false`` in a Keras file freezes weights once Keras has read the file.

In a spec, a layer that is not trainable freezes all that it holds. ``from_config`` differs:

- A network's flag is saved but not applied, except for an outermost Functional model in Keras 3.
  Freezing a network also saves the flag of every layer in it.
- Keras 3: each weight takes its flag from the layer that creates it. A layer's flag does not reach
  the layers within it (``Layer.trainable``, ``Layer._track_variable``).
- Keras 2 in TensorFlow: a layer that is not trainable freezes all that it holds.
- Keras 2.1.4 to 2.3.1: likewise, but TimeDistributed and Bidirectional overwrite the flags of the
  layers they hold; before 2.1.4 the flag of these two has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from initcli.layers import Layer
from initcli.layers.wrappers import Bidirectional, TimeDistributed
from initcli.sources.keras.values import truth
from initcli.sources.keras.versions import Version

_WRAPPERS = (TimeDistributed, Bidirectional)


class Freezing(NamedTuple):
    """How one generation of Keras applies the flags in a file."""

    of_networks: bool
    """Whether the outermost Functional model freezes its layers."""
    of_holders: bool
    """Whether layers freeze the layers that they hold."""
    of_wrappers: bool
    """Whether TimeDistributed and Bidirectional do."""
    sets_flags: bool
    """Whether those two overwrite the flags of the layers that they hold."""

    def of_network(self, config: Mapping[str, Any], is_outermost: bool) -> dict[str, Any]:
        """The flag of a network, if it has an effect."""
        given = config.get("trainable")
        counts = is_outermost and self.of_networks and "input_layers" in config
        return {"trainable": False} if counts and given is not None and not truth(given) else {}

    def counts(self, cls: type[Layer]) -> bool:
        """Whether a layer's flag has an effect."""
        wraps = issubclass(cls, _WRAPPERS)
        return self.of_wrappers if wraps else self.of_holders or not cls.holds_layers

    def of_layer(self, cls: type[Layer], found: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a layer without the flags that have no effect."""
        wraps = issubclass(cls, _WRAPPERS)
        kept = self.counts(cls)
        own = {key: value for key, value in found.items() if kept or key != "trainable"}
        if wraps and self.sets_flags:
            for argument in ("layer", "backward_layer"):
                if isinstance(inner := own.get(argument), dict):
                    own[argument] = {k: v for k, v in inner.items() if k != "trainable"}
        return own


def seems_frozen(found: Mapping[str, Any]) -> bool:
    """Whether a layer is not trainable but holds a layer that is."""
    held = _held(found)
    return found.get("trainable") is False and not (held and all(map(_is_frozen, held)))


def _is_frozen(entry: Any) -> bool:
    """Whether nothing in an entry is trained."""
    if not isinstance(entry, Mapping) or entry.get("type") in (None, "Input"):
        return True
    held = _held(entry)
    return entry.get("trainable") is False or (bool(held) and all(map(_is_frozen, held)))


def _held(entry: Mapping[str, Any]) -> list[Any]:
    """The layers within an entry."""
    held = map(entry.get, ("layer", "backward_layer", "cell", "cells", "layers"))
    return [e for some in held for e in (some if isinstance(some, list) else [some]) if e]


_KERAS_3 = Freezing(True, False, False, False)
_TENSORFLOW = Freezing(False, True, True, False)
_KERAS_2 = Freezing(False, True, True, True)
_KERAS_20 = Freezing(False, True, False, False)


def freezing_of(version: Version) -> Freezing:
    """How that version of Keras applies the flags in a file."""
    if not version.is_old:
        return _KERAS_3
    if version.maker != "keras":
        return _TENSORFLOW
    return _KERAS_2 if version.numbers >= (2, 1, 4) else _KERAS_20
