"""Histograms as pictures: one per tensor, and a small one for the overview.

Drawn with Matplotlib's ``Figure`` on Agg, never with pyplot, which keeps state. Creating a figure
takes twice as long as drawing it, so a large and a small one are reused for every tensor. A page of
the overview is composed of pixels, or drawn as one figure in a vector format.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from textwrap import wrap
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import EngFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray
from PIL import Image

from initcli.distributions import Distribution
from initcli.errors import printable
from initcli.measuring.histogram import Counts, Histogram, around
from initcli.measuring.measurement import Measurement
from initcli.parameter import Parameter
from initcli.reports.summary import value_facts
from initcli.sampling.chunks import rounding_limits
from initcli.types import TensorDtype, shape_text

DRAWN = "#5b8db8"
BAND = "#b9d2e8"
DISTRIBUTION = "#c8432b"
GREY = "#555555"

Pixels = NDArray[np.uint8]
"""A picture: rows of red, green and blue pixels."""
Range = tuple[float, float]


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


@dataclass(frozen=True)
class TensorPicture:
    """The content of one tensor's picture.

    ``limits`` are the ends of the axis of weights, by default those of the histogram.
    ``constant`` is the value of a constant tensor. For several tensors, ``histogram`` has the
    smallest count of each bin, ``most`` the largest, and ``others`` names the last tensor and their
    number.
    """

    path: str
    shape: str
    dtype: TensorDtype
    facts: tuple[str, ...]
    distribution: Distribution | None
    histogram: Histogram
    limits: Range | None = None
    drawn: str = "drawn"
    constant: float | None = None
    most: Counts | None = None
    others: str = ""

    @classmethod
    def of(
        cls,
        parameter: Parameter,
        measured: Measurement,
        histogram: Histogram,
        limits: Range | None = None,
    ) -> TensorPicture:
        """The picture of a measured tensor."""
        facts = (str(parameter.initializer), *value_facts(parameter, measured))
        return cls(
            path=parameter.path,
            shape=shape_text(parameter.shape),
            dtype=parameter.dtype,
            facts=tuple(filter(None, facts)),
            distribution=parameter.distribution,
            histogram=histogram,
            limits=limits,
            drawn="drawn" if parameter.stored is None else "stored",
            constant=measured.min if measured.min == measured.max else None,
        )


def shared_picture(pictures: Sequence[TensorPicture]) -> TensorPicture:
    """Tensors that start alike as one picture: the smallest and largest count of each bin."""
    first, last = pictures[0], pictures[-1]
    histograms = [each.histogram for each in pictures if each.histogram.counts.size]
    if not histograms:  # no value is finite
        return first
    ends = min(h.edges[0] for h in histograms), max(h.edges[-1] for h in histograms)
    edges = np.linspace(*ends, min(h.counts.size for h in histograms) + 1)
    counts = np.array([h.between(edges) for h in histograms])
    below, above = max(h.below for h in histograms), max(h.above for h in histograms)
    return replace(
        first,
        histogram=Histogram(edges, counts.min(axis=0), below, above),
        most=counts.max(axis=0),
        others=f"… {last.path} · {len(pictures)} tensors",
    )


def tensor_picture(picture: TensorPicture, style: Style) -> bytes:
    """The histogram of one tensor with its distribution over it, as a file 7.2 inches wide."""
    sheet = _sheet(small=False, log=style.log)
    sheet.show(picture)
    return (
        _file(sheet.figure, style) if style.is_vector else png(sheet.pixels(picture, style), style)
    )


def tensor_cell(picture: TensorPicture, style: Style) -> bytes:
    """The histogram of one tensor for the overview as a PNG, 4.2 × 2.1 inches."""
    sheet = _sheet(small=True, log=style.log)
    sheet.show(picture)
    return png(sheet.pixels(picture, style), style)


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
    width = _SMALL.width * max(map(len, rows), default=2)
    heights = _TOP, texts.bottom
    figure = Figure(figsize=(width, sum(heights)), dpi=style.dpi)
    canvas: Any = FigureCanvasAgg(figure)
    texts.on(figure, width, sum(heights))
    with _missing_glyphs_are_boxes():
        canvas.draw()
    sheet = np.asarray(canvas.buffer_rgba())[..., :3]
    top = round(_TOP * style.dpi)
    parts = [sheet[:top], *map(np.hstack, cells), sheet[top:]]
    page = np.full((sum(map(len, parts)), max(p.shape[1] for p in parts), 3), 255, np.uint8)
    start = 0
    for part in parts:
        page[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return png(page, style)


class OverviewFigure(Figure):
    """A figure that a notebook shows, whether or not pyplot has been imported."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        with _missing_glyphs_are_boxes():
            self.savefig(stream, format="png")
        return stream.getvalue()


def overview_vector(
    rows: Sequence[Sequence[TensorPicture]], texts: OverviewTexts, style: Style
) -> bytes:
    """Rows of small histograms as one file in a vector format."""
    return _file(overview_figure(rows, texts, style), style)


def overview_figure(
    rows: Sequence[Sequence[TensorPicture]], texts: OverviewTexts, style: Style
) -> OverviewFigure:
    """Rows of small histograms as one figure."""
    width = _SMALL.width * max(map(len, rows), default=2)
    height = _TOP + _SMALL.height * len(rows) + texts.bottom
    figure = OverviewFigure(figsize=(width, height), dpi=style.dpi)
    FigureCanvasAgg(figure)
    texts.on(figure, width, height)
    for line, row in enumerate(rows):
        for column, picture in enumerate(row):
            cell = _Cell(figure, _SMALL, style.log)
            corner = (_SMALL.width * column, height - _TOP - _SMALL.height * (line + 1))
            cell.place(corner, (width, height))
            cell.show(picture, *_small_texts(picture))
    return figure


def png(pixels: Pixels, style: Style) -> bytes:
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
    dots = round(style.dpi / 0.0254)  # a meter
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
            chunk(b"pHYs", struct.pack(">2IB", dots, dots, 1)),
            chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)),
            chunk(b"IEND", b""),
        )
    )


# The same picture gives the same file, and text stays text.
_SAME: Any = {"svg.fonttype": "none", "svg.hashsalt": "initcli", "pdf.fonttype": 42}
_UNDATED: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def _file(figure: Figure, style: Style) -> bytes:
    """A figure as a file in a vector format."""
    stream = io.BytesIO()
    with rc_context(_SAME), _missing_glyphs_are_boxes():
        figure.savefig(stream, format=style.format, metadata=_UNDATED[style.format])
    return stream.getvalue()


@contextmanager
def _missing_glyphs_are_boxes() -> Iterator[None]:
    """Suppress warnings about characters that the font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def _large_texts(picture: TensorPicture) -> tuple[list[str], list[str]]:
    title = wrap(printable(f"{picture.path}  {picture.shape}"), 62)
    # Lines break only between facts.
    facts = (printable(fact).replace(" ", "\N{NO-BREAK SPACE}") for fact in picture.facts)
    return title, wrap(" · ".join(facts), 100)


def _small_texts(picture: TensorPicture) -> tuple[list[str], list[str]]:
    text = printable(picture.path)
    title = text if len(text) <= 45 else f"{text[:20]}…{text[-24:]}"
    known = "distribution not known" if picture.drawn == "drawn" else picture.drawn
    caption = known if picture.distribution is None else picture.distribution.text
    if picture.others:
        caption = f"{printable(picture.others)} · {caption}"
    return [title], [caption if len(caption) <= 70 else f"{caption[:22]}…{caption[-46:]}"]


@dataclass(frozen=True)
class _Layout:
    """Positions on a sheet in inches, and font sizes in points."""

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


_KEPT = 16
"""Maximum number of cached pictures of constants without texts; each takes a megabyte."""


@cache
def _sheet(*, small: bool, log: bool) -> _Sheet:
    return _Sheet(_SMALL if small else _LARGE, log)


class _Sheet:
    """A figure with one cell, drawn again and again."""

    def __init__(self, layout: _Layout, log: bool) -> None:
        self.layout = layout
        self.figure = Figure()
        self.canvas: Any = FigureCanvasAgg(self.figure)
        self.cell = _Cell(self.figure, layout, log)
        for text in (self.cell.title, self.cell.caption):
            text.set_animated(True)  # drawn by itself, unless a file is saved
        self.without_texts: dict[Any, Any] = {}

    def show(self, picture: TensorPicture) -> None:
        """Show a tensor; the height of the sheet depends on its texts."""
        layout = self.layout
        texts = _large_texts(picture) if layout is _LARGE else _small_texts(picture)
        title, caption = map(len, texts)
        more = 0.22 * title + 0.15 * caption if layout is _LARGE else 0
        size = (layout.width, layout.height + more)
        self.figure.set_size_inches(size)
        self.cell.place((0, 0), size)
        self.cell.show(picture, *texts)

    def pixels(self, picture: TensorPicture, style: Style) -> Pixels:
        """The sheet as pixels; for equal constants only the texts above the axes are redrawn."""
        self.figure.set_dpi(style.dpi)
        histogram = picture.histogram
        shown = picture.constant, picture.limits, picture.drawn, histogram.counts.tobytes()
        key = *shown, picture.dtype, picture.distribution, self.figure.bbox.bounds
        # Hinting takes a fifth of the time.
        with rc_context({"text.hinting": "none"}), _missing_glyphs_are_boxes():
            if picture.constant is not None and key in self.without_texts:
                self.canvas.restore_region(self.without_texts[key])
            else:
                self.canvas.draw()
                if picture.constant is not None and len(self.without_texts) < _KEPT:
                    self.without_texts[key] = self.canvas.copy_from_bbox(self.figure.bbox)
            for text in (self.cell.title, self.cell.caption):
                self.cell.axes.draw_artist(text)
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()


class _Cell:
    """Axes with a histogram, the distribution over it, and texts above."""

    def __init__(self, figure: Figure, layout: _Layout, log: bool) -> None:
        self.layout = layout
        # A logarithmic scale cannot show 0.
        self.floor = 0.5 if log else 0.0
        self.axes = figure.add_axes((0, 0, 1, 1))
        self.bars = self.axes.stairs([0], [0, 1], fill=True, color=DRAWN, baseline=self.floor)
        self.band = self.axes.stairs([0], [0, 1], fill=True, color=BAND, baseline=self.floor)
        self.band.set_zorder(0)
        (self.curve,) = self.axes.plot([], [], color=DISTRIBUTION, linewidth=1.5)
        self.beyond = [
            self.axes.text(
                at,
                0.97,
                "",
                transform=self.axes.transAxes,
                color=GREY,
                va="top",
                ha=side,
                fontsize=layout.caption,
            )
            for at, side in ((0.01, "left"), (0.99, "right"))
        ]
        self.title = self._text(layout.title)
        self.caption = self._text(layout.caption, color=GREY)
        if log:
            self.axes.set_yscale("log")
            self.axes.yaxis.set_minor_locator(NullLocator())
        else:
            self.axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        self.axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        self.axes.spines[["top", "right"]].set_visible(False)
        self.axes.tick_params(labelsize=layout.ticks)
        self.axes.xaxis.get_offset_text().set_fontsize(layout.ticks)
        self.distribution_key: Text | None = None
        self.drawn_key: Text | None = None
        if layout is _LARGE:
            # Fixed positions are faster than those computed from the ticks.
            self.axes.set_xlabel("weight")
            self.axes.xaxis.set_label_coords(0.5, -0.085)
            self.axes.set_ylabel("entries")
            self.axes.yaxis.set_label_coords(-0.085, 0.5)
            # Matplotlib's legend takes 6 ms each time.
            under: dict[str, Any] = {"fontsize": 8, "transform": self.axes.transAxes}
            self.drawn_key = self.axes.text(0.0, -0.13, "", color=DRAWN, **under)
            self.distribution_key = self.axes.text(
                0.1, -0.13, "— distribution", color=DISTRIBUTION, **under
            )

    def place(self, corner: tuple[float, float], page: tuple[float, float]) -> None:
        """Move the lower left corner to a place on a page of a given size, in inches."""
        layout, (width, height) = self.layout, page
        left, bottom = corner[0] + layout.left, corner[1] + layout.bottom
        self.axes.set_position(
            (left / width, bottom / height, layout.axes_width / width, layout.axes_height / height)
        )

    def show(self, picture: TensorPicture, title: list[str], caption: list[str]) -> None:
        """Show a tensor below the lines of a title and a caption."""
        large = self.layout is _LARGE
        self.title.set_text("\n".join(title))
        self.caption.set_text("\n".join(caption))
        self.caption.set_position((0, 6 if large else 4))
        self.title.set_position((0, 10 + 11 * len(caption) if large else 14))
        histogram, distribution = picture.histogram, picture.distribution
        edges, counts = histogram.edges, histogram.counts
        if not counts.size:  # no value is finite
            edges, counts, distribution = around(0.0), np.zeros(1, np.int64), None
        low, high = float(edges[0]), float(edges[-1])
        shown = picture.limits or (low, high)
        middle = counts if picture.most is None else (counts + picture.most) / 2
        seen = int(middle.sum()) + histogram.below + histogram.above
        if counts.size == 1:  # a constant has no width
            half = (shown[1] - shown[0]) / 80
            edges = np.array([-half, half]) + (low + high) / 2
        self.bars.set_data(counts, edges, self.floor)
        self.band.set_visible(picture.most is not None)
        if picture.most is not None:
            self.band.set_data(picture.most, edges, self.floor)
        x = y = np.array([])
        if distribution is not None and distribution.atoms:
            below = distribution.below(rounding_limits(histogram.edges, picture.dtype))
            # One stroke per bin: a line between them would hide narrow bars.
            x = np.column_stack([edges[:-1], edges[1:], np.full(counts.size, np.nan)]).ravel()
            y = np.repeat(np.diff(below) * seen, 3)
        elif distribution is not None:
            x = np.linspace(*shown, 400)
            y = distribution.pdf(x) * seen * (high - low) / counts.size
        self.curve.set_data(x, y)
        for text, sign, count in zip(
            self.beyond, ("◂ {:,}", "{:,} ▸"), _beyond(histogram, shown), strict=True
        ):
            text.set_text(sign.format(count) + (" beyond" if large else "") if count else "")
        if self.drawn_key is not None:
            self.drawn_key.set_text(f"■ {picture.drawn}")
        if self.distribution_key is not None:
            self.distribution_key.set_visible(distribution is not None)
        # A density may be infinite at the end of its support.
        heights = np.concatenate([counts, y, () if picture.most is None else picture.most])
        top = float(heights[np.isfinite(heights)].max()) or 1.0
        margin = 0 if counts.size == 1 and not picture.limits else 0.05 * (shown[1] - shown[0])
        self.axes.set_xlim(shown[0] - margin, shown[1] + margin)
        self.axes.set_ylim(self.floor, 2 * top if self.floor else 1.05 * top)

    def _text(self, size: int, **style: Any) -> Any:
        """Lines of text above the axes, left-aligned."""
        return self.axes.annotate(
            "",
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 0),
            textcoords="offset points",
            verticalalignment="bottom",
            linespacing=1.1,
            fontsize=size,
            # A dollar sign in a name is no formula.
            parse_math=False,
            **style,
        )


def _beyond(histogram: Histogram, shown: Range) -> tuple[int, int]:
    """Numbers of values to the left and to the right of an axis."""
    low, high = shown
    left = histogram.below + int(histogram.counts[histogram.edges[1:] <= low].sum())
    return left, histogram.above + int(histogram.counts[histogram.edges[:-1] >= high].sum())
