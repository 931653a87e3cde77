"""Histograms as pictures: one a tensor, and an overview of them all.

Drawn with Matplotlib's ``Figure`` on Agg, never with pyplot, which needs a screen and keeps state.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from initcli.errors import printable
from initcli.histogram import Histogram
from initcli.summary import TensorSummary
from initcli.types import shape_text

DRAWN = "#5b8db8"
LAW = "#c8432b"
GREY = "#555555"
DPI = 100
ROWS_PER_PAGE = 8
"""Rows that one page of the overview shows."""
MOST_COLUMNS = 4
"""Tensors that stand beside one another in the overview."""
_FEW = 2
"""Atoms up to which a law without density is drawn as one bar an atom."""


@dataclass(frozen=True)
class TensorPicture:
    """What a picture shows of one tensor."""

    tensor: TensorSummary
    histogram: Histogram


def tensor_png(picture: TensorPicture) -> bytes:
    """The histogram of one tensor with its law drawn over it, as a PNG 720 pixels wide."""
    tensor = picture.tensor
    shape = shape_text(tensor.parameter.shape)
    title = wrap(printable(f"{tensor.parameter.path}  {shape}"), 62)
    caption = wrap(_caption(tensor), 100)
    width, height = 7.2, 4.4 + 0.22 * len(title) + 0.15 * len(caption)
    figure = Figure(figsize=(width, height), dpi=DPI)
    axes = figure.add_axes((0.75 / width, 0.55 / height, 6.25 / width, 3.7 / height))
    _draw(axes, picture)
    _text(axes, caption, 6, fontsize=8, color=GREY)
    _text(axes, title, 10 + 11 * len(caption), fontsize=12)
    axes.set_xlabel("weight")
    axes.set_ylabel("entries")
    # Under the axes, where no bar can hide it.
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (-0.01, -0.065), "ncols": 2}
    axes.legend(frameon=False, fontsize=8, **place)
    return _png(figure)


def overview_pngs(pictures: Sequence[TensorPicture]) -> Iterator[bytes]:
    """One row a layer, or more where it has many tensors; a page for every eight rows."""
    layers = [list(row) for _, row in groupby(pictures, key=lambda each: _layer(each.tensor))]
    rows = [
        tensors[start : start + MOST_COLUMNS]
        for tensors in layers
        for start in range(0, len(tensors), MOST_COLUMNS)
    ]
    for start in range(0, len(rows), ROWS_PER_PAGE):
        yield _overview(rows[start : start + ROWS_PER_PAGE])


def _overview(rows: list[list[TensorPicture]]) -> bytes:
    columns = max(len(row) for row in rows)
    # Inches: what a cell takes with its margins, and the axes within it.
    cell_width, cell_height, axes_width, axes_height = 4.2, 2.1, 3.55, 1.35
    width, height = cell_width * columns, cell_height * len(rows)
    figure = Figure(figsize=(width, height), dpi=DPI)
    for line, row in enumerate(rows):
        bottom = height - cell_height * (line + 1) + 0.3
        for column, picture in enumerate(row):
            left = cell_width * column + 0.5
            box = (left / width, bottom / height, axes_width / width, axes_height / height)
            axes = figure.add_axes(box)
            _draw(axes, picture)
            law = picture.tensor.law
            _text(axes, [law.text if law else "law not known"], 4, fontsize=7, color=GREY)
            _text(axes, [_shortened(picture.tensor.parameter.path)], 14, fontsize=9)
            axes.tick_params(labelsize=7)
    return _png(figure)


def _draw(axes: Axes, picture: TensorPicture) -> None:
    histogram, law = picture.histogram, picture.tensor.law
    edges, counts = histogram.edges, histogram.counts
    low, high = float(edges[0]), float(edges[-1])
    middles = (edges[:-1] + edges[1:]) / 2
    atoms = {} if law is None else law.atoms
    seen = picture.tensor.measured.count
    # A density times this is in entries per bin, and lies on the bars.
    per_bin = seen * (high - low) / counts.size
    single = counts.size == 1
    if single or (0 < len(atoms) <= _FEW and sum(atoms.values()) == 1):
        filled = np.flatnonzero(counts)
        places = [_nearest(float(middles[i]), atoms, (high - low) / counts.size) for i in filled]
        axes.bar(places, counts[filled], width=(high - low) / 40, color=DRAWN, label="drawn")
        if single:
            axes.set_xlim(low, high)
    else:
        axes.stairs(counts, edges, fill=True, color=DRAWN, label="drawn")
        if law is not None and sum(atoms.values()) < 1:
            x = np.linspace(low, high, 400)
            axes.plot(x, law.pdf(x) * per_bin, color=LAW, linewidth=1.5, label="law")
    if law is not None and 0 < len(atoms) <= _FEW:
        values = np.array(list(atoms))
        expected = np.array(list(atoms.values())) * seen + law.pdf(values) * per_bin
        label = None if sum(atoms.values()) < 1 else "law"
        axes.plot(values, expected, "_", color=LAW, markersize=14, label=label)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)


def _nearest(middle: float, atoms: dict[float, float], width: float) -> float:
    """The atom that a bin holds, or else its middle."""
    atom = min(atoms, key=lambda value: abs(value - middle), default=middle)
    return atom if abs(atom - middle) <= width else middle


def _text(axes: Axes, lines: list[str], above: float, **style: Any) -> None:
    """Lines of text that begin at the left end of the axes, ``above`` points over them."""
    axes.annotate(
        "\n".join(lines),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, above),
        textcoords="offset points",
        verticalalignment="bottom",
        linespacing=1.1,
        # Names are a person's own: a dollar sign in them is no formula.
        parse_math=False,
        **style,
    )


def _caption(tensor: TensorSummary) -> str:
    measured = tensor.measured
    law = tensor.law.text if tensor.law else "law not known"
    facts = [
        str(tensor.parameter.initializer),
        law,
        f"n = {measured.count:,}",
        f"mean {measured.mean:.4g}",
        f"std {measured.std:.4g}",
    ]
    # Lines break between two facts, and not within one.
    return " · ".join(printable(fact).replace(" ", "\N{NO-BREAK SPACE}") for fact in facts)


def _shortened(path: str) -> str:
    """The path, without its middle where it is too long for a small picture."""
    text = printable(path)
    return text if len(text) <= 45 else f"{text[:20]}…{text[-24:]}"


def _layer(tensor: TensorSummary) -> str:
    """The layer that declares the tensor, wherever it stands."""
    origin = tensor.parameter.origin
    return tensor.parameter.path.removesuffix(origin.name if origin else "")


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font has not is drawn as boxes; the file is named after it.
        warnings.filterwarnings("ignore", message="Glyph")
        FigureCanvasAgg(figure)
        figure.savefig(stream, format="png", pil_kwargs={"compress_level": 1})
    return stream.getvalue()
