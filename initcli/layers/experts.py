"""Mixtures of experts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy

from initcli.activations import Activation, Relu, Softmax
from initcli.initializers import GlorotUniform, Initializer, Scaled, Zeros
from initcli.layers.base import Layer, Work, known_size
from initcli.layers.flow import Flow
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    PositiveFloat,
    PositiveInt,
    Shape,
    Size,
    doc,
)


class Routing(NamedTuple):
    """How a router weighs experts: ``top_k`` of them, by its logits for a token."""

    top_k: int
    scoring: Literal["softmax", "sigmoid"]
    normalizes: bool
    scale: float

    def chosen(self, logits: Array) -> Array:
        """The experts of each token, (tokens, top_k), for logits (tokens, experts)."""
        last = logits.shape[1] - self.top_k
        return numpy.argpartition(logits, last, 1)[:, last:]

    def shares(self, xp: Any, logits: Array, chosen: Array) -> Array:
        """The weights of the chosen experts: (tokens, top_k)."""
        scores = xp.sigmoid(logits) if self.scoring == "sigmoid" else Softmax().call(xp, logits)
        own = scores[numpy.arange(len(chosen))[:, None], chosen]
        if self.normalizes:
            own = own / xp.sum(own, -1, keepdims=True)
        return own * self.scale


class MixtureOfExperts(Layer, frozen=True, kw_only=True):
    """Σ over ``top_k`` of ``num_experts`` of wₑ · fₑ(x), with weights w of a router.

    Shazeer et al. 2017, arXiv:1701.06538; Fedus et al. 2021, arXiv:2101.03961.

    fₑ(x) is activation(x · up) · down, or with ``use_gate`` (activation(x · gate) ∘ (x · up +
    offset)) · down. The router scores experts by x · router. Shapes: input and output (…, d),
    router (d, experts), gate and up (experts, d, units), down (experts, units, d).
    """

    supports_masking = True

    num_experts: Annotated[PositiveInt, doc("Number of experts.")]
    top_k: Annotated[PositiveInt, doc("Number of experts that each token takes.")]
    units: Annotated[PositiveInt, doc("Width of an expert's hidden layer.", is_width=True)]
    activation: Annotated[Activation, doc("Function applied in the hidden layer.")] = Relu()
    use_gate: Annotated[
        bool, doc("Whether the activation is that of a gate, which multiplies the hidden layer.")
    ] = False
    offset: Annotated[float, doc("Added to what the gate multiplies.")] = 0.0
    scoring: Annotated[Literal["softmax", "sigmoid"], doc("Function of the router's logits.")] = (
        "softmax"
    )
    normalize: Annotated[bool, doc("Whether the weights of a token's experts add up to 1.")] = True
    scale: Annotated[PositiveFloat, doc("Factor on the weights.")] = 1.0
    use_bias: Annotated[bool, doc("Whether router and experts add biases.")] = False
    kernel_initializer: Annotated[Initializer, doc("Fills the kernels of the experts.")] = (
        GlorotUniform()
    )
    down_initializer: Annotated[
        Initializer | None, doc("Fills the kernels back, instead of `kernel_initializer`.")
    ] = None
    router_initializer: Annotated[Initializer, doc("Fills the kernel of the router.")] = (
        GlorotUniform()
    )
    bias_initializer: Annotated[Initializer, doc("Fills the biases of the experts.")] = Zeros()
    router_bias_initializer: Annotated[Initializer, doc("Fills the bias of the router.")] = Zeros()

    def __post_init__(self) -> None:
        if self.top_k > self.num_experts:
            raise ArgumentError(
                "top_k",
                f"`top_k` is {self.top_k}, and there are {self.num_experts} experts",
                f"it is at most {self.num_experts}",
            )

    @property
    def last_activation(self) -> Activation | None:
        return None  # It is inside.

    @property
    def routing(self) -> Routing:
        """How the router weighs experts."""
        return Routing(self.top_k, self.scoring, self.normalize, self.scale)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        d, count, units = known_size(self, shape, -1), self.num_experts, self.units
        axes: Any = {"contracts": (0,), "produces": (1,)}
        yield self.weight("router", (d, count), "router_initializer", **axes)
        if self.use_bias:
            yield self.weight("router_bias", (count,), "router_bias_initializer")
        back = "kernel_initializer" if self.down_initializer is None else "down_initializer"
        kernels = {"gate": (d, units, "kernel_initializer")} if self.use_gate else {}
        kernels |= {"up": (d, units, "kernel_initializer"), "down": (units, d, back)}
        for name, (inputs, outputs, argument) in kernels.items():
            made = getattr(self, argument)
            if isinstance(made, Scaled) and made.input_axes is None:
                # Each expert starts as a layer of its own would.
                made = msgspec.structs.replace(made, input_axes=(1,), output_axes=(2,))
            sizes = (count, inputs, outputs)
            yield self.weight(name, sizes, argument, made, contracts=(1,), produces=(2,))
            if self.use_bias:
                yield self.weight(f"{name}_bias", (count, outputs), "bias_initializer")

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        tokens = math.prod(inputs[0][:-1])
        return Work(held=8 * self.top_k * tokens * (self.units + inputs[0][-1]))

    def call(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        tokens = xp.reshape(x, (-1, x.shape[-1]))
        logits = xp.matmul(tokens, flow["router"])
        if self.use_bias:
            logits = logits + flow["router_bias"]
        chosen = self.routing.chosen(xp.constant(logits))
        shares = self.routing.shares(xp, logits, chosen)
        # Tokens of one expert stand beside one another.
        order = numpy.argsort(chosen, None, kind="stable")
        experts = chosen.ravel()[order]
        counts = numpy.bincount(experts, minlength=self.num_experts)

        def projected(name: str, x: Array) -> Array:
            y = xp.matmul_by_group(x, flow[name], counts)
            return y + xp.lookup(flow[f"{name}_bias"], experts) if self.use_bias else y

        given = xp.lookup(tokens, order // self.top_k)
        hidden = projected("up", given)
        if self.use_gate:
            gate = self.activation.call(xp, projected("gate", given))
            hidden = gate * (hidden + self.offset)
        else:
            hidden = self.activation.call(xp, hidden)
        every = xp.lookup(projected("down", hidden), numpy.argsort(order))
        mixed = xp.sum(xp.expand_dims(shares, -1) * xp.reshape(every, (*chosen.shape, -1)), 1)
        return xp.reshape(mixed, x.shape)
