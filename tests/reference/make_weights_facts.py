"""Write small files of weights with the real libraries, and what these read from them.

    pip install torch safetensors transformers keras jax flax h5py gguf onnx
    KERAS_BACKEND=jax python tests/reference/make_weights_facts.py

Writes ``weights/`` and ``weights_facts.json``: for each file the tensors with shape, dtype, a hash
of their values as float64 in row order, and their mean and standard deviation without values that
are not finite.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import gguf
import h5py
import keras
import numpy as np
import onnx
import safetensors.torch
import torch
import transformers
from flax import serialization
from gguf.quants import dequantize
from onnx import helper, numpy_helper

HERE = Path(__file__).parent
OUT = HERE / "weights"
FACTS: dict[str, dict[str, dict]] = {}
rng = np.random.default_rng(0)


def fact(values, dtype: str) -> dict:
    values = np.array(values, np.float64, order="C")
    finite = values[np.isfinite(values)]
    return {
        "shape": list(values.shape),
        "dtype": dtype,
        "digest": hashlib.sha256(np.where(np.isnan(values), np.nan, values).tobytes()).hexdigest(),
        "mean": float(finite.mean()) if finite.size else None,
        "std": float(finite.std()) if finite.size else None,
    }


def of_torch(tensors) -> dict:
    return {
        name: fact(tensor.detach().double().numpy(), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in tensors.items()
    }


def of_numpy(arrays) -> dict:
    return {name: fact(array, str(array.dtype.newbyteorder("="))) for name, array in arrays.items()}


def tensors_of_torch() -> dict:
    torch.manual_seed(0)
    base = torch.randn(6, 5)
    odd = base.clone()
    odd[0, 0], odd[1, 1], odd[2, 2] = float("nan"), float("inf"), -0.0
    kinds = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
    tensors = {f"floats.{kind}": odd.to(getattr(torch, kind)) for kind in kinds}
    for kind in ["int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "bool"]:
        tensors[f"whole.{kind}"] = torch.tensor([0, 1, 100, 3]).to(getattr(torch, kind))
    tensors["scalar"] = torch.tensor(3.5)
    tensors["empty"] = torch.zeros(0, 4)
    return tensors


def write_safetensors() -> None:
    tensors = tensors_of_torch()
    safetensors.torch.save_file(tensors, OUT / "safetensors.safetensors", {"format": "pt"})
    FACTS["safetensors.safetensors"] = of_torch(
        safetensors.torch.load_file(OUT / "safetensors.safetensors")
    )
    config = transformers.GPT2Config(
        n_embd=8, n_layer=3, n_head=2, vocab_size=40, n_positions=16, initializer_range=0.02
    )
    model = transformers.GPT2Model(config)
    model.save_pretrained(OUT / "huggingface", max_shard_size="8KB")
    for file in (OUT / "huggingface").glob("*config.json"):
        file.unlink()
    FACTS["huggingface"] = of_torch(dict(model.state_dict()))


def write_torch() -> None:
    tensors = tensors_of_torch()
    base = torch.randn(8, 6)
    views = {
        "weight": base,
        "transposed": base.t(),
        "column": base[1:, 2],
        "steps": base[::2, ::3],
        "tied": base,
        "repeated": torch.tensor(2.0).expand(3, 4),
        "parameter": torch.nn.Parameter(base[0].clone()),
    }
    torch.save({**tensors, **views}, OUT / "torch.pt")
    FACTS["torch.pt"] = of_torch(torch.load(OUT / "torch.pt", weights_only=True))
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    torch.save(
        {
            "epoch": 3,
            "state_dict": {f"module.{k}": v for k, v in network.state_dict().items()},
            "optimizer": optimizer.state_dict(),
        },
        OUT / "training.ckpt",
    )
    FACTS["training.ckpt"] = of_torch(network.state_dict())
    torch.save(network, OUT / "module.pt")
    torch.save(base, OUT / "legacy.pt", _use_new_zipfile_serialization=False)


def write_numpy() -> None:
    arrays = {
        "dense/kernel": rng.normal(size=(4, 3)).astype("f4"),
        "big": rng.normal(size=(4, 3)).astype(">f8"),
        "columns": np.asfortranarray(rng.normal(size=(4, 3, 2)).astype("f2")),
        "whole": np.arange(5),
    }
    np.savez(OUT / "numpy.npz", **arrays)
    FACTS["numpy.npz"] = of_numpy(arrays)
    del arrays["columns"]
    np.savez_compressed(OUT / "packed.npz", **arrays)
    FACTS["packed.npz"] = of_numpy(arrays)
    np.save(OUT / "alone.npy", arrays["big"])
    FACTS["alone.npy"] = of_numpy({"alone": arrays["big"]})


def keras_model():
    keras.utils.set_random_seed(0)
    inner = keras.layers.SimpleRNN(3, kernel_initializer="he_normal")
    return keras.Sequential([keras.Input((6, 8)), keras.layers.Bidirectional(inner, name="both")])


def write_keras() -> None:
    model = keras_model()
    model.save(OUT / "keras.keras")
    model.save_weights(OUT / "keras.weights.h5")
    model.save(OUT / "old.h5")
    facts = {
        each.path.removeprefix(f"{model.name}/"): fact(np.array(each.value), "float32")
        for each in model.weights
    }
    FACTS["keras.keras"] = FACTS["old.h5"] = facts
    FACTS["keras.weights.h5"] = {}
    with h5py.File(OUT / "keras.weights.h5") as file:

        def add(name: str, item) -> None:
            if isinstance(item, h5py.Dataset):
                FACTS["keras.weights.h5"][name] = fact(item[()], str(item.dtype))

        file.visititems(add)
    packed = rng.normal(size=(30, 7))
    with h5py.File(OUT / "packed.h5", "w") as file:
        file.create_dataset("a/packed", data=packed, compression="gzip", shuffle=True)
        file.create_dataset("a/chunked", data=packed.astype("f2"), chunks=(4, 7))
    FACTS["packed.h5"] = {
        "a/chunked": fact(packed.astype("f2"), "float16"),
        "a/packed": fact(packed, "float64"),
    }


def write_gguf() -> None:
    writer = gguf.GGUFWriter(OUT / "gguf.gguf", "llama")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "c"])
    writer.add_array("numbers", [1, 2, 3])
    facts = {}
    for kind in ("f4", "f2", "f8", "i4"):
        values = (10 * rng.normal(size=(3, 4))).astype(kind)
        writer.add_tensor(f"plain.{kind}", values)
        facts[f"plain.{kind}"] = fact(values, str(values.dtype))
    kinds = [
        "Q4_0",
        "Q4_1",
        "Q5_0",
        "Q5_1",
        "Q8_0",
        "Q2_K",
        "Q3_K",
        "Q4_K",
        "Q5_K",
        "Q6_K",
        "IQ4_NL",
        "IQ4_XS",
        "MXFP4",
    ]
    for name in kinds:
        kind = gguf.GGMLQuantizationType[name]
        entries, size = gguf.GGML_QUANT_SIZES[kind]
        rows = rng.integers(0, 256, (2, size), dtype=np.uint8)
        while not np.isfinite(dequantize(rows, kind)).all():
            rows = rng.integers(0, 256, (2, size), dtype=np.uint8)
        writer.add_tensor(f"blocks.{name}", rows, raw_dtype=kind)
        facts[f"blocks.{name}"] = fact(dequantize(rows, kind).reshape(2, entries), name.lower())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    FACTS["gguf.gguf"] = facts


def write_onnx() -> None:
    values = rng.normal(size=(5, 7)).astype("f4")
    few = values[0].tolist()
    tensors = [
        numpy_helper.from_array(values, "raw"),
        helper.make_tensor("floats", 1, (5, 7), values.reshape(-1).tolist()),
        helper.make_tensor("doubles", 11, (7,), few),
        helper.make_tensor("halves", 10, (7,), few),
        helper.make_tensor("brain", 16, (7,), few),
        helper.make_tensor("whole", 6, (4,), [1, -2, 3, 400_000]),
        helper.make_tensor("bytes", 3, (4,), [1, -2, 3, 100]),
        helper.make_tensor("long", 7, (2,), [-5, 2**40]),
    ]
    onnx.save(helper.make_model(helper.make_graph([], "g", [], [], tensors)), OUT / "onnx.onnx")
    FACTS["onnx.onnx"] = {
        each.name: fact(
            numpy_helper.to_array(each).astype(np.float64),
            {16: "bfloat16"}.get(each.data_type) or str(numpy_helper.to_array(each).dtype),
        )
        for each in tensors
    }
    external = helper.make_model(
        helper.make_graph([], "g", [], [], [numpy_helper.from_array(values, "raw")])
    )
    onnx.save(
        external,
        OUT / "external.onnx",
        save_as_external_data=True,
        location="external.bin",
        size_threshold=0,
    )
    FACTS["external.onnx"] = {"raw": fact(values, "float32")}


def write_flax() -> None:
    import jax.numpy as jnp

    kernel = rng.normal(size=(5, 7)).astype("f4")
    state = {
        "params": {"dense": {"kernel": kernel, "bias": jnp.asarray(kernel[0], jnp.bfloat16)}},
        "opt_state": {"0": {"mu": kernel}},
        "step": 3,
    }
    facts = {
        "params/dense/kernel": fact(kernel, "float32"),
        "params/dense/bias": fact(jnp.asarray(kernel[0], jnp.bfloat16), "bfloat16"),
    }
    (OUT / "flax.msgpack").write_bytes(serialization.to_bytes(state))
    FACTS["flax.msgpack"] = facts
    serialization.MAX_CHUNK_SIZE = 40
    (OUT / "chunked.msgpack").write_bytes(serialization.to_bytes({"params": {"kernel": kernel}}))
    FACTS["chunked.msgpack"] = {"params/kernel": fact(kernel, "float32")}


shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
for write in (
    write_safetensors,
    write_torch,
    write_numpy,
    write_keras,
    write_gguf,
    write_onnx,
    write_flax,
):
    write()
(HERE / "weights_facts.json").write_text(json.dumps(FACTS, indent=1) + "\n")
