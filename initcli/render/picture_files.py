"""Pictures as files: Matplotlib's figures, and pixels as PNG.

The same picture gives the same file, and text stays text.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""A picture: rows of red, green and blue pixels."""

_SAME: Any = {"svg.fonttype": "none", "svg.hashsalt": "initcli", "pdf.fonttype": 42}
_UNDATED: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def figure_file(figure: Figure, kind: str, dpi: float | None = None) -> bytes:
    """A figure as a PNG, SVG or PDF file; ``dpi`` is the resolution of PNG."""
    stream = io.BytesIO()
    with rc_context(_SAME), missing_glyphs_are_boxes():
        figure.savefig(stream, format=kind, dpi=dpi or "figure", metadata=_UNDATED.get(kind))
    return stream.getvalue()


@contextmanager
def missing_glyphs_are_boxes() -> Iterator[None]:
    """Suppress warnings about characters that the font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def png(pixels: Pixels, dpi: int) -> bytes:
    """A picture as a PNG (ISO/IEC 15948), with the filter "none".

    Pillow tries every filter on every row, which takes twice as long as the compression and makes
    these pictures no smaller.
    """

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    dots = round(dpi / 0.0254)  # a meter
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
            chunk(b"pHYs", struct.pack(">2IB", dots, dots, 1)),
            chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)),
            chunk(b"IEND", b""),
        )
    )
