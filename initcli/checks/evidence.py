"""What checks look at: a model, its graph and its signal, each found when it is first asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from initcli import distributions
from initcli.checks.base import Problem, merged
from initcli.checks.graph import Graph, mixes
from initcli.checks.remedies import with_variance, written
from initcli.checks.scales import Scales, Solved
from initcli.checks.shares import Share, expected_share, seen_share, sums_before_activations
from initcli.documents.edit import Change
from initcli.errors import Path, SignalError, TooLarge
from initcli.initializers import LecunNormal
from initcli.layers import Layer
from initcli.model import BuiltLayer, Model, leaves
from initcli.parameter import Parameter
from initcli.signal.figures import LayerSignal, Signal
from initcli.signal.measured import measure_signal, predict_signal
from initcli.signal.program import program
from initcli.signal.verdict import gradient_of, std_of
from initcli.types import CODES, Array

MOST_JUDGED = 10_000
"""Layers at most whose signal is judged, which takes about 8 ms for each of them."""
_AFFORDED = 3e10
"""Multiplications after which a signal is predicted rather than measured."""
_BATCHES = (64, 16)
_DRAWS = 3
_PASSES = 3
"""What goes backwards costs twice what goes forwards."""
_DRAWING = 50
"""What it costs to draw a weight, in multiplications."""
_MOVING = 100
"""What it costs to take an entry of a tensor through a layer, in multiplications."""


_SHOWN = 3
"""Remedies that are told together at most."""

How = Literal["auto", "measured", "predicted"]
T = TypeVar("T")


class Rescaling(NamedTuple):
    """What some kernels need, and the changes that give it to those that have something else.

    ``text`` is what these write, for a remedy; empty where there is nothing to write.
    """

    solved: tuple[Solved, ...]
    changes: tuple[Change, ...]
    text: str

    def kernel_of(self, layer: BuiltLayer) -> Parameter | None:
        """The kernel of a layer, where it is among them."""
        return next((one.kernel for one in self.solved if one.layer == layer.name), None)

    @property
    def unstable(self) -> list[Solved]:
        """Those through which no scale keeps a signal."""
        return [one for one in self.solved if one.is_unstable]


class Evidence:
    """A model, and what is known of it.

    Args:
        model: what is judged.
        how: whether its signal is measured, predicted from the distributions alone, or measured
            where that
            takes a few seconds at most.
        batch: examples that are measured.
        draws: draws that are measured.
    """

    def __init__(
        self, model: Model, how: How = "auto", batch: int | None = None, draws: int | None = None
    ) -> None:
        self.model = model
        self.how = how
        self.batch = batch
        self.draws = draws
        self.notes: list[str] = []
        self._found: dict[Callable[[Evidence], Any], Any] = {}

    def once(self, find: Callable[[Evidence], T]) -> T:
        """What a function finds in this evidence, which several checks ask for, found once."""
        if find not in self._found:
            self._found[find] = find(self)
        found: T = self._found[find]
        return found

    @cached_property
    def layers(self) -> tuple[BuiltLayer, ...]:
        """The layers in their places, those of networks within the model too."""
        return tuple(leaves(self.model.layers))

    @cached_property
    def owners(self) -> dict[str, BuiltLayer]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def parameters(self) -> list[tuple[BuiltLayer, Parameter]]:
        """Every parameter with its layer."""
        return [(layer, each) for layer in self.layers for each in layer.parameters]

    # Where things stand.

    def path(self, layer: BuiltLayer, parameter: Parameter | None = None) -> Path:
        """Where in the spec's data a layer, or what initializes a parameter, is written."""
        if parameter is None or parameter.owner is None:
            return layer.path
        inner = _path_within(layer.layer, parameter.owner.layer, parameter.path)
        argument = parameter.argument
        return (*layer.path, *inner, *([argument] if argument else []))

    def change(self, layer: BuiltLayer, parameter: Parameter, value: Any) -> tuple[Change, ...]:
        """The change that gives a parameter another initializer, where an argument does that."""
        if parameter.owner is None or parameter.argument is None:
            return ()
        return (Change(self.path(layer, parameter), value),)

    def written(self, parameter: Parameter, value: Any) -> str:
        """An initializer for a parameter, as it is pasted."""
        argument = parameter.argument
        return written(argument or "initializer", value, self.model.document.dialect)

    # The graph.

    @cached_property
    def graph(self) -> Graph | None:
        """Who takes what from whom; None where shapes are not known, or there are too many."""
        try:
            built = program(self.model, self.batch or _BATCHES[0])
        except SignalError as error:
            reason = str(error).partition("\n")[0]
            self.notes.append(f"the signal is not judged: {reason}")
            return None
        if len(built.steps) > MOST_JUDGED:
            self.notes.append(f"the signal is not judged beyond {MOST_JUDGED:,} layers")
            return None
        return Graph(built)

    @cached_property
    def steps_of(self) -> dict[str, list[int]]:
        """The steps of each layer, by its name."""
        found: dict[str, list[int]] = {}
        for index, step in enumerate(self.graph.steps if self.graph else ()):
            found.setdefault(step.name, []).append(index)
        return found

    def is_result(self, layer: BuiltLayer) -> bool:
        """Whether what comes out of a layer is a result of the model."""
        graph = self.graph
        steps = self.steps_of.get(layer.name, [])
        return graph is not None and any(graph.is_result(index) for index in steps)

    def is_normalized(self, layer: BuiltLayer) -> bool:
        """Whether a normalization sets the size of what comes out, whatever it was."""
        graph = self.graph
        if graph is None or layer.name not in self.steps_of:
            return False
        outputs = [graph.steps[index].outputs[0] for index in self.steps_of[layer.name]]
        return all(graph.heights[t] == 0 and graph.normalized_later[t] for t in outputs)

    def is_normalized_somewhere(self, layer: BuiltLayer) -> bool:
        """Whether what comes out of a layer, or what flows in, has been through a normalization."""
        graph = self.graph
        if graph is None:
            return False
        for index in self.steps_of.get(layer.name, []):
            step = graph.steps[index]
            inputs = {source.tensor for source in graph.program.inputs}
            from_inputs = all(graph.sources[tensor] <= inputs for tensor in step.inputs)
            if not from_inputs or graph.normalized_later[step.outputs[0]]:
                return True
        return False

    def maker(self, index: int) -> int:
        """The mixing step whose sums a step applies its activation to, or else itself."""
        assert self.graph is not None
        step = self.graph.steps[index]
        found = None if mixes(step) else self.scales.last_mixing(step.inputs[0])
        return index if found is None else found

    @staticmethod
    def kernel(layer: BuiltLayer) -> Parameter | None:
        """The first parameter of a layer that is no vector."""
        return next((p for p in layer.parameters if len(p.shape) > 1), None)

    @cached_property
    def scales(self) -> Scales:
        """The scale that each kernel needs."""
        assert self.graph is not None
        return Scales(self.graph)

    # The signal.

    @cached_property
    def signal(self) -> Signal | None:
        """The signal, measured or predicted, with results that start at 0 as if they had moved.

        Where a last layer is 0 no gradient comes back at the first step, and does at the second.
        """
        if self.graph is None:
            return None
        model = self._moved(self.model)
        if (batch := self._measured_batch) is not None:
            try:
                return measure_signal(model, batch=batch, draws=self.draws or _DRAWS)
            except (SignalError, TooLarge) as error:
                reason = str(error).partition("\n")[0]
                self.notes.append(f"the signal is predicted, not measured: {reason}")
        return predict_signal(model, batch=self.graph.program.batch)

    @property
    def _measured_batch(self) -> int | None:
        """The examples that are measured, where any are."""
        if self.how == "predicted":
            return None
        draws = self.draws or _DRAWS
        if self.batch is not None or self.how == "measured":
            return self.batch or _BATCHES[-1]
        return next((n for n in _BATCHES if self._cost(n, draws) <= _AFFORDED), None)

    @property
    def how_known(self) -> str:
        """Whence figures of the signal come, in a word."""
        return "measured" if self.signal is not None and self.signal.draws else "predicted"

    def rms(self, tensor: int) -> float | None:
        """The root mean square of a tensor; None where it is not known."""
        figures = self._figures(tensor)
        return figures if figures is None else math.hypot(*figures)

    def std(self, tensor: int) -> float | None:
        """The standard deviation of a tensor; None where it is not known."""
        figures = self._figures(tensor)
        return figures if figures is None else figures[1]

    def gradient(self, tensor: int) -> float | None:
        """The gradient RMS with respect to a tensor; None where it is not known."""
        found = self._layer_signal(tensor)
        return None if found is None else gradient_of(found)

    def shares(self, index: int) -> Share | None:
        """What of an activation's output is 0, dead or saturated; None where there is none."""
        assert self.graph is not None
        function = self.graph.steps[index].layer.last_activation
        if function is None or self.signal is None:
            return None
        seen = self.signal.layers[index].output
        if seen is not None:
            return seen_share(function, seen)
        sums = self._sums.get(index)
        return None if sums is None else expected_share(function, sums)

    @cached_property
    def _sums(self) -> dict[int, Array]:
        assert self.graph is not None
        return sums_before_activations(self.graph)

    def _layer_signal(self, tensor: int) -> LayerSignal | None:
        assert self.graph is not None
        index = self.graph.made_by.get(tensor)
        if index is None or self.graph.steps[index].outputs[0] != tensor or self.signal is None:
            return None
        return self.signal.layers[index]

    def _figures(self, tensor: int) -> tuple[float, float] | None:
        """Mean and standard deviation."""
        assert self.graph is not None
        if tensor not in self.graph.made_by:
            sources = {source.tensor: source.num_tokens for source in self.graph.program.inputs}
            return None if sources.get(tensor) is not None else (0.0, 1.0)
        found = self._layer_signal(tensor)
        if found is None:
            return None
        mean = found.predicted.mean if found.output is None else found.output.mean.median
        std = std_of(found)
        return None if mean is None or std is None else (mean, std)

    def _cost(self, batch: int, draws: int) -> float:
        """Multiplications that it takes to measure a signal."""
        assert self.graph is not None
        products, weights, entries = 0.0, 0.0, 0.0
        for step in self.graph.steps:
            size = sum(parameter.size for parameter in step.parameters)
            weights += size
            entries += sum(math.prod(self.graph.size(tensor)[1:]) for tensor in step.outputs)
            if step.layer.acts_as() == "looks_up":
                continue
            tensors = (*step.inputs, *step.outputs)
            positions = max(math.prod(self.graph.size(t)[1:-1]) for t in tensors)
            products += positions * size
        once = _PASSES * batch * (products + _MOVING * entries) + _DRAWING * weights
        return draws * once

    def _moved(self, model: Model) -> Model:
        """The model with kernels of results that are 0 drawn anew, as after a first step."""
        paths = {
            parameter.path
            for layer, parameter in self.parameters
            if is_zero(parameter) and len(parameter.shape) > 1 and self.is_result(layer)
        }
        if not paths:
            return model
        layers = tuple(_redrawn(layer, paths) for layer in model.layers)
        return msgspec.structs.replace(model, layers=layers)

    # Problems.

    def problem(
        self,
        layer: BuiltLayer,
        parameter: Parameter | None = None,
        *,
        message: str,
        remedy: str,
        changes: Iterable[Change] = (),
        others: Iterable[str] = (),
        severity: Literal["error", "warning"] | None = None,
    ) -> Problem:
        """A problem of a layer, or of one of its parameters."""
        return Problem(
            layer=layer.name,
            others=tuple(others),
            tensor=None if parameter is None else parameter.path,
            path=self.path(layer, parameter),
            message=message,
            remedy=remedy,
            changes=tuple(changes),
            severity=severity,
        )

    def suitable(self, layer: BuiltLayer, parameter: Parameter) -> Any:
        """An initializer that suits what follows a kernel, as a spec writes it."""
        solved = self.scales.solved.get(layer.name) if self.graph is not None else None
        if solved is not None and solved.kernel.path == parameter.path:
            return with_variance(parameter, solved.variance)
        index = self.steps_of.get(layer.name, [None])[0]
        if self.graph is not None and index is not None and layer.layer.acts_as() == "looks_up":
            return "uniform"
        suits = None if index is None else self.scales.critical(index)
        return "he_normal" if suits is not None and suits.scale == 2.0 else "glorot_uniform"

    def rescaled(self, steps: Iterable[int]) -> Rescaling:
        """What gives the kernels of some steps the variance they need.

        Layers of one block are written once and share what suits them on average.
        """
        assert self.graph is not None
        names = dict.fromkeys(self.graph.steps[index].name for index in steps)
        solved = [self.scales.solved[name] for name in names if name in self.scales.solved]
        groups: dict[Path, list[Solved]] = {}
        for one in solved:
            groups.setdefault(self.path(self.owners[one.layer], one.kernel), []).append(one)
        changes: list[Change] = []
        texts: list[str] = []
        for path, group in groups.items():
            if all(one.is_so for one in group):
                continue
            first = group[0]
            logarithms = [math.log(one.scale) for one in group]
            mean = math.exp(sum(logarithms) / len(logarithms)) / first.scale
            # A scale that is nearly what suits the activation is meant to be that.
            nominal = first.critical.scale / first.scale
            if not first.end and abs(math.log(mean / nominal)) < 0.1:
                mean = nominal
            value = with_variance(first.kernel, first.variance * mean)
            changes.append(Change(path, value))
            texts.append(self.written(first.kernel, value))
            for one in group:
                if one.bias is not None:
                    place = self.path(self.owners[one.layer], one.bias)
                    changes.append(Change(place, "zeros"))
                    texts.append(self.written(one.bias, "zeros"))
                    break
        shown = list(dict.fromkeys(texts))
        text = "; ".join(shown[:_SHOWN]) + " ..." * (len(shown) > _SHOWN)
        return Rescaling(tuple(solved), merged(changes), text)


def is_zero(parameter: Parameter) -> bool:
    """Whether every entry is a weight of 0; a code of 0 is replaced before anything runs."""
    return parameter.dtype not in CODES and parameter.distribution == distributions.Constant(0.0)


def _path_within(outer: Layer, inner: Layer, path: str) -> Path:
    """The keys that lead from a wrapper to the layer it holds which declares a parameter."""
    if outer is inner or type(outer) is type(inner):
        return ()
    for field in ("backward_layer", "layer", "cell", "cells"):
        held = getattr(outer, field, None)
        if field == "backward_layer" and path.split("/")[1:2] != [f"backward_{_name(held)}"]:
            continue
        for index, each in enumerate(held if isinstance(held, tuple) else [held]):
            if not isinstance(each, Layer):
                continue
            step: Path = (field, index) if isinstance(held, tuple) else (field,)
            if each is inner or type(each) is type(inner):
                return step
            deeper = _path_within(each, inner, path)
            if deeper:
                return (*step, *deeper)
    return ()


def _name(layer: Any) -> str | None:
    return layer.name if isinstance(layer, Layer) else None


def _redrawn(layer: BuiltLayer, paths: set[str]) -> BuiltLayer:
    return msgspec.structs.replace(
        layer,
        parameters=tuple(
            msgspec.structs.replace(parameter, initializer=LecunNormal())
            if parameter.path in paths
            else parameter
            for parameter in layer.parameters
        ),
        layers=tuple(_redrawn(inner, paths) for inner in layer.layers),
    )
