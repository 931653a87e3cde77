"""What a page shows, as plain data: it carries that along, so that another can join it."""

from __future__ import annotations

import msgspec

from initcli.render.page.bars import Bars, Count
from initcli.types import Severity, TensorDtype

FORM = 1
"""The shape of this data; pages of other versions may have it otherwise."""


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Plain data: what has a default is not written when it has that value."""


class ModelFacts(_Data, frozen=True, kw_only=True):
    """The model a page is of; two of the same ``digest`` have tensors that are the same."""

    name: str
    seed: str
    dtype: str
    defaults: str
    digest: str
    layers: Count
    tensors: Count
    params: Count
    trainable: Count
    bytes: Count
    notes: tuple[str, ...] = ()

    def is_of(self, other: ModelFacts) -> bool:
        """Whether both are facts of the same model."""
        names = ("name", "seed", "dtype", "defaults", "digest")
        return all(getattr(self, name) == getattr(other, name) for name in names)


class DistributionFacts(_Data, frozen=True, kw_only=True):
    """A distribution; an end that is infinite is None."""

    text: str
    mean: float
    std: float
    low: float | None = None
    high: float | None = None


class DrawnFacts(_Data, frozen=True, kw_only=True):
    """What was seen of ``count`` entries of a tensor."""

    count: Count
    mean: float
    std: float
    min: float
    max: float
    zeros: Count


class FitFacts(_Data, frozen=True, kw_only=True):
    """How far what was drawn is from its distribution, and how probable that is."""

    statistic: float
    p: float


class TensorFacts(_Data, frozen=True, kw_only=True):
    """One tensor: ``picture`` is the name of its picture's file beside the page."""

    path: str
    shape: tuple[Count, ...]
    size: Count
    dtype: TensorDtype
    fan_in: Count
    fan_out: Count
    initializer: str
    trainable: bool = True
    distribution: DistributionFacts | None = None
    drawn: DrawnFacts | None = None
    fit: FitFacts | None = None
    bars: Bars | None = None
    picture: str | None = None


class SpreadFacts(_Data, frozen=True, kw_only=True):
    """A figure over the draws; None where it is beyond what a float holds."""

    median: float | None
    low: float | None
    high: float | None


class LayerFacts(_Data, frozen=True, kw_only=True):
    """The signal at one layer; ``predicted`` figures are None where no theory covers it."""

    name: str
    type: str
    call: Count = 0
    std: SpreadFacts | None = None
    zeros: SpreadFacts | None = None
    dead_units: SpreadFacts | None = None
    saturated: SpreadFacts | None = None
    correlation: SpreadFacts | None = None
    gradient: SpreadFacts | None = None
    predicted_std: float | None = None
    predicted_correlation: float | None = None
    predicted_gradient: float | None = None
    chi: float | None = None


class GradientFacts(_Data, frozen=True, kw_only=True):
    """The gradient of one trained tensor, and that over its weights' own size."""

    path: str
    rms: SpreadFacts
    to_weight: SpreadFacts | None


class SignalFacts(_Data, frozen=True, kw_only=True):
    """The signal through the depth; of no draws, predictions alone."""

    batch: Count
    draws: Count
    verdict: str
    std_ratio: float | None
    gradient_ratio: float | None
    chi: float | None
    depth_scale: float | None
    layers: tuple[LayerFacts, ...]
    tensors: tuple[GradientFacts, ...] = ()
    notes: tuple[str, ...] = ()


class FindingFacts(_Data, frozen=True, kw_only=True):
    """One finding, and where in its file it stands."""

    code: str
    rule: str
    severity: Severity
    layers: tuple[str, ...]
    tensor: str | None
    file: str
    line: Count
    column: Count
    message: str
    why: str
    remedy: str
    fixable: bool


class FindingsFacts(_Data, frozen=True, kw_only=True):
    """All findings, the worst first."""

    findings: tuple[FindingFacts, ...]
    notes: tuple[str, ...] = ()


class Page(_Data, frozen=True, kw_only=True):
    """What a page shows of a model: sections that are not there are None.

    ``form`` is that of this data, and ``version`` that of initcli.
    """

    form: int
    version: str
    model: ModelFacts
    tensors: tuple[TensorFacts, ...] | None = None
    signal: SignalFacts | None = None
    findings: FindingsFacts | None = None

    def joined(self, earlier: Page) -> Page:
        """This page with the sections of an earlier one of the same model that it has not."""
        return msgspec.structs.replace(
            self,
            tensors=earlier.tensors if self.tensors is None else self.tensors,
            signal=earlier.signal if self.signal is None else self.signal,
            findings=earlier.findings if self.findings is None else self.findings,
        )
