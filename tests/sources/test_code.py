"""Code as a source: what is recorded is what PyTorch really draws, and nothing is left behind.

Tests that build a module need PyTorch, and are skipped where it is not installed.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.distributions import Uniform
from initcli.initializers.given import Parts, Uninitialized, Unknown
from initcli.sources.code.objects import is_code
from support.goodness import agree
from support.running import run

NET = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.empty(width))


class Net(nn.Module):
    def __init__(self, layers=2, width=16):
        super().__init__()
        print("building")
        self.emb = nn.Embedding(100, width, padding_idx=0)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.head = nn.Linear(width, 100, bias=False)
        self.head.weight = self.emb.weight


made = nn.Linear(300, 200)
"""


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="needs PyTorch", exc_type=ImportError)


@pytest.fixture
def net(tmp_path: Path, torch: ModuleType) -> str:
    file = tmp_path / "net.py"
    file.write_text(NET, encoding="utf-8")
    return f"{file}:Net"


@pytest.mark.parametrize(
    ("source", "names_code"),
    [
        ("net.py:build", True),
        ("package.module:Class.method", True),
        (r"C:\models\net.py:build", True),
        (r"C:\models\net.yaml", False),
        ("model.yaml", False),
        ("-", False),
        ("net.py:", False),
        ("net.py:1", False),
    ],
)
def test_code_is_told_from_files_by_its_name(source: str, names_code: bool) -> None:
    assert is_code(source) is names_code


def test_a_file_whose_name_looks_like_code_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.py:b"
    try:
        file.write_text("{input_shape: [3], layers: [{type: ReLU}]}", encoding="utf-8")
    except OSError:
        pytest.skip("this system has no such names")
    assert initcli.load(str(file)).parameters == ()


# What is reported


def test_a_module_is_reported_by_its_own_names(net: str) -> None:
    done = run("summary", net, "--format", "json", "--call", '{"width": 8}')
    report = json.loads(done.stdout)
    assert report["model"]["source"] == "python"
    assert [(each["path"], each["shape"]) for each in report["tensors"]][:3] == [
        ("emb.weight", [100, 8]),
        ("blocks.0.scale", [8]),
        ("blocks.0.fc.weight", [8, 8]),
    ]
    assert report["layers"][2]["type"] == "Linear"
    assert report["totals"]["params"] == 100 * 8 + 2 * (8 * 8 + 8 + 8)
    linear = report["tensors"][2]
    assert (linear["fan_in"], linear["values"]) == (8, None)
    assert linear["distribution"]["text"] == "U(-0.3536, 0.3536)"
    assert "head.weight is emb.weight" in done.stderr
    assert "building" in done.stderr


def test_what_nothing_writes_to_is_an_error_at_its_line(net: str) -> None:
    done = run("check", net, "--format", "json")
    (finding,) = json.loads(done.stdout)["findings"]
    assert done.returncode == 1
    assert finding["code"] == "I501"
    line = NET.splitlines().index("        self.scale = nn.Parameter(torch.empty(width))") + 1
    assert (finding["file"], finding["line"]) == (net.rpartition(":")[0], line)


def test_a_made_module_has_live_values(net: str) -> None:
    file = net.rpartition(":")[0]
    report = json.loads(run("summary", f"{file}:made", "--format", "json").stdout)
    weight, _ = report["tensors"]
    assert (weight["values"], weight["initializer"]) == ("live", None)
    # U(−c, c) with c = 1/√300 has the standard deviation c/√3; of 60,000 values it is known to
    # √(0.2/60000) = 0.2 %, of which 1 % is more than five times as much.
    assert weight["measured"]["std"] == pytest.approx(300**-0.5 / 3**0.5, rel=0.01)


def test_signals_of_code_are_not_known(net: str) -> None:
    done = run("signal", net)
    assert done.returncode == 2
    assert "name a spec, a Keras model or a config.json" in done.stderr


def test_nothing_is_left_behind(net: str, torch: ModuleType) -> None:
    before, path = torch.random.get_rng_state(), list(sys.path)
    random_state, modules = random.getstate(), set(sys.modules)
    model = initcli.load(net)
    assert len(model.parameters) == 7
    assert bool((torch.random.get_rng_state() == before).all())
    assert random.getstate() == random_state
    assert sys.path == path
    assert not {name for name in set(sys.modules) - modules if "net" in name.split(".")}
    assert torch.empty(1).device.type == "cpu"


# What is recorded is what is drawn


def modules(nn: Any) -> dict[str, Callable[[], Any]]:
    return {
        "Linear": lambda: nn.Linear(40, 30),
        "Bilinear": lambda: nn.Bilinear(20, 30, 10),
        "Conv1d": lambda: nn.Conv1d(6, 8, 3, groups=2),
        "Conv2d": lambda: nn.Conv2d(6, 8, 3),
        "Conv3d": lambda: nn.Conv3d(3, 4, 3),
        "ConvTranspose1d": lambda: nn.ConvTranspose1d(6, 8, 3),
        "ConvTranspose2d": lambda: nn.ConvTranspose2d(6, 8, 3),
        "ConvTranspose3d": lambda: nn.ConvTranspose3d(6, 8, 3),
        "Embedding": lambda: nn.Embedding(50, 10, padding_idx=-1),
        "EmbeddingBag": lambda: nn.EmbeddingBag(50, 10),
        "RNN": lambda: nn.RNN(8, 9),
        "LSTM": lambda: nn.LSTM(8, 9, 2, bidirectional=True, proj_size=4),
        "GRU": lambda: nn.GRU(8, 9),
        "LSTMCell": lambda: nn.LSTMCell(8, 9),
        "GRUCell": lambda: nn.GRUCell(8, 9),
        "RNNCell": lambda: nn.RNNCell(8, 9),
        "MultiheadAttention": lambda: nn.MultiheadAttention(
            16, 4, kdim=12, vdim=8, add_bias_kv=True
        ),
        "TransformerEncoderLayer": lambda: nn.TransformerEncoderLayer(16, 2, 32),
        "TransformerDecoderLayer": lambda: nn.TransformerDecoderLayer(16, 2, 32),
        "BatchNorm2d": lambda: nn.BatchNorm2d(4),
        "InstanceNorm1d": lambda: nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
        "LayerNorm": lambda: nn.LayerNorm([3, 4]),
        "GroupNorm": lambda: nn.GroupNorm(2, 4),
        "RMSNorm": lambda: nn.RMSNorm(4),
        "PReLU": lambda: nn.PReLU(3),
        "AdaptiveLogSoftmaxWithLoss": lambda: nn.AdaptiveLogSoftmaxWithLoss(16, 100, [10, 50]),
    }


def written(torch: Any) -> dict[str, Callable[[Any], object]]:
    """Ways in which code fills a matrix; each is given the empty one."""
    init = torch.nn.init
    return {
        "normal": lambda w: init.normal_(w, 0.1, 0.3),
        "scaled": lambda w: w.normal_().mul_(0.3).add_(1.0),
        "divided": lambda w: w.data.uniform_(-1, 1).div_(2**0.5),
        "randn": lambda w: w.copy_(torch.randn(w.shape) * 0.02),
        "rand": lambda w: w.copy_(2 * torch.rand(w.shape) - 1),
        "negated": lambda w: w.copy_(-(torch.rand(w.shape) + 1)),
        "truncated": lambda w: init.trunc_normal_(w, std=0.5, a=-0.6, b=1.0),
        "by hand": lambda w: w.uniform_(-0.9, 0.9).erfinv_().mul_(0.1).clamp_(-2, 2),
        "kaiming": lambda w: init.kaiming_normal_(w, nonlinearity="relu"),
        "xavier": lambda w: init.xavier_uniform_(w, 2.0),
        "orthogonal": lambda w: init.orthogonal_(w, 2.0),
        "orthogonal kernel": lambda w: init.orthogonal_(w.view(50, 4, 2, 5)),
        "sparse": lambda w: init.sparse_(w, 0.3, 0.5),
        "log of uniform": lambda w: w.uniform_(0, 16).log_(),
        "inverse softplus": lambda w: w.copy_(inverse_softplus(torch, w.uniform_(-7, -2).exp())),
        "decay": lambda w: w.uniform_(0.8, 0.99).log_().mul_(0.5).neg_().exp_().sub_(1).log_(),
        "log-normal": lambda w: w.copy_(3 - torch.randn(w.shape).mul(0.5).exp() / 2),
        "joined logs": lambda w: w.copy_(
            torch.cat([torch.rand(9, w.shape[1]).log(), torch.rand(41, w.shape[1]).log()])
        ),
        "identity": lambda w: init.eye_(w),
        "constant": lambda w: init.constant_(w, 0.7),
        "positions": lambda w: w.copy_(torch.log(torch.arange(1, w.shape[1] + 1)).expand(w.shape)),
        "rows": lambda w: (w.normal_(), w[3:5].zero_(), w[5].uniform_()),
        "columns": lambda w: (w.uniform_(), w[:, ::2].zero_(), w[:, 1].fill_(2)),
        "joined": lambda w: w.copy_(
            torch.cat([torch.randn(5, w.shape[1]), torch.randn(45, w.shape[1])])
        ),
        "a list": lambda w: w.copy_(torch.tensor([[0.1] * w.shape[1]] * w.shape[0])),
        "far bounds": lambda w: w.uniform_(-1, 1).erfinv_().mul_(0.03).clamp_(-2, 2),
        "every other row": lambda w: (w[::2].normal_(), w[1::2].normal_()),
        "every other column": lambda w: (w[:, ::2].fill_(0.5), w[:, 1::2].copy_(w[:, ::2] * 2)),
        "by rows": lambda w: fill_rows(torch, w),
        "by columns": lambda w: fill_columns(torch, w),
        "by a mask": lambda w: w.masked_fill_(torch.ones_like(w, dtype=torch.bool), 2.0),
        "copied rows": lambda w: w.index_copy_(0, torch.arange(50), torch.randn(50, 40)),
        "as an output": lambda w: torch.mul(torch.randn(w.shape), 2, out=w),
        "torch.normal": lambda w: w.copy_(torch.normal(1.0, 0.3, w.shape)),
        "normal of tensors": lambda w: w.copy_(torch.normal(w.zero_() + 1, torch.full_like(w, 2))),
        "a distribution": lambda w: w.copy_(torch.distributions.Normal(0.0, 2.0).sample(w.shape)),
        "exponential": lambda w: w.exponential_(2.0),
        "log-normal in place": lambda w: w.log_normal_(0.1, 0.4),
        "laplace": lambda w: w.copy_(torch.distributions.Laplace(0.0, 1.0).sample(w.shape)),
        "logistic": lambda w: w.copy_(torch.log(w / (1 - w.uniform_()))),
        "cube": lambda w: w.normal_().pow_(3),
        "doubled": lambda w: w.add_(w.normal_()),
        "noise": lambda w: w.normal_(0.5, 0.3).add_(torch.randn(w.shape), alpha=0.1),
        "a quotient": lambda w: w.copy_(torch.full_like(w, 2.0) / w.uniform_(1.0, 3.0)),
        "a difference": lambda w: w.normal_(2.0, 0.3).sub_(torch.randn(w.shape) / 4),
        "halves of complex": lambda w: w.copy_(
            torch.view_as_real(
                torch.polar(torch.ones(50, 20), torch.arange(20.0).expand(50, 20))
            ).flatten(1)
        ),
        "numbers brought": lambda w: w.fill_(
            torch.arange(4).tolist()[2]
            + float(np.asarray(torch.ones(3))[1])
            + len(torch.nonzero(torch.tensor([0, 1])))
            + len(torch.unique(torch.tensor([5, 5])))
        ),
    }


def fill_rows(torch: Any, w: Any) -> None:
    w[torch.arange(25) * 2] = 0.0
    w[torch.arange(25) * 2 + 1] = torch.randn(25, w.shape[1])


def fill_columns(torch: Any, w: Any) -> None:
    w[:, list(range(30))] = torch.rand(w.shape[0], 30)
    w[:, list(range(30, 40))] = -1.0


def inverse_softplus(torch: Any, x: Any) -> Any:
    return x + torch.log(-torch.expm1(-x))


WAYS = (
    "normal", "scaled", "divided", "randn", "rand", "negated", "truncated", "by hand", "kaiming",
    "xavier", "orthogonal", "orthogonal kernel", "identity", "constant", "positions", "rows",
    "joined", "a list", "sparse", "log of uniform", "inverse softplus", "decay", "log-normal",
    "joined logs", "far bounds", "every other row", "every other column", "by rows", "by columns",
    "by a mask", "copied rows", "as an output", "torch.normal", "normal of tensors",
    "a distribution", "exponential", "log-normal in place", "laplace", "logistic", "cube",
    "doubled", "noise", "a quotient", "a difference", "halves of complex", "numbers brought",
)  # fmt: skip


@pytest.mark.parametrize("name", list(modules(None)))
def test_every_module_of_pytorch_is_recorded_as_it_is_drawn(
    name: str, torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = modules(torch.nn)[name]
    holder = ModuleType("holder")
    holder.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "holder", holder)
    torch.manual_seed(1)
    real = build().state_dict()
    model = initcli.load("holder:build")
    assert {each.path: each.shape for each in model.parameters} == {
        path: tuple(tensor.shape) for path, tensor in real.items()
    }
    for parameter in model.parameters:
        agree(parameter, real[parameter.path].detach().double().numpy())


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_fill_a_tensor_is_followed(
    way: str, torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build() -> Any:
        module = torch.nn.Module()
        module.w = torch.nn.Parameter(torch.empty(50, 40))
        with torch.no_grad():
            written(torch)[way](module.w)
        return module

    holder = ModuleType("holder")
    holder.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "holder", holder)
    torch.manual_seed(2)
    (parameter,) = initcli.load("holder:build").parameters
    agree(parameter, build().w.detach().double().numpy())
    is_constant = parameter.distribution is not None and parameter.distribution.std == 0
    if is_constant or way in ("identity", "positions"):
        np.testing.assert_allclose(initcli.draw(parameter), build().w.detach().numpy(), rtol=1e-6)


def test_what_cannot_be_expressed_is_named(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> Any:
        module = torch.nn.Module()
        module.square = torch.nn.Parameter(torch.randn(4).square())
        x = torch.rand(4, 4).exp()
        module.moved = torch.nn.Parameter(x + x.t().contiguous())
        module.rows = torch.nn.Parameter(x[:2] + x[2:])
        module.other = torch.nn.Parameter(x + torch.rand(4, 4).exp())
        module.part = torch.nn.Parameter(torch.empty(4))
        with torch.no_grad():
            module.part[:2].uniform_()
        return module

    holder = ModuleType("holder")
    holder.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "holder", holder)
    square, *sums, part = initcli.load("holder:build").parameters
    assert square.initializer == Unknown(operation="square")
    assert square.distribution is None
    assert [each.initializer for each in sums] == [Unknown(operation="add")] * 3
    assert part.distribution is None
    first, second = part.initializer.visible  # type: ignore[attr-defined]
    assert isinstance(first.initializer, Uninitialized)
    assert second.initializer.distribution_for((2,)) == Uniform(0.0, 1.0)


def test_what_is_random_and_has_no_distribution_here_is_written(
    torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn

    def build() -> Any:
        module = torch.nn.Module()
        for name in ("bernoulli_", "geometric_", "cauchy_", "random_"):
            filled = getattr(torch.empty(4), name)(*([0.5] if name == "geometric_" else []))
            module.register_buffer(name, filled)
        for name, tensor in {
            "randint": torch.randint(0, 4, (3,)),
            "dependent": (lambda one, two: (one + two) + one)(x(4), x(4)),
            "parts": (lambda one: one[:2] + one[2:])(x(4)),
            "uniform": torch.rand(4) + torch.rand(4),
            "eye": torch.eye(4) + x(4, 4),
            "copies": x(1, 4) * torch.ones(3, 4),
            "rounded": torch.div(x(4), 2, rounding_mode="floor"),
        }.items():
            module.register_buffer(name, tensor)
        return module

    holder = ModuleType("holder")
    holder.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "holder", holder)
    initializers = [each.initializer for each in initcli.load("holder:build").parameters]
    names = ("bernoulli", "geometric", "cauchy", "random", "randint", *("add",) * 4, "mul", "div")
    assert initializers == [Unknown(operation=name) for name in names]


def forgotten(torch: Any) -> dict[str, Callable[[], Any]]:
    """Tensors of which some entries are never written."""
    empty, nn = torch.empty, torch.nn
    reals = torch.view_as_real
    return {
        "old constructor": lambda: torch.Tensor(3, 4),
        "typed constructor": lambda: torch.FloatTensor(3, 4),
        "like": lambda: torch.empty_like(torch.ones(3)),
        "permuted": lambda: torch.empty_permuted((2, 3), (1, 0)),
        "of another": lambda: torch.ones(2).new_empty(5),
        "scaled": lambda: empty(3).mul_(0.02),
        "cast": lambda: empty(3).to(torch.bfloat16),
        "joined": lambda: torch.cat([torch.randn(2), empty(2)]),
        "padded": lambda: nn.functional.pad(empty(3), (1, 1)),
        "first rows": lambda: changed(empty(4, 3), lambda w: w[:2].normal_()),
        "every other row": lambda: changed(empty(4, 3), lambda w: w[::2].normal_()),
        "rows by index": lambda: changed(empty(4, 3), lambda w: put(w, torch.tensor([0, 2]))),
        "a diagonal": lambda: empty(4, 4).fill_diagonal_(1.0),
        "a mask": lambda: empty(4, 4).masked_fill_(torch.eye(4) > 0, 1.0),
        "grown": lambda: torch.zeros(2).resize_(5),
        "a copy is filled": lambda: changed(empty(4), lambda w: w.clone().normal_()),
        "real halves": lambda: changed(
            empty(3, dtype=torch.cfloat), lambda w: reals(w)[..., 0].normal_()
        ),
    }


def changed(w: Any, change: Callable[[Any], object]) -> Any:
    change(w)
    return w


def put(w: Any, rows: Any) -> None:
    w[rows] = 0.0


def test_what_is_forgotten_is_found(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, make in forgotten(torch).items():

        def build(make: Callable[[], Any] = make) -> Any:
            module = torch.nn.Module()
            module.w = torch.nn.Parameter(make())
            return module

        holder = ModuleType("holder")
        holder.build = build  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "holder", holder)
        (parameter,) = initcli.load("holder:build").parameters
        initializer = parameter.initializer
        shown = initializer.visible if isinstance(initializer, Parts) else ()
        found = [initializer, *(box.initializer for box in shown)]
        assert any(isinstance(each, Uninitialized) for each in found), name


def test_what_needs_an_accelerator_is_recorded_without_one(
    torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build() -> Any:
        layer = torch.nn.Linear(9, 4, device="cuda").cuda().to("cuda:0", torch.bfloat16)
        layer.register_buffer("mask", torch.zeros(3, device="cuda"))
        return layer

    holder = ModuleType("holder")
    holder.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "holder", holder)
    model = initcli.load("holder:build")
    assert [(each.path, each.dtype) for each in model.parameters] == [
        ("weight", "bfloat16"),
        ("bias", "bfloat16"),
        ("mask", "float32"),
    ]
    assert all(each.distribution is not None for each in model.parameters)
    sparse = torch.nn.Linear(2, 3)
    sparse.register_buffer("few", torch.eye(3).to_sparse())
    assert initcli.of(sparse).notes == ("few is sparse, and is left out",)


def test_lazy_modules_get_shapes_while_they_are_recorded(
    torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build() -> Any:
        layer = torch.nn.LazyLinear(4)
        layer(torch.zeros(2, 9))
        return layer

    holder = ModuleType("holder")
    holder.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "holder", holder)
    weight, bias = initcli.load("holder:build").parameters
    assert weight.shape == (4, 9)
    for each in (weight, bias):
        assert isinstance(each.distribution, Uniform)
        assert each.distribution.support == pytest.approx((-1 / 3, 1 / 3))
