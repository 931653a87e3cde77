"""Hold ``export --layout torch`` to the real PyTorch and Keras: equal outputs for equal inputs.

    pip install keras jax torch
    KERAS_BACKEND=jax python tests/reference/check_torch_layout.py

Each stack is built in Keras and in PyTorch. Keras gets the weights of ``export``, PyTorch those of
``export --layout torch``, by names alone (``load_state_dict``, strict). Ends with status 1 where an
output differs by more than 1e-4.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

import keras
import numpy as np
import torch
from torch import nn

import initcli


class First(nn.Module):
    """The output of a recurrent layer, with the weights under its own names."""

    def __init__(self, layer):
        super().__init__()
        self.inner = layer

    def forward(self, x):
        return self.inner(x)[0]


class Attending(nn.Module):
    """Attention of a sequence to itself."""

    def __init__(self, layer):
        super().__init__()
        self.inner = layer

    def forward(self, x):
        return self.inner(x, x, x, need_weights=False)[0]


class Swapped(nn.Module):
    """Channels from the last axis to the second one."""

    def forward(self, x):
        return x.movedim(-1, 1)


def stack(**modules):
    return nn.Sequential(OrderedDict(modules))


RANDOM = {"type": "RandomNormal", "stddev": 0.5}
POSITIVE = {"type": "RandomUniform", "minval": 0.5, "maxval": 1.5}
NORM = {
    "gamma_initializer": RANDOM,
    "beta_initializer": RANDOM,
    "moving_mean_initializer": RANDOM,
    "moving_variance_initializer": POSITIVE,
    "epsilon": 1e-5,
}
LAYER_NORM = {"gamma_initializer": RANDOM, "beta_initializer": RANDOM, "epsilon": 1e-5}
BIAS = {"bias_initializer": RANDOM}
MLP = [
    {"type": "Dense", "units": 7, "activation": "relu", **BIAS},
    {"type": "BatchNormalization", **NORM},
    {"type": "LayerNormalization", **LAYER_NORM},
    {"type": "Dense", "units": 3},
]
IMAGE = [
    {"type": "Conv2D", "filters": 6, "kernel_size": [3, 2], **BIAS},
    {"type": "BatchNormalization", **NORM},
    {"type": "ReLU"},
    {"type": "DepthwiseConv2D", "kernel_size": 3, "depth_multiplier": 2, **BIAS},
    {"type": "SeparableConv2D", "filters": 4, "kernel_size": [1, 2], **BIAS},
    {"type": "Conv2DTranspose", "filters": 5, "kernel_size": [2, 3], "strides": 2, **BIAS},
    {"type": "Conv2D", "filters": 10, "kernel_size": 1, "groups": 5, **BIAS},
    {"type": "PReLU", "shared_axes": [1, 2], "alpha_initializer": RANDOM},
    {"type": "Flatten"},
    {"type": "Dropout", "rate": 0.5},
    {"type": "Dense", "units": 4, **BIAS},
]
SEQUENCE = [
    {"type": "Embedding", "input_dim": 11, "output_dim": 6},
    {"type": "LSTM", "units": 5, "return_sequences": True, **BIAS},
    {"type": "GRU", "units": 5, "return_sequences": True, **BIAS},
    {"type": "GRU", "units": 4, "return_sequences": True, "use_bias": False},
    {
        "type": "Bidirectional",
        "layer": {"type": "LSTM", "units": 3, "return_sequences": True, **BIAS},
    },
    {"type": "SimpleRNN", "units": 4, "return_sequences": True, **BIAS},
    {"type": "LayerNormalization", **LAYER_NORM},
    {"type": "Flatten"},
    {"type": "Dense", "units": 2},
]
SIGNAL = [
    {"type": "Conv1D", "filters": 6, "kernel_size": 3, **BIAS},
    {"type": "GroupNormalization", "groups": 2, **LAYER_NORM},
    {"type": "MaxPooling1D", "pool_size": 2},
    {"type": "Conv1DTranspose", "filters": 4, "kernel_size": 3, **BIAS},
    {"type": "Flatten"},
    {"type": "Dense", "units": 3},
]
ATTENTION = [
    {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 3, **BIAS},
    {"type": "RMSNormalization", "epsilon": 1e-5},
    {"type": "Dense", "units": 3},
]
CASES = {
    "attention": (
        [5, 6],
        ATTENTION,
        stack(
            multi_head_attention=Attending(nn.MultiheadAttention(6, 2, batch_first=True)),
            rms_normalization=nn.RMSNorm(6, eps=1e-5),
            dense=nn.Linear(6, 3),
        ),
    ),
    "mlp": (
        [5],
        MLP,
        stack(
            dense=nn.Linear(5, 7),
            relu=nn.ReLU(),
            batch_normalization=nn.BatchNorm1d(7),
            layer_normalization=nn.LayerNorm(7),
            dense_1=nn.Linear(7, 3),
        ),
    ),
    "image": (
        [9, 8, 3],
        IMAGE,
        stack(
            swapped=Swapped(),
            conv2d=nn.Conv2d(3, 6, (3, 2)),
            batch_normalization=nn.BatchNorm2d(6),
            relu=nn.ReLU(),
            depthwise_conv2d=nn.Conv2d(6, 12, 3, groups=6),
            separable_conv2d=nn.Sequential(
                nn.Conv2d(12, 12, (1, 2), groups=12, bias=False), nn.Conv2d(12, 4, 1)
            ),
            conv2d_transpose=nn.ConvTranspose2d(4, 5, (2, 3), stride=2),
            conv2d_1=nn.Conv2d(5, 10, 1, groups=5),
            p_re_lu=nn.PReLU(10),
            flatten=nn.Flatten(),
            dense=nn.Linear(10 * 10 * 9, 4),
        ),
    ),
    "sequence": (
        [4],
        SEQUENCE,
        stack(
            embedding=nn.Embedding(11, 6),
            lstm=First(nn.LSTM(6, 5, batch_first=True)),
            gru=First(nn.GRU(5, 5, batch_first=True)),
            gru_1=First(nn.GRU(5, 4, batch_first=True, bias=False)),
            bidirectional=First(nn.LSTM(4, 3, batch_first=True, bidirectional=True)),
            simple_rnn=First(nn.RNN(6, 4, batch_first=True)),
            layer_normalization=nn.LayerNorm(4),
            flatten=nn.Flatten(),
            dense=nn.Linear(16, 2),
        ),
    ),
    "signal": (
        [10, 3],
        SIGNAL,
        stack(
            swapped=Swapped(),
            conv1d=nn.Conv1d(3, 6, 3),
            group_normalization=nn.GroupNorm(2, 6),
            pool=nn.MaxPool1d(2),
            conv1d_transpose=nn.ConvTranspose1d(6, 4, 3),
            flatten=nn.Flatten(),
            dense=nn.Linear(24, 3),
        ),
    ),
}


def keras_model(shape, layers, weights):
    def built(entry):
        entry = dict(entry)
        if "layer" in entry:
            entry["layer"] = built(entry["layer"])
        for key, value in entry.items():
            if isinstance(value, dict):
                rest = {k: v for k, v in value.items() if k != "type"}
                entry[key] = getattr(keras.initializers, value["type"])(**rest)
        return getattr(keras.layers, entry.pop("type"))(**entry)

    is_tokens = layers[0]["type"] == "Embedding"
    x = inputs = keras.Input(shape, dtype="int32" if is_tokens else "float32")
    for layer in map(built, layers):
        x = layer(x, x) if isinstance(layer, keras.layers.MultiHeadAttention) else layer(x)
    model = keras.Model(inputs, x)
    model.set_weights(weights)
    return model


def torch_state(model, folder):
    file = Path(folder) / "torch.npz"
    initcli.export(model, file, layout="torch")
    with np.load(file) as arrays:
        return {name: torch.from_numpy(values) for name, values in arrays.items()}


def outputs(shape, layers, module, folder):
    model = initcli.parse(json.dumps({"input_shape": shape, "layers": layers}), seed=3)
    file = Path(folder) / "keras.npz"
    initcli.export(model, file)
    with np.load(file) as arrays:
        weights = list(arrays.values())
    rng = np.random.default_rng(0)
    is_tokens = layers[0]["type"] == "Embedding"
    x = rng.integers(0, 11, (6, *shape)) if is_tokens else rng.normal(size=(6, *shape))
    x = x.astype("int32" if is_tokens else "float32")
    wanted = np.asarray(keras_model(shape, layers, weights)(x, training=False))
    names = {name.replace(".inner.", "."): name for name in module.state_dict()}
    state = {names[name]: values for name, values in torch_state(model, folder).items()}
    module.load_state_dict(state, strict=True)
    module.eval()
    with torch.no_grad():
        return wanted, module(torch.from_numpy(x)).numpy()


def main():
    failed = False
    for name, (shape, layers, module) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            wanted, got = outputs(shape, layers, module, folder)
        error = float(np.abs(wanted - got).max())
        print(f"{name}: largest difference {error:.2g} of outputs with std {wanted.std():.3g}")
        failed |= not error <= 1e-4
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
