"""Tensors with measurements of drawn or stored values, compared with their distributions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

import msgspec

from initcli.checkpoint import Checkpoint, Subject, require_subject
from initcli.display import DisplayedSequence
from initcli.distributions import Distribution
from initcli.initializers.base import Undrawn
from initcli.matching.match import Identified
from initcli.measuring.fit import Fit, fit
from initcli.measuring.histogram import around
from initcli.measuring.measure import measure
from initcli.measuring.measurement import Measurement
from initcli.measuring.portions import Progress
from initcli.measuring.spectral import Spectral, growths, spectral
from initcli.model import Model
from initcli.parameter import Parameter
from initcli.reports.record import doc
from initcli.sampling.workers import HERE, Workers
from initcli.types import shape_text


class TensorSummary(msgspec.Struct, frozen=True):
    """One parameter; distribution and fit are None if the distribution is not known.

    Measurement and fit are None if no values were drawn or read. ``match`` has the initializers
    that stored values look like, ``spectral`` the spectral norm, if requested.
    """

    parameter: Parameter
    distribution: Distribution | None
    measured: Measurement | None = None
    fit: Fit | None = None
    match: Identified | None = None
    spectral: Spectral | None = None


class Summary(DisplayedSequence[TensorSummary], frozen=True, kw_only=True):
    """The tensors of a model, or some of them, each as a :class:`TensorSummary`."""

    model: Subject

    view: ClassVar[str] = "summary"

    @property
    def headline(self) -> str:
        return f"of {self.model.name}: {len(self)} tensors, {', '.join(model_facts(self.model))}"

    def lines(self) -> Iterator[tuple[str, ...]]:
        for each in self:
            shape, fit = shape_text(each.parameter.shape), each.fit
            distribution = each.distribution.text if each.distribution else "not known"
            yield each.parameter.path, shape, distribution, f"p={fit.p_value:.2g}" if fit else ""


class Totals(msgspec.Struct, frozen=True):
    """Number of weights of a model, and their size."""

    params: Annotated[int, doc("Number of weights.")]
    trainable: Annotated[
        int | None,
        doc("Number of trainable weights; null for stored weights."),
    ]
    non_trainable: Annotated[
        int | None, doc("Number of weights that are not trained; null for stored weights.")
    ]
    bytes: Annotated[int, doc("Size of all weights in memory, or in the file, in bytes.")]


def is_stored(model: Subject) -> bool:
    """Whether the values are stored ones."""
    return isinstance(model, Checkpoint) or any(each.stored for each in model.parameters)


def model_facts(model: Subject) -> tuple[str, ...]:
    """The facts that determine the values of a model, as text."""
    if is_stored(model):
        origins = {each.stored.origin for each in model.parameters if each.stored}
        origin = "live" if origins == {"live"} else "stored"
        return (f"{origin} weights", *([model.dtype] if model.dtype else []))
    kind = model.parametrization if isinstance(model, Model) else "standard"
    own = (f"parametrization {kind}",) if kind != "standard" else ()
    return f"seed {model.seed}", str(model.dtype), f"{model.defaults} defaults", *own


def summarize(
    model: Subject,
    *,
    only: Iterable[Parameter] | None = None,
    workers: Workers = HERE,
    max_entries: int | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Draw or read every parameter and compare it with its distribution, in the model's order.

    Args:
        model: the model.
        only: parameters to measure, such as :meth:`Model.matching` returns; all by default.
        workers: workers to use, see :mod:`initcli.sampling.workers`; this process by default.
        max_entries: number of first entries of each tensor to measure; all by default.
        progress: called with the number of weights of each part that is done.

    Raises:
        TooLarge: a tensor does not fit in memory, or there are too many weights.
        CustomFunctionError: a custom initializer failed.
        WorkersError: the workers were lost.

    >>> import initcli
    >>> model = initcli.parse("{input_shape: [8], layers: [{type: Dense, units: 4}]}")
    >>> for tensor in initcli.summarize(model):
    ...     print(tensor.parameter.path, tensor.distribution.text, tensor.fit.p_value > 0.001)
    dense/kernel U(-0.7071, 0.7071) True
    dense/bias constant 0 True
    """
    tensors = summaries(
        model, only=only, workers=workers, max_entries=max_entries, progress=progress
    )
    return Summary(model=model, entries=tuple(tensors))


def summaries(
    model: Subject,
    *,
    only: Iterable[Parameter] | None = None,
    workers: Workers = HERE,
    max_entries: int | None = None,
    progress: Progress | None = None,
) -> Iterator[TensorSummary]:
    """The tensors of :func:`summarize`, each as soon as it is measured."""
    require_subject(model)
    wanted = list(model.parameters if only is None else only)
    measured = measure(
        filter(has_values, wanted), workers=workers, max_entries=max_entries, progress=progress
    )
    for parameter in wanted:
        yield held(parameter, next(measured)[1] if has_values(parameter) else None)


def held(parameter: Parameter, seen: Measurement | None) -> TensorSummary:
    """A parameter with its measurement, if any, compared with its distribution."""
    distribution = parameter.distribution
    tested = None
    if distribution is not None and seen is not None and seen.count:
        copies = parameter.initializer.copies(parameter.shape)
        tested = fit(distribution, seen, parameter.dtype, copies)
    return TensorSummary(parameter, distribution, seen, tested)


def has_values(parameter: Parameter) -> bool:
    """Whether there is anything to measure: values that can be drawn, or stored ones."""
    if parameter.stored is None:
        return not isinstance(parameter.initializer, Undrawn)
    return parameter.stored.storage is not None


def theory(model: Subject, *, only: Iterable[Parameter] | None = None) -> Summary:
    """Every parameter and its distribution, with nothing drawn.

    >>> import initcli
    >>> model = initcli.load("sample_configs/llama3_405b.yaml")
    >>> largest = max(initcli.theory(model), key=lambda tensor: tensor.parameter.size)
    >>> largest.parameter.path, largest.distribution.text, largest.measured
    ('embedding/embeddings', 'N(0, 0.02²)', None)
    """
    require_subject(model)
    parameters = model.parameters if only is None else only
    tensors = (TensorSummary(each, each.distribution) for each in parameters)
    return Summary(model=model, entries=tuple(tensors))


def with_spectral_norms(
    model: Subject, tensors: Iterable[TensorSummary]
) -> Iterator[TensorSummary]:
    """The kernels among the tensors with their spectral norms, measured if they have values."""
    growing = growths(model)
    for each in tensors:
        norms = spectral(each.parameter, draws=each.measured is not None)
        if norms is not None:
            growth = growing.get(each.parameter.path)
            norms = msgspec.structs.replace(norms, growth=growth)
        yield msgspec.structs.replace(each, spectral=norms)


def common_range(tensors: Iterable[TensorSummary]) -> tuple[float, float]:
    """The common range of values of all tensors, without a few far ones."""
    seen = [tensor.measured for tensor in tensors if tensor.measured is not None]
    ranges = [each.visible for each in seen if each.count]
    low = min((low for low, _ in ranges), default=0.0)
    high = max((high for _, high in ranges), default=0.0)
    if low < high:
        return low, high
    edges = around(low)
    return float(edges[0]), float(edges[1])


def totals(model: Subject) -> Totals:
    """The numbers and size of all weights of a model.

    >>> import initcli
    >>> initcli.totals(initcli.load("sample_configs/tour.yaml"))
    Totals(params=40152, trainable=40152, non_trainable=0, bytes=160608)
    """
    parameters = model.parameters
    every = sum(parameter.size for parameter in parameters)
    size = sum(parameter.bytes for parameter in parameters)
    if isinstance(model, Checkpoint):
        return Totals(every, None, None, size)
    trainable = sum(parameter.size for parameter in parameters if parameter.trainable)
    return Totals(every, trainable, every - trainable, size)
