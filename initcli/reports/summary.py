"""The records and rows of a summary: every tensor, its distribution, values, and the fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from initcli.checkpoint import Subject
from initcli.distributions import Distribution
from initcli.initializers import Initializer
from initcli.initializers.base import Undeclared
from initcli.matching.agreement import Match
from initcli.measuring.measurement import Measurement
from initcli.measuring.standing import Standing, standing
from initcli.model import BuiltLayer, Model, leaves
from initcli.parameter import Parameter
from initcli.reports.record import ModelRecord, Rows, columns, doc, record, rows_of
from initcli.reports.tensors import (
    TensorSummary,
    Totals,
    is_stored,
    model_facts,
    totals,
)
from initcli.signal.residual import ResidualScheme, residual_schemes


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
    max: Annotated[float, doc("Largest value.", heading="max", expected="distribution_high")]
    zeros: Annotated[int, doc("Number of values that are exactly 0.")]
    nans: Annotated[int, doc("Number of NaNs; all other figures exclude them.")] = 0
    infs: Annotated[int, doc("Number of infinities; all other figures exclude them.")] = 0
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
    p_value: Annotated[float, doc("Probability of this distance or a larger one by chance.")]


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
        doc("Other initializers that the values agree with, likeliest first.", row=None),
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
        doc("√(columns / rows), which keeps the size of features; null without known axes."),
    ]
    growth: Annotated[
        float | None,
        doc("Power of the width with which expected / wanted grows, of hidden kernels."),
    ] = None


Status = Literal[Standing, "missing", "unexpected", "other shape", "untied"]
_STATUSES: Mapping[str, Status] = {
    "missing": "missing",
    "optional": "missing",
    "unexpected": "unexpected",
    "shape": "other shape",
    "untied": "untied",
}


def statuses(model: Subject) -> Mapping[str, Status]:
    """The problems of tensors of a file with respect to its configuration, by path."""
    disagreements = model.disagreements if isinstance(model, Model) else ()
    return {each.path: _STATUSES[each.kind] for each in disagreements}


class TensorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of the model."""

    path: Annotated[str, doc("Path, such as conv1d/kernel.")]
    layer: Annotated[
        str | None, doc("Name of the layer that has the tensor; null for weights in a file.")
    ]
    name: Annotated[str, doc("Last part of the path, such as kernel.")]
    shape: Annotated[tuple[int, ...], doc("Shape, in Keras's layout or that of the file.")]
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
            "State of stored values with respect to the declared tensor: follows, differs, "
            "not finite, missing, unexpected, other shape, untied; null if sampled or not declared."
        ),
    ] = None
    match: Annotated[
        MatchRecord | None, doc("Initializer that stored values look like; null if none.")
    ] = None
    spectral: Annotated[
        SpectralRecord | None, doc("Spectral norm; null without --spectral, and of other tensors.")
    ] = None
    multiplier: Annotated[
        float | None,
        doc("Multiplier of the values, by the parametrization; null if not known."),
    ]
    adam_rate: Annotated[
        float | None,
        doc("Factor of Adam's learning rate, by the parametrization; null if not known."),
    ]
    sgd_rate: Annotated[
        float | None,
        doc("Factor of the learning rate of SGD, by the parametrization; null if not known."),
    ]

    @classmethod
    def of(cls, tensor: TensorSummary, layer: str, status: Status | None = None) -> TensorRecord:
        """The record of a tensor; fields of other names are the parameter's own.

        ``status`` is its problem, if any.
        """
        parameter, measured = tensor.parameter, tensor.measured
        known = {}
        if isinstance(parameter.initializer, Undeclared):
            known = dict.fromkeys(
                (
                    *("layer", "trainable", "fan_in", "fan_out", "initializer_text"),
                    *("multiplier", "adam_rate", "sgd_rate"),
                )
            )
        else:
            # Without a layer of initcli, the shape does not show which axes are summed.
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
"""The columns of figures in tables of tensors."""


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
        """The record of a layer and of the layers inside it."""
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
        """The report on some or all tensors of a model."""
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
    """One row per tensor, as it comes; ``spec`` is the name of the model on the command line."""
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


def value_facts(parameter: Parameter, seen: Measurement | None) -> Iterator[str]:
    """The distribution of a parameter and figures of its values, as text."""
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
