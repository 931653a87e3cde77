"""Write down how even the attention of the real Keras is at the start, as attention_facts.json.

Install the public packages, then run from any directory:

    pip install keras==3.15.1 jax
    KERAS_BACKEND=jax python make_attention_facts.py

Shares of the softmax are what Keras returns as attention scores; differences of their logarithms
are those of the logits. initcli and its tests need none of this: they read the JSON alone.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

HERE = Path(__file__).parent
SEEDS = 9


def wave(shape, phase):
    """Numbers between −1 and 1 that any machine can make again."""
    count = int(np.prod(shape, dtype=np.int64))
    return np.sin(1.7 * np.arange(count) + phase).reshape(shape).astype(np.float32)


def figures(shares, seen):
    """The figures of shares (…, queries, keys), of which each query sees some."""
    shares = np.asarray(shares, np.float64)
    seen = np.broadcast_to(seen, shares.shape)
    rows = [
        (p[s], s.sum())
        for p, s in zip(
            shares.reshape(-1, shares.shape[-1]), seen.reshape(-1, shares.shape[-1]), strict=True
        )
    ]
    rows = [(p, n) for p, n in rows if n >= 2]
    logs = [np.log(np.maximum(p, 1e-300)) for p, _ in rows]
    return {
        "logit_std": float(np.sqrt(np.mean([each.var() for each in logs]))),
        "entropy": float(
            np.mean(
                [-(p * each).sum() / np.log(n) for (p, n), each in zip(rows, logs, strict=True)]
            )
        ),
        "saturated": float(np.mean([p.max() > 0.9 for p, _ in rows])),
    }


CALLS = [
    ("MultiHeadAttention", {"num_heads": 3, "key_dim": 4}, [[7, 6], [7, 6]], 1.0, ""),
    ("MultiHeadAttention", {"num_heads": 3, "key_dim": 4}, [[7, 6], [7, 6]], 1.0, "causal"),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 4}, [[5, 6], [8, 6]], 1.0, "mask"),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 4}, [[5, 6], [8, 6], [8, 3]], 2.0, ""),
    (
        "GroupQueryAttention",
        {"num_query_heads": 4, "num_key_value_heads": 2, "head_dim": 4},
        [[7, 6], [7, 6]],
        1.0,
        "causal",
    ),
    ("Attention", {"use_scale": True}, [[5, 6], [8, 6]], 1.0, ""),
    ("Attention", {"score_mode": "concat"}, [[5, 6], [8, 6]], 1.0, ""),
    ("AdditiveAttention", {}, [[5, 6], [8, 6]], 1.0, ""),
]


def calls():
    """Layers with weights and inputs that anyone can make again."""
    found = []
    for kind, arguments, shapes, scale, what in CALLS:
        inputs = [wave((3, *shape), 0.3 + k) for k, shape in enumerate(shapes)]
        layer = getattr(keras.layers, kind)(**arguments, name="layer")
        options = {"use_causal_mask": True} if what == "causal" else {}
        queries, keys = shapes[0][0], shapes[1][0]
        seen = (
            np.tri(queries, keys, dtype=bool)
            if what == "causal"
            else np.ones((queries, keys), bool)
        )
        if what == "mask":
            seen = wave((3, queries, keys), 2.0) > -0.5
            options["attention_mask"] = seen
            seen = seen[:, None]
        called = inputs if "Head" in kind or "Group" in kind else [inputs]
        layer(*called)
        for k, weight in enumerate(layer.weights):
            weight.assign(wave(tuple(weight.shape), 5.0 + k) * scale)
        names = [each.path.partition("/")[2] for each in layer.weights]
        _, shares = layer(*called, return_attention_scores=True, **options)
        shares = np.asarray(shares)
        heads = [shares[:, k] for k in range(shares.shape[1])] if shares.ndim == 4 else [shares]
        whose = seen[:, 0] if seen.ndim == 4 else seen
        found.append(
            {
                "type": kind,
                "arguments": arguments,
                "shapes": shapes,
                "scale": scale,
                "what": what,
                "weights": names,
                "figures": figures(shares, seen),
                "by_head": [figures(each, whose) for each in heads],
            }
        )
    return found


def block(x, causal, initializer):
    layers = keras.layers
    y = layers.LayerNormalization()(x)
    y = layers.MultiHeadAttention(4, 32, kernel_initializer=initializer)(
        y, y, use_causal_mask=causal
    )
    x = layers.Add()([x, y])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(512, activation="gelu")(y)
    return layers.Add()([x, layers.Dense(128)(y)])


STACKS = [
    {"stddev": None, "causal": False, "steps": 64, "blocks": 0},
    {"stddev": None, "causal": True, "steps": 64, "blocks": 3},
    {"stddev": 0.02, "causal": True, "steps": 32, "blocks": 1},
    {"stddev": 0.15, "causal": False, "steps": 64, "blocks": 1},
    {"stddev": 0.2, "causal": True, "steps": 96, "blocks": 0},
    {"stddev": 0.3, "causal": False, "steps": 32, "blocks": 0},
]


def stacks():
    """The last attention of fresh pre-norm transformers, on standard normal inputs."""
    found = []
    for case in STACKS:
        seen = np.ones((case["steps"],) * 2, bool)
        seen = np.tri(case["steps"], dtype=bool) if case["causal"] else seen
        draws = []
        for seed in range(SEEDS):
            keras.utils.set_random_seed(seed)
            std = case["stddev"]

            def initializer(std=std):
                return keras.initializers.RandomNormal(0, std) if std else "glorot_uniform"

            inputs = x = keras.Input((case["steps"], 128))
            for _ in range(case["blocks"]):
                x = block(x, case["causal"], initializer())
            x = keras.layers.LayerNormalization()(x)
            attention = keras.layers.MultiHeadAttention(4, 32, kernel_initializer=initializer())
            _, shares = attention(
                x, x, use_causal_mask=case["causal"], return_attention_scores=True
            )
            model = keras.Model(inputs, shares)
            data = np.random.default_rng(seed).standard_normal((4, case["steps"], 128))
            draws.append(figures(model(data), seen))
            keras.utils.clear_session()
        found.append({**case, "draws": draws})
    return found


def main():
    facts = {"keras": keras.__version__, "calls": calls(), "stacks": stacks()}
    (HERE / "attention_facts.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
