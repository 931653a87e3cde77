"""Write down the loss before the first step as the real Keras has it, as first_loss_facts.json.

Install the public packages, then run from any directory:

    pip install keras==3.15.1 jax==0.10.2 pyyaml
    python make_first_loss_facts.py    # or only some: make_first_loss_facts.py deep binary

Each model of first_loss_cases.yaml is drawn anew by Keras. Inputs are standard normal, or tokens
that are equally frequent, and labels are random: classes that are equally frequent, or numbers of N(0, 1). Of the losses of Keras the
mean over the draws, their standard deviation and their number are kept.
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np
import yaml

HERE = Path(__file__).parent
BATCH, DRAWS = 256, 24


def initializer(value):
    """An initializer of a spec as Keras has it."""
    config = {key: each for key, each in value.items() if key != "type"}
    return keras.initializers.get({"class_name": value["type"], "config": config})


def built(spec):
    """The model of a spec: layers in a row, or with ``inputs``, calls and repeated blocks."""
    shapes = {"shape": spec["input_shape"]} if "input_shape" in spec else spec["layers"][0]
    first = keras.Input(shapes["shape"], dtype=shapes.get("dtype", "float32"))
    tensors, layers, last = {"input": first}, {}, first
    for each in flat(spec["layers"]):
        given = each.get("inputs", [])
        given = [tensors[name] for name in ([given] if isinstance(given, str) else given)] or [last]
        layer = layers.get(each.get("call"))
        if layer is None:
            skipped = ("type", "name", "inputs", "reverse", "use_causal_mask")
            arguments = {key: value for key, value in each.items() if key not in skipped}
            for key, value in arguments.items():
                arguments[key] = initializer(value) if isinstance(value, dict) else value
            layer = getattr(keras.layers, each["type"])(**arguments)
        options = {key: each[key] for key in ("reverse", "use_causal_mask") if key in each}
        one = given[0] if len(given) == 1 else given
        is_attention = isinstance(layer, keras.layers.MultiHeadAttention)
        last = layer(*given, **options) if is_attention else layer(one, **options)
        if "name" in each:
            tensors[each["name"]], layers[each["name"]] = last, layer
    return keras.Model(first, last)


def flat(entries):
    """The entries but for the input, with blocks written out."""
    before = "input"
    for entry in entries:
        for index in range(entry.get("repeat", 1) if "layers" in entry else 0):
            names = {
                each["name"]: f"{entry['name']}_{index}_{each['name']}" for each in entry["layers"]
            }
            names["input"] = before
            for each in entry["layers"]:
                takes = [names[name] for name in each.get("inputs", [])]
                yield {**each, "name": names[each["name"]], **({"inputs": takes} if takes else {})}
            before = names[entry["layers"][-1]["name"]]
        if "layers" not in entry and entry["type" if "type" in entry else "call"] != "Input":
            yield entry
            before = entry.get("name", before)


def loss(model, kind, rng):
    """The loss of one draw."""
    tables = [each for each in model.layers if hasattr(each, "input_dim")]
    shape = (BATCH, *model.input_shape[1:])
    x = rng.integers(0, tables[0].input_dim, shape) if tables else rng.standard_normal(shape)
    y = np.asarray(model(x), np.float32)
    if kind == "mean_squared_error":
        return float(keras.losses.mean_squared_error(rng.standard_normal(y.shape), y).mean())
    if kind == "binary_cross_entropy":
        labels = rng.integers(0, 2, y.shape).astype(np.float32)
        return float(np.mean(keras.losses.binary_crossentropy(labels, y)))
    labels = rng.integers(0, y.shape[-1], y.shape[:-1])
    has_softmax = "softmax" in str(model.layers[-1].get_config().get("activation"))
    if has_softmax or isinstance(
        model.layers[-1], keras.layers.Softmax
    ):  # Keras clips probabilities; their logarithms are logits as well
        y = np.log(np.maximum(y.astype(np.float64), 1e-300))
    losses = keras.losses.sparse_categorical_crossentropy(labels, y, from_logits=True)
    return float(np.mean(np.asarray(losses)))


def main():
    file = HERE / "first_loss_facts.json"
    facts = json.loads(file.read_text("utf-8")) if sys.argv[1:] else {}
    for name, spec in yaml.safe_load((HERE / "first_loss_cases.yaml").read_text("utf-8")).items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        activation = spec["layers"][-1].get("activation")
        kind = "binary_cross_entropy" if activation == "sigmoid" else "cross_entropy"
        kind = spec.get("loss", kind)
        losses = []
        for seed in range(DRAWS):
            keras.utils.set_random_seed(seed)
            losses.append(loss(built(spec), kind, np.random.default_rng(seed)))
        facts[name] = [float(np.mean(losses)), float(np.std(losses, ddof=1)), DRAWS]
        print(name, facts[name])
    file.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
