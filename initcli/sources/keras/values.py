"""Values of Keras's serialization in plain form."""

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
    """A part of the file that is no Keras model, and where it stands."""

    def __init__(self, message: str, path: Path, remedy: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.remedy = remedy


def as_mapping(value: Any, path: Path, what: str) -> Mapping[str, Any]:
    """The value, which must be a mapping; ``what`` says what it is.

    Raises:
        NotRead: it is something else.
    """
    if not isinstance(value, Mapping):
        raise NotRead(f"{what} is a mapping, not {quoted(value)}", path)
    return value


def as_name(name: str, path: Path) -> str:
    """The name of a class or a function, as it can be shown.

    Raises:
        NotRead: it is longer than a name may be.
    """
    if len(name) > (allowed := limits.NAME_CHARACTERS):
        message = f"the name {quoted(name)} has {len(name):,} characters, and {allowed} are allowed"
        raise NotRead(message, path)
    return printable(name)


def as_list(value: Any) -> list[Any]:
    """The value if it is a list, and else an empty one."""
    return value if isinstance(value, list) else []


def is_of_keras(data: Mapping[str, Any], kind: str) -> bool:
    """Whether a class of that name is Keras's own, and not a namesake."""
    module = data.get("module")
    if not isinstance(module, str):
        registered = data.get("registered_name")
        return not isinstance(registered, str) or registered.rpartition(">")[0] in (
            "",
            "Custom_Keras",
        )
    package = module.partition(".")[0]
    return package in _KERAS or (package in _HUB and kind in _FROM_HUB)


def shape_of(value: Any) -> tuple[int | None, ...] | None:
    """A shape with its batch, or None where the value is none."""
    value = plain(value)
    if not isinstance(value, list):
        return None
    for size in value:
        if size is not None and (type(size) is not int or size < 1):
            return None
    return tuple(value)


def built_for(data: Any) -> tuple[int | None, ...] | None:
    """The shape of the input that a layer was built for."""
    found = data.get("build_config") if isinstance(data, Mapping) else None
    return shape_of(found.get("input_shape")) if isinstance(found, Mapping) else None


def layers_of(data: Mapping[str, Any]) -> list[Any]:
    """The layers that a network lists, and none for any other layer."""
    config = data.get("config")
    return as_list(config.get("layers") if isinstance(config, Mapping) else config)


def is_functional(data: Mapping[str, Any]) -> bool:
    """Whether a layer is a Functional model, whatever its class is called."""
    config = data.get("config")
    return isinstance(config, Mapping) and "input_layers" in config and "layers" in config


def taken_by(data: Any) -> tuple[tuple[int | None, ...], Any] | None:
    """The shape that flows into a layer by its own configuration, and its dtype.

    A network says it by its first layer or its only Input, which may be a network in turn, or by
    the shape that it was built for.
    """
    built: list[tuple[int | None, ...] | None] = []
    while isinstance(data, Mapping):
        config = data.get("config")
        config = config if isinstance(config, Mapping) else {}
        found = next((s for s in map(shape_of, map(config.get, INPUT_SHAPES)) if s), None)
        if found is not None:
            return found, config.get("dtype")
        built += [built_for(data), shape_of(config.get("build_input_shape"))]
        data = _first_of(data)
    shape = next((shape for shape in reversed(built) if shape), None)
    return None if shape is None else (shape, None)


def _first_of(data: Mapping[str, Any]) -> Any:
    """The layer that takes what flows into a network, if one alone does."""
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
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    kind, config = value.get("class_name"), value.get("config")
    if kind == "__tuple__":
        return plain(value.get("items", config))
    if kind == "TensorShape":
        return plain(value.get("items"))
    if kind in ("__tensor__", "__numpy__") and isinstance(config, Mapping):
        return plain(config.get("value"))
    if kind == "__slice__" and isinstance(config, Mapping):
        return {key: config.get(key) for key in ("start", "stop", "step")}
    if kind == "__ellipsis__":
        return "..."
    if value.get("type") == "ndarray":
        return plain(value.get("value"))
    return {key: plain(each) for key, each in value.items()}


def truth(value: Any) -> Any:
    """A boolean argument as Python takes it, which is what Keras does with a number or None."""
    return bool(value) if value is None or isinstance(value, int | float) else value


def seed_of(value: Any) -> Any:
    """A seed; that of a generator is the one that it was made with."""
    if isinstance(value, Mapping):
        config = value.get("config")
        return config.get("seed") if isinstance(config, Mapping) else None
    return value
