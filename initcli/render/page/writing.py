"""A page as HTML: one template, with the style, the script and the data inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources

import jinja2
import msgspec

from initcli.measuring.fit import DOUBTFUL
from initcli.render.page.facts import Page, SpreadFacts, TensorFacts
from initcli.render.page.shapes import panels, small_histogram
from initcli.render.signal_table import depth_scale, figure
from initcli.render.table import size_text
from initcli.types import shape_text

DATA_ID = "initcli-data"
"""The id of the element that holds a page's data."""
GENERATOR = '<meta name="generator" content="initcli">'
"""By this line, near its beginning, a page is known to be initcli's."""
FIRST_CELLS = 60
"""Tensors that the overview shows at once; the others are folded."""


def page_html(page: Page) -> str:
    """The page as one HTML document, which needs nothing beside it.

    The same page gives the same text.
    """
    style, script = _source("page.css"), _source("page.js")
    tensors = page.tensors or ()
    smalls = [None if each.bars is None else small_histogram(each.bars) for each in tensors]
    cells = [place for place, each in enumerate(tensors) if not is_constant(each)]
    signal = page.signal
    return _template().render(
        page=page,
        model=page.model,
        generator=GENERATOR,
        style=style,
        script=script,
        hashes={"style": _hash(style), "script": _hash(script)},
        data_id=DATA_ID,
        data=_data(page),
        size=size_text(page.model.bytes),
        smalls=smalls,
        cells=cells,
        first_cells=FIRST_CELLS,
        constants=_constants(tensors),
        poor=[place for place, each in enumerate(tensors) if is_poor(each)],
        is_poor=is_poor,
        row=lambda tensor: _row(tensor, page.model.dtype),
        doubtful=DOUBTFUL,
        drawn=any(each.drawn for each in tensors),
        partly=any(each.drawn and each.drawn.count < each.size for each in tensors),
        panels=panels(signal) if signal else (),
        depth_scale="" if signal is None else depth_scale(signal.depth_scale, ascii_only=False),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(
        number=_number, count=_count, figure=figure, median=_median, share=_share
    )
    return environment.from_string(_source("template.html.j2"))


def is_poor(tensor: TensorFacts) -> bool:
    """Whether a tensor fits its distribution so badly that hardly one in a thousand would by
    chance."""
    return tensor.fit is not None and tensor.fit.p < DOUBTFUL


def is_constant(tensor: TensorFacts) -> bool:
    """Whether all entries of a tensor are the same."""
    if tensor.drawn is not None:
        return tensor.drawn.min == tensor.drawn.max and tensor.drawn.count > 1
    return tensor.distribution is not None and tensor.distribution.std == 0


def _row(tensor: TensorFacts, dtype: str) -> list[str]:
    """The cells of a tensor in the table, between its picture and its fit."""
    distribution, drawn = tensor.distribution, tensor.drawn
    initializer = tensor.initializer
    if not tensor.trainable:
        initializer += " · not trained"
    if tensor.dtype != dtype:
        initializer += f" · {tensor.dtype}"
    if drawn is not None:
        figures = [_number(each) for each in (drawn.mean, drawn.std, drawn.min, drawn.max)]
    elif distribution is not None:
        ends = (
            "-∞" if distribution.low is None else _number(distribution.low),
            "∞" if distribution.high is None else _number(distribution.high),
        )
        figures = [_number(distribution.mean), _number(distribution.std), *ends]
    else:
        figures = [""] * 4
    text = distribution.text if distribution else "not known"
    return [shape_text(tensor.shape), _count(tensor.size), initializer, text, *figures]


def _constants(tensors: Sequence[TensorFacts]) -> list[tuple[str, int]]:
    """The distributions of constant tensors, the most frequent first, and how many have each."""
    found: dict[str, int] = {}
    for each in tensors:
        if is_constant(each):
            text = each.distribution.text if each.distribution else "distribution not known"
            found[text] = found.get(text, 0) + 1
    return sorted(found.items(), key=lambda item: -item[1])


def _data(page: Page) -> str:
    """The page as JSON in which nothing can end the element that holds it."""
    text = msgspec.json.encode(page).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _source(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """What a content security policy calls a text by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _number(value: float | None, digits: int = 4) -> str:
    """A number in so many digits; nothing where there is none."""
    return "" if value is None else f"{value:.{digits}g}"


def _count(value: int) -> str:
    return f"{value:,}"


def _median(value: SpreadFacts | None) -> str:
    if value is None:
        return ""
    return "overflows" if value.median is None else figure(value.median)


def _share(value: SpreadFacts | None) -> str:
    return "" if value is None or value.median is None else f"{100 * value.median:.0f}%"
