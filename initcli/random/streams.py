"""Streams: the reproducible random bits of a parameter.

The key of a stream is made of the model's seed and the parameter's path, or of an initializer's own
seed. Each chunk has its own generator, so that chunks drawn in any order, process or machine give
the same bits.
"""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np


class Stream(msgspec.Struct, frozen=True):
    """The random bits of a key."""

    key: str

    def generator(self, chunk: int = 0) -> np.random.Generator:
        """The generator of a chunk: SFC64, seeded with its entropy."""
        seed = np.random.SeedSequence(int.from_bytes(self.entropy(chunk), "little"))
        return np.random.Generator(np.random.SFC64(seed))

    def entropy(self, chunk: int) -> bytes:
        """The BLAKE2b hash of the key and the number of a chunk."""
        return hashlib.blake2b(f"{self.key}\0{chunk}".encode(), digest_size=32).digest()


def parameter_stream(seed: int, path: str) -> Stream:
    """The stream of the parameter at ``path`` of a model with that seed."""
    return Stream(f"initcli 1\0parameter\0{seed}\0{path}")


def seeded_stream(seed: int) -> Stream:
    """The stream of an initializer with its own seed."""
    return Stream(f"initcli 1\0initializer\0{seed}")
