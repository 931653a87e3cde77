"""A folder of pictures: the histogram of every tensor of a model, an overview, and a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from initcli.checkpoint import Subject
from initcli.files import file_stems, make_folder, write_whole
from initcli.measuring.measurement import data_histogram
from initcli.parameter import Parameter
from initcli.render.plots import (
    Pixels,
    Style,
    TensorPicture,
    png,
    tensor_cell,
    tensor_picture,
    tiled,
    vector_page,
)
from initcli.reports.summary import TensorSummary, common_range, has_values, summarize
from initcli.sampling.workers import HERE, Workers

ROWS_PER_PAGE = 8
"""Number of rows on a page of the overview."""
MAX_COLUMNS = 4
"""Maximum number of tensors in a row of the overview."""


def save_histograms(
    model: Subject,
    folder: Path,
    *,
    bins: int | None = None,
    only: Iterable[Parameter] | None = None,
    style: Style | None = None,
    page: bool = False,
    workers: Workers = HERE,
    max_entries: int | None = None,
) -> Iterator[Path]:
    """Save the histogram of every tensor, then ``overview.png`` and its further pages.

    Args:
        model: the model.
        folder: the folder to write to; it is created if needed.
        bins: number of bins; by default that of ``numpy.histogram_bin_edges(…, "auto")``.
        only: the parameters to show; all by default.
        style: format and look of the pictures; PNG by default.
        page: also write a page to browse, ``index.html``.
        workers: processes to use, see :mod:`initcli.sampling.workers`; this one by default.
        max_entries: number of first entries of a tensor to show; all by default.

    Yields:
        The path of each picture once it is written.

    Raises:
        OutputError: the folder cannot be created, or a picture cannot be written.
        TooLarge: a tensor cannot be held that must be, or nobody could wait for the weights.
        CustomFunctionError: a custom initializer failed.
        WorkersError: the workers were lost.

    >>> import initcli, pathlib, tempfile
    >>> model = initcli.parse("{input_shape: [8], layers: [{type: Dense, units: 4}]}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [file.name for file in initcli.save_histograms(model, pathlib.Path(folder))]
    ['dense.kernel.png', 'dense.bias.png', 'overview.png']
    """
    make_folder(folder)
    style = style or Style()
    stems = file_stems(parameter.path for parameter in model.parameters)
    overview = _Overview(folder, style)
    wanted = list(model.parameters if only is None else only)
    pictured = [each for each in wanted if has_values(each)]
    found: Iterable[TensorSummary] = summarize(
        model, only=wanted, workers=workers, max_entries=max_entries
    )
    limits = None
    if style.same_scale:
        found = list(found)
        limits = common_range(found)
    kept: list[TensorSummary] = []

    def pictures() -> Iterator[tuple[TensorPicture, Style]]:
        for tensor in found:
            if page:
                kept.append(tensor)
            parameter, seen = tensor.parameter, tensor.measured
            if seen is None:
                continue
            histogram = data_histogram(parameter, seen, bins, workers=workers)
            yield TensorPicture.of(parameter, seen, histogram, limits), style

    files: dict[str, str] = {}
    drawn = workers.in_order(_drawn, pictures())
    for parameter, (_, (picture, cell)) in zip(pictured, drawn, strict=True):
        file = folder / f"{stems[parameter.path]}.{style.format}"
        files[parameter.path] = file.name
        yield _saved(file, picture)
        name = parameter.owner.name if parameter.owner else parameter.name
        overview.add(parameter.path.removesuffix(name), cell)
    for file, content in overview.pages():
        yield _saved(file, content)
    if page:
        from initcli.render.page import save_page, tensors_page

        yield save_page(folder, tensors_page(model, kept, files))


def _drawn(task: tuple[TensorPicture, Style]) -> tuple[bytes, Pixels | TensorPicture]:
    """A tensor's own picture, and its cell in the overview."""
    picture, style = task
    small = picture if style.is_vector else tensor_cell(picture, style)
    return tensor_picture(picture, style), small


class _Overview:
    """Pages of small pictures, one row a layer, or more for a layer with many tensors.

    A full page is compressed at once, so that the cells of only one page are in memory.
    """

    def __init__(self, folder: Path, style: Style) -> None:
        self.folder = folder
        self.style = style
        self.rows: list[list[Any]] = []
        self.layer: str | None = None
        self.done: list[bytes] = []

    def add(self, layer: str, cell: Pixels | TensorPicture) -> None:
        """Add a tensor of a layer to the last row, or to a new one."""
        if self.rows and layer == self.layer and len(self.rows[-1]) < MAX_COLUMNS:
            self.rows[-1].append(cell)
            return
        if len(self.rows) == ROWS_PER_PAGE:
            self._finish_page()
        self.rows.append([cell])
        self.layer = layer

    def pages(self) -> Iterator[tuple[Path, bytes]]:
        """The pages with their paths."""
        if self.rows:
            self._finish_page()
        for page, content in enumerate(self.done, start=1):
            name = "overview" if page == 1 else f"overview_{page}"
            yield self.folder / f"{name}.{self.style.format}", content

    def _finish_page(self) -> None:
        rows, style = self.rows, self.style
        self.done.append(vector_page(rows, style) if style.is_vector else png(tiled(rows), style))
        self.rows = []


def _saved(file: Path, content: bytes) -> Path:
    write_whole(file, content)
    return file
