"""Write down what the real Keras makes of masks, as mask_facts.json.

Install the public packages, then run from any directory:

    pip install keras==3.15.1 jax pyyaml
    KERAS_BACKEND=jax python make_mask_facts.py

``supports`` says of every layer type whether it supports masking. ``cases`` are the layers of
mask_cases.yaml, called in training on inputs that carry masks: what comes out, the masks of that,
and gradients of the inputs. ``models`` are whole models, as Keras writes them, with what comes out,
its mask, and gradients of the weights. Inputs and weights are those of :func:`wave` in
make_call_facts.py; of every array a few entries and the root mean square are kept. initcli and its
tests need none of this: they read the JSON alone.
"""

import inspect
import json
import sys
import warnings

import jax
import numpy as np
import yaml
from make_call_facts import fill, kept, leaves, wave
from make_layer_facts import APART, HERE, IDS, keras, made

BATCH = 3
_keras_mask = keras.src.backend.get_keras_mask
_set_keras_mask = keras.src.backend.set_keras_mask


def pattern(name, shape, phase):
    """A mask of a shape that any machine can make again."""
    if name == "some":
        found = np.sin(2.3 * np.arange(int(np.prod(shape))) + phase).reshape(shape) > -0.4
        found[:, :1] = True
        return found
    found = np.ones(shape, bool)
    if name == "left":
        found[:2, : shape[1] // 2] = False
    elif name == "right":
        found[1:, (shape[1] + 1) // 2 :] = False
    elif name == "nothing":
        found[0] = False
    return found


def mask_of(given, shape, phase):
    if given is None:
        return None
    name, own = given if isinstance(given, list) else (given, shape)
    return pattern(name, (BATCH, *own), phase)


def supports():
    cases = yaml.safe_load((HERE / "layer_cases.yaml").read_text("utf-8"))["accepted"]
    found = {}
    for kind, each in cases.items():
        arguments = each[0][1]
        if kind in ("Embedding", "ReversibleEmbedding"):
            arguments = {**arguments, "mask_zero": True}
        found[kind] = bool(made(kind, arguments).supports_masking)
    for kind in ("SimpleRNNCell", "LSTMCell", "GRUCell"):
        found[kind] = bool(made(kind, {"units": 2}).supports_masking)
    found["StackedRNNCells"] = keras.layers.StackedRNNCells([]).supports_masking
    found["InputLayer"] = keras.layers.InputLayer((3,)).supports_masking
    found["Sequential"] = keras.Sequential([keras.Input((3,))]).supports_masking
    found["Functional"] = keras.Model(x := keras.Input((3,)), x).supports_masking
    convnext = keras.src.applications.convnext
    found["LayerScale"] = convnext.LayerScale(1e-6, 3).supports_masking
    found["StochasticDepth"] = convnext.StochasticDepth(0.1).supports_masking
    return found


def named_masks(kind, shapes, given):
    """The masks that a call names: Attention has one argument for several."""
    found = {}
    for k, (name, each) in enumerate(given.items()):
        place = {"value_mask": 1, "key_mask": 1}.get(name, 0)
        found[name] = mask_of(each, shapes[place][:-1], 0.7 + k)
    if kind in ("Attention", "AdditiveAttention") and found:
        return {"mask": [found.get("query_mask"), found.get("value_mask")]}
    return found


def case_facts(kind, shapes, arguments, masks, given):
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    layer = made(kind, arguments)
    if kind in IDS:
        inputs = [np.arange(BATCH * np.prod(s)).reshape(BATCH, *s) * 7 % 5 for s in shapes]
    else:
        inputs = [wave((BATCH, *shape), 0.3 + k) for k, shape in enumerate(shapes)]
    if kind == "Masking":
        inputs[0][:2, 1:3] = arguments["mask_value"]
    carried = [
        mask_of(mask, shape if kind in IDS else shape[:-1], 0.2 + k)
        for k, (mask, shape) in enumerate(zip(masks, shapes, strict=True))
    ]
    options = named_masks(kind, shapes, given)
    if "training" in inspect.signature(layer.call).parameters:
        options["training"] = True

    def call(xs):
        for x, mask in zip(xs, carried, strict=True):
            if mask is not None:
                _set_keras_mask(x, jax.numpy.asarray(mask))
        if len(xs) == 1 or kind in APART:
            return layer(*xs, **options)
        if kind == "LSTM":
            return layer(xs[0], initial_state=xs[1:], **options)
        return layer(xs, **options)

    # Once with nothing but its shapes, for the weights; then with those of everyone.
    call([jax.numpy.asarray(x) for x in inputs])
    fill(layer)
    states = [(v, jax.numpy.asarray(v.value)) for v in layer.variables]
    seen = []

    def pure(xs):
        with keras.StatelessScope(state_mapping=states):
            found = leaves(call(list(xs)))
        seen[:] = [_keras_mask(each) for each in found]
        return found

    xs = [jax.numpy.asarray(x) for x in inputs]
    outputs = pure(xs)
    out_masks = [None if m is None else np.asarray(m).astype(int).tolist() for m in seen]
    result = {"outputs": [kept(each) for each in outputs], "masks": out_masks}
    if kind not in IDS:
        _, pull = jax.vjp(pure, xs)
        cotangents = [wave(y.shape, 9.0 + k).astype(y.dtype) for k, y in enumerate(outputs)]
        (gradients,) = pull(cotangents)
        result["gradients"] = [kept(each) for each in gradients]
    return result


# Whole models


def models():
    from keras import Input, Model, Sequential, layers, ops

    def ids(steps=6, name=None):
        return Input((steps,), dtype="int32", name=name)

    def embedded(x, most=7, width=4, **more):
        return layers.Embedding(most, width, mask_zero=True, **more)(x)

    x = ids()
    yield "lstm", Model(x, layers.Dense(2)(layers.LSTM(3)(embedded(x))))
    x = ids()
    yield "pooled", Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(embedded(x))))
    x = ids()
    e = embedded(x)
    yield "added", Model(x, layers.LSTM(3)(layers.Add()([e, layers.Dense(4)(e)])))
    one, two = ids(name="one"), ids(4, name="two")
    y = layers.Concatenate(axis=1)([embedded(one), embedded(two)])
    y = layers.Bidirectional(layers.GRU(3, return_sequences=True))(y)
    y = layers.BatchNormalization()(layers.TimeDistributed(layers.Dense(3))(y))
    yield "joined", Model([one, two], layers.GlobalAveragePooling1D()(y))
    source, target = ids(name="source"), ids(5, name="target")
    seen, h, c = layers.LSTM(4, return_sequences=True, return_state=True)(embedded(source))
    told = layers.LSTM(4, return_sequences=True)(embedded(target), initial_state=[h, c])
    taken = layers.Attention()([told, seen])
    y = layers.Dense(3)(layers.Concatenate()([told, taken]))
    yield "sequence_to_sequence", Model([source, target], y)
    x = ids()
    e = embedded(x)
    y = layers.LayerNormalization()(layers.Add()([e, layers.MultiHeadAttention(2, 3)(e, e)]))
    y = layers.MultiHeadAttention(2, 3)(y, y, use_causal_mask=True)
    yield "transformer", Model(x, layers.GlobalAveragePooling1D()(y))
    x = ids()
    y = layers.Conv1D(3, 2, padding="same")(embedded(x))
    yield "lost_in_a_convolution", Model(x, layers.LSTM(3)(y))
    x = ids()
    inner = Model(x, layers.GRU(4, return_sequences=True)(embedded(x)), name="inner")
    x = ids()
    yield "nested", Model(x, layers.LSTM(3)(inner(x)))
    x = Input((6, 4))
    inner = Sequential([Input((6, 4)), layers.Dense(4), layers.SimpleRNN(3)], name="stack")
    yield "nested_sequential", Model(x, inner(layers.Masking()(x)))
    x = ids()
    e = layers.Embedding(7, 4)(x)
    mask = ops.logical_and(ops.not_equal(x, 0), ops.logical_not(ops.equal(x, 3)))
    counted = ops.cast(ops.expand_dims(mask, -1), "float32")
    mean = ops.sum(e * counted, axis=1) / ops.sum(counted, axis=1)
    y = layers.GRU(4)(e, mask=ops.any(ops.stack([mask, ops.equal(x, 5)], axis=-1), axis=-1))
    yield "operations", Model(x, layers.Add()([mean, y]))
    x = Input((3, 5), dtype="int32")
    y = layers.TimeDistributed(layers.LSTM(3))(embedded(x))
    yield "hierarchical", Model(x, layers.GRU(2)(y))
    x = ids()
    e = layers.Embedding(7, 4)(x)
    mask = ops.expand_dims(ops.not_equal(x, 0), 1)
    y = layers.MultiHeadAttention(2, 3)(e, e, attention_mask=mask, use_causal_mask=True)
    yield "attention_mask", Model(x, y)
    query, value = ids(5, name="query"), ids(name="value")
    y = layers.AdditiveAttention()(
        [layers.Embedding(7, 4)(query), layers.Embedding(7, 4)(value)],
        mask=[ops.not_equal(query, 1), ops.not_equal(value, 2)],
    )
    yield "listed_masks", Model([query, value], y)
    x, kept_steps = ids(), Input((6,), dtype="bool", name="kept_steps")
    e = layers.Embedding(7, 4)(x)
    yield "mask_as_input", Model([x, kept_steps], layers.LSTM(3)(e, mask=kept_steps))
    stack = [layers.Embedding(7, 4, mask_zero=True), layers.Bidirectional(layers.LSTM(3))]
    yield "sequential", Sequential([ids(), *stack, layers.Dense(2)])
    x = ids()
    e = layers.ReversibleEmbedding(7, 4, mask_zero=True)
    y = layers.Multiply()([e(x), layers.Maximum()([e(x), layers.Dense(4)(e(x))])])
    yield "merged", Model(x, e(y, reverse=True))


def given(tensor, k):
    shape = (BATCH, *tensor.shape[1:])
    if tensor.dtype == "bool":
        return pattern("some", shape, 0.4 + k)
    if "int" in tensor.dtype:
        found = np.arange(np.prod(shape)).reshape(shape) * 5 + k
        found = (found * found) % 7
        found[1:, (shape[1] + 1) // 2 :] = 0
        return found
    found = wave(shape, 0.3 + k)
    found[1:, shape[1] // 2 :] = 0
    return found


def model_facts(network):
    text = network.to_json()
    keras.backend.clear_session()
    network = keras.models.model_from_json(text)
    fill(network)
    inputs = [jax.numpy.asarray(given(tensor, k)) for k, tensor in enumerate(network.inputs)]
    trained = network.trainable_variables
    other = [(v, jax.numpy.asarray(v.value)) for v in network.non_trainable_variables]
    seen = []

    def pure(values):
        states = [*zip(trained, values, strict=True), *other]
        with keras.StatelessScope(state_mapping=states):
            found = leaves(network(inputs if len(inputs) > 1 else inputs[0], training=True))
        seen[:] = [_keras_mask(each) for each in found]
        return found

    values = [jax.numpy.asarray(v.value) for v in trained]
    outputs, pull = jax.vjp(pure, values)
    pure(values)  # whose masks are numbers
    out_masks = [None if m is None else np.asarray(m).astype(int).tolist() for m in seen]
    cotangents = [wave(y.shape, 9.0 + k).astype(y.dtype) for k, y in enumerate(outputs)]
    (gradients,) = pull(cotangents)
    return {
        "json": json.loads(text),
        "outputs": [kept(each) for each in outputs],
        "masks": out_masks,
        "gradients": [kept(each) for each in gradients],
    }


def main(wanted):
    warnings.simplefilter("ignore")
    file = HERE / "mask_facts.json"
    known = json.loads(file.read_text("utf-8")) if wanted else {}
    cases = yaml.safe_load((HERE / "mask_cases.yaml").read_text("utf-8"))
    lines = {"cases": [], "models": []}
    for kind, listed in cases.items():
        if wanted and kind not in wanted:
            lines["cases"] += [each for each in known["cases"] if each[0] == kind]
            continue
        for case in listed:
            lines["cases"].append([kind, *case, case_facts(kind, *case)])
    for name, network in models():
        if wanted and name not in wanted:
            lines["models"] += [each for each in known["models"] if each[0] == name]
        else:
            lines["models"].append([name, model_facts(network)])
    texts = [f' "keras": {json.dumps(keras.__version__)}', f' "supports": {json.dumps(supports())}']
    for key, found in lines.items():
        rows = ",\n".join("  " + json.dumps(each) for each in found)
        texts.append(f' "{key}": [\n{rows}\n ]')
    file.write_text("{\n" + ",\n".join(texts) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
