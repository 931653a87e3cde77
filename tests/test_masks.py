"""Masks against the real Keras: what tests/reference/make_mask_facts.py wrote down."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from autograd.builtins import tuple as boxed
from autograd.core import make_vjp

import initcli
from initcli.layers import known_layers
from initcli.layers.base import computed, computed_masks
from initcli.layers.flow import Flow
from initcli.signal import arrays
from initcli.signal.measured import measure_signal, predict_signal
from initcli.signal.passes import Pass, backwards, forwards
from initcli.signal.program import Step, program
from initcli.types import Array

FACTS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "reference" / "mask_facts.json").read_text("utf-8")
)
BATCH = 3
IDS = ("Embedding", "ReversibleEmbedding")


def wave(shape: tuple[int, ...], phase: float) -> Array:
    """As in tests/reference/make_call_facts.py."""
    count = int(np.prod(shape, dtype=np.int64))
    return np.sin(1.7 * np.arange(count) + phase).reshape(shape).astype(np.float32)


def pattern(name: str, shape: tuple[int, ...], phase: float) -> Array:
    """As in tests/reference/make_mask_facts.py."""
    if name == "some":
        found = np.sin(2.3 * np.arange(int(np.prod(shape))) + phase).reshape(shape) > -0.4
        found[:, :1] = True
        return found
    found = np.ones(shape, bool)
    if name == "left":
        found[:2, : shape[1] // 2] = False
    elif name == "right":
        found[1:, (shape[1] + 1) // 2 :] = False
    elif name == "nothing":
        found[0] = False
    return found


def mask_of(given: Any, shape: Any, phase: float) -> Array | None:
    if given is None:
        return None
    name, own = given if isinstance(given, list) else (given, shape)
    return pattern(name, (BATCH, *own), phase)


def agrees(found: Array, kept: list[float], tolerance: float) -> bool:
    flat = np.asarray(found, np.float64).reshape(-1)
    size, rms, *entries = kept
    places = np.linspace(0, flat.size - 1, min(flat.size, 6)).astype(int)
    scale = tolerance * max(rms, 1e-2)
    apart = np.abs(flat[places] - entries)
    is_near = bool(np.all(apart <= 3 * scale + tolerance * np.abs(entries)))
    return flat.size == size and abs(math.sqrt(np.mean(flat * flat)) - rms) <= scale and is_near


def filled(name: str, shape: tuple[int, ...], number: int) -> Array:
    value = wave(shape, 5.0 + number)
    if "variance" in name or "stddev" in name:
        value = np.abs(value) + np.float32(0.5)
    return value * np.float32(0.5)


def layer_alone(kind: str, shapes: Any, arguments: dict[str, Any]) -> Step:
    names = [f"in{k}" for k in range(len(shapes))]
    entries = [
        {"type": "Input", "name": name, "shape": shape}
        for name, shape in zip(names, shapes, strict=True)
    ]
    spec = {"layers": [*entries, {"type": kind, "inputs": names, **arguments}]}
    return program(initcli.parse(json.dumps(spec)), BATCH).steps[-1]


# Where Keras has no mean, of no step at all, both have NaN.
@pytest.mark.filterwarnings("ignore:Output seems independent of input")
@pytest.mark.parametrize(
    ("kind", "shapes", "arguments", "masks", "given", "facts"),
    FACTS["cases"],
    ids=[json.dumps(each[:-1]) for each in FACTS["cases"]],
)
def test_layers_do_with_masks_what_those_of_keras_do(
    kind: str, shapes: Any, arguments: dict[str, Any], masks: Any, given: Any, facts: Any
) -> None:
    step = layer_alone(kind, shapes, arguments)
    if kind in IDS:
        sizes = [(BATCH, *shape) for shape in shapes]
        inputs = [np.arange(np.prod(size)).reshape(size) * 7 % 5 for size in sizes]
    else:
        inputs = [wave((BATCH, *shape), 0.3 + k) for k, shape in enumerate(shapes)]
    if kind == "Masking":
        inputs[0][:2, 1:3] = arguments["mask_value"]
    places = {"value_mask": 1, "key_mask": 1}
    named = {
        name: mask_of(each, shapes[places.get(name, 0)][:-1], 0.7 + k)
        for k, (name, each) in enumerate(given.items())
    }
    parameters = step.weights.items()
    flow = Flow(
        np=arrays,
        weights={name: filled(name, p.shape, k) for k, (name, p) in enumerate(parameters)},
        masks=tuple(
            mask_of(mask, shape if kind in IDS else shape[:-1], 0.2 + k)
            for k, (mask, shape) in enumerate(zip(masks, shapes, strict=True))
        ),
        given_masks=named,
    )
    outputs = computed(step.layer, flow, inputs)
    for y, kept in zip(outputs, facts["outputs"], strict=True):
        assert agrees(y, kept, 1e-4)
        assert y.dtype == np.float32
    found = computed_masks(step.layer, flow, inputs)
    found += [None] * (len(outputs) - len(found))
    assert [None if m is None else m.astype(int).tolist() for m in found] == facts["masks"]
    if "gradients" in facts:

        def function(variables: Any) -> Any:
            return boxed(computed(step.layer, flow, list(variables)))

        pull, _ = make_vjp(function, boxed(inputs))
        pulled = pull(boxed([wave(y.shape, 9.0 + k) for k, y in enumerate(outputs)]))
        for gradient, kept in zip(pulled, facts["gradients"], strict=True):
            assert agrees(gradient, kept, 1e-3)


def input_of(source: Any, shape: tuple[int, ...], place: int) -> Array:
    """As in tests/reference/make_mask_facts.py."""
    if source.name == "kept_steps":
        return pattern("some", shape, 0.4 + place)
    if source.most is not None:
        found = np.arange(np.prod(shape)).reshape(shape) * 5 + place
        found = (found * found) % 7
        found[1:, (shape[1] + 1) // 2 :] = 0
        return found
    real = wave(shape, 0.3 + place)
    real[1:, shape[1] // 2 :] = 0
    return real


@pytest.mark.parametrize(
    ("name", "facts"), FACTS["models"], ids=[name for name, _ in FACTS["models"]]
)
def test_models_do_with_masks_what_those_of_keras_do(name: str, facts: dict[str, Any]) -> None:
    model = initcli.parse(json.dumps(facts["json"]))
    built = program(model, BATCH)
    numbers = {parameter.path: k for k, parameter in enumerate(model.parameters)}
    about = Pass(lambda p: filled(p.path, p.shape, numbers[p.path]), "0")
    tensors = {
        source.tensor: input_of(source, built.shapes[source.tensor], k)
        for k, source in enumerate(built.sources)
    }
    for _ in forwards(built, tensors, about):
        pass
    for tensor, kept, mask in zip(built.results, facts["outputs"], facts["masks"], strict=True):
        assert agrees(tensors[tensor], kept, 1e-4)
        found = about.masks.get(tensor)
        assert (None if found is None else found.astype(int).tolist()) == mask
    cotangents = {
        tensor: wave(built.shapes[tensor], 9.0 + k) for k, tensor in enumerate(built.results)
    }
    totals: dict[str, Array] = {}
    for each in backwards(built, tensors, cotangents, about):
        for weight, gradient in each.weights.items():
            path = each.step.weights[weight].path
            totals[path] = totals.get(path, 0.0) + gradient
    trained = [parameter.path for parameter in model.parameters if parameter.trainable]
    for path, kept in zip(trained, facts["gradients"], strict=True):
        assert agrees(totals[path], kept, 2e-3), path


OWN = {"PositionEmbedding": False, "ClassToken": False, "Opaque": False, "Operation": False}
"""Types of layers that Keras does not have."""


def test_every_layer_type_supports_masking_where_that_of_keras_does() -> None:
    supports = FACTS["supports"] | OWN
    for cls in set(known_layers().values()):
        names = [cls.__name__, *cls.aliases]
        known = [supports[name] for name in names if name in supports]
        if known:
            assert cls.supports_masking == known[0], cls.__name__
