"""Write down what comes out of the real Keras's layers, and its gradients, as call_facts.json.

Install the public packages, then run from any directory:

    pip install keras==3.15.1 jax pyyaml
    KERAS_BACKEND=jax python make_call_facts.py            # or only some: make_call_facts.py LSTM GRU

Every layer of layer_cases.yaml and call_cases.yaml is called in training on inputs and weights that anyone can make
again (:func:`wave`), and pulled back along such an output. What draws random numbers is called as
in inference. Of every array a few entries and the root mean square are kept.
initcli and its tests need none of this: they read the JSON alone.
"""

import inspect
import json
import sys

import jax
import numpy as np
import yaml
from make_layer_facts import APART, HERE, IDS, keras, made

UNKNOWN = 9
"""Stands for a size that a case leaves open."""
CALLS = 64
"""How often a layer that draws random numbers is called to see whether they matter."""
LEFT_OUT = {
    # What comes out in Keras has another shape than it says itself.
    ("CategoryEncoding", "[4, 1]"),
    ("CategoryEncoding", "[3, null, 1]"),
}
"""Types and input shapes of which nothing can be said."""

NOT_COMPUTED = frozenset(
    [
        "Hashing",
        "HashedCrossing",
        "IntegerLookup",
        "StringLookup",
        "TextVectorization",
        "Resizing",
        "CenterCrop",
        "RandomCrop",
        "MaxNumBoundingBoxes",
        "RandomGrayscale",
        "RandomFlip",
        "RandomRotation",
        "RandomTranslation",
        "RandomZoom",
        "RandomShear",
        "RandomPerspective",
        "CutMix",
        "MixUp",
        "RandomBrightness",
        "RandomContrast",
        "RandomHue",
        "RandomSaturation",
        "RandomSharpness",
        "RandomColorDegeneration",
        "RandomColorJitter",
        "RandomPosterization",
        "RandomInvert",
        "RandomGaussianBlur",
        "Solarization",
        "RandomElasticTransform",
        "RandomErasing",
        "RandAugment",
        "AugMix",
        "AutoContrast",
        "Equalization",
        "ContrastLimitedAdaptiveHistogramEqualization",
        "MelSpectrogram",
        "STFTSpectrogram",
    ]
)
"""Types that prepare data, which initcli does not compute."""


def wave(shape, phase):
    """Numbers between −1 and 1 that any machine can make again."""
    count = int(np.prod(shape, dtype=np.int64))
    return np.sin(1.7 * np.arange(count) + phase).reshape(shape).astype(np.float32)


def kept(array):
    """The size of an array, its root mean square, and some of its entries; null is no number."""
    flat = np.asarray(array, np.float64).reshape(-1)
    places = np.linspace(0, flat.size - 1, min(flat.size, 6)).astype(int)
    rms = float(np.sqrt(np.mean(flat * flat))) if flat.size else 0.0
    found = (rms, *flat[places])
    return [flat.size, *(None if np.isnan(x) else float(f"{x:.7g}") for x in found)]


def inputs_of(layer_type, input_shape, arguments):
    several = input_shape and isinstance(input_shape[0], list)
    shapes = input_shape if several else [input_shape]
    known = [[3, *(UNKNOWN if n is None else n for n in shape)] for shape in shapes]
    if layer_type in IDS:
        most = arguments.get("input_dim") or arguments.get("num_tokens") or 5
        return [
            (np.arange(np.prod(shape)).reshape(shape) * 7 % most).astype("int32") for shape in known
        ]
    return [wave(shape, 0.3 + k) for k, shape in enumerate(known)]


def leaves(outputs):
    """All outputs of a call, sparse ones as if they were not."""
    found = jax.tree.leaves(outputs, is_leaf=lambda each: hasattr(each, "todense"))
    return [each.todense() if hasattr(each, "todense") else each for each in found]


def fill(layer):
    """Give the layer weights that anyone can make again."""
    for k, weight in enumerate(layer.weights):
        if "float" not in weight.dtype:
            continue
        value = wave(weight.shape, 5.0 + k)
        if any(part in weight.path for part in ("variance", "stddev")):
            value = np.abs(value) + 0.5
        weight.assign(value * np.float32(0.5))
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()  # Normalization computes with copies


def is_random(layer, outputs):
    """Whether what comes out in training is not always the same.

    A share of 0.1 is often dropped of no channel at all, so that it takes many calls to tell.
    """
    own = {id(weight) for weight in layer.weights}
    # The states of random number generators count among a layer's variables alone.
    states = [variable for variable in layer.variables if id(variable) not in own]
    before = [state.numpy() for state in states]
    first = outputs(True)
    if all(np.array_equal(state.numpy(), each) for state, each in zip(states, before, strict=True)):
        return False
    return any(
        not all(np.array_equal(*pair) for pair in zip(first, outputs(True), strict=True))
        for _ in range(CALLS)
    )


def facts(layer_type, input_shape, arguments):
    if "float16" in json.dumps(arguments) or "float64" in json.dumps(arguments):
        return None
    if (layer_type, json.dumps(input_shape)) in LEFT_OUT:
        return None
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    layer = made(layer_type, arguments)
    inputs = inputs_of(layer_type, input_shape, arguments)
    apart = layer_type in APART or len(inputs) == 1

    takes_training = "training" in inspect.signature(layer.call).parameters

    def call(training):
        options = {"training": training} if takes_training else {}
        return layer(*inputs, **options) if apart else layer(inputs, **options)

    call(False)
    fill(layer)
    states = [weight.numpy() for weight in layer.weights]

    def outputs(training):
        for weight, state in zip(layer.weights, states, strict=True):
            weight.assign(state)
        return [np.asarray(each) for each in leaves(call(training))]

    training = not is_random(layer, outputs)
    for weight, state in zip(layer.weights, states, strict=True):
        weight.assign(state)
    trained = [variable.value for variable in layer.trainable_variables]
    other = [variable.value for variable in layer.non_trainable_variables]
    differentiable = all("float" in str(x.dtype) for x in inputs)

    def pure(trained, inputs):
        arguments = inputs if apart else [list(inputs)]
        options = {"training": training} if takes_training else {}
        found, _ = layer.stateless_call(trained, other, *arguments, **options)
        return leaves(found)

    made_outputs = pure(trained, inputs)
    result = {"training": training, "outputs": [kept(each) for each in made_outputs]}
    if not all("float" in str(each.dtype) for each in made_outputs):
        return result
    cotangent = [
        wave(each.shape, 9.0 + k).astype(each.dtype) for k, each in enumerate(made_outputs)
    ]
    if differentiable:
        _, pull = jax.vjp(pure, trained, [jax.numpy.asarray(x) for x in inputs])
        to_weights, to_inputs = pull(cotangent)
        result["inputs"] = [kept(each) for each in to_inputs]
    else:
        _, pull = jax.vjp(lambda trained: pure(trained, inputs), trained)
        (to_weights,) = pull(cotangent)
    names = [variable.path.partition("/")[2] for variable in layer.trainable_variables]
    result["weights"] = {name: kept(each) for name, each in zip(names, to_weights, strict=True)}
    return result


def all_cases():
    cases = yaml.safe_load((HERE / "layer_cases.yaml").read_text("utf-8"))["accepted"]
    computed = yaml.safe_load((HERE / "call_cases.yaml").read_text("utf-8"))
    for listed in (cases, computed):
        for layer_type, each in listed.items():
            if layer_type not in NOT_COMPUTED:
                yield from ((layer_type, *case) for case in each)


def main(wanted):
    file = HERE / "call_facts.json"
    known = json.loads(file.read_text("utf-8")) if wanted else []
    lines, before = [], None
    for layer_type, *case in all_cases():
        if layer_type != before:
            jax.clear_caches()  # thousands of compiled functions exhaust the process's memory maps
            before = layer_type
        if wanted and layer_type not in wanted:
            lines += [json.dumps(each) for each in known if each[:-1] == [layer_type, *case]]
            continue
        try:
            found = facts(layer_type, *case)
        except Exception as error:
            print(f"{layer_type} {case}: {type(error).__name__}: {str(error)[:150]}")
            found = None
        if found is not None:
            lines.append(json.dumps([layer_type, *case, found]))
    file.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
