"""The sum of a chunk, in an order that NumPy and compiled kernels share."""

from __future__ import annotations

import math

import numpy as np

from initcli.random.standard_normal import Floats
from initcli.sampling.chunks import CHUNK

ROW = 1024
"""Entries of the rows that are added up first."""
LANES = 32
"""Entries of the rows that are added up next; the last row is summed exactly."""


def total(values: Floats) -> float:
    """The sum of the values, rounded as of any array unless they are a whole chunk."""
    if values.size != CHUNK:
        return float(values.sum())
    row = np.add.reduce(values.reshape(-1, ROW), axis=0)
    return math.fsum(np.add.reduce(row.reshape(-1, LANES), axis=0).tolist())
