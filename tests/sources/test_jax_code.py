"""JAX code as a source: what is read from a jaxpr is what JAX really draws.

The tests need JAX, Flax and Equinox, and are skipped where one is not installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.initializers.given import Unknown
from initcli.model import Model
from support.goodness import agree
from support.running import run

pytest.importorskip("jax", reason="needs JAX", exc_type=ImportError)
pytest.importorskip("flax", reason="needs Flax", exc_type=ImportError)
pytest.importorskip("equinox", reason="needs Equinox", exc_type=ImportError)
# Other programs of the environment are not the subject.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NET = """
import equinox as eqx
import jax
import jax.numpy as jnp
from flax import linen, nnx


class Net(nnx.Module):
    def __init__(self, rngs, width=8):
        print("building")
        self.layers = nnx.List([nnx.Linear(width, width, rngs=rngs) for _ in range(2)])
        self.embed = nnx.Embed(100, width, rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs)
        self.norm = nnx.BatchNorm(width, rngs=rngs)


class Small(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.BatchNorm(use_running_average=False)(linen.Dense(5)(x))


def small(width=3):
    return Small().init(jax.random.key(0), jnp.ones((1, width)))


def mlp(key, size=400_000):
    return eqx.nn.MLP(size, size, 10, 2, key=key)


def concrete(key):
    return {"w": jax.random.normal(key, (30, 40)) * float(jax.random.uniform(key))}


made = eqx.nn.Linear(200, 300, key=jax.random.key(1))
"""


@pytest.fixture
def net(tmp_path: Path) -> str:
    file = tmp_path / "net.py"
    file.write_text(NET, encoding="utf-8")
    return str(file)


def loaded(build: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Model:
    holder = ModuleType("holder")
    holder.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "holder", holder)
    return initcli.load("holder:build")


# What is reported


def test_modules_are_reported_by_their_own_names(net: str) -> None:
    done = run("summary", f"{net}:Net", "--format", "json", "--call", '{"width": 4}')
    report = json.loads(done.stdout)
    assert "building" in done.stderr
    assert report["model"]["source"] == "python"
    assert [(each["path"], each["shape"], each["fan_in"]) for each in report["tensors"][:5]] == [
        ("layers.0.kernel", [4, 4], 4),
        ("layers.0.bias", [4], None),
        ("layers.1.kernel", [4, 4], 4),
        ("layers.1.bias", [4], None),
        ("embed.embedding", [100, 4], 1),
    ]
    assert [layer["type"] for layer in report["layers"]] == [
        "Linear",
        "Linear",
        "Embed",
        "BatchNorm",
    ]
    assert report["totals"]["non_trainable"] == 8
    paths = [each.path for each in initcli.load(f"{net}:small").parameters]
    assert "Dense_0/kernel" in paths
    assert "batch_stats/BatchNorm_0/mean" in paths


def test_size_does_not_matter(net: str) -> None:
    model = initcli.load(f"{net}:mlp")
    first = model.parameters[0]
    assert (first.path, first.shape) == ("layers.0.weight", (10, 400_000))
    assert first.fans == (400_000, 10)
    assert first.distribution is not None
    assert first.distribution.support[1] == pytest.approx(400_000**-0.5)
    assert run("check", f"{net}:Net").returncode == 0


def test_values_that_decide_are_drawn_and_measured(net: str) -> None:
    for name, path in (("made", "weight"), ("concrete", "w")):
        model = initcli.load(f"{net}:{name}")
        tensor, *_ = initcli.summarize(model)
        assert tensor.parameter.path == path
        assert tensor.parameter.stored is not None
        assert tensor.parameter.stored.origin == "live"
    assert "measured" in model.notes[0]


def test_a_module_of_linen_says_what_it_needs(net: str) -> None:
    done = run("summary", f"{net}:Small")
    assert done.returncode == 2
    assert "module.init(key, inputs)" in done.stderr


# What is read is what is drawn


def modules() -> Mapping[str, Callable[[], Any]]:
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    from flax import linen, nnx

    key = jax.random.key(3)

    def initialized(module: Any, *shape: int, **options: Any) -> Callable[[], Any]:
        return lambda: module.init(key, jnp.ones(shape), **options)

    class Step(linen.Module):  # type: ignore[misc]
        @linen.compact  # type: ignore[untyped-decorator]
        def __call__(self, x: Any, _: Any) -> Any:
            return linen.relu(linen.Dense(16, kernel_init=linen.initializers.orthogonal())(x)), None

    scanned = linen.scan(Step, {"params": 0}, split_rngs={"params": True}, length=3)

    def normed() -> Any:
        return nnx.WeightNorm(nnx.Linear(16, 32, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0))

    def vmapped() -> Any:
        return nnx.vmap(lambda each: nnx.Linear(16, 16, rngs=nnx.Rngs(each)))(
            jax.random.split(key, 3)
        )

    return {
        "linen Dense": initialized(linen.Dense(64), 1, 80),
        "linen DenseGeneral": initialized(linen.DenseGeneral((4, 16), axis=(-2, -1)), 1, 8, 10),
        "linen Einsum": initialized(linen.Einsum((8, 2, 3), "bi,ijk->bjk"), 1, 8),
        "linen Conv": initialized(linen.Conv(16, (3, 3), feature_group_count=2), 1, 8, 8, 8),
        "linen ConvTranspose": initialized(linen.ConvTranspose(16, (3, 3)), 1, 8, 8, 8),
        "linen ConvLocal": initialized(linen.ConvLocal(8, (3,)), 1, 8, 8),
        "linen Embed": lambda: linen.Embed(100, 16).init(key, jnp.ones((1,), int)),
        "linen attention": initialized(linen.MultiHeadDotProductAttention(4), 1, 5, 32),
        "linen LSTM": initialized(linen.RNN(linen.LSTMCell(32)), 1, 5, 16),
        "linen GRU": initialized(linen.RNN(linen.GRUCell(32)), 1, 5, 16),
        "linen ConvLSTM": initialized(linen.RNN(linen.ConvLSTMCell(8, (3, 3))), 1, 5, 8, 8, 3),
        "linen norms": initialized(
            linen.Sequential([linen.LayerNorm(), linen.GroupNorm(2), linen.RMSNorm()]), 1, 8
        ),
        "linen BatchNorm": initialized(linen.BatchNorm(use_running_average=False), 4, 8),
        "linen scan": lambda: scanned().init(key, jnp.ones((1, 16)), None),
        "linen bfloat16": initialized(linen.Dense(64, param_dtype=jnp.bfloat16), 1, 80),
        "nnx Conv": lambda: nnx.Conv(8, 16, (3, 3), rngs=nnx.Rngs(0)),
        "nnx LinearGeneral": lambda: nnx.LinearGeneral(
            (8, 10), (4, 16), axis=(-2, -1), rngs=nnx.Rngs(0)
        ),
        "nnx attention": lambda: nnx.MultiHeadAttention(4, 32, rngs=nnx.Rngs(0)),
        "nnx LSTM": lambda: nnx.OptimizedLSTMCell(16, 32, rngs=nnx.Rngs(0)),
        "nnx LoRA": lambda: nnx.LoRALinear(16, 32, lora_rank=8, rngs=nnx.Rngs(0)),
        "nnx vmap": vmapped,
        "nnx WeightNorm": normed,
        "equinox MLP": lambda: eqx.nn.MLP(20, 10, 32, 2, key=key),
        "equinox Conv2d": lambda: eqx.nn.Conv2d(8, 16, 3, key=key),
        "equinox attention": lambda: eqx.nn.MultiheadAttention(4, 32, key=key),
        "equinox GRU": lambda: eqx.nn.GRUCell(16, 32, key=key),
        "equinox Embedding": lambda: eqx.nn.Embedding(100, 16, key=key),
    }  # fmt: skip


def test_modules_are_recorded_as_they_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, build in modules().items():
        model, real = loaded(build, monkeypatch), initcli.of(build())
        assert [(each.path, each.shape, each.dtype) for each in model.parameters] == [
            (each.path, each.shape, each.dtype) for each in real.parameters
        ], name
        for parameter, drawn in zip(model.parameters, real.parameters, strict=True):
            assert parameter.stored is None
            values = drawn.stored.read(0, drawn.size).astype(float)  # type: ignore[union-attr]
            if parameter.dtype == "bfloat16" and parameter.distribution is not None:
                values = np.clip(values, *parameter.distribution.support)  # rounded beyond the cut
            agree(parameter, values)


def ways() -> Mapping[str, Callable[[Any], Any]]:
    """Ways to fill an array from a key."""
    import jax
    import jax.numpy as jnp
    from jax import random

    orthogonal = jax.nn.initializers.orthogonal(2.0)
    shape = (50, 40)
    return {
        "normal": lambda key: random.normal(key, shape) * 0.3 + 1,
        "uniform": lambda key: 3 - random.uniform(key, shape, minval=-1, maxval=2) / 7,
        "truncated": lambda key: random.truncated_normal(key, -3, 1, shape) * 0.1,
        "one-sided": lambda key: -random.truncated_normal(key, -1, jnp.inf, shape),
        "float16": lambda key: random.uniform(key, shape, jnp.float16, -1, 1),
        "orthogonal": lambda key: orthogonal(key, shape),
        "orthogonal kernel": lambda key: orthogonal(key, (3, 3, 8, 16)),
        "delta orthogonal": lambda key: jax.nn.initializers.delta_orthogonal()(key, (3, 8, 16)),
        "stacked": lambda key: jax.vmap(lambda each: orthogonal(each, shape))(random.split(key, 3)),
        "joined": lambda key: jnp.concatenate([random.normal(key, shape), jnp.zeros((9, 40))]),
        "a row": lambda key: random.normal(key, shape).at[3].set(0.0),
        "a column": lambda key: random.normal(key, shape).at[:, 1].set(2.0).T,
        "a slice": lambda key: random.uniform(key, shape).at[5:9, :20].set(-1.0)[2:],
        "by a mask": lambda key: jnp.where(jnp.arange(40) < 10, 0.0, random.uniform(key, shape)),
        "padded": lambda key: jnp.pad(random.normal(key, shape), ((1, 0), (0, 2))),
        "updated": lambda key: jax.lax.dynamic_update_slice(
            jnp.ones((50, 40)), random.normal(key, (20, 40)), (15, 0)
        )[10:],
        "positions": lambda key: jnp.sin(jnp.arange(60.0)).reshape(6, 10),
        "constant": lambda key: jnp.full((3, 4), 0.7),
        "exponential": lambda key: random.exponential(key, shape) * 2,
        "gumbel": lambda key: random.gumbel(key, shape),
        "log-normal": lambda key: jnp.exp(0.5 * random.normal(key, shape)).T,
        "inverse softplus": lambda key: inverse_softplus(
            jnp.exp(random.uniform(key, shape, minval=-7, maxval=-2))
        ),
        "reciprocal": lambda key: 2 / random.uniform(key, shape, minval=1, maxval=3),
        "logistic": lambda key: random.logistic(key, shape),
        "laplace": lambda key: random.laplace(key, shape),
        "weibull": lambda key: random.weibull_min(key, 1.0, 2.0, shape),
        "old key": lambda key: random.normal(random.PRNGKey(0), shape),
    }


def inverse_softplus(x: Any) -> Any:
    import jax.numpy as jnp

    return x + jnp.log(-jnp.expm1(-x))


def test_entries_that_have_moved_meet_no_others_of_their_draw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import jax

    def x() -> Any:
        return jax.numpy.exp(jax.random.uniform(jax.random.key(0), (6, 6)))

    def sums() -> list[Any]:
        first, second = jax.numpy.split(x(), 2)
        return [x() + x().T, x()[:3] + x()[3:], x() + x()[::-1], first + second]

    parameters = loaded(sums, monkeypatch).parameters
    assert [each.distribution for each in parameters] == [None] * 4


def test_every_way_to_fill_an_array_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    key = jax.random.key(5)
    for fill in ways().values():
        (parameter,) = loaded(partial(lambda fill: [fill(key)], fill), monkeypatch).parameters
        agree(parameter, np.asarray(fill(key), float))


def test_what_is_no_weight_is_left_out_or_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax
    import jax.numpy as jnp
    from flax import nnx

    def build() -> Any:
        linear = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
        return {
            "state": nnx.state(linear),
            "list": [linear, None, np.array(["text"]), jax.random.key(1), 3],
            "count": jnp.zeros((), int),
        }

    model = loaded(build, monkeypatch)
    assert {each.path: each.trainable for each in model.parameters} == {
        "state/bias": True,
        "state/kernel": True,
        "list.0.kernel": True,
        "list.0.bias": True,
        "count": False,
    }


def test_what_cannot_be_expressed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax
    import jax.numpy as jnp

    def build() -> Any:
        key = jax.random.key(0)
        again = jax.lax.scan(lambda c, _: (c, jax.random.normal(key, (3,))), 0, length=4)[1]
        return {
            "square": jnp.square(jax.random.normal(key, (4,))),
            "tile": jnp.tile(jax.random.normal(key, (4,)), 3),
            "sum": jax.random.normal(key, (4,)) + jax.random.uniform(key, (4,)),
            "equal keys": jax.random.normal(key, (4,)) + jax.random.normal(key, (4,)),
            "cauchy": jax.random.cauchy(key, (4,)),
            "gamma": jax.random.gamma(key, 2.0, (4,)),
            "slope": jax.random.normal(key, (4,)) * jnp.arange(4),
            "again": again,
        }

    parameters = loaded(build, monkeypatch).parameters
    assert all(isinstance(each.initializer, Unknown) for each in parameters)
    assert parameters[0].initializer == Unknown(operation="square")
