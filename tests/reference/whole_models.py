"""Whole models of the kinds that people train, small enough to be measured in a second or so.

Install the public package, then import it from the scripts beside it:

    pip install keras==3.15.1

``MODELS`` has a function for each, by name, and ``BATCH`` the examples that it is measured with.
Each is made of what Keras can write as JSON and initcli can read. No initializer is used for two
layers, for Keras would give both the same values.
"""

import keras
from keras import Input, Sequential, layers
from keras.initializers import HeNormal, LecunNormal, RandomNormal

MODELS = {}
BATCH = {}


def model(batch):
    """Register a function that builds a model, and how many examples it is measured with."""

    def register(build):
        MODELS[build.__name__] = build
        BATCH[build.__name__] = batch
        return build

    return register


# Stacks of dense layers


@model(32)
def mlp_tanh():
    """Keras's defaults through 12 layers, whose signal fades."""
    stack = [layers.Dense(128, activation="tanh") for _ in range(12)]
    return Sequential([Input((64,)), *stack, layers.Dense(10)])


@model(32)
def mlp_relu():
    """He's initializer, made for this very stack."""
    stack = [layers.Dense(256, activation="relu", kernel_initializer=HeNormal()) for _ in range(10)]
    return Sequential([Input((64,)), *stack, layers.Dense(10, activation="softmax")])


@model(32)
def mlp_selu():
    """LeCun's initializer and selu, with the dropout that goes with them."""
    x = inputs = Input((64,))
    for _ in range(8):
        x = layers.Dense(192, kernel_initializer=LecunNormal())(x)
        x = layers.AlphaDropout(0.05)(layers.Activation("selu")(x))
    return keras.Model(inputs, layers.Dense(10)(x))


@model(32)
def mlp_gelu_residual():
    """Feed-forward blocks on a residual stream, normalized as they are entered."""
    inputs = Input((96,))
    x = layers.Dense(96)(inputs)
    for _ in range(6):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(384, activation="gelu")(y)
        x = layers.Add()([x, layers.Dense(96)(y)])
    return keras.Model(inputs, layers.Dense(10)(layers.LayerNormalization(epsilon=1e-6)(x)))


@model(32)
def autoencoder():
    """Dense layers that narrow and widen again, to a sigmoid."""
    widths = [256, 128, 64, 16, 64, 128, 256]
    stack = [layers.Dense(width, activation="relu") for width in widths]
    return Sequential([Input((400,)), *stack, layers.Dense(400, activation="sigmoid")])


# Images


@model(16)
def vgg():
    x = inputs = Input((32, 32, 3))
    for filters, count in ((16, 2), (32, 2), (64, 3)):
        for _ in range(count):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2, strides=2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu")(x)
    x = layers.Dense(128, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


@model(32)
def lenet():
    return Sequential(
        [
            Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="tanh"),
            layers.Dense(84, activation="tanh"),
            layers.Dense(10, activation="softmax"),
        ]
    )


@model(8)
def resnet_v1():
    def normalized(x, filters, size, strides):
        x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    inputs = Input((32, 32, 3))
    x = layers.ReLU()(normalized(inputs, 16, 3, 1))
    for filters, strides in ((16, 1), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1)):
        y = layers.ReLU()(normalized(x, filters, 3, strides))
        y = normalized(y, filters, 3, 1)
        if strides > 1:
            x = normalized(x, filters, 1, strides)
        x = layers.ReLU()(layers.Add()([y, x]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


@model(8)
def resnet_v2():
    """Normalization and relu before each convolution, with He's initializer."""

    def activated(x):
        return layers.Activation("relu")(layers.BatchNormalization()(x))

    def convolved(x, filters, size, strides=1):
        return layers.Conv2D(
            filters, size, strides=strides, padding="same", kernel_initializer="he_normal"
        )(x)

    inputs = Input((32, 32, 3))
    x = convolved(inputs, 16, 3)
    for filters, strides in ((32, 1), (32, 1), (64, 2), (64, 1)):
        y = activated(x)
        if x.shape[-1] != filters or strides > 1:
            x = convolved(y, filters, 1, strides)
        y = convolved(y, filters // 2, 1)
        y = convolved(activated(y), filters // 2, 3, strides)
        x = layers.Add()([x, convolved(activated(y), filters, 1)])
    x = layers.GlobalAveragePooling2D()(activated(x))
    return keras.Model(inputs, layers.Dense(10)(x))


@model(8)
def resnet_without_normalization():
    """He's initializer everywhere and nothing that bounds the sums, which grow."""
    inputs = Input((32, 32, 3))
    x = layers.Conv2D(24, 3, padding="same", kernel_initializer="he_normal")(inputs)
    for _ in range(5):
        y = layers.ReLU()(x)
        y = layers.Conv2D(24, 3, padding="same", kernel_initializer="he_normal")(y)
        y = layers.ReLU()(y)
        y = layers.Conv2D(24, 3, padding="same", kernel_initializer="he_normal")(y)
        x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(10)(x))


@model(16)
def mobilenet_v2():
    """Inverted residuals with linear bottlenecks."""

    def normalized(x):
        return layers.BatchNormalization(epsilon=1e-3, momentum=0.999)(x)

    inputs = Input((32, 32, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.ReLU(6.0)(normalized(x))
    for filters, strides in ((16, 1), (24, 2), (24, 1), (32, 2), (32, 1)):
        given = x
        x = layers.Conv2D(6 * x.shape[-1], 1, padding="same", use_bias=False)(x)
        x = layers.ReLU(6.0)(normalized(x))
        if strides > 1:
            x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
        padding = "valid" if strides > 1 else "same"
        x = layers.DepthwiseConv2D(3, strides=strides, padding=padding, use_bias=False)(x)
        x = layers.ReLU(6.0)(normalized(x))
        x = normalized(layers.Conv2D(filters, 1, padding="same", use_bias=False)(x))
        if strides == 1 and given.shape[-1] == filters:
            x = layers.Add()([given, x])
    x = layers.Conv2D(128, 1, use_bias=False)(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU(6.0)(normalized(x)))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


@model(8)
def densenet():
    def convolved(x, filters, size):
        x = layers.Activation("relu")(layers.BatchNormalization(epsilon=1.001e-5)(x))
        return layers.Conv2D(filters, size, padding="same", use_bias=False)(x)

    inputs = Input((32, 32, 3))
    x = layers.Conv2D(24, 3, strides=2, padding="same", use_bias=False)(inputs)
    for block in range(2):
        for _ in range(4):
            y = convolved(convolved(x, 48, 1), 12, 3)
            x = layers.Concatenate()([x, y])
        if block == 0:
            x = convolved(x, x.shape[-1] // 2, 1)
            x = layers.AveragePooling2D(2, strides=2)(x)
    x = layers.Activation("relu")(layers.BatchNormalization(epsilon=1.001e-5)(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


@model(16)
def inception():
    """GoogLeNet's blocks of four branches, without normalization."""

    def branch(x, filters, size):
        return layers.Conv2D(filters, size, padding="same", activation="relu")(x)

    inputs = Input((32, 32, 3))
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(inputs)
    for _ in range(3):
        pooled = layers.MaxPooling2D(3, strides=1, padding="same")(x)
        branches = [
            branch(x, 16, 1),
            branch(branch(x, 16, 1), 24, 3),
            branch(branch(x, 8, 1), 12, 5),
            branch(pooled, 12, 1),
        ]
        x = layers.Concatenate()(branches)
    x = layers.Dropout(0.4)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


@model(8)
def unet():
    """Contraction and expansion by transposed convolutions, joined by concatenation."""

    def twice(x, filters):
        for _ in range(2):
            x = layers.Conv2D(
                filters, 3, padding="same", activation="relu", kernel_initializer="he_normal"
            )(x)
        return x

    inputs = Input((32, 32, 1))
    first = twice(inputs, 16)
    second = twice(layers.MaxPooling2D(2)(first), 32)
    x = layers.Dropout(0.3)(twice(layers.MaxPooling2D(2)(second), 64))
    for filters, skip in ((32, second), (16, first)):
        x = layers.Conv2DTranspose(filters, 2, strides=2, padding="same")(x)
        x = twice(layers.Concatenate()([x, skip]), filters)
    return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(x))


@model(8)
def unet_upsampling():
    """The same with batch normalization, and with pixels repeated in place of transposition."""

    def block(x, filters):
        x = layers.Conv2D(filters, 3, padding="same")(x)
        return layers.LeakyReLU(negative_slope=0.1)(layers.BatchNormalization()(x))

    inputs = Input((32, 32, 3))
    first = block(inputs, 16)
    second = block(layers.MaxPooling2D(2)(first), 32)
    x = block(layers.AveragePooling2D(2)(second), 64)
    x = block(layers.Concatenate()([layers.UpSampling2D(2)(x), second]), 32)
    x = block(layers.Concatenate()([layers.UpSampling2D(2)(x), first]), 16)
    return keras.Model(inputs, layers.Conv2D(4, 1, activation="softmax")(x))


@model(16)
def squeeze_and_excitation():
    """Residual blocks whose channels are gated by what all places say."""
    inputs = Input((32, 32, 3))
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.Activation("silu")(layers.BatchNormalization()(x))
    for _ in range(3):
        y = layers.Conv2D(32, 3, padding="same", use_bias=False)(x)
        y = layers.Activation("silu")(layers.BatchNormalization()(y))
        gate = layers.Reshape((1, 1, 32))(layers.GlobalAveragePooling2D()(y))
        gate = layers.Conv2D(8, 1, activation="silu")(gate)
        gate = layers.Conv2D(32, 1, activation="sigmoid")(gate)
        x = layers.Add()([x, layers.Multiply()([y, gate])])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10)(x))


@model(16)
def xception():
    """Separable convolutions on residual streams."""

    def separated(x, filters):
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    inputs = Input((32, 32, 3))
    x = layers.Conv2D(24, 3, strides=2, use_bias=False)(inputs)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    for filters in (32, 64):
        y = separated(layers.Activation("relu")(separated(x, filters)), filters)
        y = layers.MaxPooling2D(3, strides=2, padding="same")(y)
        x = layers.Conv2D(filters, 1, strides=2, padding="same", use_bias=False)(x)
        x = layers.Add()([y, layers.BatchNormalization()(x)])
    for _ in range(2):
        y = x
        for _ in range(3):
            y = separated(layers.Activation("relu")(y), 64)
        x = layers.Add()([y, x])
    x = layers.GlobalAveragePooling2D()(layers.Activation("relu")(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


@model(16)
def convnext():
    def small():
        return RandomNormal(stddev=0.02)

    inputs = Input((32, 32, 3))
    x = layers.Conv2D(32, 4, strides=4, kernel_initializer=small())(inputs)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    for width in (32, 64):
        if width > 32:
            x = layers.LayerNormalization(epsilon=1e-6)(x)
            x = layers.Conv2D(width, 2, strides=2, kernel_initializer=small())(x)
        for _ in range(2):
            y = layers.DepthwiseConv2D(7, padding="same", depthwise_initializer=small())(x)
            y = layers.LayerNormalization(epsilon=1e-6)(y)
            y = layers.Dense(4 * width, activation="gelu", kernel_initializer=small())(y)
            y = layers.Dense(width, kernel_initializer=small())(y)
            x = layers.Add()([x, y])
    x = layers.LayerNormalization(epsilon=1e-6)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(10)(x))


@model(16)
def group_normalization():
    """Convolutions normalized by groups of channels, example by example."""
    inputs = Input((32, 32, 3))
    x = inputs
    for filters, strides in ((16, 1), (32, 2), (32, 1), (64, 2)):
        x = layers.Conv2D(
            filters, 3, strides=strides, padding="same", kernel_initializer="he_uniform"
        )(x)
        x = layers.Activation("relu")(layers.GroupNormalization(8)(x))
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(10)(x))


# Attention


def feed_forward(x, width, activation="gelu"):
    return layers.Dense(x.shape[-1])(layers.Dense(width, activation=activation)(x))


@model(16)
def vision_transformer():
    """Patches with positions from a table, blocks normalized as they are entered."""
    image = Input((32, 32, 3), name="image")
    places = Input((64,), dtype="int32", name="places")
    x = layers.Reshape((64, 64))(layers.Conv2D(64, 4, strides=4)(image))
    x = layers.Add()([x, layers.Embedding(64, 64)(places)])
    for _ in range(3):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 16)(y, y)])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, feed_forward(y, 128)])
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model([image, places], layers.Dense(10)(x))


@model(8)
def gpt2():
    """Causal attention, small weights, and a table that both reads and writes the tokens."""

    def small(count=1):
        return RandomNormal(stddev=0.02 / count**0.5)

    tokens = Input((48,), dtype="int32", name="tokens")
    places = Input((48,), dtype="int32", name="places")
    table = layers.ReversibleEmbedding(200, 64, embeddings_initializer=small(), name="table")
    where = layers.Embedding(48, 64, embeddings_initializer=small(), name="where")(places)
    x = layers.Add()([table(tokens), where])
    for _ in range(4):
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        y = layers.MultiHeadAttention(4, 16, kernel_initializer=small())(y, y, use_causal_mask=True)
        x = layers.Add()([x, y])
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        y = layers.Dense(256, activation="gelu", kernel_initializer=small())(y)
        x = layers.Add()([x, layers.Dense(64, kernel_initializer=small(8))(y)])
    x = layers.LayerNormalization(epsilon=1e-5)(x)
    return keras.Model([tokens, places], table(x, reverse=True))


@model(16)
def encoder():
    """BERT's blocks, normalized as they are left, with dropout."""
    tokens = Input((32,), dtype="int32")
    x = layers.Embedding(500, 64)(tokens)
    x = layers.Dropout(0.1)(layers.LayerNormalization(epsilon=1e-6)(x))
    for _ in range(3):
        y = layers.MultiHeadAttention(4, 16, dropout=0.1)(x, x)
        x = layers.Add()([x, layers.Dropout(0.1)(y)])
        x = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dropout(0.1)(feed_forward(x, 128, "relu"))
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, y]))
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(tokens, layers.Dense(2, activation="softmax")(x))


@model(16)
def mlp_mixer():
    inputs = Input((32, 32, 3))
    x = layers.Reshape((64, 48))(layers.Conv2D(48, 4, strides=4)(inputs))
    for _ in range(3):
        y = layers.Permute((2, 1))(layers.LayerNormalization(epsilon=1e-6)(x))
        x = layers.Add()([x, layers.Permute((2, 1))(feed_forward(y, 64))])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, feed_forward(y, 128)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(inputs, layers.Dense(10)(x))


# Sequences


@model(16)
def lstm():
    x = inputs = Input((24, 32))
    for _ in range(3):
        x = layers.LSTM(48, return_sequences=True)(x)
    return keras.Model(inputs, layers.Dense(8)(layers.LSTM(48)(x)))


@model(16)
def bidirectional_lstm():
    """The classifier of reviews among Keras's examples, with dropout between its layers."""
    tokens = Input((24,), dtype="int32")
    x = layers.Embedding(1000, 64)(tokens)
    x = layers.Bidirectional(layers.LSTM(32, return_sequences=True))(x)
    x = layers.Dropout(0.2)(x)
    x = layers.Bidirectional(layers.LSTM(32))(x)
    return keras.Model(tokens, layers.Dense(1, activation="sigmoid")(x))


@model(16)
def gru():
    x = inputs = Input((24, 32))
    for _ in range(3):
        x = layers.GRU(48, return_sequences=True)(x)
    x = layers.TimeDistributed(layers.Dense(32, activation="relu"))(x)
    return keras.Model(inputs, layers.Dense(8)(x))


@model(16)
def simple_rnn():
    x = inputs = Input((24, 32))
    for _ in range(2):
        x = layers.SimpleRNN(64, return_sequences=True)(x)
    return keras.Model(inputs, layers.Dense(8)(layers.SimpleRNN(64)(x)))


@model(16)
def convolutions_and_gru():
    """What is used on recordings: strided convolutions of time, then a recurrence."""
    x = inputs = Input((96, 8))
    for filters in (32, 64):
        x = layers.Conv1D(filters, 5, strides=2, padding="same", activation="relu")(x)
    x = layers.MaxPooling1D(2)(layers.BatchNormalization()(x))
    x = layers.GRU(64)(x)
    return keras.Model(inputs, layers.Dense(4)(x))


# Several inputs and outputs


@model(32)
def two_inputs():
    """Two towers, joined in every way that Keras has."""
    left, right = Input((48,), name="left"), Input((48,), name="right")
    towers = []
    for given in (left, right):
        x = layers.Dense(96, activation="relu")(given)
        towers.append(layers.Dense(96, activation="tanh")(x))
    joined = [
        layers.Maximum()(towers),
        layers.Average()(towers),
        layers.Subtract()(towers),
        layers.Multiply()(towers),
        layers.Minimum()(towers),
    ]
    x = layers.Dense(64, activation="relu")(layers.Concatenate()(joined))
    return keras.Model(
        [left, right], [layers.Dense(4)(x), layers.Dense(1, activation="sigmoid")(x)]
    )


@model(16)
def operations():
    """What operators and functions on tensors become in a Functional model."""
    inputs = Input((12, 16))
    x = layers.Dense(32)(layers.Rescaling(0.5, offset=0.1)(inputs))
    x = keras.ops.relu(x) * 2.0 + 0.5
    y = keras.ops.tanh(layers.Dense(32)(x))
    x = x + y
    x = (x - keras.ops.mean(x, axis=-1, keepdims=True)) / 3.0
    first, last = x[:, 0], keras.ops.mean(x, axis=1)
    x = keras.ops.concatenate([first, last, keras.ops.maximum(first, last)], axis=-1)
    x = keras.ops.reshape(layers.Dense(32)(x), (-1, 4, 8))
    x = keras.ops.transpose(x, (0, 2, 1))
    x = layers.Flatten()(keras.ops.softmax(x, axis=-1) * keras.ops.sigmoid(x))
    return keras.Model(inputs, layers.Dense(10)(x))
