"""Start Keras and Flax models afresh, and write their tensors into a folder.

    pip install keras==3.15.1 flax==0.12.8
    KERAS_BACKEND=jax python match_jax.py FOLDER

The files are those of ``match_torch.py``; a ``|`` in the name of a tensor stands for a slash. The
truth of a Keras weight is that of the initializer that returned its very values; that of a Flax
parameter follows from its module's documented defaults.
"""

import json
import math
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import flax.linen as nn
import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import layers
from keras.src.initializers import random_initializers
from keras.src.initializers.random_initializers import compute_fans

RETURNED = {}


def truth_of(i, shape):
    n = type(i).__name__
    if isinstance(i, random_initializers.VarianceScaling):
        fi, fo = compute_fans(shape, input_axes=i.input_axes, output_axes=i.output_axes)
        n = {"fan_in": fi, "fan_out": fo, "fan_avg": (fi + fo) / 2}[i.mode]
        s = math.sqrt(i.scale / max(1, n))
        if i.distribution == "uniform":
            b = math.sqrt(3) * s
            return {"type": "uniform", "low": -b, "high": b}
        if i.distribution == "untruncated_normal":
            return {"type": "normal", "mean": 0, "std": s}
        s /= 0.87962566103423978
        return {"type": "truncated", "mean": 0, "std": s, "low": -2 * s, "high": 2 * s}
    if n == "RandomUniform":
        return {"type": "uniform", "low": i.minval, "high": i.maxval}
    if n == "RandomNormal":
        return {"type": "normal", "mean": i.mean, "std": i.stddev}
    if n == "TruncatedNormal":
        return {
            "type": "truncated",
            "mean": i.mean,
            "std": i.stddev,
            "low": i.mean - 2 * i.stddev,
            "high": i.mean + 2 * i.stddev,
        }
    if n == "Orthogonal":
        return {"type": "orthogonal", "gain": i.gain}
    return None


for c in (
    random_initializers.VarianceScaling,
    random_initializers.RandomUniform,
    random_initializers.RandomNormal,
    random_initializers.TruncatedNormal,
    random_initializers.Orthogonal,
):

    def wrap(c):
        o = c.__call__

        def f(self, shape, *a, **k):
            v = o(self, shape, *a, **k)
            RETURNED[np.asarray(v).tobytes()] = truth_of(self, tuple(shape))
            return v

        c.__call__ = f

    wrap(c)


def seq(shape, *mk):
    def make():
        return keras.Sequential([keras.Input(shape)] + [f() for f in mk])

    return make


def dense(n, **k):
    return lambda: layers.Dense(n, **k)


def mha():
    i = keras.Input((16, 64))
    x = layers.MultiHeadAttention(4, 16)(i, i)
    x = layers.GroupQueryAttention(16, 4, 2)(x, x)
    x = layers.EinsumDense("abc,cde->abde", (None, 4, 16), bias_axes="de")(x)
    return keras.Model(i, x)


KERAS = {
    "mlp": seq((100,), dense(64), dense(64), dense(10)),
    "he": seq(
        (100,),
        dense(64, kernel_initializer="he_normal"),
        dense(128, kernel_initializer="he_uniform"),
        dense(64, kernel_initializer="lecun_normal"),
        dense(32, kernel_initializer="lecun_uniform"),
        dense(64, kernel_initializer="glorot_normal"),
        dense(64, kernel_initializer="random_normal"),
        dense(64, kernel_initializer="random_uniform"),
        dense(64, kernel_initializer="truncated_normal"),
        dense(64, kernel_initializer="orthogonal"),
        dense(64, kernel_initializer="identity"),
    ),
    "conv": seq(
        (32, 32, 3),
        lambda: layers.Conv2D(32, 3),
        lambda: layers.SeparableConv2D(64, 3),
        lambda: layers.DepthwiseConv2D(5),
        lambda: layers.Conv2D(64, 3, groups=4),
        lambda: layers.Conv2DTranspose(16, 4, strides=2),
        lambda: layers.BatchNormalization(),
        lambda: layers.GlobalAveragePooling2D(),
        dense(100),
    ),
    "conv_he": seq(
        (32, 32, 3),
        lambda: layers.Conv2D(32, 3, kernel_initializer="he_normal"),
        lambda: layers.Conv2D(64, 3, kernel_initializer="he_uniform"),
        lambda: layers.Conv2D(
            64,
            3,
            kernel_initializer=keras.initializers.VarianceScaling(2, "fan_out", "truncated_normal"),
        ),
        lambda: layers.Conv2D(
            64,
            3,
            kernel_initializer=keras.initializers.VarianceScaling(1 / 3, "fan_out", "uniform"),
        ),
    ),
    "lstm": seq(
        (20, 32),
        lambda: layers.LSTM(64, return_sequences=True),
        lambda: layers.GRU(32, return_sequences=True),
        lambda: layers.SimpleRNN(32, return_sequences=True),
        lambda: layers.Bidirectional(layers.LSTM(64)),
    ),
    "emb": seq(
        (20,),
        lambda: layers.Embedding(300, 32),
        lambda: layers.Conv1D(64, 3),
        lambda: layers.Conv1D(64, 3, kernel_initializer="orthogonal"),
    ),
    "mha": mha,
    "conv3": seq((8, 16, 16, 4), lambda: layers.Conv3D(16, 3), lambda: layers.ConvLSTM2D(16, 3)),
    "trunc": seq(
        (128,),
        dense(128, kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02)),
        dense(64, kernel_initializer=keras.initializers.RandomNormal(stddev=0.02)),
        dense(64, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01)),
    ),
    "mobilenet": lambda: keras.applications.MobileNetV2(
        weights=None, input_shape=(32, 32, 3), alpha=0.35, classes=20
    ),
    "effnet": lambda: keras.applications.EfficientNetB0(
        weights=None, input_shape=(32, 32, 3), classes=20
    ),
    "resnet": lambda: keras.applications.ResNet50(
        weights=None, input_shape=(32, 32, 3), classes=20
    ),
}


def tr(v):
    return (lambda s: {"type": "truncated", "mean": 0, "std": s, "low": -2 * s, "high": 2 * s})(
        math.sqrt(v) / 0.87962566103423978
    )


def constant_truth(v):
    return {"type": "constant", "value": v}


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(64)(x)
        x = nn.Dense(128)(x)
        return nn.Dense(10)(x)


class CNN(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(32, (3, 3))(x)
        x = nn.Conv(64, (3, 3))(x)
        x = nn.ConvTranspose(32, (4, 4))(x)
        x = nn.Conv(32, (3, 3), feature_group_count=32)(x)
        x = nn.BatchNorm(use_running_average=True)(x)
        return nn.Dense(100)(x.mean((1, 2)))


class TR(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Embed(300, 64)(x)
        x = x + self.param("pos", nn.initializers.normal(0.02), (20, 64))
        x = nn.MultiHeadDotProductAttention(4)(x, x)
        x = nn.LayerNorm()(x)
        x = nn.Dense(
            256,
            kernel_init=nn.initializers.xavier_uniform(),
            bias_init=nn.initializers.normal(1e-6),
        )(x)
        return nn.DenseGeneral((4, 8))(x)


class RN(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.RNN(nn.LSTMCell(64))(x)
        return nn.RNN(nn.GRUCell(32))(x)


class OT(nn.Module):
    @nn.compact
    def __call__(self, x):
        start = nn.initializers
        for k, i in enumerate(
            [
                start.he_normal(),
                start.he_uniform(),
                start.lecun_uniform(),
                start.glorot_normal(),
                start.normal(0.01),
                start.normal(0.02),
                start.truncated_normal(0.02),
                start.orthogonal(),
                start.orthogonal(math.sqrt(2)),
                start.variance_scaling(2.0, "fan_out", "truncated_normal"),
                start.variance_scaling(1 / 3, "fan_out", "uniform"),
                start.uniform(0.01),
            ]
        ):
            x = nn.Dense(64 + 16 * (k % 3), kernel_init=i)(x)
        return x


def uniform_truth(v):
    b = math.sqrt(3 * v)
    return {"type": "uniform", "low": -b, "high": b}


def normal_truth(s):
    return {"type": "normal", "mean": 0, "std": s}


def flax_truth(path, shape, name):
    last = path.split("/")[-1]
    if last in ("bias", "mean"):
        return normal_truth(1e-6) if name == "tr" and "Dense_0" in path else constant_truth(0.0)
    if last in ("scale", "var"):
        return constant_truth(1.0)
    if last == "embedding":
        return normal_truth(shape[1] ** -0.5)
    if last == "pos":
        return normal_truth(0.02)
    if name == "ot":
        k = int(path.split("_")[1].split("/")[0])
        a, b = shape
        return [
            tr(2 / a),
            uniform_truth(2 / a),
            uniform_truth(1 / a),
            tr(2 / (a + b)),
            normal_truth(0.01),
            normal_truth(0.02),
            {"type": "truncated", "mean": 0, "std": 0.02, "low": -0.04, "high": 0.04},
            {"type": "orthogonal", "gain": 1.0},
            {"type": "orthogonal", "gain": math.sqrt(2)},
            tr(2 / b),
            uniform_truth(1 / 3 / b),
            None,
        ][k]
    if name == "rn" and "/h" in path:
        return {"type": "orthogonal", "gain": 1.0}
    if name == "tr" and "Dense_0" in path:
        return uniform_truth(2 / (shape[0] + shape[1]))
    if (
        name == "tr"
        and ("query" in path or "key" in path or "value" in path or "DenseGeneral" in path)
        and "Dense_0" not in path
    ):
        return tr(1 / shape[0])
    if name == "tr" and "/out/" in path:
        return tr(1 / (shape[0] * shape[1]))
    return tr(1 / math.prod(shape[:-1]))


FLAX = {
    "mlp": (MLP(), jnp.zeros((1, 100))),
    "cnn": (CNN(), jnp.zeros((1, 8, 8, 16))),
    "tr": (TR(), jnp.zeros((1, 20), int)),
    "rn": (RN(), jnp.zeros((1, 5, 32))),
    "ot": (OT(), jnp.zeros((1, 96))),
}


def keras_models(folder):
    for seed in range(3):
        for n, f in KERAS.items():
            if seed and n in ("effnet", "resnet"):
                continue
            keras.utils.set_random_seed(seed)
            RETURNED.clear()
            m = f()
            arrays = {}
            truth = {}
            for w in m.weights:
                a = np.asarray(w.value)
                if a.dtype.kind != "f" or a.size < 2 or a.size > 2_000_000:
                    continue
                t = RETURNED.get(a.tobytes())
                if t is None and a.min() == a.max():
                    t = {"type": "constant", "value": float(a.flat[0])}
                if t is None and "bias" in w.path and set(np.unique(a)) == {0, 1}:
                    t = {"type": "mixture"}
                arrays[w.path] = a
                truth[w.path] = t
            np.savez(
                f"{folder}/keras_{n}-{seed}.npz",
                **{k.replace("/", "|"): v for k, v in arrays.items()},
            )
            Path(f"{folder}/keras_{n}-{seed}.json").write_text(
                json.dumps({k.replace("/", "|"): v for k, v in truth.items()})
            )
            print(n, seed, len(arrays), [k for k, v in truth.items() if v is None][:5], flush=True)


def flax_models(folder):
    for seed in range(4):
        for n, (m, x) in FLAX.items():
            v = m.init(jax.random.key(seed), x)
            arrays = {}
            truth = {}
            for p, a in jax.tree_util.tree_leaves_with_path(v["params"]):
                k = "/".join(str(q.key) for q in p)
                a = np.asarray(a)
                if a.size < 2:
                    continue
                arrays[k.replace("/", "|")] = a
                truth[k.replace("/", "|")] = flax_truth(k, a.shape, n)
            np.savez(f"{folder}/flax_{n}-{seed}.npz", **arrays)
            Path(f"{folder}/flax_{n}-{seed}.json").write_text(json.dumps(truth))
            print(n, seed, len(arrays), flush=True)


if __name__ == "__main__":
    keras_models(sys.argv[1])
    flax_models(sys.argv[1])
