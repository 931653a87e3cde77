"""The figures of a signal: of each layer and tensor, over the draws."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from statistics import median
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from initcli.choices import Loss
from initcli.display import Displayed
from initcli.errors import NoSuchTensor, nearest_pattern, quoted
from initcli.model import BuiltLayer, Model, leaves
from initcli.signal.graph import Graph
from initcli.signal.prediction import Prediction, Sums
from initcli.signal.program import Program
from initcli.signal.residual import ResidualScheme, schemes
from initcli.types import Size, texts


class Spread(msgspec.Struct, frozen=True):
    """Median and range of a figure over the draws."""

    median: Annotated[float, Meta(description="Median of the draws.", extra={"row": ""})]
    low: Annotated[float, Meta(description="Lowest of the draws.")]
    high: Annotated[float, Meta(description="Highest of the draws.")]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """The spread of values, where NaN counts as infinite; None without values."""
        if not values:
            return None
        numbers = [math.inf if math.isnan(value) else value for value in values]
        return cls(median_of(numbers), min(numbers), max(numbers))


def median_of(numbers: Sequence[float]) -> float:
    """The median; NaN if a number is NaN, or the median is the mean of two infinities."""
    return math.nan if any(map(math.isnan, numbers)) else median(numbers)


class OutputSignal(msgspec.Struct, frozen=True):
    """Measured statistics of a layer's output."""

    mean: Annotated[Spread, Meta(description="Mean of all entries.")]
    std: Annotated[Spread, Meta(description="Standard deviation of all entries.")]
    zeros: Annotated[Spread, Meta(description="Fraction of entries that are exactly 0.")]
    dead_units: Annotated[
        Spread, Meta(description="Fraction of units (channels) that are 0 in the whole batch.")
    ]
    saturated: Annotated[
        Spread | None,
        Meta(
            description="Fraction of entries within 1 % of a bound of the activation; null if it "
            "has no bound."
        ),
    ]
    correlation: Annotated[
        Spread | None, Meta(description="Mean cosine similarity of two examples' outputs.")
    ]


class GradientSignal(msgspec.Struct, frozen=True):
    """Measured gradient with respect to a layer's output."""

    rms: Annotated[Spread, Meta(description="Root mean square of all entries.")]


class LayerSignal(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a layer: its (first) output, measured and predicted."""

    name: Annotated[str, Meta(description="Name of the layer.", extra={"row": "layer"})]
    type: Annotated[str, Meta(description="Type of the layer.")]
    call: Annotated[int, Meta(description="Number of earlier calls of the same layer.")]
    shape: Annotated[Size, Meta(description="Shape of the (first) output, batch included.")]
    output: Annotated[
        OutputSignal | None,
        Meta(description="Measured output; null for integers and where nothing was drawn."),
    ]
    gradient: Annotated[
        GradientSignal | None,
        Meta(description="Measured gradient; null if no result depends on the output."),
    ]
    predicted: Annotated[
        Prediction, Meta(description="Mean-field predictions; null where no theory applies.")
    ]

    @property
    def std(self) -> float | None:
        """Standard deviation of the output, measured or else predicted."""
        return self.predicted.std if self.output is None else self.output.std.median

    @property
    def gradient_rms(self) -> float | None:
        """Root mean square of the output's gradient, measured or else predicted."""
        return self.predicted.gradient_rms if self.gradient is None else self.gradient.rms.median


class TensorSignal(msgspec.Struct, frozen=True, kw_only=True):
    """The gradient of one trained parameter."""

    path: Annotated[str, Meta(description="Path of the parameter.")]
    gradient_rms: Annotated[Spread, Meta(description="Root mean square of the gradient.")]
    gradient_to_weight: Annotated[
        Spread | None,
        Meta(
            description="Gradient RMS divided by the RMS of the weights; null if those are all 0."
        ),
    ]


class FirstLoss(msgspec.Struct, frozen=True, kw_only=True):
    """The loss of one output of a model before the first step, in nats."""

    layer: Annotated[str, Meta(description="Layer of the output.")]
    loss: Annotated[Loss, Meta(description="The loss, with labels independent of the output.")]
    classes: Annotated[int, Meta(description="Number of classes, or of numbers.")]
    knows_nothing: Annotated[
        float,
        Meta(description="Loss of the same output for every class; for targets N(0, 1), 1."),
    ]
    predicted: Annotated[
        float | None,
        Meta(description="Loss that follows from the distributions; null if not known."),
    ]
    measured: Annotated[
        Spread | None, Meta(description="Loss in the draws; null where nothing was drawn.")
    ]
    logit_std: Annotated[
        float | None,
        Meta(description="Predicted standard deviation of the logits between classes."),
    ] = None
    own_logit: Annotated[
        float | None,
        Meta(
            description="Predicted mean of the logit of the token that made a position, where its "
            "row of a tied table is in the stream."
        ),
    ] = None


_OF_SOFTMAX = Meta(
    description="Mean entropy of the softmax as a fraction of ln n for the n keys that a query "
    "sees: 1 is even, 0 a single key."
)
_LARGEST = Meta(description="Fraction of queries whose largest share is more than 0.9.")


class AttentionFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the scores and of their softmax; queries that see one key are left out."""

    logit_std: Annotated[
        float, Meta(description="Standard deviation of a query's logits over the keys, by its RMS.")
    ]
    entropy: Annotated[float, _OF_SOFTMAX]
    saturated: Annotated[float, _LARGEST]


_LogitStd = Annotated[
    Spread | None,
    Meta(description="Standard deviation of a query's logits over the keys that it sees."),
]


class HeadSignal(msgspec.Struct, frozen=True, kw_only=True):
    """Measured figures of one head of attention."""

    logit_std: _LogitStd
    entropy: Annotated[Spread | None, _OF_SOFTMAX]
    saturated: Annotated[Spread | None, _LARGEST]


class AttentionSignal(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of attention in one call of a layer, measured and predicted.

    Queries that see one key are left out.
    """

    layer: Annotated[str, Meta(description="Name of the layer.")]
    call: Annotated[int, Meta(description="Number of earlier calls of the same layer.")]
    heads: Annotated[int, Meta(description="Number of heads.")]
    keys: Annotated[int, Meta(description="Number of keys.")]
    logit_std: _LogitStd
    entropy: Annotated[Spread | None, _OF_SOFTMAX]
    saturated: Annotated[Spread | None, _LARGEST]
    predicted: Annotated[
        AttentionFigures | None,
        Meta(
            description="The same from the distributions, for all heads and for each; null where "
            "no theory applies."
        ),
    ]
    by_head: Annotated[
        tuple[HeadSignal, ...],
        Meta(description="Each head in order; empty where nothing was drawn, or not of all."),
    ] = ()

    def between(self, name: str) -> tuple[float, float] | None:
        """The lowest and highest median of a figure over the heads; None for a single head."""
        spreads = [getattr(each, name) for each in self.by_head]
        medians = [each.median for each in spreads if each is not None]
        return (min(medians), max(medians)) if len(medians) > 1 else None


_OF_LOADS = Meta(
    description="Entropy of the experts' shares of the tokens as a fraction of ln n for n experts: "
    "1 is even, 0 a single expert."
)
_BUSIEST = Meta(description="Largest share of the tokens, relative to an even one.")


class RouterFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How evenly a router distributes tokens over experts."""

    entropy: Annotated[float, _OF_LOADS]
    busiest: Annotated[float, _BUSIEST]


class RouterSignal(msgspec.Struct, frozen=True, kw_only=True):
    """How evenly one call of a mixture of experts distributes tokens, measured and predicted."""

    layer: Annotated[str, Meta(description="Name of the layer.")]
    call: Annotated[int, Meta(description="Number of earlier calls of the same layer.")]
    experts: Annotated[int, Meta(description="Number of experts.")]
    top_k: Annotated[int, Meta(description="Number of experts that each token takes.")]
    entropy: Annotated[Spread | None, _OF_LOADS]
    busiest: Annotated[Spread | None, _BUSIEST]
    predicted: Annotated[
        RouterFigures | None,
        Meta(description="The same from the distributions; null where no theory applies."),
    ]


def call_figure(call: AttentionSignal | RouterSignal, name: str) -> float | None:
    """A figure of a call, measured or else predicted."""
    measured: Spread | None = getattr(call, name)
    if measured is not None:
        return measured.median
    predicted: float | None = getattr(call.predicted, name, None)
    return predicted


class Signal(Displayed, frozen=True, kw_only=True):
    """The signal through a model; without draws, predictions only.

    ``layers`` has an entry for each step of ``program``.

    By tensor: ``input_rms`` is the root mean square of given inputs; ``differences`` is that of the
    differences between examples, in the inputs and the hidden trunk of the graph; ``dimensions`` is
    the number of directions of these differences, in the inputs and the last hidden tensor.

    By the index of the step: ``onsets`` is the largest gradient of a time step divided by that of
    the last, and ``reaches`` the number of time steps with at least 1e-4 of the largest gradient,
    for recurrent layers that return their last state alone; ``sums`` is the predicted input of
    activations.
    """

    model: Model
    program: Program
    batch: int
    draws: int
    layers: tuple[LayerSignal, ...]
    tensors: tuple[TensorSignal, ...] = ()
    losses: tuple[FirstLoss, ...] = ()
    attention: tuple[AttentionSignal, ...] = ()
    routers: tuple[RouterSignal, ...] = ()
    notes: tuple[str, ...] = ()
    input_rms: Mapping[int, float] = {}
    differences: Mapping[int, float] = {}
    dimensions: Mapping[int, float] = {}
    onsets: Mapping[int, float] = {}
    reaches: Mapping[int, float] = {}
    sums: Mapping[int, Sums] = {}
    left_out: tuple[str, ...] = ()

    view: ClassVar[str] = "signal"

    @property
    def headline(self) -> str:
        drawn = f"{self.draws} draws" if self.draws else "predicted"
        return f"of {self.model.name}: batch {self.batch}, {drawn}"

    def lines(self) -> Iterator[tuple[str, ...]]:
        for layer in self.layers:
            measured = layer.output and layer.output.std.median
            figures = (
                "" if std is None else f"{what} {std:.3g}"
                for what, std in (("std", measured), ("predicted", layer.predicted.std))
            )
            yield layer.name, layer.type, *figures

    @property
    def residuals(self) -> tuple[ResidualScheme, ...]:
        """The scheme of each residual stream."""
        return schemes(Graph(self.program))

    @property
    def results(self) -> frozenset[str]:
        """Names of the layers whose outputs are results of the model."""
        results = set(self.program.results)
        return frozenset(s.name for s in self.program.steps if results.intersection(s.outputs))

    def matching(self, globs: Sequence[str]) -> Signal:
        """Select the layers and tensors whose name matches a pattern, in which ``*`` is any text.

        Raises:
            NoSuchTensor: a pattern matches none.
        """
        globs = texts("globs", globs)
        names = [*(layer.name for layer in self.layers), *(each.path for each in self.tensors)]
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in names):
                message = f"no layer's name and no tensor's path matches {quoted(glob)}"
                raise NoSuchTensor(message, nearest_pattern(glob, names))

        def wanted(name: str) -> bool:
            return any(fnmatchcase(name, glob) for glob in globs)

        return msgspec.structs.replace(
            self,
            layers=tuple(layer for layer in self.layers if wanted(layer.name)),
            tensors=tuple(tensor for tensor in self.tensors if wanted(tensor.path)),
            attention=tuple(each for each in self.attention if wanted(each.layer)),
            routers=tuple(each for each in self.routers if wanted(each.layer)),
        )

    @property
    def model_layers(self) -> tuple[BuiltLayer, ...]:
        """All layers in order, including those of inner networks."""
        return tuple(leaves(self.model.layers))
