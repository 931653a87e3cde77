"""Write down what comes out of whole Keras models for given weights, as whole_call_facts.json.gz.

Install the public packages, and initcli itself from this repository, then run from any directory:

    pip install keras==3.15.1 tensorflow==2.21.0 anyinit==0.4.0 pyyaml
    python make_whole_call_facts.py            # or only some: make_whole_call_facts.py vgg lstm

Every model of whole_models.py, with nothing dropped in it, has the weights that initcli draws and
the inputs of :func:`numbers`, and is called in training and pulled back along such results. Of every
layer's output, of its gradient and of every trained weight's gradient the root mean square and some
entries are kept, as Keras computes them in float32; so is how far that lies from what Keras computes
in float64. Inputs are taken anew until that is little: where an entry lies so near to 0 that float32
puts it on the other side, a relu's gradient is another, and no two libraries need agree. initcli's
tests read the facts alone.
"""

import gzip
import json
import sys
from itertools import count
from pathlib import Path

import numpy as np
from make_signal_facts import graph_of, keras, passed, paths_of, rms, table_size, tf
from whole_models import MODELS

import initcli

FILE = Path(__file__).parent / "whole_call_facts.json.gz"
BATCH = 4


def numbers(shape, seed):
    """Standard normal numbers that any machine can make again: NumPy keeps this generator as it is."""
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def tokens(shape, most, seed):
    return np.random.RandomState(seed).randint(0, most, shape, np.int32)


def without_dropout(config):
    """The config of a model, with nothing dropped: Keras's random numbers are not initcli's."""
    if isinstance(config, dict):
        return {
            key: 0.0 if key in ("rate", "dropout") else without_dropout(each)
            for key, each in config.items()
        }
    return [without_dropout(each) for each in config] if isinstance(config, list) else config


def kept(array, exact):
    """Size, root mean square and error of an array, and some of its entries."""
    flat = np.asarray(array, np.float64).reshape(-1)
    places = np.linspace(0, flat.size - 1, min(flat.size, 5)).astype(int)
    error = rms(flat - np.asarray(exact, np.float64).reshape(-1))
    entries = (float(f"{value:.7g}") for value in (rms(flat), *flat[places]))
    return [flat.size, float(f"{error:.2g}"), *entries]


def computed(text, weights, seed, dtype):
    keras.backend.clear_session()
    keras.config.set_dtype_policy(dtype)
    network = keras.models.model_from_json(text.replace('"float32"', f'"{dtype}"'))
    network.set_weights(weights)
    inputs = []
    for k, tensor in enumerate(graph_of(network).inputs):
        shape = (BATCH, *tensor.shape[1:])
        most = table_size(network, tensor)
        given = numbers(shape, seed + k) if most is None else tokens(shape, most, seed + k)
        inputs.append(tf.constant(given, tensor.dtype))
    return passed(network, inputs, lambda k, shape: numbers(shape, seed + 50 + k).astype(dtype))


def facts(text):
    model = initcli.parse(text)
    weights = [initcli.draw(parameter) for parameter in model.parameters]
    network = keras.models.model_from_json(text)
    mine = [(parameter.path, parameter.shape) for parameter in model.parameters]
    paths = paths_of(network, network.weights)
    theirs = [(path, w.shape) for path, w in zip(paths, network.weights, strict=True)]
    assert mine == theirs
    return next(found for seed in count(0, 100) if (found := called(text, weights, seed)))


def called(text, weights, seed):
    """What is kept of a model for those inputs; None where float32 has not even four digits."""
    outputs, gradients, trained = computed(text, weights, seed, "float32")
    exact_outputs, exact_gradients, exact_trained = computed(text, weights, seed, "float64")
    layers = []
    for index, ((name, y), g) in enumerate(zip(outputs, gradients, strict=True)):
        entry = {"name": name, "call": sum(each["name"] == name for each in layers)}
        if np.issubdtype(y.dtype, np.floating):
            entry["output"] = kept(y, exact_outputs[index][1])
            entry["gradient"] = kept(g, exact_gradients[index])
        layers.append(entry)
    of_weights = {path: kept(each, exact_trained[path]) for path, each in trained.items()}
    everything = [each[what] for each in layers for what in ("output", "gradient") if what in each]
    # Some gradients are 0 but for rounding, as of a bias whose layer is normalized right away.
    everything += [each for each in of_weights.values() if not is_rounding(each)]
    if any(error > 1e-4 * size for _, error, size, *_ in everything):
        return None
    return {"json": text, "seed": seed, "layers": layers, "weights": of_weights}


def is_rounding(kept_array):
    _, error, size, *_ = kept_array
    return error > 0.5 * size


def main(wanted):
    known = json.loads(gzip.decompress(FILE.read_bytes()))["models"] if wanted else {}
    found = {}
    for name, build in MODELS.items():
        if wanted and name not in wanted:
            found[name] = known[name]
            continue
        keras.backend.clear_session()
        keras.config.set_dtype_policy("float32")
        text = json.dumps(without_dropout(json.loads(build().to_json())))
        found[name] = facts(text)
        nothing = [path for path, each in found[name]["weights"].items() if is_rounding(each)]
        print(name, "seed", found[name]["seed"], "nothing but rounding:", *nothing, flush=True)
    content = {"keras": keras.__version__, "batch": BATCH, "models": found}
    data = json.dumps(content, separators=(",", ":")).encode()
    FILE.write_bytes(gzip.compress(data, 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
