"""Predictions from the distributions alone: fields forwards through a program, gradients
backwards."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from initcli.initializers import NormOf
from initcli.initializers.orthogonal import Orthogonal
from initcli.layers.preprocessing import Preprocessing
from initcli.parameter import Parameter
from initcli.signal.field import Field, normal, pair_shares, scatter, standard
from initcli.signal.program import Program, Step
from initcli.signal.rules import Expected, Gradient, NoTheory, Place, Pull, Weight, predicted
from initcli.signal.rules.layout import Axes
from initcli.signal.ties import Ties
from initcli.types import CODES, NotComputable, Size


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """Predicted statistics of a layer's output; None where no theory applies."""

    mean: Annotated[float | None, Meta(description="Mean of a typical draw.")] = None
    std: Annotated[float | None, Meta(description="Standard deviation of a typical draw.")] = None
    correlation: Annotated[
        float | None, Meta(description="Cosine similarity of two examples' outputs.")
    ] = None
    gradient_rms: Annotated[
        float | None, Meta(description="RMS of the gradient of a typical draw.")
    ] = None
    chi: Annotated[
        float | None,
        Meta(
            description="Factor by which the layer multiplies the mean square of a small change of "
            "its input (χ of Schoenholz et al. 2017, arXiv:1611.01232)."
        ),
    ] = None
    sensitivity: Annotated[
        float | None,
        Meta(description="RMS change of the output for an RMS change of 1 of the model's inputs."),
    ] = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a layer's output, from which predictions go on where they end."""

    mean: float
    std: float
    correlation: float | None
    gradient_rms: float | None


def predictions(
    program: Program,
    seen: Mapping[int, Seen] | None = None,
    moments: Callable[[Parameter], Weight | None] | None = None,
    training: bool = True,
    inputs: Mapping[int, Field] | None = None,
) -> list[Prediction]:
    """What is expected of the output of each step.

    Args:
        program: what is computed.
        seen: what was measured of tensors, by number, to go on from where no theory covers a layer.
        moments: of a parameter's entries; by default what its distribution says.
        training: whether layers act as in training.
        inputs: fields of tensors that flow in, by number; by default standard normal ones.
    """
    theory = Theory(program, seen or {}, moments or distribution_moments, training)
    return theory.predictions(inputs or {})


def distribution_moments(parameter: Parameter) -> Weight | None:
    """Mean and variance of an entry, as its distribution has them.

    A norm of independent entries is taken for the root of its exact mean square, of which it is
    as near as its entries are many.
    """
    made = parameter.initializer
    if isinstance(made, NormOf) and made.source_distribution is not None:
        return Weight(
            math.sqrt(
                made.count * (made.source_distribution.std**2 + made.source_distribution.mean**2)
            ),
            0.0,
        )
    distribution = parameter.distribution
    is_orthogonal = isinstance(parameter.initializer, Orthogonal)
    return (
        None
        if distribution is None
        else Weight(distribution.mean, distribution.std**2, is_orthogonal)
    )


_SURE = 1e-3
"""A variance of a logarithm that changes nothing."""


class Theory:
    """Takes fields through a program step by step, and gradients back."""

    def __init__(
        self,
        program: Program,
        seen: Mapping[int, Seen],
        moments: Callable[[Parameter], Weight | None],
        training: bool,
    ) -> None:
        self.program = program
        self.seen = seen
        self.moments = moments
        self.training = training
        self.fields: dict[int, Field] = {}
        self.changes: dict[int, float] = {}
        """The mean square of a small change of each tensor, for one of 1 of the inputs."""
        self.doubts: dict[int, tuple[float, float]] = {}
        """Var[log S] of each tensor's mean square by what was drawn before it: of a batch, over
        draws, and of one example, over draws and examples."""
        self.axes = first_axes(program)
        self.ties = Ties(program)
        self.looked_up = {each.tensor for each in program.sources if each.most is not None}

    def predictions(self, inputs: Mapping[int, Field]) -> list[Prediction]:
        """What is expected of each step."""
        program = self.program
        self.begin(inputs)
        pulls: list[Pull | None] = []
        chis: list[float | None] = []
        for step in program.steps:
            found = self.take(step)
            pulls.append(None if found is None else found.pull)
            chis.append(self._change(step, pulls[-1]))
        gradients = self._backwards(pulls)
        steps = zip(program.steps, pulls, gradients, chis, strict=True)
        return [self._prediction(step, pull is not None, g, chi) for step, pull, g, chi in steps]

    def begin(self, inputs: Mapping[int, Field]) -> None:
        """Let fields flow in: those given by number, and standard normal ones."""
        for source in self.program.sources:
            if source.most is None:
                shape = self.program.shapes[source.tensor]
                own = inputs.get(source.tensor)
                self.fields[source.tensor] = own or alike(shape, self.axes[source.tensor])
                self.changes[source.tensor] = 1.0

    def take(self, step: Step) -> Expected | None:
        """Take the fields through a step; None where no theory covers it."""
        found = self.expected(step)
        if found is not None:
            self.fields[step.outputs[0]] = found.output
        elif step.layer.adds_nothing() or isinstance(step.layer, Preprocessing):
            self.looked_up.update(step.outputs if step.inputs[0] in self.looked_up else ())
        elif (seen := self.seen.get(step.outputs[0])) is not None:
            self.fields[step.outputs[0]] = self._from_measured(step, seen)
        self.ties.take(step, self.fields)
        return found

    def expected(self, step: Step) -> Expected | None:
        """What is expected of a step; None where no theory covers it."""
        program, ids = self.program, self.looked_up
        given: list[Field] = []
        for tensor in step.inputs:
            each = _NOTHING if tensor in ids else self.fields.get(tensor)
            if each is None:
                return None
            given.append(each)
        if any(i in ids for i in step.inputs) and not step.parameters:
            return None
        weights: dict[str, Weight] = {}
        for name, parameter in step.weights.items():
            weight = None if parameter.dtype in CODES else self.moments(parameter)
            if weight is None:
                return None
            weights[name] = weight
        try:
            self.ties.refuse_joined(step, given)
            tied = self.ties.with_table(step)
        except NoTheory as error:
            _give_up(step, error)
            return None
        place = Place(
            weights=weights,
            sizes={name: p.shape for name, p in step.weights.items()},
            inputs=[program.shapes[i] for i in step.inputs],
            outputs=[program.shapes[i] for i in step.outputs],
            options=step.options,
            training=self.training,
            tied=tied,
        )
        try:
            with np.errstate(all="ignore"):
                found = self._typical(step, place, given)
        except Exception as error:
            _give_up(step, error)
            return None

        def pull(g: Gradient) -> Sequence[Gradient | None]:
            try:
                with np.errstate(all="ignore"):
                    return found.pull(g)
            except Exception as error:
                _give_up(step, error)
                raise NoTheory(step.name) from error

        return found._replace(pull=pull)

    def _from_measured(self, step: Step, seen: Seen) -> Field:
        shape = self.program.shapes[step.outputs[0]]
        given = alike(shape, self.axes.get(step.outputs[0], (-1,)))
        second = seen.std**2 + seen.mean**2
        moments = np.empty((4, *given.grid))
        moments[0] = second
        moments[1] = second * (seen.correlation or 0.0)
        moments[2:] = seen.mean**2
        found = normal(moments, np.full(given.grid, seen.mean), given.units)
        return msgspec.structs.replace(found, axes=given.axes)

    def _typical(self, step: Step, place: Place, given: list[Field]) -> Expected:
        """What is expected of a typical draw: where the inputs' mean squares are their medians.

        Mean squares are nearly log-normal, over draws and over the examples of a draw. Of what
        comes out the typical mean square is a mean over the examples of a draw, and over draws one
        of logarithms, each as a quadrature of three points.
        """
        batch, output = self.program.batch, step.outputs[0]
        is_mixing = any(len(parameter.shape) > 1 for parameter in step.parameters)
        doubts, taken = [], []
        for tensor, each in zip(step.inputs, given, strict=True):
            fresh = [scatter(each, n) if is_mixing else 0.0 for n in (batch, 1)]
            before = (0.0, 0.0) if each.pinned else self.doubts.get(tensor, (0.0, 0.0))
            doubts.append((before[0] + fresh[0], before[1] + fresh[1]))
            taken.append(_scaled(each, -fresh[0] / 2))
        found = predicted(step.layer, place, *taken)
        field, pull, axes = found
        if not is_mixing and len(given) == 1 and field.units != given[0].units:
            # Positions that have become units are not independent of one another.
            field = _scaled(field, -max(scatter(given[0], batch) - scatter(field, batch), 0.0) / 2)
        if len(given) > 1:
            sizes = [float(each.second.mean()) for each in taken]
            total = max(sum(sizes), 1e-300)
            roots = [np.sqrt(doubt) * n / total for n, doubt in zip(sizes, doubts, strict=True)]
            whole, single = (sum(root[kind] for root in roots) ** 2 for kind in (0, 1))
            self.doubts[output] = whole, single
        elif given and not field.pinned and doubts[0][1] > _SURE:
            whole, single = (min(doubt, 1.0) for doubt in doubts[0])
            reach = math.sqrt(3 * single)
            around = [predicted(step.layer, place, _scaled(taken[0], x)) for x in (-reach, reach)]
            seconds = [float(each.output.second.mean()) for each in (around[0], found, around[1])]
            if all(second > 0 for second in seconds):
                # log F(x) for the logarithm x of a mean square, as a parabola.
                low, middle, high = np.log(seconds)
                slope, bend = (high - low) / (2 * reach), (high + low - 2 * middle) / reach**2
                self.doubts[output] = whole * slope**2, single * slope**2
                apart = max(single - whole, 0.0)
                within = (slope**2 - slope + bend) * apart / 2
                field = _scaled(field, bend * whole / 2 + within)
        return Expected(field, pull, axes)

    def _change(self, step: Step, pull: Pull | None) -> float | None:
        """χ of a step; by what its Jacobian's mean square is, which gradients tell as well."""
        output = step.outputs[0]
        field, shape = self.fields.get(output), self.program.shapes[output]
        if field is None or step.inputs == step.outputs:
            return None
        if any(tensor in self.looked_up for tensor in step.inputs):
            # What is looked up changes as a whole.
            self.changes[output] = float(field.second.mean())
            return None
        if pull is None:
            known = [each for each in step.inputs if each in self.changes and each in self.fields]
            if known:
                before = float(self.fields[known[0]].second.mean())
                share = self.changes[known[0]] / before if before > 0 else 0.0
                self.changes[output] = share * float(field.second.mean())
            return None
        try:
            back = pull(Gradient.even(np.ones(field.grid)))
        except NoTheory:
            return None
        total, before = 0.0, 0.0
        for tensor, each in zip(step.inputs, back, strict=True):
            if each is not None and tensor in self.changes:
                sizes = math.prod(self.program.shapes[tensor][1:]) / max(math.prod(shape[1:]), 1)
                total += sizes * each.second * self.changes[tensor]
                before += self.changes[tensor]
        self.changes[output] = total
        return total / before if len(step.inputs) == 1 and before > 0 else None

    def _backwards(self, pulls: list[Pull | None]) -> list[float | None]:
        """The RMS of the gradient of each step's output, for an independent standard normal one of
        each result."""
        gradients = {
            tensor: Gradient.even(np.ones(self._grid(tensor))) for tensor in self.program.results
        }
        lost: set[int] = set()
        through: dict[int, frozenset[str]] = {}
        found: list[float | None] = []
        for step, pull in zip(reversed(self.program.steps), reversed(pulls), strict=True):
            tensor = step.outputs[0]
            g = gradients.get(tensor)
            if tensor in lost:
                found.append(None)
                seen = self.seen.get(tensor)
                rms = None if seen is None else seen.gradient_rms
                g = None if rms is None else Gradient.even(np.full(self._grid(tensor), rms**2))
            else:
                found.append(None if g is None else math.sqrt(max(g.second, 0.0)))
            if step.inputs == step.outputs:
                continue
            if g is None or pull is None:
                # What nothing depends on passes nothing on; what is not known leaves its inputs so.
                if g is not None or tensor in lost:
                    lost.update(step.inputs)
                continue
            try:
                back = pull(g)
            except NoTheory:
                lost.update(step.inputs)
                continue
            with np.errstate(all="ignore"):
                weights = self.ties.passed(step, through.get(tensor, frozenset()))
                for source, each in zip(step.inputs, back, strict=True):
                    if each is not None:
                        before, others = gradients.get(source), through.get(source, frozenset())
                        if weights & others:
                            # What comes back through the same weights is not independent.
                            lost.add(source)
                        through[source] = weights | others
                        gradients[source] = each if before is None else before.plus(each)
        return found[::-1]

    def _grid(self, tensor: int) -> Size:
        if tensor in self.fields:
            return self.fields[tensor].grid
        return alike(self.program.shapes[tensor], self.axes.get(tensor, (-1,))).grid

    def _prediction(
        self, step: Step, is_known: bool, gradient: float | None, chi: float | None
    ) -> Prediction:
        if not is_known:
            return Prediction(gradient_rms=_finite(gradient))
        tensor = step.outputs[0]
        field = typical(self.fields[tensor], self.program.batch)
        change = self.changes.get(tensor)
        return Prediction(
            mean=_finite(field.mean),
            std=_finite(spread(field, self.program.batch)),
            correlation=_finite(field.correlation),
            gradient_rms=_finite(gradient),
            chi=_finite(chi),
            sensitivity=None if change is None else _finite(math.sqrt(change)),
        )


def typical(given: Field, batch: int) -> Field:
    """The field of a typical draw: its mean square is the median over draws, not the mean.

    Over draws the mean square S of a layer of finite width is nearly log-normal, and with
    Var[log S] = s its median is e^(−s/2) times its mean (Hanin and Nica 2020).
    """
    return _scaled(given, -scatter(given, batch) / 2)


def spread(given: Field, batch: int) -> float:
    """The standard deviation of all entries of a batch about their own mean.

    The mean of a draw is not that of all draws where units are few and have much in common.
    """
    second, mean = float(given.second.mean()), given.mean
    if not given.pinned and given.units:
        shares = pair_shares(batch, math.prod(given.grid))
        common = float(shares @ given.moments.reshape(4, -1).mean(1))
        second -= max(common - mean * mean, 0.0) / given.units
    return math.sqrt(max(second - mean * mean, 0.0))


def _scaled(given: Field, logarithm: float) -> Field:
    """The field with e^logarithm times the mean square."""
    if logarithm == 0 or not math.isfinite(logarithm):
        return given
    return msgspec.structs.replace(given, second=given.second * math.exp(logarithm))


def first_axes(program: Program) -> dict[int, Axes]:
    """The axes on which the units of each input stand: where its first layer of images has them."""
    found: dict[int, Axes] = {}
    for step in reversed(program.steps):
        if not step.inputs:
            continue
        rank = len(program.shapes[step.inputs[0]])
        own = getattr(step.layer, "data_format", None)
        after = found.get(step.outputs[0], (-1,))
        if own == "channels_first":
            after = (1 - rank,)
        elif own == "channels_last" or rank != len(program.shapes[step.outputs[0]]):
            after = (-1,)
        for tensor in step.inputs:
            found[tensor] = after if len(program.shapes[tensor]) == rank else (-1,)
    return found


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def alike(shape: Size, axes: Axes = (-1,)) -> Field:
    """Independent standard normal entries of a tensor, with its units on those axes."""
    sizes = dict(enumerate(shape[1:], 1 - len(shape)))
    grid = tuple(size for axis, size in sizes.items() if axis not in axes)
    found = standard(grid, math.prod(sizes[axis] for axis in axes) if sizes else 1)
    return msgspec.structs.replace(found, axes=axes)


def _give_up(step: Step, error: Exception) -> None:
    """Say where someone looks for it what a layer has no prediction for.

    What is beyond floating-point numbers is no failure.
    """
    expected = isinstance(error, NoTheory | NotComputable | ArithmeticError)
    _LOG.debug(
        "no prediction for '%s' (%s): %s: %s",
        step.name,
        step.layer.type_name,
        type(error).__name__,
        error,
        exc_info=None if expected else error,
    )


_LOG = logging.getLogger(__name__)
_NOTHING = standard((), 1)
