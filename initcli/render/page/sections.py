"""From tensors, a signal and a report to the page of each."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

import initcli
from initcli.distributions import Distribution
from initcli.errors import printable
from initcli.measuring.measurement import Measurement
from initcli.model import Model, leaves
from initcli.render.page.bars import distribution_bars, drawn_bars
from initcli.render.page.facts import (
    FORM,
    DistributionFacts,
    DrawnFacts,
    FindingFacts,
    FindingsFacts,
    FitFacts,
    GradientFacts,
    LayerFacts,
    ModelFacts,
    Page,
    SignalFacts,
    SpreadFacts,
    TensorFacts,
)
from initcli.reports.summary import TensorSummary, totals
from initcli.types import SEVERITIES

if TYPE_CHECKING:  # what a page of tensors does without
    from initcli.checks import Finding, Report
    from initcli.signal.figures import LayerSignal, Signal, Spread, TensorSignal
    from initcli.signal.judgment import Verdict

_OUTPUT = ("std", "zeros", "dead_units", "saturated", "correlation")


def tensors_page(
    model: Model, tensors: Iterable[TensorSummary], pictures: Mapping[str, str] = {}
) -> Page:
    """A page with an overview and a table of tensors.

    Args:
        model: whose tensors.
        tensors: what is shown of each, drawn or of theory alone.
        pictures: names of pictures' files beside the page, by the path of the parameter.
    """
    shown = tuple(_tensor(each, pictures.get(each.parameter.path)) for each in tensors)
    return Page(form=FORM, version=initcli.__version__, model=model_facts(model), tensors=shown)


def signal_page(signal: Signal) -> Page:
    """A page with the signal through the depth."""
    from initcli.signal.judgment import verdict

    found = verdict(signal)
    facts = SignalFacts(
        batch=signal.batch,
        draws=signal.draws,
        verdict=printable(found.text),
        **_verdict_figures(found),
        layers=tuple(map(_layer, signal.layers)),
        tensors=tuple(map(_gradient, signal.tensors)),
        notes=tuple(map(printable, signal.notes)),
    )
    return Page(
        form=FORM, version=initcli.__version__, model=model_facts(signal.model), signal=facts
    )


def report_page(report: Report) -> Page:
    """A page with what was found."""
    found = sorted(
        report.findings,
        key=lambda each: (SEVERITIES.index(each.severity), each.code, each.line, each.column),
    )
    facts = FindingsFacts(
        findings=tuple(map(_finding, found)), notes=tuple(map(printable, report.notes))
    )
    return Page(
        form=FORM, version=initcli.__version__, model=model_facts(report.model), findings=facts
    )


def model_facts(model: Model) -> ModelFacts:
    """What there is to know of a model as a whole."""
    sums = totals(model)
    return ModelFacts(
        name=printable(model.name),
        seed=str(model.seed),
        dtype=model.dtype,
        defaults=model.defaults,
        digest=_digest(model),
        layers=sum(1 for _ in leaves(model.layers)),
        tensors=len(model.parameters),
        params=sums.params,
        trainable=sums.trainable,
        bytes=sums.bytes,
        notes=tuple(map(printable, model.notes)),
    )


def _digest(model: Model) -> str:
    """A hash of every tensor's path, shape, dtype and initializer."""
    found = hashlib.blake2b(digest_size=16)
    for each in model.parameters:
        facts = (each.path, str(each.shape), each.dtype, str(each.trainable), str(each.initializer))
        for fact in facts:
            content = fact.encode("utf-8", "surrogatepass")
            found.update(len(content).to_bytes(8, "big") + content)
    return found.hexdigest()


def _tensor(summary: TensorSummary, picture: str | None) -> TensorFacts:
    parameter, distribution = summary.parameter, summary.distribution
    seen, fit = summary.measured, summary.fit
    bars = None
    if seen is not None:
        bars = drawn_bars(seen.shown, distribution, parameter.dtype)
    elif distribution is not None:
        bars = distribution_bars(distribution, parameter.size, parameter.dtype)
    return TensorFacts(
        path=printable(parameter.path),
        shape=parameter.shape,
        size=parameter.size,
        dtype=parameter.dtype,
        trainable=parameter.trainable,
        fan_in=parameter.fans.fan_in,
        fan_out=parameter.fans.fan_out,
        initializer=printable(str(parameter.initializer)),
        distribution=None if distribution is None else _distribution(distribution),
        drawn=None if seen is None else _drawn(seen),
        fit=None if fit is None else FitFacts(statistic=fit.statistic, p=fit.p_value),
        bars=bars,
        picture=picture,
    )


def _distribution(distribution: Distribution) -> DistributionFacts:
    low, high = distribution.support
    return DistributionFacts(
        text=printable(distribution.text),
        mean=distribution.mean,
        std=distribution.std,
        low=_number(low),
        high=_number(high),
    )


def _drawn(seen: Measurement) -> DrawnFacts:
    return DrawnFacts(
        count=seen.count,
        mean=seen.mean,
        std=seen.std,
        min=seen.min,
        max=seen.max,
        zeros=seen.zeros,
    )


def _layer(layer: LayerSignal) -> LayerFacts:
    predicted = layer.predicted
    output = {} if layer.output is None else msgspec.structs.asdict(layer.output)
    spreads = {name: _spread(output.get(name)) for name in _OUTPUT}
    return LayerFacts(
        name=printable(layer.name),
        type=printable(layer.type),
        call=layer.call,
        **spreads,
        gradient=None if layer.gradient is None else _spread(layer.gradient.rms),
        predicted_std=_number(predicted.std),
        predicted_correlation=_number(predicted.correlation),
        predicted_gradient=_number(predicted.gradient_rms),
        chi=_number(predicted.chi),
    )


def _gradient(tensor: TensorSignal) -> GradientFacts:
    return GradientFacts(
        path=printable(tensor.path),
        rms=_as_facts(tensor.gradient_rms),
        to_weight=_spread(tensor.gradient_to_weight),
    )


def _finding(finding: Finding) -> FindingFacts:
    return FindingFacts(
        code=finding.code,
        rule=finding.rule,
        severity=finding.severity,
        layers=tuple(map(printable, finding.layers or (finding.layer,))),
        tensor=finding.tensor and printable(finding.tensor),
        file=printable(finding.file),
        line=finding.line,
        column=finding.column,
        message=printable(finding.message),
        why=printable(finding.why),
        remedy=printable(finding.remedy),
        fixable=finding.fixable,
    )


def _verdict_figures(found: Verdict) -> dict[str, float | None]:
    names = ("std_ratio", "gradient_ratio", "chi", "depth_scale")
    return {name: _number(getattr(found, name)) for name in names}


def _spread(value: Spread | None) -> SpreadFacts | None:
    return None if value is None else _as_facts(value)


def _as_facts(value: Spread) -> SpreadFacts:
    return SpreadFacts(
        median=_number(value.median), low=_number(value.low), high=_number(value.high)
    )


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
