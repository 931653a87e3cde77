"""The first steps of training: the change of the output of each layer.

Inputs and random targets are the same in all steps; targets are labels uniform over the classes, or
standard normal numbers. Dropout drops the same entries in each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from threadpoolctl import threadpool_limits

from initcli.activations import Sigmoid, Softmax
from initcli.choices import Loss, Optimizer
from initcli.errors import SignalError, listed
from initcli.model import Model
from initcli.random.streams import Stream
from initcli.signal.first_loss import loss_of
from initcli.signal.inputs import drawn_inputs, standard_normal
from initcli.signal.logits import output_activation
from initcli.signal.observing import rms
from initcli.signal.passes import Pass, backwards, drawn_values, forwards
from initcli.signal.program import Program, Step
from initcli.types import Array

MAX_STEPS = 1_000
"""The largest number of steps."""
_BETAS, _EPSILON = (0.9, 0.999), 1e-8
_SMALLEST = 1e-30
"""The smallest probability in a division."""


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of training with SGD or Adam (Kingma & Ba 2015, arXiv:1412.6980).

    SGD has no momentum; Adam has β = 0.9 and 0.999 and ε = 1e-8.
    """

    steps: Annotated[int, Meta(description="Number of steps.")]
    optimizer: Annotated[Optimizer, Meta(description="sgd or adam.")] = "adam"
    learning_rate: Annotated[float, Meta(description="Learning rate.")] = 1e-3
    loss: Annotated[
        Loss | None,
        Meta(description="Loss of outputs without an activation; null for mean_squared_error."),
    ] = None

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_STEPS:
            raise SignalError(f"training takes from 1 to {MAX_STEPS:,} steps, not {self.steps:,}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            message = f"a learning rate is a number above 0, not {self.learning_rate:g}"
            raise SignalError(message)


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """The effect of steps of training, as medians over the draws.

    ``changes`` has, for each step of the program, the RMS difference of its output from the first
    one, after 1, 2, … steps of training; None for integers. ``losses`` are those before and after
    each step.
    """

    training: Training
    changes: tuple[tuple[float, ...] | None, ...]
    losses: tuple[float, ...]
    notes: tuple[str, ...] = ()


class _Goal(msgspec.Struct, frozen=True):
    """An output with its loss and targets."""

    step: Step
    tensor: int
    loss: Loss
    targets: Array


def train(
    model: Model,
    built: Program,
    training: Training,
    *,
    draws: int,
    progress: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train a model for a few steps, for each draw of weights, inputs and targets.

    Args:
        model: the model.
        built: its program.
        training: the settings.
        draws: the number of draws; draw k has the seed of the model plus k.
        progress: called with the number of steps done, and of all steps.

    Raises:
        SignalError: a layer cannot be computed, or no result can be trained.
    """
    training = msgspec.structs.replace(training, loss=training.loss or model.loss)
    found = [
        _Run(model, built, training, number, draws, progress).steps() for number in range(draws)
    ]
    changes: list[tuple[float, ...] | None] = []
    for index in range(len(built.steps)):
        runs = [run.changes[index] for run in found if index in run.changes]
        changes.append(tuple(np.median(runs, axis=0).tolist()) if runs else None)
    losses = np.median([run.losses for run in found], axis=0)
    shapes = built.shapes
    chosen = [
        goal.step.name
        for goal in found[0].goals
        if loss_of(goal.step, shapes[goal.tensor], training.loss) is None
    ]
    notes: tuple[str, ...] = ()
    if chosen:
        names = listed(dict.fromkeys(chosen), "and")
        text = f"the loss of {names} is mean squared error, with standard normal targets; --loss"
        notes = (f"{text} takes another",)
    return Trained(
        training=training, changes=tuple(changes), losses=tuple(losses.tolist()), notes=notes
    )


class _Run:
    """The training with the weights of one draw."""

    def __init__(
        self,
        model: Model,
        built: Program,
        training: Training,
        number: int,
        draws: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.built = built
        self.training = training
        self.advance = progress
        self.whole = draws * (2 * training.steps + 1) * len(built.steps)
        self.seed = model.seed + number
        self.parameters = {p.path: p for step in built.steps for p in step.parameters}
        drawn = drawn_values(0, self.seed - built.seed)
        self.weights = {path: drawn(parameter) for path, parameter in self.parameters.items()}
        self.inputs = drawn_inputs(built, self.seed, model)
        self.moments: dict[str, tuple[Array, Array]] = {}
        self.first: dict[int, Array] = {}
        self.goals: list[_Goal] = []
        self.changes: dict[int, list[float]] = {}
        self.losses: list[float] = []

    @np.errstate(all="ignore")
    def steps(self) -> _Run:
        """Take all steps, and measure outputs before and after each."""
        with threadpool_limits(1, "blas") as limit:
            threads = limit.get_original_num_threads()["blas"] or 1
            for number in range(self.training.steps + 1):
                about = Pass(lambda each: self.weights[each.path], str(self.seed), threads)
                tensors = self._forwards(about)
                cotangents = self._cotangents(tensors, about)
                if number < self.training.steps:
                    self._update(self._gradients(tensors, cotangents, about), number + 1)
        return self

    def _forwards(self, about: Pass) -> dict[int, Array]:
        tensors = dict(self.inputs)
        for index, (_, (output, *_)) in enumerate(forwards(self.built, tensors, about)):
            if np.issubdtype(output.dtype, np.floating):
                if index in self.first:
                    change = rms(output - self.first[index])
                    self.changes.setdefault(index, []).append(change)
                else:
                    self.first[index] = output
            self._done()
        if not self.goals:
            self.goals = list(self._drawn_goals(tensors))
        if not self.goals:
            raise SignalError("no result of the model is a real number that can be trained")
        return tensors

    def _drawn_goals(self, tensors: Mapping[int, Array]) -> Iterator[_Goal]:
        for step in self.built.steps:
            if (tensor := step.outputs[0]) not in self.built.results:
                continue
            output = tensors[tensor]
            if step.inputs == step.outputs or not np.issubdtype(output.dtype, np.floating):
                continue
            loss = loss_of(step, output.shape, self.training.loss) or "mean_squared_error"
            yield _Goal(step, tensor, loss, self._targets(step, output, loss))

    def _targets(self, step: Step, output: Array, loss: Loss) -> Array:
        purpose = f"target {step.name} {step.call}"
        if loss == "mean_squared_error":
            return standard_normal(purpose, self.seed, output.shape, output.dtype)
        generator = Stream(f"initcli 1\0{purpose}\0{self.seed}").generator()
        if loss == "binary_cross_entropy":
            return generator.integers(0, 2, output.shape).astype(output.dtype)
        return generator.integers(0, output.shape[-1], output.shape[:-1])

    def _cotangents(self, tensors: Mapping[int, Array], about: Pass) -> dict[int, Array]:
        """The gradient of the loss with respect to each result; the loss is recorded."""
        total, found = 0.0, {}
        for goal in self.goals:
            output = tensors[goal.tensor]
            shape = output.shape[:-1] if goal.loss == "cross_entropy" else output.shape
            mask = about.masks.get(goal.tensor)
            weights = np.ones(shape)
            if mask is not None:
                weights *= mask.reshape(*mask.shape, *(1,) * (len(shape) - mask.ndim))
            weights /= max(weights.sum(), 1.0)
            value, gradient = loss_and_gradient(goal.step, output, goal.targets, goal.loss, weights)
            total += value
            found[goal.tensor] = gradient.astype(output.dtype)
        self.losses.append(total)
        return found

    def _gradients(
        self, tensors: Mapping[int, Array], cotangents: Mapping[int, Array], about: Pass
    ) -> dict[str, Array]:
        totals: dict[str, Array] = {}
        for gradient in backwards(self.built, tensors, cotangents, about):
            gradient.add_to(totals)
            self._done()
        return totals

    def _update(self, gradients: Mapping[str, Array], time: int) -> None:
        """One step of the optimizer."""
        for path, gradient in gradients.items():
            weight, parameter = self.weights[path], self.parameters[path]
            rate = self.training.learning_rate * parameter.sgd_rate
            if self.training.optimizer == "adam":
                gradient = self._adam(path, gradient, time)
                rate = self.training.learning_rate * parameter.adam_rate
            self.weights[path] = (weight - rate * gradient).astype(weight.dtype, copy=False)

    def _adam(self, path: str, gradient: Array, time: int) -> Array:
        first, second = self.moments.get(path, (np.zeros_like(gradient), np.zeros_like(gradient)))
        slow, slower = _BETAS
        first = slow * first + (1 - slow) * gradient
        second = slower * second + (1 - slower) * gradient * gradient
        self.moments[path] = first, second
        root = np.sqrt(second / (1 - slower**time)) + _EPSILON
        step: Array = first / (1 - slow**time) / root
        return step

    def _done(self) -> None:
        if self.advance is not None:
            self.advance(1, self.whole)


def loss_and_gradient(
    step: Step, output: Array, targets: Array, loss: Loss, weights: Array
) -> tuple[float, Array]:
    """The loss of an output, and its gradient with respect to the output.

    Args:
        step: the step with the output, which are probabilities or logits by its activation.
        output: (..., classes), or numbers.
        targets: labels of ``cross_entropy``, else numbers of the same shape.
        loss: the loss.
        weights: of the entries, or with ``cross_entropy`` of the rows; they sum to 1.
    """
    z = np.asarray(output, np.float64)
    function: Any = output_activation(step)
    if loss == "mean_squared_error":
        return float(np.sum(weights * (z - targets) ** 2)), 2 * weights * (z - targets)
    if loss == "binary_cross_entropy":
        if isinstance(function, Sigmoid):
            p, q = np.maximum(z, _SMALLEST), np.maximum(1 - z, _SMALLEST)
            value = -np.sum(weights * (targets * np.log(p) + (1 - targets) * np.log(q)))
            return float(value), weights * ((1 - targets) / q - targets / p)
        value = np.sum(weights * (np.logaddexp(0, z) - targets * z))
        return float(value), weights * (1 / (1 + np.exp(-z)) - targets)
    chosen = targets[..., None]
    if isinstance(function, Softmax):
        p = np.maximum(np.take_along_axis(z, chosen, -1), _SMALLEST)
        gradient = np.zeros_like(z)
        np.put_along_axis(gradient, chosen, -weights[..., None] / p, -1)
        return float(-np.sum(weights[..., None] * np.log(p))), gradient
    z = z - z.max(-1, keepdims=True)
    z = z - np.log(np.exp(z).sum(-1, keepdims=True))
    gradient = np.exp(z) * weights[..., None]
    at = np.take_along_axis(gradient, chosen, -1) - weights[..., None]
    np.put_along_axis(gradient, chosen, at, -1)
    return float(-np.sum(weights[..., None] * np.take_along_axis(z, chosen, -1))), gradient
