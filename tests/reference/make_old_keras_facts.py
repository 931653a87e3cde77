"""Write down what releases of Keras before 2.3 make of models, as old_keras_facts.json.

Run it once in an environment of each release; each run replaces its own entry of the file:

    Python 3.6: pip install keras==1.2.2 tensorflow==1.2.1 "numpy<1.17" "protobuf<3.18"
    Python 3.6: pip install keras==2.1.6 tensorflow==1.8.0 "numpy<1.17" "protobuf<3.18"
    Python 3.7: pip install keras==2.2.4 tensorflow==1.15.5 "numpy<1.19" "protobuf<3.21"
    python make_old_keras_facts.py

An entry of ``models`` holds the text of ``to_json()`` and, of every weight, its layer, role and shape,
and the mean square, the largest and the least of its first values. An entry of ``calls`` holds a
layer's configuration and what it makes of weights and an input that are known (:func:`waves`).
initcli and its tests need none of this: they read the facts alone.
"""

import json
import os
import re
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

K, L = keras.backend, keras.layers
Model, Sequential = keras.models.Model, keras.models.Sequential

FILE = Path(__file__).parent / "old_keras_facts.json"
FIRST = keras.__version__.startswith("1.")
THERE = ("th", "tf") if FIRST else ("channels_first", "channels_last")
np.random.seed(0)


def waves(shape, phase):
    """Values that anybody can make again."""
    count = int(np.prod(shape))
    return (0.5 * np.sin(0.37 * np.arange(count) + phase)).reshape(shape)


ROLES = {
    "W": "kernel",
    "U": "recurrent_kernel",
    "b": "bias",
    "alphas": "alpha",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}


def role(layer, name):
    """What a weight is for, in the words of Keras 3; the matrices of all gates have one."""
    name = name.split(":")[0].split("/")[-1]
    for word, now in ROLES.items():
        found = re.search("(^|_)" + word + "(_[ifcozrh]|_carry)?$", name)
        if found:
            carry = "carry_" if found.group(2) == "_carry" else ""
            return carry + ("embeddings" if isinstance(layer, L.Embedding) else now)
    return re.sub("^" + layer.name + "_|_[0-9]+$", "", name)


def gate(name):
    """The gate that a weight is of alone, if it is."""
    found = re.search("_[WUb]_([ifcozrh])$", name.split(":")[0])
    return found.group(1) if found else ""


def layers_of(model):
    """The layers, those of the branches of a Merge among them."""
    for layer in model.layers:
        for branch in getattr(layer, "layers", None) or ():
            if isinstance(branch, Model):
                yield from layers_of(branch)
        yield layer


def facts_of(model):
    layers = list(layers_of(model))
    shapes = {
        layer.name: [n if n is None else int(n) for n in layer.output_shape] for layer in layers
    }
    return {"json": json.loads(model.to_json()), "weights": weights_of(layers), "shapes": shapes}


def built(layer, shape):
    """The facts of a layer that only a GPU can call."""
    layer.build((None, *shape))
    config = dict(layer.get_config(), batch_input_shape=[None, *shape])
    config = [{"class_name": type(layer).__name__, "config": config}]
    whole = {"class_name": "Sequential", "keras_version": keras.__version__, "config": config}
    return {"json": whole, "weights": weights_of([layer]), "shapes": {}}


def weights_of(layers):
    weights = []
    for layer in layers:
        for variable, value in zip(layer.weights, K.batch_get_value(layer.weights)):
            weights.append(
                {
                    "layer": layer.name,
                    "role": role(layer, variable.name),
                    "shape": list(value.shape),
                    "square": float(np.mean(np.square(value, dtype="float64"))),
                    "most": float(value.max()),
                    "least": float(value.min()),
                }
            )
    return weights


def called(layer, shape):
    model = Sequential([layer])
    values = [waves(w.shape, k + 1) for k, w in enumerate(model.get_weights())]
    model.set_weights(values)
    config = json.loads(model.to_json())["config"]
    found = model.predict(waves((2, *shape), 0.0))
    return {
        "config": config[0] if isinstance(config, list) else config["layers"][0],
        "weights": [
            [role(layer, w.name), gate(w.name), list(v.shape)]
            for w, v in zip(model.weights, values)
        ],
        "shape": list(shape),
        "output": np.round(found.astype("float64"), 6).tolist(),
    }


def first_models():
    th, tf = THERE
    c2 = lambda n, k, o, init, **a: L.Convolution2D(n, k, k, dim_ordering=o, init=init, **a)  # noqa: E731
    yield (
        "conv_tf",
        Sequential(
            [
                c2(24, 3, tf, "glorot_normal", input_shape=(12, 12, 16), border_mode="same"),
                L.MaxPooling2D((2, 2), dim_ordering=tf),
                c2(48, 3, tf, "orthogonal", subsample=(2, 1)),
                L.ZeroPadding2D((2, 1), dim_ordering=tf),
                L.BatchNormalization(),
                L.AtrousConvolution2D(
                    32,
                    3,
                    3,
                    atrous_rate=(2, 2),
                    dim_ordering=tf,
                    init="he_uniform",
                    border_mode="same",
                ),
                L.SeparableConvolution2D(
                    72, 3, 3, dim_ordering=tf, depth_multiplier=2, border_mode="same"
                ),
                L.UpSampling2D((2, 2), dim_ordering=tf),
                L.Flatten(),
                L.Dense(64, init="he_normal", activation="relu"),
                L.Dropout(0.5),
                L.Dense(16, init="lecun_uniform", bias=False),
            ]
        ),
    )
    yield (
        "conv_th",
        Sequential(
            [
                c2(24, 3, th, "glorot_normal", input_shape=(16, 12, 12)),
                c2(32, 3, th, "orthogonal"),
                L.AveragePooling2D((2, 2), dim_ordering=th),
                L.Flatten(),
                L.Dense(20, init="normal"),
                L.PReLU(),
            ]
        ),
    )
    yield (
        "conv_1d_3d",
        Sequential(
            [
                L.Embedding(500, 20, input_length=40, dropout=0.0),
                L.Convolution1D(
                    64, 5, init="glorot_uniform", border_mode="same", subsample_length=2
                ),
                L.Convolution1D(48, 3, init="he_normal"),
                L.MaxPooling1D(2),
                L.LocallyConnected1D(16, 3, init="glorot_uniform"),
                L.GlobalMaxPooling1D(),
                L.Highway(activation="relu"),
                L.MaxoutDense(32, nb_feature=5),
            ]
        ),
    )
    yield (
        "conv_3d",
        Sequential(
            [
                L.Convolution3D(
                    16, 2, 3, 4, dim_ordering=tf, input_shape=(6, 7, 8, 12), init="he_uniform"
                ),
                L.MaxPooling3D((1, 2, 2), dim_ordering=tf),
            ]
        ),
    )
    yield (
        "recurrent",
        Sequential(
            [
                L.LSTM(32, input_shape=(7, 24), return_sequences=True),
                L.GRU(
                    40,
                    return_sequences=True,
                    init="he_normal",
                    inner_init="orthogonal",
                    consume_less="mem",
                ),
                L.LSTM(32, consume_less="gpu", return_sequences=True, forget_bias_init="zero"),
                L.TimeDistributed(L.Dense(48, init="glorot_normal")),
                L.Bidirectional(L.GRU(24, return_sequences=True, consume_less="gpu")),
                L.SimpleRNN(64, inner_init="orthogonal"),
            ]
        ),
    )
    a = L.Input((32,))
    b = L.Dense(32, activation="tanh")(a)
    x = L.merge([a, b], mode="sum")
    x = L.merge([x, b, a], mode="concat", concat_axis=-1)
    y = L.merge([a, b], mode="dot", dot_axes=1)
    yield "merges", Model([a], [L.Dense(64, init="uniform")(x), y])
    yield "branches", branches()


def branches():
    one, two = Sequential(), Sequential()
    one.add(L.Dense(24, input_dim=16))
    two.add(L.Dense(40, input_dim=12))
    both = Sequential()
    both.add(L.Merge([one, two], mode="concat"))
    both.add(L.Dense(30))
    return both


def second_models():
    normal = ("he_normal", "glorot_normal", "lecun_normal")
    yield (
        "normals",
        Sequential(
            [
                L.Dense(
                    96,
                    input_shape=(80,),
                    kernel_initializer=normal[0],
                    bias_initializer="glorot_uniform",
                ),
                L.Dense(72, kernel_initializer=normal[1]),
                L.Dense(72, kernel_initializer=normal[2]),
                L.Dense(72, kernel_initializer=keras.initializers.TruncatedNormal(0.0, 0.1)),
                L.Dense(
                    72,
                    kernel_initializer=keras.initializers.VarianceScaling(0.5, "fan_out", "normal"),
                ),
                L.Dense(72, kernel_initializer="orthogonal"),
            ]
        ),
    )
    yield (
        "recurrent",
        Sequential(
            [
                L.LSTM(32, input_shape=(7, 24), return_sequences=True),
                L.GRU(40, return_sequences=True),
                L.Bidirectional(L.GRU(24, return_sequences=True)),
                L.SimpleRNN(64),
            ]
        ),
    )
    yield (
        "local",
        Sequential(
            [
                L.LocallyConnected2D(8, (3, 2), strides=(1, 2), input_shape=(8, 9, 4)),
                L.Reshape((24, 8)),
                L.LocallyConnected1D(16, 3, kernel_initializer="he_normal"),
                L.ThresholdedReLU(0.3),
                L.LeakyReLU(),
                L.PReLU(),
                L.ELU(0.5),
            ]
        ),
    )
    yield (
        "local_first",
        Sequential(
            [
                L.LocallyConnected2D(8, 3, data_format="channels_first", input_shape=(4, 8, 9)),
            ]
        ),
    )
    yield (
        "conv",
        Sequential(
            [
                L.Conv1D(32, 5, input_shape=(30, 24), kernel_initializer="he_normal"),
                L.SeparableConv1D(32, 3),
                L.Reshape((4, 6, 32)),
                L.Conv2DTranspose(24, 3, strides=2),
                L.Reshape((9, 13, 3, 8)),
                L.Conv3D(24, (2, 3, 3)),
                L.BatchNormalization(),
            ]
        ),
    )
    if not keras.__version__.startswith("2.2"):
        yield "branches", branches()


def calls():
    if FIRST:
        yield "lstm", called(L.LSTM(3, input_shape=(5, 4)), (5, 4))
        yield "gru", called(L.GRU(3, input_shape=(5, 4)), (5, 4))
    else:
        yield "gru", called(L.GRU(3, input_shape=(5, 4)), (5, 4))
        yield "lstm", called(L.LSTM(3, input_shape=(5, 4)), (5, 4))
        yield "thresholded", called(L.ThresholdedReLU(0.2, input_shape=(9,)), (9,))
        yield "hard_sigmoid", called(L.Activation("hard_sigmoid", input_shape=(9,)), (9,))
    local = {"init": "zero"} if FIRST else {}
    yield "local_1d", called(L.LocallyConnected1D(3, 2, input_shape=(6, 4), **local), (6, 4))
    for where, shape in zip(THERE, ((2, 5, 6), (5, 6, 2))):
        if FIRST:
            layer = L.LocallyConnected2D(3, 2, 3, dim_ordering=where, input_shape=shape)
        else:
            layer = L.LocallyConnected2D(3, (2, 3), data_format=where, input_shape=shape)
        yield "local_2d_" + where, called(layer, shape)
    if FIRST:
        yield "highway", called(L.Highway(input_shape=(5,), activation="tanh"), (5,))
        yield "maxout", called(L.MaxoutDense(3, nb_feature=2, input_shape=(5,)), (5,))


def calls_of_tensorflow():
    """Locally connected layers in all their implementations, as TensorFlow 1.15 has them."""
    import tensorflow

    T = tensorflow.keras.layers

    global Sequential
    ours, Sequential = Sequential, tensorflow.keras.Sequential
    for number in (1, 2, 3):
        for where, shape in zip(THERE, ((2, 5, 6), (5, 6, 2))):
            padding = "valid" if number == 1 else "same"
            layer = T.LocallyConnected2D(
                3,
                (2, 3),
                (1, 2),
                padding,
                data_format=where,
                implementation=number,
                input_shape=shape,
            )
            yield f"local_2d_{number}_{where}", called(layer, shape)
        layer = T.LocallyConnected1D(3, 2, 2, implementation=number, input_shape=(7, 4))
        yield f"local_1d_{number}", called(layer, (7, 4))
    yield "gru", called(T.GRU(3, input_shape=(5, 4), reset_after=True), (5, 4))
    Sequential = ours


def main():
    facts = json.loads(FILE.read_text()) if FILE.exists() else {}
    models = first_models() if FIRST else second_models()
    facts[keras.__version__] = {
        "models": {name: facts_of(model) for name, model in models},
        "calls": dict(calls()),
    }
    if keras.__version__ == "2.2.4":
        facts["2.2.4-tf"] = {"models": {}, "calls": dict(calls_of_tensorflow())}
    if not FIRST:
        found = facts[keras.__version__]["models"]
        found["cudnn_lstm"] = built(L.CuDNNLSTM(32), (7, 24))
        found["cudnn_lstm_zero"] = built(L.CuDNNLSTM(32, unit_forget_bias=False), (7, 24))
        found["cudnn_gru"] = built(L.CuDNNGRU(32), (7, 24))
    text = json.dumps(facts, separators=(",", ":"), sort_keys=True)
    FILE.write_text(text + "\n")


main()
