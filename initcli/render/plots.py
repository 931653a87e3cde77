"""Histograms as pictures: one a tensor, and a small one of it for an overview.

Drawn with Matplotlib's ``Figure`` on Agg, never with pyplot, which needs a screen and keeps state.
To make a figure with its axes takes twice as long as to draw it, so there are two for good, a large
and a small one, whose artists are given new data for every tensor.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from initcli.errors import printable
from initcli.histogram import Histogram
from initcli.laws import Floats, Law
from initcli.measuring import Measurement
from initcli.parameter import Parameter
from initcli.types import shape_text

DRAWN = "#5b8db8"
LAW = "#c8432b"
GREY = "#555555"
DPI = 100
_FEW = 2
"""Atoms up to which a law without density is drawn as one bar an atom."""

Pixels = NDArray[np.uint8]
"""A picture: rows of pixels of red, green and blue."""


@dataclass(frozen=True)
class TensorPicture:
    """What a picture shows of one tensor: all of it is text and numbers."""

    path: str
    shape: str
    facts: tuple[str, ...]
    law: Law | None
    histogram: Histogram

    @classmethod
    def of(cls, parameter: Parameter, measured: Measurement, histogram: Histogram) -> TensorPicture:
        """The picture of a tensor that was measured, with a histogram of it."""
        law = parameter.law
        facts = (
            str(parameter.initializer),
            law.text if law else "law not known",
            f"n = {measured.count:,}",
            f"mean {measured.mean:.4g}",
            f"std {measured.std:.4g}",
        )
        return cls(parameter.path, shape_text(parameter.shape), facts, law, histogram)


def tensor_png(picture: TensorPicture) -> bytes:
    """The histogram of one tensor with its law drawn over it, as a PNG 720 pixels wide."""
    title = wrap(printable(f"{picture.path}  {picture.shape}"), 62)
    # Lines break between two facts, and not within one.
    facts = (printable(fact).replace(" ", "\N{NO-BREAK SPACE}") for fact in picture.facts)
    caption = wrap(" · ".join(facts), 100)
    return png(_sheet(small=False).pixels(picture, title, caption))


def tensor_cell(picture: TensorPicture) -> Pixels:
    """The histogram of one tensor in a picture of 420 × 210 pixels."""
    text = printable(picture.path)
    title = text if len(text) <= 45 else f"{text[:20]}…{text[-24:]}"
    law = picture.law.text if picture.law else "law not known"
    return _sheet(small=True).pixels(picture, [title], [law])


def tiled(rows: Sequence[Sequence[Pixels]]) -> Pixels:
    """Rows of pictures of one size in one picture, white where there is none."""
    height, width, _ = rows[0][0].shape
    page = np.full((height * len(rows), width * max(map(len, rows)), 3), 255, np.uint8)
    for line, row in enumerate(rows):
        for column, cell in enumerate(row):
            top, left = line * height, column * width
            page[top : top + height, left : left + width] = cell
    return page


def png(pixels: Pixels) -> bytes:
    """A picture as a PNG."""
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    image.save(stream, format="png", compress_level=1, dpi=(DPI, DPI))
    return stream.getvalue()


@dataclass(frozen=True)
class _Layout:
    """Where things are on a sheet, in inches, and how large its letters are, in points."""

    width: float
    height: float
    left: float
    bottom: float
    axes_width: float
    axes_height: float
    title: int
    caption: int
    ticks: int


_LARGE = _Layout(7.2, 4.4, 0.75, 0.55, 6.25, 3.7, title=12, caption=8, ticks=10)
_SMALL = _Layout(4.2, 2.1, 0.5, 0.36, 3.55, 1.29, title=9, caption=7, ticks=7)


@cache
def _sheet(*, small: bool) -> _Sheet:
    return _Sheet(_SMALL if small else _LARGE)


class _Sheet:
    """A figure with one pair of axes, drawn again and again."""

    def __init__(self, layout: _Layout) -> None:
        self.layout = layout
        self.figure = Figure(dpi=DPI)
        self.canvas: Any = FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.bars = self.axes.stairs([0], [0, 1], fill=True, color=DRAWN)
        (self.curve,) = self.axes.plot([], [], color=LAW, linewidth=1.5)
        (self.marks,) = self.axes.plot([], [], "_", color=LAW, markersize=14, mew=1.5)
        self.title = self._text(layout.title)
        self.caption = self._text(layout.caption, color=GREY)
        self.axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        self.axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        self.axes.spines[["top", "right"]].set_visible(False)
        self.axes.tick_params(labelsize=layout.ticks)
        self.axes.xaxis.get_offset_text().set_fontsize(layout.ticks)
        self.law_key: Text | None = None
        if layout is _LARGE:
            # Labels that have a place of their own need not look for one around the ticks.
            self.axes.set_xlabel("weight")
            self.axes.xaxis.set_label_coords(0.5, -0.085)
            self.axes.set_ylabel("entries")
            self.axes.yaxis.set_label_coords(-0.085, 0.5)
            # Under the axes, where no bar can hide it; a legend of Matplotlib's takes 6 ms a time.
            under: dict[str, Any] = {"fontsize": 8, "transform": self.axes.transAxes}
            self.axes.text(0.0, -0.13, "■ drawn", color=DRAWN, **under)
            self.law_key = self.axes.text(0.1, -0.13, "— law", color=LAW, **under)

    def pixels(self, picture: TensorPicture, title: list[str], caption: list[str]) -> Pixels:
        """Draw a tensor under a title and a caption, each of some lines."""
        layout = self.layout
        large = layout is _LARGE
        height = layout.height + (0.22 * len(title) + 0.15 * len(caption) if large else 0)
        self.figure.set_size_inches(layout.width, height)
        left, width = layout.left / layout.width, layout.axes_width / layout.width
        self.axes.set_position((left, layout.bottom / height, width, layout.axes_height / height))
        self.title.set_text("\n".join(title))
        self.caption.set_text("\n".join(caption))
        self.caption.set_position((0, 6 if large else 4))
        self.title.set_position((0, 10 + 11 * len(caption) if large else 14))
        self._show(picture)
        # Letters that are bent to the pixels take a fifth of a picture's time.
        with rc_context({"text.hinting": "none"}), warnings.catch_warnings():
            # A name in a script that the font has not is drawn as boxes; its file has the name.
            warnings.filterwarnings("ignore", message="Glyph")
            self.canvas.draw()
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()

    def _show(self, picture: TensorPicture) -> None:
        histogram, law = picture.histogram, picture.law
        edges, counts = histogram.edges, histogram.counts
        low, high = float(edges[0]), float(edges[-1])
        width = (high - low) / counts.size
        seen = int(counts.sum())
        # A density times this is in entries per bin, and lies on the bars.
        per_bin = seen * width
        atoms = {} if law is None else law.atoms
        certain = sum(atoms.values()) == 1
        few = 0 < len(atoms) <= _FEW
        none = np.array([])
        curve, marks = (none, none), (none, none)
        if counts.size == 1 or (few and certain):
            filled = np.flatnonzero(counts)
            middles = (edges[:-1] + edges[1:]) / 2
            places = np.array([_nearest(float(middles[i]), atoms, width) for i in filled])
            self._bars(places, counts[filled], (high - low) / 40)
        else:
            self.bars.set_data(counts, edges)
            if law is not None and not certain:
                x = np.linspace(low, high, 400)
                curve = (x, law.pdf(x) * per_bin)
        if law is not None and few:
            values = np.array(list(atoms))
            marks = (values, np.array(list(atoms.values())) * seen + law.pdf(values) * per_bin)
        self.curve.set_data(*curve)
        self.marks.set_data(*marks)
        if self.law_key is not None:
            self.law_key.set_visible(bool(curve[0].size or marks[0].size))
        # A law without an end at a bin's edge has an infinite density there.
        heights = np.concatenate([counts, curve[1], marks[1]])
        top = float(heights[np.isfinite(heights)].max())
        margin = 0 if counts.size == 1 else 0.05 * (high - low)
        self.axes.set_xlim(low - margin, high + margin)
        self.axes.set_ylim(0, 1.05 * top)

    def _bars(self, places: Floats, counts: Any, width: float) -> None:
        """A bar at every place, and nothing between two of them."""
        ends = np.stack([places - width / 2, places + width / 2], axis=1).ravel()
        heights = np.zeros(ends.size - 1)
        heights[::2] = counts
        self.bars.set_data(heights, np.maximum.accumulate(ends))

    def _text(self, size: int, **style: Any) -> Any:
        """Lines of text that begin at the left end of the axes, some points over them."""
        return self.axes.annotate(
            "",
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 0),
            textcoords="offset points",
            verticalalignment="bottom",
            linespacing=1.1,
            fontsize=size,
            # Names are a person's own: a dollar sign in them is no formula.
            parse_math=False,
            **style,
        )


def _nearest(middle: float, atoms: dict[float, float], width: float) -> float:
    """The atom that a bin holds, or else its middle."""
    atom = min(atoms, key=lambda value: abs(value - middle), default=middle)
    return atom if abs(atom - middle) <= width else middle
