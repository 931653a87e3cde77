"""What a layer computes with, beside its inputs: arrays' functions, its weights, random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from initcli.types import Array


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One call of one layer.

    ``np`` is the array namespace (:mod:`initcli.signal.arrays`), ``weights`` are the layer's by
    name, ``key`` tells the call's random numbers from those of others.
    """

    np: Any
    weights: Mapping[str, Array]
    key: str = ""
    training: bool = True

    def __getitem__(self, name: str) -> Array:
        return self.weights[name]

    def __contains__(self, name: str) -> bool:
        return name in self.weights

    def within(self, name: str) -> Flow:
        """The call of a layer within, whose weights stand under that name."""
        start = f"{name}/"
        inside = {
            path.removeprefix(start): value
            for path, value in self.weights.items()
            if path.startswith(start)
        }
        return msgspec.structs.replace(self, weights=inside, key=f"{self.key}/{name}")

    def generator(self, purpose: str = "", seed: int | None = None) -> Any:
        """A NumPy generator: every time the same for the same call and purpose."""
        from initcli.streams import Stream

        key = self.key if seed is None else f"seed {seed}"
        return Stream(f"initcli 1\0noise\0{key}\0{purpose}").generator()
