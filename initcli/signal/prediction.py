"""The predicted figures of each step of a program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from initcli.signal.logits import Logits
from initcli.signal.rules.base import Attended, Expected, Routed
from initcli.types import Array


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """Predicted statistics of a layer's output; None where no theory applies."""

    mean: Annotated[float | None, Meta(description="Mean of a typical draw.")] = None
    std: Annotated[float | None, Meta(description="Standard deviation of a typical draw.")] = None
    correlation: Annotated[
        float | None, Meta(description="Cosine similarity of two examples' outputs.")
    ] = None
    gradient_rms: Annotated[
        float | None, Meta(description="RMS of the gradient of a typical draw.")
    ] = None
    chi: Annotated[
        float | None,
        Meta(
            description="Factor by which the layer multiplies the mean square of a small change of "
            "its input (χ of Schoenholz et al. 2017, arXiv:1611.01232)."
        ),
    ] = None
    sensitivity: Annotated[
        float | None,
        Meta(description="RMS change of the output for an RMS change of 1 of the model's inputs."),
    ] = None
    kernel_gradient_rms: Annotated[
        float | None,
        Meta(description="RMS of the gradient of the layer's kernel or table, of a typical draw."),
    ] = None


class Sums(NamedTuple):
    """The input of an activation: its root mean square, and its profile as in :class:`Field`."""

    size: float
    profile: Array

    @classmethod
    def of(cls, expected: Expected | None) -> Sums | None:
        """Those of a step; None without an activation, and where they are unknown or not finite."""
        if expected is None or expected.sums is None:
            return None
        size = math.sqrt(expected.sums.mean_square)
        return cls(size, expected.sums.profile) if _SMALLEST < size < 1 / _SMALLEST else None

    @property
    def values(self) -> Array:
        """The values at the nodes."""
        return self.size * self.profile


class Predicted(NamedTuple):
    """Predictions of all steps.

    ``left_out`` names the layers that take more memory than allowed. By the index of the step,
    ``attended`` has the scores of attention, ``logits`` those of outputs, ``sums`` the inputs of
    activations, and ``routed`` the logits of routers.
    """

    steps: list[Prediction]
    left_out: tuple[str, ...] = ()
    attended: Mapping[int, Attended] = {}
    logits: Mapping[int, Logits] = {}
    sums: Mapping[int, Sums] = {}
    routed: Mapping[int, Routed] = {}


_SMALLEST = 1e-100
"""The smallest size that did not underflow, and the inverse of the largest."""
