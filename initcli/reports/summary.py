"""The summary of a model: every tensor, its distribution, what was drawn of it, and the fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from initcli.checkpoint import Checkpoint, Subject, require_subject
from initcli.display import DisplayedSequence
from initcli.distributions import Distribution
from initcli.initializers import Initializer
from initcli.initializers.base import Undeclared, Undrawn
from initcli.matching.match import Identified, Match
from initcli.measuring.fit import Fit, fit
from initcli.measuring.histogram import around
from initcli.measuring.measure import measure
from initcli.measuring.measurement import Measurement
from initcli.measuring.portions import Progress
from initcli.measuring.spectral import Spectral, spectral
from initcli.measuring.standing import Standing, standing
from initcli.model import BuiltLayer, Model, leaves
from initcli.parameter import Parameter
from initcli.reports.record import ModelRecord, Rows, columns, doc, record, rows_of
from initcli.sampling.workers import HERE, Workers
from initcli.signal.residual import ResidualScheme, residual_schemes
from initcli.types import shape_text


class TensorSummary(msgspec.Struct, frozen=True):
    """One parameter; distribution and fit are None where the distribution is not known.

    Where nothing is drawn or read there is neither a measurement nor a fit. ``match`` are the
    initializers that stored values look like, ``spectral`` is the spectral norm, if asked for.
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


class HistogramRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of values between edges."""

    edges: Annotated[tuple[float, ...], doc("Edges of the bins, in rising order.")]
    counts: Annotated[tuple[int, ...], doc("Values in each bin.")]


class MeasuredRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of measured values."""

    count: Annotated[int, doc("Number of finite values; less than size with --max-draws.")]
    mean: Annotated[float, doc("Mean.", heading="mean", expected="distribution_mean")]
    std: Annotated[
        float,
        doc(
            "Standard deviation (divided by the count, as numpy.std).",
            heading="std",
            expected="distribution_std",
        ),
    ]
    min: Annotated[float, doc("Least value.", heading="min", expected="distribution_low")]
    max: Annotated[float, doc("Greatest value.", heading="max", expected="distribution_high")]
    zeros: Annotated[int, doc("Number of values that are exactly 0.")]
    nans: Annotated[int, doc("Number of NaNs, which count nowhere else.")] = 0
    infs: Annotated[int, doc("Number of infinities, which count nowhere else.")] = 0
    histogram: Annotated[
        HistogramRecord | None, doc("Histogram from min to max, in at most 64 bins.", row=None)
    ]


class DistributionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution of one element."""

    type: Annotated[str, doc("Class of the distribution.", row=None)]
    text: Annotated[str, doc("Short text, such as U(-0.05, 0.05).", row="")]
    mean: Annotated[float, doc("Mean.")]
    std: Annotated[float, doc("Standard deviation.")]
    low: Annotated[float, doc("Lower end of the support; null if unbounded.")]
    high: Annotated[float, doc("Upper end of the support; null if unbounded.")]


class FitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The Kolmogorov–Smirnov test of the values against the distribution."""

    statistic: Annotated[float, doc("Largest distance between the two cumulative distributions.")]
    p_value: Annotated[float, doc("Probability of such a distance or a larger one by chance.")]


class MatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An initializer that stored values look like."""

    initializer: Annotated[
        dict[str, Any], doc("Initializer: its type and its arguments.", row=None)
    ]
    framework: Annotated[str | None, doc("Framework that has the rule; null if estimated.")]
    rule: Annotated[str, doc("The rule as short text, such as N(0, 2/fan_in).", row="")]
    distribution: Annotated[
        DistributionRecord | None, doc("Distribution of one element; null if not known.")
    ]
    p_value: Annotated[
        float | None,
        doc("Probability of values that agree as badly or worse; null if nothing is random."),
    ]
    also: Annotated[
        tuple[MatchRecord, ...],
        doc("Others that the values agree with, likeliest first.", row=None),
    ] = ()

    @classmethod
    def of(cls, matches: tuple[Match, ...]) -> MatchRecord | None:
        """The record of the first match, with the others in it; None without any."""
        if not matches:
            return None
        first, *others = (
            record(
                cls,
                each,
                initializer=_initializer(each.initializer),
                distribution=each.distribution and _distribution(each.distribution),
                also=(),
            )
            for each in matches
        )
        return msgspec.structs.replace(first, also=tuple(others))


class SpectralRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The spectral norm of a kernel as a matrix: summed axes by the others."""

    expected: Annotated[
        float | None, doc("Norm that follows from the initializer; null if not known.")
    ]
    measured: Annotated[float | None, doc("Norm of the values; null if none were measured.")]
    wanted: Annotated[
        float | None,
        doc("√(columns / rows), which keeps features of one size; null without known axes."),
    ]


Status = Literal[Standing, "missing", "unexpected", "other shape", "untied"]
_STATUSES: Mapping[str, Status] = {
    "missing": "missing",
    "optional": "missing",
    "unexpected": "unexpected",
    "shape": "other shape",
    "untied": "untied",
}


def statuses(model: Subject) -> Mapping[str, Status]:
    """What is wrong with tensors of a file by its configuration, by their paths."""
    disagreements = model.disagreements if isinstance(model, Model) else ()
    return {each.path: _STATUSES[each.kind] for each in disagreements}


class TensorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of the model."""

    path: Annotated[str, doc("Path, such as conv1d/kernel.")]
    layer: Annotated[
        str | None, doc("Name of the layer that has the tensor; null for weights in a file.")
    ]
    name: Annotated[str, doc("Last part of the path, such as kernel.")]
    shape: Annotated[tuple[int, ...], doc("Shape, in Keras's layout or as the file has it.")]
    size: Annotated[int, doc("Number of elements.")]
    dtype: Annotated[str, doc("Dtype of the elements.")]
    trainable: Annotated[bool | None, doc("Whether the tensor is trained; null if not known.")]
    fan_in: Annotated[int | None, doc("Fan-in, as the initializer counts it; null if not known.")]
    fan_out: Annotated[int | None, doc("Fan-out, as the initializer counts it; null if not known.")]
    initializer: Annotated[
        dict[str, Any] | None,
        doc("Initializer: its type and its arguments; null if none is declared.", row=None),
    ]
    initializer_text: Annotated[str | None, doc("Initializer as short text.", row="initializer")]
    distribution: Annotated[
        DistributionRecord | None, doc("Distribution of one element; null if not known.")
    ]
    values: Annotated[
        str | None,
        doc("Origin of the values: sampled, stored, live; null if none were measured."),
    ]
    measured: Annotated[
        MeasuredRecord | None, doc("Statistics of the values; null with --theory.", row="")
    ]
    fit: Annotated[FitRecord | None, doc("Goodness of fit; null without a distribution or values.")]
    status: Annotated[
        Status | None,
        doc(
            "What stored values are to what is declared: follows, differs, not finite, missing, "
            "unexpected, other shape, untied; null for values in a file alone and for sampled ones."
        ),
    ] = None
    match: Annotated[
        MatchRecord | None, doc("Initializer that stored values look like; null if none.")
    ] = None
    spectral: Annotated[
        SpectralRecord | None, doc("Spectral norm; null without --spectral, and of other tensors.")
    ] = None

    @classmethod
    def of(cls, tensor: TensorSummary, layer: str, status: Status | None = None) -> TensorRecord:
        """The record of a tensor; fields of other names are the parameter's own.

        ``status`` is what is wrong with it, if anything is.
        """
        parameter, measured = tensor.parameter, tensor.measured
        known = {}
        if isinstance(parameter.initializer, Undeclared):
            known = dict.fromkeys(("layer", "trainable", "fan_in", "fan_out", "initializer_text"))
        else:
            # Where no layer of initcli's has the tensor, its shape does not say what is summed.
            fans = parameter.fans if parameter.owner else parameter.wired_fans
            known = {
                "layer": layer,
                "fan_in": fans and fans.fan_in,
                "fan_out": fans and fans.fan_out,
                "initializer_text": str(parameter.initializer),
            }
        origin = "sampled" if parameter.stored is None else parameter.stored.origin
        return record(
            cls,
            parameter,
            **known,
            initializer=_initializer(parameter.initializer),
            distribution=tensor.distribution and _distribution(tensor.distribution),
            values=None if measured is None else origin,
            measured=measured and _measured(measured),
            fit=tensor.fit and record(FitRecord, tensor.fit),
            status=status or standing(parameter, measured),
            match=tensor.match and MatchRecord.of(tensor.match.matches),
            spectral=tensor.spectral and record(SpectralRecord, tensor.spectral),
        )


TABLE_COLUMNS = tuple(column for column in columns(TensorRecord) if column.heading)
"""The columns of figures that tables of tensors have."""


class LayerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of the model."""

    name: Annotated[str, doc("Name of the layer.")]
    type: Annotated[str, doc("Type of the layer.")]
    output_shape: Annotated[
        list[Any],
        doc(
            "Output shape, null for an unknown size such as the batch; a list of "
            "shapes if there are several outputs, an empty one if the shape is not known."
        ),
    ]
    params: Annotated[int, doc("Number of weights.")]
    layers: Annotated[
        tuple[LayerRecord, ...] | UnsetType, doc("Layers of a network within the model.")
    ] = UNSET

    @classmethod
    def of(cls, layer: BuiltLayer) -> LayerRecord:
        """The record of a layer and of those within it."""
        shapes = [list(shape) for shape in layer.output_shapes]
        return cls(
            name=layer.name,
            type=layer.type,
            output_shape=shapes[0] if len(shapes) == 1 else shapes,
            params=layer.size,
            layers=tuple(map(cls.of, layer.layers)) or UNSET,
        )


class SummaryReport(msgspec.Struct, frozen=True, kw_only=True):
    """Every tensor of a model: shape, initializer, distribution, and values."""

    model: Annotated[ModelRecord, doc("The model.")]
    layers: Annotated[tuple[LayerRecord, ...], doc("Layers, in order.")]
    tensors: Annotated[
        tuple[TensorRecord, ...], doc("Tensors, in Keras's order; those that match --filter.")
    ]
    totals: Annotated[Totals, doc("Sums over all tensors of the model.")]
    residuals: Annotated[
        tuple[ResidualScheme, ...], doc("Residual streams, and how their branches are scaled.")
    ]

    @classmethod
    def of(cls, model: Subject, tensors: Iterable[TensorSummary]) -> SummaryReport:
        """The report on a model, of which some or all tensors are given."""
        layers = model.layers if isinstance(model, Model) else ()
        return cls(
            model=ModelRecord.of(model),
            layers=tuple(map(LayerRecord.of, layers)),
            tensors=tuple(tensor_records(model, tensors)),
            totals=totals(model),
            residuals=residual_schemes(model),
        )


def tensor_records(model: Subject, tensors: Iterable[TensorSummary]) -> Iterator[TensorRecord]:
    """The record of each tensor, as it comes."""
    layers = {
        parameter.path: layer.name
        for layer in leaves(model.layers)
        for parameter in layer.parameters
    }
    wrong = statuses(model)
    for each in tensors:
        path = each.parameter.path
        yield TensorRecord.of(each, layers.get(path, path.rpartition("/")[0]), wrong.get(path))


def summary_rows(spec: str, model: Subject, tensors: Iterable[TensorSummary]) -> Rows:
    """One row a tensor, as it comes; ``spec`` is how the model was named on the command line."""
    sums = totals(model)
    facts = list(model_facts(model))
    trained = "" if sums.trainable is None else f", {sums.trainable:,} of them trainable"
    facts.append(f"{sums.params:,} weights{trained}")
    shown = ["path", "shape", "size", "initializer", "distribution"]
    shown += [*(column.name for column in TABLE_COLUMNS), "fit_p_value"]
    shown += ["match"] * is_stored(model)
    return rows_of(
        TensorRecord,
        tensor_records(model, tensors),
        {"spec": spec, "model": model.name},
        title=model.name,
        facts=", ".join(facts),
        shown=shown,
    )


def is_stored(model: Subject) -> bool:
    """Whether the values are stored ones."""
    return isinstance(model, Checkpoint) or any(each.stored for each in model.parameters)


def model_facts(model: Subject) -> tuple[str, ...]:
    """What decides the values of a model, for people."""
    if is_stored(model):
        origins = {each.stored.origin for each in model.parameters if each.stored}
        origin = "live" if origins == {"live"} else "stored"
        return (f"{origin} weights", *([model.dtype] if model.dtype else []))
    return f"seed {model.seed}", str(model.dtype), f"{model.defaults} defaults"


def value_facts(parameter: Parameter, seen: Measurement | None) -> Iterator[str]:
    """The distribution of a parameter and figures of its values, for people."""
    if parameter.distribution is not None:
        yield parameter.distribution.text
    elif not isinstance(parameter.initializer, Undeclared):
        yield "distribution not known"
    if seen is None:
        yield f"values of dtype {parameter.dtype} cannot be read"
        return
    yield f"n {seen.count:,}"
    if seen.count:
        yield f"mean {seen.mean:.4g}"
        yield f"std {seen.std:.4g}"
    if seen.nans:
        yield f"{seen.nans:,} NaN"
    if seen.infs:
        yield f"{seen.infs:,} infinite"


def _initializer(initializer: Initializer) -> dict[str, Any] | None:
    if isinstance(initializer, Undeclared):
        return None
    arguments = msgspec.to_builtins(initializer.arguments)
    return {"type": initializer.type_name, **arguments}


def _distribution(distribution: Distribution) -> DistributionRecord:
    low, high = distribution.support
    kind = type(distribution).__name__
    return record(DistributionRecord, distribution, type=kind, low=low, high=high)


def _measured(measured: Measurement) -> MeasuredRecord:
    unknown = () if measured.count else ("mean", "std", "min", "max")
    shown = measured.shown
    edges, counts = tuple(shown.edges.tolist()), tuple(shown.counts.tolist())
    histogram = HistogramRecord(edges=edges, counts=counts)
    known = dict.fromkeys(unknown, math.nan)
    return record(MeasuredRecord, measured, histogram=histogram, **known)


def summarize(
    model: Subject,
    *,
    only: Iterable[Parameter] | None = None,
    workers: Workers = HERE,
    max_entries: int | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Draw or read every parameter, and hold it against its distribution, in the model's order.

    Args:
        model: whose parameters.
        only: some of them, such as :meth:`Model.matching` finds; all by default.
        workers: who is to do it, see :mod:`initcli.sampling.workers`; this process by default.
        max_entries: measure only the first so many entries of a tensor; all by default.
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
    """A parameter whose measurement, if there is one, is held against its distribution."""
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


def with_spectral_norms(tensors: Iterable[TensorSummary]) -> Iterator[TensorSummary]:
    """The kernels among the tensors with their spectral norms, measured where others are."""
    for each in tensors:
        norms = spectral(each.parameter, draws=each.measured is not None)
        yield msgspec.structs.replace(each, spectral=norms)


def common_range(tensors: Iterable[TensorSummary]) -> tuple[float, float]:
    """The range of values of all tensors without few far ones, or around their only one."""
    seen = [tensor.measured for tensor in tensors if tensor.measured is not None]
    ranges = [each.visible for each in seen if each.count]
    low = min((low for low, _ in ranges), default=0.0)
    high = max((high for _, high in ranges), default=0.0)
    if low < high:
        return low, high
    edges = around(low)
    return float(edges[0]), float(edges[1])


def totals(model: Subject) -> Totals:
    """What the tensors of a model add up to.

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
