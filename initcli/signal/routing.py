"""How evenly routers distribute tokens over experts at the start, measured and predicted.

If tokens are correlated, so are their logits, and a router prefers the same experts for all tokens.
These get most tokens until a balancing loss or bias has an effect (Shazeer et al. 2017,
arXiv:1701.06538, section 4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from initcli.layers.experts import MixtureOfExperts
from initcli.layers.flow import Flow
from initcli.signal.figures import RouterFigures, RouterSignal, Spread
from initcli.signal.program import Program
from initcli.signal.rules.base import Routed
from initcli.types import Array

_MOST_EXAMPLES, _MOST_POSITIONS = 32, 64
"""The largest number of tokens to draw for a prediction."""
_LOGITS = 1 << 20
"""The number of logits to draw for a prediction, in at least 16 draws."""


def router_signals(
    program: Program,
    measured: Mapping[int, Sequence[RouterFigures]],
    routed: Mapping[int, Routed],
) -> tuple[RouterSignal, ...]:
    """The figures of every call of a mixture of experts.

    Args:
        program: the calls.
        measured: figures of the draws, by the index of the step.
        routed: predicted correlations of logits, by the index of the step.
    """
    found = []
    for index, step in enumerate(program.steps):
        layer = step.layer
        if not isinstance(layer, MixtureOfExperts):
            continue
        predicted = None
        if index in routed:
            examples, *positions, _ = program.shapes[step.inputs[0]]
            tokens = min(examples, _MOST_EXAMPLES), min(math.prod(positions), _MOST_POSITIONS)
            correlations = Routed(*(round(each, 3) for each in routed[index]))
            predicted = _predicted(layer.num_experts, layer.top_k, *tokens, correlations)
        seen = measured.get(index, ())
        found.append(
            RouterSignal(
                layer=step.name,
                call=step.call,
                experts=layer.num_experts,
                top_k=layer.top_k,
                entropy=Spread.of([each.entropy for each in seen]),
                busiest=Spread.of([each.busiest for each in seen]),
                predicted=predicted,
            )
        )
    return tuple(found)


def measured_routing(layer: MixtureOfExperts, flow: Flow, x: Array) -> RouterFigures | None:
    """The figures of a call; None where logits overflow.

    Args:
        layer: the layer.
        flow: its weights.
        x: the tokens, of shape (…, d).
    """
    logits = x.reshape(-1, x.shape[-1]) @ flow["router"]
    if layer.use_bias:
        logits = logits + flow["router_bias"]
    if not np.isfinite(logits).all():
        return None
    return _figures(layer.routing.chosen(logits), layer.num_experts)


def _figures(chosen: Array, experts: int) -> RouterFigures:
    """The figures of the experts of each token, of shape (tokens, top_k)."""
    loads = np.bincount(chosen.ravel(), minlength=experts) / chosen.size
    taken = loads[loads > 0]
    entropy = -float(taken @ np.log(taken)) / math.log(experts) if experts > 1 else 1.0
    return RouterFigures(entropy=entropy, busiest=float(loads.max()) * experts)


@lru_cache(maxsize=64)
def _predicted(
    experts: int, top_k: int, examples: int, positions: int, correlations: Routed
) -> RouterFigures:
    """The figures of normal logits that are independent between experts, by simulation.

    A logit is the sum of a part of all tokens, one of its position, one of its example, and one of
    the token. Experts with larger kernels have larger logits.
    """
    shared = max(correlations.both, 0.0)
    of_position = max(correlations.examples - shared, 0.0)
    of_example = max(correlations.positions - shared, 0.0)
    own = max(1.0 - shared - of_position - of_example, 0.0)
    random = np.random.default_rng(0)
    found = []
    for _ in range(max(_LOGITS // (examples * positions * experts), 16)):
        logits = sum(
            math.sqrt(share) * random.standard_normal((*sizes, experts))
            for share, sizes in (
                (shared, (1, 1)),
                (of_position, (1, positions)),
                (of_example, (examples, 1)),
                (own, (examples, positions)),
            )
        )
        spread = math.sqrt(max(correlations.uneven, 0.0)) * random.standard_normal(experts)
        every = np.sqrt(np.maximum(1.0 + spread, 0.0)) * logits
        last = experts - top_k
        chosen = np.argpartition(every.reshape(-1, experts), last, 1)[:, last:]
        found.append(_figures(chosen, experts))
    return RouterFigures(
        entropy=float(np.median([each.entropy for each in found])),
        busiest=float(np.median([each.busiest for each in found])),
    )
