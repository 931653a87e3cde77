"""A signal in figures: what was seen of each layer and tensor over the draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from initcli.errors import NoSuchTensor, did_you_mean, quoted
from initcli.model import BuiltLayer, Model, leaves
from initcli.signal.program import Program
from initcli.signal.theory import Prediction
from initcli.types import Size


class Spread(msgspec.Struct, frozen=True):
    """A figure over the draws: its median, the least and the greatest."""

    median: float
    low: float
    high: float


class OutputSignal(msgspec.Struct, frozen=True):
    """What was seen of a layer's output.

    ``mean`` and ``std`` are of all its entries, ``zeros`` the share of those that are exactly 0,
    ``dead_units`` that of the units (channels) that are 0 in the whole batch, ``saturated`` that of
    the entries within 1 % of a bound of the activation; ``correlation`` is the mean cosine of two
    examples' outputs.
    """

    mean: Spread
    std: Spread
    zeros: Spread
    dead_units: Spread
    saturated: Spread | None
    correlation: Spread | None


class GradientSignal(msgspec.Struct, frozen=True):
    """The root mean square of the gradient with respect to an output."""

    rms: Spread


class LayerSignal(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a layer: what was seen of its (first) output, and what is expected.

    ``output`` is None of whole numbers and where nothing was drawn, ``gradient`` where no result
    depends on the output.
    """

    name: str
    type: str
    call: int
    shape: Size
    output: OutputSignal | None
    gradient: GradientSignal | None
    predicted: Prediction


class TensorSignal(msgspec.Struct, frozen=True, kw_only=True):
    """The root mean square of a trained parameter's gradient, and that over its weights' own."""

    path: str
    gradient_rms: Spread
    gradient_to_weight: Spread | None


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """The signal through a model; with no draws, predictions alone.

    ``layers`` has an entry for each step of ``program``, and ``input_rms`` the root mean square of
    tensors that flow in, by number, where they are not standard normal.
    """

    model: Model
    program: Program
    batch: int
    draws: int
    layers: tuple[LayerSignal, ...]
    tensors: tuple[TensorSignal, ...] = ()
    notes: tuple[str, ...] = ()
    input_rms: Mapping[int, float] = {}

    @property
    def results(self) -> frozenset[str]:
        """Names of the layers whose outputs are results of the model."""
        results = set(self.program.results)
        return frozenset(s.name for s in self.program.steps if results.intersection(s.outputs))

    def matching(self, globs: Sequence[str]) -> Signal:
        """The layers and tensors whose name a pattern matches, in which ``*`` is any text.

        Raises:
            NoSuchTensor: a pattern matches none.
        """
        names = {layer.name for layer in self.layers} | {tensor.path for tensor in self.tensors}
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in names):
                message = f"no layer's name and no tensor's path matches {quoted(glob)}"
                remedy = did_you_mean(glob, names) or "`*` stands for any text, as in '*/kernel'"
                raise NoSuchTensor(message, remedy)

        def wanted(name: str) -> bool:
            return any(fnmatchcase(name, glob) for glob in globs)

        return msgspec.structs.replace(
            self,
            layers=tuple(layer for layer in self.layers if wanted(layer.name)),
            tensors=tuple(tensor for tensor in self.tensors if wanted(tensor.path)),
        )

    @property
    def model_layers(self) -> tuple[BuiltLayer, ...]:
        """The layers in their places, those of networks within the model too."""
        return tuple(leaves(self.model.layers))
