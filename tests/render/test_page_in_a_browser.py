"""The page in a real browser: it can be searched, sorted, opened and read, and fetches nothing.

The browser is the one that ``INITCLI_CHROMIUM`` names, or else one that is installed; where there
is none, or no Playwright to drive it, these tests are skipped.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import initcli
from initcli.render.page import report_page, save_page, signal_page, tensors_page
from support.browser import launch

playwright = pytest.importorskip("playwright.sync_api")

Opener = Callable[..., Any]

BREAKOUT = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        launched = launch(driver)
        if launched is None:
            pytest.skip("there is no Chromium")
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Opener]:
    """Opens a file in a context of its own, which must say no error and fetch nothing else."""
    contexts: list[Any] = []
    said: list[str] = []
    fetched: list[str] = []
    pages: set[str] = set()

    def open_file(file: Path, fragment: str = "", **options: Any) -> Any:
        size = {"width": options.pop("width", 1280), "height": 900}
        context = browser.new_context(viewport=size, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: fetched.append(request.url))
        pages.add(file.as_uri())
        page.goto(file.as_uri() + fragment)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert said == []
    assert {url.partition("#")[0] for url in fetched} == pages


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all sections: ten tensors, one with a name that tries to be markup."""
    kernels: list[Any] = [
        "he_uniform",
        {"type": "RandomNormal", "stddev": 3.0},
        {"type": "Orthogonal", "gain": 1.0},
        "zeros",
        "random_uniform",
    ]
    layers = [
        {
            "type": "Dense",
            "units": 10 * number,
            "name": BREAKOUT if number == 2 else f"layer_{number}",
            "activation": "relu",
            "kernel_initializer": kernel,
            "bias_initializer": {"type": "Constant", "value": number / 100},
        }
        for number, kernel in enumerate(kernels, start=1)
    ]
    model = initcli.parse(json.dumps({"name": "small", "input_shape": [30], "layers": layers}))
    folder = tmp_path_factory.mktemp("page")
    pictures = {model.parameters[0].path: "layer_1.kernel.png"}
    save_page(folder, tensors_page(model, initcli.summarize(model), pictures))
    save_page(folder, signal_page(initcli.measure_signal(model, batch=4, draws=2)))
    return save_page(folder, report_page(initcli.check(model, how="predicted")))


def rows(page: Any) -> list[str]:
    """The paths of the rows that are shown, from top to bottom."""
    found: list[str] = page.eval_on_selector_all(
        "#tensor-table tbody tr:not([hidden]) th", "cells => cells.map((cell) => cell.textContent)"
    )
    return found


def column(page: Any, number: int) -> list[str]:
    """The texts of a column, from top to bottom, the first having number 1."""
    found: list[str] = page.eval_on_selector_all(
        f"#tensor-table tbody tr:not([hidden]) > :nth-child({number})",
        "cells => cells.map((cell) => cell.textContent)",
    )
    return found


def shown_tensor(page: Any) -> str | None:
    """The title of the dialog, or None where it is closed."""
    dialog = page.locator("#tensor")
    return page.locator("#tensor-title").inner_text() if dialog.is_visible() else None


def wait_until(page: Any, expression: str, arg: object = None) -> None:
    """Wait until an expression is true. Playwright's own wait evaluates texts: pages forbid it."""
    end = time.monotonic() + 30
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def wait_for_tensor(page: Any, title: str | None) -> None:
    """Wait until the dialog shows a tensor of that title, or None, and is closed."""
    wait_until(
        page,
        """title => {
            const open = document.getElementById('tensor').open;
            const shown = document.getElementById('tensor-title').innerText;
            return title === null ? !open : open && shown === title;
        }""",
        title,
    )


def wait_for_focus(page: Any, text: str) -> None:
    """Wait until the focus is on an element with that text."""
    wait_until(
        page, "text => document.activeElement.innerText.replaceAll('\\n', '') === text", text
    )


# ------------------------------------------------------------------------ the table


def test_searching_shows_what_has_every_word_and_says_how_many(
    gallery: Path, opened: Opener
) -> None:
    page = opened(gallery)
    assert len(rows(page)) == 10
    search = page.get_by_label("Search")
    search.fill("LAYER kernel")
    assert rows(page) == [f"layer_{number}/kernel" for number in (1, 3, 4, 5)]
    assert page.locator("#shown").inner_text() == "4 of 10 tensors"
    search.fill("orthogonal")
    assert rows(page) == ["layer_3/kernel"]
    search.fill("no such tensor")
    assert rows(page) == []
    assert page.get_by_text("No tensor matches.").is_visible()
    search.fill("")
    page.get_by_label("biases").check()
    assert len(rows(page)) == 5
    assert all(path.endswith("/bias") for path in rows(page))


def test_sorting_is_by_number_in_both_directions_and_back(gallery: Path, opened: Opener) -> None:
    page = opened(gallery)
    before = rows(page)
    titles = page.locator("#tensor-table thead th").all_text_contents()
    for name in ("weights", "mean", "std", "fit p"):
        number = [title.strip() for title in titles].index(name) + 1
        head = page.locator(f"#tensor-table thead th:nth-child({number})")
        button = head.get_by_role("button", name=name, exact=True)
        for direction in ("ascending", "descending"):
            button.click()
            assert head.get_attribute("aria-sort") == direction
            texts = column(page, number)
            values = [float(re.sub(r"poor|[\s,]", "", text)) for text in texts]
            assert values == sorted(values, reverse=direction == "descending")
            assert len(set(values)) > 2
        assert page.locator("th[aria-sort]").count() == 1
        button.click()
        assert page.locator("th[aria-sort]").count() == 0
        assert rows(page) == before
    page.locator("thead").get_by_role("button", name="tensor", exact=True).press("Enter")
    assert rows(page) == sorted(before, key=lambda path: (path[0] != "<", path))


def test_every_column_but_the_pictures_can_be_sorted(gallery: Path, opened: Opener) -> None:
    page = opened(gallery)
    heads = page.locator("#tensor-table thead th")
    unsorted = [text for text in heads.all_inner_texts() if text.strip()]
    assert page.locator("#tensor-table thead th button").count() == len(unsorted) - 1
    for button in page.locator("#tensor-table thead th button").all():
        button.click()
        assert len(rows(page)) == 10


# ------------------------------------------------------------------------ one tensor


def test_a_tensor_opens_by_mouse_and_closes_to_where_it_was(gallery: Path, opened: Opener) -> None:
    page = opened(gallery)
    page.locator("#tensor-table").get_by_text("layer_3/kernel").click()
    wait_for_tensor(page, "layer_3/kernel")
    assert page.url.endswith("#t=layer_3/kernel")
    body = page.locator("#tensor-body")
    assert "Orthogonal(gain=1)" in body.inner_text()
    said = body.get_by_role("img").get_attribute("aria-label")
    assert re.match(
        r"Histogram of layer_3/kernel\. 600 entries drawn from .* The distribution is Haar", said
    )
    page.keyboard.press("Escape")
    wait_for_tensor(page, None)
    wait_for_focus(page, "layer_3/kernel")
    page.wait_for_url(gallery.as_uri())


def test_a_tensor_opens_by_keyboard_and_arrows_go_on_from_it(gallery: Path, opened: Opener) -> None:
    page = opened(gallery)
    page.get_by_label("Search").fill("kernel")
    page.locator("#tensor-table tbody a").first.focus()
    page.keyboard.press("Enter")
    wait_for_tensor(page, "layer_1/kernel")
    assert page.locator("#previous").is_disabled()
    page.keyboard.press("ArrowRight")
    wait_for_tensor(page, f"{BREAKOUT}/kernel")
    page.locator("#next").click()
    wait_for_tensor(page, "layer_3/kernel")
    page.keyboard.press("ArrowLeft")
    wait_for_tensor(page, f"{BREAKOUT}/kernel")
    page.keyboard.press("Escape")
    # To the row of the one that was seen last.
    wait_for_focus(page, f"{BREAKOUT}/kernel")


def test_the_way_back_closes_a_tensor(gallery: Path, opened: Opener) -> None:
    page = opened(gallery)
    page.locator("#overview a.cell").first.click()
    wait_for_tensor(page, "layer_1/kernel")
    page.keyboard.press("ArrowRight")
    page.go_back()
    wait_for_tensor(page, None)
    page.go_forward()
    wait_until(page, "document.getElementById('tensor').open")


def test_an_address_opens_its_tensor(gallery: Path, opened: Opener) -> None:
    page = opened(gallery, "#t=layer_5%2Fbias")
    wait_for_tensor(page, "layer_5/bias")
    page.locator("#close").click()
    wait_for_tensor(page, None)
    page.wait_for_url(f"{gallery.as_uri()}#tensors")
    for fragment in ("#t=nothing", "#t=%E0%A4%A", "#t="):
        assert shown_tensor(opened(gallery, fragment)) is None


def test_the_figures_are_those_drawn_beside_the_distribution_s(
    gallery: Path, opened: Opener
) -> None:
    page = opened(gallery, "#t=layer_1/kernel")
    figures = page.locator("#tensor-body table").first.locator("tbody tr")
    found = {
        cells[0]: cells[1:]
        for cells in (row.locator("th, td").all_inner_texts() for row in figures.all())
    }
    model = initcli.parse(
        '{"input_shape": [30], "layers": [{"type": "Dense", "units": 10, "name": "layer_1",'
        ' "kernel_initializer": "he_uniform"}]}'
    )
    summary = next(iter(initcli.summarize(model)))
    seen, distribution = summary.measured, summary.distribution
    assert seen is not None
    assert distribution is not None
    low, high = distribution.support
    pairs = {
        "mean": (seen.mean, distribution.mean),
        "std": (seen.std, distribution.std),
        "min": (seen.min, low),
        "max": (seen.max, high),
    }
    for name, values in pairs.items():
        assert found[name] == [f"{value:.4g}" for value in values]
    link = page.get_by_role("link", name="Its picture as a file")
    assert link.get_attribute("href") == "./layer_1.kernel.png"


def test_numbers_are_written_as_python_writes_them(gallery: Path, opened: Opener) -> None:
    page = opened(gallery)
    values = [0.1, 123456.0, 1234.56, -0.00012345, 1e-5, 9.9999e-5, 9999.96, 65504.0, 1e300, 2.0]
    found = page.evaluate("(values) => values.map((value) => general(value))", values)
    assert found == [f"{value:.4g}" for value in values]


def test_a_slider_reads_out_bins(gallery: Path, opened: Opener) -> None:
    page = opened(gallery, "#t=layer_3/kernel")
    slider = page.get_by_role("slider", name="Bin")
    output = page.locator("#tensor-body output")
    slider.focus()
    page.keyboard.press("Home")
    first = output.inner_text()
    assert re.fullmatch(r"-\S+ to -\S+ · \d+ drawn · \S+ expected", first)
    assert slider.get_attribute("aria-valuetext") == first
    page.keyboard.press("ArrowRight")
    assert output.inner_text() != first
    wait_for_tensor(page, "layer_3/kernel")
    bins = int(slider.get_attribute("max")) + 1
    drawn = 0
    page.keyboard.press("Home")
    for _ in range(bins):
        drawn += int(re.search(r"(\d+) drawn", output.inner_text())[1])  # type: ignore[index]
        page.keyboard.press("ArrowRight")
    assert drawn == 600
    page.keyboard.press("Home")
    plot = page.locator("#tensor-body .plot").bounding_box()
    page.mouse.move(plot["x"] + plot["width"] / 2, plot["y"] + 20)
    assert output.inner_text() != first


# ------------------------------------------------------------------------ signal and findings


def test_the_signal_is_read_out_layer_by_layer(gallery: Path, opened: Opener) -> None:
    page = opened(gallery)
    output = page.locator("#layer-output")
    assert output.inner_text().startswith("1: layer_1 (Dense) · output std ")
    page.get_by_role("slider", name="Layer").focus()
    page.keyboard.press("ArrowRight")
    assert output.inner_text().startswith(f"2: {BREAKOUT} (Dense)")
    labels = page.locator("#panels [role=img]").evaluate_all(
        "plots => plots.map((plot) => plot.getAttribute('aria-label'))"
    )
    assert [label.split(" over 5 layers")[0] for label in labels] == [
        "Standard deviation of the output",
        "Root mean square of the gradient",
    ]


def test_a_remedy_can_be_copied(gallery: Path, opened: Opener) -> None:
    page = opened(gallery)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.locator("#findings .copy").first
    remedy = page.locator("#findings .remedy code").first.inner_text()
    # The label lasts two seconds, which a busy machine may sleep through.
    page.evaluate(
        """() => {
            const button = document.querySelector('#findings .copy');
            window.labels = [];
            new MutationObserver(() => window.labels.push(button.textContent))
                .observe(button, {childList: true});
        }"""
    )
    page.bring_to_front()
    button.click()
    wait_until(page, "window.labels.length > 0")
    if page.evaluate("window.labels[0]") == "Copied":
        assert page.evaluate("navigator.clipboard.readText()") == remedy
    else:
        assert page.evaluate("getSelection().toString()") == remedy


# ------------------------------------------------------------------------ how it looks


def test_light_and_dark_are_what_is_asked_for(gallery: Path, opened: Opener) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    colors = {}
    for scheme in ("light", "dark"):
        page = opened(gallery, color_scheme=scheme)
        colors[scheme] = page.evaluate(ground)
    assert brightness(colors["light"]) > 200 > 60 > brightness(colors["dark"])
    page.get_by_label("light").check()
    wait_until(page, f"{ground} === '{colors['light']}'")
    page.wait_for_timeout(500)  # The browser stores the choice in another process.
    page.reload()
    wait_until(page, f"{ground} === '{colors['light']}'")
    page.get_by_label("auto").check()
    wait_until(page, f"{ground} === '{colors['dark']}'")


def brightness(color: str) -> float:
    """The mean of red, green and blue of ``rgb(…)``."""
    return sum(map(int, re.findall(r"\d+", color)[:3])) / 3


@pytest.mark.parametrize("width", [360, 800, 1440])
def test_the_page_is_never_wider_than_the_window(gallery: Path, opened: Opener, width: int) -> None:
    page = opened(gallery, width=width)
    for detail in page.locator("details").all():
        detail.evaluate("detail => { detail.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.locator("#tensor-table tbody a").first.click()
    assert page.evaluate("document.getElementById('tensor').scrollWidth") <= width


@pytest.mark.parametrize("width", [1000, 1280])
def test_a_desktop_shows_every_column_or_says_that_tables_scroll(
    gallery: Path, opened: Opener, width: int
) -> None:
    page = opened(gallery, width=width)
    for table in ("tensor", "layer"):
        hidden = page.evaluate(
            f"(box => box.scrollWidth - box.clientWidth)"
            f"(document.getElementById('{table}-table').parentElement)"
        )
        assert (hidden > 0) == (width < 1280)
    cut = page.evaluate(
        "[...document.querySelectorAll('.rows th, .rows td')]"
        ".filter(cell => cell.scrollWidth > cell.clientWidth + 1).map(cell => cell.textContent)"
    )
    assert cut == []
    hint = page.evaluate(
        "getComputedStyle(document.querySelector('#tensor-table caption'), '::after').content"
    )
    assert ("scrolls sideways" in hint) == (width < 1280)


@pytest.mark.parametrize("blocks", [60])
def test_a_section_is_reached_past_rows_that_are_not_laid_out_yet(
    tmp_path: Path, opened: Opener, blocks: int
) -> None:
    # Names that take several lines, which nobody knows before they are laid out.
    model = theory_model(blocks, name="a_block_whose_name_takes_several_lines_of_the_table")
    save_page(tmp_path, signal_page(initcli.predict_signal(model)))
    file = save_page(tmp_path, tensors_page(model, initcli.theory(model)))
    for width in (320, 400, 640):
        page = opened(file, width=width)
        page.get_by_role("link", name="Signal").click()
        wait_until(
            page, "Math.abs(document.getElementById('signal').getBoundingClientRect().top - 36) < 4"
        )


def test_without_scripts_it_can_be_read(gallery: Path, opened: Opener, browser: Any) -> None:
    page = opened(gallery, java_script_enabled=False)
    assert page.locator("#tensor-table tbody tr").count() == 10
    assert page.get_by_text("layer_3/kernel").first.is_visible()
    assert page.locator("#findings li").first.is_visible()
    assert not page.get_by_label("Search").is_visible()
    assert not page.get_by_label("Bin").is_visible()


def test_a_thousand_tensors_are_as_quick_as_their_number(tmp_path: Path, opened: Opener) -> None:
    times: dict[int, float] = {}
    for blocks in (10, 100):
        model = theory_model(blocks)
        file = save_page(tmp_path / str(blocks), tensors_page(model, initcli.theory(model)))
        page = opened(file)
        assert page.locator("#tensor-table tbody tr").count() == 10 * blocks
        assert page.locator("#overview .cell").count() == min(10 * blocks, 60)
        times[blocks] = page.evaluate(
            """() => {
              const buttons = document.querySelectorAll("#tensor-table thead button");
              const runs = [...buttons].slice(0, 6).map((button) => {
                const start = performance.now();
                button.click();
                document.body.offsetHeight;
                return performance.now() - start;
              });
              return Math.min(...runs);
            }"""
        )
        page.locator("#overview summary").click()
        wait_until(page, f"document.querySelectorAll('#overview .cell').length === {10 * blocks}")
        assert page.locator("#overview .cell path").count() == 10 * blocks
        page.context.close()
        assert file.stat().st_size < 3e3 * 10 * blocks + 60e3
    # Ten times the rows; a sort that goes through all of them for each would take a hundred times.
    assert times[100] < 40 * max(times[10], 1.0)


def theory_model(blocks: int, name: str = "block") -> initcli.Model:
    layers = [{"type": "Dense", "units": 8, "use_bias": False} for _ in range(10)]
    spec = {"input_shape": [8], "layers": [{"repeat": blocks, "name": name, "layers": layers}]}
    return initcli.parse(json.dumps(spec))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_audit_finds_nothing_that_keeps_anybody_out(
    gallery: Path, opened: Opener, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(gallery, color_scheme=scheme)
    # In the dark nothing but the colors differs.
    options: dict[str, Any] = {} if scheme == "light" else {"runOnly": ["color-contrast"]}
    closed = axe.run(page, options=options).response["violations"]
    page.locator("#tensor-table tbody a").first.click()
    open_ = axe.run(page, context="#tensor", options=options).response["violations"]
    found = [
        (each["id"], [node["html"][:200] for node in each["nodes"]]) for each in closed + open_
    ]
    assert found == []
