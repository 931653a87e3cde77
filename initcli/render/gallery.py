"""A folder of pictures: the histogram of every tensor of a model, an overview, and a page."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from itertools import tee
from os import PathLike
from pathlib import Path
from textwrap import wrap

import msgspec
from matplotlib.figure import Figure

from initcli.checkpoint import Subject
from initcli.errors import printable
from initcli.files import file_stems, make_folder, write_whole
from initcli.measuring.bins import MAX_EXACT, auto_bins, data_histogram
from initcli.measuring.measurement import Measurement
from initcli.measuring.portions import needs_whole
from initcli.parameter import Parameter
from initcli.render.picture_files import figure_file
from initcli.render.plots import (
    OverviewTexts,
    Style,
    overview_figure,
    overview_png,
    tensor_cell,
    tensor_picture,
)
from initcli.render.tensor_axes import Range, TensorPicture, shared_picture
from initcli.reports.tensors import (
    TensorSummary,
    common_range,
    has_values,
    is_stored,
    model_facts,
    summaries,
)
from initcli.sampling.workers import HERE, Workers

ROWS_PER_PAGE = 8
"""Number of rows on a page of the overview."""
MAX_COLUMNS = 3
"""Maximum number of tensors in a row of the overview."""
_MAX_NAMES = 12
"""Maximum number of constants that are named for each value."""
_NUMBER = re.compile(r"_?\d+(?=.*/)")
"""A number in the path of a tensor, except in its last part."""
_MAX_BINS = 250
"""Number of bins above which a bar is thinner than a pixel."""


def save_histograms(
    model: Subject,
    folder: str | PathLike[str],
    *,
    bins: int | None = None,
    ends: tuple[float, float] | None = None,
    only: Iterable[Parameter] | None = None,
    style: Style | None = None,
    page: bool = False,
    every: bool = False,
    workers: Workers = HERE,
    max_entries: int | None = None,
    tell: Callable[[str], object] = str,
    progress: Callable[[Path], object] = str,
) -> list[Path]:
    """Save the histogram of every tensor, then ``overview.png`` and its further pages.

    Args:
        model: the model.
        folder: the folder to write to; it is created if needed.
        bins: number of bins; by default that of ``numpy.histogram_bin_edges(…, "auto")``.
        ends: ends of the axis of weights; by default a few far values are left out.
        only: the parameters to show; all by default.
        style: format and look of the pictures; PNG by default.
        page: also write a page to browse, ``index.html``.
        every: give each tensor its own panel in the overview, also if blocks are equal.
        workers: processes to use, see :mod:`initcli.sampling.workers`; this one by default.
        max_entries: number of first entries of each tensor to show; all by default.
        tell: called with a note if the page of another model is replaced.
        progress: called with the path of each file once it is written.

    Returns:
        The paths, in the order of the tensors.

    Raises:
        OutputError: the folder cannot be created, or a picture cannot be written.
        TooLarge: a tensor does not fit in memory, or there are too many weights.
        CustomFunctionError: a custom initializer failed.
        WorkersError: the workers were lost.

    >>> import initcli, tempfile
    >>> model = initcli.parse("{input_shape: [8], layers: [{type: Dense, units: 4}]}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [file.name for file in initcli.save_histograms(model, folder)]
    ['dense.kernel.png', 'dense.bias.png', 'overview.png']
    """
    folder = Path(folder)
    make_folder(folder)
    style = style or Style()
    stems = file_stems(parameter.path for parameter in model.parameters)
    wanted = list(model.parameters if only is None else only)
    pictured = [each for each in wanted if has_values(each)]
    overview = _Overview(model, folder, style, _panels(pictured, share=not every))
    saved: list[Path] = []

    def save(file: Path, content: bytes) -> None:
        write_whole(file, content)
        saved.append(file)
        progress(file)

    tensors = summaries(model, only=wanted, workers=workers, max_entries=max_entries)
    tensors, kept = tee(tensors) if page else (tensors, iter(()))
    pictures = (
        (picture, style, overview.is_shared(parameter))
        for parameter, picture in _pictures(tensors, bins, ends, style, workers)
    )
    files: dict[str, str] = {}
    drawn = workers.in_order(_drawn, pictures)
    for parameter, (_, (picture, content, cell)) in zip(pictured, drawn, strict=True):
        file = folder / f"{stems[parameter.path]}.{style.format}"
        files[parameter.path] = file.name
        save(file, content)
        overview.add(parameter, picture, cell)
    for file, content in overview.pages():
        save(file, content)
    if page:
        from initcli.render.page import save_page, tensors_page

        saved.append(save_page(folder, tensors_page(model, kept, files), tell))
        progress(saved[-1])
    return saved


def histograms(
    model: Subject,
    *,
    columns: int = 2,
    bins: int | None = None,
    ends: tuple[float, float] | None = None,
    only: Iterable[Parameter] | None = None,
    style: Style | None = None,
    workers: Workers = HERE,
    max_entries: int | None = None,
) -> Figure:
    """The histogram of every tensor with its distribution, as one Matplotlib figure.

    With more than 24 tensors, those of equal blocks share a panel, constants are named below, and
    only the first page is shown; ``only`` selects others.

    Args:
        model: the model.
        columns: number of panels in a row.
        bins: as in :func:`initcli.save_histograms`, like the following arguments.

    Raises:
        TooLarge: a tensor does not fit in memory, or there are too many weights.
        CustomFunctionError: a custom initializer failed.

    >>> import initcli
    >>> figure = initcli.histograms(initcli.load("sample_configs/tour.yaml"))
    >>> len(figure.axes)
    10
    """
    style = style or Style()
    wanted = list(model.parameters if only is None else only)
    pictured = [each for each in wanted if has_values(each)]
    few = len(pictured) <= ROWS_PER_PAGE * MAX_COLUMNS
    overview = _Overview(model, Path(), style, _panels(pictured, share=True), all_panels=few)
    tensors = summaries(model, only=wanted, workers=workers, max_entries=max_entries)
    for parameter, picture in _pictures(tensors, bins, ends, style, workers):
        overview.add(parameter, _counted(picture))
    return overview.figure(columns, len(pictured) if few else ROWS_PER_PAGE * MAX_COLUMNS)


_Uncounted = partial[TensorPicture]
"""What makes a picture whose values are not yet counted, in any process."""


def _pictures(
    tensors: Iterable[TensorSummary],
    bins: int | None,
    ends: Range | None,
    style: Style,
    workers: Workers,
) -> Iterator[tuple[Parameter, TensorPicture | _Uncounted]]:
    """The pictures of the tensors that have values."""
    limits = ends
    if style.same_scale:
        tensors = list(tensors)
        limits = common_range(tensors)
    for tensor in tensors:
        parameter, seen = tensor.parameter, tensor.measured
        if seen is None:
            continue
        wanted = bins or (_MAX_BINS if auto_bins(seen, ends) > _MAX_BINS else None)
        if seen.count > MAX_EXACT or needs_whole(parameter):
            yield parameter, _picture(parameter, seen, wanted, ends, limits, workers)
        else:
            # The owner is not needed, and expensive to send.
            alone = msgspec.structs.replace(parameter, owner=None)
            yield parameter, partial(_picture, alone, seen, wanted, ends, limits)


def _picture(
    parameter: Parameter,
    seen: Measurement,
    bins: int | None,
    ends: Range | None,
    limits: Range | None,
    workers: Workers = HERE,
) -> TensorPicture:
    """Count the values of a tensor for its picture."""
    histogram = data_histogram(parameter, seen, bins, ends=ends, workers=workers)
    return TensorPicture.of(parameter, seen, histogram, limits)


def _counted(picture: TensorPicture | _Uncounted) -> TensorPicture:
    return picture if isinstance(picture, TensorPicture) else picture()


def _drawn(
    task: tuple[TensorPicture | _Uncounted, Style, bool],
) -> tuple[TensorPicture, bytes, bytes]:
    """A tensor's own picture, and its cell of the overview if it has its own panel."""
    uncounted, style, is_shared = task
    picture = _counted(uncounted)
    has_cell = not (style.is_vector or is_shared or picture.constant is not None)
    cell = tensor_cell(picture, style) if has_cell else b""
    return picture, tensor_picture(picture, style), cell


def _panels(parameters: Sequence[Parameter], *, share: bool) -> list[list[Parameter]]:
    """The tensors of each panel: one, or all that differ only in the number of their block.

    Tensors share panels only if one panel each would take several pages.
    """
    if not share or len(parameters) <= ROWS_PER_PAGE * MAX_COLUMNS:
        return [[each] for each in parameters]
    panels: dict[Hashable, list[Parameter]] = {}
    for each in parameters:
        stem = _NUMBER.sub("", each.path)
        key = (stem, each.shape, each.dtype, str(each.initializer), each.stored is None)
        panels.setdefault(key, []).append(each)
    return list(panels.values())


class _Overview:
    """Pages of small pictures in the order of the tensors; constants are lines at the end.

    A full page is compressed at once, so that the cells of only one page are held as pixels.
    """

    def __init__(
        self,
        model: Subject,
        folder: Path,
        style: Style,
        panels: Sequence[Sequence[Parameter]],
        *,
        all_panels: bool = False,
    ) -> None:
        self.model = model
        self.folder = folder
        self.style = style
        self.panels = panels
        self.all_panels = all_panels
        self.places = {each.path: place for place, group in enumerate(panels) for each in group}
        self.shown: dict[int, list[TensorPicture]] = {}
        self.cells: dict[int, bytes] = {}
        self.constants: dict[float, list[str]] = {}

    def is_shared(self, parameter: Parameter) -> bool:
        """Whether the tensor shares its panel with others."""
        return len(self.panels[self.places[parameter.path]]) > 1

    def add(self, parameter: Parameter, picture: TensorPicture, cell: bytes = b"") -> None:
        """Add a tensor to its panel, or a constant to the lines unless all tensors have panels."""
        if picture.constant is not None and not self.all_panels:
            self.constants.setdefault(picture.constant, []).append(picture.path)
            return
        place = self.places[parameter.path]
        self.shown.setdefault(place, []).append(picture)
        if cell:
            self.cells[place] = cell

    def pages(self) -> Iterator[tuple[Path, bytes]]:
        """The pages with their paths."""
        if not self.shown and not self.constants:
            return
        columns = min(MAX_COLUMNS, max(2, math.isqrt(len(self.shown))))
        for number, (rows, texts) in enumerate(self._sheets(columns, columns * ROWS_PER_PAGE), 1):
            name = "overview" if number == 1 else f"overview_{number}"
            yield self.folder / f"{name}.{self.style.format}", self._page(rows, texts)

    def figure(self, columns: int, size: int) -> Figure:
        """The first page, of at most ``size`` panels, as a figure."""
        rows, texts = next(self._sheets(columns, size))
        return overview_figure(self._rows_of_pictures(rows), texts, self.style)

    def _sheets(
        self, columns: int, size: int
    ) -> Iterator[tuple[Sequence[Sequence[int]], OverviewTexts]]:
        """The places and the texts of each page of at most ``size`` panels."""
        places = sorted(self.shown)
        starts = range(0, max(len(places), 1), max(size, 1))
        for number, start in enumerate(starts, start=1):
            chosen = places[start : start + size]
            rows = [chosen[first : first + columns] for first in range(0, len(chosen), columns)]
            is_last = number == len(starts)
            facts = " · ".join(model_facts(self.model))
            if len(starts) > 1:
                facts += f" · page {number} of {len(starts)}"
            yield (
                rows,
                OverviewTexts(
                    printable(self.model.name),
                    facts,
                    "stored" if is_stored(self.model) else "drawn",
                    any(self.shown[place][0].distribution is not None for place in chosen),
                    any(len(self.shown[place]) > 1 for place in chosen),
                    self._lines(columns) if is_last else (),
                ),
            )

    def _rows_of_pictures(self, rows: Sequence[Sequence[int]]) -> list[list[TensorPicture]]:
        return [[self._picture(place) for place in row] for row in rows]

    def _page(self, rows: Sequence[Sequence[int]], texts: OverviewTexts) -> bytes:
        if self.style.is_vector:
            figure = overview_figure(self._rows_of_pictures(rows), texts, self.style)
            return figure_file(figure, self.style.format)
        cells = [
            [
                self.cells.get(place) or tensor_cell(self._picture(place), self.style)
                for place in row
            ]
            for row in rows
        ]
        return overview_png(cells, texts, self.style)

    def _picture(self, place: int) -> TensorPicture:
        pictures = self.shown[place]
        return pictures[0] if len(pictures) == 1 else shared_picture(pictures)

    def _lines(self, columns: int) -> list[str]:
        """The constants, grouped by value."""
        lines = []
        for value, paths in self.constants.items():
            names = ", ".join(map(printable, paths[:_MAX_NAMES]))
            more = f" and {len(paths) - _MAX_NAMES:,} more" * (len(paths) > _MAX_NAMES)
            lines += wrap(f"constant {value:.4g}: {names}{more}", 60 * columns)
        return lines
