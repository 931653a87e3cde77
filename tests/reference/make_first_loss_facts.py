"""Write down the loss before the first step as the real Keras has it, as first_loss_facts.json.

Install the public packages, then run from any directory:

    pip install keras==3.15.1 jax==0.10.2 pyyaml
    python make_first_loss_facts.py    # or only some: make_first_loss_facts.py deep binary

Each model of first_loss_cases.yaml is drawn anew by Keras. Inputs are standard normal, and labels
are random: classes that are equally frequent, or numbers of N(0, 1). Of the losses of Keras the
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


def built(spec):
    """The model of a spec."""
    model = keras.Sequential([keras.Input(spec["input_shape"])])
    for each in spec["layers"]:
        arguments = {name: value for name, value in each.items() if name != "type"}
        for name, value in arguments.items():
            if isinstance(value, dict):
                config = {key: each for key, each in value.items() if key != "type"}
                arguments[name] = keras.initializers.get(
                    {"class_name": value["type"], "config": config}
                )
        model.add(getattr(keras.layers, each["type"])(**arguments))
    return model


def loss(model, kind, rng):
    """The loss of one draw."""
    x = rng.standard_normal((BATCH, *model.input_shape[1:])).astype(np.float32)
    y = np.asarray(model(x), np.float32)
    if kind == "mean_squared_error":
        return float(keras.losses.mean_squared_error(rng.standard_normal(y.shape), y).mean())
    if kind == "binary_cross_entropy":
        labels = rng.integers(0, 2, y.shape).astype(np.float32)
        return float(np.mean(keras.losses.binary_crossentropy(labels, y)))
    labels = rng.integers(0, y.shape[-1], y.shape[:-1])
    from_logits = model.layers[-1].get_config().get("activation") == "linear"
    if not from_logits:  # Keras clips probabilities; their logarithms are logits as well
        y, from_logits = np.log(np.maximum(y.astype(np.float64), 1e-300)), True
    losses = keras.losses.sparse_categorical_crossentropy(labels, y, from_logits=from_logits)
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
