"""The layer that declares a parameter, and the way to it through wrappers."""

from __future__ import annotations

import json
from typing import Any

import pytest

import initcli

Data = dict[str, Any]


NESTED: list[tuple[Data, list[tuple[str | int, ...]]]] = [
    (
        {"type": "RNN", "cell": [{"type": "GRUCell", "units": 2}, {"type": "GRUCell", "units": 3}]},
        [("cell", 0), ("cell", 1)],
    ),
    (
        {
            "type": "RNN",
            "cell": {"type": "StackedRNNCells", "cells": [{"type": "GRUCell", "units": 2}]},
        },
        [("cell", "cells", 0)],
    ),
    (
        {
            "type": "TimeDistributed",
            "layer": {"type": "SpectralNormalization", "layer": {"type": "Dense", "units": 2}},
        },
        [("layer",), ("layer", "layer")],
    ),
    (
        {
            "type": "Bidirectional",
            "layer": {"type": "LSTM", "units": 2},
            "backward_layer": {"type": "LSTM", "units": 2, "go_backwards": True},
        },
        [("layer",), ("backward_layer",)],
    ),
    ({"type": "Bidirectional", "layer": {"type": "LSTM", "units": 2}}, [("layer",)]),
]


@pytest.mark.parametrize(("layer", "keys"), NESTED)
def test_a_parameter_knows_the_way_to_the_layer_that_declares_it(
    layer: Data, keys: list[tuple[str | int, ...]]
) -> None:
    model = initcli.parse(json.dumps({"input_shape": [5, 6], "layers": [layer]}))
    owners = [parameter.owner for parameter in model.parameters]
    assert sorted({owner.keys for owner in owners if owner is not None}, key=str) == sorted(
        keys, key=str
    )
