"""Layers, initializers and activations from plain data, with all errors collected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Iterable, Mapping
from functools import cache
from itertools import islice
from typing import Any, TypeVar

import msgspec

from initcli.activations import Activation, Linear, known_activations
from initcli.errors import Errors, Path, UnknownArgument, UnknownName, did_you_mean, listed, quoted
from initcli.initializers import Custom, GlorotUniform, Initializer, known_initializers
from initcli.layers import Layer, known_layers
from initcli.layers.core import OwnWeight
from initcli.limits import in_force
from initcli.sources import foreign
from initcli.sources.describe import choices, describe
from initcli.types import Argument, ArgumentError, arguments_of

Made = TypeVar("Made", bound=msgspec.Struct)

LAYER_TYPES = (Layer, Layer | None, tuple[Layer, ...], Layer | tuple[Layer, ...])
"""The types of arguments that are layers."""


class Arguments:
    """Makes layers, initializers and activations from plain data.

    Invalid data gives None and adds to ``errors``; TooManyErrors is raised at their limit.

    Args:
        functions: initializers of ``--custom`` by name, which win over all others.
    """

    def __init__(self, functions: Mapping[str, Custom] | None = None) -> None:
        self.functions = functions or {}
        self.recipes: dict[str, Initializer] = {}
        self.errors = Errors(in_force().errors)

    def layer(self, data: Any, path: Path) -> Layer | None:
        """The layer of a mapping with a ``type``."""
        cls = self._class(data, path, "layer", known_layers())
        return None if cls is None else self.struct(cls, data, path)

    def initializer(self, data: Any, path: Path) -> Initializer | None:
        """The initializer of a name, or of a mapping with a ``type``.

        Null is GlorotUniform, as an initializer of None is in Keras.
        """
        if data is None:
            return GlorotUniform()
        # Keras files name custom code this way.
        is_code = "function" in _mapping(data) and set(_mapping(data)) <= {"function", "config"}
        key = "function" if is_code else "type"
        name = data.get(key) if isinstance(data, Mapping) else data
        if isinstance(name, str) and name in self.functions:
            custom = self.functions[name]
            given = _mapping(data)
            if is_code:
                given = _mapping(given.get("config")) if custom.is_class else {}
            given = {k: _hashable(value) for k, value in given.items() if k != "type"}
            return self._made(lambda: custom.with_arguments(given), given, path)
        if is_code:
            message = f"the initializer {quoted(name)} is custom code, which is not run"
            remedy = self._defined or f"define {name} in a file and add --custom FILE.py"
            self.errors.report(message, path, remedy, kind=UnknownName)
            return None
        if isinstance(name, str) and name in self.recipes:
            if set(_mapping(data)) <= {"type"}:
                return self.recipes[name]
            remedy = "write the type that it has, with all arguments"
            self.errors.report(f"'{name}' is a recipe, and takes no arguments", path, remedy)
            return None
        known = known_initializers()
        cls = self._class(data, path, "initializer", known, (*self.functions, *self.recipes))
        return None if cls is None else self.struct(cls, _mapping(data), path)

    @property
    def _defined(self) -> str:
        """The remedy that lists the functions of ``--custom``; empty without any."""
        names = [quoted(name) for name in islice(self.functions, 8)]
        return f"--custom defines {listed(names, 'and')}" if names else ""

    def _made(self, make: Callable[[], Made], given: Container[str], path: Path) -> Made | None:
        """What ``make`` makes of the given arguments, unless it refuses one."""
        try:
            return make()
        except ArgumentError as error:
            self.invalid_argument(error, given, path)
            return None

    def activation(self, data: Any, path: Path) -> Activation | None:
        """The activation of a name, or of a mapping with a ``type``."""
        if data is None:
            return Linear()
        cls = self._class(data, path, "activation", known_activations())
        return None if cls is None else self.struct(cls, _mapping(data), path)

    def recipe(self, name: str, data: Any, path: Path) -> None:
        """Define a recipe: an initializer under a name for use in layers."""
        if name in known_initializers():
            message = f"'{name}' is the name of a built-in initializer"
            self.errors.report(message, path, "choose another name", at_key=True)
        elif made := self.initializer(data, path):
            self.recipes[name] = made

    def struct(self, cls: type[Made], data: Mapping[str, Any], path: Path) -> Made | None:
        """An instance of the class from its arguments."""
        before = len(self.errors)
        fields = _fields(cls)
        unknown = [key for key in data if key not in fields and not _says_nothing(cls, key)]
        for key in unknown:
            self._unknown_argument(cls, key, (*path, key))
        # A misspelled argument is not also reported as missing.
        meant = [foreign.meant(key, fields) for key in unknown]
        for name, field in fields.items():
            is_meant = any(f"'{name}'" in question for question in meant)
            if field.required and name not in data and not is_meant:
                self.errors.report(f"{_name(cls)} needs `{name}`, {describe(field.type)}", path)
        values = {
            fields[name].attribute: self.value(fields[name].type, name, value, (*path, name))
            for name, value in data.items()
            if name in fields
        }
        if len(self.errors) > before:
            return None
        return self._made(lambda: cls(**values), data, path)

    def value(self, type_: Any, name: str, value: Any, path: Path) -> Any:
        if type_ == Initializer | None and value is None:
            return None
        if type_ in (Initializer, Initializer | None):
            return self.initializer(value, path)
        if type_ is Activation:
            return self.activation(value, path)
        if type_ in LAYER_TYPES:
            return self._layers(type_, name, value, path)
        if type_ == tuple[OwnWeight, ...]:
            return self._weights(name, value, path)
        if isinstance(value, str) and value.lower() in choices(type_):
            value = value.lower()  # Keras takes "SAME" for "same".
        try:
            made = msgspec.convert(value, type_)
        except msgspec.ValidationError:
            hint = did_you_mean(value, choices(type_)) or _hint(value)
            self.errors.report(
                f"`{name}` must be {describe(type_)}, not {quoted(value)}", path, hint
            )
            return None
        if not _finite(made):
            self.errors.report(f"`{name}` must be finite, not {quoted(value)}", path)
        return made

    def _layers(self, type_: Any, name: str, value: Any, path: Path) -> Any:
        if value is None and type_ == Layer | None:
            return None
        several = type_ in (tuple[Layer, ...], Layer | tuple[Layer, ...])
        if not several or (type_ != tuple[Layer, ...] and not isinstance(value, list)):
            return self.layer(value, path)
        if not isinstance(value, list):
            self.errors.report(f"`{name}` must be a list of layers, not {quoted(value)}", path)
            return None
        return tuple(self.layer(each, (*path, index)) for index, each in enumerate(value))

    def _weights(self, name: str, value: Any, path: Path) -> Any:
        if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
            message = f"`{name}` must be {describe(tuple[OwnWeight, ...])}, not {quoted(value)}"
            remedy = "such as [{name: kernel, shape: [3, 4], initializer: he_normal}]"
            self.errors.report(message, path, remedy)
            return None
        return tuple(self.struct(OwnWeight, each, (*path, i)) for i, each in enumerate(value))

    def _class(
        self,
        data: Any,
        path: Path,
        kind: str,
        known: Mapping[str, type[Made]],
        own: Iterable[str] = (),
    ) -> type[Made] | None:
        """The class of a name, or of the ``type`` of a mapping."""
        named = isinstance(data, str) and kind != "layer"
        if not named and not isinstance(data, Mapping):
            name = "" if kind == "layer" else "a name or "
            message = f"{_article(kind)} is {name}a mapping with a `type`, not {quoted(data)}"
            remedy = f"such as {_EXAMPLES[kind]}"
            if isinstance(data, str) and data in known:
                remedy = f"write {{type: {data}}}, with its arguments"
            self.errors.report(message, path, remedy)
            return None
        if not named and "type" not in data:
            remedy = f"such as {_EXAMPLES[kind]}"
            self.errors.report(f"{_article(kind)} needs a `type`", path, remedy)
            return None
        name, place = (data, path) if named else (data["type"], (*path, "type"))
        if isinstance(name, str) and name in known:
            return known[name]
        remedy = _HINTS[kind](name, {*known, *own})
        if not remedy and kind == "initializer":
            remedy = self._defined or "name a file with your own function by --custom FILE.py"
        remedy = remedy or f"`initcli catalog` lists every {kind}"
        self.errors.report(f"unknown {kind} {quoted(name)}", place, remedy, kind=UnknownName)
        return None

    def invalid_argument(self, error: ArgumentError, given: Container[str], path: Path) -> None:
        """Report the error of an argument, at the argument if it was given."""
        place = (*path, error.argument) if error.argument in given else path
        self.errors.report(str(error), place, error.remedy)

    def _unknown_argument(self, cls: type[msgspec.Struct], key: str, path: Path) -> None:
        fields = _fields(cls)
        if issubclass(cls, Layer) and not cls.has_weights() and str(key).endswith("_initializer"):
            message = f"{cls.__name__} takes no `{key}`, because it has no weights"
            remedy = f"remove `{key}`"
        else:
            message = f"{_name(cls)} takes no `{quoted(key).strip(chr(39))}`"
            general = Layer.__struct_fields__ if issubclass(cls, Layer) else ()
            own = [name for name, each in fields.items() if each.attribute not in general]
            takes = listed([f"`{name}`" for name in own or fields], "and")
            hint = foreign.argument if issubclass(cls, Layer) else foreign.meant
            remedy = hint(key, fields) or f"it takes {takes}"
        self.errors.report(message, path, remedy, kind=UnknownArgument, at_key=True)


def _hashable(value: Any) -> Any:
    """A value with its lists as tuples, which initializers hold."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _mapping(data: Any) -> Mapping[str, Any]:
    """The data if it is a mapping; none for a name alone."""
    return data if isinstance(data, Mapping) else {}


@cache
def _fields(cls: type[msgspec.Struct]) -> dict[str, Argument]:
    return {each.name: each for each in arguments_of(cls)}


def _says_nothing(cls: type[msgspec.Struct], key: str) -> bool:
    """Whether a key that is not an argument is ignored.

    It is the type, or a regularizer or constraint, which changes no initial value.
    """
    if key == cls.__struct_config__.tag_field:
        return True
    tensor, _, kind = str(key).rpartition("_")
    regular = kind in ("regularizer", "constraint") and f"{tensor}_initializer" in _fields(cls)
    return issubclass(cls, Layer) and (regular or key == "activity_regularizer")


def _name(cls: type[msgspec.Struct]) -> str:
    return {"Spec": "a spec", "OwnWeight": "a weight"}.get(cls.__name__, cls.__name__)


_EXAMPLES = {
    "layer": "{type: Dense, units: 10}",
    "initializer": "{type: Constant, value: 0.1}",
    "activation": "{type: leaky_relu, negative_slope: 0.1}",
}


_HINTS = {
    "layer": foreign.layer,
    "initializer": foreign.initializer,
    "activation": foreign.meant,
}


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, tuple | list):
        return all(_finite(each) for each in value)
    return True


def _hint(value: Any) -> str:
    """The remedy for a boolean of YAML 1.1 or a number in quotes."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", value):
        return f"write {value} without quotes"
    if isinstance(value, str) and value.lower() in ("yes", "on", "no", "off"):
        return f"write {'true' if value.lower() in ('yes', 'on') else 'false'}"
    return ""
