"""How long it takes to change every layer of a text, beside reading that text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from initcli.documents.edit import Change, edited
from initcli.documents.json_text import parse_json
from initcli.documents.yaml_text import parse_yaml
from support.beside import beside

LAYERS = 3_000
TEXTS = {
    "block": "layers:\n" + "  - type: Dense\n    units: 1\n" * LAYERS,
    "flow": "layers:\n" + "  - {type: Dense, units: 1}\n" * LAYERS,
    "json": json.dumps({"layers": [{"type": "Dense", "units": 1}] * LAYERS}),
}


@pytest.mark.parametrize("style", TEXTS)
def test_every_layer_of_3000_gets_another_initializer(benchmark: Any, style: str) -> None:
    text, parse = TEXTS[style], parse_json if style == "json" else parse_yaml
    changes = [Change(("layers", i, "kernel_initializer"), f"name{i}") for i in range(LAYERS)]
    file = f"model.{style}"
    after = beside(benchmark, lambda: parse(text, file), lambda: edited(text, file, changes))
    last = parse(after, file).data["layers"][-1]
    assert last["kernel_initializer"] == f"name{LAYERS - 1}"
