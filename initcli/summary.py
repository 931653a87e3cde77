"""The summary of a model: every tensor, its law, what was drawn of it, and how well they fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from initcli.fitting import Fit, fit
from initcli.laws import Law
from initcli.measuring import Measurement, measure
from initcli.parameter import Parameter
from initcli.spec.model import Model


@dataclass(frozen=True)
class TensorSummary:
    """One parameter; law and fit are None where nobody can know the law."""

    parameter: Parameter
    law: Law | None
    measured: Measurement
    fit: Fit | None


@dataclass(frozen=True)
class Totals:
    """Weights of a model, and the bytes that they take."""

    params: int
    trainable: int
    non_trainable: int
    bytes: int


def summarise(
    model: Model, *, only: Iterable[Parameter] | None = None, jobs: int | None = None
) -> Iterator[TensorSummary]:
    """Draw and measure every parameter, and hold it against its law, in the model's order.

    Args:
        model: whose parameters.
        only: some of them, such as :meth:`Model.matching` finds; all by default.
        jobs: threads; all cores by default.

    Raises:
        TooLarge: a tensor cannot be held that must be, or nobody could wait for the weights.
        CustomFunctionError: a custom initializer failed.
    """
    for parameter, measured in measure(model.parameters if only is None else only, jobs=jobs):
        law = parameter.law
        found = None if law is None else fit(law, measured, parameter.dtype)
        yield TensorSummary(parameter, law, measured, found)


def totals(model: Model) -> Totals:
    """What the tensors of a model add up to."""
    parameters = model.parameters
    trainable = sum(parameter.size for parameter in parameters if parameter.trainable)
    every = sum(parameter.size for parameter in parameters)
    return Totals(every, trainable, every - trainable, sum(p.bytes for p in parameters))
