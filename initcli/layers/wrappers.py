"""Layers that hold another layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from initcli.activations import Activation
from initcli.errors import quoted
from initcli.initializers import Initializer, NormOf, TruncatedNormal
from initcli.layers.base import Layer, Role, Work, computed, output_shapes, own_name, within
from initcli.layers.flow import Flow, Mask
from initcli.layers.normalization import BatchNormalization
from initcli.parameter import Parameter
from initcli.types import ArgumentError, Array, PositiveInt, Shape, Size, doc, shape_text


def _joins_examples(layer: Layer) -> bool:
    """Whether an example's output depends on the others."""
    inner = layer.layer if isinstance(layer, TimeDistributed) else layer
    return _joins_examples(inner) if inner is not layer else isinstance(layer, BatchNormalization)


class TimeDistributed(Layer, frozen=True, kw_only=True):
    """Applies a layer to every step of a sequence (batch, steps, …).

    Batch normalization in it uses separate statistics for each step in training.
    """

    holds_layers = True
    supports_masking = True
    takes_masks: ClassVar[Mapping[str, int]] = {"mask": 2}

    layer: Annotated[Layer, doc("Layer to apply to every step.")]

    def output_shape(self, shape: Shape) -> Shape | list[Shape]:
        outputs = output_shapes(self.layer, (self._step(shape),))
        return _one_or_all([(output[0], shape[1], *output[1:]) for output in outputs])

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        found = self.layer.parameters(self._step(shape))
        yield from within(self.layer, own_name(self.layer), found, keys=("layer",))

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        flat = ([(x[0] * x[1], *x[2:]) for x in shapes] for shapes in (inputs, outputs))
        return self.layer.work(*flat)

    def call(self, flow: Flow, x: Array) -> list[Array]:
        xp, inner = flow.xp, self.layer
        if _joins_examples(inner):
            hidden = flow.mask
            steps = []
            for t in range(x.shape[1]):
                own = flow.within(own_name(inner), () if hidden is None else (hidden[:, t],))
                steps.append(computed(inner, own, [x[:, t]]))
            return [xp.stack(each, 1) for each in zip(*steps, strict=True)]
        examples = x.shape[0] * x.shape[1]
        flat = xp.reshape(x, (examples, *x.shape[2:]))
        mask = flow.mask
        masks = () if mask is None else (xp.reshape(mask, (examples, *mask.shape[2:])),)
        own = flow.within(own_name(inner), masks)
        return [xp.reshape(y, (*x.shape[:2], *y.shape[1:])) for y in computed(inner, own, [flat])]

    def acts_as(self) -> Role | None:
        return self.layer.acts_as()

    @property
    def last_activation(self) -> Activation | None:
        return self.layer.last_activation

    def sized(self, shape: Shape, *inputs: Size) -> Shape:
        (given,) = inputs
        inner = self.layer.sized((shape[0], *shape[2:]), (given[0], *given[2:]))
        return (inner[0], given[1], *inner[1:])

    def heeds_masks(self, flow: Flow) -> bool:
        inner = msgspec.structs.replace(flow, masks=(flow.mask,), given_masks={})
        return self.layer.heeds_masks(inner)

    def _step(self, shape: Shape) -> Shape:
        self.require_sequence(shape)
        return (shape[0], *shape[2:])


class Bidirectional(Layer, frozen=True, kw_only=True):
    """A recurrent layer forward and another one backward.

    Schuster & Paliwal 1997, doi:10.1109/78.650093.
    """

    role = "recurs"
    holds_layers = True
    supports_masking = True
    takes_masks: ClassVar[Mapping[str, int]] = {"mask": 2}

    layer: Annotated[Layer, doc("Recurrent layer to apply forward.")]
    merge_mode: Annotated[
        Literal["concat", "sum", "mul", "ave"] | None,
        doc("How to combine the two outputs; null returns both."),
    ] = "concat"
    backward_layer: Annotated[
        Layer | None, doc("Recurrent layer to apply backward; a copy of `layer` if absent.")
    ] = None

    def __post_init__(self) -> None:
        forward, backward = self._both
        for argument, each in (("layer", forward), ("backward_layer", backward)):
            if each.acts_as() != "recurs":
                kind = type(each).__name__
                wanted = f"a recurrent layer, such as LSTM, not {kind}"
                raise ArgumentError(argument, f"`{argument}` of Bidirectional must be {wanted}")
        if _flag(forward, "go_backwards") == _flag(backward, "go_backwards"):
            raise ArgumentError(
                "backward_layer",
                "`layer` and `backward_layer` go in the same direction",
                "give one of them `go_backwards: true`",
            )
        for argument in ("stateful", "return_sequences", "return_state"):
            if _flag(forward, argument) != _flag(backward, argument):
                raise ArgumentError(
                    "backward_layer",
                    f"`layer` and `backward_layer` differ in `{argument}`",
                    "give both the same",
                )

    def output_shape(self, shape: Shape, *initial_state: Shape) -> Shape | list[Shape]:
        (output, *before), (other, *after) = (output_shapes(each, (shape,)) for each in self._both)
        states = [*before, *after]
        if self.merge_mode is None:
            return [output, other, *states]
        if self.merge_mode == "concat":
            one, two = output[-1], other[-1]
            output = (*output[:-1], None if one is None or two is None else one + two)
        elif output != other:
            raise ArgumentError(
                "merge_mode",
                f"`merge_mode` {quoted(self.merge_mode)} needs two outputs of one shape, not "
                f"{shape_text(output)} and {shape_text(other)}",
                "merge_mode: concat joins any two",
            )
        return [output, *states] if states else output

    def parameters(self, shape: Shape, *initial_state: Shape) -> Iterator[Parameter]:
        backward = "layer" if self.backward_layer is None else "backward_layer"
        for layer, name, key in zip(self._both, self._names, ("layer", backward), strict=True):
            yield from within(layer, name, layer.parameters(shape), keys=(key,))

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        both = [each.work(inputs, outputs) for each in self._both]
        return Work(*(sum(each) for each in zip(*both, strict=True)))

    def call(self, flow: Flow, x: Array, *initial_state: Array) -> list[Array]:
        xp, half = flow.xp, len(initial_state) // 2
        given = (initial_state[:half], initial_state[half:])
        masks = {} if flow.mask is None else {"mask": flow.mask}
        is_sequence = _flag(self.layer, "return_sequences")
        (one, *before), (two, *after) = (
            computed(
                _putting_zeros(layer, is_sequence),
                flow.within(name, given_masks=masks),
                [x, *states],
            )
            for layer, name, states in zip(self._both, self._names, given, strict=True)
        )
        if is_sequence:
            two = two[:, ::-1]
        if self.merge_mode is None:
            return [one, two, *before, *after]
        if self.merge_mode == "concat":
            merged = xp.concatenate([one, two], -1)
        elif self.merge_mode == "mul":
            merged = one * two
        else:
            merged = (one + two) / (2 if self.merge_mode == "ave" else 1)
        return [merged, *before, *after]

    def output_mask(self, flow: Flow, x: Array, *initial_state: Array) -> Mask | list[Mask]:
        """The mask of the sequence, if the output is a sequence."""
        if not _flag(self.layer, "return_sequences"):
            return None
        mask = flow.passed_mask
        return [mask, mask] if self.merge_mode is None else mask

    @property
    def _names(self) -> Iterator[str]:
        for layer, side in zip(self._both, ("forward", "backward"), strict=True):
            given = own_name(layer)
            is_own = side == "backward" and self.backward_layer is not None
            yield given if is_own else f"{side}_{given.removeprefix(f'{side}_')}"

    @property
    def _both(self) -> tuple[Layer, Layer]:
        backward = self.backward_layer
        if backward is None and self.layer.acts_as() == "recurs":
            # Always True: a layer that already goes backward is refused.
            reverse: dict[str, Any] = {"go_backwards": True}
            backward = msgspec.structs.replace(self.layer, **reverse)
        return self.layer, backward or self.layer


class KernelWrapper(Layer, frozen=True, kw_only=True):
    """Computes a layer with a kernel derived from its own."""

    registered = False
    holds_layers = True

    layer: Annotated[Layer, doc("Layer whose kernel is normalized.")]

    def output_shape(self, shape: Shape) -> Shape | list[Shape]:
        return _one_or_all(list(output_shapes(self.layer, (shape,))))

    def sized(self, shape: Shape, *inputs: Size) -> Shape:
        return self.layer.sized(shape, *inputs)

    def held(self, shape: Shape) -> tuple[Parameter, list[Parameter]]:
        """The kernel, and all parameters of the inner layer.

        Raises:
            ArgumentError: the layer has no kernel.
        """
        inner = self.layer
        name = own_name(inner)
        found = list(within(inner, name, inner.parameters(shape), keys=("layer",)))
        wanted = [f"{name}/{each}" for each in _KERNELS]
        kernel = next((each for each in found if each.path in wanted and each.shape), None)
        if kernel is None:
            what = f"`layer` of {self.type_name}"
            raise ArgumentError("layer", f"{what} needs a kernel, and {inner.type_name} has none")
        return kernel, found

    def normalized(self, flow: Flow, kernel: Array) -> Array:
        """The kernel that replaces the layer's own."""
        raise NotImplementedError

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        return self.layer.work(inputs, outputs)

    def call(self, flow: Flow, x: Array) -> list[Array]:
        name = own_name(self.layer)
        path = next(f"{name}/{each}" for each in _KERNELS if f"{name}/{each}" in flow)
        weights = {**flow.weights, path: self.normalized(flow, flow[path])}
        own = msgspec.structs.replace(flow, weights=weights)
        return computed(self.layer, own.within(name, flow.masks), [x])


_KERNELS = ("kernel", "embeddings")
"""Names of the weights that a wrapper normalizes."""


class SpectralNormalization(KernelWrapper, frozen=True, kw_only=True):
    """Divides the kernel of a layer by its largest singular value.

    Miyato et al. 2018, arXiv:1802.05957. vector_u (1, last axis of the kernel), which is not
    trained, is the start of the power iteration.
    """

    power_iterations: Annotated[
        PositiveInt, doc("Iterations of the power method in each training step.")
    ] = 1

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        kernel, found = self.held(shape)
        # Keras lists the kernel as the wrapper's.
        yield kernel
        yield Parameter(
            path="vector_u",
            shape=(1, kernel.shape[-1]),
            initializer=TruncatedNormal(stddev=0.02),
            trainable=False,
            dtype=kernel.dtype,
            keeps_dtype=kernel.keeps_dtype,
        )
        yield from (each for each in found if each is not kernel)

    def normalized(self, flow: Flow, kernel: Array) -> Array:
        """The kernel divided by σ = v W uᵀ, with u and v from the power iteration."""
        xp = flow.xp
        if not flow.training or not xp.any(xp.constant(kernel) != 0):
            return kernel
        values = xp.constant(kernel).reshape(-1, kernel.shape[-1])
        u = xp.constant(flow["vector_u"])
        for _ in range(self.power_iterations):
            v = _unit(xp, xp.matmul(u, values.T))
            u = _unit(xp, xp.matmul(v, values))
        matrix = xp.reshape(kernel, values.shape)
        return kernel / xp.matmul(xp.matmul(v, matrix), u.T)[0, 0]


class WeightNormalization(KernelWrapper, frozen=True, kw_only=True):
    """Replaces the kernel v of a layer by g · v / ‖v‖.

    Salimans & Kingma 2016, arXiv:1602.07868. The norm is taken over all axes but the last, and g
    has one entry for each index of the last. g starts as ‖v‖, so that the layer starts unchanged
    (``torch.nn.utils.parametrizations.weight_norm``), unless ``g_initializer`` is given.
    """

    g_initializer: Annotated[Initializer | None, doc("Fills the lengths g; ‖v‖ if absent.")] = None

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        kernel, found = self.held(shape)
        entries = kernel.size // kernel.shape[-1]
        yield self.weight(
            "g",
            (kernel.shape[-1],),
            "g_initializer",
            self.g_initializer or NormOf(source=kernel.path, count=entries),
            dtype=kernel.dtype,
            keeps_dtype=kernel.keeps_dtype,
            trainable=kernel.trainable,
        )
        yield from found

    def normalized(self, flow: Flow, kernel: Array) -> Array:
        xp = flow.xp
        axes = tuple(range(len(kernel.shape) - 1))
        squares = xp.maximum(xp.sum(kernel * kernel, axes, keepdims=True), 1e-12)
        return kernel * (flow["g"] / xp.sqrt(squares))


def _putting_zeros(layer: Layer, where_absent: bool) -> Layer:
    """The layer with ``zero_output_for_mask`` set, as Keras always does.

    Layers without masks stay unchanged.
    """
    has_flag = hasattr(layer, "zero_output_for_mask")
    changed: dict[str, Any] = {"zero_output_for_mask": where_absent} if has_flag else {}
    return msgspec.structs.replace(layer, **changed)


def _one_or_all(shapes: list[Shape]) -> Shape | list[Shape]:
    return shapes[0] if len(shapes) == 1 else shapes


def _flag(layer: Layer, name: str) -> bool:
    return bool(getattr(layer, name, False))


def _unit(xp: Any, x: Array) -> Array:
    """x divided by its norm."""
    return x / xp.sqrt(xp.maximum(xp.sum(x * x), 1e-12))
