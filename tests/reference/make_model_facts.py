"""Write down what the real Keras 3 makes of whole models, as keras3_models.json.gz.

Install the public packages, then run from any directory:

    pip install keras==3.15.1 jax
    KERAS_BACKEND=jax python make_model_facts.py

Each entry holds the text of the model's ``to_json()`` and, of the model that Keras itself makes of
that text again, every layer and every weight. initcli and its tests need none of this: they read
the facts alone.
"""

import gzip
import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from keras import Input, Sequential, layers, ops
from make_layer_facts import Recorder

HERE = Path(__file__).parent
MODELS = {}


def model(build):
    """Register a function that builds a model."""
    MODELS[build.__name__] = build
    return build


def application(name, **arguments):
    def build():
        return getattr(keras.applications, name)(weights=None, **arguments)

    build.__name__ = keras.src.utils.naming.to_snake_case(name)
    model(build)


for NAME in (
    "MobileNetV2",
    "ResNet50",
    "ResNet50V2",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "DenseNet121",
    "InceptionV3",
    "InceptionResNetV2",
    "Xception",
    "NASNetMobile",
    "ConvNeXtTiny",
    "MobileNet",
    "MobileNetV3Small",
    "VGG16",
):
    application(NAME)


@model
def mlp():
    return Sequential(
        [
            Input((784,)),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(512, activation=keras.activations.gelu, kernel_regularizer="l2"),
            layers.Dense(10, activation="softmax"),
        ]
    )


@model
def initializers_of_every_class():
    make = keras.initializers
    every = [
        make.RandomNormal(0.1, 0.2),
        make.RandomUniform(-1.0, 2.0, seed=3),
        make.TruncatedNormal(stddev=0.3),
        make.VarianceScaling(2.0, "fan_out", "uniform"),
        make.VarianceScaling(1.0, "fan_avg", "untruncated_normal", seed=1),
        make.GlorotNormal(seed=keras.random.SeedGenerator(5)),
        make.GlorotUniform(),
        make.HeNormal(),
        make.HeUniform(),
        make.LecunNormal(),
        make.LecunUniform(),
        make.Orthogonal(gain=2.0),
        make.Identity(),
        make.Constant(0.25),
        "ones",
    ]
    stack = [layers.Dense(6, kernel_initializer=each, bias_initializer="zeros") for each in every]
    return Sequential([Input((6,)), *stack])


@model
def toy_resnet():
    inputs = Input((32, 32, 3), name="img")
    x = layers.Conv2D(32, 3, activation="relu")(inputs)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    first = layers.MaxPooling2D(3)(x)
    x = layers.Conv2D(64, 3, activation="relu", padding="same")(first)
    x = layers.Conv2D(64, 3, activation="relu", padding="same")(x)
    second = layers.add([x, first])
    x = layers.Conv2D(64, 3, activation="relu", padding="same")(second)
    x = layers.BatchNormalization()(x)
    third = layers.add([layers.LeakyReLU()(x), second])
    x = layers.GlobalAveragePooling2D()(third)
    return keras.Model(inputs, layers.Dense(10)(layers.Dropout(0.5)(x)), name="toy_resnet")


@model
def tickets():
    title = Input((None,), name="title", dtype="int32")
    body = Input((None,), name="body", dtype="int32")
    tags = Input((12,), name="tags")
    title_features = layers.LSTM(128)(layers.Embedding(10000, 64)(title))
    body_features = layers.LSTM(32, unit_forget_bias=False)(layers.Embedding(10000, 64)(body))
    x = layers.concatenate([title_features, body_features, tags])
    outputs = {
        "priority": layers.Dense(1, name="priority")(x),
        "department": layers.Dense(4, name="department")(x),
    }
    return keras.Model({"title": title, "body": body, "tags": tags}, outputs)


@model
def siamese():
    encoder = Sequential(
        [Input((28, 28, 1)), layers.Conv2D(8, 3), layers.Flatten(), layers.Dense(16)],
        name="encoder",
    )
    left, right = Input((28, 28, 1), name="left"), Input((28, 28, 1), name="right")
    distance = ops.absolute(encoder(left) - encoder(right))
    return keras.Model([left, right], layers.Dense(1, activation="sigmoid")(distance))


@model
def autoencoder():
    image = Input((28, 28, 1), name="image")
    x = layers.Conv2D(16, 3, activation="relu")(image)
    x = layers.MaxPooling2D(3)(layers.Conv2D(32, 3, activation="relu")(x))
    code = layers.GlobalMaxPooling2D()(layers.Conv2D(16, 3, activation="relu")(x))
    encoder = keras.Model(image, code, name="encoder")
    given = Input((16,), name="code")
    x = layers.Conv2DTranspose(32, 3, activation="relu")(layers.Reshape((4, 4, 1))(given))
    x = layers.Conv2DTranspose(16, 3)(layers.UpSampling2D(3)(x))
    decoder = keras.Model(given, layers.Conv2DTranspose(1, 3)(x), name="decoder")
    whole = Input((28, 28, 1))
    return keras.Model(whole, decoder(encoder(whole)), name="autoencoder")


@model
def nested_and_shared():
    given = Input((8,))
    inner = keras.Model(given, [layers.Dense(4)(given), layers.Dense(5)(given)], name="inner")
    middle_in = Input((8,))
    one, two = inner(middle_in)
    middle = keras.Model(middle_in, layers.Concatenate()([one, two]), name="middle")
    middle.trainable = False
    a, b = Input((8,)), Input((8,))
    shared = layers.Dense(8, name="shared")
    deep = shared(shared(a))
    joined = layers.Add()([middle(deep), middle(b), middle(shared(b))])
    return keras.Model([a, b], joined)


@model
def embeddings_shared():
    table = layers.Embedding(1000, 128, embeddings_initializer="normal")
    one, two = Input((None,), dtype="int32"), Input((5,), dtype="int32")
    pooled = [layers.GlobalAveragePooling1D()(table(each)) for each in (one, two)]
    return keras.Model([one, two], layers.Dot(axes=-1, normalize=True)(pooled))


@model
def seq2seq():
    encoder_in = Input((None, 71))
    _, h, c = layers.LSTM(64, return_state=True)(encoder_in)
    decoder_in = Input((None, 93))
    decoder = layers.LSTM(64, return_sequences=True, return_state=True)
    y, _, _ = decoder(decoder_in, initial_state=[h, c])
    return keras.Model([encoder_in, decoder_in], layers.Dense(93, activation="softmax")(y))


@model
def recurrent():
    x = inputs = Input((12, 6))
    x = layers.Masking()(x)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x)
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True), merge_mode="sum")(x)
    x = layers.GRU(3, return_sequences=True, reset_after=False, recurrent_initializer="he_normal")(
        x
    )
    x = layers.SimpleRNN(7, return_sequences=True, use_bias=False)(x)
    cells = [layers.LSTMCell(4), layers.GRUCell(3), layers.SimpleRNNCell(2), layers.GRUCell(2)]
    x = layers.RNN(cells, return_sequences=True)(x)
    x = layers.RNN(layers.LSTMCell(4, name="mine"), return_sequences=True)(x)
    states = layers.Bidirectional(layers.GRU(4, return_state=True), merge_mode=None)(x)
    y = layers.Bidirectional(layers.SimpleRNN(4, return_state=True), merge_mode="ave")(x)
    return keras.Model(inputs, [*states, *y, layers.Bidirectional(layers.LSTM(2), "mul")(x)])


@model
def stateful():
    return Sequential(
        [
            Input(batch_shape=(4, 10, 8)),
            layers.LSTM(6, stateful=True, return_sequences=True),
            layers.GRU(6, stateful=True),
            layers.Dense(2),
        ]
    )


@model
def next_frame():
    x = inputs = Input((None, 16, 16, 1))
    for size in (5, 3):
        x = layers.ConvLSTM2D(8, size, padding="same", return_sequences=True)(x)
        x = layers.BatchNormalization()(x)
    return keras.Model(inputs, layers.Conv3D(1, 3, activation="sigmoid", padding="same")(x))


@model
def text_transformer():
    tokens = Input((32,), dtype="int32")
    x = layers.Embedding(500, 16)(tokens)
    for _ in range(2):
        y = layers.MultiHeadAttention(num_heads=2, key_dim=8, dropout=0.1)(
            x, x, use_causal_mask=True
        )
        x = layers.LayerNormalization(epsilon=1e-6)(x + layers.Dropout(0.1)(y))
        y = layers.Dense(16)(layers.Dense(32, activation="relu")(x))
        x = layers.LayerNormalization(epsilon=1e-6)(x + y)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(tokens, layers.Dense(2, activation="softmax")(x))


@model
def vision_transformer():
    image = Input((32, 32, 3))
    x = layers.Conv2D(24, 8, strides=8)(layers.Rescaling(1 / 255)(image))
    x = layers.Reshape((16, 24))(x)
    y, scores = layers.MultiHeadAttention(3, 8, value_dim=5, output_shape=24)(
        query=x, value=x, key=x, return_attention_scores=True
    )
    x = layers.Add()([x, y])
    x = layers.GroupQueryAttention(8, 6, 2, kernel_initializer="he_uniform")(x, x)
    x = layers.RMSNormalization()(x)
    return keras.Model(image, [layers.Dense(7)(x[:, 0]), ops.mean(scores, axis=1)])


@model
def attentions():
    query, value, key = Input((5, 8)), Input((6, 8)), Input((6, 8))
    one = layers.Attention(use_scale=True)([query, value])
    two = layers.AdditiveAttention()([query, value, key])
    three = layers.Attention(score_mode="concat")([query, value, key])
    cross = layers.MultiHeadAttention(2, 4, use_bias=False)(query, value, key)
    return keras.Model([query, value, key], layers.Concatenate()([one, two, three, cross]))


@model
def merges():
    a, b = Input((4, 6)), Input((4, 6))
    merged = [
        layers.Subtract()([a, b]),
        layers.Multiply()([a, b]),
        layers.Average()([a, b]),
        layers.Maximum()([a, b]),
        layers.Minimum()([a, b, a]),
    ]
    dots = [layers.Dot(axes=(1, 1))([a, b]), layers.Dot(axes=2)([a, b])]
    return keras.Model([a, b], [layers.Concatenate(axis=1)(merged), *dots])


@model
def video():
    frame = Sequential(
        [Input((16, 16, 3)), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D()], name="frame"
    )
    x = inputs = Input((7, 16, 16, 3))
    x = layers.TimeDistributed(frame)(x)
    x = layers.TimeDistributed(layers.Dense(5))(x)
    return keras.Model(inputs, layers.Dense(3)(layers.LSTM(4)(x)))


@model
def unet():
    image = Input((32, 32, 1))
    first = layers.Conv2D(4, 3, padding="same")(image)
    second = layers.SeparableConv2D(8, 3, padding="same")(layers.MaxPooling2D()(first))
    deep = layers.DepthwiseConv2D(3, padding="same")(layers.AveragePooling2D(2)(second))
    up = layers.Conv2DTranspose(8, 2, strides=2)(deep)
    up = layers.concatenate([up, second])
    up = layers.UpSampling2D()(layers.GroupNormalization(4)(up))
    up = layers.concatenate([up, first])
    return keras.Model(image, layers.Conv2D(2, 1, activation="softmax")(layers.PReLU()(up)))


@model
def wavenet():
    x = inputs = Input((64, 8))
    skips = []
    for rate in (1, 2, 4):
        gate = layers.Conv1D(8, 2, padding="causal", dilation_rate=rate, activation="sigmoid")(x)
        wave = layers.Conv1D(8, 2, padding="causal", dilation_rate=rate, activation="tanh")(x)
        z = layers.Multiply()([gate, wave])
        skips.append(layers.Conv1D(4, 1)(z))
        x = layers.Add()([x, layers.Conv1D(8, 1)(z)])
    return keras.Model(inputs, layers.Conv1D(1, 1)(layers.Activation("relu")(layers.Add()(skips))))


@model
def images():
    image = Input((40, 40, 3))
    x = layers.RandomFlip("horizontal")(image)
    x = layers.RandomRotation(0.1)(x)
    x = layers.RandomZoom(0.2)(layers.RandomContrast(0.1)(x))
    x = layers.Resizing(32, 32)(layers.CenterCrop(36, 36)(x))
    x = layers.Normalization(axis=-1)(layers.Rescaling(1 / 127.5, offset=-1)(x))
    given = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 1.0, 2.0])(x)
    pooled = layers.AdaptiveAveragePooling2D((4, 3))(given)
    return keras.Model(image, [layers.AdaptiveMaxPooling2D((2, 2))(x), pooled])


@model
def structured():
    age, kind = Input((1,), name="age"), Input((1,), name="kind", dtype="int32")
    number = layers.Normalization(axis=None)(age)
    binned = layers.Discretization([20.0, 40.0, 60.0], output_mode="one_hot")(age)
    code = layers.CategoryEncoding(num_tokens=5, output_mode="one_hot")(kind)
    x = layers.Concatenate()([number, binned, code])
    return keras.Model([age, kind], layers.Dense(1)(x))


@model
def tied_language_model():
    tokens = Input((16,), dtype="int32")
    table = layers.ReversibleEmbedding(100, 12)
    x = layers.EinsumDense("abc,cd->abd", output_shape=(None, 12), bias_axes="d")(table(tokens))
    x = layers.EinsumDense("...x,xy->...y", output_shape=12, kernel_initializer="he_normal")(x)
    return keras.Model(tokens, table(x, reverse=True))


@model
def spectral():
    image = Input((16, 16, 3))
    x = layers.SpectralNormalization(layers.Conv2D(4, 3))(image)
    x = layers.SpectralNormalization(layers.Dense(3, dtype="float16"), power_iterations=2)(x)
    return keras.Model(image, layers.Conv2D(4, 3, lora_rank=2)(x))


@model
def dtypes():
    x = inputs = Input((8,))
    x = layers.Dense(4, dtype="mixed_float16")(x)
    x = layers.BatchNormalization(dtype="float16")(x)
    x = layers.Dense(4, dtype="bfloat16")(x)
    x = layers.MultiHeadAttention(2, 2, dtype="float16")(*[layers.Reshape((2, 2))(x)] * 2)
    return keras.Model(inputs, layers.LSTM(3, dtype="float16")(x))


@model
def frozen():
    x = inputs = Input((8, 8, 3))
    base = keras.Model(inputs, layers.BatchNormalization()(layers.Conv2D(4, 3)(inputs)))
    base.trainable = False
    x = outer = Input((8, 8, 3))
    x = layers.BatchNormalization(trainable=False)(base(x, training=False))
    x = layers.Bidirectional(layers.LSTM(2, trainable=False))(layers.Reshape((-1, 4))(x))
    return keras.Model(outer, layers.Dense(2, trainable=False)(x))


@model
def operations():
    x, y, i = Input((6, 8)), Input((6, 8)), Input((6,), dtype="int32")
    halves = ops.split(x, 2, axis=1)
    numbers = [
        x + 1,
        2 * x,
        x - y,
        x / 2,
        layers.Dense(3)(x) ** 2,
        x[:, 0],
        x[:, -1:, ...],
        x[..., 1:7:2],
        x[:, None],
        ops.mean(x, axis=[1], keepdims=True),
        ops.sum(x, axis=-1),
        ops.max(x, axis=(1, 2)),
        ops.reshape(x, (-1, 48)),
        ops.reshape(x, (-1, 8, 6)),
        ops.transpose(x, (0, 2, 1)),
        ops.swapaxes(x, 1, 2),
        ops.moveaxis(x, -1, 1),
        ops.expand_dims(x, -1),
        ops.squeeze(ops.expand_dims(x, 1), 1),
        ops.concatenate([x, y], axis=-1),
        ops.stack([x, y], axis=1),
        halves[1],
        ops.unstack(x, axis=1)[2],
        ops.matmul(x, ops.transpose(y, (0, 2, 1))),
        ops.einsum("bij,bkj->bik", x, y),
        ops.softmax(x),
        ops.gelu(ops.relu(x)),
        ops.cast(x, "float16"),
        ops.pad(x, [[0, 0], [1, 2], [0, 0]]),
        ops.repeat(x, 2, axis=1),
        ops.tile(x, [1, 2, 1]),
        ops.where(x > 0, x, 0.0),
        ops.maximum(x, 0.0),
        ops.clip(ops.exp(ops.sqrt(x)), 0.0, 1.0),
        ops.one_hot(i, 5),
        ops.norm(x, axis=-1),
        ops.normalize(x),
        ops.argmax(x, axis=-1),
        ops.cumsum(x, axis=1),
        ops.take(x, [0, 2], axis=1),
        ops.top_k(x, 3)[0],
        ops.logsumexp(x, axis=-1, keepdims=True),
        ops.var(x, axis=1),
        ops.abs(-x),
        ops.flip(x, axis=1),
        ops.dot(x, ops.ones((8, 3))),
        ops.average_pool(x, 2),
    ]
    pooled = [
        layers.Flatten()(ops.cast(each, "float32")) for each in numbers if len(each.shape) > 1
    ]
    return keras.Model([x, y, i], [layers.Dense(2)(layers.Concatenate()(pooled)), *numbers])


@model
def stacks_in_stacks():
    inner = Sequential([layers.Dense(4), layers.ReLU()], name="inner")
    outer = Sequential([layers.Flatten(), inner, layers.Dense(2)])
    outer.build((None, 3, 5))
    return outer


@keras.saving.register_keras_serializable("mine")
class Scaled(layers.Layer):
    """A layer of one's own, whose weight nobody else knows."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), name="scale")

    def call(self, inputs):
        return ops.concatenate([inputs * self.scale, inputs], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2 * input_shape[-1])


@model
def code_of_ones_own():
    x = inputs = Input((6,))
    x = layers.Dense(4)(x)
    x = Scaled(name="own")(x)
    x = layers.Dense(4)(x)
    x = layers.Lambda(lambda t: t[:, :3], name="cut")(x)
    return keras.Model(inputs, layers.Dense(4)(x))


def shapes_of(operation):
    tensors = operation._inbound_nodes[0].output_tensors
    found = [list(tensor.shape) for tensor in tensors]
    return found[0] if len(found) == 1 else found


def listed(network):
    """The layers as ``summary()`` lists them, those within others too."""
    stack = isinstance(network, Sequential)
    for operation in network.layers if stack else network._operations:
        entry = {
            "name": operation.name,
            "type": type(operation).__name__,
            "output_shape": shapes_of(operation),
            "params": operation.count_params() if isinstance(operation, layers.Layer) else 0,
        }
        if isinstance(operation, keras.Model):
            entry["layers"] = list(listed(operation))
        yield entry


def owners(layer, names, found):
    """The names of the layers that lead to each variable."""
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        owners(inner, (*names, inner.name), found)
    for variable in (*layer._trainable_variables, *layer._non_trainable_variables):
        found.setdefault(id(variable), "/".join((*names, name_of(variable, layer))))
    return found


def name_of(variable, layer):
    """A variable's name; that of the attribute where Keras only numbers it."""
    if not variable.name.startswith("variable"):
        return variable.name
    return next(name for name, value in vars(layer).items() if value is variable)


def facts(text):
    """What Keras makes of a model's own JSON."""
    keras.backend.clear_session()
    keras.config.enable_unsafe_deserialization()  # for the Lambda that is written above
    with Recorder() as recorder:
        found = keras.models.model_from_json(text)
        if not found.built:
            found.build(found.input_shape)
        paths = owners(found, (), {})
        weights = [
            {
                "path": paths[id(weight)],
                "shape": list(weight.shape),
                "trainable": weight.trainable,
                "dtype": weight.dtype,
                "initializer": recorder.of(weight),
            }
            for weight in found.weights
        ]
    trained = {id(weight) for weight in found.trainable_weights}
    for entry, weight in zip(weights, found.weights):
        entry["trainable"] = id(weight) in trained
    return {"layers": list(listed(found)), "weights": weights}


def nothing_is_drawn():
    """Only initializers are asked for, not their values: spare the time and the memory."""
    for cls in vars(keras.initializers).values():
        if isinstance(cls, type) and issubclass(cls, keras.initializers.Initializer):
            cls.__call__ = lambda self, shape, dtype=None, **rest: ops.zeros(shape, dtype)


def main():
    nothing_is_drawn()
    found = {}
    for name, build in MODELS.items():
        keras.backend.clear_session()
        text = build().to_json()
        found[name] = {"json": json.loads(text), **facts(text)}
        print(name, len(found[name]["weights"]), "weights")
    content = json.dumps({"keras": keras.__version__, "models": found}).encode()
    (HERE / "keras3_models.json.gz").write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main()
