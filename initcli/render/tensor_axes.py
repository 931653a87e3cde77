"""One tensor's histogram on Matplotlib's axes: what it shows, and how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import EngFormatter, MaxNLocator, NullLocator

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

Range = tuple[float, float]


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


@dataclass(frozen=True)
class Layout:
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


LARGE = Layout(7.2, 4.4, 0.75, 0.55, 6.25, 3.7, title=12, caption=8, ticks=10)
SMALL = Layout(4.2, 2.1, 0.5, 0.36, 3.55, 1.29, title=9, caption=7, ticks=7)


class TensorAxes:
    """Axes with a histogram, the distribution over it, and texts above."""

    def __init__(self, figure: Figure, layout: Layout, log: bool) -> None:
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
        if layout is LARGE:
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

    def show(self, picture: TensorPicture) -> float:
        """Show a tensor; return the height in inches that its texts take beyond the layout."""
        large = self.layout is LARGE
        title, caption = _large_texts(picture) if large else _small_texts(picture)
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
        return 0.22 * len(title) + 0.15 * len(caption) if large else 0.0

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
