"""The data of a page: the records of reports as built-in values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import initcli
from initcli.checkpoint import Subject
from initcli.errors import printable
from initcli.model import Model, leaves
from initcli.render.page.bars import Bars, distribution_bars, measured_bars
from initcli.reports.record import ModelRecord, columns, plain
from initcli.reports.summary import TABLE_COLUMNS, TensorRecord, tensor_records
from initcli.reports.tensors import TensorSummary, totals
from initcli.types import SEVERITIES

if TYPE_CHECKING:  # a page of tensors needs neither
    from initcli.checks import Report
    from initcli.signal.figures import Signal

Page = dict[str, Any]
"""The model, and any of the sections ``tensors``, ``signal`` and ``findings``."""


def tensors_page(
    model: Subject, tensors: Iterable[TensorSummary], pictures: Mapping[str, str] = {}
) -> Page:
    """A page with an overview and a table of tensors.

    Args:
        model: the model that the tensors belong to.
        tensors: measured or not.
        pictures: file names of pictures in the folder of the page, by path of the parameter.
    """
    found = list(tensors)
    records = map(_plain, tensor_records(model, found))
    return _page(
        model,
        columns=[
            {"heading": each.heading, "path": each.path, "expected": _path(each.expected)}
            for each in TABLE_COLUMNS
        ],
        tensors=[
            {**record, **_shown(tensor), "picture": pictures.get(tensor.parameter.path)}
            for tensor, record in zip(found, records, strict=True)
        ],
    )


def signal_page(signal: Signal) -> Page:
    """A page with the signal through the depth."""
    from initcli.reports.signal import SignalReport

    report = _plain(SignalReport.of(signal))
    return _page(signal.model, signal={key: report[key] for key in report if key != "model"})


def report_page(report: Report) -> Page:
    """A page with findings, the worst first."""
    from initcli.reports.check import CheckReport

    findings = _plain(CheckReport.of([report]))["findings"]
    findings.sort(
        key=lambda each: (
            *(SEVERITIES.index(each["severity"]), each["code"], each["line"], each["column"]),
        )
    )
    return _page(report.model, findings={"findings": findings, "notes": _plain(report.notes)})


def _page(model: Subject, **sections: Any) -> Page:
    return {"version": initcli.__version__, "model": _model(model), **sections}


def _model(model: Subject) -> dict[str, Any]:
    return {
        **_plain(ModelRecord.of(model)),
        **_plain(totals(model)),
        "digest": _digest(model),
        "layers": sum(1 for _ in leaves(model.layers)) if isinstance(model, Model) else None,
        "tensors": len(model.parameters),
        "notes": _plain(model.notes),
    }


def _digest(model: Subject) -> str:
    """A hash of every tensor's path, shape, dtype and initializer."""
    facts = [
        (each.path, each.shape, each.dtype, each.trainable, str(each.initializer))
        for each in model.parameters
    ]
    content = repr(facts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _shown(tensor: TensorSummary) -> dict[str, Any]:
    """The data of a tensor: its record, with bars in place of the histogram."""
    measured, distribution = tensor.measured, tensor.distribution
    bars = tensor_bars(tensor)
    constant = False
    if measured is not None and measured.count:
        constant = measured.min == measured.max and measured.count > 1
    elif measured is None and distribution is not None:
        constant = distribution.std == 0
    is_poor = tensor.fit is not None and tensor.fit.is_poor
    return {"bars": _plain(bars), "constant": constant, "poor": is_poor}


def tensor_bars(tensor: TensorSummary) -> Bars | None:
    """The bars of the values, or of the distribution if nothing was measured; None if unknown."""
    parameter, measured, distribution = tensor.parameter, tensor.measured, tensor.distribution
    if measured is not None and measured.count:
        return measured_bars(measured.shown, distribution, parameter.dtype)
    if measured is None and distribution is not None:
        return distribution_bars(distribution, parameter.size, parameter.dtype)
    return None


def _path(name: str | None) -> tuple[str, ...] | None:
    """The path of the field of a tensor's column."""
    return next((each.path for each in columns(TensorRecord) if each.name == name), None)


def _plain(value: Any) -> Any:
    """Built-in values with every control character made visible, without histograms."""
    found = plain(value, printable)
    if isinstance(found, dict) and found.get("measured"):
        del found["measured"]["histogram"]
    return found
