"""Recurrent layers, which apply a cell to a sequence step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Sequence_
from functools import partial
from operator import itemgetter
from typing import Annotated, Any, ClassVar

import msgspec

from initcli.initializers import (
    Initializer,
    unit_forget_bias,
)
from initcli.layers.arguments import (
    GoBackwards,
    ReturnSequences,
    ReturnState,
    Stateful,
    Unroll,
    UseCudnn,
    ZeroOutputForMask,
)
from initcli.layers.base import Layer, Role, Work, own_name, within
from initcli.layers.cells import (
    GRUWeights,
    LSTMWeights,
    SimpleRNNWeights,
    StackedRNNCells,
    output_index,
    output_of,
    require_cell,
    states_of,
    zero_states,
)
from initcli.layers.flow import Flow, Mask
from initcli.parameter import Parameter
from initcli.types import ArgumentError, Array, Shape, ShapeError, Size, doc

# A struct cannot inherit fields from two bases, so the class that layers share besides their cells
# has no fields, and each layer declares its own.


Step = Callable[[Array, list[Array]], list[Array]]
"""From an input and the previous states to the next states."""


_HELD = 32
"""Number of entries that the backward pass holds per step, for each entry of the output."""
_STEP_HELD = 6_500
"""Memory for the records of a step of any size, in entries."""
_GATES = 1_000
"""Cost of the gates of a step for each entry of its output, in multiplications."""
_STEP_PRODUCTS = 4_000_000
"""Cost of calling the functions of a step, in multiplications."""


def unstacked(x: Array) -> list[Array]:
    """The steps of (batch, steps, …)."""
    return [x[:, step] for step in range(x.shape[1])]


class Sequence:
    """A layer that takes a sequence (batch, steps, d) and returns the last output, or all outputs.

    Initial states may follow the sequence as further inputs.
    """

    __slots__ = ()

    role: ClassVar[Role | None] = "recurs"
    supports_masking: ClassVar[bool] = True
    takes_masks: ClassVar[Mapping[str, int]] = {"mask": 2}

    return_sequences: bool
    return_state: bool
    stateful: bool
    zero_output_for_mask: bool

    @property
    def one_cell(self: Any) -> Any:
        """The cell: the layer itself if it has the weights."""
        return self

    def output_shape(self: Any, shape: Shape, *initial_state: Shape) -> Shape | list[Shape]:
        self.require_rank(shape, 3, "(steps, features)")
        cell = self.one_cell
        sizes = [(size,) for size in states_of(cell)]
        return self.sequence(shape, (output_of(cell),), sizes)  # type: ignore[no-any-return]

    def sequence(
        self: Any, shape: Shape, output: Shape, states: list[Shape]
    ) -> Shape | list[Shape]:
        """The output shapes, given those of one step without the batch."""
        if self.stateful and shape[0] is None:
            raise ShapeError(
                f"{type(self).__name__} is stateful, and needs a batch of known size",
                "give batch_size in the spec or in the Input",
            )
        batch, steps = shape[:2]
        whole = (batch, steps, *output) if self.return_sequences else (batch, *output)
        return [whole, *((batch, *state) for state in states)] if self.return_state else whole

    def work(self: Any, inputs: Sequence_[Size], outputs: Sequence_[Size]) -> Work:
        steps, state = inputs[0][1], math.prod(outputs[0])
        if self.return_sequences:
            state //= max(steps, 1)
        held = steps * (_HELD * state + _STEP_HELD)
        return Work(held, steps * (_GATES * state + _STEP_PRODUCTS))

    def run(
        self: Any,
        flow: Flow,
        steps: list[Array],
        states: list[Array],
        step: Step,
        output: Callable[[list[Array]], Array],
    ) -> Array | list[Array]:
        """Run the steps in order or backward, and return the output.

        ``output`` maps the states after a step to its output. A masked step leaves the states
        unchanged, and repeats the previous output, or outputs zeros with
        ``zero_output_for_mask``.
        """
        xp = flow.xp
        outputs: list[Array] = []
        present = _present(flow.mask if "mask" in self.takes_masks else None, len(steps))
        # Unrolled layers output zeros before the first valid step.
        began = xp.zeros(steps[0].shape[:1], bool)
        order = range(len(steps))
        for index in reversed(order) if self.go_backwards else order:
            after = step(steps[index], states)
            if not self.return_sequences:
                outputs.clear()
            if (there := present[index]) is None:
                states = after
                outputs.append(output(states))
                continue
            states = [_where(xp, there, *pair) for pair in zip(after, states, strict=True)]
            found = output(states)
            if getattr(self, "unroll", False):
                began = xp.logical_or(began, there)
                found = _where(xp, began, found, found.dtype.type(0))
            elif self.zero_output_for_mask:
                found = _where(xp, there, found, found.dtype.type(0))
            outputs.append(found)
        whole = xp.stack(outputs, 1) if self.return_sequences else outputs[-1]
        return [whole, *states] if self.return_state else whole

    def output_mask(self: Any, flow: Flow, x: Array, *initial_state: Array) -> Mask:
        """The mask of the sequence, if the output is a sequence."""
        return flow.passed_mask if self.return_sequences else None


def _present(mask: Mask, steps: int) -> list[Mask]:
    """The examples with each step: any of its entries is valid."""
    if mask is None:
        return [None] * steps
    return unstacked(mask.reshape(*mask.shape[:2], -1).any(-1))


def _where(xp: Any, rows: Array, x: Array, other: Array) -> Array:
    """The rows of x where ``rows`` is True, else those of the other array."""
    return xp.where(xp.reshape(rows, (-1, *(1,) * (len(x.shape) - 1))), x, other)


class _Recurrent(Sequence):
    """A layer that holds one cell, whose weights are under ``cell_name`` if it has one."""

    __slots__ = ()

    cell_name: ClassVar[str | None]

    def parameters(self: Any, shape: Shape, *initial_state: Shape) -> Iterator[Parameter]:
        step = (shape[0], *shape[2:])
        weights = self.weights(step)
        yield from weights if self.cell_name is None else within(self, self.cell_name, weights)

    def call(self: Any, flow: Flow, x: Array, *initial_state: Array) -> Array | list[Array]:
        own = flow if self.cell_name is None else flow.within(self.cell_name)
        states = list(initial_state) or zero_states(self, own, x)
        steps = unstacked(self.fed(own, x))
        return self.run(flow, steps, states, partial(self.step, own), itemgetter(0))


class SimpleRNN(_Recurrent, SimpleRNNWeights, frozen=True, kw_only=True):
    """A fully connected recurrence: h = activation(x · kernel + h · recurrent_kernel + bias).

    Shapes: input (batch, steps, d), kernel (d, units), recurrent_kernel (units, units), bias
    (units,), output (batch, units) or (batch, steps, units).
    """

    cell_name = "simple_rnn_cell"

    return_sequences: ReturnSequences = False
    return_state: ReturnState = False
    go_backwards: GoBackwards = False
    stateful: Stateful = False
    unroll: Unroll = False
    zero_output_for_mask: ZeroOutputForMask = False


class LSTM(_Recurrent, LSTMWeights, frozen=True, kw_only=True):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735).

    Shapes: input (batch, steps, d), kernel (d, 4u), recurrent_kernel (u, 4u), bias (4u,), for the
    gates input, forget, cell and output, with u = units.
    """

    cell_name = "lstm_cell"

    return_sequences: ReturnSequences = False
    return_state: ReturnState = False
    go_backwards: GoBackwards = False
    stateful: Stateful = False
    unroll: Unroll = False
    zero_output_for_mask: ZeroOutputForMask = False
    use_cudnn: UseCudnn = "auto"


class GRU(_Recurrent, GRUWeights, frozen=True, kw_only=True):
    """Gated recurrent unit (Cho et al. 2014, arXiv:1406.1078).

    Shapes: input (batch, steps, d), kernel (d, 3u), recurrent_kernel (u, 3u), for the gates update,
    reset and candidate, with u = units; bias (2, 3u) with ``reset_after``, else (3u,).
    """

    cell_name = "gru_cell"

    return_sequences: ReturnSequences = False
    return_state: ReturnState = False
    go_backwards: GoBackwards = False
    stateful: Stateful = False
    unroll: Unroll = False
    zero_output_for_mask: ZeroOutputForMask = False
    use_cudnn: UseCudnn = "auto"


class CuDNNLSTM(_Recurrent, LSTMWeights, frozen=True, kw_only=True):
    """The LSTM of cuDNN in Keras 2, with two biases.

    Shapes: input (batch, steps, d), kernel (d, 4u), recurrent_kernel (u, 4u), bias (8u,): that of
    the input, then that of the state, with u = units. ``unit_forget_bias`` applies to the second.
    """

    cell_name = None
    supports_masking = False
    takes_masks: ClassVar[Mapping[str, int]] = {}

    return_sequences: ReturnSequences = False
    return_state: ReturnState = False
    go_backwards: GoBackwards = False
    stateful: Stateful = False

    @property
    def biases(self) -> int:
        return 2

    @property
    def bias_shape(self) -> Size:
        return (8 * self.units,)

    @property
    def bias_filler(self) -> Initializer:
        if self.unit_forget_bias:
            return unit_forget_bias(self.bias_initializer, self.units, before=5)
        return self.bias_initializer

    def input_bias(self, flow: Flow) -> Array:
        width = 4 * self.units
        return flow["bias"][:width] + flow["bias"][width:]


class CuDNNGRU(_Recurrent, GRUWeights, frozen=True, kw_only=True):
    """The GRU of cuDNN in Keras 2, with ``reset_after``.

    Shapes: input (batch, steps, d), kernel (d, 3u), recurrent_kernel (u, 3u), bias (6u,): that of
    the input, then that of the state, with u = units.
    """

    cell_name = None
    supports_masking = False
    takes_masks: ClassVar[Mapping[str, int]] = {}

    return_sequences: ReturnSequences = False
    return_state: ReturnState = False
    go_backwards: GoBackwards = False
    stateful: Stateful = False

    def __post_init__(self) -> None:
        if not self.reset_after:
            raise ArgumentError(
                "reset_after", "`reset_after` is always true of a CuDNNGRU", "take GRU in its place"
            )

    @property
    def bias_shape(self) -> Size:
        return (6 * self.units,)

    def input_bias(self, flow: Flow) -> Array:
        return flow["bias"][: 3 * self.units]

    def state_bias(self, flow: Flow) -> Array:
        return flow["bias"][3 * self.units :]


class RNN(Sequence, Layer, frozen=True, kw_only=True):
    """Processes a sequence with a cell, or with several stacked cells."""

    holds_layers = True

    cell: Annotated[
        Layer | tuple[Layer, ...], doc("The cell that processes a step, or several stacked cells.")
    ]
    return_sequences: ReturnSequences = False
    return_state: ReturnState = False
    go_backwards: GoBackwards = False
    stateful: Stateful = False
    unroll: Unroll = False
    zero_output_for_mask: ZeroOutputForMask = False

    def __post_init__(self) -> None:
        require_cell(self.one_cell, "cell")

    @property
    def one_cell(self) -> Layer:
        """The cell; several cells are stacked."""
        return StackedRNNCells(cells=self.cell) if isinstance(self.cell, tuple) else self.cell

    def work(self, inputs: Sequence_[Size], outputs: Sequence_[Size]) -> Work:
        cell = self.one_cell
        times = -(-sum(states_of(cell)) // output_of(cell))
        return Work(*(times * each for each in super().work(inputs, outputs)))

    def parameters(self, shape: Shape, *initial_state: Shape) -> Iterator[Parameter]:
        cell = self.one_cell
        step = (shape[0], *shape[2:])
        name = own_name(cell)
        for parameter in within(cell, name, cell.parameters(step), keys=("cell",)):
            owner = parameter.owner
            if owner is not None and isinstance(self.cell, tuple):
                # A list of cells stands in the argument itself.
                owner = owner._replace(keys=("cell", *owner.keys[2:]))
            yield msgspec.structs.replace(parameter, owner=owner)

    def call(self, flow: Flow, x: Array, *initial_state: Array) -> Array | list[Array]:
        cell: Any = self.one_cell
        own = flow.within(own_name(cell))
        states = list(initial_state) or zero_states(cell, own, x)

        def step(fed: Array, states: list[Array]) -> list[Array]:
            return cell.call(own, fed, *states)[1:]  # type: ignore[no-any-return]

        return self.run(flow, unstacked(x), states, step, itemgetter(output_index(cell)))
