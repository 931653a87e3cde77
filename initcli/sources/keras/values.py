"""The serialization of Keras: its names, and its values as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from initcli import limits
from initcli.errors import Path, printable, quoted
from initcli.layers.core import Input
from initcli.sources.describe import choices
from initcli.types import Shape, arguments_of

_KERAS = ("keras", "tf_keras", "tensorflow")
_HUB = ("keras_hub", "keras_nlp")
_FROM_HUB = ("PositionEmbedding", "ReversibleEmbedding")

OLD = {
    "SyncBatchNormalization": "BatchNormalization",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "LSTMV2": "LSTM",
    "GRUV2": "GRU",
    "UnifiedLSTM": "LSTM",
    "UnifiedGRU": "GRU",
}
"""Layers of Keras 2 under their names in Keras 3."""
PASSING_ON = ("AddLoss", "AddMetric")
"""Layers of Keras 2 whose output is their input, and that Keras 3 lacks."""
RENAMED = {
    ("LeakyReLU", "alpha"): "negative_slope",
    ("ReLU", "alpha"): "negative_slope",
    ("threshold", "theta"): "threshold",
    ("MaxoutDense", "output_dim"): "units",
    ("MaxoutDense", "nb_feature"): "features",
    ("MaxoutDense", "init"): "kernel_initializer",
    ("MaxoutDense", "bias"): "use_bias",
    ("Highway", "init"): "kernel_initializer",
    ("Highway", "bias"): "use_bias",
}
"""Arguments of Keras 2 under their names in Keras 3, by layer or activation."""
INPUT_SHAPES = ("batch_shape", "batch_input_shape")
"""Keys for the shape of a layer's input, including the batch."""
SILENT = frozenset(
    """adjustment autocast batch_input_shape batch_shape batch_size build_config causal class_name
    experimental_run_tf_function filters fused gptq_unpacked_column_size groups implementation
    input_dim input_dtype input_length input_shape kernel_initializer key_shape noise_shape optional
    quantization_config query_shape ragged sparse stateful supports_masking synchronized
    seed time_major unroll use_cudnn value_shape virtual_batch_size weights zero_output_for_mask
    output_shape _build_input_shape _build_shapes_dict""".split()  # noqa: SIM905
)
"""Keys that change no shape and no initial weight, unless the layer has such an argument."""
AS_ACTIVATION = {
    "LeakyReLU": "leaky_relu",
    "ReLU": "relu",
    "ELU": "elu",
    "Softmax": "softmax",
    "ThresholdedReLU": "threshold",
}
"""Layers that may be used as activations."""


class NotRead(Exception):
    """Raised for a part of a file that is not that of a Keras model, with its path."""

    def __init__(self, message: str, path: Path, remedy: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.remedy = remedy


def as_mapping(value: Any, path: Path, what: str) -> Mapping[str, Any]:
    """The value, which must be a mapping; ``what`` names it in the message.

    Raises:
        NotRead: it is something else.
    """
    if not isinstance(value, Mapping):
        raise NotRead(f"{what} is a mapping, not {quoted(value)}", path)
    return value


def as_mapping_or_empty(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def as_name(name: str, path: Path) -> str:
    """The printable name of a class or a function.

    Raises:
        NotRead: it is too long.
    """
    if len(name) > (limit := limits.NAME_CHARACTERS):
        message = f"the name {quoted(name)} has {len(name):,} characters, but {limit} are allowed"
        raise NotRead(message, path)
    return printable(name)


def config_of(data: Any) -> Mapping[str, Any]:
    """The configuration of a layer, or an empty one."""
    return as_mapping_or_empty(as_mapping_or_empty(data).get("config"))


def is_of_keras(data: Mapping[str, Any], kind: str) -> bool:
    """Whether a class of that name is one of Keras, not of a user."""
    module = data.get("module")
    if isinstance(module, str):
        package = module.partition(".")[0]
        return package in _KERAS or (package in _HUB and kind in _FROM_HUB)
    registered = data.get("registered_name")
    package = registered.rpartition(">")[0] if isinstance(registered, str) else ""
    return package in ("", "Custom_Keras")


def shape_of(value: Any) -> Shape | None:
    """The shape, with the batch, that a value represents; None if it represents none."""
    value = plain(value)
    if not isinstance(value, list):
        return None
    is_shape = all(size is None or (type(size) is int and size >= 1) for size in value)
    return tuple(value) if is_shape else None


def built_for(data: Any) -> Shape | None:
    """The shape of the input that a layer was built for."""
    build_config = as_mapping_or_empty(as_mapping_or_empty(data).get("build_config"))
    return shape_of(build_config.get("input_shape"))


def layers_of(data: Mapping[str, Any]) -> list[Any]:
    """The data of the layers of a network; none for any other layer."""
    config = data.get("config")
    return as_list(config.get("layers") if isinstance(config, Mapping) else config)


def is_functional(data: Mapping[str, Any]) -> bool:
    """Whether a layer is a Functional model, regardless of its class name."""
    return {"input_layers", "layers"} <= config_of(data).keys()


def taken_by(data: Any) -> tuple[Shape, Any] | None:
    """The shape and the dtype of the input of a layer, if its configuration has them.

    For a network they are those of its first layer or only Input, which may be a network itself,
    or of the shape that it was built for.
    """
    built: list[Shape | None] = []
    while isinstance(data, Mapping):
        config = config_of(data)
        shape = next((s for s in map(shape_of, map(config.get, INPUT_SHAPES)) if s), None)
        if shape is not None:
            return shape, config.get("dtype")
        built += [built_for(data), shape_of(config.get("build_input_shape"))]
        data = _first_of(data)
    shape = next((shape for shape in reversed(built) if shape), None)
    return None if shape is None else (shape, None)


def _first_of(data: Mapping[str, Any]) -> Any:
    """The layer that takes the input of a network, if there is only one."""
    layers = layers_of(data)
    if not is_functional(data):
        return layers[0] if layers else None
    match data["config"]["input_layers"]:
        case [str(name), _, _] | [[str(name), _, _]]:
            named = (each for each in layers if isinstance(each, Mapping))
            return next((each for each in named if each.get("name") == name), None)
    return None


def plain(value: Any) -> Any:
    """A value with serialized tuples, arrays and other objects as plain values."""
    match value:
        case list():
            return [plain(each) for each in value]
        case {"class_name": "__tuple__" | "TensorShape", **rest}:
            return plain(rest.get("items", rest.get("config")))
        case {"class_name": "__tensor__" | "__numpy__", "config": dict(config)}:
            return plain(config.get("value"))
        case {"class_name": "__slice__", "config": dict(config)}:
            return {key: config.get(key) for key in ("start", "stop", "step")}
        case {"class_name": "__ellipsis__"}:
            return "..."
        case {"type": "ndarray", **rest}:
            return plain(rest.get("value"))
        case dict():
            return {key: plain(each) for key, each in value.items()}
    return value


def truth(value: Any) -> Any:
    """A boolean argument, for which Keras also accepts numbers and None."""
    return bool(value) if value is None or isinstance(value, int | float) else value


def seed_of(value: Any) -> Any:
    """A seed, or that of a seed generator."""
    return config_of(value).get("seed") if isinstance(value, Mapping) else value


def says_nothing(key: str) -> bool:
    """Whether a key is ignored if the layer has no such argument."""
    return key == "name" or key in SILENT or key.endswith(("_regularizer", "_constraint"))


@cache
def types_of(cls: type[msgspec.Struct]) -> dict[str, Any]:
    """The types of a struct's arguments."""
    return {argument.name: argument.type for argument in arguments_of(cls)}


def input_entry(shape: Shape | None, dtype: Any, name: Any) -> dict[str, Any]:
    """The entry of an Input of a shape with its batch."""
    batch, *sizes = shape or (None,)
    entry: dict[str, Any] = {"type": "Input", "shape": sizes}
    if batch is not None:
        entry["batch_size"] = batch
    if isinstance(dtype, str) and dtype in choices(types_of(Input)["dtype"]):
        entry["dtype"] = dtype
    if name and isinstance(name, str):
        entry["name"] = name
    return entry


_MODES = ("int8", "int4", "float8", "gptq", "awq")


def policy_in(value: Any) -> Mapping[str, Any]:
    """The configuration of a dtype policy, or of the default of a map of policies."""
    config = value.get("config") if isinstance(value, Mapping) else None
    if isinstance(config, Mapping) and "default_policy" in config:
        default = config["default_policy"]
        return policy_in(default) if isinstance(default, Mapping) else {"name": default}
    return config if isinstance(config, Mapping) else {}


def quantization_of(config: Mapping[str, Any]) -> str | None:
    """The scheme of a layer, such as ``int4/128``; None for floating-point weights.

    The policy is an object with a ``mode``, or a name such as ``int8_from_float32``. For int4, the
    layer's own ``quantization_config`` has the block size of the scales.
    """
    value = config.get("dtype")
    policy = policy_in(value) if isinstance(value, Mapping) else {"name": value}
    mode = policy.get("mode")
    if not isinstance(mode, str):
        name = policy.get("name")
        mode, *source = name.split("_from_") if isinstance(name, str) else ("",)
        if not source:
            return None
    if mode.partition("/")[0] not in _MODES:
        return None
    if mode == "float8" and isinstance(length := policy.get("amax_history_length"), int):
        return f"float8/{length}"
    own = config.get("quantization_config")
    inner = own.get("config") if isinstance(own, Mapping) else None
    if mode.startswith("int4") and isinstance(inner, Mapping) and "block_size" in inner:
        return f"int4/{-1 if inner['block_size'] is None else inner['block_size']}"
    return mode
