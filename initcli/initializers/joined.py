"""Several initializers side by side: a bias by gates, or a kernel one gate at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from initcli.initializers.base import Fans, Initializer, Whole
from initcli.initializers.constant import Ones
from initcli.laws import Floats, Law, Mixture
from initcli.types import Size


class Joined(Whole, frozen=True, kw_only=True):
    """The last axis cut into parts that are filled apart.

    ``parts`` are the initializers and ``sizes`` what each takes of the last axis. A person named
    the first; ``remark`` says in a word what became of it.
    """

    spoken = False

    parts: tuple[Initializer, ...]
    sizes: tuple[int, ...]
    remark: str

    counts_fans = True

    def fans(self, shape: Size) -> Fans:
        """The fans of the first part."""
        return self.parts[0].fans((*shape[:-1], self.sizes[0]))

    def law(self, shape: Size) -> Law | None:
        """The mixture of the parts' laws, each as probable as its share of the last axis."""
        weights: dict[Law, int] = {}
        for part, size in zip(self.parts, self.sizes, strict=True):
            law = part.law((*shape[:-1], size))
            if law is None:
                return None
            weights[law] = weights.get(law, 0) + size
        if len(weights) == 1:
            return next(iter(weights))
        total = sum(self.sizes)
        return Mixture(tuple(size / total for size in weights.values()), tuple(weights))

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        made = [
            whole(part, (*shape[:-1], size), rng, dtype)
            for part, size in zip(self.parts, self.sizes, strict=True)
        ]
        return np.concatenate(made, axis=-1)

    @property
    def arguments(self) -> dict[str, Any]:
        return {**self.parts[0].arguments, self.remark: True}

    @property
    def type_name(self) -> str:
        return self.parts[0].type_name


def whole(
    initializer: Initializer, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]
) -> Floats:
    """A tensor of that shape from one generator, whichever way the initializer fills."""
    if isinstance(initializer, Whole):
        return initializer.tensor(shape, rng, dtype)
    out = np.empty(int(np.prod(shape)), dtype)
    initializer.fill(out, 0, shape, rng)
    return out.reshape(shape)


def unit_forget_bias(initializer: Initializer, units: int) -> Joined:
    """The bias of an LSTM, by the gates input, forget, cell and output: Ones for the second.

    Jozefowicz et al. 2015; Keras fills the last two gates together.
    """
    return Joined(
        parts=(initializer, Ones(), initializer),
        sizes=(units, units, 2 * units),
        remark="unit_forget_bias",
        seed=getattr(initializer, "seed", None),
    )


def per_gate(initializer: Initializer, gates: int, units: int) -> Joined:
    """One matrix for each gate, drawn apart."""
    return Joined(
        parts=(initializer,) * gates,
        sizes=(units,) * gates,
        remark="per_gate",
        seed=getattr(initializer, "seed", None),
    )
