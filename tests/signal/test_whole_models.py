"""Whole models against the real Keras, and against AnyInit, from what tests/reference wrote down.

Run as a script, this prints how near the predictions come: ``python tests/test_whole_models.py``.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import stats

import initcli
from initcli.signal.figures import LayerSignal, Signal
from initcli.signal.measured import measure_signal, predict_signal
from initcli.signal.passes import Pass, backwards, drawn_values, forwards
from initcli.signal.program import program
from initcli.types import Array
from support.paths import facts

DRAWS = 5
"""Draws that initcli measures; Keras's facts say how many it had."""
CHANCE = 0.01
"""The probability that any test of agreement fails though nothing is wrong."""
ROUNDING = 1e-4
"""What float32 and the five digits of the facts may make of a figure that never varies."""
NEARER = (
    "vgg",
    "lenet",
    "resnet_v1",
    "resnet_without_normalisation",
    "mobilenet_v2",
    "inception",
    "unet",
    "unet_upsampling",
    "squeeze_and_excitation",
    "xception",
    "vision_transformer",
    "gpt2",
    "encoder",
    "lstm",
    "bidirectional_lstm",
    "gru",
    "simple_rnn",
    "convolutions_and_gru",
    "two_inputs",
)
"""Models with layers of which AnyInit has no theory, or another; the rest are the same to both."""


MODELS: list[str] = list(facts("signal_facts.json.gz")["models"])


# The very numbers of Keras, for given weights and inputs


def numbers(shape: tuple[int, ...], seed: int) -> Array:
    """As in tests/reference/make_whole_call_facts.py."""
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def distance(found: Array, kept: list[float]) -> float:
    """How far an array is from what was kept of another, relative to that one's entries."""
    size, _, rms, *entries = kept
    flat = np.asarray(found, np.float64).reshape(-1)
    assert flat.size == size
    places = np.linspace(0, flat.size - 1, min(flat.size, 5)).astype(int)
    apart = np.abs(flat[places] - entries) / np.maximum(np.abs(entries), rms)
    return max(float(apart.max()), abs(rms_of(flat) - rms) / rms)


def rms_of(x: Array) -> float:
    return math.sqrt(float(np.mean(np.square(x, dtype=np.float64))))


def is_rounding(kept: list[float]) -> bool:
    """Whether a gradient is 0, but for float32: it is no larger than its error."""
    _, error, rms, *_ = kept
    return error > 0.5 * rms


@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_gradients_are_those_of_keras(name: str) -> None:
    known = facts("whole_call_facts.json.gz")["models"][name]
    built = program(initcli.parse(known["json"]), facts("whole_call_facts.json.gz")["batch"])
    drawn = drawn_values(1 << 30)
    # In float64, so that no processor's own rounding turns a ReLU on that others leave off.
    about = Pass(lambda parameter: drawn(parameter).astype(np.float64), "0")
    tensors: dict[int, Array] = {}
    for k, source in enumerate(built.inputs):
        shape, seed = built.shapes[source.tensor], known["seed"] + k
        if source.num_tokens is None:
            tensors[source.tensor] = numbers(shape, seed).astype(np.float64)
        else:
            ids = np.random.RandomState(seed).randint(0, source.num_tokens, shape, np.int32)
            tensors[source.tensor] = ids
    outputs = {(s.name, s.call): found[0] for s, found in forwards(built, tensors, about)}
    cotangents = {
        tensor: numbers(built.shapes[tensor], known["seed"] + 50 + k).astype(np.float64)
        for k, tensor in enumerate(built.results)
    }
    gradients: dict[tuple[str, int], Array | None] = {}
    weights: dict[str, Array] = {}
    for each in backwards(built, tensors, cotangents, about):
        gradients[each.step.name, each.step.call] = each.outputs[0]
        for weight, gradient in each.weights.items():
            path = f"{each.step.name}/{weight}"
            weights[path] = weights[path] + gradient if path in weights else gradient

    assert {(layer["name"], layer["call"]) for layer in known["layers"]} == set(outputs)
    for layer in known["layers"]:
        if "output" in layer:
            call = layer["name"], layer["call"]
            gradient = gradients[call]
            assert gradient is not None
            assert distance(outputs[call], layer["output"]) < 1e-4, f"output of {call}"
            assert distance(gradient, layer["gradient"]) < 1e-3, f"gradient of {call}"
    assert set(weights) == set(known["weights"])
    for path, kept in known["weights"].items():
        if is_rounding(kept):
            largest = max(rms_of(weights[other]) for other in beside(path, weights))
            assert rms_of(weights[path]) < ROUNDING * largest, path
        else:
            assert distance(weights[path], kept) < 1e-3, path


def beside(path: str, paths: dict[str, Any]) -> list[str]:
    """The weights of the same layer."""
    layer = path.partition("/")[0]
    return [other for other in paths if other.partition("/")[0] == layer]


# The spread of what Keras draws


@cache
def measured(name: str) -> Signal:
    known = facts("signal_facts.json.gz")["models"][name]
    model = initcli.parse(known["json"])
    return measure_signal(model, batch=known["batch"], draws=DRAWS, theory=False)


class Figure(NamedTuple):
    """A figure of a layer or weight over the draws: (median, low, high) here and in Keras."""

    of: str
    mine: tuple[float, float, float]
    theirs: tuple[float, float, float]
    floor: float

    @property
    def distance(self) -> float:
        """How far the medians are apart, in standard errors of that.

        Both have the same spread where nothing is wrong, so it is taken from both ranges. The
        variance of the median of n normal numbers is at most π/2n of theirs.
        """
        draws = counts()
        spread = statistics.mean(
            (high - low) / ranges(n)[0]
            for n, (_, low, high) in zip(draws, (self.mine, self.theirs), strict=True)
        )
        error = spread * math.sqrt(math.pi / 2 * sum(1 / n for n in draws))
        return abs(self.mine[0] - self.theirs[0]) / max(error, self.floor)


def counts() -> tuple[int, int]:
    """How many draws initcli and Keras had."""
    return DRAWS, facts("signal_facts.json.gz")["draws"]


@cache
def ranges(draws: int) -> tuple[float, float]:
    """Mean and standard deviation of the range of so many standard normal numbers."""
    found = np.ptp(np.random.RandomState(0).standard_normal((100_000, draws)), axis=1)
    return float(found.mean()), float(found.std())


@cache
def furthest(count: int) -> float:
    """Of so many figures, none is further off than this but by :data:`CHANCE`.

    A spread that is the mean of two ranges varies as one of so many degrees of freedom (Patnaik
    1950), and the figures together as Bonferroni has it.
    """
    parts = [(deviation / mean) ** 2 for mean, deviation in map(ranges, counts())]
    freedom = 1 / (2 * sum(parts) / len(parts) ** 2)
    return float(stats.t.ppf(1 - CHANCE / (2 * count), freedom))


def figures(name: str) -> Iterator[Figure]:
    """Every figure that both initcli and Keras have of a model."""
    known, seen = facts("signal_facts.json.gz")["models"][name], measured(name)
    layers = {(layer.name, layer.call): layer for layer in seen.layers}
    assert set(layers) == {(each["name"], each["call"]) for each in known["layers"]}
    for each in known["layers"]:
        if "std" not in each:
            continue
        layer = layers[each["name"], each["call"]]
        label = f"{each['name']} {each['call']}"
        assert layer.output is not None
        assert layer.gradient is not None
        yield logarithms(f"{label} std", layer.output.std, each["std"])
        yield logarithms(f"{label} gradient", layer.gradient.rms, each["gradient_rms"])
        size = math.hypot(each["std"][0], each["mean"][0])
        mean, zeros = layer.output.mean, layer.output.zeros
        yield Figure(f"{label} mean", plain(mean), tuple(each["mean"]), ROUNDING * size)
        yield Figure(f"{label} zeros", plain(zeros), tuple(each["zeros"]), ROUNDING)
    weights = {tensor.path: tensor.gradient_rms for tensor in seen.tensors}
    assert set(weights) == set(known["weights"])
    for path, rms in weights.items():
        others = beside(path, known["weights"])
        largest = max(known["weights"][other][0] for other in others)
        if known["weights"][path][0] < ROUNDING * largest:
            assert rms.median < ROUNDING * largest, f"{path}, whose gradient is 0 but for rounding"
        else:
            yield logarithms(path, rms, known["weights"][path])


def plain(spread: Any) -> tuple[float, float, float]:
    return spread.median, spread.low, spread.high


def logarithms(of: str, mine: Any, theirs: list[float]) -> Figure:
    median, low, high = (math.log(max(value, 1e-300)) for value in plain(mine))
    known = [math.log(max(value, 1e-300)) for value in theirs]
    return Figure(of, (median, low, high), (known[0], known[1], known[2]), ROUNDING)


@cache
def how_many_figures() -> int:
    models = facts("signal_facts.json.gz")["models"].values()
    layers = [each for known in models for each in known["layers"] if "std" in each]
    return 4 * len(layers) + sum(len(known["weights"]) for known in models)


@pytest.mark.parametrize("name", MODELS)
def test_measures_what_keras_draws(name: str) -> None:
    limit = furthest(how_many_figures())
    apart = {f.of: (f.distance, f.mine, f.theirs) for f in figures(name) if f.distance > limit}
    assert not apart


# Predictions, and those of AnyInit


class Agreement(NamedTuple):
    """How far the predictions of a model's layers are from what Keras measures: |log ratios|.

    ``std`` and ``gradient`` are those of initcli, ``anyinit`` those of AnyInit's std, each with the
    layer's name; what is not predicted is infinitely far. ``noise`` is the standard error of the
    median that Keras measures, of a typical layer.
    """

    name: str
    std: list[tuple[float, str]]
    anyinit: list[tuple[float, str]]
    gradient: list[tuple[float, str]]
    noise: float


def typical(distances: list[tuple[float, str]]) -> float:
    return statistics.median(distance for distance, _ in distances)


@cache
def agreement(name: str) -> Agreement:
    known = facts("signal_facts.json.gz")["models"][name]
    signal = predict_signal(initcli.parse(known["json"]), batch=known["batch"])
    layers = {(layer.name, layer.call): layer for layer in signal.layers}
    std, anyinit, gradient, noise = [], [], [], []
    _, draws = counts()
    for each in known["layers"]:
        layer = layers[each["name"], each["call"]]
        if "std" not in each:
            continue
        label = label_of(layer)
        gradient.append((off(layer.predicted.gradient_rms, each["gradient_rms"][0]), label))
        if layer.type == "InputLayer":
            continue
        std.append((off(layer.predicted.std, each["std"][0]), label))
        # AnyInit has a node of its own for the call in which a table is read in reverse.
        other = known["anyinit"].get(f"{layer.name}_reverse" if layer.call else layer.name)
        anyinit.append((off(other, each["std"][0]), label))
        _, low, high = each["std"]
        noise.append(math.log(high / low) / ranges(draws)[0] * math.sqrt(math.pi / 2 / draws))
    return Agreement(name, std, anyinit, gradient, statistics.median(noise))


def label_of(layer: LayerSignal) -> str:
    return f"{layer.name} {layer.call}" if layer.call else layer.name


def off(predicted: float | None, found: float) -> float:
    return abs(math.log(predicted / found)) if predicted else math.inf


def agreement_table() -> str:
    """How near the predictions come to Keras, by model, of initcli and of AnyInit."""
    whose = "std: initcli", "std: AnyInit", "gradient: initcli"
    lines = [
        " ".join([f"{'|log(predicted / measured)|':37}", *(f"{each:44}" for each in whose)]),
        " ".join([f"{'model':30}", f"{'noise':6}", *[f"{'median  worst':44}"] * 3]).rstrip(),
    ]
    for name in MODELS:
        found = agreement(name)
        cells = [f"{name:30}", f"{found.noise:6.3f}"]
        for distances in (found.std, found.anyinit, found.gradient):
            worst, label = max(distances)
            cells.append(f"{typical(distances):6.3f} {worst:6.3f} {label:30}")
        lines.append(" ".join(cells).rstrip())
    return "\n".join(lines)


DEPENDENT = ("encoder", "mlp_mixer", "operations")
"""Models whose gradients depend on one another in a way that theory leaves out."""


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_as_near_as_those_of_anyinit(name: str) -> None:
    found = agreement(name)
    assert not [label for distance, label in found.std if distance == math.inf]
    assert typical(found.std) <= typical(found.anyinit) + found.noise


@pytest.mark.parametrize("name", NEARER)
def test_predictions_are_nearer_than_those_of_anyinit(name: str) -> None:
    found = agreement(name)
    assert typical(found.std) < typical(found.anyinit)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in DEPENDENT])
def test_gradients_are_predicted_within_a_tenth(name: str) -> None:
    assert typical(agreement(name).gradient) <= math.log1p(0.10)


def test_the_table_has_a_line_a_model() -> None:
    table = agreement_table()
    sys.stdout.write(f"\n{table}\n")  # which is seen with -s
    assert [line.split()[0] for line in table.splitlines()[2:]] == MODELS


if __name__ == "__main__":
    sys.stdout.write(agreement_table() + "\n")
