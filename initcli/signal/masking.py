"""Which layers of a program heed masks, and the share of the steps that masks hide from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from initcli.layers.base import computed_masks
from initcli.layers.flow import Flow, Mask
from initcli.signal import arrays
from initcli.signal.program import Program, Step
from initcli.types import Array, NotComputable

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


def hidden_share(
    step: Step, tensors: Mapping[int, Array], given: Mapping[int, tuple[Mask, ...]]
) -> float:
    """The largest share of the steps that a mask hides from a layer.

    ``given`` are the masks that came with the inputs of each step, by its first output.
    """
    carried = [mask for mask in given.get(step.outputs[0], ()) if mask is not None]
    named = [tensors[tensor] != 0 for tensor in step.masks.values()]
    return max((1 - float(np.mean(mask)) for mask in (*carried, *named)), default=0.0)


def mask_notes(steps: Sequence[Step], share: float | None = None) -> tuple[str, ...]:
    """What predictions leave out; ``share`` is the measured share of hidden steps, if any."""
    if not steps or share == 0:
        return ()
    names = list(dict.fromkeys(f"'{step.name}'" for step in steps))
    shown = ", ".join(names[:_MAX_NAMED])
    more = f" and {len(names) - _MAX_NAMED:,} more" if len(names) > _MAX_NAMED else ""
    assumed = f"predictions assume that no mask hides a step from {shown}{more}"
    return (assumed if share is None else f"{assumed}, and {share:.2g} of the steps are hidden",)
