"""Histograms as files of each kind, and as bars in the terminal."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import initcli
from initcli.render.bars import HEIGHT, BarChart
from initcli.reports.summary import TensorSummary, common_range
from support.paths import ROOT, TOUR
from support.running import run, run_process

SVG = "{http://www.w3.org/2000/svg}"


def save(
    folder: Path, *options: str, spec: Path | str = TOUR, text: str | None = None
) -> list[Path]:
    done = run("hist", spec, "--out", folder, *options, text=text)
    assert done.returncode == 0, done.stderr
    return [Path(line) for line in done.stdout.splitlines()]


def test_svg_has_the_names_as_text_and_is_the_same_every_time(tmp_path: Path) -> None:
    files = save(tmp_path / "a", "--format", "svg")
    assert [file.suffix for file in files] == [".svg"] * 11
    again = save(tmp_path / "b", "--format", "svg")
    assert [a.read_bytes() for a in files] == [b.read_bytes() for b in again]
    for file in files:
        texts = [each.text or "" for each in ElementTree.parse(file).iter(f"{SVG}text")]
        if file.stem == "overview":
            shown = {text for text in texts if "/" in text}
            assert shown == {p.path for p in initcli.load(str(TOUR)).parameters}
        else:
            assert any(text.startswith(file.stem.replace(".", "/")) for text in texts)


def test_pdf_is_a_document_of_one_page_and_the_same_every_time(tmp_path: Path) -> None:
    files = save(tmp_path / "a", "--format", "pdf", "--filter", "dense/*")
    again = save(tmp_path / "b", "--format", "pdf", "--filter", "dense/*")
    assert [file.name for file in files] == ["dense.kernel.pdf", "dense.bias.pdf", "overview.pdf"]
    for one, other in zip(files, again, strict=True):
        content = one.read_bytes()
        assert content == other.read_bytes()
        assert content.startswith(b"%PDF-")
        assert len(re.findall(rb"/Type /Page\b(?!s)", content)) == 1
        assert content.rstrip().endswith(b"%%EOF")


def test_dpi_scales_the_pixels_and_nothing_else(tmp_path: Path) -> None:
    (small, *_), (large, *_) = (
        save(tmp_path / dpi, "--dpi", dpi, "--filter", "dense/kernel") for dpi in ("100", "200")
    )
    with Image.open(small) as one, Image.open(large) as other:
        assert other.width == 2 * one.width
        assert abs(other.height - 2 * one.height) <= 1
        assert other.info["dpi"] == pytest.approx((200, 200), abs=0.5)


def distribution_colors(file: Path, color: tuple[int, int, int]) -> np.ndarray:
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB"))
    found: np.ndarray = (pixels == color).all(axis=2)
    return found


def test_on_the_same_scale_widths_can_be_compared(tmp_path: Path) -> None:
    """Tensors of std 0.05 and 1 have bars as wide as each other, but not on one scale."""
    options = ("--filter", "dense_1/kernel", "--filter", "dense_3/kernel")
    drawn = (0x5B, 0x8D, 0xB8)
    widths = {}
    for scale in ([], ["--same-scale"]):
        narrow, wide, _ = save(tmp_path / f"{len(scale)}", *options, *scale)
        widths[bool(scale)] = [
            int(np.ptp(np.flatnonzero(distribution_colors(file, drawn)[100:420].any(axis=0))))
            for file in (narrow, wide)
        ]
    # The distribution's line hides some of the lowest bars, at the ends.
    assert widths[False][0] == pytest.approx(widths[False][1], rel=0.05)
    assert widths[True][0] < 0.1 * widths[True][1]


def test_a_logarithmic_scale_shows_a_single_entry_among_thousands(tmp_path: Path) -> None:
    spec = (
        "input_shape: [100]\nlayers: [{type: Dense, units: 100, kernel_initializer: random_normal}]"
    )
    drawn = (0x5B, 0x8D, 0xB8)
    heights = {}
    for log in ([], ["--log"]):
        file = save(tmp_path / f"{len(log)}", *log, "--bins", "40", spec="-", text=spec)[0]
        columns = distribution_colors(file, drawn)[100:420].sum(axis=0)
        filled = columns[columns > 0]
        heights[bool(log)] = np.percentile(filled, 10) / filled.max()
    assert heights[False] < 0.05 < 0.1 < heights[True]


@pytest.mark.parametrize("option", [["--html"], ["--format", "svg"], ["--dpi", "200"]])
def test_what_is_for_files_wants_a_folder(option: list[str]) -> None:
    done = run("hist", TOUR, *option)
    assert done.returncode == 2
    assert "--out" in done.stderr


# In the terminal.


def chart(path: str, width: int = 80, **options: object) -> list[str]:
    """The lines of one tensor's bars, without what stands above and below."""
    model = initcli.load(str(TOUR))
    (tensor,) = initcli.summarize(model, only=model.matching([path]))
    return lines_of(tensor, width, **options)


def lines_of(tensor: TensorSummary, width: int = 80, **options: object) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(BarChart(width=width, **options).of(tensor))  # type: ignore[arg-type]
    return capture.get().splitlines()


def heights(bars: list[str], full: str = "█") -> list[int]:
    """How many lines of each column are filled, the distribution's signs among them counted as
    empty."""
    width = max(map(len, bars))
    return [sum(line.ljust(width)[column] == full for line in bars) for column in range(8, width)]


def test_bars_are_as_high_as_the_counts() -> None:
    model = initcli.load(str(TOUR))
    (tensor,) = initcli.summarize(model, only=model.matching(["dense_1/kernel"]))
    seen = tensor.measured
    assert seen is not None
    bins = 24
    lines = lines_of(tensor, bins=bins)
    bars = lines[-1 - HEIGHT : -1]
    found = heights(bars)
    columns = len(found) // bins
    counts, _ = np.histogram(initcli.draw(tensor.parameter), bins, (seen.min, seen.max))
    top = max(counts.max(), 1)
    for index, count in enumerate(counts):
        # A sign of the distribution hides at most one line, and eighths round.
        assert abs(found[index * columns] - count / top * HEIGHT) <= 2.1


def test_the_distribution_lies_over_the_bars_where_it_expects_as_much() -> None:
    lines = chart("dense_1/kernel", bins=24)
    bars = lines[-1 - HEIGHT : -1]
    assert any("•" in line[8:] for line in bars)
    model = initcli.load(str(TOUR))
    (parameter,) = model.matching(["dense_1/kernel"])
    (seen,) = (found for _, found in initcli.measure([parameter]))
    edges = np.linspace(seen.min, seen.max, 25)
    assert parameter.distribution is not None
    expected = np.diff(parameter.distribution.cdf(edges)) * seen.count
    counts, _ = np.histogram(initcli.draw(parameter), 24, (seen.min, seen.max))
    top = max(counts.max(), expected.max())
    columns = (max(map(len, bars)) - 8) // 24
    for index, wanted in enumerate(expected):
        height = wanted / top * HEIGHT
        if height > 0.2:
            line = bars[HEIGHT - 1 - min(int(height), HEIGHT - 1)].ljust(200)
            assert line[8 + index * columns] == "•"


def test_a_constant_is_one_bar_with_its_distribution_on_top() -> None:
    lines = chart("dense_2/bias")
    bars = lines[-1 - HEIGHT : -1]
    signs = [line[8:].strip() for line in bars]
    assert set(signs[0]) == {"•"}
    assert all(set(sign) == {"█"} and len(sign) == len(signs[0]) for sign in signs[1:])
    assert bars[0].split()[0] == "8"
    assert "0.4" in lines[-1]


def test_a_constant_and_its_distribution_are_in_one_bin_however_its_dtype_rounds_it() -> None:
    # 0.4 in float32 is more than 0.4, and lies on the edge between two bins.
    signs = [line[8:] for line in chart("dense_2/bias", bins=2)[-1 - HEIGHT : -1]]
    assert signs[0].index("•") == signs[1].index("█")
    assert signs[0].rindex("•") == signs[1].rindex("█")


def test_few_values_in_a_wide_range_are_still_seen() -> None:
    lines = chart("dense_1/kernel")
    foot = lines[-2][8:]
    assert "▁" in foot or "•" in foot
    assert foot.strip() == foot.rstrip()


@pytest.mark.parametrize("width", [30, 80, 140])
def test_the_terminal_s_width_is_kept(width: int) -> None:
    shown = run("hist", TOUR, width=width)
    assert shown.returncode == 0
    assert max(map(len, shown.stdout.splitlines())) <= width
    assert " ".join(shown.stdout.split()).count("fit p=") == 5


def test_one_scale_for_all_and_a_logarithm_in_the_terminal() -> None:
    model = initcli.load(str(TOUR))
    tensors = list(initcli.summarize(model))
    scale = common_range(tensors)
    ends = {lines_of(tensor, scale=scale)[-1].split()[0] for tensor in tensors}
    assert ends == {f"{scale[0]:.3g}"}
    model_of_one = model.matching(["dense_1/kernel"])
    (tensor,) = initcli.summarize(model, only=model_of_one)
    plain, log = (
        heights(lines_of(tensor, bins=20, log=log)[-1 - HEIGHT : -1]) for log in (False, True)
    )
    # Where there are a hundredth as many as at the top, a logarithm still shows half as much.
    assert max(plain[:8]) == 0 < 2 <= max(log[:8])
    assert run("hist", TOUR, "--same-scale", "--log", "--filter", "dense_1/kernel").returncode == 0


def test_a_custom_initializer_has_bars_without_a_distribution() -> None:
    shown = run(
        "hist",
        ROOT / "sample_configs" / "tour_custom.yaml",
        "--custom",
        ROOT / "sample_configs" / "my_inits.py",
        "--filter",
        "conv1d/kernel",
    ).stdout
    assert "distribution not known" in shown
    assert "•" not in shown.partition("distribution not known")[2]


def test_a_home_that_cannot_be_written_brings_no_notice_of_matplotlib(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("")  # no folder can be made in a file, whoever asks
    model = str(ROOT / "sample_configs" / "lenet5.yaml")
    x = str(home / "x")
    for command in (
        ["hist", model, "--filter", "dense/bias", "--out", str(tmp_path / "plots")],
        ["signal", model, "--theory", "--quiet", "--out", str(tmp_path / "signal.png")],
    ):
        done = run_process(*command, HOME=x, XDG_CONFIG_HOME=x, XDG_CACHE_HOME=x, MPLCONFIGDIR="")
        assert (done.returncode, done.stderr) == (0, "")
