"""What pictures cost, beside the usual loop with pyplot that draws the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

import initcli
from initcli.render.plots import Style, tensor_picture
from initcli.render.tensor_axes import TensorPicture
from support.beside import beside, python
from support.paths import ROOT


class Tour:
    """The tour's ten tensors: drawn, measured and counted, with nothing left but to draw."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = initcli.load(str(ROOT / "sample_configs" / "tour.yaml"))
        self.values = [initcli.draw(parameter) for parameter in self.model.parameters]
        self.pictures = [
            TensorPicture.of(parameter, seen, initcli.data_histogram(parameter, seen))
            for parameter, seen in initcli.measure(self.model.parameters)
        ]

    def loop(self) -> None:
        """Save the histogram of every tensor, its distribution over it, as scripts do."""
        from matplotlib import pyplot as plt

        with mpl.rc_context({"backend": "agg"}):
            for values, picture in zip(self.values, self.pictures, strict=True):
                figure, axes = plt.subplots(figsize=(7.2, 4.8))
                _, edges, _ = axes.hist(values.ravel(), bins="auto", label="drawn")
                if picture.distribution is not None and not picture.distribution.atoms:
                    x = np.linspace(edges[0], edges[-1], 400)
                    axes.plot(
                        x,
                        picture.distribution.pdf(x) * values.size * (edges[1] - edges[0]),
                        label="distribution",
                    )
                axes.set(xlabel="weight", ylabel="entries")
                axes.set_title(picture.path + "\n" + " · ".join(picture.facts))
                axes.legend()
                figure.savefig(self.folder / f"{picture.path.replace('/', '.')}.png", dpi=100)
                plt.close(figure)

    def ours(self) -> int:
        """Save the same pictures."""
        for picture in self.pictures:
            path = self.folder / f"{picture.path.replace('/', '.')}.png"
            path.write_bytes(tensor_picture(picture, Style()))
        return len(self.pictures)


@pytest.fixture
def tour(tmp_path: Path) -> Tour:
    return Tour(tmp_path)


def test_ten_pictures(benchmark: Any, tour: Tour) -> None:
    assert beside(benchmark, tour.loop, tour.ours) == 10


def test_ten_pictures_and_the_overview_from_the_spec_on(benchmark: Any, tour: Tour) -> None:
    """Drawing and measuring included; the loop has the values."""
    saved = beside(
        benchmark,
        tour.loop,
        lambda: list(initcli.save_histograms(tour.model, tour.folder)),
    )
    assert len(saved) == 11


def test_a_stack_of_dense_layers(benchmark: Any, tmp_path: Path) -> None:
    """Two pictures a layer, by all cores, beside the import of what draws them."""
    layers = 200 if benchmark.enabled else 2
    block = {"repeat": layers, "layers": [{"type": "Dense", "units": 64}]}
    spec = tmp_path / "stack.json"
    spec.write_text(json.dumps({"input_shape": [64], "layers": [block]}))
    command = python("-m", "initcli", "hist", spec, "--out", tmp_path / "plots")
    printed = beside(benchmark, python("-c", "import matplotlib.figure, PIL.Image"), command, 3)
    assert len(printed.splitlines()) == 2 * layers + 1
