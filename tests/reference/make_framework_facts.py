"""Write down how the real PyTorch and Flax start their layers, as framework_facts.json.

Install the public packages, then run from any directory:

    pip install torch==2.13.0 flax==0.12.8
    python make_framework_facts.py

Every parameter is started anew with many seeds; its mean, standard deviation, least and greatest
value over all of them are the facts. A case says which layer of a spec does the same work, and
which of its tensors each parameter is.
"""

import json
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn.utils import parametrizations

HERE = Path(__file__).parent
VALUES = 40_000
"""Values of every tensor at least, so that its distribution can be told."""


def measured(draw):
    """The facts of many draws; draw(seed) gives the arrays by name."""
    seen = {}
    for seed in range(400):
        for name, array in draw(seed).items():
            seen.setdefault(name, []).append(np.asarray(array, np.float64).ravel())
        if min(sum(each.size for each in arrays) for arrays in seen.values()) >= VALUES:
            break
    facts = {}
    for name, arrays in seen.items():
        values = np.concatenate(arrays)
        facts[name] = {
            "count": values.size,
            "mean": values.mean(),
            "std": values.std(),
            "min": values.min(),
            "max": values.max(),
        }
    return facts


def of_torch(make, names):
    """A case of torch: names gives, for each tensor of Keras, the parameter that it is."""

    def draw(seed):
        torch.manual_seed(seed)
        module = make()
        found = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        return {ours: found[theirs].detach().numpy() for ours, theirs in names.items()}

    return measured(draw)


def of_flax(module, inputs, names):
    """A case of flax: names gives, for each tensor of Keras, the parameters that it is."""

    def draw(seed):
        variables = module.init(jax.random.key(seed), *[jnp.zeros(shape) for shape in inputs])
        found = {}
        for tree in variables.values():
            for path, value in jax.tree_util.tree_leaves_with_path(tree):
                found["/".join(str(key.key) for key in path)] = value
        return {
            ours: np.concatenate([np.ravel(found[each]) for each in theirs.split()])
            for ours, theirs in names.items()
        }

    return measured(draw)


BOTH = {"kernel": "weight", "bias": "bias"}
SEVERAL = {"kernel": "weight_ih_l0", "recurrent_kernel": "weight_hh_l0", "bias": "bias_ih_l0"}
NORMS = {"gamma": "weight", "beta": "bias"}
MOVING = {**NORMS, "moving_mean": "running_mean", "moving_variance": "running_var"}


def cell(name, names):
    return {f"{name}/{ours}": theirs for ours, theirs in names.items()}


def packed(d):
    """MultiheadAttention's one matrix for query, key and value, cut in three."""

    def draw(seed):
        torch.manual_seed(seed)
        module = torch.nn.MultiheadAttention(d, 2, batch_first=True)
        names = ("query", "key", "value")
        kernels = zip(names, module.in_proj_weight.detach().chunk(3))
        biases = zip(names, module.in_proj_bias.detach().chunk(3))
        return {
            **{f"{name}/kernel": each.numpy() for name, each in kernels},
            **{f"{name}/bias": each.numpy() for name, each in biases},
            "attention_output/kernel": module.out_proj.weight.detach().numpy(),
            "attention_output/bias": module.out_proj.bias.detach().numpy(),
        }

    return measured(draw)


APART = {
    "query/kernel": "q_proj_weight",
    "key/kernel": "k_proj_weight",
    "value/kernel": "v_proj_weight",
    "attention_output/kernel": "out_proj.weight",
}


def torch_cases():
    t = torch.nn
    yield {"type": "Dense", "units": 20}, [[30]], of_torch(lambda: t.Linear(30, 20), BOTH)
    yield {"type": "Dense", "units": 3}, [[7]], of_torch(lambda: t.Linear(7, 3), BOTH)
    table = {"type": "Embedding", "input_dim": 50, "output_dim": 8}
    yield table, [[4]], of_torch(lambda: t.Embedding(50, 8), {"embeddings": "weight"})
    one = {"type": "Conv1D", "filters": 6, "kernel_size": 5, "groups": 2}
    yield one, [[9, 4]], of_torch(lambda: t.Conv1d(4, 6, 5, groups=2), BOTH)
    two = {"type": "Conv2D", "filters": 6, "kernel_size": [3, 5]}
    yield two, [[9, 9, 4]], of_torch(lambda: t.Conv2d(4, 6, (3, 5)), BOTH)
    three = {"type": "Conv3D", "filters": 6, "kernel_size": 2}
    yield three, [[9, 9, 9, 4]], of_torch(lambda: t.Conv3d(4, 6, 2), BOTH)
    deep = {"type": "DepthwiseConv2D", "kernel_size": 3, "depth_multiplier": 2}
    yield deep, [[9, 9, 4]], of_torch(lambda: t.Conv2d(4, 8, 3, groups=4), BOTH)
    back = {"type": "Conv2DTranspose", "filters": 6, "kernel_size": 3}
    yield back, [[9, 9, 4]], of_torch(lambda: t.ConvTranspose2d(4, 6, 3), BOTH)
    yield (
        {"type": "SimpleRNN", "units": 9},
        [[5, 4]],
        of_torch(lambda: t.RNN(4, 9), cell("simple_rnn_cell", SEVERAL)),
    )
    yield (
        {"type": "LSTM", "units": 9},
        [[5, 4]],
        of_torch(lambda: t.LSTM(4, 9), cell("lstm_cell", SEVERAL)),
    )
    yield (
        {"type": "GRU", "units": 9},
        [[5, 4]],
        of_torch(lambda: t.GRU(4, 9), cell("gru_cell", SEVERAL)),
    )
    attention = {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 4}
    yield attention, [[5, 8]], packed(8)
    apart = {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 4}
    differs = lambda: t.MultiheadAttention(8, 2, kdim=5, vdim=6)  # noqa: E731
    yield apart, [[5, 8], [5, 6], [5, 5]], of_torch(differs, APART)
    yield {"type": "BatchNormalization"}, [[5]], of_torch(lambda: t.BatchNorm1d(5), MOVING)
    yield {"type": "LayerNormalization"}, [[5]], of_torch(lambda: t.LayerNorm(5), NORMS)
    norm = {"type": "GroupNormalization", "groups": 2}
    yield norm, [[5, 4]], of_torch(lambda: t.GroupNorm(2, 4), NORMS)
    yield {"type": "RMSNormalization"}, [[5]], of_torch(lambda: t.RMSNorm(5), {"scale": "weight"})
    yield {"type": "PReLU"}, [[5]], of_torch(lambda: t.PReLU(), {"alpha": "weight"})
    grouped = {"type": "Conv2DTranspose", "filters": 6, "kernel_size": 3, "groups": 2}
    yield grouped, [[9, 9, 4]], of_torch(lambda: t.ConvTranspose2d(4, 6, 3, groups=2), BOTH)
    padded = {**table, "padding_idx": 3}
    yield (
        padded,
        [[4]],
        of_torch(lambda: t.Embedding(50, 8, padding_idx=3), {"embeddings": "weight"}),
    )
    for inner, ours in (
        (t.LSTMCell, "LSTMCell"),
        (t.GRUCell, "GRUCell"),
        (t.RNNCell, "SimpleRNNCell"),
    ):
        names = {"kernel": "weight_ih", "recurrent_kernel": "weight_hh", "bias": "bias_ih"}
        yield {"type": ours, "units": 9}, [[4]], of_torch(lambda inner=inner: inner(4, 9), names)
    plain = {"kernel": "weight_ih_l0", "recurrent_kernel": "weight_hh_l0"}
    yield (
        {"type": "LSTM", "units": 9, "use_bias": False},
        [[5, 4]],
        of_torch(lambda: t.LSTM(4, 9, bias=False), cell("lstm_cell", plain)),
    )
    spectral = {
        "dense/kernel": "parametrizations.weight.original",
        "vector_u": "parametrizations.weight.0._u",
        "dense/bias": "bias",
    }
    yield (
        {"type": "SpectralNormalization", "layer": {"type": "Dense", "units": 20}},
        [[30]],
        of_torch(lambda: parametrizations.spectral_norm(t.Linear(30, 20)), spectral),
    )
    normed = {"dense/kernel": "parametrizations.weight.original1", "dense/bias": "bias"}
    yield (
        {"type": "WeightNormalization", "layer": {"type": "Dense", "units": 20}},
        [[30]],
        of_torch(lambda: parametrizations.weight_norm(t.Linear(30, 20)), normed),
    )


def gates(side, names, last="kernel"):
    return " ".join(f"{side}{name}/{last}" for name in names)


def flax_cases():
    both = {"kernel": "kernel", "bias": "bias"}
    yield {"type": "Dense", "units": 20}, [[30]], of_flax(nn.Dense(20), [(1, 30)], both)
    table = {"type": "Embedding", "input_dim": 50, "output_dim": 8}
    embed = nn.Embed(50, 8)
    ids = measured(
        lambda seed: {
            "embeddings": embed.init(jax.random.key(seed), jnp.zeros((1,), int))["params"][
                "embedding"
            ]
        }
    )
    yield table, [[4]], ids
    one = {"type": "Conv1D", "filters": 6, "kernel_size": 5, "groups": 2}
    yield one, [[9, 4]], of_flax(nn.Conv(6, (5,), feature_group_count=2), [(1, 9, 4)], both)
    two = {"type": "Conv2D", "filters": 6, "kernel_size": [3, 5]}
    yield two, [[9, 9, 4]], of_flax(nn.Conv(6, (3, 5)), [(1, 9, 9, 4)], both)
    deep = {"type": "DepthwiseConv2D", "kernel_size": 3, "depth_multiplier": 2}
    depthwise = nn.Conv(8, (3, 3), feature_group_count=4)
    yield deep, [[9, 9, 4]], of_flax(depthwise, [(1, 9, 9, 4)], both)
    back = {"type": "Conv2DTranspose", "filters": 6, "kernel_size": 3}
    yield back, [[9, 9, 4]], of_flax(nn.ConvTranspose(6, (3, 3)), [(1, 9, 9, 4)], both)
    simple = {"kernel": "i/kernel", "recurrent_kernel": "h/kernel", "bias": "i/bias"}
    yield (
        {"type": "SimpleRNN", "units": 9},
        [[5, 4]],
        of_flax(nn.SimpleCell(9), [(1, 9), (1, 4)], cell("simple_rnn_cell", simple)),
    )
    lstm = {
        "kernel": gates("i", "ifgo"),
        "recurrent_kernel": gates("h", "ifgo"),
        "bias": gates("h", "ifgo", "bias"),
    }
    module = nn.OptimizedLSTMCell(9)

    def lstm_draw(seed):
        carry = (jnp.zeros((1, 9)), jnp.zeros((1, 9)))
        found = module.init(jax.random.key(seed), carry, jnp.zeros((1, 4)))["params"]
        return {
            f"lstm_cell/{ours}": np.concatenate(
                [np.ravel(found[each.split("/")[0]][each.split("/")[1]]) for each in theirs.split()]
            )
            for ours, theirs in lstm.items()
        }

    yield {"type": "LSTM", "units": 9}, [[5, 4]], measured(lstm_draw)
    gru = {
        "kernel": gates("i", "rzn"),
        "recurrent_kernel": gates("h", "rzn"),
        "bias": gates("i", "rzn", "bias"),
    }
    yield (
        {"type": "GRU", "units": 9},
        [[5, 4]],
        of_flax(nn.GRUCell(9), [(1, 9), (1, 4)], cell("gru_cell", gru)),
    )
    names = {
        f"{ours}/{last}": f"{theirs}/{last}"
        for ours, theirs in {
            "query": "query",
            "key": "key",
            "value": "value",
            "attention_output": "out",
        }.items()
        for last in ("kernel", "bias")
    }
    attention = {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 4}
    module_ = nn.MultiHeadDotProductAttention(2, qkv_features=8)
    yield attention, [[5, 8]], of_flax(module_, [(1, 5, 8), (1, 5, 8)], names)
    einsum = {"type": "EinsumDense", "equation": "abc,cde->abde", "output_shape": [5, 2, 3]}
    einsum["bias_axes"] = "de"
    yield (
        einsum,
        [[5, 8]],
        of_flax(nn.Einsum((8, 2, 3), "abc,cde->abde"), [(1, 5, 8)], {"kernel": "kernel"}),
    )
    moving = {
        "gamma": "scale",
        "beta": "bias",
        "moving_mean": "mean",
        "moving_variance": "var",
    }
    batch = nn.BatchNorm(use_running_average=True)
    yield {"type": "BatchNormalization"}, [[5]], of_flax(batch, [(1, 5)], moving)
    scaled = {"gamma": "scale", "beta": "bias"}
    yield {"type": "LayerNormalization"}, [[5]], of_flax(nn.LayerNorm(), [(1, 5)], scaled)
    norm = {"type": "GroupNormalization", "groups": 2}
    yield norm, [[5, 4]], of_flax(nn.GroupNorm(2), [(1, 5, 4)], scaled)
    yield {"type": "RMSNormalization"}, [[5]], of_flax(nn.RMSNorm(), [(1, 5)], {"scale": "scale"})
    yield {"type": "PReLU"}, [[5]], of_flax(nn.PReLU(), [(1, 5)], {"alpha": "negative_slope"})
    lstm_conv = {"type": "ConvLSTM2D", "filters": 4, "kernel_size": 3, "padding": "same"}
    conv_cell = nn.ConvLSTMCell(4, (3, 3))

    def conv_draw(seed):
        carry = (jnp.zeros((1, 6, 6, 4)), jnp.zeros((1, 6, 6, 4)))
        found = conv_cell.init(jax.random.key(seed), carry, jnp.zeros((1, 6, 6, 3)))["params"]
        return {
            "conv_lstm_cell/kernel": found["ih"]["kernel"],
            "conv_lstm_cell/recurrent_kernel": found["hh"]["kernel"],
            "conv_lstm_cell/bias": found["ih"]["bias"],
        }

    yield lstm_conv, [[2, 6, 6, 3]], measured(conv_draw)

    # What Flax's wrappers hold after init is the kernel that they have already normalized.
    class Spectral(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.SpectralNorm(nn.Dense(20, name="dense"))(x, update_stats=False)

    spectral = {
        "vector_u": "SpectralNorm_0/dense/kernel/u",
        "dense/bias": "dense/bias",
    }
    held = {"type": "Dense", "units": 20}
    yield (
        {"type": "SpectralNormalization", "layer": held},
        [[30]],
        of_flax(Spectral(), [(1, 30)], spectral),
    )

    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.WeightNorm(nn.Dense(20, name="dense"))(x)

    normed = {
        "g": "WeightNorm_0/dense/kernel/scale",
        "dense/bias": "dense/bias",
    }
    yield (
        {"type": "WeightNormalization", "layer": held},
        [[30]],
        of_flax(Normed(), [(1, 30)], normed),
    )


def main():
    torch.set_num_threads(1)
    found = {"versions": {"torch": torch.__version__.partition("+")[0], "flax": "0.12.8"}}
    for name, cases in (("torch", torch_cases()), ("flax", flax_cases())):
        found[name] = [
            {"layer": layer, "inputs": inputs, "tensors": tensors}
            for layer, inputs, tensors in cases
        ]
    (HERE / "framework_facts.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
