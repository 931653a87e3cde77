"""Recurrent cells: one step, from an input and the previous states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from initcli.activations import Sigmoid, Tanh
from initcli.initializers import (
    Chrono,
    GlorotUniform,
    Initializer,
    Orthogonal,
    Zeros,
    per_gate,
    unit_forget_bias,
)
from initcli.layers.arguments import (
    BiasInitializer,
    InputDropout,
    KernelInitializer,
    RecurrentActivation,
    RecurrentDropout,
    RecurrentInitializer,
    Seed,
    StateActivation,
    UnitForgetBias,
    UseBias,
)
from initcli.layers.base import Layer, known_size, sublayer_names, within
from initcli.layers.flow import Flow
from initcli.layers.regularization import dropped
from initcli.parameter import Parameter
from initcli.types import ArgumentError, Array, PositiveInt, Shape, Size, doc


class Gated(Layer, frozen=True, kw_only=True):
    """The weights of a cell: one matrix for each of ``gates``, for the input and for the state.

    Shapes: kernel (d, gates · units), recurrent_kernel (units, gates · units), bias (gates ·
    units,).
    """

    registered = False
    gates: ClassVar[int]
    states: ClassVar[int] = 1

    units: Annotated[
        PositiveInt, doc("Number of output features, and of entries of the state.", is_width=True)
    ]
    activation: StateActivation = Tanh()
    use_bias: UseBias = True
    kernel_initializer: KernelInitializer = GlorotUniform()
    recurrent_initializer: RecurrentInitializer = Orthogonal()
    bias_initializer: BiasInitializer = Zeros()
    dropout: InputDropout = 0.0
    recurrent_dropout: RecurrentDropout = 0.0
    seed: Seed = None
    gates_apart: Annotated[
        bool, doc("Whether the matrix of each gate is filled separately, as in Keras 1 and Flax.")
    ] = False

    def weights(self, shape: Shape) -> Iterator[Parameter]:
        """The weights for a step of shape (batch, d)."""
        width = self.gates * self.units
        inputs = known_size(self, shape, -1)
        for path, size, argument in (
            ("kernel", inputs, "kernel_initializer"),
            ("recurrent_kernel", self.units, "recurrent_initializer"),
        ):
            made: Initializer = getattr(self, argument)
            if self.gates_apart and self.gates > 1:
                made = per_gate(made, self.gates, self.units)
            axes: Any = {"contracts": (0,), "produces": (1,), "recurs": path != "kernel"}
            yield self.weight(path, (size, width), argument, made, **axes)
        if self.use_bias:
            yield self.weight("bias", self.bias_shape, "bias_initializer", self.bias_filler)

    @property
    def biases(self) -> int:
        """Number of biases that add up at each gate."""
        return 1

    @property
    def bias_shape(self) -> Size:
        """The shape of the bias."""
        return (self.gates * self.units,)

    @property
    def bias_filler(self) -> Initializer:
        """The initializer of the bias."""
        return self.bias_initializer

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The sizes of the states; the first is the size of the output."""
        return (self.units,) * self.states

    def fed(self, flow: Flow, x: Array) -> Array:
        """The contribution of the input (batch, …, d) to the gates: (batch, …, gates · units)."""
        same = (x.shape[0], *(1,) * (len(x.shape) - 2), x.shape[-1])
        z = flow.xp.matmul(dropped(flow, x, self.dropout % 1, same, self.seed), flow["kernel"])
        return z + self.input_bias(flow) if self.use_bias else z

    def input_bias(self, flow: Flow) -> Array:
        """The bias of the input."""
        return flow["bias"]

    def recurred(self, flow: Flow, state: Array, first: int = 0, last: int | None = None) -> Array:
        """The contribution of the state (batch, units) to the gates ``first`` ≤ gate < ``last``."""
        kernel, gates = flow["recurrent_kernel"], range(self.gates)[first:last]
        if not 0 < self.recurrent_dropout < 1:
            within = slice(gates.start * self.units, gates.stop * self.units)
            return flow.xp.matmul(state, kernel[:, within])
        parts = []
        for gate in gates:
            own = flow.within(f"gate {gate}")
            kept = dropped(own, state, self.recurrent_dropout, state.shape)
            columns = slice(gate * self.units, (gate + 1) * self.units)
            parts.append(flow.xp.matmul(kept, kernel[:, columns]))
        return flow.xp.concatenate(parts, -1)

    def step(self, flow: Flow, fed: Array, states: list[Array]) -> list[Array]:
        """The states after a step; the first is the output."""
        raise NotImplementedError


class SimpleRNNWeights(Gated, frozen=True, kw_only=True):
    """h = activation(x · kernel + h · recurrent_kernel + bias)."""

    registered = False
    gates = 1

    def step(self, flow: Flow, fed: Array, states: list[Array]) -> list[Array]:
        return [self.activation.call(flow.xp, fed + self.recurred(flow, states[0]))]


class LSTMWeights(Gated, frozen=True, kw_only=True):
    """The weights of an LSTM, by the gates input, forget, cell and output.

    Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735.
    """

    registered = False
    gates = 4
    states = 2

    recurrent_activation: RecurrentActivation = Sigmoid()
    unit_forget_bias: UnitForgetBias = True

    @property
    def bias_filler(self) -> Initializer:
        if self.unit_forget_bias and not isinstance(self.bias_initializer, Chrono):
            return unit_forget_bias(self.bias_initializer, self.units)
        return self.bias_initializer

    def step(self, flow: Flow, fed: Array, states: list[Array]) -> list[Array]:
        return lstm_step(self, flow, fed + self.recurred(flow, states[0]), states[1])


class GRUWeights(Gated, frozen=True, kw_only=True):
    """The weights of a GRU, by the gates update, reset and candidate.

    Cho et al. 2014, arXiv:1406.1078. The bias is (2, 3 · units) with ``reset_after``, one row for
    the input and one for the state, else (3 · units,).
    """

    registered = False
    gates = 3

    recurrent_activation: RecurrentActivation = Sigmoid()
    reset_after: Annotated[
        bool, doc("Whether the reset gate acts on the output of the recurrent kernel, as in cuDNN.")
    ] = True

    @property
    def biases(self) -> int:
        return 2 if self.reset_after else 1

    @property
    def bias_shape(self) -> Size:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def input_bias(self, flow: Flow) -> Array:
        return flow["bias"][0] if self.reset_after else flow["bias"]

    def state_bias(self, flow: Flow) -> Array:
        """The bias of the state, with ``reset_after``."""
        return flow["bias"][1]

    def step(self, flow: Flow, fed: Array, states: list[Array]) -> list[Array]:
        state, gate = states[0], self.recurrent_activation
        update, reset, candidate = flow.xp.split(fed, 3, -1)
        if self.reset_after:
            recurred = self.recurred(flow, state)
            if self.use_bias:
                recurred = recurred + self.state_bias(flow)
            parts = flow.xp.split(recurred, 3, -1)
            update = gate.call(flow.xp, update + parts[0])
            reset = gate.call(flow.xp, reset + parts[1])
            candidate = candidate + reset * parts[2]
        else:
            parts = flow.xp.split(self.recurred(flow, state, 0, 2), 2, -1)
            update = gate.call(flow.xp, update + parts[0])
            reset = gate.call(flow.xp, reset + parts[1])
            candidate = candidate + self.recurred(flow, reset * state, 2)
        return [update * state + (1 - update) * self.activation.call(flow.xp, candidate)]


class _Cell:
    """One step: an input (batch, d) and the states before give an output and the next states."""

    __slots__ = ()

    def output_shape(self: Any, shape: Shape, *states: Shape) -> list[Shape]:
        return [(shape[0], size) for size in (output_of(self), *self.state_sizes)]


class _SingleCell(_Cell):
    """A cell with weights of its own."""

    __slots__ = ()

    def parameters(self: Any, shape: Shape, *states: Shape) -> Iterator[Parameter]:
        yield from self.weights(shape)

    def call(self: Any, flow: Flow, x: Array, *states: Array) -> list[Array]:
        after = self.step(flow, self.fed(flow, x), list(states) or zero_states(self, flow, x))
        return [after[0], *after]


class SimpleRNNCell(_SingleCell, SimpleRNNWeights, frozen=True, kw_only=True):
    """One step of a SimpleRNN."""


class LSTMCell(_SingleCell, LSTMWeights, frozen=True, kw_only=True):
    """One step of an LSTM."""


class GRUCell(_SingleCell, GRUWeights, frozen=True, kw_only=True):
    """One step of a GRU."""


class StackedRNNCells(_Cell, Layer, frozen=True, kw_only=True):
    """Cells, each of which takes the output of the previous one."""

    holds_layers = True

    cells: Annotated[
        tuple[Layer, ...], doc("The cells; each takes the output of the previous one.")
    ]

    def __post_init__(self) -> None:
        if not self.cells:
            remedy = "add one, such as {type: LSTMCell, units: 10}"
            raise ArgumentError("cells", "`cells` is empty", remedy)
        for cell in self.cells:
            require_cell(cell, "cells")

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The states of all cells in order."""
        return tuple(size for cell in self.cells for size in states_of(cell))

    def parameters(self, shape: Shape, *states: Shape) -> Iterator[Parameter]:
        names = sublayer_names(self.cells)
        for index, (cell, name) in enumerate(zip(self.cells, names, strict=True)):
            yield from within(cell, name, cell.parameters(shape), keys=("cells", index))
            shape = (shape[0], output_of(cell))

    def call(self, flow: Flow, x: Array, *states: Array) -> list[Array]:
        rest = list(states) or zero_states(self, flow, x)
        found: list[Array] = []
        for cell, name in zip(self.cells, sublayer_names(self.cells), strict=True):
            count = len(states_of(cell))
            x, *after = cell.call(flow.within(name), x, *rest[:count])
            found, rest = found + after, rest[count:]
        return [x, *found]


def lstm_step(layer: Any, flow: Flow, gates: Array, carry: Array) -> list[Array]:
    """Output and carry from the gates input, forget, cell and output, not yet activated."""
    gate, xp = layer.recurrent_activation, flow.xp
    i, f, c, o = xp.split(gates, 4, -1)
    carried = gate.call(xp, f) * carry + gate.call(xp, i) * layer.activation.call(xp, c)
    return [gate.call(xp, o) * layer.activation.call(xp, carried), carried]


def states_of(cell: Layer) -> tuple[int, ...]:
    """The sizes of the states of a cell."""
    sizes: tuple[int, ...] = getattr(cell, "state_sizes", ())
    return sizes


def zero_states(cell: Layer, flow: Flow, x: Array) -> list[Array]:
    """Zero states of a cell for the batch of x."""
    return [flow.xp.zeros((x.shape[0], size), x.dtype) for size in states_of(cell)]


def output_of(cell: Layer) -> int:
    """The size of the output of a cell."""
    return output_of(cell.cells[-1]) if isinstance(cell, StackedRNNCells) else states_of(cell)[0]


def output_index(cell: Layer) -> int:
    """The index of the state that is the output of a cell."""
    if not isinstance(cell, StackedRNNCells):
        return 0
    *before, last = cell.cells
    return sum(len(states_of(each)) for each in before) + output_index(last)


def require_cell(cell: Layer, argument: str) -> None:
    """Raise unless a layer is a cell.

    Raises:
        ArgumentError: it is not a cell.
    """
    if not isinstance(cell, _Cell):
        kinds = "a cell, such as LSTMCell"
        raise ArgumentError(argument, f"`{argument}` takes {kinds}, not {type(cell).__name__}")
