"""I604: rows of a stored tensor that are identical."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from initcli.checks.base import Finding
from initcli.checks.values import Held, ValueCheck, Values
from initcli.sampling.chunks import CHUNK
from initcli.stored import StoredTensor

_LEAST_BYTES = 32
"""Minimum size of a row, in bytes, that does not repeat by chance: random values of any float
dtype have at least 3 random bits in 8, so among a million rows two are equal once in 10¹⁷ tensors.
"""


class IdenticalRows(ValueCheck):
    """Rows of a stored tensor, such as those of tokens or experts, are identical.

    ## What it does
    Compares the slices along the first axis of each kernel: tokens of an embedding, units of a
    PyTorch matrix, experts of a packed tensor. Constant rows, such as padding, are skipped.

    ## Why is this bad
    The model cannot distinguish tokens with the same vector, and experts with the same weights act
    as one expert. Typical causes are added rows that were filled with the mean, and a shard that
    was written twice.

    ## Reported
    ```python
    rows = np.random.default_rng(0).normal(0, 0.02, (30, 16))
    tensors["embed.weight"] = np.concatenate([rows, rows[:2]])
    ```

    ## Not reported
    ```python
    tensors["embed.weight"] = np.random.default_rng(0).normal(0, 0.02, (32, 16))
    ```

    ## Use instead
    Random values for each row, such as the mean plus noise for added tokens.

    ## References
    - Hewitt 2021, Initializing new word embeddings for pretrained language models
    - Komatsuzaki et al. 2022, Sparse upcycling, arXiv:2212.05055: experts that start as copies
    """

    code = "I604"
    name = "identical-rows"
    severity = "warning"

    def findings_of(self, values: Values) -> Iterator[Finding]:
        for tensor in values.tensors:
            if not tensor.is_kernel or tensor.measured.min >= tensor.measured.max:
                continue
            repeated = [count for count in Counter(_rows(tensor)).values() if count > 1]
            if repeated:
                rows = f"{sum(repeated):,} of {tensor.stored.shape[0]:,} rows"
                kinds = "are the same row" if len(repeated) == 1 else f"are {len(repeated):,} rows"
                yield self.finding_of(
                    values,
                    tensor,
                    f"{rows} of {tensor.path} {kinds}, repeated bit by bit",
                    "fill each row with its own random values",
                )


def _rows(tensor: Held) -> Iterator[int]:
    """A hash of each row that is not constant, if rows are too long to repeat by chance."""
    stored = tensor.stored
    rows = stored.shape[0] if len(stored.shape) > 1 else 0
    width = math.prod(stored.shape[1:])
    if rows < 2 or stored.bytes < rows * _LEAST_BYTES:
        return
    if width > CHUNK:
        yield from filter(None, (_long_row(stored, row * width, width) for row in range(rows)))
        return
    step = CHUNK // width
    for start in range(0, rows, step):
        block = stored.read(start * width, min(start + step, rows) * width).reshape(-1, width)
        varied = block[(block != block[:, :1]).any(axis=1)]
        yield from (hash(row.tobytes()) for row in np.ascontiguousarray(varied))


def _long_row(stored: StoredTensor, start: int, width: int) -> int:
    """A hash of a row that is longer than a chunk; 0 if the row is constant."""
    low, high, hashes = math.inf, -math.inf, []
    for first in range(start, start + width, CHUNK):
        piece = stored.read(first, min(first + CHUNK, start + width))
        low, high = min(low, float(piece.min())), max(high, float(piece.max()))
        hashes.append(hash(piece.tobytes()))
    return hash(tuple(hashes)) if low < high else 0
