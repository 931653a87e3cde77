"""Record what the real Keras, torch and JAX initializers do, as initializer_facts.json.

Install the public packages, then run from any directory (CPU, a few minutes):

    pip install keras==3.15.1 torch==2.13.0 jax==0.10.2 scipy numpy
    python make_initializer_facts.py

Keras draws with its JAX backend (its torch backend truncates only approximately); its refusals
are also recorded with the torch backend ("error_torch_backend", only where that differs).
Nothing here is needed to run initcli or its tests: they read the JSON only.
"""

import inspect
import json
import math
import os
import subprocess
import sys
import zlib
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
import scipy
import torch
from keras.src.initializers import ALL_OBJECTS_DICT
from keras.src.initializers.random_initializers import compute_fans

TARGET = 1 << 20  # values to pool for each case
jinit = jax.nn.initializers


# ------------------------------------------------------------------ drawing


def build(spec):
    spec = dict(spec)
    return getattr(keras.initializers, spec.pop("type"))(**spec)


def keras_draws(spec, shape, n, seed):
    """n tensors, seeds seed, seed+1..., exactly as Type(seed=i)(shape) (the first one is checked)."""
    init = build(spec)
    if not hasattr(init, "seed"):
        return np.asarray(init(shape))[None]

    def one(array):
        init.seed = array  # what Keras itself makes of an integer seed i: the array [i, 0]
        return init(shape)

    seeds = np.stack([np.arange(seed, seed + n), np.zeros(n)], axis=1).astype("uint32")
    values = np.asarray(jax.jit(jax.vmap(one))(seeds))
    first = np.asarray(build({**spec, "seed": seed})(shape))
    np.testing.assert_allclose(values[0], first, rtol=1e-5, atol=1e-5 * np.abs(first).max())
    return values


def jax_draws(spec, shape, n, seed):
    spec = dict(spec)
    init = getattr(jinit, spec.pop("type"))(**spec)
    keys = jax.random.split(jax.random.key(seed), n)
    return np.asarray(jax.jit(jax.vmap(lambda key: init(key, shape)))(keys))


def torch_draws(spec, shape, n, seed):
    spec = dict(spec)
    init = getattr(torch.nn.init, spec.pop("type"))
    torch.manual_seed(seed)
    return np.stack([init(torch.empty(shape), **spec).numpy() for _ in range(n)])


DRAW = {"keras": keras_draws, "jax": jax_draws, "torch": torch_draws}


def num(x):
    """7 significant digits, as an int where it is whole."""
    x = float(f"{float(x):.7g}")
    return None if math.isnan(x) else int(x) if x == int(x) else x


def case(source, spec, shape, target=TARGET, values=False, extra=None):
    n = max(1, math.ceil(target / max(1, math.prod(shape))))
    args = "".join(f",{k}={v}" for k, v in spec.items() if k != "type")
    id = f"{source}:{spec['type']}{args}:{'x'.join(map(str, shape))}".replace(" ", "")
    tensors = DRAW[source](
        spec, tuple(shape), n, zlib.crc32(id.encode()) >> 1
    )  # cases are independent
    pooled = np.sort(tensors.ravel().astype("float64"))
    count, top = pooled.size, pooled.size - 1
    entry = {
        "id": id,
        "source": source,
        "initializer": spec,
        "shape": list(shape),
        "draws": len(tensors),
        "count": count,
        "mean": num(pooled.mean()),
        "std": num(pooled.std()),
        "min": num(pooled[0]),
        "max": num(pooled[-1]),
        "zeros": num(np.mean(pooled == 0)),
    }
    if extra:
        entry.update(extra(tensors))
    if values:
        entry["values"] = json.loads(json.dumps(tensors[0].tolist()), parse_float=num)
    # the sorted value of rank i/200, no interpolation
    entry["quantiles"] = [num(pooled[round(i * top / 200)]) for i in range(201)]
    return entry


def gram(tensors, axis=-1):
    """Is the matrix [all other axes, axis] orthogonal by columns and / or by rows, up to one factor?"""

    def multiple_of_eye(m):
        return bool(np.allclose(m, m[0, 0] * np.eye(len(m)), atol=1e-4 * m[0, 0]))

    w = np.moveaxis(tensors[0], axis, -1).astype("float64")
    w = w.reshape(-1, w.shape[-1])
    return {
        "columns_orthogonal": multiple_of_eye(w.T @ w),
        "rows_orthogonal": multiple_of_eye(w @ w.T),
    }


def delta(tensors):
    """Where a convolution kernel [k..., in, out] is not zero, and what sits there."""
    t = tensors[0]
    taps = np.argwhere(np.abs(t).sum((-2, -1)) > 0)
    assert len(taps) == 1
    return {"nonzero_tap": taps[0].tolist(), **gram(t[tuple(taps[0])][None])}


def zeros_by_column(tensors):
    counts = (tensors == 0).sum(axis=1)
    return {"zeros_per_column": sorted({int(c) for c in counts.ravel()})}


def draw_cases():
    dense, dense2, conv2, conv1 = [512, 2048], [2000, 500], [3, 3, 64, 128], [5, 32, 64]
    rank1, conv3, rank3 = [1000], [2, 2, 2, 32, 64], [64, 8, 32]
    K = lambda shape, type, **kw: case("keras", {"type": type, **kw}, shape)  # noqa: E731

    shapes = [dense, conv2, conv1, dense2, conv3, conv2, conv1, dense, conv3]
    modes = [
        (m, d)
        for m in ("fan_in", "fan_out", "fan_avg")
        for d in ("truncated_normal", "untruncated_normal", "uniform")
    ]
    for (mode, dist), shape, scale in zip(
        modes, shapes, [2.0, 0.5, 3.0, 2.0, 1.7, 0.5, 0.1, 2.5, 4.0]
    ):
        yield K(shape, "VarianceScaling", scale=scale, mode=mode, distribution=dist)
    yield K(dense2, "VarianceScaling")
    yield K(rank1, "VarianceScaling", scale=2.0, mode="fan_out", distribution="uniform")
    yield K(dense, "VarianceScaling", scale=2.0, mode="fan_avg", distribution="normal")
    yield K(rank3, "VarianceScaling", input_axes=[0], output_axes=[1, 2])
    yield K(
        rank3,
        "VarianceScaling",
        scale=2.0,
        mode="fan_out",
        distribution="untruncated_normal",
        input_axes=[0, 1],
        output_axes=[-1],
    )
    yield K(rank3, "VarianceScaling", distribution="uniform", input_axes=[0])
    for name, shape in zip(
        ("GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform"),
        (conv2, conv1, conv3, conv2, conv1, rank1),
    ):
        yield K(dense, name)
        yield K(shape, name)
    yield K(rank3, "GlorotUniform", input_axes=[0], output_axes=[1, 2])
    yield K(dense2, "RandomNormal")
    yield K(conv2, "RandomNormal", mean=1.5, stddev=0.2)
    yield K(dense2, "RandomUniform")
    yield K(conv1, "RandomUniform", minval=0.0, maxval=1.0)
    yield K(rank1, "RandomUniform", minval=-2.0, maxval=-0.5)
    yield K(dense2, "TruncatedNormal")
    yield K(conv3, "TruncatedNormal", mean=0.3, stddev=0.2)
    for shape, gain in (
        ([128, 16], 1.0),
        ([16, 128], 1.5),
        ([64, 64], 1.0),
        ([2, 2], 1.0),
        ([2, 2], 1.5),
        ([3, 3], 1.0),
        ([3, 3, 8, 16], 1.5),
    ):
        yield case("keras", {"type": "Orthogonal", "gain": gain}, shape, target=200_000, extra=gram)
    yield K([1000, 1000], "Identity")
    for spec, shape in (
        ({"type": "Identity", "gain": 2.0}, [4, 6]),
        ({"type": "Identity"}, [5, 3]),
        ({"type": "Constant"}, [3]),
        ({"type": "Constant", "value": -0.25}, [2, 1, 3]),
        ({"type": "Zeros"}, [2, 3]),
        ({"type": "Ones"}, [1, 2, 2, 1]),
    ):
        yield case("keras", spec, shape, values=True)
    for kw, shape in (
        ({}, [8, 1, 5]),
        ({"side": "imag"}, [8, 1, 5]),
        ({"scaling": "spectrum", "periodic": True}, [8, 1, 5]),
        ({"side": "imag", "window": "hamming", "scaling": None}, [6, 1, 3]),
        ({"window": None}, [4, 1, 4]),
        ({"window": [1.0, 2.0, 2.0, 0.5], "scaling": "spectrum"}, [4, 1, 3]),
    ):
        yield case("keras", {"type": "STFT", **kw}, shape, values=True)

    T = lambda shape, type, **kw: case("torch", {"type": type, **kw}, shape)  # noqa: E731
    yield T(dense2, "trunc_normal_", mean=0.5, std=1.0, a=-1.0, b=2.0)
    yield T(dense2, "trunc_normal_", mean=0.0, std=1.0, a=1.5, b=3.0)
    for sparsity in (0.3, 0.07):  # ceil(0.07 * 100) is 8 in floating point
        yield case(
            "torch",
            {"type": "sparse_", "sparsity": sparsity, "std": 0.01},
            [100, 50],
            extra=zeros_by_column,
        )
    yield T([128, 512], "kaiming_uniform_", a=math.sqrt(5))
    yield T([64, 32, 3, 3], "kaiming_uniform_", a=math.sqrt(5))
    yield case("torch", {"type": "orthogonal_", "gain": 1.0}, [16, 128], target=200_000, extra=gram)
    yield case("torch", {"type": "orthogonal_", "gain": 1.5}, [8, 4, 3, 3], target=200_000)
    yield case("torch", {"type": "eye_"}, [3, 5], target=1, values=True)
    for shape, groups in (
        ([4, 2, 3], 1),
        ([4, 2, 4], 2),
        ([2, 3, 3, 2], 1),
        ([4, 2, 2, 3], 2),
        ([6, 2, 1, 2], 2),
        ([2, 2, 3, 2, 1], 1),
        ([4, 2, 1, 3, 2], 2),
    ):
        yield case("torch", {"type": "dirac_", "groups": groups}, shape, target=1, values=True)

    J = lambda shape, type, **kw: case("jax", {"type": type, **kw}, shape)  # noqa: E731
    for dist, shape in (("truncated_normal", dense), ("normal", conv2), ("uniform", conv1)):
        yield J(shape, "variance_scaling", scale=2.0, mode="fan_geo_avg", distribution=dist)
    yield J(
        rank3,
        "variance_scaling",
        scale=1.0,
        mode="fan_in",
        distribution="uniform",
        in_axis=0,
        out_axis=2,
        batch_axis=1,
    )
    yield J(dense2, "truncated_normal", stddev=0.5, lower=-1.0, upper=3.0)
    for shape, scale in (([3, 3, 8, 16], 1.0), ([3, 4, 4], 2.0), ([4, 2, 2, 3], 1.0)):
        yield case(
            "jax", {"type": "delta_orthogonal", "scale": scale}, shape, target=300_000, extra=delta
        )
    for shape, axis in (([128, 16], 0), ([4, 6, 8], 1)):
        yield case(
            "jax",
            {"type": "orthogonal", "scale": 1.5, "column_axis": axis},
            shape,
            target=200_000,
            extra=lambda tensors, axis=axis: gram(tensors, axis),
        )


# ------------------------------------------------------------------ refusals

KERAS_TRIES = [
    ({"type": "Orthogonal"}, []),
    ({"type": "Orthogonal"}, [5]),
    ({"type": "Orthogonal"}, [1, 4]),
    ({"type": "Orthogonal", "gain": -1.0}, [2, 3]),
    ({"type": "Orthogonal", "gain": 0.0}, [2, 3]),
    ({"type": "Orthogonal"}, [0, 3]),
    ({"type": "Identity"}, []),
    ({"type": "Identity"}, [4]),
    ({"type": "Identity"}, [2, 3, 4]),
    ({"type": "Identity"}, [3, 3, 4, 4]),
    ({"type": "VarianceScaling", "scale": 0.0}, [2, 3]),
    ({"type": "VarianceScaling", "scale": -1.0}, [2, 3]),
    ({"type": "VarianceScaling", "mode": "fan_geo_avg"}, [2, 3]),
    ({"type": "VarianceScaling", "mode": "FAN_IN"}, [2, 3]),
    ({"type": "VarianceScaling", "distribution": "gaussian"}, [2, 3]),
    ({"type": "VarianceScaling", "distribution": "UNIFORM"}, [2, 3]),
    ({"type": "VarianceScaling", "distribution": "normal"}, [2, 3]),
    ({"type": "VarianceScaling"}, []),
    ({"type": "VarianceScaling"}, [0, 3]),
    ({"type": "VarianceScaling", "input_axes": [2], "output_axes": [0]}, [2, 3]),
    ({"type": "RandomUniform", "minval": 1.0, "maxval": -1.0}, [50, 20]),
    ({"type": "RandomUniform", "minval": 1.0, "maxval": 1.0}, [50, 20]),
    ({"type": "RandomNormal", "stddev": -1.0}, [50, 20]),
    ({"type": "RandomNormal", "stddev": 0.0}, [50, 20]),
    ({"type": "TruncatedNormal", "stddev": -1.0}, [50, 20]),
    ({"type": "TruncatedNormal", "stddev": 0.0}, [50, 20]),
    ({"type": "RandomNormal"}, []),
    ({"type": "RandomUniform"}, []),
    ({"type": "TruncatedNormal"}, []),
    ({"type": "RandomNormal", "seed": 1.5}, [2]),
    ({"type": "RandomNormal", "seed": -1}, [2]),
    ({"type": "RandomNormal", "seed": 2**32}, [2]),
    ({"type": "GlorotUniform", "scale": 2.0}, [2, 3]),
    ({"type": "Constant", "value": [1.0, 2.0]}, [3, 2]),
    ({"type": "Constant", "value": [1.0, 2.0]}, [2, 3]),
    ({"type": "Constant", "value": "a"}, [2]),
    ({"type": "Constant", "value": None}, [2]),
    ({"type": "Zeros"}, []),
    ({"type": "STFT"}, [8, 5]),
    ({"type": "STFT"}, [8, 2, 5]),
    ({"type": "STFT"}, [8, 1, 1]),
    ({"type": "STFT"}, [2, 1, 3]),
    ({"type": "STFT", "side": "both"}, [8, 1, 5]),
    ({"type": "STFT", "window": "nope"}, [8, 1, 5]),
    ({"type": "STFT", "window": [1.0, 1.0]}, [8, 1, 5]),
    ({"type": "STFT", "scaling": "l2"}, [8, 1, 5]),
]
NAME_TRIES = [
    "henormal",
    "HENORMAL",
    "he-normal",
    "kaiming_normal",
    "xavier_uniform",
    "lecun",
    "Normal",
    "Uniform",
    "zeros_",
    "orthogonal_initializer",
    "",
]
JAX_TRIES = [
    ({"type": "delta_orthogonal"}, [3, 3, 16, 8]),
    ({"type": "delta_orthogonal"}, [3, 3, 8, 8]),
    ({"type": "delta_orthogonal"}, [8, 16]),
    ({"type": "delta_orthogonal"}, [2, 2, 2, 2, 2, 2]),
    ({"type": "orthogonal"}, [5]),
    ({"type": "variance_scaling", "scale": 1.0, "mode": "fan_avg", "distribution": "uniform"}, [5]),
    (
        {"type": "variance_scaling", "scale": 1.0, "mode": "fan_mean", "distribution": "uniform"},
        [5, 4],
    ),
    (
        {
            "type": "variance_scaling",
            "scale": 1.0,
            "mode": "fan_in",
            "distribution": "untruncated_normal",
        },
        [5, 4],
    ),
    (
        {"type": "variance_scaling", "scale": -1.0, "mode": "fan_in", "distribution": "uniform"},
        [5, 4],
    ),
    ({"type": "truncated_normal", "stddev": 1.0, "lower": 2.0, "upper": 1.0}, [50, 20]),
]
TORCH_TRIES = [
    ({"type": "dirac_"}, [3, 3]),
    ({"type": "dirac_"}, [1, 1, 1, 1, 1, 1]),
    ({"type": "dirac_", "groups": 2}, [3, 2, 3]),
    ({"type": "dirac_", "groups": 2}, [4, 3, 3]),
    ({"type": "dirac_", "groups": 0}, [4, 3, 3]),
    ({"type": "dirac_", "groups": -1}, [4, 3, 3]),
    ({"type": "sparse_", "sparsity": 0.3}, [10]),
    ({"type": "sparse_", "sparsity": 0.3}, [10, 5, 2]),
    ({"type": "sparse_", "sparsity": 0.0}, [10, 5]),
    ({"type": "sparse_", "sparsity": 1.0}, [10, 5]),
    ({"type": "sparse_", "sparsity": 1.5}, [10, 5]),
    ({"type": "sparse_", "sparsity": -0.2}, [10, 5]),
    ({"type": "sparse_", "sparsity": 0.3, "std": -1.0}, [10, 5]),
    ({"type": "eye_"}, [3, 3, 3]),
    ({"type": "orthogonal_"}, [5]),
    ({"type": "kaiming_uniform_"}, [5]),
    ({"type": "xavier_uniform_"}, [5]),
    ({"type": "kaiming_uniform_", "mode": "fan_avg"}, [5, 4]),
    ({"type": "kaiming_uniform_", "nonlinearity": "gelu"}, [5, 4]),
    ({"type": "uniform_", "a": 1.0, "b": -1.0}, [50, 20]),
    ({"type": "normal_", "std": -1.0}, [50, 20]),
    ({"type": "trunc_normal_", "a": 2.0, "b": 2.0}, [5, 4]),
]


def attempt(make):
    """(first line of the error or None, a short note on what came out)."""
    try:
        out = np.asarray(make())
    except Exception as error:
        line = (str(error).strip().splitlines() or [""])[0]
        for names in (
            "{'fan_in', 'fan_out', 'fan_avg'}",
            "{'uniform', 'truncated_normal', 'untruncated_normal'}",
        ):
            if "{" in line and sorted(line[line.index("{") :].strip("{}").split(", ")) == sorted(
                names.strip("{}").split(", ")
            ):
                line = line[: line.index("{")] + names  # a set: one fixed order
        return f"{type(error).__name__}: {line}", None
    low, high = (num(out.min()), num(out.max())) if out.size else (None, None)
    return None, {
        "shape": list(out.shape),
        "min": low,
        "max": high,
        "nan": bool(np.isnan(out).any()),
    }


def keras_refusals():
    for spec, shape in KERAS_TRIES:
        spec1 = (
            spec
            if "seed" in spec
            or "seed" not in inspect.signature(getattr(keras.initializers, spec["type"])).parameters
            else {**spec, "seed": 1}
        )
        yield (
            {"source": "keras", "initializer": spec, "shape": shape},
            attempt(lambda: keras.ops.convert_to_numpy(build(spec1)(tuple(shape)))),
        )
    for name in [*sorted(ALL_OBJECTS_DICT), *NAME_TRIES]:
        yield (
            {"source": "keras", "get": name},
            attempt(lambda: callable(keras.initializers.get(name))),
        )


def refusals():
    other = json.loads(
        subprocess.run(
            [sys.executable, __file__, "--keras-refusals"],
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "KERAS_BACKEND": "torch"},
        ).stdout.splitlines()[-1]
    )
    for (entry, (error, note)), (error2, note2) in zip(keras_refusals(), other):
        if "get" in entry and error == error2 is None:
            continue  # an alias that get() accepts: in "aliases" already
        entry["error"] = error
        if note and "get" not in entry:
            entry["gives"] = note
        if error != error2:
            entry["error_torch_backend"] = error2
        if note2 and (
            note is None
            or [note[k] for k in ("shape", "nan")] != [note2[k] for k in ("shape", "nan")]
            or entry["initializer"].get("minval") == 1.0
        ):
            entry["gives_torch_backend"] = note2
        yield entry
    for source, tries in (("jax", JAX_TRIES), ("torch", TORCH_TRIES)):
        for spec, shape in tries:
            error, note = attempt(lambda: DRAW[source](spec, tuple(shape), 1, 1)[0])
            yield {
                "source": source,
                "initializer": spec,
                "shape": shape,
                "error": error,
                **({"gives": note} if note else {}),
            }


# ------------------------------------------------------------------ names, fans, seeds


def classes():
    return sorted(set(ALL_OBJECTS_DICT.values()), key=lambda c: c.__name__)


def fans():
    for shape in (
        [],
        [7],
        [3, 5],
        [3, 4, 5],
        [3, 3, 8, 16],
        [2, 2, 2, 3, 4],
        [0, 5],
        [2, 3, 4, 5, 6, 7],
    ):
        yield {"shape": shape, "fans": list(compute_fans(shape))}
    for shape, i, o in (
        ([3, 4, 5], [0], [1, 2]),
        ([3, 4, 5], [0, 1], [2]),
        ([3, 4, 5], [-1], [-3]),
        ([3, 4, 5], [], [2]),
        ([3, 4, 5], [0], None),
        ([3, 4, 5], None, [0]),
        ([3, 3, 8, 16], [2], [3]),
        ([3, 3, 8, 16], [0, 1, 2], [0, 1, 3]),
        ([7], [0], [0]),
    ):
        yield {
            "shape": shape,
            "input_axes": i,
            "output_axes": o,
            "fans": list(compute_fans(shape, i, o)),
        }


def seeds():
    same = lambda a, b: bool(np.array_equal(np.asarray(a).ravel(), np.asarray(b).ravel()))  # noqa: E731
    N, G, U = (
        keras.initializers.RandomNormal,
        keras.initializers.GlorotUniform,
        keras.initializers.RandomUniform,
    )
    one, none, gen = N(seed=3), N(), N(seed=keras.random.SeedGenerator(3))
    clone = none.clone()
    a, b, c = gen((4, 4)), gen((4, 4)), one((4, 4))
    return {
        "two instances, same int seed, same shape": same(N(seed=3)((4, 4)), c),
        "one instance called twice, int seed": same(one((4, 4)), c),
        "one instance called twice, seed None": same(none((4, 4)), none((4, 4))),
        "two instances, seed None": same(N()((4, 4)), N()((4, 4))),
        "clone of an instance with seed None": same(clone((4, 4)), none((4, 4))),
        "one instance called twice, SeedGenerator": same(a, b),
        "first call of SeedGenerator(3) and int seed 3": same(a, c),
        "int seed, same count in another shape (2,8) and (4,4), flattened": same(one((2, 8)), c),
        "int seed, shape (16,) is the start of shape (32,)": same(
            one((16,)), np.asarray(one((32,)))[:16]
        ),
        "int seed, RandomUniform(-1,1) is GlorotUniform up to the factor": bool(
            np.allclose(
                np.asarray(U(-1.0, 1.0, seed=3)((4, 4))),
                np.asarray(G(seed=3)((4, 4))) / math.sqrt(6 / 8),
                atol=1e-6,
            )
        ),
    }


def main():
    if "--keras-refusals" in sys.argv:
        print(json.dumps([result for _, result in keras_refusals()]))
        return
    sections = {
        "aliases": {name: ALL_OBJECTS_DICT[name].__name__ for name in sorted(ALL_OBJECTS_DICT)},
        "signatures": {
            c.__name__: {
                p.name: p.default
                for p in list(inspect.signature(c.__init__).parameters.values())[1:]
                if p.kind is p.POSITIONAL_OR_KEYWORD
            }
            for c in classes()
        },
        "fans": list(fans()),
        "same_values": seeds(),
        "errors": list(refusals()),
        "draws": list(draw_cases()),
    }
    lines = [
        '"versions": '
        + json.dumps({m.__name__: m.__version__ for m in (keras, torch, jax, scipy, np)})
    ]
    for name, section in sections.items():
        if isinstance(section, dict):
            rows = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in section.items()]
        else:
            rows = [json.dumps(row, separators=(",", ":")) for row in section]
        left, right = "{}" if isinstance(section, dict) else "[]"
        lines.append(f'"{name}": {left}\n' + ",\n".join(rows) + f"\n{right}")
    path = Path(__file__).with_name("initializer_facts.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    json.loads(path.read_text())
    ids = [row["id"] for row in sections["draws"]]
    assert len(ids) == len(set(ids))
    print(f"{path.name}: {len(ids)} draw cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
