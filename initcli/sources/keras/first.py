"""Translation of Keras 1 layers to Keras 2.

Arguments have other names, names of initializers stand for other distributions, and fans are
counted on kernels with another order of axes (``keras/initializations.py`` and ``keras/layers`` of
the tags 1.0.0 to 1.2.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from initcli.errors import Path, quoted
from initcli.initializers import Orthogonal, Scaled, known_initializers
from initcli.sources.keras.values import (
    NotRead,
    as_mapping,
    config_of,
    input_entry,
    plain,
    shape_of,
)
from initcli.sources.keras.versions import Version

_KINDS = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "AtrousConv1D": "Conv1D",
    "AtrousConv2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",
}
"""Layers under their names in Keras 2."""
_ONLY_THERE = ("Deconvolution2D", "Deconv2D", "ConvLSTM2D", "SReLU", "ParametricSoftplus")
"""Layers that have no counterpart in Keras 2."""

_NAMES = {
    "output_dim": "units",
    "bias": "use_bias",
    "init": "kernel_initializer",
    "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation",
    "nb_filter": "filters",
    "nb_feature": "features",
    "filter_length": "kernel_size",
    "border_mode": "padding",
    "subsample": "strides",
    "subsample_length": "strides",
    "atrous_rate": "dilation_rate",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "p": "rate",
    "sigma": "stddev",
    "dim_ordering": "data_format",
    "pool_length": "pool_size",
    "stride": "strides",
}
_NAMES_OF: Mapping[str, Mapping[str, str]] = {
    "Embedding": {"output_dim": "output_dim", "init": "embeddings_initializer"},
    "PReLU": {"init": "alpha_initializer"},
    "UpSampling1D": {"length": "size"},
}
"""Arguments under their names in Keras 2, for layers that differ from the others."""
_SIZES = ("nb_row", "nb_col", "kernel_dim1", "kernel_dim2", "kernel_dim3")
_SILENT = ("consume_less", "mode", "forget_bias_init")
"""Arguments that are read separately, or change neither shapes nor initial weights."""

_DATA_FORMATS = {"th": "channels_first", "tf": "channels_last"}
_BIASES = {"one": True, "zero": False}


def of_keras1(
    kind: str, config: Mapping[str, Any], version: Version, path: Path
) -> tuple[str, dict[str, Any]]:
    """The type and the configuration of a layer of Keras 1 in the form of Keras 2.

    Raises:
        NotRead: Keras 2 has no counterpart.
    """
    if kind in _ONLY_THERE:
        raise _refused(f"a {kind}", version, path)
    dilated = kind.startswith("Atrous")
    kind = _KINDS.get(kind, kind)
    own = _NAMES_OF.get(kind, {})
    arguments: dict[str, Any] = {}
    for key, value in config.items():
        name = own.get(key, _NAMES.get(key, key))
        if (
            key in _SIZES
            or (key in _SILENT and kind != "Merge")
            or (key == "dropout" and not value)
        ):
            continue
        if name == "data_format" and isinstance(value, str):
            value = _DATA_FORMATS.get(value, value)
        elif name == "padding" and value == "full":
            raise _refused("border_mode 'full'", version, path)
        arguments[name] = value
    if "nb_row" in config or "kernel_dim1" in config:
        arguments["kernel_size"] = [config[key] for key in _SIZES if key in config]
    if not dilated:
        arguments.pop("dilation_rate", None)
    _padded(arguments)
    if kind in ("LSTM", "GRU") and config.get("consume_less") != "gpu":
        # Each gate has its own matrices; since 1.2 the recurrent ones are initialized like the
        # kernel.
        arguments["gates_apart"] = True
        if version.numbers >= (1, 2):
            arguments["recurrent_initializer"] = config.get("init", "glorot_uniform")
    if kind == "LSTM":
        forget = config.get("forget_bias_init", "one")
        if not isinstance(forget, str) or forget not in _BIASES:
            raise _refused(f"forget_bias_init {quoted(forget)}", version, path)
        arguments["unit_forget_bias"] = _BIASES[forget]
    if kind == "BatchNormalization" and config.get("mode", 0) == 1:
        raise _refused("a BatchNormalization with mode 1", version, path)
    _initialized(kind, arguments, config, version)
    return kind, arguments


def _refused(what: str, version: Version, path: Path) -> NotRead:
    return NotRead(
        f"this is a file of Keras {version}, and {what} of Keras 1 is not read",
        path,
        "load the model in Keras 2 and save it again",
    )


def _padded(arguments: dict[str, Any]) -> None:
    """Write padding of four sides, or of named sides, as pairs."""
    padding = plain(arguments.get("padding"))
    if isinstance(padding, Mapping):
        ends = [padding.get(f"{end}_pad", 0) for end in ("top", "bottom", "left", "right")]
        line = [padding.get(f"{end}_pad", 0) for end in ("left", "right")]
        is_line = not {"top_pad", "bottom_pad"} & padding.keys()
        arguments["padding"] = line if is_line else [ends[:2], ends[2:]]
    elif isinstance(padding, list) and len(padding) == 4:
        arguments["padding"] = [padding[:2], padding[2:]]


# Merge, which Keras 2 has until 2.2

_MODES = {
    "sum": "Add",
    "mul": "Multiply",
    "ave": "Average",
    "max": "Maximum",
    "concat": "Concatenate",
    "dot": "Dot",
    "cos": "Dot",
}


def merged(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The layer that replaces a Merge with a known mode; one with a function stays a Merge."""
    mode = config.get("mode")
    kind = _MODES.get(mode) if isinstance(mode, str) else None
    if kind is None or config.get("mode_type", "raw") != "raw":
        return "Merge", dict(config)
    arguments = {key: config[key] for key in ("name", "trainable") if key in config}
    if kind == "Concatenate":
        arguments["axis"] = config.get("concat_axis", -1)
    elif kind == "Dot":
        arguments["axes"] = config.get("dot_axes", -1)
        arguments["normalize"] = mode == "cos"
    return kind, arguments


def branches_of(data: Any) -> list[Any] | None:
    """The models that a Merge lists; None for any other layer."""
    config = data.get("config") if isinstance(data, Mapping) else None
    if not isinstance(config, Mapping) or data.get("class_name") != "Merge":
        return None
    layers = config.get("layers")
    return layers if isinstance(layers, list) and layers else None


def branched(
    layers: list[Any], at: Path, translate: Callable[[Any, Path, int], dict[str, Any]]
) -> dict[str, Any]:
    """A Sequential model that begins with a Merge of others, as one Functional model.

    ``translate`` returns the entry of a layer, from its data, path and index in the new model.
    """
    entries: dict[str, dict[str, Any]] = {}
    inputs: list[str] = []

    def chained(chain: list[Any], source: Path) -> str:
        first, last = chain[0], []
        if (branches := branches_of(first)) is not None:
            place = (*source, 0, "config", "layers")
            last = [branch(each, (*place, i)) for i, each in enumerate(branches)]
        else:
            config = config_of(first)
            start = f"{config.get('name', 'sequential')}_input"
            if start not in entries:
                shape = shape_of(config.get("batch_input_shape"))
                entries[start] = input_entry(shape, config.get("input_dtype"), start)
                inputs.append(start)
            last = [start]
        for index, data in enumerate(chain):
            entry = translate(data, (*source, index), len(entries))
            name = str(entry.get("name") or f"layer_{len(entries)}")
            # A branch may be listed twice.
            entries.setdefault(name, {**entry, "name": name, "inputs": last})
            last = [name]
        return last[0]

    def branch(data: Any, source: Path) -> str:
        inner = as_mapping(data, source, "a branch of a Merge").get("config")
        if data.get("class_name") != "Sequential" or not isinstance(inner, list) or not inner:
            message = "a branch of a Merge must be a Sequential model with layers"
            raise NotRead(message, source, "write the model with Input and merge")
        return chained(inner, (*source, "config"))

    outputs = [chained(layers, at)]
    network = {"layers": list(entries.values()), "input_layers": inputs, "outputs": outputs}
    return {"type": "Functional", **network}


# Initializers

_PLAIN: Mapping[str, Mapping[str, Any]] = {
    "uniform": {"type": "RandomUniform"},
    "normal": {"type": "RandomNormal"},
    "zero": {"type": "Zeros"},
    "one": {"type": "Ones"},
    "identity": {"type": "Identity"},
    "orthogonal": {"type": "Orthogonal", "gain": 1.1},
    "lecun_uniform": {"type": "LecunUniform"},
    "glorot_uniform": {"type": "GlorotUniform"},
    "he_uniform": {"type": "HeUniform"},
    "glorot_normal": {
        "type": "VarianceScaling",
        "mode": "fan_avg",
        "distribution": "untruncated_normal",
    },
    "he_normal": {"type": "VarianceScaling", "scale": 2.0, "distribution": "untruncated_normal"},
}
"""The initializers of Keras 1 by name."""
_DEFAULTS = {
    "Embedding": {"embeddings_initializer": "uniform"},
    "SimpleRNN": {"recurrent_initializer": "orthogonal"},
    "GRU": {"recurrent_initializer": "orthogonal"},
    "LSTM": {"recurrent_initializer": "orthogonal"},
}
"""Default initializers other than Glorot's for kernels."""
_CONVOLUTIONS = {"Conv1D": 1, "Conv2D": 2, "Conv3D": 3, "SeparableConv2D": 2}
_UNSHARED = ("LocallyConnected1D", "LocallyConnected2D", "MaxoutDense")
_OF_HIGHER_RANK = (*_UNSHARED, "PReLU")
"""Layers with tensors whose fans are the square root of their size."""


def _initialized(
    kind: str, arguments: dict[str, Any], config: Mapping[str, Any], version: Version
) -> None:
    """Replace the name of each initializer by the initializer of Keras 1."""
    if kind == "SeparableConv2D":
        init = arguments.pop("kernel_initializer", "glorot_uniform")
        arguments["depthwise_initializer"] = arguments["pointwise_initializer"] = init
    elif kind in (*_CONVOLUTIONS, *_UNSHARED):
        arguments.setdefault("kernel_initializer", "glorot_uniform")
    for name, initializer in _DEFAULTS.get(kind, {}).items():
        arguments.setdefault(name, initializer)
    for name in [name for name in arguments if name.endswith("_initializer")]:
        named = _PLAIN.get(arguments[name]) if isinstance(arguments[name], str) else None
        if named is None:
            if isinstance(arguments[name], str):
                arguments[name] = {"function": arguments[name]}
            continue
        arguments[name] = dict(named)
        if kind in _CONVOLUTIONS:
            arguments[name] |= _counted(
                arguments[name], kind, config.get("dim_ordering") == "th", version
            )
        elif kind in _OF_HIGHER_RANK:
            arguments[name] |= _counted_by_rank(arguments[name])


def _counted_by_rank(initializer: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that count fans of a tensor that is not a convolution's kernel."""
    cls = known_initializers()[initializer["type"]]
    if cls is Orthogonal:
        return {"row_axes": 1}
    return {"fan_rule": "keras1"} if issubclass(cls, Scaled) else {}


def _order(kind: str, is_theano: bool, version: Version) -> list[int | None]:
    """The axes of a kernel (k…, channels, filters) in the order of Keras 1; None has size 1."""
    rank = _CONVOLUTIONS[kind]
    if kind == "Conv1D":
        return [2, 1, 0, None] if version.numbers < (1, 1) else [0, None, 1, 2]
    spatial = range(rank)
    return [rank + 1, rank, *spatial] if is_theano else [*spatial, rank, rank + 1]


def _counted(
    initializer: Mapping[str, Any], kind: str, is_theano: bool, version: Version
) -> dict[str, Any]:
    """The arguments that count fans of a convolution's kernel as Keras 1 stored it."""
    cls = known_initializers()[initializer["type"]]
    order = _order(kind, is_theano, version)
    filters = _CONVOLUTIONS[kind] + 1
    if cls is Orthogonal:
        # The first axis is that of rows; orthogonal rows of filters are equivalent to columns.
        return {} if order[0] == filters else {"row_axes": 1}
    if not issubclass(cls, Scaled):
        return {}
    if is_theano or kind == "Conv1D" or version.numbers < (1, 2, 1):
        # Until 1.2.1 fans are counted as in the order (filters, channels, …).
        inward, outward, field = order[1], order[0], order[2:]
    else:
        inward, outward, field = order[-2], order[-1], order[:2]
    # Until 1.0.4 the fan-out does not include the receptive field.
    fans = (inward, *field), (outward, *(field if version.numbers >= (1, 0, 4) else ()))
    inputs, outputs = ([axis for axis in axes if axis is not None] for axes in fans)
    spatial = range(filters - 1)
    if {*inputs} == {*spatial, filters - 1} and {*outputs} == {*spatial, filters}:
        return {}
    return {"input_axes": inputs, "output_axes": outputs}
