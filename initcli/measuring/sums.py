"""The sum of a chunk, in the same order in NumPy and in compiled kernels."""

from __future__ import annotations

import math

import numpy as np

from initcli.random.standard_normal import Floats
from initcli.sampling.chunks import CHUNK

ROW = 1024
"""Length of the rows that are summed first."""
LANES = 32
"""Length of the rows that are summed next; the last row is summed exactly."""


def total(values: Floats) -> float:
    """The sum of the values: in the shared order for a whole chunk, otherwise NumPy's."""
    if values.size != CHUNK:
        return float(values.sum())
    row = np.add.reduce(values.reshape(-1, ROW), axis=0)
    return math.fsum(np.add.reduce(row.reshape(-1, LANES), axis=0).tolist())
