"""Write down what the real Keras 2 makes of whole models, as keras2_models.json.gz.

Install the public packages in an environment of their own, then run from any directory:

    pip install tensorflow-cpu==2.15.1 "numpy<2"
    python make_keras2_facts.py

Each entry holds the text of the model's ``to_json()``, every layer, and every weight in the order
in which Keras 2 lists those of a layer. initcli and its tests need none of this: they read the
facts alone.
"""

import gzip
import json
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from keras.src.engine import base_layer
from tensorflow import keras

HERE = Path(__file__).parent
K = keras
L, I = K.layers, K.initializers  # noqa: E741
MADE = {}  # id of variable -> (short name, initializer)
KEEP = []
_add = base_layer.Layer.add_weight


def add_weight(self, name=None, shape=None, dtype=None, initializer=None, *a, **k):
    v = _add(self, name, shape, dtype, initializer, *a, **k)
    KEEP.append(v)
    given = initializer
    if given is None:
        d = tf.as_dtype(dtype or self.dtype or "float32")
        given = "glorot_uniform" if d.is_floating else "zeros"
    MADE[key(v)] = (name, I.get(given))
    return v


def key(v):
    v = getattr(v, "_variable", v)  # an AutoCastVariable
    return id(v)


base_layer.Layer.add_weight = add_weight


def describe(init):
    if init is None:
        return None
    if (
        getattr(init, "__name__", "") == "bias_initializer"
    ):  # Keras's own local function: zeros, and ones for the forget gate
        return {"type": "Zeros", "unit_forget_bias": True}
    if not hasattr(init, "get_config"):
        return {"type": getattr(init, "__name__", type(init).__name__)}
    try:
        config = init.get_config()
    except NotImplementedError:
        config = {}

    def plain(x):
        if isinstance(x, (np.ndarray, np.generic)):
            return x.tolist()
        if isinstance(x, (list, tuple)):
            return [plain(e) for e in x]
        return x

    return {
        "type": type(init).__name__,
        **{k: plain(v) for k, v in config.items() if v is not None and k != "seed"},
    }


def find_path(layer, variable, seen=None):
    """Layer names from the layer down to the variable's owner."""
    own = list(layer._trainable_weights + layer._non_trainable_weights)
    if any(key(v) == key(variable) for v in own):
        return [layer.name]
    for inner in layer._flatten_layers(recursive=False, include_self=False):
        found = find_path(inner, variable)
        if found:
            return [layer.name, *found]
    return None


def shapes(tensors):
    flat = tf.nest.flatten(tensors)
    out = [None if t.shape.rank is None else t.shape.as_list() for t in flat]
    return (
        out[0]
        if len(out) == 1 and not isinstance(tensors, (list, tuple, dict))
        else (out[0] if len(out) == 1 else out)
    )


def facts(model):
    layers = []
    nodes = getattr(model, "_network_nodes", None)
    for layer in model.layers:
        shape = None
        for index, node in enumerate(layer._inbound_nodes):
            if nodes is None or f"{layer.name}_ib-{index}" in nodes:
                shape = shapes(node.outputs)
                break
        layers.append(
            {
                "name": layer.name,
                "type": type(layer).__name__,
                "output_shape": shape,
                "params": layer.count_params(),
            }
        )
    trainable = {key(v) for v in model.trainable_weights}
    weights = []
    seen = set()
    for layer in model.layers:
        for v in layer.weights:
            if key(v) in seen or not hasattr(v, "name"):  # a vocabulary is no variable
                continue
            seen.add(key(v))
            path = find_path(layer, v) or ["?"]
            short, init = MADE.get(key(v), (None, None))
            short = v.name.split(":")[0].rpartition("/")[2] if short is None else short
            weights.append(
                {
                    "path": "/".join([*path, short]),
                    "shape": v.shape.as_list(),
                    "trainable": key(v) in trainable,
                    "dtype": v.dtype.base_dtype.name
                    if not hasattr(v, "true_dtype")
                    else v._variable.dtype.name,
                    "initializer": describe(init),
                }
            )

    def count(ws):
        return int(sum(np.prod(w["shape"], dtype=int) for w in ws))

    return {
        "layers": layers,
        "weights": weights,
        "params": count(weights),
        "trainable": count([w for w in weights if w["trainable"]]),
        "non_trainable": count([w for w in weights if not w["trainable"]]),
    }


MODELS = {}


def model(f):
    MODELS[f.__name__] = f
    return f


@model
def mobilenet_v2():
    return K.applications.MobileNetV2(weights=None)


@model
def resnet50():
    return K.applications.ResNet50(weights=None)


@model
def mobilenet_v3_small():
    return K.applications.MobileNetV3Small(weights=None)


@model
def mlp_initializers():
    return K.Sequential(
        [
            L.Dense(
                64,
                activation="relu",
                input_shape=(20,),
                kernel_initializer=I.HeNormal(seed=3),
                bias_initializer=I.Constant(0.1),
            ),
            L.Dense(
                48,
                activation="tanh",
                kernel_initializer=I.RandomUniform(-0.2, 0.2),
                bias_initializer=I.RandomNormal(mean=0.5, stddev=0.01),
            ),
            L.Dense(48, kernel_initializer=I.Orthogonal(gain=1.5)),
            L.Dense(48, kernel_initializer=I.Identity(gain=0.5), bias_initializer="ones"),
            L.Dropout(0.25),
            L.Dense(32, kernel_initializer=I.VarianceScaling(2.0, "fan_out", "untruncated_normal")),
            L.Dense(32, kernel_initializer=I.VarianceScaling(0.5, "fan_avg", "uniform")),
            L.Dense(
                16,
                kernel_initializer=I.TruncatedNormal(stddev=0.02),
                kernel_regularizer=K.regularizers.l2(1e-4),
            ),
            L.Dense(
                16,
                kernel_initializer="lecun_uniform",
                activation=tf.nn.relu,
                kernel_constraint=K.constraints.MaxNorm(2),
            ),
            L.Dense(
                8, kernel_initializer=tf.initializers.GlorotNormal(), activation=K.activations.selu
            ),
            L.Dense(4, kernel_initializer=tf.constant_initializer(0.25), activation="softmax"),
        ],
        name="mlp",
    )


@model
def lstm_imdb():
    return K.Sequential(
        [
            L.Embedding(20000, 128, input_length=80),
            L.SpatialDropout1D(0.2),
            L.LSTM(64, dropout=0.2, recurrent_dropout=0.2),
            L.Dense(1, activation="sigmoid"),
        ]
    )


@model
def bidirectional_lstm():
    return K.Sequential(
        [
            L.Bidirectional(L.LSTM(10, return_sequences=True), input_shape=(5, 10)),
            L.Bidirectional(L.LSTM(10), merge_mode="sum"),
            L.Dense(5, activation="softmax"),
        ]
    )


@model
def gru():
    return K.Sequential(
        [
            K.Input((None, 8)),
            L.GRU(16, return_sequences=True, reset_after=True),
            L.GRU(16, return_sequences=True, reset_after=False, implementation=1),
            L.SimpleRNN(12, return_sequences=True),
            L.RNN([L.LSTMCell(5), L.GRUCell(6)]),
            L.Dense(1),
        ]
    )


@model
def multi_input():
    a, b = K.Input((10,), name="main"), K.Input((4,), name="extra", dtype="float32")
    ids = K.Input((), dtype="int32", name="ids")
    e = L.Embedding(50, 6)(ids)
    x = L.concatenate([L.Dense(8, activation="relu")(a), b, e])
    x = L.BatchNormalization(momentum=0.9)(x)
    y = L.Dense(3, name="aux")(x)
    z = L.add([L.Dense(3)(x), y])
    return K.Model([a, b, ids], [z, y], name="two_heads")


@model
def dict_inputs():
    a, b = K.Input((10,), name="zulu"), K.Input((4,), name="alpha")
    x = L.Concatenate()([a, b])
    return K.Model(
        {"zulu": a, "alpha": b}, {"q": L.Dense(2, name="q")(x), "p": L.Dense(3, name="p")(x)}
    )


@model
def siamese_lambda():
    base = K.Sequential(
        [
            L.Flatten(input_shape=(28, 28)),
            L.Dense(128, activation="relu"),
            L.Dropout(0.1),
            L.Dense(128, activation="relu"),
        ],
        name="base",
    )
    a, b = K.Input((28, 28)), K.Input((28, 28))
    p, q = base(a), base(b)

    def distance(v):
        x, y = v
        return tf.sqrt(tf.reduce_sum(tf.square(x - y), axis=1, keepdims=True))

    d = L.Lambda(distance, output_shape=lambda s: (s[0][0], 1))([p, q])
    d = L.Lambda(lambda t: t * 2.0, name="twice")(d)
    return K.Model([a, b], d)


@model
def shared_layers():
    a, b = K.Input((16, 4)), K.Input((16, 4))
    lstm = L.LSTM(8, name="shared")
    norm = L.LayerNormalization(name="norm")
    p, q = norm(lstm(a)), norm(lstm(b))
    r = L.Dense(4, name="head")
    return K.Model([a, b], L.concatenate([r(p), r(q), r(L.multiply([p, q]))]))


@model
def nested():
    i = K.Input((8,))
    inner = K.Model(i, L.Dense(4, name="d")(L.Dense(6, name="c")(i)), name="inner")
    j = K.Input((8,), name="j")
    seq = K.Sequential([L.Dense(8, name="e"), L.BatchNormalization(name="bn")], name="seq")
    mid_in = K.Input((8,))
    mid = K.Model(mid_in, [inner(seq(mid_in)), inner(mid_in)], name="middle")
    u, v = mid(j)
    w = inner(j)
    out = L.Dense(1, name="out")(L.Concatenate()([u, v, w]))
    return K.Model(j, out, name="outer")


@model
def nested_sequential():
    base = K.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(96, 96, 3), alpha=0.35
    )
    base.trainable = False
    return K.Sequential([base, L.GlobalAveragePooling2D(), L.Dense(10)])


@model
def transfer_augment():
    aug = K.Sequential(
        [
            L.RandomFlip("horizontal"),
            L.RandomRotation(0.1),
            L.RandomZoom(0.2),
            L.RandomContrast(0.2),
            L.RandomTranslation(0.1, 0.1),
            L.RandomBrightness(0.1),
        ],
        name="augment",
    )
    base = K.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(64, 64, 3))
    base.trainable = False
    i = K.Input((64, 64, 3))
    x = base(aug(i), training=False)
    x = L.GlobalAveragePooling2D()(x)
    return K.Model(i, L.Dense(5)(x))


@model
def seq2seq():
    e = K.Input((None, 71))
    _, h, c = L.LSTM(256, return_state=True)(e)
    d = K.Input((None, 93))
    y, _, _ = L.LSTM(256, return_sequences=True, return_state=True)(d, initial_state=[h, c])
    g = L.GRU(16, return_sequences=True)(y, initial_state=L.Dense(16)(h))
    return K.Model([e, d], L.Dense(93, activation="softmax")(g))


@model
def transformer_block():
    i = K.Input((32,), dtype="int32")
    pos = tf.range(start=0, limit=32, delta=1)
    x = L.Embedding(1000, 64, mask_zero=True)(i) + L.Embedding(32, 64)(pos)
    a = L.MultiHeadAttention(4, 16)(x, x)
    x = L.LayerNormalization(epsilon=1e-6)(x + a)
    m = L.MultiHeadAttention(4, 16, value_dim=8, output_shape=64, use_bias=False)(
        query=x, value=x, key=x, use_causal_mask=True
    )
    x = L.LayerNormalization(epsilon=1e-6)(L.Add()([x, m]))
    f = L.Dense(64)(L.Dense(128, activation="gelu")(x))
    x = x + L.Dropout(0.1)(f)
    x, _scores = L.MultiHeadAttention(2, 8)(x, x, return_attention_scores=True)
    return K.Model(i, L.Dense(2)(L.GlobalAveragePooling1D()(x)))


@model
def tf_operations():
    i, j = K.Input((8, 6)), K.Input((8, 6))
    x = i + j
    x = tf.nn.relu(x) * 2.0 - 1.0
    x = 1.0 / (1.0 + tf.exp(-x))
    s = x[:, 2:6, ::2]
    t = x[:, -1]
    n = x[:, tf.newaxis, ..., 0]
    r = tf.reshape(x, (-1, 48))
    r2 = tf.reshape(x, [tf.shape(x)[0], 4, 12])
    m = tf.reduce_mean(x, axis=1, keepdims=False)
    c = tf.concat([t, m], axis=-1)
    tr = tf.transpose(x, perm=[0, 2, 1])
    mm = tf.matmul(x, tr)
    mt = tf.matmul(x, j, transpose_b=True)
    ex = tf.expand_dims(m, 1)
    sq = tf.squeeze(ex, axis=[1])
    st = tf.stack([t, m], axis=1)
    sp = tf.split(x, 2, axis=-1)
    a = tf.add_n([t, m])
    ca = tf.cast(a, "float32")
    w = tf.where(ca > 0.0, ca, tf.zeros_like(ca))
    e = tf.einsum("bij,bkj->bik", x, j)
    mx = tf.maximum(t, m)
    k = K.backend.mean(x, axis=-1)
    l2 = tf.linalg.norm(x, axis=-1)
    n2 = tf.math.l2_normalize(x, axis=-1)
    p = tf.pad(x, [[0, 0], [1, 1], [0, 0]])
    ti = tf.tile(x, [1, 2, 1])
    oh = tf.one_hot(tf.cast(tf.argmax(x, axis=-1), "int32"), 6)
    ga = tf.gather(x, [0, 2], axis=1)
    us = tf.unstack(x, axis=1)
    cl = tf.clip_by_value(x, 0.0, 1.0)
    po = x**2
    ab = abs(x)
    sh = tf.image.resize(tf.expand_dims(x, -1), (16, 12))
    outs = [
        s,
        t,
        n,
        r,
        r2,
        m,
        c,
        mm,
        mt,
        sq,
        st,
        *sp,
        w,
        e,
        mx,
        k,
        l2,
        n2,
        p,
        ti,
        oh,
        ga,
        us[0],
        cl,
        po,
        ab,
        sh,
    ]
    return K.Model([i, j], [*outs, L.Dense(3)(c), L.Dense(2)(s)])


@model
def tf_constants():
    i = K.Input((4, 6))
    c = tf.constant(np.arange(6, dtype="float32"))
    x = c + i
    y = tf.math.subtract(1.0, x)
    z = tf.concat([tf.ones((1, 4, 6)), i], axis=0)
    w = tf.matmul(i, tf.constant(np.ones((6, 3), "float32")))
    v = L.Multiply()([i, tf.constant(np.ones((1, 4, 6), "float32"))])
    q = L.Dense(3)(tf.cast(x, tf.float32))
    return K.Model(i, [y, z, w, v, q])


@model
def class_methods():
    i = K.Input((8,), dtype="float32")
    r = K.Input((None,), ragged=True, dtype="int64")
    t = r.to_tensor(default_value=0, shape=(None, 8))
    e = L.Embedding(10, 4)(t)
    return K.Model([i, r], L.concatenate([L.Dense(4)(i), L.GlobalAveragePooling1D()(e)]))


@model
def leaky_and_friends():
    i = K.Input((16, 16, 3))
    x = L.Conv2D(8, 3, padding="same")(i)
    x = L.LeakyReLU(alpha=0.2)(x)
    x = L.BatchNormalization(axis=-1, momentum=0.8, epsilon=1e-4, center=False)(x)
    x = L.ReLU(max_value=6.0, negative_slope=0.1, threshold=0.5)(x)
    x = L.ELU(alpha=0.7)(x)
    x = L.ThresholdedReLU(theta=0.5)(x)
    x = L.PReLU(shared_axes=[1, 2], alpha_initializer=I.Constant(0.25))(x)
    x = L.PReLU()(x)
    x = L.Softmax(axis=-1)(x)
    x = L.BatchNormalization(synchronized=True)(x)
    x = L.experimental.SyncBatchNormalization()(x)
    x = L.LayerNormalization(axis=[1, 2, 3])(x)
    x = L.GroupNormalization(groups=2)(x)
    x = L.UnitNormalization()(x)
    x = L.Conv2DTranspose(4, 3, strides=2, padding="same", output_padding=1)(x)
    x = L.SeparableConv2D(6, 3)(x)
    x = L.DepthwiseConv2D(3, depth_multiplier=2)(x)
    x = L.Conv2D(12, 1, groups=3, dilation_rate=1)(x)
    x = L.LocallyConnected2D(2, 3, implementation=1)(x)
    x = L.ZeroPadding2D(((1, 0), (0, 1)))(x)
    x = L.Cropping2D(1)(x)
    x = L.UpSampling2D(2, interpolation="bilinear")(x)
    x = L.MaxPool2D()(x)
    x = L.GlobalMaxPool2D(keepdims=True)(x)
    x = L.Activation("swish")(x)
    x = L.Activation(tf.nn.silu)(x)
    x = L.Activation(tf.nn.leaky_relu)(x)
    x = L.Dense(4, activation=L.LeakyReLU(0.3))(x)
    x = L.GaussianNoise(0.1)(x)
    x = L.AlphaDropout(0.1)(x)
    x = L.ActivityRegularization(l1=0.1)(x)
    x = (
        L.SpectralNormalization(L.Dense(3))(x)
        if hasattr(L, "SpectralNormalization")
        else L.Dense(3)(x)
    )
    return K.Model(i, x)


@model
def conv_family():
    i = K.Input((32, 4))
    x = L.Conv1D(8, 3, padding="causal", dilation_rate=2)(i)
    x = L.SeparableConv1D(6, 3)(x)
    x = L.DepthwiseConv1D(3)(x)
    x = L.Conv1DTranspose(4, 3, strides=2)(x)
    x = L.LocallyConnected1D(3, 3)(x)
    x = L.AveragePooling1D(2)(x)
    x = L.ZeroPadding1D(1)(x)
    x = L.Cropping1D((1, 0))(x)
    x = L.UpSampling1D(2)(x)
    x = L.Permute((2, 1))(x)
    x = L.RepeatVector(3)(L.Flatten()(x))
    x = L.Reshape((3, 4, -1, 1))(x)
    x = L.Conv3D(2, 2)(x)
    x = L.Conv3DTranspose(2, 2)(x)
    x = L.MaxPooling3D((1, 2, 2))(x)
    x = L.GlobalAveragePooling3D()(x)
    return K.Model(i, x)


@model
def mixed_float16():
    K.mixed_precision.set_global_policy("mixed_float16")
    try:
        i = K.Input((32, 32, 3))
        x = L.Conv2D(8, 3)(i)
        x = L.BatchNormalization()(x)
        x = L.Activation("relu")(x)
        x = L.GlobalAveragePooling2D()(x)
        x = L.Dense(10)(x)
        return K.Model(i, L.Activation("softmax", dtype="float32")(x))
    finally:
        K.mixed_precision.set_global_policy("float32")


@model
def dtypes():
    i = K.Input((6,), dtype="float64")
    x = L.Dense(4, dtype="float64")(i)
    x = L.Dense(3, dtype=K.mixed_precision.Policy("mixed_bfloat16"))(x)
    x = L.Dense(2, dtype="float16")(x)
    return K.Model(i, x)


@model
def stateful_rnn():
    return K.Sequential(
        [
            L.LSTM(32, return_sequences=True, stateful=True, batch_input_shape=(16, 8, 4)),
            L.GRU(8, stateful=True),
            L.Dense(1),
        ]
    )


@model
def time_distributed():
    return K.Sequential(
        [
            L.TimeDistributed(L.Conv2D(8, 3, activation="relu"), input_shape=(10, 32, 32, 3)),
            L.TimeDistributed(L.Flatten()),
            L.TimeDistributed(K.Sequential([L.Dense(6), L.LeakyReLU()])),
            L.LSTM(4),
        ]
    )


@model
def conv_lstm():
    return K.Sequential(
        [
            K.Input((None, 20, 20, 1)),
            L.ConvLSTM2D(8, 3, padding="same", return_sequences=True),
            L.BatchNormalization(),
            L.ConvLSTM2D(4, (3, 3), padding="valid"),
            L.Conv2D(1, 3, data_format="channels_last"),
        ]
    )


@model
def conv_lstm_functional():
    i = K.Input((4, 10, 10, 10, 1))
    x = L.ConvLSTM3D(2, 3)(i)
    x = L.Reshape((8, 64, 2))(x)
    x = L.ConvLSTM1D(2, 3)(x)
    return K.Model(i, x)


@model
def masking():
    return K.Sequential([L.Masking(mask_value=-1.0, input_shape=(12, 5)), L.LSTM(6), L.Dense(1)])


@model
def attention_layers():
    q, v = K.Input((6, 16)), K.Input((9, 16))
    a = L.Attention(use_scale=True)([q, v])
    b = L.Attention(score_mode="concat", dropout=0.1)([q, v, v])
    c = L.AdditiveAttention()([q, v])
    d, s = L.Attention()([q, v], return_attention_scores=True)
    x = L.Concatenate(axis=-1)([a, b, c, d])
    x = L.Dot(axes=1)([x, q])
    y = L.Dot(axes=(2, 2), normalize=True)([q, v])
    z = L.dot([L.Flatten()(x), L.Flatten()(x)], axes=-1)
    return K.Model(
        [q, v],
        [
            x,
            y,
            z,
            s,
            L.Average()([a, c]),
            L.Maximum()([a, c]),
            L.Minimum()([a, c]),
            L.Subtract()([a, c]),
        ],
    )


@K.utils.register_keras_serializable("Mine")
def registered_init(shape, dtype=None):
    return tf.zeros(shape, dtype)


def my_init(shape, dtype=None, **kwargs):
    return tf.random.normal(shape, dtype=dtype)


@K.utils.register_keras_serializable("Mine")
class Half(I.Initializer):
    def __init__(self, value=0.5):
        self.value = value

    def __call__(self, shape, dtype=None, **kwargs):
        return tf.fill(shape, tf.cast(self.value, dtype or tf.float32))

    def get_config(self):
        return {"value": self.value}


@model
def custom_initializer():
    return K.Sequential(
        [
            K.Input((6,)),
            L.Dense(4, kernel_initializer=my_init),
            L.Dense(4, kernel_initializer=registered_init),
            L.Dense(4, kernel_initializer=Half(0.25)),
        ]
    )


@K.utils.register_keras_serializable("Mine")
class Scale(L.Layer):
    def __init__(self, factor=2.0, **k):
        super().__init__(**k)
        self.factor = factor

    def build(self, shape):
        self.w = self.add_weight(name="w", shape=(int(shape[-1]),), initializer="ones")

    def call(self, x):
        return x * self.w * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Unregistered(Scale):
    pass


@K.utils.register_keras_serializable("Mine")
class Sub(K.Model):
    pass


@model
def custom_layers():
    i = K.Input((6,))
    x = Unregistered(3.0)(Scale()(i))
    return Sub(i, L.Dense(2)(x))


@model
def preprocessing_image():
    return K.Sequential(
        [
            L.Resizing(40, 40, input_shape=(None, None, 3)),
            L.CenterCrop(32, 32),
            L.RandomCrop(28, 28),
            L.Rescaling(1 / 127.5, offset=-1.0),
            L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0]),
            L.RandomFlip("horizontal_and_vertical"),
            L.RandomRotation((-0.1, 0.2)),
            L.RandomZoom((-0.2, 0.2), None),
            L.RandomContrast((0.1, 0.2)),
            L.RandomTranslation((-0.1, 0.1), 0.2, fill_mode="constant"),
            L.RandomBrightness((-0.1, 0.1), value_range=(0, 1)),
            L.RandomHeight(0.1),
            L.RandomWidth((-0.1, 0.1)),
            L.Conv2D(4, 3),
            L.GlobalAveragePooling2D(),
        ]
    )


@model
def preprocessing_tabular():
    a = K.Input((3,), name="numeric")
    n = L.Normalization(axis=-1)
    n.adapt(np.random.randn(20, 3).astype("float32"))
    n2 = L.Normalization(axis=None)
    n2.build((None, 3))
    s = K.Input((1,), dtype="string", name="text")
    look = L.StringLookup(vocabulary=["a", "b", "c"], output_mode="one_hot")(s)
    j = K.Input((1,), dtype="int64", name="ints")
    il = L.IntegerLookup(vocabulary=[10, 20, 30], output_mode="multi_hot", num_oov_indices=2)(j)
    ce = L.CategoryEncoding(num_tokens=5, output_mode="one_hot")(j)
    h = L.Hashing(num_bins=7, output_mode="one_hot")(s)
    hc = L.HashedCrossing(num_bins=5, output_mode="one_hot")((s, j))
    d = L.Discretization(bin_boundaries=[-1.0, 0.0, 1.0], output_mode="one_hot")(a[:, :1])
    x = L.concatenate([n(a), n2(a), look, il, ce, h, hc, d])
    return K.Model([a, s, j], L.Dense(1)(x))


@model
def preprocessing_text():
    tv = L.TextVectorization(max_tokens=100, output_sequence_length=12)
    tv.adapt(["the cat sat", "on the mat"])
    return K.Sequential(
        [K.Input((1,), dtype="string"), tv, L.Embedding(100, 8), L.GlobalMaxPooling1D(), L.Dense(1)]
    )


@model
def preprocessing_text_tfidf():
    tv = L.TextVectorization(
        output_mode="multi_hot",
        vocabulary=["a", "b", "c"],
        ngrams=2,
        standardize="lower",
        split="character",
    )
    i = K.Input((), dtype="string")
    return K.Model(i, L.Dense(1)(tv(i)))


@model
def einsum_rnn_wrappers():
    i = K.Input((5, 12))
    x = L.EinsumDense("abc,cd->abd", output_shape=(None, 8), bias_axes="d")(i)
    x = L.Bidirectional(
        L.GRU(4, return_sequences=True),
        backward_layer=L.GRU(5, return_sequences=True, go_backwards=True),
        merge_mode="concat",
    )(x)
    x = L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.LSTMCell(2)]), return_sequences=True)(x)
    x = L.Bidirectional(L.RNN(L.SimpleRNNCell(3)), merge_mode=None)(x)
    return K.Model(i, x)


@model
def frozen():
    return K.Sequential(
        [
            L.Dense(4, input_shape=(3,), trainable=False),
            L.BatchNormalization(trainable=False),
            L.Dense(2),
        ]
    )


@model
def unbuilt_sequential():
    return K.Sequential([L.Dense(4), L.Dense(2)])


@model
def build_shape_sequential():
    m = K.Sequential([L.Flatten(), L.Dense(4), L.Dense(2)])
    m.build((None, 3, 5))
    return m


@model
def add_loss_metric():
    i = K.Input((4,))
    x = L.Dense(3)(i)
    m = K.Model(i, L.Dense(2)(x))
    m.add_loss(tf.reduce_sum(x))
    m.add_metric(tf.reduce_mean(x), name="mm")
    return m


@model
def variational_autoencoder():
    i = K.Input((784,))
    h = L.Dense(64, activation="relu")(i)
    mean, log = L.Dense(2, name="mean")(h), L.Dense(2, name="log")(h)

    def sample(args):
        m, v = args
        return m + K.backend.exp(v / 2) * K.backend.random_normal(shape=(K.backend.shape(m)[0], 2))

    z = L.Lambda(sample, output_shape=(2,), name="z")([mean, log])
    enc = K.Model(i, [mean, log, z], name="encoder")
    li = K.Input((2,), name="z_sampling")
    dec = K.Model(
        li, L.Dense(784, activation="sigmoid")(L.Dense(64, activation="relu")(li)), name="decoder"
    )
    return K.Model(i, dec(enc(i)[2]), name="vae_mlp")


def main():
    """Build every model, and write its text and its facts."""
    found = {}
    for name, make in MODELS.items():
        K.backend.clear_session()
        K.mixed_precision.set_global_policy("float32")
        MADE.clear()
        KEEP.clear()
        built = make()
        text = built.to_json()
        if built.built:
            known = facts(built)
            assert known["params"] == built.count_params(), name
            listed = {key: known[key] for key in ("layers", "weights")}
            found[name] = {"json": json.loads(text), **listed}
            print(name, len(known["weights"]), "weights")
    content = json.dumps({"keras": "2.15.0", "models": found}).encode()
    (HERE / "keras2_models.json.gz").write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main()
