"""Record the bounds and standard deviations of torch.nn.init, as torch_initializer_facts.json.

Install the public package, then run from any directory (CPU, a second):

    pip install torch==2.13.0
    python make_torch_initializer_facts.py
"""

import inspect
import json
from pathlib import Path
from unittest import mock

import torch

KAIMING = [
    {},
    {"a": 5**0.5},
    {"mode": "fan_out", "nonlinearity": "relu"},
    *({"nonlinearity": each, "a": 0.3} for each in ("linear", "conv2d", "sigmoid", "tanh", "selu")),
    {"nonlinearity": "conv_transpose3d"},
]
CASES = {
    "kaiming_uniform_": KAIMING,
    "kaiming_normal_": KAIMING,
    "xavier_uniform_": [{}, {"gain": 5 / 3}],
    "xavier_normal_": [{}, {"gain": 5 / 3}],
}
SAME = ("zeros_", "ones_", "eye_", "dirac_", "orthogonal_", "sparse_")


def drawn(name, shape, arguments):
    """The method of a tensor that fills it, and the arguments of that."""
    with (
        mock.patch.object(torch.Tensor, "uniform_") as uniform,
        mock.patch.object(torch.Tensor, "normal_") as normal,
    ):
        getattr(torch.nn.init, name)(torch.empty(shape), **arguments)
    used = uniform if uniform.called else normal
    return ["uniform" if uniform.called else "normal", *used.call_args.args[:2]]


def defaults(name):
    parameters = list(inspect.signature(getattr(torch.nn.init, name)).parameters.values())[1:]
    return {each.name: each.default for each in parameters if isinstance(each.default, int | float)}


facts = {
    "torch": torch.__version__,
    "draws": [
        {
            "type": name,
            "arguments": arguments,
            "shape": shape,
            "drawn": drawn(name, shape, arguments),
        }
        for name, cases in CASES.items()
        for arguments in cases
        for shape in ([48, 32], [16, 8, 3, 5])
    ],
    "defaults": {name: defaults(name) for name in SAME},
}
lines = ",\n".join(json.dumps(each) for each in facts.pop("draws"))
text = json.dumps(facts)[:-1] + f', "draws": [\n{lines}\n]}}'
Path(__file__).with_name("torch_initializer_facts.json").write_text(text + "\n", "utf-8")
