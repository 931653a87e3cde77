"""What a model computes, as the layers of a spec, with the initializers of its tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from initcli.initializers import Initializer
from initcli.initializers.given import Parts
from initcli.sources.describe import written
from initcli.sources.huggingface.modules import ONE, ZERO, Module, Tensor

Entry = dict[str, Any]

_APPROXIMATE = {"type": "gelu", "approximate": True}
_ACTIVATIONS: Mapping[str, Any] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": _APPROXIMATE,
    "gelu_fast": _APPROXIMATE,
    "gelu_accurate": _APPROXIMATE,
    "gelu_pytorch_tanh": _APPROXIMATE,
    "gelu_python_tanh": _APPROXIMATE,
    "leaky_relu": {"type": "leaky_relu", "negative_slope": 0.01},
    "linear": "linear",
    "mish": "mish",
    "relu": "relu",
    "relu2": "squared_relu",
    "quick_gelu": "quick_gelu",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
    "xielu": "xielu",
}
"""The library's activations that a layer has, as a spec writes them."""


class NotComputed(Exception):
    """A part of the model that no layer describes."""


class Heads(NamedTuple):
    """The heads of attention: how many of queries, how many of keys and values, and their size."""

    queries: int
    keys: int
    size: int


class Stack:
    """The entries of a spec, each of which uses tensors of the described modules.

    A method adds what one module or operation computes, and returns the name of its output. Names
    are the library's. Within a block they are relative to it, and ``input`` is what flows in.
    """

    def __init__(self, modules: list[Module]) -> None:
        self.entries: list[Entry] = []
        self.notes: dict[str, None] = {}
        self._tensors = {
            f"{module.name}.{name}".removeprefix("."): tensor
            for module in modules
            for name, tensor in module.tensors.items()
        }
        self._unused = dict.fromkeys(self._tensors)
        self._prefix = ""
        """What names of modules and entries begin with."""
        self._scope = ""
        """What names of modules begin with, within a block its own name."""
        self._table = ""
        self.steps = 0
        """The number of positions of the stream."""

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Put a name before those of modules and entries that follow; none for an empty name."""
        outer = self._prefix
        self._prefix = self._scope = f"{outer}{name}." if name else outer
        yield
        self._prefix = self._scope = outer

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Put no name before those of modules and entries that follow."""
        outer, self._prefix, self._scope = self._prefix, "", ""
        yield
        self._prefix = self._scope = outer

    @contextmanager
    def block(self, scope: str, index: int, takes: str) -> Iterator[None]:
        """Add what follows as a block; one that equals the block before repeats it.

        The first of others that follow has its number in its name.
        """
        outer, scope = self.entries, f"{self._prefix}{scope}"
        self.entries, self._scope = [], f"{scope}.{index}."
        yield
        last = outer[-1] if outer else {}
        if last.get("name") == takes and last.get("layers") == self.entries:
            last["repeat"] += 1
        else:
            inputs = {} if last.get("name") == takes else {"inputs": takes}
            name = f"{scope}.{index}" if index else scope
            outer.append({"name": name, **inputs, "repeat": 1, "layers": self.entries})
        self.entries, self._scope = outer, self._prefix

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor, or a module with tensors, of that name."""
        full = f"{self._scope}{name}"
        return full in self._tensors or f"{full}.weight" in self._tensors

    @property
    def last(self) -> str:
        """The name of the output that was added last."""
        name: str = self.entries[-1]["name"]
        return name

    def add(self, type_: str, name: str, takes: str | list[str] = "", **arguments: Any) -> str:
        """Add a layer."""
        inputs = {"inputs": takes} if takes else {}
        if self._scope == self._prefix:
            name = f"{self._prefix}{name}"
        self.entries.append({"type": type_, "name": name, **inputs, **arguments})
        return name

    def tokens(self, steps: int, name: str = "tokens") -> str:
        """Add an input: so many tokens."""
        self.steps = steps
        return self.add("Input", name, shape=[steps], dtype="int32")

    def embedding(self, name: str, takes: str) -> str:
        """Add a table of vectors."""
        table = self._tensor(f"{name}.weight")
        rows, width = table.shape
        # The row of the padding, which no drawn token need be, is left as the others are.
        filled = self._filled(table.initializer)
        kind = "Embedding"
        if f"{self._prefix}{name}" == self._table:
            kind = "ReversibleEmbedding"
        sizes = {"input_dim": rows, "output_dim": width}
        return self.add(kind, name, takes, **sizes, embeddings_initializer=filled)

    def again(self, name: str, table: str, takes: str) -> str:
        """Look up vectors in a table that was added."""
        name = f"{self._prefix}{name}"
        self.entries.append({"call": table, "name": name, "inputs": takes})
        return name

    def positions(self, name: str, takes: str) -> str:
        """Add a table with a vector for each position, and the sum of both."""
        is_module = f"{self._scope}{name}.weight" in self._tensors
        table = self._tensor(f"{name}.weight" if is_module else name)
        sizes = {"sequence_length": table.shape[-2], "initializer": self._filled(table.initializer)}
        vectors = self.add("PositionEmbedding", name, takes, **sizes)
        return self.sum(f"{name}.sum", takes, vectors)

    def sines(self, name: str, takes: str) -> str:
        """Add sines of each position, and the sum of both."""
        self.use(name)
        return self.sum(f"{name}.sum", takes, self.add("SinePositionEncoding", name, takes))

    def image(self, name: str, height: int, width: int, channels: int) -> str:
        """Add an input: an image."""
        return self.add("Input", name, shape=[height, width, channels])

    def convolution(self, name: str, takes: str, *, activation: str = "", **how: Any) -> str:
        """Add a convolution."""
        kernel, bias = self._projection(name)
        outputs, _, *size = kernel.shape
        arguments: Entry = {"activation": self.activation(activation)} if activation else {}
        arguments |= {"kernel_initializer": self._filled(kernel.initializer)}
        if bias is None:
            arguments["use_bias"] = False
        else:
            arguments["bias_initializer"] = self._filled(bias.initializer)
        kind = f"Conv{len(size)}D"
        return self.add(kind, name, takes, filters=outputs, kernel_size=size, **how, **arguments)

    def causal_convolution(self, name: str, takes: str, activation: str = "") -> str:
        """Add a convolution of each channel over the positions up to each."""
        channels = self._tensor(f"{name}.weight").shape[0]
        how: dict[str, Any] = {"groups": channels, "padding": "causal"}
        return self.convolution(name, takes, activation=activation, **how)

    def patches(self, name: str, takes: str, patch: Sequence[int], steps: int) -> str:
        """Add the embedding of patches that do not overlap, one a position."""
        if not steps:
            raise NotComputed("an image that is smaller than a patch")
        self.steps = steps
        cut = self.convolution(name, takes, strides=list(patch))
        width = self._tensor(f"{name}.weight").shape[0]
        return self.add("Reshape", f"{name}.flat", cut, target_shape=[steps, width])

    def token(self, name: str, takes: str, count: int = 1) -> str:
        """Put so many learned tokens of a tensor before the others."""
        tensor = self._tensor(name)
        for index in range(count):
            label = f"{name}.{index}" if index else name
            filled = self._filled(tensor.initializer)
            takes = self.add("ClassToken", label, takes, token_initializer=filled)
        self.steps += count
        return takes

    def layer_scale(self, name: str, takes: str) -> str:
        """Add a learned factor of each channel, which starts as a constant."""
        scale = self._tensor(name)
        value = scale.initializer.arguments["value"]
        sizes = {"init_values": value, "projection_dim": scale.shape[-1]}
        return self.add("LayerScale", name, takes, **sizes)

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
        """Add a projection; with a ``part`` of that name, so many outputs of a packed one."""
        kernel, bias = self._projection(name)
        arguments = {"activation": self.activation(activation)} if activation else {}
        arguments |= {"use_bias": bias is not None}
        arguments |= {"kernel_initializer": self._filled(kernel.initializer)}
        if bias is not None:
            arguments |= {"bias_initializer": self._filled(bias.initializer)}
        label = f"{name}.{part}" if part else name
        return self.add("Dense", label, takes, units=units or self.outputs(name), **arguments)

    def gated(self, name: str, into: Sequence[str], takes: str, activation: str) -> str:
        """Add two projections and their product, of which the first is activated.

        One projection holds both, the first half and the second.
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
        kernel, _ = self._projection(name)
        return kernel.shape[(kernel.produces or (0,))[0]]

    def norm(self, name: str, takes: str, kind: str, epsilon: float, offset: float = 0.0) -> str:
        """Add a normalization; without a kind, a LayerNorm without weights."""
        if not kind:
            plain = {"scale": False, "center": False, "epsilon": epsilon}
            return self.add("LayerNormalization", name, takes, **plain)
        scale = self._tensor(f"{name}.weight").initializer
        bias = self._tensors.get(f"{self._scope}{name}.bias")
        value = scale.arguments.get("value") if isinstance(scale, type(ONE)) else None
        if value is None:
            raise NotComputed(f"'{name}', whose scale is no constant")
        filled = (
            {} if value + offset == 1 else {"gamma_initializer": self._constant(value + offset)}
        )
        if kind == "RMSNorm":
            return self.add("RMSNormalization", name, takes, epsilon=epsilon, **filled)
        if bias is not None:
            self._tensor(f"{name}.bias")
        center = {} if bias is not None else {"center": False}
        return self.add("LayerNormalization", name, takes, epsilon=epsilon, **center, **filled)

    def attention(
        self,
        name: str,
        takes: str,
        heads: Heads,
        names: tuple[str, str, str],
        out: str,
        *,
        causal: bool,
        source: str = "",
    ) -> str:
        """Add attention whose queries, keys and values are the named projections.

        It is to itself, unless there is another ``source`` of keys and values.
        """
        query, key, value = map(self._projection, names)
        output = self._projection(out)
        inner = heads.queries * heads.size
        if output[0].shape[(output[0].contracts or (1,))[0]] != inner:
            raise NotComputed(f"'{out}', of which inputs are other than the heads")
        biases = [bias is not None for _, bias in (query, key, value, output)]
        if any(biases) and not all(biases):
            parts = self.projections(names, takes, heads, source)
            return self.dense(out, self.attend(name, *parts, heads, causal=causal))
        filled = {
            f"{role}_initializer": self._filled(kernel.initializer)
            for role, (kernel, _) in zip(
                ("query", "key", "value", "output"), (query, key, value, output), strict=True
            )
        }
        if len({str(each) for each in filled.values()}) == 1:
            filled = {"kernel_initializer": filled["query_initializer"]}
        elif all(
            filled[f"{role}_initializer"] == filled["query_initializer"]
            for role in ("key", "value")
        ):
            filled = {
                "kernel_initializer": filled["query_initializer"],
                "output_initializer": filled["output_initializer"],
            }
        sizes: Entry = {"num_heads": heads.queries, "key_dim": heads.size}
        kind = "MultiHeadAttention"
        sources: str | list[str] = [takes, source or takes]
        if heads.keys != heads.queries:
            kind, sources = "GroupQueryAttention", sources if source else takes
            sizes = {"num_query_heads": heads.queries, "num_key_value_heads": heads.keys}
            sizes["head_dim"] = heads.size
        seen = {"use_causal_mask": True} if causal else {}
        return self.add(kind, name, sources, **sizes, use_bias=all(biases), **seen, **filled)

    def projections(
        self, names: Sequence[str], takes: str, heads: Heads, source: str = ""
    ) -> tuple[str, str, str]:
        """Add the projections to queries, keys and values; of one name, parts of one."""
        if len(set(names)) > 1:
            query, key, value = names
            key, value = (self.dense(each, source or takes) for each in (key, value))
            return self.dense(query, takes), key, value
        keys = heads.keys * heads.size
        sizes = {"query": heads.queries * heads.size, "key": keys, "value": keys}
        query, key, value = (
            self.dense(names[0], takes, part=part, units=size) for part, size in sizes.items()
        )
        return query, key, value

    def attend(
        self,
        name: str,
        query: str,
        key: str,
        value: str,
        heads: Heads,
        *,
        causal: bool,
        scale: float | None = None,
    ) -> str:
        """Add attention of projections that are there; the scale is 1/√size by default."""
        sizes: Entry = {"num_heads": heads.queries}
        if heads.keys != heads.queries:
            sizes["num_key_value_heads"] = heads.keys
        if scale is not None and not math.isclose(scale, heads.size**-0.5):
            sizes["scale"] = scale
        seen = {"use_causal_mask": True} if causal else {}
        return self.add("DotProductAttention", name, [query, value, key], **sizes, **seen)

    def in_heads(self, name: str, takes: str, count: int, size: int) -> str:
        """Add an axis for heads of features."""
        return self.add("Reshape", f"{name}.heads", takes, target_shape=[-1, count, size])

    def with_part(self, name: str, takes: str, part: str, count: int, size: int) -> str:
        """Put features that all heads share beside those of each."""
        alone = self.add("Reshape", f"{part}.alone", part, target_shape=[-1, 1, size])
        every = self.add("UpSampling2D", f"{part}.heads", alone, size=[1, count])
        return self.add("Concatenate", f"{name}.parts", [takes, every], axis=-1)

    def joined(self, name: str, takes: str, width: int) -> str:
        """Put heads beside one another again."""
        return self.add("Reshape", f"{name}.joined", takes, target_shape=[-1, width])

    def merged(self, name: str, takes: str, count: int, width: int) -> str:
        """Put so many positions beside one another, which makes vectors of that width."""
        if self.steps % count:
            raise NotComputed(f"how {self.steps:,} positions are joined, {count:,} at a time")
        self.steps //= count
        return self.joined(name, takes, width)

    def without_first(self, takes: str, count: int = 1) -> str:
        """Leave out the first positions."""
        self.steps -= count
        return self.add("Cropping1D", "patches", takes, cropping=[count, 0])

    def one(self, name: str, takes: str, index: int = 0) -> str:
        """Take one of the positions; negative numbers count from the end."""
        place = index % self.steps
        cut = [place, self.steps - place - 1]
        return self.add(
            "Flatten", f"{name}.flat", self.add("Cropping1D", f"{name}.one", takes, cropping=cut)
        )

    def mean(self, name: str, takes: str, skipped: int = 0) -> str:
        """Take the mean of all positions but the first ones."""
        if skipped:
            takes = self.add("Cropping1D", f"{name}.others", takes, cropping=[skipped, 0])
        return self.add("GlobalAveragePooling1D", f"{name}.mean", takes)

    def unknown(self, name: str, takes: str | list[str], what: str, width: int) -> str:
        """Add what no layer describes, with an output of that width: the signal ends there."""
        kind = "".join(word.capitalize() for word in what.split())
        self.notes[f"no layer describes a {what}: the signal behind it is not known"] = None
        return self.add("Opaque", name, takes, kind=kind, output_shape=[self.steps, width])

    def experts(
        self,
        name: str,
        router: str,
        takes: str,
        top_k: int,
        activation: str,
        *,
        into: str = "gate_up_proj",
        **how: Any,
    ) -> str:
        """Add a mixture of experts, each of which is gated if ``into`` is a packed projection."""
        up, down = (self._tensor(f"{name}.{each}") for each in (into, "down_proj"))
        weight, bias = self._projection(router)
        filled = {
            "kernel_initializer": self._filled(up.initializer),
            "down_initializer": self._filled(down.initializer),
            "router_initializer": self._filled(weight.initializer),
        }
        if filled["down_initializer"] == filled["kernel_initializer"]:
            del filled["down_initializer"]
        if bias is not None:
            filled |= {"use_bias": True, "router_bias_initializer": self._filled(bias.initializer)}
            for each in (into, "down_proj"):
                filled["bias_initializer"] = self._filled(
                    self._tensor(f"{name}.{each}_bias").initializer
                )
        defaults = {"scoring": "softmax", "normalize": True, "scale": 1.0}
        own = {key: value for key, value in how.items() if value != defaults.get(key)}
        return self.add(
            "MixtureOfExperts",
            name,
            takes,
            num_experts=up.shape[0],
            top_k=top_k,
            units=down.shape[(down.contracts or (1,))[0]],
            activation=self.activation(activation),
            use_gate=into == "gate_up_proj",
            **own,
            **filled,
        )

    def sum(self, name: str, *takes: str) -> str:
        """Add a sum."""
        return self.add("Add", name, list(takes))

    def product(self, name: str, *takes: str) -> str:
        """Add a product of entries."""
        return self.add("Multiply", name, list(takes))

    def scaled(self, name: str, takes: str, factor: float) -> str:
        """Add a multiplication, unless by 1."""
        return takes if factor == 1 else self.add("Rescaling", name, takes, scale=factor)

    def tied(self, name: str, table: str, takes: str) -> str:
        """Add a projection whose weight is a table, which was added."""
        name = f"{self._prefix}{name}"
        self.entries.append({"call": table, "name": name, "inputs": takes, "reverse": True})
        return name

    def will_tie(self, table: str) -> None:
        """Say that a table, which is not yet added, is also the head's weight."""
        self._table = f"{self._prefix}{table}"

    def leave_out(self, name: str, what: str) -> None:
        """Leave out a module or a tensor, with a note that says what it would do."""
        if self.use(name):
            self.notes[f"the signal leaves out {what}"] = None

    def use(self, name: str) -> bool:
        """Say that the tensors of a module, or one tensor, need no entry; False without any."""
        full = f"{self._scope}{name}"
        paths = [path for path in self._unused if path == full or path.startswith(f"{full}.")]
        for path in paths:
            del self._unused[path]
        return bool(paths)

    def activation(self, name: str) -> Any:
        """An activation of the library as a spec writes it."""
        if name not in _ACTIVATIONS:
            raise NotComputed(f"the activation '{name}'")
        return _ACTIVATIONS[name]

    def finished(self) -> list[Entry]:
        """The entries.

        Raises:
            NotComputed: no entry uses a tensor.
        """
        if self._unused:
            raise NotComputed(f"'{next(iter(self._unused))}'")
        return self.entries

    def _projection(self, name: str) -> tuple[Tensor, Tensor | None]:
        """The kernel and the bias of a projection."""
        kernel = self._tensor(f"{name}.weight")
        bias = self._tensors.get(f"{self._scope}{name}.bias")
        return kernel, None if bias is None else self._tensor(f"{name}.bias")

    def _tensor(self, name: str) -> Tensor:
        path = f"{self._scope}{name}"
        self._unused.pop(path, None)
        if path not in self._tensors:
            raise NotComputed(f"a model without '{path}'")
        return self._tensors[path]

    def _filled(self, initializer: Initializer) -> Any:
        """An initializer as a spec writes it; where the padding has its own, that of the others."""
        if isinstance(initializer, Parts):
            initializer = initializer.boxes[0].initializer
        return "zeros" if initializer == ZERO else written(initializer)

    def _constant(self, value: float) -> Any:
        return "zeros" if value == 0 else {"type": "Constant", "value": value}


def unrolled(entries: list[Entry]) -> list[Entry]:
    """The entries with every block written out, its layers named as the library names them."""
    found: list[Entry] = []
    outputs: dict[str, str] = {}
    for entry in entries:
        if "layers" not in entry:
            found.append(_renamed(entry, "", outputs))
            continue
        scope, _, number = entry["name"].rpartition(".")
        if not number.isdecimal():
            scope, number = entry["name"], "0"
        before = outputs.get(takes := entry.get("inputs", ""), takes) or found[-1]["name"]
        for index in range(int(number), int(number) + entry["repeat"]):
            inside = f"{scope}.{index}."
            names = {**outputs, "input": before}
            names |= {each["name"]: inside + each["name"] for each in entry["layers"]}
            found += (_renamed(each, inside, names) for each in entry["layers"])
            before = found[-1]["name"]
        outputs[entry["name"]] = before
    return found


def _renamed(entry: Entry, scope: str, names: Mapping[str, str]) -> Entry:
    """The entry with its scope before its name, and other names for what it takes."""
    takes = entry.get("inputs", [])
    listed = [takes] if isinstance(takes, str) else takes
    inputs = [names.get(each, each) for each in listed]
    return {**entry, "name": scope + entry["name"]} | ({"inputs": inputs} if inputs else {})
