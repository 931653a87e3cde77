"""Write down what the real Keras makes of the layers in layer_cases.yaml, as layer_facts.json.

Install the public packages, then run from any directory:

    pip install keras==3.15.1 jax pyyaml
    KERAS_BACKEND=jax python make_layer_facts.py

It fails where Keras refuses a case that is called accepted, or accepts one that is called rejected.
initcli and its tests need none of this: they read the JSON alone.
"""

import inspect
import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_ENABLE_X64", "1")

import keras
import yaml

HERE = Path(__file__).parent
TOUR = [
    ("Conv1D", {"filters": 16, "kernel_size": 3, "kernel_initializer": "random_uniform"}),
    ("MaxPooling1D", {"pool_size": 4}),
    ("Flatten", {}),
    ("Dense", {"units": 64, "kernel_initializer": "he_uniform", "bias_initializer": "ones"}),
    ("Dense", {"units": 64, "kernel_initializer": {"type": "RandomNormal", "stddev": 0.05}}),
    ("Dense", {"units": 8, "kernel_initializer": {"type": "Orthogonal", "gain": 1.0}}),
    ("Dense", {"units": 64, "kernel_initializer": {"type": "RandomNormal", "stddev": 1.0}}),
]


IDS = ("Embedding", "ReversibleEmbedding", "CategoryEncoding", "Hashing", "HashedCrossing")
APART = ("MultiHeadAttention", "GroupQueryAttention")
"""Layers that take their inputs one by one, and not as a list."""


def argument(value):
    """A YAML value as Keras takes it: initializers and layers as objects, lists as tuples."""
    if isinstance(value, dict) and "type" in value:
        rest = {key: argument(each) for key, each in value.items() if key != "type"}
        home = keras.initializers if hasattr(keras.initializers, value["type"]) else keras.layers
        return getattr(home, value["type"])(**rest)
    if isinstance(value, list):
        return tuple(argument(each) for each in value)
    return value


def made(layer_type, arguments):
    return getattr(keras.layers, layer_type)(**{k: argument(v) for k, v in arguments.items()})


class Recorder:
    """Notes the initializer that each weight is added with."""

    def __init__(self):
        self.by_weight = {}
        self.add_weight = keras.layers.Layer.add_weight

    def __enter__(self):
        def add_weight(layer, shape=None, initializer=None, **keywords):
            weight = self.add_weight(layer, shape=shape, initializer=initializer, **keywords)
            # Layer.add_weight itself takes glorot_uniform for None.
            self.by_weight[id(weight)] = keras.initializers.get(initializer or "glorot_uniform")
            return weight

        keras.layers.Layer.add_weight = add_weight
        return self

    def __exit__(self, *error):
        keras.layers.Layer.add_weight = self.add_weight

    def of(self, weight):
        initializer = self.by_weight[id(weight)]
        if getattr(initializer, "__name__", "") == "bias_initializer":
            given = inspect.getclosurevars(initializer).nonlocals["self"].bias_initializer
            config = {k: v for k, v in given.get_config().items() if k != "seed"}
            return {"type": type(given).__name__, **config, "unit_forget_bias": True}
        if not hasattr(initializer, "get_config"):
            return {"type": "Ones"}  # renorm's standard deviation: the root of a variance of ones
        config = {k: v for k, v in initializer.get_config().items() if v is not None}
        # An initializer without a seed is given one at random.
        return {"type": type(initializer).__name__, **{k: config[k] for k in config if k != "seed"}}


def called(layer, layer_type, input_shape):
    """What comes out for an input of that shape, or for several inputs."""
    dtype = "int32" if layer_type in IDS else None
    if not input_shape or not isinstance(input_shape[0], list):
        return layer(keras.Input(tuple(input_shape), dtype=dtype))
    inputs = [keras.Input(tuple(shape), dtype=dtype) for shape in input_shape]
    return layer(*inputs) if layer_type in APART else layer(inputs)


def facts(layer_type, input_shape, arguments):
    with Recorder() as recorder:
        keras.backend.clear_session()
        layer = made(layer_type, arguments)
        output = called(layer, layer_type, input_shape)
        outputs = output if isinstance(output, list | tuple) else [output]
        shapes = [list(each.shape) for each in outputs]
        trained = {id(weight) for weight in layer.trainable_weights}
        return {
            "name": layer.name,
            "output_shape": shapes[0] if len(shapes) == 1 else shapes,
            "params": layer.count_params(),
            "weights": [
                {
                    "name": weight.path.partition("/")[2],
                    "shape": list(weight.shape),
                    "trainable": id(weight) in trained,
                    "dtype": weight.dtype,
                    "initializer": recorder.of(weight),
                }
                for weight in layer.weights
            ],
        }


def is_accepted(layer_type, case):
    try:
        facts(layer_type, *case)
    except Exception:
        return False
    return True


def model_facts(model):
    return [
        {
            "name": layer.name,
            "type": type(layer).__name__,
            "output_shape": list(layer.output.shape),
            "params": layer.count_params(),
        }
        for layer in model.layers
    ]


def signature(layer_type):
    parameters = inspect.signature(getattr(keras.layers, layer_type).__init__).parameters.values()
    named = [p for p in parameters if p.name != "self" and p.kind is p.POSITIONAL_OR_KEYWORD]
    return {p.name: "required" if p.default is p.empty else p.default for p in named}


def main():
    cases = yaml.safe_load((HERE / "layer_cases.yaml").read_text("utf-8"))
    accepted = {
        layer_type: [facts(layer_type, *case) for case in listed]
        for layer_type, listed in cases["accepted"].items()
    }
    wrong = [
        f"Keras accepts {layer_type} {case}"
        for layer_type, listed in cases["rejected"].items()
        for case in listed
        if is_accepted(layer_type, case)
    ]
    if wrong:
        raise SystemExit("\n".join(wrong))
    keras.backend.clear_session()
    tour = keras.Sequential([keras.Input((128, 64)), *(made(*layer) for layer in TOUR)])
    models = {
        "tour": model_facts(tour),
        "vgg16": model_facts(keras.applications.VGG16(weights=None)),
    }
    signatures = {layer_type: signature(layer_type) for layer_type in cases["accepted"]}
    lines = [f'"keras": "{keras.__version__}"']
    for name, entries in (("models", models), ("signatures", signatures), ("layers", accepted)):
        inner = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in entries.items())
        lines.append(f'"{name}": {{\n{inner}\n}}')
    (HERE / "layer_facts.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
