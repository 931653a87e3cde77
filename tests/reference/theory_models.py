"""Wide models whose tensors depend on one another in ways that are hard to predict.

Install the public package, then import it from the scripts beside it:

    pip install keras==3.15.1

``MODELS`` has a function for each, by name; each is measured with 16 examples.
"""

import keras
from keras import Input, Sequential, layers

MODELS = {}


def model(build):
    """Register a function that builds a model."""
    MODELS[build.__name__] = build
    return build


def of_two_inputs(encoder, join, *shape):
    """One encoder for two inputs, whose outputs are joined."""
    one, two = Input(shape), Input(shape)
    return keras.Model([one, two], layers.Dense(64)(join([encoder(one), encoder(two)])))


@model
def siamese():
    stack = [layers.Dense(512, "relu", kernel_initializer="he_normal") for _ in range(4)]
    return of_two_inputs(Sequential(stack), layers.Subtract(), 256)


@model
def siamese_images():
    stack = []
    for _ in range(2):
        convolution = layers.Conv2D(64, 3, padding="same")
        stack += [convolution, layers.BatchNormalization(), layers.ReLU()]
    stack += [layers.Flatten(), layers.Dense(192, "relu"), layers.Dense(192, "relu")]
    return of_two_inputs(Sequential(stack), layers.Multiply(), 12, 12, 8)


@model
def returned_state():
    inputs = Input((10, 128))
    x = layers.LSTM(192, return_sequences=True)(inputs)
    x, state = layers.GRU(192, return_sequences=True, return_state=True)(x)
    outputs = layers.Dense(64)(layers.LSTM(192)(x)), layers.Dense(64)(state)
    return keras.Model(inputs, outputs)


@model
def returned_carry():
    inputs = Input((8, 128))
    x = layers.Dense(128)(inputs)
    x, _, carry = layers.LSTM(192, return_sequences=True, return_state=True)(x)
    outputs = layers.Dense(64)(layers.LSTM(192)(x)), layers.Dense(64)(carry)
    return keras.Model(inputs, outputs)


@model
def lstm_stack():
    stack = [layers.LSTM(256, return_sequences=True) for _ in range(6)]
    return Sequential([Input((5, 256)), *stack])


@model
def maximum():
    inputs = Input((256,))
    branches = layers.Dense(512, "softplus")(inputs), layers.Dense(512, "softsign")(inputs)
    return keras.Model(inputs, layers.Dense(64)(layers.Maximum()(branches)))


@model
def minimum_of_three():
    inputs = Input((256,))
    branches = [layers.Dense(512, kind)(inputs) for kind in ("relu", "tanh", "linear")]
    return keras.Model(inputs, layers.Dense(64)(layers.Minimum()(branches)))


@model
def identity_rnn():
    stack = [
        layers.SimpleRNN(256, "relu", recurrent_initializer="identity", return_sequences=each)
        for each in (True, False)
    ]
    return Sequential([Input((20, 64)), *stack, layers.Dense(64)])


@model
def identity_gru():
    stack = [
        layers.GRU(256, recurrent_initializer="identity", return_sequences=each)
        for each in (True, False)
    ]
    return Sequential([Input((20, 64)), *stack, layers.Dense(64)])


@model
def causal_attention():
    inputs = Input((24,), dtype="int32")
    x = layers.Embedding(1000, 128)(inputs)
    for _ in range(3):
        x = layers.Add()([x, layers.MultiHeadAttention(4, 32)(x, x, use_causal_mask=True)])
        x = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.Dense(128)(layers.Dense(256, "gelu")(x))])
    return keras.Model(inputs, layers.Dense(500)(x))


@model
def transposed_convolutions():
    x = inputs = Input((6, 6, 128))
    for filters in (128, 128, 64):
        x = layers.Conv2DTranspose(filters, 4, strides=2, padding="same")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Conv2DTranspose(3, 3, padding="same")(x))


@model
def normalized_steps():
    """Each step is normalized by its own batch."""
    x = inputs = Input((6, 128))
    for _ in range(3):
        x = layers.TimeDistributed(layers.BatchNormalization())(layers.Dense(256)(x))
        x = layers.ReLU()(x)
    return keras.Model(inputs, layers.Dense(64)(x))


@model
def residual_relu():
    """Sums with a ReLU behind each, which lets the gradients of large entries through."""
    x = inputs = Input((256,))
    for _ in range(10):
        x = layers.ReLU()(layers.Add()([x, layers.Dense(256)(x)]))
    return keras.Model(inputs, layers.Dense(64)(x))
