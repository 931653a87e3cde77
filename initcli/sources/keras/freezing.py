"""Which ``trainable: false`` of a Keras file reaches weights once Keras has read the file.

In a spec a layer that is not trainable freezes all that it holds. Keras's ``from_config`` does not:

- A network's own flag is written down but not applied, except that of an outermost Functional
  model in Keras 3. Freezing a network writes the flag of every layer in it as well.
- Keras 3: a weight has a flag of its own, which it gets from the layer that makes it. What a layer
  hands to layers within it says nothing (``Layer.trainable``, ``Layer._track_variable``).
- Keras 2 within TensorFlow: a layer that is not trainable hides all that it holds.
- Keras 2.1.4 to 2.3.1: so does it here, but TimeDistributed and Bidirectional set the flags of what
  they hold to their own; before 2.1.4 their own flag says nothing.
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
    """How one generation of Keras applies the flags of a file."""

    of_networks: bool
    """Whether the outermost Functional model freezes what it holds."""
    of_holders: bool
    """Whether layers freeze layers that they hold, other than by setting their flags."""
    of_wrappers: bool
    """Whether TimeDistributed and Bidirectional freeze what they hold."""
    sets_flags: bool
    """Whether those two set the flags of what they hold."""

    def of_network(self, config: Mapping[str, Any], is_outermost: bool) -> dict[str, Any]:
        """The flag of a network that counts, if it does."""
        given = config.get("trainable")
        counts = is_outermost and self.of_networks and "input_layers" in config
        return {"trainable": False} if counts and given is not None and not truth(given) else {}

    def counts(self, cls: type[Layer]) -> bool:
        """Whether a layer's own flag reaches weights."""
        wraps = issubclass(cls, _WRAPPERS)
        return self.of_wrappers if wraps else self.of_holders or not cls.holds_layers

    def of_layer(self, cls: type[Layer], found: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a layer with only those flags, its own and below it, that count."""
        wraps = issubclass(cls, _WRAPPERS)
        kept = self.counts(cls)
        own = {key: value for key, value in found.items() if kept or key != "trainable"}
        if wraps and self.sets_flags:
            for argument in ("layer", "backward_layer"):
                if isinstance(inner := own.get(argument), dict):
                    own[argument] = {k: v for k, v in inner.items() if k != "trainable"}
        return own


def seems_frozen(found: Mapping[str, Any]) -> bool:
    """Whether a layer says that it is not trainable, and a layer that it holds is trained."""
    held = _held(found)
    return found.get("trainable") is False and not (held and all(map(_is_frozen, held)))


def _is_frozen(entry: Any) -> bool:
    """Whether no flag that counts leaves anything in an entry to be trained."""
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
    """How that version of Keras applies the flags of a file that it reads."""
    if not version.is_old:
        return _KERAS_3
    if version.maker != "keras":
        return _TENSORFLOW
    return _KERAS_2 if version.numbers >= (2, 1, 4) else _KERAS_20
