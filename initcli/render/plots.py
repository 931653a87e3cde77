"""Histograms as pictures: one per tensor, and a small one for the overview.

Drawn with Matplotlib's ``Figure`` on Agg, never with pyplot, which keeps state. Creating a figure
takes twice as long as drawing it, so a large and a small one are reused for every tensor. A page of
the overview is composed of pixels, or drawn as one figure in a vector format.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from initcli.render.picture_files import Pixels, figure_file, missing_glyphs_are_boxes, png
from initcli.render.tensor_axes import (
    BAND,
    DISTRIBUTION,
    DRAWN,
    GREY,
    LARGE,
    SMALL,
    Layout,
    TensorAxes,
    TensorPicture,
)


@dataclass(frozen=True)
class Style:
    """Format and look of pictures.

    ``dpi`` is the resolution of PNG, ``log`` a logarithmic scale of entries, and ``same_scale`` a
    common axis of weights for all tensors.
    """

    format: Literal["png", "svg", "pdf"] = "png"
    dpi: int = 100
    log: bool = False
    same_scale: bool = False

    @property
    def is_vector(self) -> bool:
        """Whether the format is a vector format."""
        return self.format != "png"


def tensor_picture(picture: TensorPicture, style: Style) -> bytes:
    """The histogram of one tensor with its distribution over it, as a file 7.2 inches wide."""
    sheet = _sheet(small=False, log=style.log)
    sheet.show(picture)
    if style.is_vector:
        return figure_file(sheet.figure, style.format)
    return png(sheet.pixels(picture, style.dpi), style.dpi)


def tensor_cell(picture: TensorPicture, style: Style) -> bytes:
    """The histogram of one tensor for the overview as a PNG, 4.2 × 2.1 inches."""
    sheet = _sheet(small=True, log=style.log)
    sheet.show(picture)
    return png(sheet.pixels(picture, style.dpi), style.dpi)


@dataclass(frozen=True)
class OverviewTexts:
    """The texts of a page of the overview: a title, facts, a legend, and lines at the bottom.

    ``declared`` is whether the page has a distribution, ``shared`` whether several tensors share a
    panel of it.
    """

    title: str
    facts: str
    drawn: str
    declared: bool
    shared: bool
    lines: Sequence[str] = ()

    def on(self, figure: Figure, width: float, height: float) -> None:
        """Write the texts on a page of a size in inches."""

        def write(x: float, y: float, text: str, size: int, **style: Any) -> None:
            figure.text(x / width, y / height, text, fontsize=size, parse_math=False, **style)

        write(0.5, height - 0.3, self.title, 13, weight="bold")
        write(0.5, height - 0.52, self.facts, 8, color=GREY)
        write(0.5, height - 0.74, f"■ {self.drawn}", 8, color=DRAWN)
        if self.declared:
            write(1.2, height - 0.74, "— distribution", 8, color=DISTRIBUTION)
        if self.shared:
            write(2.3, height - 0.74, "■", 8, color=BAND)
            write(2.42, height - 0.74, "from the least to the most of equal tensors", 8, color=GREY)
        for index, line in enumerate(reversed(self.lines)):
            write(0.5, 0.12 + _LINE * index, line, 8)

    @property
    def bottom(self) -> float:
        """Height of the lines at the bottom, in inches."""
        return 0.15 + _LINE * len(self.lines) if self.lines else 0.0


_TOP, _LINE = 0.85, 0.17
"""Height of the title and of a line at the bottom of the overview, in inches."""


def overview_png(rows: Sequence[Sequence[bytes]], texts: OverviewTexts, style: Style) -> bytes:
    """Rows of small histograms as a PNG."""
    cells = [[np.asarray(Image.open(io.BytesIO(cell))) for cell in row] for row in rows]
    width = SMALL.width * max(map(len, rows), default=2)
    heights = _TOP, texts.bottom
    figure = Figure(figsize=(width, sum(heights)), dpi=style.dpi)
    canvas: Any = FigureCanvasAgg(figure)
    texts.on(figure, width, sum(heights))
    with missing_glyphs_are_boxes():
        canvas.draw()
    sheet = np.asarray(canvas.buffer_rgba())[..., :3]
    top = round(_TOP * style.dpi)
    parts = [sheet[:top], *map(np.hstack, cells), sheet[top:]]
    page = np.full((sum(map(len, parts)), max(p.shape[1] for p in parts), 3), 255, np.uint8)
    start = 0
    for part in parts:
        page[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return png(page, style.dpi)


class OverviewFigure(Figure):
    """A figure that a notebook shows, whether or not pyplot has been imported."""

    def _repr_png_(self) -> bytes:
        return figure_file(self, "png")


def overview_figure(
    rows: Sequence[Sequence[TensorPicture]], texts: OverviewTexts, style: Style
) -> OverviewFigure:
    """Rows of small histograms as one figure."""
    width = SMALL.width * max(map(len, rows), default=2)
    height = _TOP + SMALL.height * len(rows) + texts.bottom
    figure = OverviewFigure(figsize=(width, height), dpi=style.dpi)
    FigureCanvasAgg(figure)
    texts.on(figure, width, height)
    for line, row in enumerate(rows):
        for column, picture in enumerate(row):
            axes = TensorAxes(figure, SMALL, style.log)
            corner = (SMALL.width * column, height - _TOP - SMALL.height * (line + 1))
            axes.place(corner, (width, height))
            axes.show(picture)
    return figure


_KEPT = 16
"""Maximum number of cached pictures of constants without texts; each takes a megabyte."""


@cache
def _sheet(*, small: bool, log: bool) -> _Sheet:
    return _Sheet(SMALL if small else LARGE, log)


class _Sheet:
    """A figure with the axes of one tensor, drawn again and again."""

    def __init__(self, layout: Layout, log: bool) -> None:
        self.layout = layout
        self.figure = Figure()
        self.canvas: Any = FigureCanvasAgg(self.figure)
        self.axes = TensorAxes(self.figure, layout, log)
        for text in (self.axes.title, self.axes.caption):
            text.set_animated(True)  # drawn by itself, unless a file is saved
        self.without_texts: dict[Any, Any] = {}

    def show(self, picture: TensorPicture) -> None:
        """Show a tensor; the height of the sheet depends on its texts."""
        size = (self.layout.width, self.layout.height + self.axes.show(picture))
        self.figure.set_size_inches(size)
        self.axes.place((0, 0), size)

    def pixels(self, picture: TensorPicture, dpi: int) -> Pixels:
        """The sheet as pixels; for equal constants only the texts above the axes are redrawn."""
        self.figure.set_dpi(dpi)
        histogram = picture.histogram
        shown = picture.constant, picture.limits, picture.drawn, histogram.counts.tobytes()
        key = *shown, picture.dtype, picture.distribution, self.figure.bbox.bounds
        # Hinting takes a fifth of the time.
        with rc_context({"text.hinting": "none"}), missing_glyphs_are_boxes():
            if picture.constant is not None and key in self.without_texts:
                self.canvas.restore_region(self.without_texts[key])
            else:
                self.canvas.draw()
                if picture.constant is not None and len(self.without_texts) < _KEPT:
                    self.without_texts[key] = self.canvas.copy_from_bbox(self.figure.bbox)
            for text in (self.axes.title, self.axes.caption):
                self.axes.axes.draw_artist(text)
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()
