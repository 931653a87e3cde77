"""Train the stacks of training_cases.yaml and write down how well each does, as training_facts.json.

Install the public packages, and initcli itself from this repository, then run from any directory:

    pip install keras==3.15.1 jax scikit-learn
    KERAS_BACKEND=jax python make_training_facts.py    # or only some: make_training_facts.py relu_30_he

Without names it goes on where it stopped: a case whose facts are there, and which has not changed
since, is not trained again.

Every case starts with the very weights that initcli draws, and Keras's layers compute it. It learns
1,408 handwritten digits of scikit-learn, of 8 by 8 pixels that have mean 0 and standard deviation 1
over all, in batches of 128 for at most 40 epochs; gradients are not clipped and nothing is dropped or
regularised. The loss is the cross-entropy of the last layer's numbers, a softmax of which is left
out. SGD with momentum 0.9 and Adam have some learning rates each, tried in the order of ``RATES``
until one leads to an accuracy of 0.98; the best is kept. Accuracy and loss are those of the last
epoch's batches, each before its step, with the norms as in training. Every case is trained twice,
``first`` from weights of seed 0 and ``second`` of seed 1.

initcli's tests read the facts alone.
"""

import json
import math
import os
import sys
import time
import zlib
from functools import partial
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np
import yaml
from jax.flatten_util import ravel_pytree
from sklearn.datasets import load_digits

import initcli
from initcli.activations import Sin
from initcli.layers import Layer
from initcli.signal.program import program

HERE = Path(__file__).parent
FILE = HERE / "training_facts.json"
RATES = {"sgd": (0.01, 0.1, 0.001), "adam": (0.001, 0.0001)}
SEEDS = {"first": 0, "second": 1}
BATCH = 128
EPOCHS = 40
KEPT = (10, 20, 40)
"""Epochs after which the accuracy is kept."""
ENOUGH = 0.98
NOT_KERAS = ("type", "name", "trainable", "dtype", "fans", "gates_apart")


def digits():
    """Images and their labels, as many as fill whole batches."""
    found = load_digits()
    order = np.random.RandomState(0).permutation(len(found.target))
    count = 1500 // BATCH * BATCH
    x = found.data[order][:count].astype(np.float32)
    x = (x - x.mean()) / x.std()
    return x, found.target[order][:count].astype(np.int32)


class Scale(keras.layers.Layer):
    """x times one learned scale, or one for each unit; Keras has no such layer."""

    def __init__(self, axis=None, **given):
        super().__init__(**given)
        self.axis = axis

    def build(self, shape):
        assert self.axis in (None, -1)
        self.scale = self.add_weight(shape=() if self.axis is None else shape[-1:], name="scale")

    def call(self, x):
        return x * self.scale


def sine(x, w0):
    """sin(w0 · x), which Keras has no name for."""
    return keras.ops.sin(w0 * x)


def made(layer, **given):
    """The Keras layer with a layer's arguments; its initializers are Keras's, and do not matter."""
    found = {}
    for field in layer.__struct_fields__:
        value = getattr(layer, field)
        if field in NOT_KERAS or field.endswith("initializer") or value is None:
            continue
        if isinstance(value, Layer):
            value = made(value)
        elif isinstance(value, Sin):
            value = partial(sine, w0=value.w0)
        elif "activation" in field:
            # Named activations alone, all as Keras has them by default.
            assert value == type(value)()
            value = str(value)
        found[field] = value
    kind = Scale if layer.type_name == "Scale" else getattr(keras.layers, layer.type_name)
    return kind(**found, **given)


def built(model):
    """The Keras model of a spec, and its layers, one for each step of initcli's program."""
    steps = program(model, BATCH)
    (source,) = steps.inputs
    tensors = {source.tensor: keras.Input(steps.shapes[source.tensor][1:])}
    layers = []
    for step in steps.steps:
        assert step.call == 0
        layer = made(step.layer, name=step.name.replace("/", "."))
        if step is steps.steps[-1] and str(getattr(step.layer, "activation", None)) == "softmax":
            layer.activation = keras.activations.linear
        inputs = [tensors[number] for number in step.inputs]
        if isinstance(layer, keras.layers.MultiHeadAttention):
            # initcli's takes query, value and key, and one input for all of them.
            inputs = inputs * 2 if len(inputs) == 1 else inputs
            found = layer(*inputs)
        else:
            found = layer(inputs if step.layer.merges else inputs[0])
        (output,) = step.outputs
        tensors[output] = found
        layers.append(layer)
    (result,) = steps.results
    return keras.Model(tensors[source.tensor], tensors[result]), layers


def filled(model, layers):
    """Give the layers the weights that initcli draws."""
    for step, layer in zip(program(model, BATCH).steps, layers, strict=True):
        mine = [(p.path.rpartition("/")[2], p.shape) for p in step.parameters]
        theirs = [(w.name, tuple(w.shape)) for w in layer.weights]
        assert mine == theirs, (mine, theirs)
        layer.set_weights([initcli.draw(parameter) for parameter in step.parameters])


def compiled(network, unravel):
    """One step of training, for weights in one vector; ``adam`` is 1.0 for Adam and 0.0 for SGD."""

    def loss(weights, others, x, y):
        logits, others = network.stateless_call(weights, others, x, training=True)
        taken = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)
        return -taken.mean(), ((logits.argmax(1) == y).mean(), others)

    @jax.jit
    def step(state, x, y, rate, adam):
        flat, first, second, others, count = state
        weights = unravel(flat)
        (value, (hits, others)), gradient = jax.value_and_grad(loss, has_aux=True)(
            weights, others, x, y
        )
        g, _ = ravel_pytree(gradient)
        count = count + 1
        # SGD's velocity and Adam's first moment are kept in one place, each as Keras has it.
        first = 0.9 * first + jnp.where(adam, 0.1, 1.0) * g
        second = 0.999 * second + 0.001 * g * g
        scale = jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        change = jnp.where(adam, scale * first / (jnp.sqrt(second) + 1e-7), first)
        return (flat - rate * change, first, second, others, count), value, hits

    return step


def trained(step, state, batches, rate, adam):
    """Loss and accuracy of each epoch, until it has learned enough or nothing is finite."""
    curve = []
    for _ in range(EPOCHS):
        seen = []
        for x, y in batches:
            state, *figures = step(state, x, y, rate, adam)
            seen.append(figures)
        loss, accuracy = np.mean(np.array(seen, np.float64), 0)
        curve.append((loss, accuracy))
        if accuracy >= ENOUGH or not math.isfinite(loss):
            break
    return curve


def rounded(number):
    return float(f"{number:.3g}") if math.isfinite(number) else None


def summary(curve, rate):
    """What is kept of the epochs with one learning rate."""
    loss, accuracy = curve[-1]
    at = [curve[min(epoch, len(curve)) - 1][1] for epoch in KEPT]
    return {
        "accuracy": round(accuracy, 3),
        "loss": rounded(loss),
        "learning_rate": rate,
        "epochs": len(curve),
        "curve": [round(each, 3) for each in at],
    }


def facts(text):
    """What becomes of a spec, for each run, that starts with the weights of its seed."""
    keras.backend.clear_session()
    x, y = digits()
    network, layers = built(initcli.parse(text))
    x = x.reshape(-1, *network.input_shape[1:])
    batches = [
        (jnp.asarray(x[i : i + BATCH]), jnp.asarray(y[i : i + BATCH]))
        for i in range(0, len(x), BATCH)
    ]
    _, unravel = ravel_pytree([variable.value for variable in network.trainable_variables])
    step = compiled(network, unravel)
    return {
        run: seeded(initcli.parse(text, seed=seed), network, layers, step, batches)
        for run, seed in SEEDS.items()
    }


def seeded(model, network, layers, step, batches):
    """What becomes of a network that starts with the weights of a model."""
    filled(model, layers)
    others = [variable.value for variable in network.non_trainable_variables]
    flat, _ = ravel_pytree([variable.value for variable in network.trainable_variables])
    nothing = jnp.zeros_like(flat)
    start = (flat, nothing, nothing, others, jnp.float32(0))
    # Steps of 0 leave the weights as they are.
    losses = [step(start, *each, 0.0, False)[1] for each in batches]
    found = {"initial_loss": rounded(np.mean(np.array(losses, np.float64)))}
    for optimizer, rates in RATES.items():
        for rate in rates:
            curve = trained(step, start, batches, rate, optimizer == "adam")
            if optimizer not in found or curve[-1][1] > found[optimizer]["accuracy"]:
                found[optimizer] = summary(curve, rate)
            if curve[-1][1] >= ENOUGH:
                break
    return found


def written(found):
    settings = {
        "keras": keras.__version__,
        "batch": BATCH,
        "epochs": EPOCHS,
        "seeds": SEEDS,
        "rates": RATES,
    }
    lines = [f'"{key}": {json.dumps(value)}' for key, value in settings.items()]
    inner = ",\n".join(f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in found.items())
    lines.append(f'"cases": {{\n{inner}\n}}')
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def mark(case):
    """What tells whether a case has changed; how it is described does not count."""
    spec = {key: value for key, value in case.items() if key != "about"}
    return f"{zlib.crc32(json.dumps(spec).encode()):08x}"


def main(wanted):
    cases = yaml.safe_load((HERE / "training_cases.yaml").read_text("utf-8"))
    known = json.loads(FILE.read_text("utf-8"))["cases"] if FILE.exists() else {}
    known = {
        name: known[name]
        for name, case in cases.items()
        if name in known and name not in wanted and known[name]["case"] == mark(case)
    }
    for name in [name for name in wanted or cases if name not in known]:
        start = time.perf_counter()
        spec = {key: value for key, value in cases[name].items() if key != "about"}
        found = facts(json.dumps({"name": name, **spec}))
        known[name] = {"case": mark(cases[name]), **found}
        written({name: known[name] for name in cases if name in known})
        figures = (
            f"{each} {one[each]['accuracy']:.2f} with {one[each]['learning_rate']:g}"
            for one in found.values()
            for each in RATES
        )
        print(f"{name}:", ", ".join(figures), f"{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
