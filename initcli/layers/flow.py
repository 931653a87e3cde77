"""What a layer computes with, beside its inputs: arrays' functions, its weights, random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from initcli.types import Array

Mask = Array | None
"""Which steps of a tensor are there, as booleans; None where all of them are."""


def as_mask(xp: Any, x: Array) -> Array:
    """A tensor as a mask: True where it is not 0."""
    return xp.constant(x) != 0


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One call of one layer.

    ``xp`` is the array namespace (:mod:`initcli.signal.arrays`), ``weights`` are the layer's by
    name, ``key`` tells the call's random numbers from those of others.

    A mask is an array of booleans that is False at the steps that are absent. ``masks`` are those
    that the inputs carry, one for each input; ``given_masks`` those that the call names.
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
        """The mask of a layer that takes one: what the call names, or what its input carries.

        As in Keras 3, what is called on several tensors takes none by itself.
        """
        own = self.masks[0] if len(self.masks) == 1 else None
        return self.given_masks.get("mask", own)

    @property
    def has_masks(self) -> bool:
        """Whether there is any mask."""
        return bool(self.given_masks) or any(mask is not None for mask in self.masks)

    @property
    def passed_mask(self) -> Mask:
        """The mask that passes on: what the call names, or what the first input carries."""
        return self.given_masks.get("mask", self.masks[0] if self.masks else None)

    def within(
        self,
        name: str,
        masks: tuple[Mask, ...] = (),
        given_masks: Mapping[str, Array] | None = None,
    ) -> Flow:
        """The call of a layer within, whose weights stand under that name, with its own masks."""
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
        """A NumPy generator: every time the same for the same call and purpose."""
        from initcli.random.streams import Stream

        key = self.key if seed is None else f"seed {seed}"
        return Stream(f"initcli 1\0noise\0{key}\0{purpose}").generator()
