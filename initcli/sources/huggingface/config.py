"""The keys of a configuration, checked, with the library's own defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from initcli.documents.document import Document
from initcli.errors import Errors, NotCovered, Path, did_you_mean, quoted
from initcli.limits import in_force

MAX_SIZE = 2**40
"""Largest size of one axis. A tensor of PyTorch has fewer than 2^63 entries."""

_ACTIVATIONS = (
    *("gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python"),
    *("gelu_python_tanh", "gelu_pytorch_tanh", "hardswish", "laplace", "leaky_relu", "linear"),
    *("mish", "prelu", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu"),
    *("sqrtsoftplus", "swish", "tanh", "xielu"),
)
"""The activations of transformers."""


class Config:
    """The values of a configuration; for keys that it does not give, the model type's defaults.

    A wrong value is reported to ``errors``, and replaced by the default.
    """

    def __init__(
        self, document: Document, defaults: Mapping[str, Any], aliases: Mapping[str, str]
    ) -> None:
        self.document = document
        self.data: Mapping[str, Any] = document.data
        self.path: Path = ()
        self.defaults = defaults
        self.aliases = aliases
        self.errors = Errors(in_force().errors)
        self.refused: set[tuple[Path, str]] = set()
        self.notes: dict[str, None] = {}

    def part(self, key: str, defaults: Mapping[str, Any], aliases: Mapping[str, str]) -> Config:
        """The configuration of a part of the model; empty for null."""
        part = Config(self.document, defaults, aliases)
        part.errors, part.notes, part.path = self.errors, self.notes, (*self.path, key)
        given = self.data.get(key)
        if given is not None and not isinstance(given, Mapping):
            self._refuse(key, given, "a mapping")
        part.data = given if isinstance(given, Mapping) else {}
        return part

    def refuse_part(self, key: str, model_type: Any, known: Iterable[str]) -> None:
        """Report that the model type of a part is not covered."""
        message = f"the model type {quoted(model_type)} of `{key}` is not covered"
        self.errors.report(message, (*self.path, key), did_you_mean(model_type, known))

    def value(self, key: str) -> Any:
        """The value of a key, unchecked."""
        return self.written(key)[1]

    def size(self, key: str, least: int = 1) -> int:
        """A whole number of at least ``least``."""
        name, value = self.written(key)
        if type(value) is int and least <= value <= MAX_SIZE:
            return value
        self._refuse(name, value, f"a whole number from {least} to {MAX_SIZE:,}")
        default = self.defaults.get(key)
        return default if type(default) is int else least

    def optional_size(self, key: str, least: int = 1) -> int | None:
        """A whole number of at least ``least``, or None for null."""
        return None if self.is_null(key) else self.size(key, least)

    def index(self, key: str, rows: int) -> int | None:
        """A row of a table of ``rows``, counted from the end if negative; None for null."""
        name, value = self.written(key)
        if value is None:
            return None
        if type(value) is int and -rows <= value < rows:
            return value % rows
        self._refuse(name, value, f"a row of a table of {rows:,}")
        return None

    def flag(self, key: str) -> bool:
        """True or false."""
        name, value = self.written(key)
        if isinstance(value, bool):
            return value
        if value is None and self.defaults.get(key) is None and key not in self.data:
            return False
        self._refuse(name, value, "true or false")
        return bool(self.defaults.get(key))

    def refuse_flag(self, key: str, *, refused: bool = True) -> None:
        """Report that this value of a flag is not covered."""
        if self.flag(key) == refused:
            path = (*self.path, self.written(key)[0])
            message = f"`{key}: {str(refused).lower()}` is not covered"
            self.errors.report(message, path, kind=NotCovered)

    def number(self, key: str) -> float:
        """0, or a number from 1e-30 to 1e6."""
        value = self.value(key)
        if value == 0 and not isinstance(value, bool):
            return 0.0
        return self._bounded(key, "0, or ", 0.0)

    def positive(self, key: str) -> float:
        """A number from 1e-30 to 1e6."""
        return self._bounded(key, "", 1.0)

    def _bounded(self, key: str, other: str, least: float) -> float:
        name, value = self.written(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and 1e-30 <= value <= 1e6:
            return float(value)
        self._refuse(name, value, f"{other}a number from 1e-30 to 1e6")
        return float(self._default(key, least))

    def word(self, key: str, choices: Iterable[str]) -> str:
        """One of the choices."""
        name, value = self.written(key)
        known = list(choices)
        if isinstance(value, str) and value in known:
            return value
        self._refuse(name, value, " or ".join(known), did_you_mean(value, known))
        return str(self._default(key, known[0]))

    def activation(self, key: str) -> None:
        """Check the name of an activation, on which no weight depends."""
        name, value = self.written(key)
        if value not in _ACTIVATIONS:
            remedy = did_you_mean(value, _ACTIVATIONS)
            self._refuse(name, value, "an activation of transformers", remedy)

    def text(self, key: str) -> str:
        """A text."""
        name, value = self.written(key)
        if isinstance(value, str):
            return value
        self._refuse(name, value, "a text")
        return str(self._default(key, ""))

    def numbers(self, key: str, length: int | None = None, least: int = 0) -> tuple[int, ...]:
        """A list of ``length`` whole numbers of at least ``least``; empty for null."""
        name, value = self.written(key)
        given = () if value is None else value
        is_list = isinstance(given, list | tuple) and all(
            type(each) is int and least <= each <= MAX_SIZE for each in given
        )
        if is_list and length in (None, len(given)):
            return tuple(given)
        count = "" if length is None else f"{length:,} "
        self._refuse(name, value, f"a list of {count}whole numbers from {least}")
        return ()

    def factors(self, key: str, length: int) -> tuple[float, ...]:
        """A list of ``length`` numbers from 1e-30 to 1e6."""
        name, value = self.written(key)
        is_list = isinstance(value, list | tuple) and len(value) == length
        if is_list and all(type(x) in (int, float) and 1e-30 <= x <= 1e6 for x in value):
            return tuple(map(float, value))
        self._refuse(name, value, f"a list of {length:,} numbers from 1e-30 to 1e6")
        return ()

    def length(self, key: str) -> int:
        """The number of entries of a list."""
        name, value = self.written(key)
        if isinstance(value, list | tuple):
            return len(value)
        self._refuse(name, value, "a list")
        return 0

    def most(self, key: str) -> int:
        """The largest value of a mapping whose values are whole numbers of at least 1."""
        name, value = self.written(key)
        values: list[int] = list(value.values()) if isinstance(value, Mapping) else []
        if values and all(type(each) is int and 1 <= each <= MAX_SIZE for each in values):
            return max(values)
        self._refuse(name, value, "a mapping to whole numbers from 1")
        return 1

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty for null."""
        name, value = self.written(key)
        given = () if value is None else value
        if isinstance(given, list | tuple) and all(isinstance(each, str) for each in given):
            return tuple(given)
        self._refuse(name, value, "a list of texts")
        return ()

    def words(self, key: str, choices: Iterable[str], length: int) -> tuple[str, ...]:
        """A list of ``length`` of the choices; empty for null."""
        name, value = self.written(key)
        if value is None:
            return ()
        known = list(choices)
        if (
            isinstance(value, list | tuple)
            and len(value) == length
            and all(each in known for each in value)
        ):
            return tuple(value)
        self._refuse(name, value, f"a list of {length:,}, each {' or '.join(known)}")
        return ()

    def pair(self, key: str) -> tuple[int, int]:
        """A whole number for both axes, or a list of two."""
        name, value = self.written(key)
        values = value if isinstance(value, list | tuple) else (value, value)
        if len(values) == 2 and all(type(each) is int and 1 <= each <= MAX_SIZE for each in values):
            return values[0], values[1]
        self._refuse(name, value, "a whole number, or a list of two")
        return 1, 1

    def quotient(self, key: str, by: str, *, is_strict: bool = True) -> int:
        """The size under ``key`` divided by that under ``by``.

        A remainder is an error if ``is_strict``, as in the library; otherwise it is dropped, with
        a note.
        """
        size, parts = self.size(key), self.size(by)
        if size % parts:
            name, other = self.written(key)[0], self.written(by)[0]
            message = f"`{name}` is {size:,}, no multiple of `{other}`, which is {parts:,}"
            if is_strict or parts > size:
                self.errors.report(message, (*self.path, name))
            else:
                self.notes[f"{message}: the library rounds the quotient down"] = None
        return max(size // parts, 1)

    def is_null(self, key: str) -> bool:
        """Whether the value is null."""
        return self.written(key)[1] is None

    @property
    def labels(self) -> int:
        """The number of classes: 2, unless ``id2label`` or ``num_labels`` says otherwise."""
        data = self.data
        given = data.get("id2label")
        if isinstance(given, Mapping) and given:
            return len(given)
        if data.get("num_labels") is None:
            return int(self.defaults.get("num_labels", 2))
        return self.size("num_labels")

    def written(self, key: str) -> tuple[str, Any]:
        """The name by which the configuration gives a key, which may be an alias, and its value."""
        data, key = self.data, self.aliases.get(key, key)
        others = (name for name, meant in self.aliases.items() if meant == key)
        for name in (key, *others):
            if name in data:
                return name, data[name]
        return key, self.defaults.get(key)

    def _default(self, key: str, least: Any) -> Any:
        default = self.defaults.get(key)
        return least if default is None else default

    def _refuse(self, name: str, value: Any, wanted: str, remedy: str = "") -> None:
        message = f"`{name}` must be {wanted}, not {quoted(value)}"
        if name not in self.data:
            message = f"`{name}`, which is not given, is {quoted(value)}, and must be {wanted}"
        path = (*self.path, name) if name in self.data else self.path
        # Every block asks for the same keys.
        if (path, message) not in self.refused:
            self.refused.add((path, message))
            self.errors.report(message, path, remedy)
