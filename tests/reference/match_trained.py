"""Train small PyTorch networks and write their tensors into a folder.

    pip install torch==2.13.0
    python match_trained.py FOLDER

Of every network trained_NAME.npz has the tensors at the end, and trained_NAME_KERNEL.npz those of the
moment at which that kernel had moved by a tenth of its norm; the JSON files say by how much each
tensor moved. ``make_match_facts.py`` counts the kernels that initcli calls initial.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import init

torch.set_num_threads(1)


def images(n, g, c=1, s=12, k=10):
    T = torch.randn(k, c, s, s, generator=torch.Generator().manual_seed(7))
    y = torch.randint(0, k, (n,), generator=g)
    return T[y] * 0.7 + torch.randn(n, c, s, s, generator=g), y


def tokens(n, g, vocabulary=64, length=16):
    x = torch.randint(0, vocabulary, (n, length), generator=g)
    x[:, 1::2] = (x[:, ::2] * 5 + 3) % vocabulary
    return x, x


class LM(nn.Module):
    def __init__(self, vocabulary=64, d=64):
        super().__init__()
        self.emb = nn.Embedding(vocabulary, d)
        self.pos = nn.Embedding(16, d)
        self.blk = nn.ModuleList(
            [nn.TransformerEncoderLayer(d, 4, 128, batch_first=True, dropout=0) for _ in range(2)]
        )
        self.head = nn.Linear(d, vocabulary)

    def forward(self, x):
        h = self.emb(x) + self.pos(torch.arange(x.shape[1]))
        m = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        for b in self.blk:
            h = b(h, src_mask=m, is_causal=True)
        return self.head(h)[:, :-1].reshape(-1, 64)


class RN(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.emb = nn.Embedding(64, 32)
        self.r = k(32, 64, batch_first=True)
        self.head = nn.Linear(64, 64)

    def forward(self, x):
        return self.head(self.r(self.emb(x))[0])[:, :-1].reshape(-1, 64)


def mlp(w=64):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(144, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU(), nn.Linear(w, 10)
    )


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 9, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def ini(m, f):
    for x in m.modules():
        if isinstance(x, (nn.Linear, nn.Conv2d, nn.Embedding)):
            f(x.weight)
            if getattr(x, "bias", None) is not None:
                init.zeros_(x.bias)
    return m


STARTS = {
    "default": None,
    "kn": lambda w: init.kaiming_normal_(w),
    "ko": lambda w: init.kaiming_normal_(w, mode="fan_out"),
    "n02": lambda w: init.normal_(w, 0, 0.02),
    "xu": init.xavier_uniform_,
    "xn": init.xavier_normal_,
    "lt": lambda w: init.trunc_normal_(
        w,
        std=math.sqrt(1 / w[0].numel()) / 0.8796,
        a=-2 * math.sqrt(1 / w[0].numel()) / 0.8796,
        b=2 * math.sqrt(1 / w[0].numel()) / 0.8796,
    ),
    "orth": init.orthogonal_,
}
runs = []
for i, n in enumerate(STARTS):
    runs.append(("mlp_" + n, mlp, n, images, "adam" if i % 2 else "sgd"))
for i, n in enumerate(STARTS):
    runs.append(("cnn_" + n, cnn, n, images, "sgd" if i % 2 else "adam"))
for n in ("default", "n02", "xu", "kn"):
    runs.append(("lm_" + n, LM, n, tokens, "adamw"))
runs += [
    ("lstm", lambda: RN(nn.LSTM), "default", tokens, "adam"),
    ("gru", lambda: RN(nn.GRU), "default", tokens, "sgd"),
    ("mlpw_kn", lambda: mlp(256), "kn", images, "adam"),
    ("mlpw_n", lambda: mlp(256), "n02", images, "sgdwd"),
]
for k, (name, mk, iname, data, opt) in enumerate(runs):
    torch.manual_seed(k)
    g = torch.Generator().manual_seed(k)
    m = mk()
    if STARTS[iname]:
        ini(m, STARTS[iname])
    w0 = {n: p.detach().clone() for n, p in m.named_parameters()}
    P = m.parameters()
    o = {
        "adam": lambda: torch.optim.Adam(P, 1e-3),
        "adamw": lambda: torch.optim.AdamW(P, 1e-3, weight_decay=0.01),
        "sgd": lambda: torch.optim.SGD(P, 0.05, momentum=0.9),
        "sgdwd": lambda: torch.optim.SGD(P, 0.05, momentum=0.9, weight_decay=1e-3),
    }[opt]()
    first = {}
    for step in range(250):
        x, y = data(64, g)
        out = m(x)
        if data is tokens:
            y = y[:, 1:].reshape(-1)
        loss = nn.functional.cross_entropy(out, y)
        o.zero_grad()
        loss.backward()
        o.step()
        if step % 5 == 4:
            for n, p in m.named_parameters():
                if (
                    p.dim() > 1
                    and p.numel() >= 1000
                    and n not in first
                    and (p.detach() - w0[n]).norm() >= 0.1 * w0[n].norm()
                ):
                    first[n] = {a: b.detach().numpy().copy() for a, b in m.named_parameters()}
    full = {n: p.detach() for n, p in m.named_parameters()}
    mv = {n: float((full[n] - w0[n]).norm() / w0[n].norm().clamp_min(1e-9)) for n in full}
    np.savez(f"{sys.argv[1]}/trained_{name}.npz", **{n: p.numpy() for n, p in full.items()})
    for n in first:
        np.savez(f"{sys.argv[1]}/trained_{name}_{n}.npz", **first[n])
        Path(f"{sys.argv[1]}/trained_{name}_{n}.json").write_text(json.dumps({"moved": {n: 0.1}}))
    Path(f"{sys.argv[1]}/trained_{name}.json").write_text(
        json.dumps(
            {
                "moved": {
                    n: mv[n]
                    for n in full
                    if full[n].dim() > 1 and full[n].numel() >= 1000 and mv[n] >= 0.1
                }
            }
        )
    )
    print(
        name,
        float(loss.detach()),
        {n: round(v, 2) for n, v in mv.items() if full[n].dim() > 1},
        sorted(first),
        flush=True,
    )
