"""Defaults and names with another meaning in the version of Keras that wrote a file.

Sources are the tags of ``keras-team/keras``, ``tf.keras`` (whose versions end in ``-tf`` before
2.4) and ``tfjs-layers`` of TensorFlow.js. One line of :data:`_MEANINGS` is one change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from initcli.initializers import Initializer, Scaled, VarianceScaling, known_initializers
from initcli.layers import Layer
from initcli.layers.local import LocallyConnected
from initcli.sources.keras.values import config_of, layers_of

Maker = Literal["keras", "tensorflow", "tfjs"]
Numbers = tuple[int, ...]


class Version(NamedTuple):
    """A version of Keras and its maker."""

    maker: Maker
    numbers: Numbers

    @property
    def is_first(self) -> bool:
        """Whether it is a version of Keras 1."""
        return self.maker == "keras" and self.numbers < (2,)

    @property
    def is_old(self) -> bool:
        """Whether it is older than Keras 3."""
        return self.numbers < (3,) or self.maker == "tfjs"

    def __str__(self) -> str:
        return ".".join(map(str, self.numbers))


LATEST = Version("keras", (3, 15))
_LAST_OF_2 = Version("tensorflow", (2, 15, 0))
_LAST_OF_1 = Version("keras", (1, 2, 2))


class Meaning(NamedTuple):
    """Default arguments of a layer, an activation or an initializer.

    They hold for versions of ``maker`` (any if None) from ``since`` until before ``before``.
    """

    word: str
    arguments: Mapping[str, Any]
    maker: Maker | None
    since: Numbers
    before: Numbers


_HARD = {"recurrent_activation": "hard_sigmoid"}
_GATED = ("LSTM", "GRU", "LSTMCell", "GRUCell")
_CONVOLVED = ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_PROJECTIONS = ("EinsumDense", "MultiHeadAttention", "GroupedQueryAttention")
_NARROW = "uncorrected_truncated_normal"
_ALWAYS: Numbers = (1_000_000,)

FANS = "fans"
"""The entry for all initializers that count fans."""
DISTRIBUTIONS = "distributions"
"""The entry for the names of variance scaling's distributions."""

_MEANINGS = (
    Meaning("hard_sigmoid", {"slope": 0.2}, None, (), (3,)),
    Meaning("hard_sigmoid", {"slope": 0.2}, "tfjs", (3,), _ALWAYS),
    *(Meaning(each, _HARD, "keras", (), (2, 3)) for each in _GATED),
    *(Meaning(each, _HARD, "tensorflow", (), (2, 2, 4)) for each in _GATED),
    *(Meaning(each, _HARD, "tfjs", (), _ALWAYS) for each in _GATED),
    *(Meaning(each, _HARD, None, (), (3,)) for each in _CONVOLVED),
    *(Meaning(each, _HARD, "tfjs", (3,), _ALWAYS) for each in _CONVOLVED),
    *(Meaning(each, {"reset_after": False}, "keras", (), (2, 4)) for each in _GATED[1::2]),
    *(Meaning(each, {"reset_after": False}, "tensorflow", (), (2, 2, 4)) for each in _GATED[1::2]),
    *(Meaning(each, {"reset_after": False}, "tfjs", (), _ALWAYS) for each in _GATED[1::2]),
    *(Meaning(each, {"fans": "convolution"}, None, (), (3,)) for each in _PROJECTIONS),
    Meaning("Identity", {"repeated": True}, "keras", (2, 2, 3), (2, 2, 5)),
    Meaning(FANS, {"fan_rule": "keras2_0"}, "keras", (2,), (2, 0, 6)),
    Meaning(FANS, {"fan_rule": "keras2"}, "keras", (2, 0, 6), (2, 4)),
    Meaning(FANS, {"fan_rule": "keras2"}, "tfjs", (), _ALWAYS),
    Meaning(DISTRIBUTIONS, {"normal": _NARROW}, "keras", (2,), (2, 2)),
    # TensorFlow 1.4 to 1.9; later versions write truncated_normal.
    Meaning(DISTRIBUTIONS, {"normal": _NARROW}, "tensorflow", (2,), (2, 2, 4)),
    # Any name but "normal" stands for uniform in TensorFlow.js.
    Meaning(DISTRIBUTIONS, {"normal": _NARROW, "truncated_normal": "uniform"}, "tfjs", (), _ALWAYS),
)


def meaning(version: Version, word: str) -> dict[str, Any]:
    """The default arguments of a name in that version that differ from the latest ones."""
    return {
        name: value
        for each in _MEANINGS
        if each.word == word
        and each.maker in (None, version.maker)
        and each.since <= version.numbers < each.before
        for name, value in each.arguments.items()
    }


def initializer_of(version: Version, given: Any) -> Any:
    """The initializer that a name or a mapping stands for in that version."""
    cls = _class_of(given)
    if cls is None:
        return given
    own = given if isinstance(given, dict) else {}
    initializer: dict[str, Any] = {"type": cls.__name__} | meaning(version, cls.__name__) | own
    words = meaning(version, DISTRIBUTIONS)
    if cls is VarianceScaling:
        word = initializer.get("distribution", "normal")
        if isinstance(word, str):
            initializer["distribution"] = words.get(word, _PRESENT.get(word, word))
    elif issubclass(cls, Scaled) and version.maker != "tensorflow" and "normal" in words:
        # Names such as he_normal stand for the "normal" of their version.
        scale, mode, distribution = getattr(cls, "setting")  # noqa: B009
        if distribution == "truncated_normal":
            initializer |= {"scale": scale, "mode": mode, "distribution": words["normal"]}
            initializer["type"] = "VarianceScaling"
    return initializer


def _class_of(initializer: Any) -> type[Initializer] | None:
    kind = initializer.get("type") if isinstance(initializer, Mapping) else initializer
    return known_initializers().get(kind) if isinstance(kind, str) else None


_PRESENT = {"normal": "truncated_normal"}
"""Distributions of Keras 2 under their names in Keras 3."""


def with_fans(version: Version, cls: type[Layer], argument: str, initializer: Any) -> Any:
    """The initializer with the rule of that version for fans, if it makes a difference."""
    rule, kind = meaning(version, FANS), _class_of(initializer)
    if not rule or not isinstance(initializer, Mapping) or not kind or not issubclass(kind, Scaled):
        return initializer
    rank = _rank(cls, argument)
    as_now = (2, 3, 4, 5) if rule["fan_rule"] == "keras2" else (2, 4)
    return initializer if rank in as_now else {**initializer, **rule}


def _rank(cls: type[Layer], argument: str) -> int | None:
    """The rank of the kernel that an argument initializes, if it is always the same."""
    if argument.partition("_")[0] not in _KERNELS:
        return None
    if issubclass(cls, LocallyConnected):
        return 3
    spatial = getattr(cls, "rank", None)
    return spatial + 2 if isinstance(spatial, int) else 2


_KERNELS = ("kernel", "recurrent", "depthwise", "pointwise", "embeddings")


def version_of(model: Mapping[str, Any]) -> tuple[Version, str]:
    """The version that a model names, or the latest that writes this form, with a note."""
    if (named := _named(model.get("keras_version"))) is not None:
        return named, ""
    guess = _guessed(model)
    if guess == LATEST:
        return guess, ""
    return guess, f"the file names no version of Keras; it is read as a file of Keras {guess}"


def _named(text: Any) -> Version | None:
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text[:100]) if isinstance(text, str) else None
    if match is None:
        return None
    numbers = tuple(int(part[:6]) for part in match.groups() if part)
    if text.startswith("tfjs"):
        return Version("tfjs", numbers)
    of_tensorflow = text.rstrip().endswith("-tf") or (2, 4) <= numbers < (3,)
    return Version("tensorflow" if of_tensorflow else "keras", numbers)


_WORDS_OF_1 = frozenset(
    "init inner_init nb_filter border_mode dim_ordering input_dtype W_regularizer".split()  # noqa: SIM905
)


def _guessed(model: Any) -> Version:
    """The latest version that writes such a file."""
    words = {key for layer in layers_of(model) for key in config_of(layer)}
    if words & _WORDS_OF_1:
        return _LAST_OF_1
    return _LAST_OF_2 if "batch_input_shape" in words else LATEST
