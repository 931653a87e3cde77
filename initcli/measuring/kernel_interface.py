"""What compiled kernels take: known where they are made, and where they are called."""

from __future__ import annotations

from initcli.measuring.sums import ROW
from initcli.sampling.chunks import CHUNK

SIGNATURES = {
    "measure": "iiiidffiiiiii",
    "measure_stored": "idffiiiiii",
    "count_patterns": "iii",
}
"""Arguments of each kernel: ``i`` is an int64, an address too, ``f`` a float32, ``d`` a float64."""

UNIFORM, NORMAL, TRUNCATED = range(3)
"""Kinds of distributions."""
TOGETHER = 8
"""Generators whose steps are taken side by side."""
TABLES = 4
"""Tables of counts that are filled by turns."""
COLUMNS = 6 * ROW
"""Words of 64 bits of scratch memory for what is measured of a chunk by columns."""


def scratch_words(spares: int) -> int:
    """Words of 64 bits of scratch memory, where chunks draw so many spare numbers."""
    return COLUMNS + (TOGETHER + 1) * ((CHUNK + spares + 1) // 2)
