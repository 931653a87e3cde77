"""A folder of pictures: the histogram of every tensor of a model, and an overview."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from initcli.files import file_stems, make_folder, write_whole
from initcli.measuring import data_histogram, measure
from initcli.parameter import Parameter
from initcli.render.plots import Pixels, TensorPicture, png, tensor_cell, tensor_png, tiled
from initcli.spec.model import Model
from initcli.workers import HERE, Workers

ROWS_PER_PAGE = 8
"""Rows that one page of the overview shows."""
MOST_COLUMNS = 4
"""Tensors that stand beside one another in the overview."""


def save_histograms(
    model: Model,
    folder: Path,
    *,
    bins: int | None = None,
    only: Iterable[Parameter] | None = None,
    workers: Workers = HERE,
    most: int | None = None,
) -> Iterator[Path]:
    """Save the histogram of every tensor, then ``overview.png`` and further pages of it.

    Args:
        model: whose tensors.
        folder: where to; it is made if it is missing.
        bins: how many, or None for as many as ``numpy.histogram_bin_edges(…, "auto")`` gives.
        only: some of the parameters, such as :meth:`Model.matching` finds; all by default.
        workers: who is to do it, see :mod:`initcli.workers`; this process by default.
        most: entries of a tensor to show at most, its first; all by default.

    Yields:
        The path of each picture once it is written.

    Raises:
        OutputError: the folder cannot be made, or a picture cannot be written.
        TooLarge: a tensor cannot be held that must be, or nobody could wait for the weights.
        CustomFunctionError: a custom initializer failed.
        WorkersError: the workers were lost.
    """
    make_folder(folder)
    stems = file_stems(parameter.path for parameter in model.parameters)
    overview = _Overview(folder)
    wanted = list(model.parameters if only is None else only)
    found = measure(wanted, workers=workers, most=most)
    pictures = (
        TensorPicture.of(parameter, seen, data_histogram(parameter, seen, bins, workers=workers))
        for parameter, seen in found
    )
    drawn = workers.in_order(_drawn, pictures)
    for parameter, (_, (picture, cell)) in zip(wanted, drawn, strict=True):
        yield _saved(folder / f"{stems[parameter.path]}.png", picture)
        overview.add(_layer(parameter), cell)
    yield from overview.pages()


def _drawn(picture: TensorPicture) -> tuple[bytes, Pixels]:
    return tensor_png(picture), tensor_cell(picture)


class _Overview:
    """Pages of small pictures, one row a layer, or more where it has many tensors.

    A page is made when it is full, so that no more than one is held; all but the first are
    compressed until the pictures before them are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[list[Pixels]] = []
        self.layer: str | None = None
        self.done: list[bytes] = []

    def add(self, layer: str, cell: Pixels) -> None:
        """Put a tensor of that layer beside the last one, or into a new row."""
        if self.rows and layer == self.layer and len(self.rows[-1]) < MOST_COLUMNS:
            self.rows[-1].append(cell)
            return
        if len(self.rows) == ROWS_PER_PAGE:
            self._finish_page()
        self.rows.append([cell])
        self.layer = layer

    def pages(self) -> Iterator[Path]:
        """Write the pages."""
        if self.rows:
            self._finish_page()
        for page, content in enumerate(self.done, start=1):
            name = "overview.png" if page == 1 else f"overview_{page}.png"
            yield _saved(self.folder / name, content)

    def _finish_page(self) -> None:
        self.done.append(png(tiled(self.rows)))
        self.rows = []


def _layer(parameter: Parameter) -> str:
    """The layer that declares the tensor, wherever it stands."""
    origin = parameter.origin
    return parameter.path.removesuffix(origin.name if origin else "")


def _saved(file: Path, content: bytes) -> Path:
    write_whole(file, content)
    return file
