"""Write down the signal through whole models as the real Keras has it, as signal_facts.json.gz.

Install the public packages, then run from any directory:

    pip install keras==3.15.1 tensorflow==2.21.0 anyinit==0.4.0 pyyaml
    python make_signal_facts.py            # or only some: make_signal_facts.py vgg lstm

Every model of whole_models.py is drawn anew by Keras's own initializers and taken forwards and
backwards, as in training: inputs are standard normal, or token ids that are all alike, and so is
what is sent backwards from every result. Of every figure the median over the draws, the lowest and
the highest are kept.

Beside them stands what AnyInit's analytic solver predicts of the same models. It is given the size
of the weights that Keras draws in place of those that it would choose itself, which is what its
``fixed`` is for, and nothing else is changed: the graph is that of its Keras backend, and the rules
are its own.

initcli and its tests need none of this: they read the facts alone.
"""

import gzip
import json
import math
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import anyinit
import keras
import numpy as np
import tensorflow as tf
from anyinit import _run
from anyinit.backends import resolve
from anyinit.core import analytic
from anyinit.core.graph import NodeKind
from anyinit.core.moments import MomentState
from anyinit.core.topology import build_plan
from keras.src.models.functional import operation_fn
from make_model_facts import owners
from whole_models import BATCH, MODELS

FILE = Path(__file__).parent / "signal_facts.json.gz"
DRAWS = 32


def graph_of(network):
    """The functional model, which is within one that is Sequential."""
    return network._functional if isinstance(network, keras.Sequential) else network


def name_of(tensor):
    return tensor._keras_history.operation.name


def paths_of(network, variables):
    """The layers that lead to each variable; Keras's own paths lack some, once a model is read."""
    found = owners(network, (), {})
    return [found[id(variable)] for variable in variables]


def table_size(network, tensor):
    """How many rows the table has in which an input is looked up; None of one of real numbers."""
    if "int" not in tensor.dtype:
        return None
    return next(
        layer.input_dim
        for layer in network.layers
        for node in layer._inbound_nodes
        if any(each is tensor for each in node.input_tensors)
    )


def random_inputs(network, batch, rng):
    found = []
    for tensor in graph_of(network).inputs:
        shape = (batch, *tensor.shape[1:])
        most = table_size(network, tensor)
        if most is None:
            found.append(tf.constant(rng.standard_normal(shape, np.float32)))
        else:
            found.append(tf.constant(rng.integers(0, most, shape).astype(np.int32)))
    return found


def passed(network, inputs, cotangent, training=True):
    """Outputs and gradients of a pass.

    Returns:
        Pairs of a layer's name and its first output, call by call; the gradients with respect to
        those outputs; and those with respect to the weights that are trained, by path.
    """
    functional = graph_of(network)
    seen = []

    def kept(operation):
        call = operation_fn(operation, training=training)

        def compute(*args, **options):
            # A layer may hand on the very tensor that it was given, and a tape tells tensors apart
            # by what they are.
            found = keras.tree.map_structure(tf.identity, call(*args, **options))
            seen.append((operation.name, keras.tree.flatten(found)[0]))
            return found

        return compute

    variables = [weight.value for weight in network.trainable_weights]
    with tf.GradientTape() as tape:
        for x in inputs:
            if x.dtype.is_floating:
                tape.watch(x)
        if functional is network:
            names = [name_of(tensor) for tensor in functional.inputs]
            seen += zip(names, inputs)
        results = functional._run_through_graph(inputs, operation_fn=kept)
        results = keras.tree.flatten(results)
        total = sum(tf.reduce_sum(y * cotangent(k, y.shape)) for k, y in enumerate(results))
    sources = [y for _, y in seen if y.dtype.is_floating]
    found = tape.gradient(total, [*sources, *variables])
    to_outputs = iter(found[: len(sources)])
    gradients = [next(to_outputs) if y.dtype.is_floating else None for _, y in seen]
    paths = paths_of(network, network.trainable_weights)
    to_weights = (tf.convert_to_tensor(each).numpy() for each in found[len(sources) :])
    return (
        [(name, y.numpy()) for name, y in seen],
        [None if g is None else g.numpy() for g in gradients],
        dict(zip(paths, to_weights, strict=True)),
    )


def rms(x):
    return math.sqrt(np.mean(np.square(x, dtype=np.float64)))


def spread(values):
    """The median, the lowest and the highest."""
    numbers = (np.median(values), min(values), max(values))
    return [float(f"{number:.5g}") for number in numbers]


def measured(text, batch):
    """The signal over the draws, and the root mean square of each weight over all of them."""
    seen, trained, squares = [], {}, {}
    for draw in range(DRAWS):
        keras.backend.clear_session()
        keras.utils.set_random_seed(draw)
        network = keras.models.model_from_json(text)
        paths = paths_of(network, network.weights)
        for path, weight in zip(paths, network.weights, strict=True):
            squares.setdefault(path, []).append(rms(weight.numpy()) ** 2)
        rng = np.random.default_rng(draw)
        inputs = random_inputs(network, batch, rng)
        outputs, gradients, weights = passed(
            network, inputs, lambda k, shape: rng.standard_normal(shape, np.float32)
        )
        for index, ((name, y), g) in enumerate(zip(outputs, gradients, strict=True)):
            if draw == 0:
                call = sum(each["name"] == name for each in seen)
                seen.append({"name": name, "call": call})
            if np.issubdtype(y.dtype, np.floating):
                figures = {
                    "mean": np.mean(y, dtype=np.float64),
                    "std": np.std(y, dtype=np.float64),
                    "zeros": np.mean(y == 0),
                }
                if g is not None:
                    figures["gradient_rms"] = rms(g)
                for figure, value in figures.items():
                    seen[index].setdefault(figure, []).append(float(value))
        for path, each in weights.items():
            trained.setdefault(path, []).append(rms(each))
    layers = [
        {k: spread(v) if isinstance(v, list) else v for k, v in each.items()} for each in seen
    ]
    sizes = {path: math.sqrt(np.mean(each)) for path, each in squares.items()}
    return layers, {path: spread(each) for path, each in trained.items()}, sizes


def predicted(text, sizes):
    """The std of each layer's output as AnyInit predicts it for weights of those sizes.

    It sets one scale to a node. That of a kernel or table is the root mean square of its entries,
    and that of a normalization its gamma. A separable convolution is one node of k² · d inputs to
    it, so it is given that of the kernel which its two kernels come to.
    """
    keras.backend.clear_session()
    network = keras.models.model_from_json(text)
    backend = resolve(network)
    backend.begin(network, None)
    graph = backend.build_graph(network)
    plan = build_plan(graph)

    def size(variable):
        return sizes[paths_of(network, [variable])[0]]

    scales = {}
    for node in graph.scalable:
        layer = node.handle.layer
        scales[node.id] = size(node.handle.variable)
        if isinstance(layer, keras.layers.SeparableConv2D):
            scales[node.id] = size(layer.depthwise_kernel) * size(layer.pointwise_kernel)
    result = analytic.solve(
        graph,
        plan,
        _run._profiles_for(graph, backend),
        fixed=scales,
        input_state=MomentState.standard_normal(),
    )
    assert result.scales == scales
    assert graph.fidelity == "graph"
    found = {}
    for node in graph:
        if node.kind is NodeKind.OUTPUT:
            continue
        # What is fused into a layer comes after it, and so is what is kept.
        name = node.meta.get("fused_into", node.id)
        state = result.states[node.id]
        found[name] = float(f"{math.sqrt(max(state.m2 - state.mean**2, 0.0)):.5g}")
    return found


def main(wanted):
    known = json.loads(gzip.decompress(FILE.read_bytes()))["models"] if wanted else {}
    found = {}
    for name, build in MODELS.items():
        if wanted and name not in wanted:
            found[name] = known[name]
            continue
        keras.backend.clear_session()
        text = build().to_json()
        layers, weights, sizes = measured(text, BATCH[name])
        found[name] = {
            "json": text,
            "batch": BATCH[name],
            "layers": layers,
            "weights": weights,
            "anyinit": predicted(text, sizes),
        }
        print(name, len(layers), "layers", flush=True)
    facts = {
        "keras": keras.__version__,
        "anyinit": anyinit.__version__,
        "draws": DRAWS,
        "models": found,
    }
    content = json.dumps(facts, separators=(",", ":")).encode()
    FILE.write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
