"""Predictions from distributions: fields forwards through a program, gradients backwards."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec
import numpy as np

from initcli.initializers import Initializer
from initcli.layers.preprocessing import Preprocessing
from initcli.signal.cost import room
from initcli.signal.field import Field
from initcli.signal.grid import cells
from initcli.signal.initial_fields import Measured, alike, first_axes, from_measured, standard
from initcli.signal.logits import Logits, logits
from initcli.signal.moments import Moments, Weight, distribution_moments
from initcli.signal.prediction import Predicted, Prediction, Sums
from initcli.signal.program import Program, Step
from initcli.signal.rules.base import (
    Batch,
    Context,
    Expected,
    Gradient,
    NoTheory,
    Pull,
    rule_of,
)
from initcli.signal.sharing import shared
from initcli.signal.ties import Ties, Ways
from initcli.signal.typical import Call, LogVar, Made
from initcli.types import CODES, NotComputable, Size

T = TypeVar("T")


def predictions(
    program: Program,
    measured: Mapping[int, Measured] | None = None,
    moments: Moments | None = None,
    inputs: Mapping[int, Field] | None = None,
) -> Predicted:
    """Predict the figures of each step.

    Args:
        program: the steps.
        measured: measured statistics by tensor, from which predictions continue.
        moments: of parameters; by default those of their distributions.
        inputs: fields of input tensors, by number; by default standard normal.
    """
    theory = Theory(program, moments or distribution_moments, measured)
    theory.begin(inputs)
    found: list[Expected | None] = []
    forwards: list[Prediction] = []
    for step in program.steps:
        found.append(expected := theory.take(step))
        theory.take_change(step)
        forwards.append(Prediction() if expected is None else theory.prediction(step))
    gradients = theory.gradients([each and each.pull for each in found])
    steps = [
        msgspec.structs.replace(
            each,
            gradient_rms=_finite(gradient),
            kernel_gradient_rms=_finite(theory.kernels.get(step.outputs[0])),
        )
        for step, each, gradient in zip(program.steps, forwards, gradients, strict=True)
    ]
    return Predicted(
        steps,
        tuple(theory.left_out),
        _known(each and each.attended for each in found),
        theory.logits(),
        _known(map(Sums.of, found)),
        _known(each and each.routed for each in found),
    )


def _known(values: Iterable[T | None]) -> dict[int, T]:
    """The values that are not None, by index."""
    return {index: each for index, each in enumerate(values) if each is not None}


class NoRoom(NoTheory):
    """Raised where a layer takes more memory than is allowed."""


_NUMBER = 8
"""Bytes of a number."""
_OF_INPUT = 10
"""Numbers for each cell of an input tensor."""
_FOR_TIES = 8
"""The inverse of the fraction of the memory for cross moments."""


class Theory:
    """Passes fields through a program step by step, and gradients backwards."""

    def __init__(
        self,
        program: Program,
        moments: Moments,
        measured: Mapping[int, Measured] | None = None,
    ) -> None:
        self.program = program
        self.moments = moments
        self.measured = measured or {}
        self.fields: dict[int, Field] = {}
        self.changes: dict[int, float] = {}
        """The mean square of a small change of each tensor, for a change of 1 in the inputs."""
        self.chis: dict[int, float] = {}
        """χ of the steps with one input, by their first output."""
        self.kernels: dict[int, float | None] = {}
        """The gradient RMS of kernels and tables, by the first output of their step."""
        self.called_again = {step.name for step in program.steps if step.call}
        self.made: dict[int, Made] = {}
        """The result of each step, by its first output."""
        self.shared = shared()
        self.allowed, self.held = room(), 0
        """The bytes that may be used, and those in use."""
        self.left_out: dict[str, None] = {}
        """The layers that need more memory than is left."""
        self.axes = first_axes(program)
        self.ties = Ties(program, self.fields, self._context, self.allowed // _FOR_TIES)
        self.ids = {each.tensor for each in program.inputs if each.num_tokens is not None}
        """The tensors of integers, which only tables take."""

    def begin(self, inputs: Mapping[int, Field] | None = None) -> None:
        """Set the fields of the inputs; by default they are standard normal."""
        given = inputs or {}
        for each in self.program.inputs:
            if each.num_tokens is None:
                shape = self.program.shapes[each.tensor]
                own = given.get(each.tensor)
                self.held += _NUMBER * _OF_INPUT * math.prod(cells(shape[1:-1]))
                if self.held > self.allowed:
                    self.left_out[each.name] = None
                    continue
                self.fields[each.tensor] = own or alike(shape, self.axes[each.tensor])
                self.changes[each.tensor] = 1.0

    def take(self, step: Step) -> Expected | None:
        """Pass the fields through a step; None where no theory covers it."""
        made, output = self._made(step), step.outputs[0]
        if made is not None:
            self.made[output] = made
            self.fields[output] = made.expected.output
            self.fields.update(zip(step.outputs[1:], made.expected.others, strict=False))
        elif step.layer.adds_nothing() or isinstance(step.layer, Preprocessing):
            self.ids.update(step.outputs if step.inputs[0] in self.ids else ())
        elif (measured := self.measured.get(output)) is not None:
            axes = self.axes.get(output, (-1,))
            self.fields[output] = from_measured(self.program.shapes[output], axes, measured)
        self.ties.take(step)
        return None if made is None else self._guarded(step, made.expected)

    def expected(self, step: Step) -> Expected | None:
        """The result of a step without taking it; None where no theory covers it."""
        made = self._made(step)
        return None if made is None else self._guarded(step, made.expected)

    def _made(self, step: Step) -> Made | None:
        has_ids = not self.ids.isdisjoint(step.inputs)
        given = [_NOTHING if i in self.ids else self.fields.get(i) for i in step.inputs]
        inputs = [each for each in given if each is not None]
        if len(inputs) < len(given) or (has_ids and not step.parameters):
            return None
        try:
            with np.errstate(all="ignore"):
                context = self._context(step)._replace(tied=self.ties.with_table(step))
                if rule_of(step.layer).uses_cross_moments:
                    context = context._replace(common=partial(self.ties.common, step))
                else:
                    self.ties.refuse_tied(step)
                pairs = zip(step.inputs, inputs, strict=True)
                call = Call(
                    layer=step.layer,
                    context=context,
                    inputs=inputs,
                    log_vars=[self._log_var(i, each) for i, each in pairs],
                    batch=self.program.batch,
                    is_weighted=any(len(parameter.shape) > 1 for parameter in step.parameters),
                )
                return self.shared.made(call, afford=partial(self._afford, step, context))
        except Exception as error:
            _give_up(step, error)
            return None

    def _afford(self, step: Step, context: Context) -> int:
        """The bytes that a step keeps.

        Raises:
            NoRoom: it needs more than are left.
        """
        own = rule_of(step.layer).room(step.layer, context)
        if self.held + _NUMBER * own.most > self.allowed:
            self.left_out[step.name] = None
            raise NoRoom(f"{_NUMBER * own.most:,.0f} bytes")
        self.held += (kept := int(_NUMBER * own.kept))
        return kept

    def _log_var(self, tensor: int, given: Field) -> LogVar:
        before = None if given.pinned or tensor not in self.made else self.made[tensor].log_var
        return before or (0.0, 0.0)

    def _guarded(self, step: Step, expected: Expected) -> Expected:
        """The result with a pullback that logs why it fails."""

        def pull(g: Gradient, *others: Gradient) -> Sequence[Gradient]:
            try:
                with np.errstate(all="ignore"):
                    return expected.pull(g, *others)
            except Exception as error:
                _give_up(step, error)
                raise NoTheory(step.name) from error

        return expected._replace(pull=pull)

    def _context(self, step: Step) -> Context:
        weights: dict[str, Weight] = {}
        for name, parameter in step.weights.items():
            weight = None if parameter.dtype in CODES else self.moments(parameter)
            if weight is None:
                raise NoTheory(f"the distribution of {parameter.path}")
            weights[name] = weight
        initializers: dict[str, Initializer] = {}
        if rule_of(step.layer).uses_initializers:
            initializers = {name: p.initializer for name, p in step.weights.items()}
        return Context(
            weights=weights,
            sizes={name: p.shape for name, p in step.weights.items()},
            inputs=[self.program.shapes[i] for i in step.inputs],
            outputs=[self.program.shapes[i] for i in step.outputs],
            options=step.options,
            initializers=initializers,
        )

    def take_change(self, step: Step) -> None:
        """Pass a small change through a step, by the mean square of its Jacobian."""
        output = step.outputs[0]
        made = self.made.get(output)
        field, shape = self.fields.get(output), self.program.shapes[output]
        if field is None or step.inputs == step.outputs:
            return
        if not self.ids.isdisjoint(step.inputs):
            # A lookup of another row changes all of the output.
            self.changes[output] = field.mean_square
            return
        if made is None:
            known = [each for each in step.inputs if each in self.changes and each in self.fields]
            if known:
                before = self.fields[known[0]].mean_square
                share = self.changes[known[0]] / before if before > 0 else 0.0
                self.changes[output] = share * field.mean_square
            return
        try:
            with np.errstate(all="ignore"):
                responses = made.responses
        except Exception as error:
            _give_up(step, error)
            return
        total, before = 0.0, 0.0
        for tensor, second in zip(step.inputs, responses, strict=True):
            if tensor in self.changes:
                sizes = math.prod(self.program.shapes[tensor][1:]) / max(math.prod(shape[1:]), 1)
                total += sizes * second * self.changes[tensor]
                before += self.changes[tensor]
        self.changes[output] = total
        if len(step.inputs) == 1 and before > 0:
            self.chis[output] = total / before

    @np.errstate(all="ignore")
    def gradients(self, pulls: list[Pull | None]) -> list[float | None]:
        """The gradient RMS of each step's output, for standard normal gradients of the results.

        Args:
            pulls: the pullback of each step; None where it is not known.
        """
        gradients = {
            tensor: Gradient.even(np.ones(self._grid(tensor))) for tensor in self.program.results
        }
        lost: set[int] = set()
        ways: dict[int, Ways] = {t: frozenset([("", t)]) for t in self.program.results}
        sizes: list[float | None] = []
        for step, pull in zip(reversed(self.program.steps), reversed(pulls), strict=True):
            tensor, *others = step.outputs
            g = gradients.get(tensor)
            if tensor in lost:
                sizes.append(None)
                measured = self.measured.get(tensor)
                rms = None if measured is None else measured.gradient_rms
                g = None if rms is None else Gradient.even(np.full(self._grid(tensor), rms**2))
            else:
                sizes.append(None if g is None else math.sqrt(max(g.second, 0.0)))
            if step.inputs == step.outputs:
                continue
            used = [each for each in others if each in gradients or each in lost]
            try:
                if g is None and tensor not in lost and not used:
                    continue
                if pull is None or (tensor in lost and g is None) or not lost.isdisjoint(used):
                    raise NoTheory(step.name)
                if used and any(each not in self.fields for each in others):
                    raise NoTheory("a gradient of further outputs")
                further = [gradients.get(each) or self._none(each) for each in others if used]
                back = pull(g or self._none(tensor), *further)
            except NoTheory:
                lost.update(step.inputs)
                continue
            self._take_kernel(step, g)
            for made in step.outputs:
                gradients.pop(made, None)  # No earlier step takes them.
            way = self.ties.passed(step, ways.get(tensor, frozenset()))
            for source, each in zip(step.inputs, back, strict=True):
                if source in self.ids:
                    continue
                before, known = gradients.get(source), ways.get(source, frozenset())
                if self.ties.meet(way, known):
                    lost.add(source)
                ways[source] = way | known
                gradients[source] = each if before is None else before.plus(each)
        return sizes[::-1]

    def _take_kernel(self, step: Step, g: Gradient | None) -> None:
        """Predict the gradient of the kernel of a step, given that of its output."""
        parameter, made = step.kernel, self.made.get(step.outputs[0])
        if g is None or parameter is None or made is None or step.name in self.called_again:
            return
        output, kernel = self.fields[step.outputs[0]], made.expected.kernel
        if kernel is not None and g.grid == output.grid:
            square = kernel(g, Batch(self.program.batch, output.positions))
            self.kernels[step.outputs[0]] = parameter.multiplier * math.sqrt(max(square, 0.0))

    def logits(self) -> dict[int, Logits]:
        """The logits of each output, by the index of its step."""
        found = {}
        for index, step in enumerate(self.program.steps):
            if step.outputs[0] not in self.program.results or step.inputs == step.outputs:
                continue
            try:
                with np.errstate(all="ignore"):
                    made = logits(self.program, self.fields, self._context, self.ties, index)
            except Exception as error:
                _give_up(step, error)
                continue
            if made is not None:
                found[index] = made
        return found

    def _none(self, tensor: int) -> Gradient:
        return Gradient.even(np.zeros(self._grid(tensor)))

    def _grid(self, tensor: int) -> Size:
        if tensor in self.fields:
            return self.fields[tensor].grid
        return alike(self.program.shapes[tensor], self.axes.get(tensor, (-1,))).grid

    @np.errstate(all="ignore")
    def prediction(self, step: Step) -> Prediction:
        """The prediction of a step after :meth:`take`, without its gradient."""
        tensor = step.outputs[0]
        figures = self.made[tensor].figures
        change = self.changes.get(tensor)
        return Prediction(
            mean=_finite(figures.mean),
            std=_finite(figures.std),
            correlation=_finite(figures.correlation),
            chi=_finite(self.chis.get(tensor)),
            # Negative by rounding where two examples hardly differ.
            sensitivity=None if change is None else _finite(math.sqrt(max(change, 0.0))),
        )


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _give_up(step: Step, error: Exception) -> None:
    """Log why a layer has no prediction, with a traceback for unexpected errors."""
    is_expected = isinstance(error, NoTheory | NotComputable | ArithmeticError)
    _LOG.debug(
        "no prediction for '%s' (%s): %s: %s",
        step.name,
        step.layer.type_name,
        type(error).__name__,
        error,
        exc_info=None if is_expected else error,
    )


_LOG = logging.getLogger(__name__)
_NOTHING = standard((), 1)
