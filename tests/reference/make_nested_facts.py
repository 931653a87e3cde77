"""Write down what the real Keras makes of models within models and of frozen layers.

Run from any directory, in an environment of each version that is to be asked:

    pip install keras==3.15.1 jax && KERAS_BACKEND=jax python make_nested_facts.py
    pip install tensorflow-cpu==2.15.1 "numpy<2" && python make_nested_facts.py
    pip install keras==2.2.4 tensorflow==1.15.5 (Python 3.7) && python make_nested_facts.py

Each run replaces its version's part of nested_models.json.gz. An entry holds the text of the
model's ``to_json()`` and, of the model that Keras makes of that text again, every weight. For
models of ``FROZEN``, ``frozen`` says which weights are trained when one single configuration of the
text says ``trainable: false``: its place, and the shapes of those weights. initcli and its tests
need none of this: they read the facts alone.
"""

import gzip
import json
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras

VERSION = keras.__version__
IS_3 = VERSION.startswith("3.")
HAS_TF = IS_3 or VERSION.startswith("2.1")
FACTS = Path(__file__).parent / "nested_models.json.gz"
L = keras.layers
Input, Model, Sequential = L.Input, keras.models.Model, keras.models.Sequential
NESTED, FROZEN = {}, {}


def nested(build):
    """Register a function that builds a model of models."""
    NESTED[build.__name__] = build
    return build


def frozen(build):
    """Register a function that makes a layer's output, (batch, 5, 6) going in."""
    FROZEN[build.__name__] = build
    return build


def encoder(name, units=3):
    given = Input((8,))
    return Model(given, L.Dense(units)(given), name=name)


def stack(name, sizes=(4, 3), shape=(8,)):
    first, *rest = sizes
    begun = [Input(shape), L.Dense(first)] if IS_3 else [L.Dense(first, input_shape=shape)]
    return Sequential([*begun, *(L.Dense(size) for size in rest)], name=name)


# Where the nested model says what flows in


@nested
def stack_first():
    return Sequential([stack("inner"), L.Dense(2)], name="outer")


@nested
def stack_of_stack_of_functional():
    given = Input((12, 12, 3))
    x = L.GlobalAveragePooling2D()(L.Conv2D(5, 3)(given))
    trunk = Model(given, x, name="trunk")
    extractor = Sequential([trunk, L.Reshape((5, 1)), L.Flatten()], name="extractor")
    return Sequential([extractor, stack("head", (4, 2), (5,))], name="machine")


@nested
def stack_of_nothing_but_a_stack():
    return Sequential([stack("inner")], name="outer")


@nested
def stack_that_is_built_late():
    inner = Sequential([L.Dense(4), L.Dense(3)], name="inner")
    outer = Sequential([inner, L.Dense(2)], name="outer")
    outer.build((None, 8))
    return outer


@nested
def stack_of_a_model_with_a_wrapped_one():
    given = Input((5, 8))
    x = L.TimeDistributed(encoder("step"))(given)
    return Sequential([Model(given, x, name="steps"), L.LSTM(2)], name="outer")


# Which call an output is of


@nested
def output_of_a_later_call():
    a, b = Input((3, 4)), Input((5, 4))
    given = Input((None, 4))
    inner = Model(given, L.Dense(2)(given), name="f")
    one, two = inner(a), inner(b)
    return Model([a, b], [two, L.Dense(7, name="head")(L.Flatten()(two)), one])


@nested
def code_as_an_output():
    given = Input((8,))
    code = encoder("encoder")(given)
    hidden = Input((3,))
    decoder = Model(hidden, L.Dense(8)(hidden), name="decoder")
    return Model(given, [decoder(code), code])


@nested
def stack_called_twice():
    a, b = Input((8,)), Input((8,))
    inner = stack("twice")
    one, two = inner(a), inner(b)
    return Model([a, b], [two, L.Concatenate()([one, two]), one])


@nested
def three_calls_and_the_middle_one():
    first = Input((8,))
    given = Input((8,))
    again = Model(given, L.Dense(8)(given), name="again")
    one = again(first)
    two = again(one)
    three = again(two)
    return Model(first, [two, L.Dense(3)(three), L.Dense(5)(one)])


@nested
def called_before_by_another_model():
    inner = encoder("shared")
    other = Input((8,))
    Model(other, L.Dense(2)(inner(other)))
    a, b = Input((8,)), Input((8,))
    one = inner(a)
    inner(Input((8,)))
    two = inner(b)
    return Model([a, b], [two, L.Dense(4)(one), one])


@nested
def outputs_of_several():
    given = Input((8,))
    both = Model(given, [L.Dense(3)(given), L.Dense(5)(given)], name="both")
    a, b = Input((8,)), Input((8,))
    (a3, a5), (b3, b5) = both(a), both(b)
    return Model([a, b], [b5, L.Dense(2)(L.Concatenate()([a5, b3])), a3])


@nested
def nested_in_nested():
    inner = encoder("inner", 8)
    given = Input((8,))
    one = inner(given)
    two = inner(one)
    middle = Model(given, [two, one], name="middle")
    a, b = Input((8,)), Input((8,))
    (p, q), (r, s) = middle(a), middle(b)
    return Model([a, b], [s, L.Dense(2)(L.Concatenate()([p, r])), q])


@nested
def own_outputs():
    inner = encoder("flattened")
    return Model(inner.inputs, [L.Dense(2)(inner.outputs[0]), inner.outputs[0]])


@nested
def a_layer_and_a_model_called_twice():
    a, b = Input((8,)), Input((8,))
    dense = L.Dense(8, name="dense")
    inner = encoder("inner", 8)
    one, two = inner(dense(a)), inner(dense(b))
    return Model([a, b], [L.Dense(2)(two), dense(one), dense(two)])


# Frozen


@frozen
def dense(x):
    return L.Dense(2)(x)


@frozen
def normalized(x):
    return L.BatchNormalization()(x)


@frozen
def steps(x):
    return L.TimeDistributed(L.Dense(2))(x)


@frozen
def steps_of_steps(x):
    return L.TimeDistributed(L.TimeDistributed(L.Dense(2)))(L.Reshape((5, 2, 3))(x))


@frozen
def steps_of_a_stack(x):
    return L.TimeDistributed(stack("steps", (2, 1), (6,)))(x)


@frozen
def steps_of_a_frozen_dense(x):
    return L.TimeDistributed(L.Dense(2, trainable=False))(x)


@frozen
def both_ways(x):
    return L.Bidirectional(L.LSTM(2))(x)


@frozen
def both_ways_of_a_frozen_one(x):
    return L.Bidirectional(L.LSTM(2, trainable=False))(x)


@frozen
def recurrent(x):
    return L.LSTM(2)(x)


@frozen
def cells(x):
    return L.RNN([L.LSTMCell(2), L.GRUCell(3)])(x)


@frozen
def cell(x):
    return L.RNN(L.SimpleRNNCell(2))(x)


@frozen
def convolved(x):
    return L.ConvLSTM2D(2, 1)(L.Reshape((5, 6, 1, 1))(x))


@frozen
def attention(x):
    return L.MultiHeadAttention(1, 2)(x, x)


@frozen
def grouped(x):
    return L.GroupQueryAttention(2, 2, 1)(x, x)


@frozen
def spectral(x):
    return L.SpectralNormalization(L.Dense(2))(x)


@frozen
def adapted(x):
    return L.Dense(2, lora_rank=1)(x)


@frozen
def functional(x):
    given = Input((5, 6))
    y = L.BatchNormalization()(L.Dense(3)(given))
    return Model(given, L.Dense(2)(y), name="within")(x)


@frozen
def stacked(x):
    inner = stack("deep", (2,), (5, 3))
    return Sequential([stack("shallow", (3,), (5, 6)), inner], name="outer")(x)


@frozen
def head_of_a_frozen_base(x):
    base = stack("base", (3, 2), (5, 6))
    base.trainable = False
    base.layers[-1].trainable = True
    return base(x)


@frozen
def frozen_base(x):
    given = Input((5, 6))
    base = Model(given, L.Bidirectional(L.GRU(2))(L.Dense(3)(given)), name="base")
    base.trainable = False
    return L.Dense(2)(base(x))


ONLY = {
    "grouped": IS_3,
    "adapted": IS_3,
    "attention": HAS_TF,
    "spectral": IS_3,  # of which Keras 2.15 cannot read its own text
    "convolved": HAS_TF,
}


def configurations(data, place=()):
    """The places of all configurations that say whether they are trainable."""
    if isinstance(data, dict):
        if isinstance(data.get("trainable"), bool) and data.get("name"):
            yield place
        for key, value in data.items():
            yield from configurations(value, (*place, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from configurations(value, (*place, index))


def read(data):
    keras.backend.clear_session()
    return keras.models.model_from_json(json.dumps(data))


def facts(data):
    found = read(data)
    trained = {id(weight) for weight in found.trainable_weights}
    return [
        {
            "name": weight.name.partition(":")[0].rpartition("/")[2],
            "shape": [int(size) for size in weight.shape],
            "trainable": id(weight) in trained,
        }
        for weight in found.weights
    ]


def with_false(data, place):
    copied = json.loads(json.dumps(data))
    at = copied
    for key in place:
        at = at[key]
    at["trainable"] = False
    return copied


def main():
    found = {}
    for name, build in NESTED.items():
        keras.backend.clear_session()
        data = json.loads(build().to_json())
        found[name] = {"json": data, "weights": facts(data)}
    for name, build in FROZEN.items():
        if not ONLY.get(name, True):
            continue
        keras.backend.clear_session()
        given = Input((5, 6))
        data = json.loads(Model(given, build(given)).to_json())
        entry = found[name] = {"json": data, "weights": facts(data), "frozen": []}
        for place in configurations(data):
            if data_at(data, place).get("batch_shape") is None:
                weights = facts(with_false(data, place))
                trained = [weight["shape"] for weight in weights if weight["trainable"]]
                entry["frozen"].append([list(place), trained])
    every = json.loads(gzip.decompress(FACTS.read_bytes())) if FACTS.exists() else {}
    every[VERSION] = found
    content = json.dumps(every, sort_keys=True).encode()
    FACTS.write_bytes(packed(content))
    print(VERSION, len(found), "models")


def packed(content):
    """The same bytes for the same content, as ``gzip.compress`` of Python 3.7 does not give."""
    import io

    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(content)
    return stream.getvalue()


def data_at(data, place):
    for key in place:
        data = data[key]
    return data


if __name__ == "__main__":
    main()
