"""See what weights a neural network really starts with, before training.

>>> import initcli
>>> model = initcli.parse("{input_shape: [4], layers: [{type: Dense, units: 3}]}")
>>> [str(parameter.initializer) for parameter in model.parameters]
['GlorotUniform', 'Zeros']
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from initcli.drawing import draw
    from initcli.errors import InitcliError, InvalidSpec
    from initcli.fitting import Fit, fit
    from initcli.histogram import Histogram
    from initcli.layers import Layer, Parameter
    from initcli.measuring import Measurement, data_histogram, measure
    from initcli.spec.load import load, parse
    from initcli.spec.model import BuiltLayer, Model
    from initcli.summary import TensorSummary, Totals, summarise, totals

_HOMES = {
    "BuiltLayer": "spec.model",
    "Fit": "fitting",
    "Histogram": "histogram",
    "InitcliError": "errors",
    "InvalidSpec": "errors",
    "Layer": "layers",
    "Measurement": "measuring",
    "Model": "spec.model",
    "Parameter": "layers",
    "TensorSummary": "summary",
    "Totals": "summary",
    "data_histogram": "measuring",
    "draw": "drawing",
    "fit": "fitting",
    "load": "spec.load",
    "measure": "measuring",
    "parse": "spec.load",
    "summarise": "summary",
    "totals": "summary",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the command line starts without NumPy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'initcli' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"initcli.{_HOMES[name]}"), name)
