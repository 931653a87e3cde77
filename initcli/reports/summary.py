"""The summary of a model: every tensor, its distribution, what was drawn of it, and how well they
fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from initcli.distributions import Distribution
from initcli.measuring.fit import Fit, fit
from initcli.measuring.histogram import around
from initcli.measuring.measurement import Measurement, Progress, measure
from initcli.model import Model
from initcli.parameter import Parameter
from initcli.sampling.workers import HERE, Workers


class TensorSummary(msgspec.Struct, frozen=True):
    """One parameter; distribution and fit are None where nobody can know the distribution.

    Of theory alone there is neither a measurement nor a fit.
    """

    parameter: Parameter
    distribution: Distribution | None
    measured: Measurement | None = None
    fit: Fit | None = None


class Totals(msgspec.Struct, frozen=True):
    """Weights of a model, and the bytes that they take."""

    params: int
    trainable: int
    non_trainable: int
    bytes: int


def summarize(
    model: Model,
    *,
    only: Iterable[Parameter] | None = None,
    workers: Workers = HERE,
    most: int | None = None,
    progress: Progress | None = None,
) -> Iterator[TensorSummary]:
    """Draw and measure every parameter, and hold it against its distribution, in the model's order.

    Args:
        model: whose parameters.
        only: some of them, such as :meth:`Model.matching` finds; all by default.
        workers: who is to do it, see :mod:`initcli.sampling.workers`; this process by default.
        most: entries of a tensor to measure at most, its first; all by default.
        progress: told of the weights that are done, as they are.

    Raises:
        TooLarge: a tensor cannot be held that must be, or nobody could wait for the weights.
        CustomFunctionError: a custom initializer failed.
        WorkersError: the workers were lost.

    >>> import initcli
    >>> model = initcli.parse("{input_shape: [8], layers: [{type: Dense, units: 4}]}")
    >>> for tensor in initcli.summarize(model):
    ...     print(tensor.parameter.path, tensor.distribution.text, tensor.fit.p_value > 0.001)
    dense/kernel U(-0.7071, 0.7071) True
    dense/bias constant 0 True
    """
    wanted = model.parameters if only is None else only
    for parameter, seen in measure(wanted, workers=workers, most=most, progress=progress):
        distribution = parameter.distribution
        copies = parameter.initializer.copies(parameter.shape)
        found = None if distribution is None else fit(distribution, seen, parameter.dtype, copies)
        yield TensorSummary(parameter, distribution, seen, found)


def theory(model: Model, *, only: Iterable[Parameter] | None = None) -> Iterator[TensorSummary]:
    """Every parameter and its distribution, with nothing drawn.

    >>> import initcli
    >>> model = initcli.load("sample_configs/llama3_405b.yaml")
    >>> largest = max(initcli.theory(model), key=lambda tensor: tensor.parameter.size)
    >>> largest.parameter.path, largest.distribution.text, largest.measured
    ('embedding/embeddings', 'N(0, 0.02²)', None)
    """
    for parameter in model.parameters if only is None else only:
        yield TensorSummary(parameter, parameter.distribution)


def common_range(tensors: Iterable[TensorSummary]) -> tuple[float, float]:
    """From the least to the greatest value that was drawn of all, or around their only one."""
    seen = [tensor.measured for tensor in tensors if tensor.measured is not None]
    low = min((each.min for each in seen), default=0.0)
    high = max((each.max for each in seen), default=0.0)
    if low < high:
        return low, high
    edges = around(low)
    return float(edges[0]), float(edges[1])


def totals(model: Model) -> Totals:
    """What the tensors of a model add up to.

    >>> import initcli
    >>> initcli.totals(initcli.load("sample_configs/tour.yaml"))
    Totals(params=40152, trainable=40152, non_trainable=0, bytes=160608)
    """
    parameters = model.parameters
    trainable = sum(parameter.size for parameter in parameters if parameter.trainable)
    every = sum(parameter.size for parameter in parameters)
    return Totals(every, trainable, every - trainable, sum(p.bytes for p in parameters))
