"""Values of Keras's serialization as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from initcli import limits
from initcli.errors import Path, printable, quoted
from initcli.sources.keras.vocabulary import INPUT_SHAPES

_KERAS = ("keras", "tf_keras", "tensorflow")
_HUB = ("keras_hub", "keras_nlp")
_FROM_HUB = ("PositionEmbedding", "ReversibleEmbedding")


class NotRead(Exception):
    """Raised for a part of a file that cannot be read as a Keras model's, with its path."""

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
        message = f"the name {quoted(name)} has {len(name):,} characters, and {limit} are allowed"
        raise NotRead(message, path)
    return printable(name)


def config_of(data: Any) -> Mapping[str, Any]:
    """The configuration of a layer, empty if it has none."""
    return as_mapping_or_empty(as_mapping_or_empty(data).get("config"))


def is_of_keras(data: Mapping[str, Any], kind: str) -> bool:
    """Whether a class of that name is Keras's own, and not a user's of the same name."""
    module = data.get("module")
    if isinstance(module, str):
        package = module.partition(".")[0]
        return package in _KERAS or (package in _HUB and kind in _FROM_HUB)
    registered = data.get("registered_name")
    package = registered.rpartition(">")[0] if isinstance(registered, str) else ""
    return package in ("", "Custom_Keras")


def shape_of(value: Any) -> tuple[int | None, ...] | None:
    """A shape with its batch; None if the value is not a shape."""
    value = plain(value)
    if not isinstance(value, list):
        return None
    is_shape = all(size is None or (type(size) is int and size >= 1) for size in value)
    return tuple(value) if is_shape else None


def built_for(data: Any) -> tuple[int | None, ...] | None:
    """The shape of the input that a layer was built for."""
    build_config = as_mapping_or_empty(as_mapping_or_empty(data).get("build_config"))
    return shape_of(build_config.get("input_shape"))


def layers_of(data: Mapping[str, Any]) -> list[Any]:
    """The layers of a network; none for any other layer."""
    config = data.get("config")
    return as_list(config.get("layers") if isinstance(config, Mapping) else config)


def is_functional(data: Mapping[str, Any]) -> bool:
    """Whether a layer is a Functional model, whatever its class is called."""
    return {"input_layers", "layers"} <= config_of(data).keys()


def taken_by(data: Any) -> tuple[tuple[int | None, ...], Any] | None:
    """The shape and the dtype of a layer's input as its own configuration gives them.

    For a network, its first layer or its only Input gives them, which may be a network in turn, or
    else the shape that it was built for.
    """
    built: list[tuple[int | None, ...] | None] = []
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
    """The layer that takes a network's input, if there is only one."""
    layers = layers_of(data)
    if not is_functional(data):
        return layers[0] if layers else None
    match data["config"]["input_layers"]:
        case [str(name), _, _] | [[str(name), _, _]]:
            named = (each for each in layers if isinstance(each, Mapping))
            return next((each for each in named if each.get("name") == name), None)
    return None


def plain(value: Any) -> Any:
    """Tuples, arrays and other objects of Keras's serialization as plain values."""
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
    """A boolean argument; Keras takes a number or None as Python does."""
    return bool(value) if value is None or isinstance(value, int | float) else value


def seed_of(value: Any) -> Any:
    """A seed, or the one that a seed generator was made with."""
    return config_of(value).get("seed") if isinstance(value, Mapping) else value
