"""Write down what the real Keras 3 stores of quantized layers, as quantized_models.json.gz.

Install the public packages, then run from any directory:

    pip install keras==3.15.1 jax
    KERAS_BACKEND=jax python make_quantized_facts.py

Each entry holds the text of a model's ``to_json()`` after ``quantize()``, or with dtype policies
from the start, and every weight of the model that Keras makes of that text. initcli and its tests
need none of this: they read the facts alone.
"""

import gzip
import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from keras import Input, layers
from keras.quantizers import Int4QuantizationConfig
from make_model_facts import owners

HERE = Path(__file__).parent


def embedded(tokens, **rest):
    return layers.Embedding(9, 5, name="table", **rest)(tokens)


def tied(tokens, **rest):
    table = layers.ReversibleEmbedding(9, 6, name="table", **rest)
    return table(table(tokens), reverse=True)


BUILT = {
    "dense": ((7,), lambda x: layers.Dense(5, name="d")(x)),
    "dense_without_bias": ((7,), lambda x: layers.Dense(4, use_bias=False, name="d")(x)),
    "dense_adapted": ((7,), lambda x: layers.Dense(5, lora_rank=2, name="d")(x)),
    "dense_mixed": ((7,), lambda x: layers.Dense(5, dtype="mixed_bfloat16", name="d")(x)),
    "dense_bfloat16": ((7,), lambda x: layers.Dense(5, dtype="bfloat16", name="d")(x)),
    "dense_frozen": ((7,), lambda x: layers.Dense(5, trainable=False, name="d")(x)),
    "steps": ((4, 7), lambda x: layers.TimeDistributed(layers.Dense(3), name="t")(x)),
    "heads": (
        (4, 7),
        lambda x: layers.EinsumDense("abc,cde->abde", (None, 3, 5), bias_axes="de", name="e")(x),
    ),
    "heads_back": (
        (4, 3, 5),
        lambda x: layers.EinsumDense(
            "abcd,cde->abe", (None, 7), bias_axes="e", lora_rank=2, name="e"
        )(x),
    ),
    "swapped": (
        (4, 7),
        lambda x: layers.EinsumDense("abc,dc->adb", (5, 4), name="e")(x),
    ),
    "attention": ((4, 7), lambda x: layers.MultiHeadAttention(2, 3, name="m")(x, x)),
    "table": ((4,), embedded),
    "table_adapted": ((4,), lambda x: embedded(x, lora_rank=2)),
    "tied": ((4,), tied),
    "untied": ((4,), lambda x: tied(x, tie_weights=False)),
}
CONFIGURED = {
    "blocks_of_3": Int4QuantizationConfig(block_size=3),
    "one_scale": Int4QuantizationConfig(block_size=None),
}
WITH_POLICY = {
    "dense": lambda x, dtype: layers.Dense(5, name="d", dtype=dtype)(x),
    "heads": lambda x, dtype: layers.EinsumDense(
        "abc,cde->abde", (None, 3, 5), bias_axes="de", name="e", dtype=dtype
    )(x),
    "heads_of_many": lambda x, dtype: layers.EinsumDense(
        "abc,cde->abde", (None, 3, 9), name="e", dtype=dtype
    )(x),
    "attention": lambda x, dtype: layers.MultiHeadAttention(2, 3, name="m", dtype=dtype)(x, x),
    "grouped": lambda x, dtype: layers.GroupQueryAttention(
        3, 4, 2, use_bias=False, name="g", dtype=dtype
    )(x, x),
    "convolved": lambda x, dtype: layers.Conv1D(2, 3, name="c", dtype=dtype)(x),
    "recurrent": lambda x, dtype: layers.LSTM(2, name="r", dtype=dtype)(x),
}
POLICIES = ("int8", "int4", "int4/3", "float8", "gptq/4/3", "gptq/8/-1", "gptq/2/128", "awq/4/3")


def facts(text):
    keras.backend.clear_session()
    found = keras.models.model_from_json(text)
    paths = owners(found, (), {})
    trained = {id(weight) for weight in found.trainable_weights}
    weights = [
        {
            "path": paths[id(weight)],
            "shape": list(weight.shape),
            "dtype": weight.dtype,
            "trainable": id(weight) in trained,
            "first": first(weight),
        }
        for weight in found.weights
    ]
    return {"json": json.loads(text), "weights": weights}


def first(weight):
    """The values of what is not drawn; of what is, None."""
    if weight.trainable and not weight.path.endswith(("_scale", "_history", "bias")):
        return None
    values = keras.ops.convert_to_numpy(weight.value).astype("float32").reshape(-1)
    return sorted(set(values.tolist()))


def main():
    found = {}
    for mode in ("int8", "int4", "float8", *CONFIGURED):
        for name, (shape, build) in BUILT.items():
            keras.backend.clear_session()
            given = Input(shape, dtype="int32" if len(shape) == 1 and shape[0] == 4 else "float32")
            model = keras.Model(given, build(given))
            how = {"config": CONFIGURED[mode]} if mode in CONFIGURED else {"mode": mode}
            model.quantize(**how)
            found[f"{name} by {mode}"] = facts(model.to_json())
    for mode in POLICIES:
        for name, build in WITH_POLICY.items():
            keras.backend.clear_session()
            given = Input((4, 7))
            try:
                policy = keras.dtype_policies.get(f"{mode}_from_float32")
                text = keras.Model(given, build(given, policy)).to_json()
                found[f"{name} of {mode}"] = facts(text)
            except Exception as error:  # Keras has no such layer: then there is no such file.
                print(name, mode, type(error).__name__, str(error)[:80])
    content = json.dumps({"keras": keras.__version__, "models": found}).encode()
    (HERE / "quantized_models.json.gz").write_bytes(gzip.compress(content, 9, mtime=0))
    print(len(found), "models")


if __name__ == "__main__":
    main()
