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
from initcli.render import plots
from initcli.render.bars import HEIGHT, BarChart
from initcli.render.plots import Style, tensor_cell, tensor_picture
from initcli.render.tensor_axes import TensorPicture, shared_picture
from initcli.reports.tensors import TensorSummary, common_range
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
            shown = {name for text in texts for name in re.findall(r"\w+/\w+", text)}
            assert shown == {p.path for p in initcli.load(str(TOUR)).parameters}
            assert {"tour", "■ drawn", "— distribution", "constant 1: dense/bias"} <= set(texts)
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
        assert b"/CreationDate" not in content
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


def svg_texts(file: Path) -> list[str]:
    return [each.text or "" for each in ElementTree.parse(file).iter(f"{SVG}text")]


FAR = """
import numpy as np
def outlier(shape, dtype=None):
    values = np.random.default_rng(0).standard_normal(shape)
    values.flat[:2] = 1e6, -1e7
    return values.astype(dtype)
def cauchy(shape, dtype=None):
    return np.random.default_rng(0).standard_cauchy(shape).astype(dtype)
"""


@pytest.mark.parametrize("name", ["outlier", "cauchy"])
def test_far_values_leave_the_others_visible_and_are_counted(name: str, tmp_path: Path) -> None:
    custom = tmp_path / "far.py"
    custom.write_text(FAR)
    layer = f"{{type: Dense, units: 100, use_bias: false, kernel_initializer: {name}}}"
    spec = f"input_shape: [100]\nlayers: [{layer}]"
    options = ["--custom", str(custom)]
    picture, overview = save(tmp_path / "png", *options, spec="-", text=spec)
    for file, least in ((picture, 0.02), (overview, 0.01)):
        # A picture with one bar of a thousand has a few hundredths of a percent of this color.
        assert distribution_colors(file, (0x5B, 0x8D, 0xB8)).mean() > least
    picture, _ = save(tmp_path / "svg", *options, "--format", "svg", spec="-", text=spec)
    texts = [text for text in svg_texts(picture) if text.endswith("beyond")]
    counts = [int(re.sub(r"\D", "", text)) for text in texts]
    rng = np.random.default_rng(0)
    if name == "outlier":
        assert counts == [1, 1]
    else:
        # The tails beyond 16 distances of the quartiles: 1 in 100 on each side, ± 4 deviations.
        values = rng.standard_cauchy(10_000)
        assert len(counts) == 2
        for count, expected in zip(
            counts, ((values < -30).sum(), (values > 30).sum()), strict=True
        ):
            assert abs(count - expected) < 60
    shown = run("hist", "-", *options, text=spec).stdout
    assert re.search(r"about \d+ beyond the axis", " ".join(shown.split()))
    assert len([line for line in shown.splitlines() if "█" in line]) > 5


def test_the_range_can_be_given_and_what_lies_beyond_is_counted(tmp_path: Path) -> None:
    options = ("--filter", "dense_1/kernel", "--range", "-0.05:0.1")
    picture, _ = save(tmp_path, *options, "--format", "svg")
    (parameter,) = initcli.load(str(TOUR)).matching(["dense_1/kernel"])
    values = initcli.draw(parameter)
    texts = svg_texts(picture)
    assert f"◂ {(values < -0.05).sum():,} beyond" in texts
    assert f"{(values > 0.1).sum():,} ▸ beyond" in texts
    assert run("hist", TOUR, *options).stdout.splitlines()[-1].split()[::2] == ["-0.05", "0.1"]


BLOCKS = (
    "input_shape: [8]\nlayers: [{repeat: 13, name: block, layers: [{type: Dense, units: 8}, "
    "{type: Dense, name: down, units: 8}]}]"
)


@pytest.mark.parametrize(("options", "pages"), [((), 1), (("--all",), 2)])
def test_equal_blocks_share_a_panel_unless_all_is_asked_for(
    options: tuple[str, ...], pages: int, tmp_path: Path
) -> None:
    chosen = ("--filter", "*/kernel", "--filter", "block_0/*", "--format", "svg")
    files = save(tmp_path, *chosen, *options, spec="-", text=BLOCKS)
    overviews = [file for file in files if file.stem.startswith("overview")]
    assert len(files) - len(overviews) == 28
    assert len(overviews) == pages
    texts = [text for file in overviews for text in svg_texts(file)]
    panels = [text for text in texts if re.fullmatch(r"block_\d+/\w+/kernel", text)]
    assert len(panels) == (2 if not options else 26)
    assert any("block_12/down/kernel · 13 tensors" in text for text in texts) == (not options)
    (line,) = (text for text in texts if text.startswith("constant 0: "))
    assert line == "constant 0: block_0/dense/bias, block_0/down/bias"


def test_the_bars_of_a_shared_panel_lie_between_the_least_and_the_most() -> None:
    model = initcli.parse(BLOCKS)
    found = [
        TensorPicture.of(parameter, seen, initcli.data_histogram(parameter, seen, 10))
        for parameter, seen in initcli.measure(model.matching(["*/down/kernel"]))
    ]
    shared = shared_picture(found)
    edges = shared.histogram.edges
    counts = np.array([each.histogram.between(edges) for each in found])
    assert shared.most is not None
    np.testing.assert_array_equal(shared.histogram.counts, counts.min(axis=0))
    np.testing.assert_array_equal(shared.most, counts.max(axis=0))
    assert counts.sum(axis=1) == pytest.approx(np.full(13, 64))


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


def test_constants_that_follow_one_another_are_drawn_as_each_alone() -> None:
    layers = ", ".join(
        f"{{type: Dense, units: {units}, name: {name}, bias_initializer: {value}, {more}}}"
        for name, units, value, more in (
            ("one", 4, "zeros", ""),
            ("a_longer_name", 4, "zeros", ""),
            ("ones", 4, "ones", ""),
            ("more", 5, "zeros", ""),
            ("half", 4, "zeros", "dtype: float16"),
        )
    )
    spec = f"{{input_shape: [3], layers: [{layers}]}}"
    pictures = [
        TensorPicture.of(parameter, seen, seen.shown)
        for parameter, seen in initcli.measure(
            initcli.parse(spec).matching(["*/bias", "one/kernel"])
        )
    ]
    for draw, style in (
        (tensor_picture, Style()),
        (tensor_picture, Style(dpi=60)),
        (tensor_cell, Style(log=True)),
    ):
        together = [draw(picture, style) for picture in (*pictures, *pictures)]
        alone = []
        for picture in pictures:
            plots._sheet.cache_clear()
            alone.append(draw(picture, style))
        assert together == [*alone, *alone]
        assert len(set(alone)) == len(alone)
