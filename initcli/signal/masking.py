"""Which layers of a program heed masks, and what predictions leave out because of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from initcli.layers.base import computed_masks
from initcli.layers.flow import Flow, Mask
from initcli.signal import arrays
from initcli.signal.program import Program, Step
from initcli.types import NotComputable

_MAX_NAMED = 4
"""Layers that a note names."""


def heeding(built: Program) -> list[Step]:
    """The steps whose outputs the masks that reach them change.

    Only which tensors have masks matters here: each mask is followed with a single entry.
    """
    steps: list[Step] = []
    masks: dict[int, Mask] = {}
    ones = [np.ones((1,) * len(shape), np.float32) for shape in built.shapes]
    for step in built.steps:
        if step.inputs == step.outputs:
            continue
        flow = Flow(
            xp=arrays,
            weights={},
            masks=tuple(masks.get(tensor) for tensor in step.inputs),
            given_masks={name: ones[tensor] != 0 for name, tensor in step.masks.items()},
        )
        if step.layer.heeds_masks(flow):
            steps.append(step)
        inputs = [ones[tensor] for tensor in step.inputs]
        try:
            after = computed_masks(step.layer, flow, inputs, step.options)
        except NotComputable:
            continue
        if step.layer.ends_masks:
            masks.update(dict.fromkeys(step.inputs))
        masks.update(zip(step.outputs, after, strict=False))
    return steps


def mask_notes(steps: Sequence[Step], share: float | None = None) -> tuple[str, ...]:
    """What predictions leave out; ``share`` is the measured share of hidden steps, if any."""
    if not steps or share == 0:
        return ()
    names = list(dict.fromkeys(f"'{step.name}'" for step in steps))
    shown = ", ".join(names[:_MAX_NAMED])
    more = f" and {len(names) - _MAX_NAMED:,} more" if len(names) > _MAX_NAMED else ""
    assumed = f"predictions assume that no mask hides a step from {shown}{more}"
    return (assumed if share is None else f"{assumed}, and {share:.2g} of the steps are hidden",)
