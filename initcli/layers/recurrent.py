"""Recurrent layers: cells that take one step, and layers that take a sequence through a cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from initcli.activations import Activation, Sigmoid, Tanh
from initcli.initializers import GlorotUniform, Initializer, Orthogonal, Zeros, unit_forget_bias
from initcli.layers.base import Layer, known_size, per_axis, sublayer_names, within
from initcli.layers.flow import Flow
from initcli.layers.regularization import dropped
from initcli.layers.spatial import (
    AXES,
    channels_back,
    channels_last,
    ends,
    join,
    slide,
    split,
)
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    DataFormat,
    Fraction,
    PositiveInt,
    Shape,
    ShapeError,
    Size,
    shape_text,
)

Sizes = PositiveInt | tuple[PositiveInt, ...]


class Gated(Layer, frozen=True, kw_only=True):
    """A cell's weights: ``gates`` matrices side by side for the input and for the state before.

    Shapes: kernel (d, gates · units), recurrent_kernel (units, gates · units), bias.
    """

    spoken = False

    gates: ClassVar[int]
    states: ClassVar[int] = 1

    units: PositiveInt
    activation: Activation = Tanh()
    use_bias: bool = True
    kernel_initializer: Initializer = GlorotUniform()
    recurrent_initializer: Initializer = Orthogonal()
    bias_initializer: Initializer = Zeros()
    dropout: Fraction = 0.0
    recurrent_dropout: Fraction = 0.0
    seed: int | None = None

    def weights(self, shape: Shape) -> Iterator[Parameter]:
        """The weights for a step of shape (batch, d)."""
        width = self.gates * self.units
        inputs = known_size(self, shape, -1)
        yield Parameter(path="kernel", shape=(inputs, width), initializer=self.kernel_initializer)
        yield Parameter(
            path="recurrent_kernel",
            shape=(self.units, width),
            initializer=self.recurrent_initializer,
        )
        if self.use_bias:
            yield Parameter(path="bias", shape=self.bias_shape, initializer=self.bias_filler)

    @property
    def bias_shape(self) -> Size:
        """The shape of the bias."""
        return (self.gates * self.units,)

    @property
    def bias_filler(self) -> Initializer:
        """What fills the bias."""
        return self.bias_initializer

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The size of each state that the cell hands on; the first is that of its output."""
        return (self.units,) * self.states

    def fed(self, flow: Flow, x: Array) -> Array:
        """What the input (batch, …, d) adds to the gates: (batch, …, gates · units)."""
        same = (x.shape[0], *(1,) * (len(x.shape) - 2), x.shape[-1])
        z = flow.np.matmul(dropped(flow, x, self.dropout % 1, same, self.seed), flow["kernel"])
        return z + self.input_bias(flow) if self.use_bias else z

    def input_bias(self, flow: Flow) -> Array:
        """The bias of what the input adds."""
        return flow["bias"]

    def recurred(self, flow: Flow, state: Array, first: int = 0, last: int | None = None) -> Array:
        """What the state (batch, units) adds to the gates from the first to before the last."""
        kernel, gates = flow["recurrent_kernel"], range(self.gates)[first:last]
        if not 0 < self.recurrent_dropout < 1:
            within = slice(gates.start * self.units, gates.stop * self.units)
            return flow.np.matmul(state, kernel[:, within])
        parts = []
        for gate in gates:
            own = flow.within(f"gate {gate}")
            kept = dropped(own, state, self.recurrent_dropout, state.shape)
            columns = slice(gate * self.units, (gate + 1) * self.units)
            parts.append(flow.np.matmul(kept, kernel[:, columns]))
        return flow.np.concatenate(parts, -1)

    def step(self, flow: Flow, fed: Array, states: list[Array]) -> list[Array]:
        """The states after a step, of which the first is the output."""
        raise NotImplementedError

    def initial(self, flow: Flow, x: Array) -> list[Array]:
        """States of zeros for a batch like that of x."""
        return [flow.np.zeros((x.shape[0], size), x.dtype) for size in self.state_sizes]


class _SimpleRNN(Gated, frozen=True, kw_only=True):
    """h = activation(x · kernel + h · recurrent_kernel + bias)."""

    gates = 1

    def step(self, flow: Flow, fed: Array, states: list[Array]) -> list[Array]:
        return [self.activation.call(flow.np, fed + self.recurred(flow, states[0]))]


class _LSTM(Gated, frozen=True, kw_only=True):
    """Gates input, forget, cell and output (Hochreiter & Schmidhuber 1997), in that order.

    With ``unit_forget_bias`` the bias of the forget gate starts at one (Jozefowicz et al. 2015).
    """

    gates = 4
    states = 2

    recurrent_activation: Activation = Sigmoid()
    unit_forget_bias: bool = True

    @property
    def bias_filler(self) -> Initializer:
        if self.unit_forget_bias:
            return unit_forget_bias(self.bias_initializer, self.units)
        return self.bias_initializer

    def step(self, flow: Flow, fed: Array, states: list[Array]) -> list[Array]:
        return lstm_step(self, flow, fed + self.recurred(flow, states[0]), states[1])


class _GRU(Gated, frozen=True, kw_only=True):
    """Gates update, reset and candidate (Cho et al. 2014), in that order.

    With ``reset_after`` the reset gate acts on what the recurrent kernel gave, and the bias is
    (2, 3 · units), one row for the input and one for the state; without, it is (3 · units,).
    """

    gates = 3

    recurrent_activation: Activation = Sigmoid()
    reset_after: bool = True

    @property
    def bias_shape(self) -> Size:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def input_bias(self, flow: Flow) -> Array:
        return flow["bias"][0] if self.reset_after else flow["bias"]

    def step(self, flow: Flow, fed: Array, states: list[Array]) -> list[Array]:
        state, gate = states[0], self.recurrent_activation
        update, reset, candidate = flow.np.split(fed, 3, -1)
        if self.reset_after:
            recurred = self.recurred(flow, state)
            if self.use_bias:
                recurred = recurred + flow["bias"][1]
            parts = flow.np.split(recurred, 3, -1)
            update = gate.call(flow.np, update + parts[0])
            reset = gate.call(flow.np, reset + parts[1])
            candidate = candidate + reset * parts[2]
        else:
            parts = flow.np.split(self.recurred(flow, state, 0, 2), 2, -1)
            update = gate.call(flow.np, update + parts[0])
            reset = gate.call(flow.np, reset + parts[1])
            candidate = candidate + self.recurred(flow, reset * state, 2)
        return [update * state + (1 - update) * self.activation.call(flow.np, candidate)]


class _Cell:
    """One step: (batch, d) and the states before, to the output and the states after."""

    __slots__ = ()

    state_sizes: tuple[int, ...]

    def output_shape(self: Any, shape: Shape, *states: Shape) -> list[Shape]:
        return [(shape[0], self.state_sizes[0]), *((shape[0], size) for size in self.state_sizes)]

    def parameters(self: Any, shape: Shape, *states: Shape) -> Iterator[Parameter]:
        yield from self.weights(shape)

    def call(self: Any, flow: Flow, x: Array, *states: Array) -> list[Array]:
        before = list(states) or self.initial(flow, x)
        after = self.step(flow, self.fed(flow, x), before)
        return [after[0], *after]


class SimpleRNNCell(_Cell, _SimpleRNN, frozen=True, kw_only=True):
    """One step of a SimpleRNN."""


class LSTMCell(_Cell, _LSTM, frozen=True, kw_only=True):
    """One step of an LSTM."""


class GRUCell(_Cell, _GRU, frozen=True, kw_only=True):
    """One step of a GRU."""


class StackedRNNCells(Layer, frozen=True, kw_only=True):
    """Cells one upon the other: each takes the output of the one before."""

    cells: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.cells:
            raise ArgumentError("cells", "cells holds at least one cell")
        for cell in self.cells:
            _require_cell(cell, "cells")

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The states of every cell, those of the first cell first."""
        return tuple(size for cell in self.cells for size in states_of(cell))

    def output_shape(self, shape: Shape, *states: Shape) -> list[Shape]:
        sizes = ((shape[0], size) for size in self.state_sizes)
        return [(shape[0], output_of(self)), *sizes]

    def parameters(self, shape: Shape, *states: Shape) -> Iterator[Parameter]:
        for cell, name in zip(self.cells, sublayer_names(self.cells), strict=True):
            yield from within(cell, name, cell.parameters(shape))
            shape = (shape[0], output_of(cell))

    def initial(self, flow: Flow, x: Array) -> list[Array]:
        """States of zeros for a batch like that of x."""
        return [flow.np.zeros((x.shape[0], size), x.dtype) for size in self.state_sizes]

    def call(self, flow: Flow, x: Array, *states: Array) -> list[Array]:
        rest = list(states) or self.initial(flow, x)
        found: list[Array] = []
        for cell, name in zip(self.cells, sublayer_names(self.cells), strict=True):
            count = len(states_of(cell))
            x, *after = cell.call(flow.within(name), x, *rest[:count])
            found, rest = found + after, rest[count:]
        return [x, *found]


def lstm_step(layer: Any, flow: Flow, gates: Array, carry: Array) -> list[Array]:
    """Output and carry from the gates input, forget, cell and output before activation."""
    gate, np = layer.recurrent_activation, flow.np
    i, f, c, o = np.split(gates, 4, -1)
    carried = gate.call(np, f) * carry + gate.call(np, i) * layer.activation.call(np, c)
    return [gate.call(np, o) * layer.activation.call(np, carried), carried]


def states_of(cell: Layer) -> tuple[int, ...]:
    """The sizes of the states that a cell hands on."""
    sizes: tuple[int, ...] = getattr(cell, "state_sizes", ())
    return sizes


def output_of(cell: Layer) -> int:
    """The size of what comes out of a cell."""
    return output_of(cell.cells[-1]) if isinstance(cell, StackedRNNCells) else states_of(cell)[0]


def _require_cell(cell: Layer, argument: str) -> None:
    if not isinstance(cell, (_Cell, StackedRNNCells)):
        raise ArgumentError(argument, f"{type(cell).__name__} is not a cell, such as LSTMCell")


# A struct cannot inherit fields from two sides, so that what layers share beside their cells is a
# class without fields, and each layer writes its own.


Step = Callable[[Array, list[Array]], tuple[Array, list[Array]]]
"""What comes in and the states before, to what comes out and the states after."""


def _unstacked(x: Array) -> list[Array]:
    """The steps of (batch, steps, …)."""
    return [x[:, step] for step in range(x.shape[1])]


class _Sequence:
    """What takes a sequence: (batch, steps, d) to the last output, or to all of them.

    With ``return_state`` the last states come out as well. Initial states may come in beside the
    sequence.
    """

    __slots__ = ()

    return_sequences: bool
    return_state: bool
    stateful: bool

    def sequence(
        self: Any, shape: Shape, output: Shape, states: list[Shape]
    ) -> Shape | list[Shape]:
        """What comes out, when ``output`` and ``states`` (without batch) come out of one step."""
        if self.stateful and shape[0] is None:
            raise ShapeError(
                f"{type(self).__name__} is stateful, and needs a batch of known size",
                "give batch_size in the spec or in the Input",
            )
        batch, steps = shape[:2]
        whole = (batch, steps, *output) if self.return_sequences else (batch, *output)
        return [whole, *((batch, *state) for state in states)] if self.return_state else whole

    def run(
        self: Any, flow: Flow, steps: list[Array], states: list[Array], step: Step
    ) -> Array | list[Array]:
        """Take the steps, first to last or backwards, and give what comes out."""
        outputs = []
        for fed in reversed(steps) if self.go_backwards else steps:
            output, states = step(fed, states)
            outputs.append(output)
        whole = flow.np.stack(outputs, 1) if self.return_sequences else outputs[-1]
        return [whole, *states] if self.return_state else whole


class _Recurrent(_Sequence):
    """A layer that holds one cell, whose weights stand under ``cell_name``."""

    __slots__ = ()

    cell_name: ClassVar[str]

    def output_shape(self: Any, shape: Shape, *initial_state: Shape) -> Shape | list[Shape]:
        self.require_rank(shape, 3, "(steps, features)")
        found: Shape | list[Shape] = self.sequence(
            shape, (self.units,), [(size,) for size in self.state_sizes]
        )
        return found

    def parameters(self: Any, shape: Shape, *initial_state: Shape) -> Iterator[Parameter]:
        step = (shape[0], *shape[2:])
        yield from within(self, self.cell_name, self.weights(step))

    def call(self: Any, flow: Flow, x: Array, *initial_state: Array) -> Array | list[Array]:
        own = flow.within(self.cell_name)

        def step(fed: Array, states: list[Array]) -> tuple[Array, list[Array]]:
            after = self.step(own, fed, states)
            return after[0], after

        states = list(initial_state) or self.initial(own, x)
        return self.run(flow, _unstacked(self.fed(own, x)), states, step)


class SimpleRNN(_Recurrent, _SimpleRNN, frozen=True, kw_only=True):
    """A fully connected recurrence: h = activation(x · kernel + h · recurrent_kernel + bias).

    Shapes: input (batch, steps, d), kernel (d, units), recurrent_kernel (units, units),
    bias (units,), output (batch, units) or (batch, steps, units).
    """

    cell_name = "simple_rnn_cell"

    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False


class LSTM(_Recurrent, _LSTM, frozen=True, kw_only=True):
    """Long short-term memory (Hochreiter & Schmidhuber 1997).

    Shapes: input (batch, steps, d), kernel (d, 4u), recurrent_kernel (u, 4u), bias (4u,), for the
    gates input, forget, cell and output, with u = units; with ``unit_forget_bias`` the bias of
    the forget gate starts at one.
    """

    cell_name = "lstm_cell"

    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    use_cudnn: bool | str = "auto"


class GRU(_Recurrent, _GRU, frozen=True, kw_only=True):
    """Gated recurrent unit (Cho et al. 2014).

    Shapes: input (batch, steps, d), kernel (d, 3u), recurrent_kernel (u, 3u), for the gates
    update, reset and candidate, with u = units; bias (2, 3u) with ``reset_after``, else (3u,).
    """

    cell_name = "gru_cell"

    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    use_cudnn: bool | str = "auto"


class RNN(_Sequence, Layer, frozen=True, kw_only=True):
    """Takes a sequence through any cell, or through several that are stacked."""

    cell: Layer | tuple[Layer, ...]
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False

    def __post_init__(self) -> None:
        _require_cell(self.one_cell, "cell")

    @property
    def one_cell(self) -> Layer:
        """The cell; several are one stack."""
        return StackedRNNCells(cells=self.cell) if isinstance(self.cell, tuple) else self.cell

    def output_shape(self, shape: Shape, *initial_state: Shape) -> Shape | list[Shape]:
        self.require_rank(shape, 3, "(steps, features)")
        cell = self.one_cell
        return self.sequence(shape, (output_of(cell),), [(size,) for size in states_of(cell)])

    def parameters(self, shape: Shape, *initial_state: Shape) -> Iterator[Parameter]:
        cell = self.one_cell
        step = (shape[0], *shape[2:])
        yield from within(cell, cell.name or cell.default_name(), cell.parameters(step))

    def call(self, flow: Flow, x: Array, *initial_state: Array) -> Array | list[Array]:
        cell: Any = self.one_cell
        own = flow.within(cell.name or cell.default_name())

        def step(fed: Array, states: list[Array]) -> tuple[Array, list[Array]]:
            output, *after = cell.call(own, fed, *states)
            return output, after

        states = list(initial_state) or cell.initial(own, x)
        return self.run(flow, _unstacked(x), states, step)


class ConvLSTM(_Sequence, Layer, frozen=True, kw_only=True):
    """An LSTM whose products are convolutions (Shi et al. 2015), over ``rank`` spatial axes.

    Shapes: input (batch, steps, …, channels), kernel (k…, channels, 4f), recurrent_kernel
    (k…, f, 4f), bias (4f,), with f = filters.
    """

    spoken = False

    rank: ClassVar[int]

    filters: PositiveInt
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    data_format: DataFormat | None = None
    dilation_rate: Sizes = 1
    activation: Activation = Tanh()
    recurrent_activation: Activation = Sigmoid()
    use_bias: bool = True
    kernel_initializer: Initializer = GlorotUniform()
    recurrent_initializer: Initializer = Orthogonal()
    bias_initializer: Initializer = Zeros()
    unit_forget_bias: bool = True
    dropout: Fraction = 0.0
    recurrent_dropout: Fraction = 0.0
    seed: int | None = None
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False

    def __post_init__(self) -> None:
        per_axis(self.kernel_size, self.rank, "kernel_size")
        strides = per_axis(self.strides, self.rank, "strides")
        dilation = per_axis(self.dilation_rate, self.rank, "dilation_rate")
        if max(strides) > 1 and max(dilation) > 1:
            raise ArgumentError(
                "dilation_rate", "strides and dilation_rate cannot both be more than 1"
            )
        if self.padding not in ("valid", "same"):
            raise ArgumentError("padding", "padding is 'valid' or 'same'")

    def output_shape(self, shape: Shape, *initial_state: Shape) -> Shape | list[Shape]:
        self.require_rank(shape, self.rank + 3, f"(steps, {AXES[self.rank][1:]}")
        step = self._step(shape)
        sizes = split(step, self.data_format).sizes
        if None in sizes:
            raise ShapeError(
                f"{type(self).__name__} needs every spatial size of its input, and "
                f"{shape_text(shape)} leaves one out"
            )
        strides = per_axis(self.strides, self.rank, "strides")
        dilation = per_axis(self.dilation_rate, self.rank, "dilation_rate")
        found = slide(self, sizes, self._window, strides, dilation, self.padding)
        state = join(None, found, self.filters, self.data_format)[1:]
        return self.sequence(shape, state, [state, state])

    def parameters(self, shape: Shape, *initial_state: Shape) -> Iterator[Parameter]:
        axis = 1 if self.data_format == "channels_first" else -1
        channels = known_size(self, self._step(shape), axis)
        width = 4 * self.filters
        bias: Initializer = self.bias_initializer
        if self.unit_forget_bias:
            bias = unit_forget_bias(bias, self.filters)
        found = [
            ("kernel", (*self._window, channels, width), self.kernel_initializer),
            ("recurrent_kernel", (*self._window, self.filters, width), self.recurrent_initializer),
            *([("bias", (width,), bias)] if self.use_bias else []),
        ]
        for name, size, initializer in found:
            path = f"conv_lstm_cell/{name}"
            yield Parameter(path=path, shape=size, initializer=initializer)

    def call(self, flow: Flow, x: Array, *initial_state: Array) -> Array | list[Array]:
        np, own = flow.np, flow.within("conv_lstm_cell")
        batch, steps = x.shape[:2]
        frames = channels_last(np, np.reshape(x, (batch * steps, *x.shape[2:])), self.data_format)
        strides = per_axis(self.strides, self.rank, "strides")
        dilation = per_axis(self.dilation_rate, self.rank, "dilation_rate")
        kept = dropped(
            own, frames, self.dropout % 1, (1,) * (frames.ndim - 1) + frames.shape[-1:], self.seed
        )
        fed = self._convolved(own, kept, "kernel", strides, dilation, self.padding)
        if self.use_bias:
            fed = fed + own["bias"]
        fed = np.reshape(fed, (batch, steps, *fed.shape[1:]))
        every = (1,) * self.rank

        def step(gates: Array, states: list[Array]) -> tuple[Array, list[Array]]:
            state = dropped(own, states[0], self.recurrent_dropout % 1, states[0].shape)
            recurred = self._convolved(own, state, "recurrent_kernel", every, every, "same")
            after = lstm_step(self, own, gates + recurred, states[1])
            return channels_back(np, after[0], self.data_format), after

        zeros = np.zeros((batch, *fed.shape[2:-1], self.filters), x.dtype)
        given = [channels_last(np, state, self.data_format) for state in initial_state]
        found = self.run(flow, _unstacked(fed), given or [zeros, zeros], step)
        if not isinstance(found, list):
            return found
        return [found[0], *(channels_back(np, state, self.data_format) for state in found[1:])]

    def _convolved(
        self, flow: Flow, x: Array, weight: str, strides: Size, dilation: Size, padding: str
    ) -> Array:
        around = ends(x.shape[1:-1], self._window, strides, dilation, padding)
        window = flow.np.Window(strides, dilation, around)
        return flow.np.correlate(x, flow[weight], window)

    @property
    def _window(self) -> Size:
        return per_axis(self.kernel_size, self.rank, "kernel_size")

    def _step(self, shape: Shape) -> Shape:
        return (shape[0], *shape[2:])


class ConvLSTM1D(ConvLSTM, frozen=True, kw_only=True):
    """A convolutional LSTM over sequences of rows: (batch, steps, length, channels)."""

    rank = 1


class ConvLSTM2D(ConvLSTM, frozen=True, kw_only=True):
    """A convolutional LSTM over sequences of images: (batch, steps, height, width, channels)."""

    rank = 2


class ConvLSTM3D(ConvLSTM, frozen=True, kw_only=True):
    """A convolutional LSTM over sequences of volumes."""

    rank = 3
