"""A folder of pictures: the histogram of every tensor of a model, and an overview."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from initcli.files import file_stems, make_folder, write_whole
from initcli.measuring import data_histogram
from initcli.parameter import Parameter
from initcli.render.plots import TensorPicture, overview_pngs, tensor_png
from initcli.spec.model import Model
from initcli.summary import summarise


def save_histograms(
    model: Model,
    folder: Path,
    *,
    bins: int | None = None,
    only: Iterable[Parameter] | None = None,
    jobs: int | None = None,
) -> Iterator[Path]:
    """Save the histogram of every tensor, then ``overview.png`` and further pages of it.

    Args:
        model: whose tensors.
        folder: where to; it is made if it is missing.
        bins: how many, or None for as many as ``numpy.histogram_bin_edges(…, "auto")`` gives.
        only: some of the parameters, such as :meth:`Model.matching` finds; all by default.
        jobs: threads; all cores by default.

    Yields:
        The path of each picture once it is written.

    Raises:
        OutputError: the folder cannot be made, or a picture cannot be written.
        TooLarge: a tensor cannot be held that must be, or nobody could wait for the weights.
        CustomFunctionError: a custom initializer failed.
    """
    make_folder(folder)
    stems = file_stems(parameter.path for parameter in model.parameters)
    pictures: list[TensorPicture] = []
    for tensor in summarise(model, only=only, jobs=jobs):
        histogram = data_histogram(tensor.parameter, tensor.measured, bins, jobs=jobs)
        pictures.append(TensorPicture(tensor, histogram))
        yield _saved(folder / f"{stems[tensor.parameter.path]}.png", tensor_png(pictures[-1]))
    for page, png in enumerate(overview_pngs(pictures), start=1):
        yield _saved(folder / ("overview.png" if page == 1 else f"overview_{page}.png"), png)


def _saved(file: Path, content: bytes) -> Path:
    write_whole(file, content)
    return file
