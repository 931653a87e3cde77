"""A page as HTML: one template, with the style, the script and the data inside."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter, defaultdict
from functools import cache
from importlib import resources
from typing import Any

import jinja2

from initcli.errors import printable
from initcli.measuring.fit import DOUBTFUL
from initcli.render.page.data import Page
from initcli.render.page.shapes import panels, small_histogram
from initcli.render.signal_table import depth_scale, figure
from initcli.render.table import size_text
from initcli.types import shape_text

GENERATOR = '<meta name="generator" content="initcli">'
"""The line near the beginning of a page that identifies it as written by initcli."""
DATA = re.compile(rb'id="initcli-data" data-hash="(\w+)">(.*?)</script>', re.DOTALL)
"""The data of a page, preceded by its hash."""
_HEADS = (
    *(("path", "tensor"), ("", "distribution"), ("shape", "shape"), ("size", "weights")),
    *(("initializer", "initializer"), ("distribution", "distribution")),
)
"""Keys to sort by and headings of the first columns; a picture cannot be sorted."""
FIRST_CELLS = 60
"""Number of tensors that the overview shows at once; the others are folded."""


def page_html(page: Page) -> str:
    """The page as one self-contained HTML document; the same page gives the same text."""
    style, script = _source("page.css"), _source("page.js")
    tensors = page.get("tensors")
    signal = page.get("signal")
    shown = tensors or ()
    data = _data(page)
    heads = [(str(key), each["heading"]) for key, each in enumerate(page.get("columns", ()))]
    return template("template.html.j2").render(
        model=page["model"],
        version=page["version"],
        tensors=tensors,
        signal=signal,
        findings=page.get("findings"),
        generator=GENERATOR,
        style=style,
        script=script,
        hashes={"style": _hash(style), "script": _hash(script)},
        data=data,
        data_hash=hashlib.sha256(data.encode()).hexdigest(),
        size=size_text(page["model"]["bytes"]),
        smalls=[each["bars"] and small_histogram(each["bars"]) for each in shown],
        cells=[place for place, each in enumerate(shown) if not each["constant"]],
        first_cells=FIRST_CELLS,
        constants=Counter(_text(each) for each in shown if each["constant"]).most_common(),
        poor=[place for place, each in enumerate(shown) if each["poor"]],
        heads=(*_HEADS, *heads, ("p", "fit p")),
        nothing=defaultdict(lambda: None),
        row=lambda tensor: _row(tensor, page),
        text=_text,
        doubtful=DOUBTFUL,
        stored=page["model"]["source"] == "weights",
        drawn=any(each["measured"] for each in shown),
        partly=any(each["measured"] and _entries(each) < each["size"] for each in shown),
        panels=panels(signal["layers"]) if signal else (),
        depth_scale="" if not signal else depth_scale(signal["verdict"]["depth_scale"], False),
    )


@cache
def template(name: str) -> jinja2.Template:
    """A template of this folder."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(
        number=_number,
        count="{:,}".format,
        figure=figure,
        median=_median,
        share=_share,
        printable=printable,
    )
    return environment.from_string(_source(name))


def _entries(tensor: dict[str, Any]) -> int:
    measured = tensor["measured"]
    return int(measured["count"] + measured["nans"] + measured["infs"])


def _text(tensor: dict[str, Any]) -> str:
    distribution = tensor["distribution"]
    return distribution["text"] if distribution else "distribution not known"


def _row(tensor: dict[str, Any], page: Page) -> list[str]:
    """The cells of a tensor in the table, between its picture and its fit."""
    initializer = tensor["initializer_text"] or ""
    if tensor["trainable"] is False:
        initializer += " · not trained"
    if tensor["dtype"] != page["model"]["dtype"]:
        initializer += f" · {tensor['dtype']}"
    figures = [_figure(tensor, column) for column in page["columns"]]
    shape = shape_text(tuple(tensor["shape"]))
    text = _text(tensor).removeprefix("distribution ")
    return [shape, f"{tensor['size']:,}", initializer, text, *figures]


def _figure(tensor: dict[str, Any], column: dict[str, Any]) -> str:
    """A measured figure, or the figure of the distribution if nothing was measured."""
    path = column["path"]
    if path[0] == "measured" and tensor["measured"] is None:
        path = column["expected"]
    value: Any = tensor
    for name in path or ():
        value = value and value[name]
    if value is None and tensor["distribution"] and path:
        return {"low": "-∞", "high": "∞"}.get(path[-1], "")
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else _number(value)


def _data(page: Page) -> str:
    """The page as JSON that cannot end the HTML element around it."""
    text = json.dumps(page, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _source(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """The hash of a text for a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _number(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}g}"


def _median(value: dict[str, Any] | None) -> str:
    if value is None:
        return ""
    return "overflows" if value["median"] is None else figure(value["median"])


def _share(value: dict[str, Any] | None) -> str:
    return "" if value is None or value["median"] is None else f"{100 * value['median']:.0f}%"
