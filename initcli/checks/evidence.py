"""The evidence that checks use: a model, its graph, its signal, and the scales of its kernels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple

import msgspec

from initcli.checks.remedies import with_variance, written
from initcli.checks.scales import Scales, Solved
from initcli.documents.edit import Change, merged
from initcli.errors import Path, SignalError, TooLarge, some
from initcli.initializers import LecunNormal, Ones
from initcli.model import BuiltLayer, Model, leaves, with_parameters
from initcli.parameter import Parameter
from initcli.signal.figures import FirstLoss, Signal
from initcli.signal.graph import Graph, mixes
from initcli.signal.judgment import Judgment
from initcli.signal.measured import measure_signal, predict_signal
from initcli.signal.notes import notes_of_left_out
from initcli.signal.planning import BATCH, NotAfforded, Plan, TooSlow, planned
from initcli.signal.program import program
from initcli.signal.zeros import Zeros, is_kernel, is_scale, is_zero

MAX_STEPS = 10_000
"""Maximum number of layer calls for which the signal is checked; each takes about 8 ms."""
_WANTED = {((64, 3),): 1.0, ((64, 1), (16, 1)): 4.0}
"""Examples and draws to measure, in order of preference, with the maximum time in seconds.

Trials of remedies take that time again. Above it the signal is predicted.
"""
_ASKED_FOR = {((16, 3),): math.inf}
"""The same where a person asks for measurements."""
_MAX_SHOWN = 3
"""Maximum number of initializers in one remedy."""

How = Literal["auto", "measured", "predicted"]


class Rescaling(NamedTuple):
    """The variances that kernels need to keep the signal's size.

    ``changes`` of the spec set them where they differ, and ``text`` shows the new values; both are
    empty if there is nothing to change.
    """

    solved: tuple[Solved, ...]
    changes: tuple[Change, ...]
    text: str

    def kernel_of(self, layer: BuiltLayer) -> Parameter | None:
        """The kernel of a layer, if it is among the solved ones."""
        return next((one.kernel for one in self.solved if one.layer == layer.name), None)

    @property
    def unstable(self) -> list[Solved]:
        """The kernels for which no scale keeps the signal."""
        return [one for one in self.solved if one.is_unstable]

    def without_scale(self, what: str, other: str) -> str:
        """Advice if there are unstable kernels; ``what`` names what no scale keeps."""
        unstable = self.unstable
        return (
            f"no scale keeps {what} through {len(unstable)} layers of {unstable[0].activation}: "
            f"use another activation, such as tanh or relu, or {other}"
        )


class Evidence:
    """A model, and what is known about it.

    Args:
        model: the model to check.
        how: whether to measure the signal, predict it, or measure it if that takes seconds.
        batch: number of examples to measure.
        draws: number of draws to measure.
    """

    def __init__(
        self, model: Model, how: How = "auto", batch: int | None = None, draws: int | None = None
    ) -> None:
        self.model = model
        self.how = how
        self.batch = batch
        self.draws = draws
        self.notes: list[str] = []

    @cached_property
    def layers(self) -> tuple[BuiltLayer, ...]:
        """All layers in order, including those of networks within the model."""
        return tuple(leaves(self.model.layers))

    @cached_property
    def owners(self) -> dict[str, BuiltLayer]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def parameters(self) -> list[tuple[BuiltLayer, Parameter]]:
        """Every parameter with its layer."""
        return [(layer, each) for layer in self.layers for each in layer.parameters]

    # Places in the spec

    def path(self, layer: BuiltLayer, parameter: Parameter | None = None) -> Path:
        """The path in the spec's data of a layer, or of a parameter's initializer."""
        return layer.path if parameter is None else layer.path_of(parameter)

    def change(self, layer: BuiltLayer, parameter: Parameter, value: Any) -> tuple[Change, ...]:
        """The change that sets a parameter's initializer; empty if no argument sets it."""
        if parameter.owner is None or parameter.argument is None:
            return ()
        return (Change(self.path(layer, parameter), value),)

    def written(self, parameter: Parameter, value: Any) -> str:
        """An initializer of a parameter as text to paste into the source."""
        argument = parameter.argument if parameter.owner else None
        return written(argument or "initializer", value, self.model.document.dialect)

    # The graph

    @cached_property
    def graph(self) -> Graph | None:
        """The graph of the model; None if shapes are not known or there are too many steps."""
        try:
            built = program(self.model, self.batch or BATCH)
        except SignalError as error:
            self.notes.append(f"the signal is not checked: {first_line(error)}")
            return None
        if len(built.steps) > MAX_STEPS:
            self.notes.append(f"the signal is not checked beyond {MAX_STEPS:,} layers")
            return None
        return Graph(built)

    @cached_property
    def steps_of(self) -> dict[str, list[int]]:
        """The steps of each layer, by its name."""
        return {} if self.graph is None else self.graph.steps_of

    def is_result(self, layer: BuiltLayer) -> bool:
        """Whether the output of a layer is an output of the model."""
        graph = self.graph
        return graph is not None and any(map(graph.is_result, self.steps_of.get(layer.name, [])))

    def is_normalized(self, layer: BuiltLayer) -> bool:
        """Whether a normalization follows directly, so that the size of the output is lost."""
        graph, steps = self.graph, self.steps_of.get(layer.name)
        if graph is None or not steps:
            return False
        outputs = [graph.steps[index].outputs[0] for index in steps]
        return all(graph.heights[t] == 0 and graph.normalized_later[t] for t in outputs)

    def passes_normalization(self, layer: BuiltLayer) -> bool:
        """Whether a normalization precedes a layer, or follows it on every path to an output."""
        graph = self.graph
        if graph is None:
            return False
        inputs = {source.tensor for source in graph.program.inputs}
        steps = [graph.steps[index] for index in self.steps_of.get(layer.name, [])]
        return any(
            graph.normalized_later[step.outputs[0]]
            or any(not graph.sources[tensor] <= inputs for tensor in step.inputs)
            for step in steps
        )

    @staticmethod
    def first_kernel(layer: BuiltLayer) -> Parameter | None:
        """The first parameter of a layer with two or more axes."""
        return next((p for p in layer.parameters if len(p.shape) > 1), None)

    def layer_of(self, index: int) -> BuiltLayer:
        """The layer of a step."""
        assert self.graph is not None
        return self.owners[self.graph.steps[index].name]

    def maker(self, index: int) -> int:
        """The mixing step whose sums a step activates, or else the step itself."""
        assert self.graph is not None
        step = self.graph.steps[index]
        maker = None if mixes(step) else self.scales.last_mixing(step.inputs[0])
        return index if maker is None else maker

    @cached_property
    def scales(self) -> Scales:
        """The scale that each kernel needs."""
        assert self.graph is not None
        return Scales(self.graph)

    # The signal

    @cached_property
    def _zero_weights(self) -> list[tuple[BuiltLayer, Parameter]]:
        """Zero kernels and scales."""
        return [
            (layer, each)
            for layer, each in self.parameters
            if is_zero(each) and (is_kernel(each) or is_scale(each))
        ]

    @cached_property
    def dead_ends(self) -> list[tuple[BuiltLayer, Parameter]]:
        """Zero kernels and scales that no gradient ever reaches."""
        zeros, weights = self.zeros, self._zero_weights
        if zeros is None:
            return [(layer, each) for layer, each in weights if layer is not self.layers[-1]]
        return [(layer, each) for layer, each in weights if each.path in zeros.stuck]

    @cached_property
    def late(self) -> list[tuple[BuiltLayer, Parameter]]:
        """Zero kernels that block the signal at the first step, but learn."""
        if self.graph is None or self.zeros is None or self.dead_ends or not self.zeros.cuts:
            return []
        return [
            (layer, each)
            for layer, each in self._zero_weights
            if not self.is_result(layer)
            and any(
                self.graph.steps[index].outputs[0] in self.graph.hidden_trunk
                for index in self.steps_of.get(layer.name, [])
            )
        ]

    @cached_property
    def zeros(self) -> Zeros | None:
        """The weights that start at 0; None where the graph is not known."""
        return None if self.graph is None else Zeros(self.graph)

    @cached_property
    def judgment(self) -> Judgment | None:
        """The judgment of the signal; None if it is not known, or cut off by zeros (I101).

        A zero kernel that cuts the signal off, or that makes an output of the model, blocks the
        gradient only at the first step. The signal is then judged with that kernel drawn.
        """
        if self.graph is None or self.dead_ends:
            return None
        judgment = Judgment(self._signal(self._passed()), self.graph)
        if judgment.first_unknown is not None:
            self.notes.append(f"the signal is not known from '{judgment.first_unknown}' on")
        return judgment

    @cached_property
    def predicted_losses(self) -> dict[str, FirstLoss]:
        """The first losses of the signal that is judged as theory has them, by the layer."""
        if self.judgment is None:
            return {}
        signal = self.judgment.signal
        if signal.draws:
            signal = predict_signal(signal.model, batch=signal.batch)
        return {each.layer: each for each in signal.losses}

    def _signal(self, model: Model) -> Signal:
        assert self.graph is not None
        if self.how != "predicted":
            try:
                return measure_signal(model, plan=self._plan(model), theory=False)
            except (SignalError, TooLarge, MemoryError) as error:
                if not (self.how == "auto" and isinstance(error, TooSlow)):
                    reason = str(error).replace("\n  = ", "; ") or "not enough memory"
                    self.notes.append(f"the signal is predicted, not measured: {reason}")
        signal = predict_signal(model, batch=self.graph.program.batch)
        self.notes += notes_of_left_out(signal.left_out)
        return signal

    def _plan(self, model: Model) -> Plan:
        """The first examples and draws that fit in their time and memory.

        Raises:
            NotAfforded: none do.
        """
        *more, least = (_WANTED if self.how == "auto" else _ASKED_FOR).items()
        asked = partial(planned, model, batch=self.batch, draws=self.draws)
        for wanted, seconds in more:
            with suppress(NotAfforded):
                return asked(seconds=seconds, wanted=wanted)
        wanted, seconds = least
        return asked(seconds=seconds, wanted=wanted)

    def _passed(self) -> Model:
        """The model with zeros drawn, and frozen: nothing here reads the gradients of weights."""
        cuts = self.zeros is not None and self.zeros.cuts
        paths = {each.path for layer, each in self._zero_weights if cuts or self.is_result(layer)}

        def passed(parameter: Parameter) -> Parameter:
            initializer = parameter.initializer
            if parameter.path in paths:
                initializer = Ones() if is_scale(parameter) else LecunNormal()
            return msgspec.structs.replace(parameter, initializer=initializer, trainable=False)

        layers = tuple(with_parameters(layer, passed) for layer in self.model.layers)
        return msgspec.structs.replace(self.model, layers=layers)

    # Remedies

    def suitable(self, layer: BuiltLayer, parameter: Parameter) -> Any:
        """An initializer that suits the activation after a kernel, as a spec writes it."""
        solved = self.scales.solved.get(layer.name) if self.graph is not None else None
        if solved is not None and solved.kernel.path == parameter.path:
            return with_variance(parameter, solved.variance)
        index = self.steps_of.get(layer.name, [None])[0]
        if index is not None and layer.layer.acts_as() == "looks_up":
            return "uniform"
        recurs = layer.layer.acts_as() == "recurs"
        suits = None if index is None or recurs else self.scales.critical(index)
        return "he_normal" if suits is not None and suits.scale == 2.0 else "glorot_uniform"

    def rescaled(self, steps: Iterable[int]) -> Rescaling:
        """The changes that give the kernels of some steps the variances that they need.

        The layers of a repeated block are written once, so they share the mean of their scales.
        """
        assert self.graph is not None
        names = dict.fromkeys(self.graph.steps[index].name for index in steps)
        needed = self.scales.solved
        unknown = [name for name in names if name in needed and needed[name] is None]
        if unknown:
            self.notes.append(f"the scale that the kernels of {some(unknown)} need is not known")
        solved = [one for name in names if (one := needed.get(name)) is not None]
        groups: dict[Path, list[Solved]] = {}
        for one in solved:
            groups.setdefault(self.path(self.owners[one.layer], one.kernel), []).append(one)
        changes: list[Change] = []
        texts: dict[str, None] = {}
        for path, group in groups.items():
            if all(one.is_so for one in group):
                continue
            first = group[0]
            mean = math.exp(sum(math.log(one.scale) for one in group) / len(group)) / first.scale
            # A scale that is nearly the one that suits the activation is meant to be that.
            nominal = first.critical.scale / first.scale
            if not first.end and abs(math.log(mean / nominal)) < 0.1:
                mean = nominal
            value = with_variance(first.kernel, first.variance * mean)
            changes.append(Change(path, value))
            texts[self.written(first.kernel, value)] = None
            biased = next((one for one in group if one.bias is not None), None)
            if biased is not None and biased.bias is not None:
                changes += self.change(self.owners[biased.layer], biased.bias, "zeros")
                texts[self.written(biased.bias, "zeros")] = None
        text = "; ".join(list(texts)[:_MAX_SHOWN]) + " ..." * (len(texts) > _MAX_SHOWN)
        return Rescaling(tuple(solved), merged(changes), text)


def first_line(error: Exception) -> str:
    """The message of an error, without its remedy."""
    return str(error).partition("\n")[0]
