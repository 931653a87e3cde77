"""The page as text: what it carries, what joins it, and that no name can break out of it."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import initcli
from initcli.distributions import SphereCoordinate
from initcli.errors import OutputError
from initcli.initializers import Custom, Initializer
from initcli.initializers.random import RandomNormal
from initcli.parameter import Parameter
from initcli.render.page import (
    Page,
    page_html,
    report_page,
    save_page,
    signal_page,
    tensors_page,
)
from initcli.render.page.bars import Bars, distribution_bars
from initcli.render.page.saving import PAGE_FILE
from initcli.render.page.shapes import panels, small_histogram
from initcli.sampling.chunks import rounding_edges
from initcli.types import Dtype
from support.paths import ROOT
from support.running import run

EVERY_KIND: list[dict[str, Any] | str] = [
    "he_uniform",
    "he_normal",
    "zeros",
    {"type": "Orthogonal", "gain": 1.0},
    {"type": "Constant", "value": 0.4},
    "identity",
    {"type": "RandomNormal", "mean": 5.0, "stddev": 1e-3},
    {"type": "Sparse", "sparsity": 0.9},
]


def model(*initializers: dict[str, Any] | str, units: int = 8, **spec: Any) -> initcli.Model:
    layers = [
        {"type": "Dense", "units": units, "use_bias": False, "kernel_initializer": each}
        for each in initializers or ("glorot_uniform",)
    ]
    return initcli.parse(json.dumps({"input_shape": [units], "layers": layers, **spec}))


def drawn_page(of: initcli.Model) -> Page:
    return tensors_page(of, initcli.summarize(of))


def bars_of(of: initcli.Model) -> list[Bars]:
    return [msgspec.convert(tensor["bars"], Bars) for tensor in drawn_page(of)["tensors"]]


def carried(html: str) -> dict[str, Any]:
    """The data of a page, as a browser would find it."""
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


class Elements(HTMLParser):
    """The elements of a page, and the text that is not in a script or a style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.text.append(data)


# ------------------------------------------------------------------------ histogram and
# distribution


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_page_has_the_measured_counts_between_the_measured_edges(dtype: Dtype) -> None:
    of = model(*EVERY_KIND, units=24, dtype=dtype)
    for summary, bars in zip(initcli.summarize(of), bars_of(of), strict=True):
        assert summary.measured is not None
        shown = summary.measured.shown
        edges = bars.edges
        # The page's edges are some of those shown: a sliver at an end is one with its neighbor.
        assert set(edges) <= set(shown.edges)
        assert len(shown.edges) - 2 <= len(edges) <= len(shown.edges)
        assert (edges[0], edges[-1]) == (shown.edges[0], shown.edges[-1])
        starts = np.searchsorted(shown.edges, edges[:-1])
        assert bars.counts == tuple(np.add.reduceat(shown.counts, starts).tolist())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_distribution_puts_as_many_entries_into_the_bins_as_it_has_there(dtype: Dtype) -> None:
    of = model(*EVERY_KIND, units=24, dtype=dtype)
    for summary, bars in zip(initcli.summarize(of), bars_of(of), strict=True):
        distribution, seen = summary.distribution, summary.measured
        assert distribution is not None
        assert seen is not None
        expected = sum(bars.expected)
        # Values round to those of the dtype, so the distribution's share is that of what rounds
        # into reach.
        reach = rounding_edges(np.array([bars.low, np.nextafter(bars.high, np.inf)]), dtype)
        low, high = distribution.below(reach)
        assert expected == pytest.approx(seen.count * (high - low), rel=1e-5)


def test_an_even_distribution_stands_level_whatever_the_width_of_the_last_bin() -> None:
    for seed in range(20):
        (bars,) = bars_of(model("random_uniform", units=40, seed=seed, dtype="float64"))
        level = bars.height(bars.expected)
        assert level == pytest.approx(np.full(level.size, level[1]), rel=1e-4)
        # No bin is so narrow that an entry or two would tower over all others.
        assert np.min(np.diff(bars.edges)) >= bars.width / 2


def test_an_atom_stands_in_its_bin() -> None:
    (bars,) = bars_of(model({"type": "Sparse", "sparsity": 0.75}, units=32))
    highest = int(np.argmax(bars.expected))
    assert bars.edges[highest] <= 0 < bars.edges[highest + 1]
    beside = bars.expected[highest + 1]
    assert bars.expected[highest] - beside == pytest.approx(0.75 * 32 * 32, rel=0.02)


def test_a_density_without_bound_has_a_finite_height() -> None:
    (bars,) = bars_of(model({"type": "Orthogonal", "gain": 1.0}, units=2))
    assert all(map(math.isfinite, bars.expected))
    distribution = SphereCoordinate(2, 1.0)
    of_distribution = distribution_bars(distribution, 1000, "float64")
    assert sum(of_distribution.expected) == pytest.approx(1000, rel=1e-5)
    assert of_distribution.expected[0] > of_distribution.expected[32]


@pytest.mark.parametrize("value", [65504.0, -65504.0, 6e-8, 0.4])
def test_a_constant_of_half_precision_is_one_bar(value: float) -> None:
    (bars,) = bars_of(model({"type": "Constant", "value": value}, dtype="float16"))
    assert (bars.counts, bars.expected) == ((64,), (64.0,))
    small = small_histogram(msgspec.to_builtins(bars))
    assert (small.bins, small.bars, small.line) == (1, "M.45 48V2h.1V48z", "M.42 2h.16")


def test_half_precision_to_its_ends_is_drawn() -> None:
    of = model({"type": "RandomUniform", "minval": -32752, "maxval": 32752}, dtype="float16")
    (bars,) = bars_of(of)
    assert sum(bars.counts) == 64
    assert page_html(drawn_page(of))


def test_a_panel_of_the_overview_says_the_ends_of_its_axis() -> None:
    of = model({"type": "RandomUniform", "minval": -2.5, "maxval": 0.75})
    (bars,) = bars_of(of)
    text = " ".join(Elements(page_html(drawn_page(of))).text)
    assert re.search(rf"{bars.low:.3g}\s+{bars.high:.3g}\s", text)


# ------------------------------------------------------------------------ what may be missing


def test_a_model_without_tensors_has_a_page() -> None:
    of = initcli.parse('{"input_shape": [4], "layers": [{"type": "Flatten"}]}')
    text = " ".join(Elements(page_html(drawn_page(of))).text)
    assert "There is no tensor to show." in text


def test_of_theory_alone_the_figures_are_the_distribution_s() -> None:
    of = model("he_uniform", {"type": "RandomNormal", "stddev": 2.0})
    page = tensors_page(of, initcli.theory(of))
    assert [tensor["measured"] for tensor in page["tensors"]] == [None, None]
    assert all(tensor["bars"]["counts"] == [] for tensor in page["tensors"])
    text = " ".join(" ".join(Elements(page_html(page)).text).split())
    assert "Nothing was drawn: these are the distributions." in text
    assert re.search(r"N\(0, 2²\) ([\d,]+ )?0 2 -∞ ∞", text)


def test_a_distribution_that_nobody_knows_is_said_to_be_unknown() -> None:
    def odd(shape: tuple[int, ...], dtype: str | None = None) -> Any:
        return np.arange(math.prod(shape), dtype=dtype).reshape(shape)

    own: Initializer = Custom(name="odd", file="own.py", function=odd)
    parameter = Parameter(path="a/kernel", shape=(8, 8), initializer=own)
    page = tensors_page(model(), initcli.summarize(model(), only=[parameter]))
    (tensor,) = page["tensors"]
    assert tensor["distribution"] is None
    assert tensor["fit"] is None
    assert tensor["bars"]["expected"] == []
    assert "not known" in " ".join(Elements(page_html(page)).text)


def test_a_bad_fit_is_named() -> None:
    of = model("he_normal", "he_normal")
    first, second = initcli.summarize(of)
    assert second.fit is not None
    bad = msgspec.structs.replace(second, fit=msgspec.structs.replace(second.fit, p_value=1e-9))
    text = " ".join(" ".join(Elements(page_html(tensors_page(of, [first, bad]))).text).split())
    assert "1 of 2 tensors fits its distribution badly (p < 0.001" in text
    assert "poor 1e-09" in text


def test_a_picture_is_a_link_beside_the_page() -> None:
    of = model()
    path = of.parameters[0].path
    page = tensors_page(of, initcli.summarize(of), {path: "dense.kernel.png"})
    assert carried(page_html(page))["tensors"][0]["picture"] == "dense.kernel.png"


# ------------------------------------------------------------------------ names


HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<!--",
    "]]>",
    "{{ 7 * 7 }}",
    "a' onclick='alert(1)",
    "&lt;b&gt;",
    "línea層🔥",
    "w" * 199,
]


def test_no_name_can_break_out_of_the_page() -> None:
    plain = Elements(page_html(whole_page(named(["a"] * len(HOSTILE)))))
    whole = whole_page(named(HOSTILE))
    hostile = Elements(page_html(whole))
    assert hostile.tags.count("script") == plain.tags.count("script") == 2
    assert hostile.tags.count("img") == 0
    names = {name for name, _ in hostile.attributes}
    assert names == {name for name, _ in plain.attributes}
    assert not any(name.startswith("on") for name in names)
    assert "49" not in " ".join(hostile.text).split()
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page_html(whole), re.S)
    assert data is not None
    assert not set("<>&") & set(data[1])


def test_names_come_back_as_they_were() -> None:
    found = {tensor["path"] for tensor in carried(page_html(whole_page(named(HOSTILE))))["tensors"]}
    for name in HOSTILE:
        assert any(path.startswith(name.replace("/", "∕")) for path in found)


@pytest.mark.parametrize("character", ["\u202e", "\u2028", "\x1b", "\0", "\ud800"])
def test_what_cannot_be_seen_is_made_visible(character: str) -> None:
    parameter = Parameter(path=f"a{character}b/kernel", shape=(4, 4), initializer=RandomNormal())
    html = page_html(tensors_page(model(), initcli.theory(model(), only=[parameter])))
    assert character not in html
    (tensor,) = carried(html)["tensors"]
    assert tensor["path"] == f"a{character.encode('unicode_escape').decode()}b/kernel"


def named(names: list[str]) -> initcli.Model:
    layers = [
        {"type": "Dense", "units": 3, "name": f"{name.replace('/', '∕')}{number}"}
        for number, name in enumerate(names)
    ]
    return initcli.parse(json.dumps({"name": names[0], "input_shape": [3], "layers": layers}))


def whole_page(of: initcli.Model) -> Page:
    """A page with every section."""
    signal = signal_page(initcli.predict_signal(of))
    return {**drawn_page(of), **signal, **report_page(initcli.check(of, how="predicted"))}


# ------------------------------------------------------------------------ the file


def test_the_same_page_is_the_same_bytes_and_says_that_it_fetches_nothing() -> None:
    of = model(*EVERY_KIND)
    one, other = page_html(whole_page(of)), page_html(whole_page(of))
    assert one == other
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', one)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[1]
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", one)
    for name, value in Elements(one).attributes:
        assert name not in ("src", "style", "srcset"), (name, value)


def test_what_commands_find_joins_one_page_in_any_order(tmp_path: Path) -> None:
    of = model("he_normal", "he_normal")
    pages = [
        drawn_page(of),
        signal_page(initcli.predict_signal(of)),
        report_page(initcli.check(of, how="predicted")),
    ]
    for number, order in enumerate([(0, 1, 2), (2, 1, 0), (1, 0, 2)]):
        folder = tmp_path / str(number)
        files = {save_page(folder, pages[place]) for place in order}
        assert files == {folder / PAGE_FILE}
        html = (folder / PAGE_FILE).read_text("utf-8")
        assert all(carried(html)[name] for name in ("tensors", "signal", "findings"))
        assert all(f'<section id="{name}"' in html for name in ("tensors", "signal", "findings"))
    contents = {(tmp_path / str(number) / PAGE_FILE).read_bytes() for number in range(3)}
    assert len(contents) == 1


def test_a_section_is_replaced_by_its_like(tmp_path: Path) -> None:
    of = model("he_normal", "he_normal")
    save_page(tmp_path, drawn_page(of))
    file = save_page(tmp_path, tensors_page(of, list(initcli.summarize(of))[:1]))
    assert len(carried(file.read_text("utf-8"))["tensors"]) == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(model("he_normal", seed=1), id="another seed"),
        pytest.param(model("he_uniform"), id="another initializer"),
        pytest.param(model("he_normal", name="other"), id="another name"),
        pytest.param(model("he_normal", dtype="float64"), id="another dtype"),
        pytest.param(model("he_normal", units=9), id="another shape"),
    ],
)
def test_the_page_of_another_model_is_replaced(tmp_path: Path, other: initcli.Model) -> None:
    save_page(tmp_path, signal_page(initcli.predict_signal(model("he_normal"))))
    notes: list[str] = []
    html = save_page(tmp_path, drawn_page(other), notes.append).read_text("utf-8")
    assert "signal" not in carried(html)
    (note,) = notes
    assert "was a page of" in note
    assert note.endswith("and is replaced")


def test_a_page_of_the_same_model_is_joined_without_a_note(tmp_path: Path) -> None:
    notes: list[str] = []
    of = model("he_normal")
    save_page(tmp_path, signal_page(initcli.predict_signal(of)), notes.append)
    save_page(tmp_path, drawn_page(of), notes.append)
    assert notes == []


@pytest.mark.parametrize("content", ["<!doctype html><title>mine</title>", "", "\0" * 2000])
def test_a_file_that_is_not_initcli_s_is_left_alone(tmp_path: Path, content: str) -> None:
    file = tmp_path / PAGE_FILE
    file.write_text(content, "utf-8")
    with pytest.raises(OutputError, match="the file that is there is not initcli's"):
        save_page(tmp_path, drawn_page(model()))
    assert file.read_text("utf-8") == content


def damaged(html: str) -> list[str]:
    """Ways in which a page's data may be no longer what it was."""
    start = html.index('<script type="application/json"')
    begin = html.index(">", start) + 1
    end = html.index("</script>", begin)
    data = json.loads(html[begin:end])

    def holding(text: str) -> str:
        return html[:begin] + text + html[end:]

    def changed(**changes: Any) -> str:
        return holding(json.dumps({**data, **changes}))

    signal = data["signal"]
    return [
        html[:begin] + html[begin:][:40],  # cut off
        html[:start],
        holding("{"),
        holding("[" * 100_000),
        holding("null"),
        changed(version="0"),
        changed(signal={**signal, "batch": -1}),
        changed(signal={**signal, "layers": [{"name": "a", "type": "Dense"}]}),
    ]


def test_a_page_that_is_damaged_is_written_anew(tmp_path: Path) -> None:
    of = model("he_normal")
    file = save_page(tmp_path, signal_page(initcli.predict_signal(of)))
    whole = file.read_text("utf-8")
    page = drawn_page(of)
    for content in damaged(whole):
        file.write_text(content, "utf-8")
        assert save_page(tmp_path, page).read_text("utf-8") == page_html(page)
    file.write_text(whole, "utf-8")
    assert "signal" in carried(save_page(tmp_path, page).read_text("utf-8"))


def test_a_page_of_another_version_is_written_anew(tmp_path: Path) -> None:
    of = model("he_normal")
    save_page(tmp_path, {**signal_page(initcli.predict_signal(of)), "version": "0"})
    html = save_page(tmp_path, drawn_page(of)).read_text("utf-8")
    assert "signal" not in carried(html)


def test_a_folder_in_the_page_s_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / PAGE_FILE).mkdir()
    with pytest.raises(OutputError, match="folder"):
        save_page(tmp_path, drawn_page(model()))


# ------------------------------------------------------------------------ signal and findings


def test_the_panels_go_through_the_figures_on_a_logarithmic_axis() -> None:
    of = model(*["he_normal"] * 3, units=64)
    layers = signal_page(initcli.measure_signal(of, batch=8, draws=2))["signal"]["layers"]
    std, gradient = panels(layers)
    for panel in (std, gradient):
        assert panel.line.count("L") == panel.predicted.count("L") == 2
        assert panel.band.endswith("z")
        assert len(panel.up) >= 3
    # Twice as large is as far up wherever it is.
    numbers = {tick.text: float(tick.place.rstrip("%")) for tick in std.up}
    found = sorted((float(text), place) for text, place in numbers.items())
    slopes = [(b[1] - a[1]) / math.log(b[0] / a[0]) for a, b in pairwise(found)]
    assert slopes == pytest.approx([slopes[0]] * len(slopes), rel=0.02)
    assert slopes[0] < 0
    # And so are the figures: a unit of the panel is a quarter of a percent of its height.
    heights = [float(point.split()[1]) / 4 for point in std.line[1:].split("L")]
    medians = [layer["output"]["std"]["median"] for layer in layers]
    for (one, low), (other, high) in pairwise(zip(medians, heights, strict=True)):
        assert high - low == pytest.approx(slopes[0] * math.log(other / one), abs=0.3)


def test_the_page_says_the_first_loss_beside_that_of_knowing_nothing() -> None:
    layers = [{"type": "Dense", "units": 10, "activation": "softmax", "name": "classes"}]
    of = initcli.parse(json.dumps({"input_shape": [64], "layers": layers}))
    (loss,) = signal_page(initcli.predict_signal(of))["signal"]["losses"]
    html = page_html(signal_page(initcli.predict_signal(of)))
    said = f"predicted {loss['predicted']:.3g}, {math.log(10):.3g} if it knew nothing"
    assert f"<dt>first loss of classes</dt><dd>{said}</dd>" in html


def test_a_signal_that_is_0_or_overflows_is_said_to_be() -> None:
    dead = model("zeros", "zeros")
    signal = signal_page(initcli.measure_signal(dead, batch=4, draws=1))["signal"]
    std, _ = panels(signal["layers"])
    assert std.notes == ("0 at 2 layers",)
    assert std.line == ""
    huge = model(*[{"type": "RandomNormal", "stddev": 1e30}] * 12)
    with np.errstate(all="ignore"):
        signal = signal_page(initcli.measure_signal(huge, batch=4, draws=1))["signal"]
    assert signal["verdict"]["text"] == "overflows"
    assert any("overflows at" in note for note in panels(signal["layers"])[0].notes)
    html = page_html(signal_page(initcli.measure_signal(dead, batch=4, draws=1)))
    assert "0 at 2 layers" in html


def test_findings_stand_with_their_place_and_remedy_the_worst_first() -> None:
    of = model("he_normal", "zeros", "he_normal", units=64)
    page = report_page(initcli.check(of, how="predicted"))
    found = page["findings"]["findings"]
    assert found
    severities = [each["severity"] for each in found]
    assert severities == sorted(severities)
    text = " ".join(" ".join(Elements(page_html(page)).text).split())
    for each in found:
        for part in ("code", "rule", "message", "remedy"):
            assert " ".join(each[part].split()) in text
        assert each["why"][1:] in text
        assert f"{each['file']}:{each['line']}:{each['column']}" in text


def test_nothing_found_is_said() -> None:
    report = initcli.check(model("lecun_normal"), how="predicted", select=["I101"])
    assert not report.findings
    assert "Nothing found." in " ".join(Elements(page_html(report_page(report))).text)


def test_the_commands_put_what_they_found_into_one_page(tmp_path: Path) -> None:
    config = str(ROOT / "sample_configs" / "lenet5.yaml")
    file = tmp_path / PAGE_FILE
    done = run("hist", config, "--out", tmp_path, "--html")
    assert done.returncode == 0
    assert Path(done.stdout.splitlines()[-1]) == file
    page = carried(file.read_text("utf-8"))
    assert {(tmp_path / each["picture"]).is_file() for each in page["tensors"]} == {True}
    assert {"signal", "findings"}.isdisjoint(key for key, value in page.items() if value)
    assert run("signal", config, "--theory", "--html", tmp_path).returncode == 0
    assert run("check", config, "--theory", "--html", tmp_path).returncode == 0
    page = carried(file.read_text("utf-8"))
    assert len(page["tensors"]) == 10
    assert len(page["signal"]["layers"]) == 8
    assert [each["code"] for each in page["findings"]["findings"]] == ["I201"]


@pytest.mark.parametrize("command", ["signal", "check"])
def test_a_page_that_is_not_initcli_s_stays(tmp_path: Path, command: str) -> None:
    file = tmp_path / PAGE_FILE
    file.write_text("mine", "utf-8")
    config = str(ROOT / "sample_configs" / "lenet5.yaml")
    done = run(command, config, "--theory", "--html", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{file}: cannot be written: ")
    assert file.read_text("utf-8") == "mine"
