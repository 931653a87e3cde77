"""Names of PyTorch, Flax and JAX that differ from those of initcli, for remedies."""

from __future__ import annotations

from collections.abc import Collection

from initcli.activations import known_activations
from initcli.errors import did_you_mean

_NAMES = {
    # Layers
    "Linear": ("Dense",),
    "LazyLinear": ("Dense",),
    "DenseGeneral": ("EinsumDense",),
    "Conv": ("Conv2D",),
    "ConvTranspose": ("Conv2DTranspose",),
    **{f"ConvTranspose{n}d": (f"Conv{n}DTranspose",) for n in (1, 2, 3)},
    **{f"AvgPool{n}d": (f"AveragePooling{n}D",) for n in (1, 2, 3)},
    **{f"AdaptiveAvgPool{n}d": (f"GlobalAveragePooling{n}D",) for n in (1, 2, 3)},
    **{f"AdaptiveMaxPool{n}d": (f"GlobalMaxPooling{n}D",) for n in (1, 2, 3)},
    **{f"BatchNorm{n}d": ("BatchNormalization",) for n in (1, 2, 3)},
    # Arguments
    "out_features": ("units",),
    "hidden_size": ("units",),
    "features": ("units", "filters"),
    "out_channels": ("filters",),
    "dilation": ("dilation_rate",),
    "bias": ("use_bias",),
    "p": ("rate",),
    "num_embeddings": ("input_dim",),
    "embedding_dim": ("output_dim",),
    "kernel_init": ("kernel_initializer",),
    "bias_init": ("bias_initializer",),
    **dict.fromkeys(
        (
            "initializer",
            "init",
            "weight_init",
            "weights_init",
            "weight_initializer",
            "weights_initializer",
        ),
        ("kernel_initializer", "embeddings_initializer"),
    ),
    "eps": ("epsilon",),
    "std": ("stddev",),
    # Initializers
    "xavier_uniform": ("glorot_uniform",),
    "kaiming_uniform": ("he_uniform",),
}
"""Names of initcli for those of other frameworks."""

_REMEDIES = {
    "he": "write he_normal or he_uniform",
    "kaiming": "write kaiming_normal_ or kaiming_uniform_",
    "glorot": "write glorot_uniform or glorot_normal",
    "xavier": "write xavier_uniform_ or xavier_normal_",
    "lecun": "write lecun_normal or lecun_uniform",
    "xavier_normal": "write xavier_normal_, as in PyTorch, or glorot_normal, which is truncated",
    "kaiming_normal": "write kaiming_normal_, as in PyTorch, or he_normal, which is truncated",
}
"""Remedies for names of initializers with other defaults."""

_INPUT_SIZES = ("in_features", "in_channels", "input_size", "num_features", "normalized_shape")


def called_here(name: str) -> tuple[str, ...]:
    """The names of initcli for a name of another framework, if they differ."""
    return _NAMES.get(name, ())


def meant(name: object, known: Collection[str]) -> str:
    """The remedy for an unknown name: the nearest known one, empty if none is near.

    ``nn.Linear`` counts as ``Linear``, and ``lecun_normal()`` as ``lecun_normal``.
    """
    if not isinstance(name, str):
        return ""
    word = name.partition("(")[0].rpartition(".")[2]
    for candidate in (word, *_NAMES.get(word, ())):
        if candidate in known:
            return f"did you mean '{candidate}'?"
    return did_you_mean(word or name, known)


def initializer(name: object, known: Collection[str]) -> str:
    """The remedy for the unknown name of an initializer."""
    return _REMEDIES.get(str(name).rpartition(".")[2]) or meant(name, known)


def layer(name: object, known: Collection[str]) -> str:
    """The remedy for the unknown type of a layer, which may be an activation."""
    activations = {each.replace("_", ""): each for each in known_activations()}
    word = str(name).partition("(")[0].rpartition(".")[2].lower()
    is_here = word in map(str.lower, (*known, *_NAMES))
    if word in activations and not is_here:
        return f"write {{type: Activation, activation: {activations[word]}}}"
    return meant(name, known)


def argument(name: object, known: Collection[str]) -> str:
    """The remedy for an unknown argument of a layer."""
    if name in _INPUT_SIZES:
        return "leave it out: sizes of inputs follow from the layers before"
    return meant(name, known)
