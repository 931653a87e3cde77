"""Layers' calls against the real Keras: what tests/reference/make_call_facts.py wrote down."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from autograd.builtins import tuple as boxed
from autograd.core import make_vjp

import initcli
from initcli.layers.flow import Flow
from initcli.signal import arrays
from initcli.signal.program import Program, Step, program
from support.paths import facts
from support.waves import agrees, wave

FACTS: list[Any] = facts("call_facts.json")
UNKNOWN = 9
BATCH = 3


def one_layer(kind: str, input_shape: Any, arguments: dict[str, Any]) -> tuple[Program, Step]:
    """The program of a model of that layer alone."""
    several = input_shape and isinstance(input_shape[0], list)
    shapes = input_shape if several else [input_shape]
    names = [f"in{k}" for k in range(len(shapes))]
    entries = [
        {"type": "Input", "name": name, "shape": [UNKNOWN if n is None else n for n in shape]}
        for name, shape in zip(names, shapes, strict=True)
    ]
    layer = {"type": kind, "inputs": names, **arguments, "name": "layer"}
    spec = {"layers": [*entries, layer], "outputs": ["layer"]}
    built = program(initcli.parse(json.dumps(spec)), BATCH)
    return built, built.steps[-1]


def weights_of(step: Step) -> dict[str, Any]:
    found = {}
    for k, (name, parameter) in enumerate(step.weights.items()):
        value = wave(parameter.shape, 5.0 + k)
        if "variance" in name or "stddev" in name:
            value = np.abs(value) + np.float32(0.5)
        found[name] = value * np.float32(0.5)
    return found


def inputs_of(kind: str, step: Step, built: Program, arguments: dict[str, Any]) -> list[Any]:
    shapes = [built.shapes[tensor] for tensor in step.inputs]
    if kind in ("Embedding", "ReversibleEmbedding", "CategoryEncoding"):
        most: int = arguments.get("input_dim") or arguments.get("num_tokens") or 5
        return [np.arange(np.prod(shape)).reshape(shape) * 7 % most for shape in shapes]
    return [wave(shape, 0.3 + k) for k, shape in enumerate(shapes)]


# A count depends on no input as far as gradients go, which are 0 then.
@pytest.mark.filterwarnings("ignore:Output seems independent of input")
@pytest.mark.parametrize(
    ("kind", "input_shape", "arguments", "facts"),
    FACTS,
    ids=[f"{kind}-{json.dumps(arguments)}" for kind, _, arguments, _ in FACTS],
)
def test_outputs_and_gradients_are_those_of_keras(
    kind: str, input_shape: Any, arguments: dict[str, Any], facts: dict[str, Any]
) -> None:
    built, step = one_layer(kind, input_shape, arguments)
    weights, inputs = weights_of(step), inputs_of(kind, step, built, arguments)
    names = list(facts.get("weights", ()))
    moving = len(inputs) if "inputs" in facts else 0

    def function(variables: Any) -> Any:
        now = {**weights, **dict(zip(names, variables[: len(names)], strict=True))}
        flow = Flow(xp=arrays, weights=now, training=facts["training"])
        taken = [*variables[len(names) :], *inputs[moving:]]
        found = step.layer.call(flow, *taken)
        return boxed(found if isinstance(found, list) else [found])

    variables = boxed([*(weights[name] for name in names), *inputs[:moving]])
    if not names and not moving:
        outputs = function(variables)
        pulled: list[Any] = []
    else:
        pull, outputs = make_vjp(function, variables)
        pulled = list(pull(boxed([wave(y.shape, 9.0 + k) for k, y in enumerate(outputs)])))
    for y, kept in zip(outputs, facts["outputs"], strict=True):
        assert agrees(y, kept, 1e-4)
        assert y.dtype != np.float64
    wanted = [*facts.get("weights", {}).values(), *facts.get("inputs", ())]
    assert len(pulled) == len(wanted)
    for gradient, kept in zip(pulled, wanted, strict=True):
        if kept[1] is None:
            # Keras on JAX has none where it takes the root of nothing.
            assert np.all(np.isfinite(gradient))
        else:
            assert agrees(gradient, kept, 1e-3)
        assert gradient.dtype == np.float32
