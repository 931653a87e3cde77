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
from initcli.initializers.given import Uninitialized, Unknown
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
    }


def inverse_softplus(torch: Any, x: Any) -> Any:
    return x + torch.log(-torch.expm1(-x))


WAYS = (
    "normal", "scaled", "divided", "randn", "rand", "negated", "truncated", "by hand", "kaiming",
    "xavier", "orthogonal", "orthogonal kernel", "identity", "constant", "positions", "rows",
    "joined", "a list", "sparse", "log of uniform", "inverse softplus", "decay", "log-normal",
    "joined logs",
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
