"""The context of a call: array functions, weights, masks and random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from initcli.types import Array

Mask = Array | None
"""Valid steps of a tensor as booleans; None if all are valid."""


def as_mask(xp: Any, x: Array) -> Array:
    """A mask that is True where the tensor is not 0."""
    return xp.constant(x) != 0


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One call of one layer.

    ``xp`` is the array namespace (:mod:`initcli.signal.arrays`), ``weights`` the layer's weights
    by name, and ``key`` identifies the random numbers of the call.

    A mask is a boolean array, False at masked steps. ``masks`` are those that the inputs carry,
    one for each; ``given_masks`` are those that the call names.
    """

    xp: Any
    weights: Mapping[str, Array]
    key: str = ""
    training: bool = True
    masks: tuple[Mask, ...] = ()
    given_masks: Mapping[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        return self.weights[name]

    def __contains__(self, name: str) -> bool:
        return name in self.weights

    @property
    def mask(self) -> Mask:
        """The mask argument: that of the call, or the one that the input carries.

        As in Keras 3, a call with several inputs takes none of theirs.
        """
        own = self.masks[0] if len(self.masks) == 1 else None
        return self.given_masks.get("mask", own)

    @property
    def has_masks(self) -> bool:
        """Whether there is any mask."""
        return bool(self.given_masks) or any(mask is not None for mask in self.masks)

    @property
    def passed_mask(self) -> Mask:
        """The mask that passes on: that of the call, or of the first input."""
        return self.given_masks.get("mask", self.masks[0] if self.masks else None)

    def within(
        self,
        name: str,
        masks: tuple[Mask, ...] = (),
        given_masks: Mapping[str, Array] | None = None,
    ) -> Flow:
        """The context of an inner layer, whose weights are under that name."""
        start = f"{name}/"
        inside = {
            path.removeprefix(start): value
            for path, value in self.weights.items()
            if path.startswith(start)
        }
        return msgspec.structs.replace(
            self,
            weights=inside,
            key=f"{self.key}/{name}",
            masks=masks,
            given_masks=given_masks or {},
        )

    def generator(self, purpose: str = "", seed: int | None = None) -> Any:
        """A NumPy generator, always the same for one call and purpose."""
        from initcli.random.streams import Stream

        key = self.key if seed is None else f"seed {seed}"
        return Stream(f"initcli 1\0noise\0{key}\0{purpose}").generator()
