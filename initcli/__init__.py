"""See what weights a neural network really starts with, before training.

>>> import initcli
>>> model = initcli.parse("{input_shape: [4], layers: [{type: Dense, units: 3}]}")
>>> [str(parameter.initializer) for parameter in model.parameters]
['GlorotUniform', 'Zeros']
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from initcli.checks import Finding, Report, check
    from initcli.checks.fixing import Fixed, fix
    from initcli.drawing import draw
    from initcli.errors import InitcliError, InvalidSpec
    from initcli.exporting import export
    from initcli.fitting import Fit, fit
    from initcli.histogram import Histogram
    from initcli.layers import Layer
    from initcli.limits import Limits, limited
    from initcli.measuring import Measurement, data_histogram, measure
    from initcli.parameter import Parameter
    from initcli.render.gallery import save_histograms
    from initcli.render.plots import Style
    from initcli.signal.comparison import Compared, compare, variants
    from initcli.signal.figures import Signal
    from initcli.signal.measured import measure_signal, predict_signal
    from initcli.signal.verdict import Verdict, verdict
    from initcli.spec.load import load, parse
    from initcli.spec.model import BuiltLayer, Model
    from initcli.spec.schema import schema
    from initcli.summary import TensorSummary, Totals, summarise, theory, totals
    from initcli.workers import Workers, cluster, processes

__all__ = [
    "BuiltLayer",
    "Compared",
    "Finding",
    "Fit",
    "Fixed",
    "Histogram",
    "InitcliError",
    "InvalidSpec",
    "Layer",
    "Limits",
    "Measurement",
    "Model",
    "Parameter",
    "Report",
    "Signal",
    "Style",
    "TensorSummary",
    "Totals",
    "Verdict",
    "Workers",
    "__version__",
    "check",
    "cluster",
    "compare",
    "data_histogram",
    "draw",
    "export",
    "fit",
    "fix",
    "limited",
    "load",
    "measure",
    "measure_signal",
    "parse",
    "predict_signal",
    "processes",
    "save_histograms",
    "schema",
    "summarise",
    "theory",
    "totals",
    "variants",
    "verdict",
]

_HOMES = (
    "errors",
    "spec.load",
    "spec.model",
    "limits",
    "summary",
    "measuring",
    "fitting",
    "drawing",
    "workers",
    "exporting",
    "signal.measured",
    "signal.verdict",
    "signal.comparison",
    "checks",
    "checks.fixing",
    "spec.schema",
    "render.gallery",  # last, for it imports Matplotlib
)


def __getattr__(name: str) -> Any:
    """Import what is public when it is first asked for: the commands start without NumPy."""
    if name in __all__:
        from importlib import import_module

        for home in _HOMES:
            module = import_module(f"initcli.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'initcli' has no attribute {name!r}")
