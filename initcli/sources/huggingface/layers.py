"""Layers of a spec, one for a module or an operation of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from initcli.sources.huggingface.entries import Entries, Entry, NotComputed
from initcli.sources.huggingface.modules import ONE, Tensor

_APPROXIMATE = {"type": "gelu", "approximate": True}
_ACTIVATIONS: Mapping[str, Any] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": _APPROXIMATE,
    "gelu_fast": _APPROXIMATE,
    "gelu_accurate": _APPROXIMATE,
    "gelu_pytorch_tanh": _APPROXIMATE,
    "gelu_python_tanh": _APPROXIMATE,
    "elu": "elu",
    "leaky_relu": {"type": "leaky_relu", "negative_slope": 0.01},
    "linear": "linear",
    "mish": "mish",
    "relu": "relu",
    "relu2": "squared_relu",
    "quick_gelu": "quick_gelu",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "softplus": "softplus",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
    "xielu": "xielu",
}
"""The library's activations, as a spec writes them."""


class Layers(Entries):
    """Adds layers that use the tensors of described modules.

    Each method adds one module or operation, and returns the name of its output.
    """

    steps = 0
    """The number of positions of the stream."""

    def tokens(self, steps: int, name: str = "tokens") -> str:
        """Add an input of ``steps`` tokens."""
        self.steps = steps
        return self.add("Input", name, shape=[steps], dtype="int32")

    def embedding(self, name: str, takes: str) -> str:
        """Add a table of vectors."""
        table = self.tensor(f"{name}.weight")
        rows, width = table.shape
        # The row of the padding, which no drawn token need be, is left as the others are.
        filled = self.filled(table.initializer)
        kind = "Embedding"
        if f"{self._prefix}{name}" == self._table:
            kind = "ReversibleEmbedding"
        sizes = {"input_dim": rows, "output_dim": width}
        return self.add(kind, name, takes, **sizes, embeddings_initializer=filled)

    def positions(self, name: str, takes: str) -> str:
        """Add a table with a vector for each position, and its sum with the stream."""
        return self.sum(f"{name}.sum", takes, self.places(name, takes))

    def places(self, name: str, takes: str) -> str:
        """Add a table with a vector for each position, and look up those of the input."""
        weight = f"{name}.weight"
        table = self.tensor(weight if weight in self else name)
        how = {"sequence_length": table.shape[-2], "initializer": self.filled(table.initializer)}
        if not table.trainable:
            how["trainable"] = False
        return self.add("PositionEmbedding", name, takes, **how)

    def sines(self, name: str, takes: str) -> str:
        """Add sines of each position, and their sum with the stream."""
        self.hold(name)
        return self.sum(f"{name}.sum", takes, self.add("SinePositionEncoding", name, takes))

    def learned(self, name: str, takes: str, count: int) -> str:
        """Add so many learned positions of a table, in place of those of another stream."""
        more = count - self.steps
        kind = "ZeroPadding1D" if more > 0 else "Cropping1D"
        resized = {"padding": [0, more]} if more > 0 else {"cropping": [0, -more]}
        self.steps = count
        return self.places(name, self.add(kind, f"{name}.places", takes, **resized))

    def image(self, name: str, height: int, width: int, channels: int) -> str:
        """Add an input: an image."""
        return self.add("Input", name, shape=[height, width, channels])

    def cut_image(self, count: int, size: int) -> str:
        """Add an input: so many patches of an image, each as a vector."""
        if not count:
            raise NotComputed("an image that is smaller than a patch")
        self.steps = count
        return self.add("Input", "image_patches", shape=[count, size])

    def convolution(
        self,
        name: str,
        takes: str,
        *,
        activation: str = "",
        kernel: str = "weight",
        part: str = "",
        **how: Any,
    ) -> str:
        """Add a convolution, whose kernel is the tensor of that name of the module.

        A ``part`` is so many ``filters`` of a packed one.
        """
        weight, bias = self.projection(name, kernel)
        outputs, _, *size = weight.shape
        arguments: Entry = {"activation": self.activation(activation)} if activation else {}
        arguments |= {"kernel_initializer": self.filled(weight.initializer)}
        if bias is None:
            arguments["use_bias"] = False
        else:
            arguments["bias_initializer"] = self.filled(bias.initializer)
        kind = f"Conv{len(size)}D"
        how = {"filters": outputs, "kernel_size": size, **how}
        return self.add(kind, f"{name}.{part}" if part else name, takes, **how, **arguments)

    def batch_norm(self, name: str, takes: str, epsilon: float) -> str:
        """Add a batch normalization, whose statistics start as 0 and 1."""
        scale = self.tensor(f"{name}.weight").initializer
        filled = {} if scale == ONE else {"gamma_initializer": self.filled(scale)}
        self.use(name)
        return self.add("BatchNormalization", name, takes, epsilon=epsilon, **filled)

    def causal_convolution(self, name: str, takes: str, activation: str = "") -> str:
        """Add a convolution of each channel over the positions up to each."""
        channels = self.tensor(f"{name}.weight").shape[0]
        how: dict[str, Any] = {"groups": channels, "padding": "causal"}
        return self.convolution(name, takes, activation=activation, **how)

    def patches(self, name: str, takes: str, patch: Sequence[int], steps: int) -> str:
        """Add the embedding of patches that do not overlap, one a position."""
        if not steps:
            raise NotComputed("an image that is smaller than a patch")
        self.steps = steps
        cut = self.convolution(name, takes, strides=list(patch))
        width = self.tensor(f"{name}.weight").shape[0]
        return self.add("Reshape", f"{name}.flat", cut, target_shape=[steps, width])

    def token(self, name: str, takes: str, count: int = 1) -> str:
        """Put ``count`` learned tokens before the others."""
        tensor = self.tensor(name)
        for index in range(count):
            label = f"{name}.{index}" if index else name
            filled = self.filled(tensor.initializer)
            takes = self.add("ClassToken", label, takes, token_initializer=filled)
        self.steps += count
        return takes

    def layer_scale(self, name: str, takes: str) -> str:
        """Add a learned factor for each channel, which is initially constant."""
        scale = self.tensor(name)
        value = scale.initializer.arguments["value"]
        sizes = {"init_values": value, "projection_dim": scale.shape[-1]}
        return self.add("LayerScale", name, takes, **sizes)

    def scale(self, name: str, takes: str) -> str:
        """Add a learned factor of all entries."""
        filled = self.filled(self.tensor(name).initializer)
        return self.add("Scale", name, takes, initializer=filled)

    def activated(self, name: str, takes: str, activation: str) -> str:
        """Add an activation."""
        return self.add("Activation", name, takes, activation=self.activation(activation))

    def dense(
        self,
        name: str,
        takes: str = "",
        activation: str = "",
        part: str = "",
        units: int | None = None,
    ) -> str:
        """Add a projection; with ``part``, ``units`` outputs of a packed one."""
        kernel, bias = self.projection(name)
        arguments = {"activation": self.activation(activation)} if activation else {}
        arguments |= {"use_bias": bias is not None}
        arguments |= {"kernel_initializer": self.filled(kernel.initializer)}
        if bias is not None:
            arguments |= {"bias_initializer": self.filled(bias.initializer)}
        label = f"{name}.{part}" if part else name
        return self.add("Dense", label, takes, units=units or self.outputs(name), **arguments)

    def gated(self, name: str, into: Sequence[str], takes: str, activation: str) -> str:
        """Add two projections and their product; the first is activated.

        A single name is a packed projection, which holds both as halves.
        """
        if len(into) == 1:
            half = self.outputs(into[0]) // 2
            gate = self.dense(into[0], takes, activation, "gate", half)
            up = self.dense(into[0], takes, part="up", units=half)
        else:
            gate, up = self.dense(into[0], takes, activation), self.dense(into[1], takes)
        return self.product(name, gate, up)

    def outputs(self, name: str) -> int:
        """The number of outputs of a projection."""
        kernel, _ = self.projection(name)
        return kernel.shape[(kernel.produces or (0,))[0]]

    def norm(self, name: str, takes: str, kind: str, epsilon: float, offset: float = 0.0) -> str:
        """Add a normalization; without a kind, a LayerNorm without weights."""
        if not kind:
            plain = {"scale": False, "center": False, "epsilon": epsilon}
            return self.add("LayerNormalization", name, takes, **plain)
        scale = self.tensor(f"{name}.weight").initializer
        value = scale.arguments.get("value") if isinstance(scale, type(ONE)) else None
        if value is None:
            raise NotComputed(f"'{name}', whose scale is no constant")
        filled = (
            {} if value + offset == 1 else {"gamma_initializer": self._constant(value + offset)}
        )
        if kind == "RMSNorm":
            return self.add("RMSNormalization", name, takes, epsilon=epsilon, **filled)
        center = {} if self.use(f"{name}.bias") else {"center": False}
        return self.add("LayerNormalization", name, takes, epsilon=epsilon, **center, **filled)

    def without_first(self, takes: str, count: int = 1) -> str:
        """Leave out the first positions."""
        self.steps -= count
        return self.add("Cropping1D", "patches", takes, cropping=[count, 0])

    def one(self, name: str, takes: str, index: int = 0) -> str:
        """Take one position; negative numbers count from the end."""
        place = index % self.steps
        cut = [place, self.steps - place - 1]
        return self.add(
            "Flatten", f"{name}.flat", self.add("Cropping1D", f"{name}.one", takes, cropping=cut)
        )

    def mean(self, name: str, takes: str, skipped: int = 0) -> str:
        """Take the mean over all positions after the first ``skipped``."""
        if skipped:
            takes = self.add("Cropping1D", f"{name}.others", takes, cropping=[skipped, 0])
        return self.add("GlobalAveragePooling1D", f"{name}.mean", takes)

    def unknown(
        self, name: str, takes: str | list[str], what: str, shape: Sequence[int], *modules: str
    ) -> str:
        """Add an operation that no layer describes: the signal after it is unknown.

        Args:
            name: name of the entry.
            takes: its inputs.
            what: the operation, as the note names it.
            shape: shape of its output without the batch.
            modules: modules whose tensors it holds.
        """
        kind = "".join(word.capitalize() for word in what.split())
        self.notes[f"no layer describes a {what}: the signal after it is not known"] = None
        held = [weight for module in modules for weight in self.weights(module)]
        parameters = {"parameters": held} if self.holds else {}
        return self.add("Opaque", name, takes, kind=kind, output_shape=list(shape), **parameters)

    def sum(self, name: str, *takes: str) -> str:
        """Add the sum of entries."""
        return self.add("Add", name, list(takes))

    def product(self, name: str, *takes: str) -> str:
        """Add the product of entries."""
        return self.add("Multiply", name, list(takes))

    def scaled(self, name: str, takes: str, factor: float) -> str:
        """Add a multiplication, unless by 1."""
        return takes if factor == 1 else self.add("Rescaling", name, takes, scale=factor)

    def activation(self, name: str) -> Any:
        """An activation of the library as a spec writes it."""
        if name not in _ACTIVATIONS:
            raise NotComputed(f"the activation '{name}'")
        return _ACTIVATIONS[name]

    def projection(self, name: str, weight: str = "weight") -> tuple[Tensor, Tensor | None]:
        """The kernel and the bias of a projection; None without a bias."""
        kernel = self.tensor(f"{name}.{weight}")
        bias = f"{name}.bias"
        return kernel, self.tensor(bias) if bias in self else None

    def _constant(self, value: float) -> Any:
        return "zeros" if value == 0 else {"type": "Constant", "value": value}
