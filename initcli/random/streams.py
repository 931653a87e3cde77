"""Streams: the reproducible random bits of one parameter.

A stream is known by a key, a text made of the seed and the parameter's path, or of an
initializer's own seed alone. Chunk number k of a stream has a generator of its own, so that
chunks can be drawn in any order, in any process, on any machine, and give the same bits.
"""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np


class Stream(msgspec.Struct, frozen=True):
    """The random bits that belong to ``key``."""

    key: str

    def generator(self, chunk: int = 0) -> np.random.Generator:
        """The generator of one chunk: SFC64, seeded with the BLAKE2b hash of key and number."""
        digest = hashlib.blake2b(f"{self.key}\0{chunk}".encode(), digest_size=32).digest()
        seed = np.random.SeedSequence(int.from_bytes(digest, "little"))
        return np.random.Generator(np.random.SFC64(seed))


def parameter_stream(seed: int, path: str) -> Stream:
    """The stream of the parameter at ``path`` in a model of that seed."""
    return Stream(f"initcli 1\0parameter\0{seed}\0{path}")


def seeded_stream(seed: int) -> Stream:
    """The stream of every initializer that was given this seed of its own."""
    return Stream(f"initcli 1\0initializer\0{seed}")
