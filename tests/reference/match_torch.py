"""Start PyTorch, timm-like and Hugging Face models afresh, and write their tensors into a folder.

    pip install torch==2.13.0 transformers==5.24.0
    python match_torch.py FOLDER

Of every model and seed, NAME-SEED.npz has the tensors and NAME-SEED.json the distribution that each
was really drawn from: the arguments of the last call that filled it, which is written down as the
call happens. ``make_match_facts.py`` holds initcli's answers against them.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import init

CALLS = {}
ORIGINAL = {n: getattr(torch.Tensor, n) for n in ("normal_", "uniform_", "zero_", "fill_", "copy_")}
QUIET = [0]


def note(t, what):
    if QUIET[0]:
        return
    CALLS.setdefault(t.data_ptr(), []).append((t.numel(), tuple(t.shape), what))


def normal_(self, mean=0, std=1, **k):
    note(self, {"type": "normal", "mean": float(mean), "std": float(std)})
    return ORIGINAL["normal_"](self, mean, std, **k)


def uniform_(self, a=0, b=1, **k):
    note(self, {"type": "uniform", "low": float(a), "high": float(b)})
    return ORIGINAL["uniform_"](self, a, b, **k)


def zero_(self):
    note(self, {"type": "constant", "value": 0.0})
    return ORIGINAL["zero_"](self)


def fill_(self, v):
    note(self, {"type": "constant", "value": float(v)})
    return ORIGINAL["fill_"](self, v)


def copy_(self, *args, **kwargs):
    note(self, None)
    return ORIGINAL["copy_"](self, *args, **kwargs)


torch.Tensor.normal_ = normal_
torch.Tensor.uniform_ = uniform_
torch.Tensor.zero_ = zero_
torch.Tensor.fill_ = fill_
torch.Tensor.copy_ = copy_
_tr = init.trunc_normal_


def trunc(t, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
    QUIET[0] += 1
    try:
        r = _tr(t, mean, std, a, b)
    finally:
        QUIET[0] -= 1
    note(
        t,
        {
            "type": "truncated",
            "mean": float(mean),
            "std": float(std),
            "low": float(a),
            "high": float(b),
        },
    )
    return r


init.trunc_normal_ = trunc
_or = init.orthogonal_


def orth(t, gain=1, generator=None):
    QUIET[0] += 1
    try:
        r = _or(t, gain)
    finally:
        QUIET[0] -= 1
    note(t, {"type": "orthogonal", "gain": float(gain)})
    return r


init.orthogonal_ = orth
for nm in ("dirac_", "eye_"):

    def mk(nm):
        f = getattr(init, nm)

        def g(t, *a, **k):
            QUIET[0] += 1
            try:
                r = f(t, *a, **k)
            finally:
                QUIET[0] -= 1
            note(t, {"type": nm})
            return r

        return g

    setattr(init, nm, mk(nm))


def truths(module):
    out = {}
    for n, p in module.state_dict(keep_vars=True).items():
        recs = CALLS.get(p.data_ptr(), [])
        full = [r for r in recs if r[0] == p.numel()]
        out[n] = full[-1][2] if full else None
        if full:
            i = max(j for j, r in enumerate(recs) if r is full[-1])
            after = recs[i + 1 :]
            if after and out[n]:
                out[n] = {**out[n], "partly": True}
    # writes into views elsewhere in the storage
    for n, p in module.state_dict(keep_vars=True).items():
        lo, hi = p.data_ptr(), p.data_ptr() + p.numel() * p.element_size()
        if out[n] and any(lo < q < hi for q in CALLS):
            out[n] = {**out[n], "partly": True}
    return out


def save(folder, name, seed, make):
    torch.manual_seed(seed)
    CALLS.clear()
    m = make()
    t = truths(m)
    arrays = {}
    truth = {}
    for n, p in m.state_dict().items():
        if not p.is_floating_point() or p.numel() < 2 or p.numel() > 4_000_000:
            continue
        arrays[n] = p.detach().float().numpy().copy()
        truth[n] = t[n]
    np.savez(f"{folder}/{name}-{seed}.npz", **arrays)
    Path(f"{folder}/{name}-{seed}.json").write_text(json.dumps(truth))
    print(name, seed, len(arrays), sum(v is None for v in truth.values()), flush=True)


def apply(m, f):
    for n, x in m.named_modules():
        f(n, x)
    return m


def is_norm(x):
    return isinstance(x, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm))


def mlp():
    return nn.Sequential(
        nn.Linear(100, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def mlp_big():
    return nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 100)
    )


def lenet():
    return nn.Sequential(
        nn.Conv2d(3, 16, 5),
        nn.Conv2d(16, 32, 5),
        nn.Flatten(),
        nn.Linear(800, 120),
        nn.Linear(120, 84),
        nn.Linear(84, 10),
    )


class Block(nn.Module):
    def __init__(self, i, o, g=1):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, bias=False, groups=g)
        self.bn2 = nn.BatchNorm2d(o)
        self.down = nn.Conv2d(i, o, 1, bias=False)


def resnet(g=1):
    return nn.Sequential(
        nn.Conv2d(3, 32, 7, bias=False),
        Block(32, 32, g),
        Block(32, 64, g),
        Block(64, 128, g),
        nn.Linear(128, 100),
    )


def kaiming(m, mode="fan_out", normal=True):
    def f(n, x):
        if isinstance(x, (nn.Conv2d,)):
            (init.kaiming_normal_ if normal else init.kaiming_uniform_)(
                x.weight, mode=mode, nonlinearity="relu"
            )
        if is_norm(x):
            init.constant_(x.weight, 1)
            init.constant_(x.bias, 0)

    return apply(m, f)


def vgg():
    m = nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.Conv2d(32, 64, 3),
        nn.Conv2d(64, 64, 3),
        nn.Linear(256, 128),
        nn.Linear(128, 10),
    )

    def f(n, x):
        if isinstance(x, nn.Conv2d):
            init.kaiming_normal_(x.weight, mode="fan_out", nonlinearity="relu")
            init.constant_(x.bias, 0)
        if isinstance(x, nn.Linear):
            init.normal_(x.weight, 0, 0.01)
            init.constant_(x.bias, 0)

    return apply(m, f)


def dcgan():
    m = nn.Sequential(
        nn.ConvTranspose2d(64, 64, 4, bias=False),
        nn.BatchNorm2d(64),
        nn.ConvTranspose2d(64, 32, 4, bias=False),
        nn.BatchNorm2d(32),
        nn.Conv2d(32, 64, 4, bias=False),
        nn.BatchNorm2d(512),
    )

    def f(n, x):
        if isinstance(x, (nn.Conv2d, nn.ConvTranspose2d)):
            init.normal_(x.weight, 0, 0.02)
        if is_norm(x):
            init.normal_(x.weight, 1.0, 0.02)
            init.constant_(x.bias, 0)

    return apply(m, f)


class RNNs(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.emb = nn.Embedding(200, 32, padding_idx=0)
        self.rnn = k(32, 64, 2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(128, 16)


def lstm_forget():
    m = RNNs(nn.LSTM)
    for n, p in m.rnn.named_parameters():
        if "bias_hh" in n:
            with torch.no_grad():
                p[64:128].fill_(1)
        if "weight_hh" in n:
            init.orthogonal_(p)
        if "weight_ih" in n:
            init.xavier_uniform_(p)
    return m


def transformer():
    return nn.Transformer(64, 4, 2, 2, 128)


class ViT(nn.Module):
    def __init__(self, d=64, depth=3):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, d, 8, 8)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, d))
        self.pos_embed = nn.Parameter(torch.zeros(1, 65, d))
        self.blocks = nn.ModuleList(
            [
                nn.ModuleDict(
                    {
                        "norm1": nn.LayerNorm(d),
                        "qkv": nn.Linear(d, 3 * d),
                        "proj": nn.Linear(d, d),
                        "norm2": nn.LayerNorm(d),
                        "fc1": nn.Linear(d, 4 * d),
                        "fc2": nn.Linear(4 * d, d),
                    }
                )
                for _ in range(depth)
            ]
        )
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, 100)


def vit_timm():
    m = ViT()
    init.trunc_normal_(m.pos_embed, std=0.02)
    init.normal_(m.cls_token, std=1e-6)

    def f(n, x):
        if isinstance(x, nn.Linear):
            init.trunc_normal_(x.weight, std=0.02)
            init.zeros_(x.bias)

    return apply(m, f)


def vit_jax():
    m = ViT()
    init.normal_(m.pos_embed, std=0.02)

    def f(n, x):
        if isinstance(x, nn.Linear):
            if "head" in n:
                init.zeros_(x.weight)
            else:
                init.xavier_uniform_(x.weight)
                if "fc" in n:
                    init.normal_(x.bias, std=1e-6)
                else:
                    init.zeros_(x.bias)
        if isinstance(x, nn.Conv2d):
            init.trunc_normal_(
                x.weight,
                std=math.sqrt(1 / (3 * 64)) / 0.87962566103423978,
                a=-2 * math.sqrt(1 / 192) / 0.8796256610,
                b=2 * math.sqrt(1 / 192) / 0.8796256610,
            )
            init.zeros_(x.bias)

    return apply(m, f)


def vit_moco():
    m = ViT()

    def f(n, x):
        if isinstance(x, nn.Linear):
            if "qkv" in n:
                v = math.sqrt(6.0 / float(x.weight.shape[0] // 3 + x.weight.shape[1]))
                init.uniform_(x.weight, -v, v)
            else:
                init.xavier_uniform_(x.weight)
            init.zeros_(x.bias)

    return apply(m, f)


def effnet():
    m = nn.Sequential(
        nn.Conv2d(3, 32, 3, bias=False),
        nn.Conv2d(32, 32, 3, groups=32, bias=False),
        nn.Conv2d(32, 16, 1, bias=False),
        nn.Conv2d(16, 96, 1, bias=False),
        nn.Conv2d(96, 96, 5, groups=96, bias=False),
        nn.Conv2d(96, 24, 1),
        nn.Linear(64, 100),
    )

    def f(n, x):
        if isinstance(x, nn.Conv2d):
            fo = x.kernel_size[0] * x.kernel_size[1] * x.out_channels // x.groups
            init.normal_(x.weight, 0, math.sqrt(2 / fo))
            if x.bias is not None:
                init.zeros_(x.bias)
        if isinstance(x, nn.Linear):
            r = 1 / math.sqrt(x.weight.size(0))
            init.uniform_(x.weight, -r, r)
            init.zeros_(x.bias)

    return apply(m, f)


def regnet():
    m = nn.Sequential(
        nn.Conv2d(3, 32, 3, bias=False),
        nn.Conv2d(32, 64, 3, groups=4, bias=False),
        nn.Conv2d(64, 128, 3, groups=8, bias=False),
        nn.Linear(128, 50),
    )

    def f(n, x):
        if isinstance(x, nn.Conv2d):
            fo = x.kernel_size[0] * x.kernel_size[1] * x.out_channels // x.groups
            init.normal_(x.weight, 0, math.sqrt(2 / fo))
        if isinstance(x, nn.Linear):
            init.normal_(x.weight, 0, 0.01)
            init.zeros_(x.bias)

    return apply(m, f)


def convnext():
    m = nn.Sequential(
        nn.Conv2d(3, 48, 4, 4),
        nn.Conv2d(48, 48, 7, groups=48),
        nn.Linear(48, 192),
        nn.Linear(192, 48),
    )

    def f(n, x):
        if isinstance(x, (nn.Conv2d, nn.Linear)):
            init.trunc_normal_(x.weight, std=0.02)
            init.zeros_(x.bias)

    return apply(m, f)


def tf_trunc():
    m = ViT()

    def f(n, x):
        if isinstance(x, (nn.Conv2d, nn.Linear)):
            init.trunc_normal_(x.weight, std=0.02, a=-0.04, b=0.04)
            init.zeros_(x.bias)

    return apply(m, f)


class GPT(nn.Module):
    def __init__(self, d=64, depth=4, vocabulary=500):
        super().__init__()
        self.wte = nn.Embedding(vocabulary, d)
        self.wpe = nn.Embedding(64, d)
        self.h = nn.ModuleList(
            [
                nn.ModuleDict(
                    {
                        "ln_1": nn.LayerNorm(d),
                        "c_attn": nn.Linear(d, 3 * d),
                        "c_proj": nn.Linear(d, d),
                        "c_fc": nn.Linear(d, 4 * d),
                        "mlp_c_proj": nn.Linear(4 * d, d),
                    }
                )
                for _ in range(depth)
            ]
        )
        self.lm_head = nn.Linear(d, vocabulary, bias=False)


def nanogpt():
    m = GPT()

    def f(n, x):
        if isinstance(x, nn.Linear):
            init.normal_(x.weight, 0, 0.02)
            if x.bias is not None:
                init.zeros_(x.bias)
        if isinstance(x, nn.Embedding):
            init.normal_(x.weight, 0, 0.02)
        if isinstance(x, nn.Linear) and n.endswith("c_proj"):
            init.normal_(x.weight, 0, 0.02 / math.sqrt(8))

    return apply(m, f)


def torchtitan():
    m = GPT()

    def f(n, x):
        if isinstance(x, nn.Linear):
            s = 0.02
            if n.endswith("c_proj"):
                s = 0.02 / math.sqrt(2 * (int(n.split(".")[1]) + 1))
            if n == "lm_head":
                s = 64**-0.5
            init.trunc_normal_(x.weight, std=s, a=-3 * s, b=3 * s)
            if x.bias is not None:
                init.zeros_(x.bias)
        if isinstance(x, nn.Embedding):
            init.normal_(x.weight)

    return apply(m, f)


def neox():
    m = GPT()

    def f(n, x):
        if isinstance(x, nn.Linear):
            init.normal_(x.weight, 0, math.sqrt(2 / (5 * 64)))
            if n.endswith("c_proj"):
                init.normal_(x.weight, 0, 2 / 4 / math.sqrt(64))
            if x.bias is not None:
                init.zeros_(x.bias)
        if isinstance(x, nn.Embedding):
            init.normal_(x.weight, 0, math.sqrt(2 / (5 * 64)))

    return apply(m, f)


def siren():
    m = nn.Sequential(
        nn.Linear(64, 256), nn.Linear(256, 256), nn.Linear(256, 256), nn.Linear(256, 3)
    )

    def f(n, x):
        if isinstance(x, nn.Linear):
            b = 1 / 64 if n == "0" else math.sqrt(6 / x.in_features) / 30
            init.uniform_(x.weight, -b, b)

    return apply(m, f)


def each_by(fn, zero=True):
    def make():
        m = nn.Sequential(
            nn.Linear(128, 64), nn.Linear(64, 200), nn.Conv2d(16, 32, 3), nn.Conv1d(32, 24, 5)
        )

        def f(n, x):
            if isinstance(x, (nn.Linear, nn.Conv2d, nn.Conv1d)):
                fn(x.weight)
                if zero:
                    init.zeros_(x.bias)

        return apply(m, f)

    return make


def unet():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.Conv2d(32, 64, 3),
        nn.ConvTranspose2d(64, 32, 2, 2),
        nn.ConvTranspose2d(32, 16, 4, 2),
        nn.Conv2d(16, 3, 1),
        nn.Conv3d(4, 16, 3),
        nn.Conv1d(64, 64, 3, groups=4),
    )


def detr():
    m = nn.Transformer(64, 4, 2, 2, 128)
    for p in m.parameters():
        if p.dim() > 1:
            init.xavier_uniform_(p)
    return m


def fairseq():
    m = nn.ModuleDict(
        {
            "q_proj": nn.Linear(64, 64),
            "k_proj": nn.Linear(64, 64),
            "v_proj": nn.Linear(64, 64),
            "out_proj": nn.Linear(64, 64),
            "emb": nn.Embedding(300, 64, padding_idx=1),
        }
    )
    for k in ("q_proj", "k_proj", "v_proj"):
        init.xavier_uniform_(m[k].weight, gain=1 / math.sqrt(2))
        init.constant_(m[k].bias, 0)
    init.xavier_uniform_(m["out_proj"].weight)
    init.constant_(m["out_proj"].bias, 0)
    init.normal_(m["emb"].weight, 0, 64**-0.5)
    init.constant_(m["emb"].weight[1], 0)
    return m


def words():
    m = RNNs(nn.LSTM)
    init.uniform_(m.emb.weight, -0.1, 0.1)
    init.uniform_(m.fc.weight, -0.1, 0.1)
    init.zeros_(m.fc.bias)
    return m


def vq():
    m = nn.ModuleDict({"codebook": nn.Embedding(128, 32)})
    init.uniform_(m["codebook"].weight, -1 / 128, 1 / 128)
    return m


def detectron():
    m = nn.Sequential(
        nn.Conv2d(64, 64, 3),
        nn.Conv2d(64, 36, 1),
        nn.Linear(256, 81),
        nn.Linear(256, 40),
        nn.Conv2d(32, 64, 1),
    )
    init.normal_(m[0].weight, std=0.01)
    init.normal_(m[1].weight, std=0.01)
    init.normal_(m[2].weight, std=0.01)
    init.normal_(m[3].weight, std=0.001)
    init.kaiming_uniform_(m[4].weight, a=1)
    for x in m:
        init.constant_(x.bias, 0)
    return m


MODELS = {
    "mlp": mlp,
    "mlp_big": mlp_big,
    "lenet": lenet,
    "resnet": lambda: kaiming(resnet()),
    "resnext": lambda: kaiming(resnet(4)),
    "densenet": lambda: kaiming(resnet(), "fan_in"),
    "squeezenet": lambda: kaiming(resnet(), "fan_in", False),
    "vgg": vgg,
    "dcgan": dcgan,
    "lstm": lambda: RNNs(nn.LSTM),
    "gru": lambda: RNNs(nn.GRU),
    "rnn": lambda: RNNs(nn.RNN),
    "lstm_forget": lstm_forget,
    "transformer": transformer,
    "vit_timm": vit_timm,
    "vit_jax": vit_jax,
    "vit_moco": vit_moco,
    "effnet": effnet,
    "regnet": regnet,
    "convnext": convnext,
    "tf_trunc": tf_trunc,
    "nanogpt": nanogpt,
    "torchtitan": torchtitan,
    "neox": neox,
    "siren": siren,
    "unet": unet,
    "detr": detr,
    "fairseq": fairseq,
    "words": words,
    "vq": vq,
    "detectron": detectron,
    "xavier_n": each_by(init.xavier_normal_),
    "xavier_tanh": each_by(lambda w: init.xavier_uniform_(w, gain=init.calculate_gain("tanh"))),
    "xavier_relu": each_by(lambda w: init.xavier_uniform_(w, gain=init.calculate_gain("relu"))),
    "kn_leaky": each_by(lambda w: init.kaiming_normal_(w, a=0.2)),
    "ku": each_by(init.kaiming_uniform_),
    "orthog": each_by(init.orthogonal_),
    "orthog2": each_by(lambda w: init.orthogonal_(w, gain=math.sqrt(2))),
    "kn_lin": each_by(lambda w: init.kaiming_normal_(w, nonlinearity="linear")),
    "mnas": each_by(lambda w: init.kaiming_uniform_(w, mode="fan_out", nonlinearity="sigmoid")),
}

# Only now, so that its functions are those that write down their arguments.
import transformers  # noqa: E402
from transformers import AutoConfig, AutoModel  # noqa: E402

small = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 300,
    "max_position_embeddings": 64,
}


def auto(kind, **kw):
    def make():
        cfg = AutoConfig.for_model(kind, **kw)
        return AutoModel.from_config(cfg)

    return make


def lm(kind, cls, **kw):
    def make():
        return getattr(transformers, cls)(AutoConfig.for_model(kind, **kw))

    return make


vis = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "image_size": 32,
    "patch_size": 8,
}
TRANSFORMERS = {
    "bert": auto("bert", **small),
    "roberta": auto("roberta", **small),
    "albert": auto("albert", embedding_size=32, **small),
    "electra": auto("electra", embedding_size=32, **small),
    "deberta": auto("deberta-v2", **small),
    "gpt2": lm(
        "gpt2", "GPT2LMHeadModel", n_embd=64, n_layer=4, n_head=4, vocab_size=300, n_positions=64
    ),
    "gptneo": lm(
        "gpt_neo",
        "GPTNeoForCausalLM",
        hidden_size=64,
        num_layers=2,
        attention_types=[[["global"], 2]],
        num_heads=4,
        vocab_size=300,
        max_position_embeddings=64,
    ),
    "neox": lm("gpt_neox", "GPTNeoXForCausalLM", **small),
    "opt": lm(
        "opt",
        "OPTForCausalLM",
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=128,
        vocab_size=300,
        word_embed_proj_dim=64,
        max_position_embeddings=64,
    ),
    "bloom": lm("bloom", "BloomForCausalLM", hidden_size=64, n_layer=2, n_head=4, vocab_size=300),
    "llama": lm("llama", "LlamaForCausalLM", **small),
    "mistral": lm("mistral", "MistralForCausalLM", num_key_value_heads=2, **small),
    "qwen2": lm("qwen2", "Qwen2ForCausalLM", num_key_value_heads=2, **small),
    "gemma": lm("gemma", "GemmaForCausalLM", num_key_value_heads=2, head_dim=16, **small),
    "phi": lm("phi", "PhiForCausalLM", **small),
    "falcon": lm("falcon", "FalconForCausalLM", **small),
    "mixtral": lm(
        "mixtral", "MixtralForCausalLM", num_key_value_heads=2, num_local_experts=4, **small
    ),
    "t5": lm(
        "t5",
        "T5ForConditionalGeneration",
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=8,
        vocab_size=300,
    ),
    "mt5": lm(
        "mt5",
        "MT5ForConditionalGeneration",
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=8,
        vocab_size=300,
    ),
    "bart": lm(
        "bart",
        "BartForConditionalGeneration",
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        vocab_size=300,
        max_position_embeddings=64,
    ),
    "vit": auto("vit", **vis),
    "deit": auto("deit", **vis),
    "beit": auto(
        "beit",
        use_relative_position_bias=True,
        use_mask_token=True,
        layer_scale_init_value=0.1,
        **vis,
    ),
    "dinov2": auto("dinov2", **vis),
    "clip": lambda: transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=dict(small, projection_dim=32),
            vision_config=dict(vis, projection_dim=32),
            projection_dim=32,
        )
    ),
    "siglip": lambda: transformers.SiglipModel(
        transformers.SiglipConfig(text_config=dict(small), vision_config=dict(vis))
    ),
    "resnet": auto("resnet", embedding_size=32, hidden_sizes=[32, 64], depths=[1, 1]),
    "regnet": auto(
        "regnet", embedding_size=32, hidden_sizes=[32, 64], depths=[1, 1], groups_width=8
    ),
    "convnext": auto("convnext", hidden_sizes=[32, 64], depths=[1, 1], num_stages=2),
    "swin": auto(
        "swin",
        image_size=32,
        patch_size=2,
        embed_dim=32,
        depths=[1, 1],
        num_heads=[2, 4],
        window_size=4,
    ),
    "mobilenet": auto("mobilenet_v2"),
    "segformer": auto("segformer", hidden_sizes=[32, 64, 64, 64], depths=[1, 1, 1, 1]),
    "wav2vec2": auto(
        "wav2vec2",
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        conv_dim=[32] * 7,
        num_conv_pos_embedding_groups=4,
        num_conv_pos_embeddings=16,
    ),
    "whisper": auto(
        "whisper",
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        vocab_size=300,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    ),
    "mamba": lm(
        "mamba",
        "MambaForCausalLM",
        hidden_size=64,
        num_hidden_layers=2,
        vocab_size=300,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
    ),
    "distilbert": auto("distilbert", dim=64, n_layers=2, n_heads=4, hidden_dim=128, vocab_size=300),
    "xlnet": auto("xlnet", d_model=64, n_layer=2, n_head=4, d_inner=128, vocab_size=300),
}

if __name__ == "__main__":
    folder = sys.argv[1]
    for seed in range(3):
        for name, make in MODELS.items():
            save(folder, "torch_" + name, seed, make)
    for seed in range(2):
        for name, make in TRANSFORMERS.items():
            save(folder, "transformers_" + name, seed, make)
