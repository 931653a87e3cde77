"""See what weights a neural network really starts with, before training.

>>> import initcli
>>> model = initcli.parse("{input_shape: [4], layers: [{type: Dense, units: 3}]}")
>>> [str(parameter.initializer) for parameter in model.parameters]
['GlorotUniform', 'Zeros']
"""

from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Finding": "checks",
    "Report": "checks",
    "check": "checks",
    "Fixed": "checks.fixing",
    "fix": "checks.fixing",
    "InitcliError": "errors",
    "ChecksFailed": "errors",
    "InvalidSpec": "errors",
    "Layer": "layers",
    "Limits": "limits",
    "limited": "limits",
    "Difference": "measuring.difference",
    "Fit": "measuring.fit",
    "fit": "measuring.fit",
    "Histogram": "measuring.histogram",
    "Measurement": "measuring.measurement",
    "data_histogram": "measuring.bins",
    "measure": "measuring.measure",
    "BuiltLayer": "model",
    "Model": "model",
    "Parameter": "parameter",
    "histograms": "render.gallery",
    "save_histograms": "render.gallery",
    "Style": "render.plots",
    "export": "render.weights_file",
    "Change": "reports.diff",
    "Diff": "reports.diff",
    "diff": "reports.diff",
    "Identification": "reports.identify",
    "identify": "reports.identify",
    "Summary": "reports.tensors",
    "TensorSummary": "reports.tensors",
    "Totals": "reports.tensors",
    "summarize": "reports.tensors",
    "theory": "reports.tensors",
    "totals": "reports.tensors",
    "draw": "sampling.chunks",
    "Workers": "sampling.workers",
    "cluster": "sampling.workers",
    "processes": "sampling.workers",
    "Compared": "signal.comparison",
    "Comparison": "signal.comparison",
    "compare": "signal.comparison",
    "variants": "signal.comparison",
    "Signal": "signal.figures",
    "lsuv": "signal.lsuv",
    "measure_signal": "signal.measured",
    "predict_signal": "signal.measured",
    "WidthSweep": "signal.width_sweep",
    "fit_widths": "signal.width_sweep",
    "Verdict": "signal.verdict",
    "verdict": "signal.verdict",
    "load": "sources.load",
    "parse": "sources.load",
    "of": "sources.code.load",
    "recording": "sources.code.load",
    "schema": "sources.schema",
}
"""The module of each public name. ``__init__.pyi`` gives type checkers the same names."""

__all__ = ["__version__", *_HOMES]


def __dir__() -> list[str]:
    """The public names, those not imported yet included, for completion."""
    return sorted({*globals(), *__all__} - {"Any"})


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that commands start without NumPy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'initcli' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"initcli.{_HOMES[name]}"), name)
