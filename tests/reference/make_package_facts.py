"""Write down what published implementations of initializations make, as package_facts.json.

Install the public packages, then run from any directory:

    pip install torch==2.13.0 siren-pytorch==0.1.7 monai==1.6.1 torchfcn==1.9.7 rezero==0.1.0
    pip install git+https://github.com/0h-n0/chrono_initialization@16c26e61d2864d7186ed664e2eb96f0e9278cc95
    python make_package_facts.py

initcli and its tests need none of this: they read the JSON alone.
"""

import json
from pathlib import Path

import numpy as np
import torch
from chrono_initialization import init as chrono
from monai.networks.utils import icnr_init
from rezero.transformer import RZTXEncoderLayer
from siren_pytorch import Sine, Siren
from torch.nn.utils.parametrizations import weight_norm
from torchfcn.models.fcn32s import get_upsampling_weight

HERE = Path(__file__).parent


def wave(*shape, phase=0.3):
    """Numbers between −1 and 1 that any machine can make again."""
    count = int(np.prod(shape))
    return np.sin(1.7 * np.arange(count) + phase).reshape(shape).astype(np.float32)


def kept(array):
    return np.round(np.asarray(array, np.float64), 6).tolist()


def moments(draw, seeds):
    """Mean, standard deviation, least and greatest of all that many draws give."""
    found = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        found.append(np.asarray(draw(), np.float64).ravel())
    values = np.concatenate(found)
    return {
        "count": values.size,
        "mean": values.mean(),
        "std": values.std(),
        "min": values.min(),
        "max": values.max(),
    }


def siren():
    first = {"is_first": True, "w0": 30.0}
    x = wave(2, 5)
    return {
        "first": {"shape": [7, 64], **moments(lambda: Siren(7, 64, **first).weight.detach(), 40)},
        "hidden": [
            {
                "shape": [n, 64],
                "w0": w0,
                "c": c,
                **moments(lambda n=n, w0=w0, c=c: Siren(n, 64, w0=w0, c=c).weight.detach(), 40),
            }
            for n, w0, c in ((64, 30.0, 6.0), (32, 1.0, 6.0), (48, 20.0, 3.0))
        ],
        "sine": [{"w0": w0, "x": kept(x), "y": kept(Sine(w0)(torch.tensor(x)))} for w0 in (1, 30)],
    }


def icnr():
    """Of each output channel the first that has the same kernel, and moments of the values."""
    found = []
    for scale, channels in ((2, 12), (3, 18)):
        torch.manual_seed(0)
        conv = torch.nn.Conv2d(5, channels, 3)
        icnr_init(conv, scale)
        kernel = conv.weight.detach()
        same = [
            next(b for b in range(channels) if torch.equal(kernel[a], kernel[b]))
            for a in range(channels)
        ]

        def draw(conv=conv, scale=scale):
            icnr_init(conv, scale)
            return conv.weight.detach()

        shape = [3, 3, 5, channels]
        found.append({"scale": scale, "shape": shape, "same": same, **moments(draw, 100)})
    return found


def bilinear():
    """Kernels (in, out, k, k) of torch as (k, k, out, in)."""
    return [
        {"shape": [k, k, n, n], "kernel": kept(get_upsampling_weight(n, n, k).permute(2, 3, 1, 0))}
        for k, n in ((4, 2), (3, 3), (5, 1))
    ]


def chrono_biases():
    def part(k, time):
        def draw():
            lstm = chrono(torch.nn.LSTM(3, 200), Tmax=time)
            return lstm.bias_ih_l0.detach().chunk(4)[k]

        return moments(draw, 50)

    return [
        {"max_time": time, "gates": [part(k, time) for k in range(4)]} for time in (10.0, 784.0)
    ]


def weight_norms():
    """g and the output, for weights that anyone can make again."""
    dense = torch.nn.Linear(4, 3)
    conv = torch.nn.Conv1d(4, 3, 2)
    found = []
    for layer, kernel, x in (
        (dense, wave(4, 3).T, wave(2, 4, phase=1.0)),
        (conv, wave(2, 4, 3).transpose(2, 1, 0), wave(2, 5, 4, phase=1.0).transpose(0, 2, 1)),
    ):
        layer.weight.data = torch.tensor(kernel.copy())
        layer.bias.data.zero_()
        weight_norm(layer)
        g = layer.parametrizations.weight.original0
        start = kept(g.detach().ravel())
        g.data = torch.tensor([0.5, 2.0, 3.0]).reshape(g.shape)
        y = layer(torch.tensor(x.copy())).detach()
        found.append({"g": start, "y": kept(y if y.ndim == 2 else y.permute(0, 2, 1))})
    return found


def transposed():
    """ConvTranspose2d with groups, of (k, k, out / groups, in) and inputs with channels last."""
    found = []
    for groups, stride in ((2, 1), (4, 2)):
        layer = torch.nn.ConvTranspose2d(4, 8, 3, stride=stride, groups=groups, bias=False)
        kernel = wave(3, 3, 8 // groups, 4)
        layer.weight.data = torch.tensor(kernel.transpose(3, 2, 0, 1).copy())
        x = wave(1, 3, 4, 4, phase=1.0)
        y = layer(torch.tensor(x.transpose(0, 3, 1, 2).copy())).detach().permute(0, 2, 3, 1)
        found.append({"groups": groups, "strides": stride, "y": kept(y)})
    return found


def padding():
    torch.manual_seed(0)
    tables = {idx: torch.nn.Embedding(6, 4, padding_idx=idx) for idx in (0, 3, -1)}
    found = []
    for idx, table in tables.items():
        table(torch.arange(6)).sum().backward()
        zeros = (table.weight == 0).all(1).nonzero().ravel().tolist()
        still = (table.weight.grad == 0).all(1).nonzero().ravel().tolist()
        found.append({"padding_idx": idx, "zero_rows": zeros, "rows_without_gradient": still})
    return found


def main():
    rezero = RZTXEncoderLayer(8, 2).resweight.detach()
    found = {
        "siren": siren(),
        "icnr": icnr(),
        "bilinear": bilinear(),
        "chrono": chrono_biases(),
        "weight_norm": weight_norms(),
        "transposed": transposed(),
        "padding": padding(),
        "rezero": {"size": rezero.numel(), "values": rezero.tolist()},
    }
    (HERE / "package_facts.json").write_text(json.dumps(found) + "\n", "utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
