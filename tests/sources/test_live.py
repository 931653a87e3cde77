"""Models and arrays in memory: their values, without a copy and with nothing left behind."""

from __future__ import annotations

import copy
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.checkpoint import Checkpoint
from initcli.initializers import Orthogonal, TruncatedNormal
from initcli.initializers.given import Uninitialized
from initcli.model import Model


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="needs PyTorch", exc_type=ImportError)


def measured(subject: Checkpoint | Model) -> dict[str, tuple[str, int, float]]:
    return {
        each.parameter.path: (each.parameter.dtype, each.measured.count, each.measured.mean)
        for each in initcli.summarize(subject)
        if each.measured is not None
    }


class Offered:
    """An array of a library that offers DLPack alone."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values = values
        self.dtype, self.shape = values.dtype, values.shape

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()

    def reshape(self, *shape: int) -> Offered:
        return Offered(self.values.reshape(*shape))


def test_arrays_in_mappings_are_measured_where_they_lie(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    subject = initcli.of({
        "dense": {"kernel": values, "step": 3, "name": "dense"},
        "other.weight": values.astype(">f8"),
        "mask": values > 2,
        "offered": Offered(values),
        "text": np.array(["a"]),
    })  # fmt: skip
    assert measured(subject) == {
        "dense/kernel": ("float32", 6, 2.5),
        "other.weight": ("float64", 6, 2.5),
        "mask": ("bool", 6, 0.5),
        "offered": ("float32", 6, 2.5),
    }
    kernel = subject.parameters[0].stored
    assert kernel is not None
    assert np.shares_memory(kernel.read(2, 4), values)
    assert pickle.loads(pickle.dumps(kernel)).read(2, 4).tolist() == [2, 3]
    changed = next(iter(initcli.diff(subject, initcli.of({"dense": {"kernel": values * 2}}))))
    assert (changed.path, changed.kind) == ("dense/kernel", "changed")
    assert list(initcli.save_histograms(subject, tmp_path))
    values[0, 0] = np.nan
    assert {"dense/kernel", "offered"} <= {each.tensor for each in initcli.check(subject).findings}


def test_what_holds_no_arrays_is_refused() -> None:
    for value in (3, {}, {"a": {"b": 1}}, None, "model.yaml"):
        with pytest.raises(initcli.InitcliError, match="has no arrays"):
            initcli.of(value)


# PyTorch


def network(torch: Any) -> Any:
    nn = torch.nn
    module = nn.Sequential(nn.Conv2d(6, 8, 3), nn.Linear(300, 200), nn.LayerNorm(4))
    nn.init.orthogonal_(module[0].weight)
    nn.init.trunc_normal_(module[1].weight, std=0.02)
    module.scale = nn.Parameter(torch.empty(40))
    module.shift = nn.Parameter(torch.randn(90, 40) * 0.1)
    return module


def test_what_is_recorded_is_drawn_as_without_recording(torch: Any) -> None:
    torch.manual_seed(4)
    plain, state = network(torch).state_dict(), torch.random.get_rng_state()
    others = random.getstate(), np.random.get_state()[1].copy()  # type: ignore[index]
    torch.manual_seed(4)
    with initcli.recording():
        module = network(torch)
    report = {each.parameter.path: each for each in initcli.summarize(initcli.of(module))}
    assert bool((torch.random.get_rng_state() == state).all())
    assert random.getstate() == others[0]
    assert bool((np.random.get_state()[1] == others[1]).all())  # type: ignore[index]
    assert torch.nn.init._no_grad_trunc_normal_.__module__ == "torch.nn.init"
    for path, values in module.state_dict().items():
        assert path == "scale" or torch.equal(values, plain[path])
    assert isinstance(report["scale"].parameter.initializer, Uninitialized)
    assert report["0.weight"].parameter.initializer == Orthogonal(row_axes=1)
    assert isinstance(report["1.weight"].parameter.initializer, TruncatedNormal)
    assert report["shift"].distribution.text == "N(0, 0.1²)"  # type: ignore[union-attr]
    # A true draw fails once in a million.
    assert all(each.fit.p_value > 1e-6 for path, each in report.items() if each.fit is not None)
    assert "I501" in [each.code for each in initcli.check(initcli.of(module)).findings]
    # What is trained no longer fits.
    with torch.no_grad():
        module.shift.mul_(2)
    trained = initcli.of(module)
    (shift,) = initcli.summarize(trained, only=trained.matching(["shift"]))
    assert shift.fit is not None
    assert shift.fit.p_value < 1e-6


def test_what_is_resized_has_entries_that_nothing_wrote(torch: Any) -> None:
    module = torch.nn.Module()
    with initcli.recording():
        x = torch.zeros(2)
        module.x = torch.nn.Parameter(x.resize_(5))
        module.sum = torch.nn.Parameter(torch.randn(9) - torch.randn(9))
    x, total = initcli.of(module).parameters
    old, new = x.initializer.visible  # type: ignore[attr-defined]
    assert isinstance(old.initializer, Uninitialized)
    assert (new.starts, new.stops) == ((0,), (2,))
    assert total.distribution.text == "N(0, 1.414²)"  # type: ignore[union-attr]


def test_modules_and_state_dicts_have_the_values_of_now(torch: Any) -> None:
    linear = torch.nn.Linear(30, 40)
    before = initcli.of(copy.deepcopy(linear.state_dict()))
    assert measured(before) == measured(initcli.of(linear))
    with torch.no_grad():
        linear.weight.add_(1.0)
    kinds = {each.path: each.kind for each in initcli.diff(before, initcli.of(linear))}
    assert kinds == {"weight": "changed", "bias": "unchanged"}
    half = initcli.of(torch.nn.Linear(3, 4, dtype=torch.bfloat16))
    assert [each.dtype for each in half.parameters] == ["bfloat16", "bfloat16"]
    values = half.parameters[1].stored.read(0, 4)  # type: ignore[union-attr]
    assert values.dtype == np.float32
    column = torch.arange(6.0).reshape(2, 3).T
    assert initcli.of({"a": column}).parameters[0].stored.read(0, 6).tolist() == [0, 3, 1, 4, 2, 5]  # type: ignore[union-attr]


def test_what_is_recorded_is_forgotten_with_its_model(torch: Any) -> None:
    from initcli.sources.code.torch_recording import FOLLOWED

    with initcli.recording():
        kept = torch.nn.Linear(3, 4)
        torch.nn.Linear(5, 6)
    assert FOLLOWED.follows(kept.weight)
    key = kept.weight.untyped_storage()._cdata
    del kept
    with initcli.recording():
        pass
    assert key not in FOLLOWED._storages


# Keras


def test_keras_models_have_their_own_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    pytest.importorskip("jax", reason="needs JAX", exc_type=ImportError)
    keras: Any = pytest.importorskip("keras", reason="needs Keras", exc_type=ImportError)
    layers = keras.layers
    model = keras.Sequential([layers.Input((80,)), layers.Dense(64), layers.BatchNormalization()])
    subject = initcli.of(model)
    assert isinstance(subject, Model)
    assert subject.source == "keras"
    kernel = next(iter(initcli.summarize(subject)))
    assert str(kernel.parameter.initializer) == "GlorotUniform"
    assert kernel.parameter.stored is not None
    assert kernel.parameter.stored.origin == "live"
    assert kernel.fit is not None
    assert kernel.fit.p_value > 1e-6
    signal = initcli.measure_signal(subject, batch=32, draws=1)
    assert [each.name for each in signal.layers] == ["dense", "batch_normalization"]

    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3, name="dense")

        def call(self, x: Any) -> Any:
            return self.dense(x)

    own = Own()
    own(np.ones((1, 2), np.float32))
    assert [each.shape for each in initcli.of(own).parameters] == [(2, 3), (3,)]
