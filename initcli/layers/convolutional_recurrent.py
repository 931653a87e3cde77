"""Recurrent layers whose products are convolutions."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.activations import Sigmoid, Tanh
from initcli.initializers import (
    Chrono,
    GlorotUniform,
    Initializer,
    Orthogonal,
    Zeros,
    unit_forget_bias,
)
from initcli.layers.arguments import (
    BiasInitializer,
    DilationRate,
    Filters,
    GoBackwards,
    InputDropout,
    KernelInitializer,
    Padding,
    RecurrentActivation,
    RecurrentDropout,
    RecurrentInitializer,
    ReturnSequences,
    ReturnState,
    Seed,
    StateActivation,
    Stateful,
    UnitForgetBias,
    UseBias,
    ZeroOutputForMask,
)
from initcli.layers.cells import (
    lstm_step,
)
from initcli.layers.flow import Flow
from initcli.layers.recurrent import Sequence, unstacked
from initcli.layers.regularization import dropped
from initcli.layers.spatial import AXES, Sliding, channels_back, channels_last, ends, join, ranked
from initcli.parameter import Parameter
from initcli.types import Array, Shape, Size


class ConvLSTM(Sequence, Sliding, frozen=True, kw_only=True):
    """An LSTM whose products are convolutions over ``rank`` spatial axes.

    Shi et al. 2015, arXiv:1506.04214. Shapes: input (batch, steps, …, channels), kernel (k…,
    channels, 4f), recurrent_kernel (k…, f, 4f), bias (4f,), with f = filters.
    """

    registered = False
    holds_layers = True

    filters: Filters
    padding: Padding = "valid"
    dilation_rate: DilationRate = 1
    activation: StateActivation = Tanh()
    recurrent_activation: RecurrentActivation = Sigmoid()
    use_bias: UseBias = True
    kernel_initializer: KernelInitializer = GlorotUniform()
    recurrent_initializer: RecurrentInitializer = Orthogonal()
    bias_initializer: BiasInitializer = Zeros()
    unit_forget_bias: UnitForgetBias = True
    dropout: InputDropout = 0.0
    recurrent_dropout: RecurrentDropout = 0.0
    seed: Seed = None
    return_sequences: ReturnSequences = False
    return_state: ReturnState = False
    go_backwards: GoBackwards = False
    stateful: Stateful = False
    zero_output_for_mask: ZeroOutputForMask = False

    def output_shape(  # type: ignore[override]  # with the state, several outputs
        self, shape: Shape, *initial_state: Shape
    ) -> Shape | list[Shape]:
        self.require_rank(shape, self.rank + 3, f"(steps, {AXES[self.rank][1:]}")
        sizes = self.resized(self.known_sizes(_step(shape)))
        state = join(None, sizes, self.filters, self.data_format)[1:]
        return self.sequence(shape, state, [state, state])

    def parameters(self, shape: Shape, *initial_state: Shape) -> Iterator[Parameter]:
        channels, width = self.channels(_step(shape)), 4 * self.filters
        bias: Initializer = self.bias_initializer
        if self.unit_forget_bias and not isinstance(bias, Chrono):
            bias = unit_forget_bias(bias, self.filters)
        yield self.kernel("conv_lstm_cell/kernel", (*self.window, channels, width))
        recurrent = (*self.window, self.filters, width)
        argument = "recurrent_initializer"
        yield self.kernel("conv_lstm_cell/recurrent_kernel", recurrent, argument, recurs=True)
        if self.use_bias:
            yield self.weight("conv_lstm_cell/bias", (width,), "bias_initializer", bias)

    def call(self, flow: Flow, x: Array, *initial_state: Array) -> Array | list[Array]:
        xp, own = flow.xp, flow.within("conv_lstm_cell")
        batch, steps = x.shape[:2]
        frames = channels_last(xp, xp.reshape(x, (batch * steps, *x.shape[2:])), self.data_format)
        kept = dropped(
            own, frames, self.dropout % 1, (1,) * (frames.ndim - 1) + frames.shape[-1:], self.seed
        )
        fed = self._convolved(own, kept, "kernel", self.steps, self.dilations, self.padding)
        if self.use_bias:
            fed = fed + own["bias"]
        fed = xp.reshape(fed, (batch, steps, *fed.shape[1:]))
        every = (1,) * self.rank

        def step(gates: Array, states: list[Array]) -> list[Array]:
            state = dropped(own, states[0], self.recurrent_dropout % 1, states[0].shape)
            recurred = self._convolved(own, state, "recurrent_kernel", every, every, "same")
            return lstm_step(self, own, gates + recurred, states[1])

        def back(x: Array) -> Array:
            return channels_back(xp, x, self.data_format)

        zeros = xp.zeros((batch, *fed.shape[2:-1], self.filters), x.dtype)
        given = [channels_last(xp, state, self.data_format) for state in initial_state]
        states = given or [zeros, zeros]
        found = self.run(flow, unstacked(fed), states, step, lambda states: back(states[0]))
        return [found[0], *map(back, found[1:])] if self.return_state else found

    def _convolved(
        self, flow: Flow, x: Array, weight: str, strides: Size, dilation: Size, padding: str
    ) -> Array:
        around = ends(x.shape[1:-1], self.window, strides, dilation, padding)
        window = flow.xp.Window(strides, dilation, around)
        return flow.xp.correlate(x, flow[weight], window)


def _step(shape: Shape) -> Shape:
    """The shape of one step."""
    return (shape[0], *shape[2:])


ConvLSTM1D, ConvLSTM2D, ConvLSTM3D = ranked(
    ConvLSTM, "ConvLSTM{}D", "A convolutional LSTM over sequences, each step of which is {}."
)
