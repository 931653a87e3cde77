"""Which layers of a program use masks."""

from __future__ import annotations

import numpy as np

from initcli.layers.base import computed_masks
from initcli.layers.flow import Flow, Mask
from initcli.signal import arrays
from initcli.signal.program import Program, Step
from initcli.types import NotComputable


def steps_using_masks(built: Program) -> list[Step]:
    """The steps whose outputs depend on masks.

    Only the presence of masks matters here, so that each mask has a single entry.
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
