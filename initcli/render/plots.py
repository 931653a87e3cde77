"""Histograms as pictures: one a tensor, and an overview of them all.

Drawn with Matplotlib's ``Figure`` on Agg, never with pyplot, which needs a screen and keeps state.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from initcli.errors import printable
from initcli.histogram import Histogram
from initcli.summary import TensorSummary
from initcli.types import shape_text

DRAWN = "#5b8db8"
LAW = "#c8432b"
ROWS_PER_PAGE = 8
"""Layers that one page of the overview shows."""
_FEW = 2
"""Atoms up to which a law without density is drawn as one bar an atom."""


@dataclass(frozen=True)
class TensorPicture:
    """What a picture shows of one tensor."""

    tensor: TensorSummary
    histogram: Histogram


def tensor_png(picture: TensorPicture) -> bytes:
    """The histogram of one tensor with its law drawn over it, as a PNG of 720 by 480 pixels."""
    figure = Figure(figsize=(7.2, 4.8), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, picture)
    tensor = picture.tensor
    _title(axes, f"{_path(tensor)}  {shape_text(tensor.parameter.shape)}", _caption(tensor))
    axes.set_xlabel("weight")
    axes.set_ylabel("entries")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8)
    return _png(figure)


def overview_pngs(pictures: Sequence[TensorPicture]) -> Iterator[bytes]:
    """One row a layer, one column a tensor; a page for every eight layers."""
    rows = [list(row) for _, row in groupby(pictures, key=lambda picture: _layer(picture.tensor))]
    for start in range(0, len(rows), ROWS_PER_PAGE):
        yield _overview(rows[start : start + ROWS_PER_PAGE])


def _overview(rows: list[list[TensorPicture]]) -> bytes:
    columns = max(len(row) for row in rows)
    size = (max(4.2 * columns, 5.0), 2.1 * len(rows) + 0.2)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for row, line in zip(rows, grid, strict=True):
        for axes in line[len(row) :]:
            axes.set_axis_off()
        for picture, axes in zip(row, line, strict=False):
            _draw(axes, picture)
            law = picture.tensor.law
            _title(axes, _path(picture.tensor), law.text if law else "law not known", small=True)
            axes.tick_params(labelsize=7)
            axes.locator_params(axis="y", nbins=4)
    return _png(figure)


def _draw(axes: Axes, picture: TensorPicture) -> None:
    histogram, law = picture.histogram, picture.tensor.law
    edges, counts = histogram.edges, histogram.counts
    low, high = float(edges[0]), float(edges[-1])
    middles = (edges[:-1] + edges[1:]) / 2
    atoms = {} if law is None else law.atoms
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
            # The density as entries per bin, so that it lies on the bars.
            expected = law.pdf(x) * picture.tensor.measured.count * (high - low) / counts.size
            axes.plot(x, expected, color=LAW, linewidth=1.5, label="law")
    if 0 < len(atoms) <= _FEW:
        shares = np.array(list(atoms.values())) * picture.tensor.measured.count
        axes.plot(list(atoms), shares, "_", color=LAW, markersize=14, label="law")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)


def _nearest(middle: float, atoms: dict[float, float], width: float) -> float:
    """The atom that a bin holds, or else its middle."""
    atom = min(atoms, key=lambda value: abs(value - middle), default=middle)
    return atom if abs(atom - middle) <= width else middle


def _title(axes: Axes, title: str, caption: str, small: bool = False) -> None:
    # Names are a person's own: a dollar sign in them is no formula.
    axes.set_title(
        printable(title) + "\n", loc="left", fontsize=9 if small else 12, parse_math=False
    )
    axes.text(
        0.0,
        1.02,
        printable(caption),
        transform=axes.transAxes,
        fontsize=7 if small else 8.5,
        color="#555555",
        parse_math=False,
    )


def _caption(tensor: TensorSummary) -> str:
    measured = tensor.measured
    law = tensor.law.text if tensor.law else "law not known"
    return (
        f"{tensor.parameter.initializer}  {law}  n = {measured.count:,}  "
        f"mean {measured.mean:.4g}  std {measured.std:.4g}"
    )


def _path(tensor: TensorSummary) -> str:
    return tensor.parameter.path


def _layer(tensor: TensorSummary) -> str:
    return tensor.parameter.path.partition("/")[0]


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font has not is drawn as boxes; the file is named after it.
        warnings.filterwarnings("ignore", message="Glyph")
        FigureCanvasAgg(figure)
        figure.savefig(stream, format="png", pil_kwargs={"compress_level": 1})
    return stream.getvalue()
