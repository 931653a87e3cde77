"""Write down how large outputs and gradients are in whole models, as theory_facts.json.gz.

Install the public packages, then run from any directory:

    pip install keras==3.15.1 jax pyyaml
    python make_theory_facts.py            # or only some: make_theory_facts.py ResNet50 siamese

The models are those of ``keras.applications`` for small images, and those of theory_models.py. Each
is drawn anew by Keras's own initializers and taken forwards and backwards, as in training: inputs are
standard normal, or token ids that are all alike, and so is what is sent backwards from every result.
Of the first output of every call the median over the draws of the standard deviation, and of the root
mean square of its gradient, is kept.
"""

import gzip
import inspect
import json
import math
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
from keras.src.models.functional import operation_fn
from theory_models import MODELS

FILE = Path(__file__).parent / "theory_facts.json.gz"
DRAWS = 9
IMAGES = (96, 96, 3)
APPLICATIONS = (
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet101",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "VGG19",
    "Xception",
)


def application(name):
    """A model of keras.applications, without the layers that prepare images."""
    build = getattr(keras.applications, name)
    options = {"weights": None, "input_shape": IMAGES, "classes": 100}
    if "include_preprocessing" in inspect.signature(build).parameters:
        options["include_preprocessing"] = False
    return build(**options)


def rms(x):
    return math.sqrt(np.mean(np.square(x, dtype=np.float64)))


def table_size(functional, tensor):
    """How many rows the table has in which an input is looked up; None of one of real numbers."""
    if "int" not in tensor.dtype:
        return None
    return next(
        layer.input_dim
        for layer in functional.layers
        for node in layer._inbound_nodes
        if any(each is tensor for each in node.input_tensors)
    )


def random_inputs(functional, batch, rng):
    found = []
    for tensor in functional.inputs:
        shape = (batch, *tensor.shape[1:])
        most = table_size(functional, tensor)
        if most is None:
            found.append(rng.standard_normal(shape, np.float32))
        else:
            found.append(rng.integers(0, most, shape).astype(np.int32))
    return found


class Passes:
    """The passes of a network, which are compiled once for all draws."""

    def __init__(self, functional):
        self.functional = functional
        self.names = []
        self.compiled = jax.jit(jax.value_and_grad(self.total, has_aux=True))

    def total(self, added, values, inputs, cotangents):
        """The sum of results times cotangents, once something is added to each output."""
        seen = []
        self.names = []

        def kept(operation):
            call = operation_fn(operation, training=True)

            def compute(*args, **options):
                found = call(*args, **options)
                first, *rest = keras.tree.flatten(found)
                self.names.append(operation.name)
                if len(seen) < len(added) and added[len(seen)] is not None:
                    first = first + added[len(seen)]
                seen.append(first)
                return keras.tree.pack_sequence_as(found, [first, *rest])

            return compute

        mapping = list(zip(self.functional.variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            results = self.functional._run_through_graph(inputs, operation_fn=kept)
        results = keras.tree.flatten(results)
        parts = (jax.numpy.sum(y * c) for y, c in zip(results, cotangents))
        return sum(parts, 0.0), (seen, results)


def measured(text, batch):
    """The median std and gradient of every call's output."""
    passes, sizes = None, {}
    for draw in range(DRAWS):
        keras.utils.set_random_seed(draw)
        network = keras.models.model_from_json(text)
        functional = network._functional if isinstance(network, keras.Sequential) else network
        rng = np.random.default_rng(draw)
        inputs = random_inputs(functional, batch, rng)
        values = [variable.value for variable in functional.variables]
        if passes is None:
            passes = Passes(functional)
            _, (seen, results) = jax.eval_shape(passes.total, [], values, inputs, [])
            added = [
                np.zeros(y.shape, np.float32) if np.issubdtype(y.dtype, np.floating) else None
                for y in seen
            ]
        cotangents = [rng.standard_normal(y.shape, np.float32) for y in results]
        (_, (seen, _)), gradients = passes.compiled(added, values, inputs, cotangents)
        calls = {}
        for name, y, g in zip(passes.names, seen, gradients, strict=True):
            call = calls[name] = calls.get(name, -1) + 1
            if g is not None:
                pair = np.std(np.asarray(y), dtype=np.float64), rms(np.asarray(g))
                sizes.setdefault(f"{name} {call}", []).append(pair)
    return {
        name: [float(f"{value:.4g}") for value in np.median(pairs, 0)]
        for name, pairs in sizes.items()
    }


def main(wanted):
    known = json.loads(gzip.decompress(FILE.read_bytes()))["models"] if FILE.exists() else {}
    for name in wanted or (*MODELS, *APPLICATIONS):
        keras.backend.clear_session()
        network = MODELS[name]() if name in MODELS else application(name)
        text, batch = network.to_json(), 16 if name in MODELS else 8
        layers = measured(text, batch)
        known[name] = {"json": text, "batch": batch, "layers": layers}
        print(name, len(layers), "layers", flush=True)
        facts = {"keras": keras.__version__, "draws": DRAWS, "models": known}
        content = json.dumps(facts, separators=(",", ":")).encode()
        FILE.write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
