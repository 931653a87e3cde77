"""The figures of attention at the start: its scores and their softmax."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from initcli.layers import attention, weightless_attention
from initcli.layers.flow import Flow
from initcli.layers.heads import DotProductAttention
from initcli.signal.figures import AttentionFigures, AttentionSignal, HeadSignal, Spread
from initcli.signal.hermite import NODES, TINY
from initcli.signal.program import Program, Step
from initcli.signal.rules.base import Attended
from initcli.signal.softmax import (
    QUANTILE_WEIGHTS,
    VARIANCES,
    gamma_quantiles,
    largest_share,
    softmax_entropy,
)
from initcli.types import Array

SATURATED_SHARE = 0.9
"""The largest share above which a softmax is saturated: its slope p (1 − p) is below 0.09."""
_MOST_SCORES = 1 << 17
"""The number of scores of a layer to measure in a draw, a few MiB."""
_NEVER_SATURATED = 0.1
"""The variance of scores below which less than one row in a million is saturated."""
_KEYS = 12
"""The count of numbers of keys to compute figures for; others are interpolated."""


class Scores(NamedTuple):
    """The figures of a call in one draw: of all heads, and of each if all were measured."""

    whole: AttentionFigures
    by_head: tuple[AttentionFigures, ...]


def attention_signals(
    program: Program,
    measured: Mapping[int, Sequence[Scores]],
    attended: Mapping[int, Attended],
) -> tuple[AttentionSignal, ...]:
    """The figures of every call of attention.

    Args:
        program: the calls.
        measured: figures of the draws, by the index of the step.
        attended: predicted scores, by the index of the step.
    """
    found = []
    for index, step in enumerate(program.steps):
        if (heads := attention_heads(step)) is None:
            continue
        seen = measured.get(index, ())
        predicted = predicted_attention(attended[index]) if index in attended else None
        by_head = zip(*(each.by_head for each in seen), strict=False)
        found.append(
            AttentionSignal(
                layer=step.name,
                call=step.call,
                heads=heads,
                keys=math.prod(program.shapes[step.inputs[min(1, len(step.inputs) - 1)]][1:-1]),
                predicted=predicted,
                by_head=tuple(HeadSignal(**_spreads(each)) for each in by_head),
                **_spreads([each.whole for each in seen]),
            )
        )
    return tuple(found)


def _spreads(drawn: Sequence[AttentionFigures]) -> dict[str, Spread | None]:
    names = AttentionFigures.__struct_fields__
    return {name: Spread.of([getattr(each, name) for each in drawn]) for name in names}


def attention_heads(step: Step) -> int | None:
    """The number of heads of attention; None for other layers."""
    layer = step.layer
    if isinstance(layer, attention.MultiHeadAttention | attention.GroupedQueryAttention):
        return layer.heads.queries
    if isinstance(layer, DotProductAttention):
        return layer.num_heads
    if isinstance(layer, weightless_attention.Attention | weightless_attention.AdditiveAttention):
        return 1
    return None


def measured_attention(step: Step, flow: Flow, inputs: list[Array]) -> Scores | None:
    """The figures of a call of attention; None if no query sees two keys, or scores overflow.

    Of many examples, heads or queries an evenly spaced sample is measured.
    """
    layer: Any = step.layer
    query, *others = inputs
    key = others[min(1, len(others) - 1)] if others else query
    depth = query.shape[-1] if getattr(layer, "adds_vectors", False) else 1
    most = max(_MOST_SCORES // depth, 1)
    chosen = _spaced(len(query), most // max(layer.score_count(query.shape, key.shape), 1))
    scoring = layer.scoring(
        _of_examples(flow, chosen, len(query)),
        query[chosen],
        key[chosen],
        step.options.get("use_causal_mask", False),
    )
    *lead, rows, _ = scoring.queries.shape
    columns = scoring.keys.shape[-2]
    # The last of the leading axes holds the heads, where there are any.
    count = attention_heads(step) or 1
    heads = _spaced(count, most // columns)
    some = _spaced(math.prod(lead) // count, most // (columns * len(heads)))
    taken = (some[:, None] * count + heads).ravel()
    places = [np.asarray(each)[:, None] for each in np.unravel_index(taken, lead)]
    queries = _spaced(rows, most // (columns * len(taken)))
    keys = scoring.keys[tuple(each[:, 0] for each in places)]
    scores = layer.scores(flow, scoring.queries[(*places, queries)], keys).astype(np.float64)
    seen = np.True_ if scoring.seen is None else scoring.seen
    # A broadcast mask is expanded for the sample only.
    whole = np.broadcast_to(seen, (*lead, rows, columns))[(*places, queries)]
    figures = _figures(scores, whole)
    by_head = [_figures(*(x[k :: len(heads)] for x in (scores, whole))) for k in range(len(heads))]
    if figures is None:
        return None
    known = tuple(each for each in by_head if each is not None)
    return Scores(figures, known if len(known) == count else ())


def _spaced(count: int, most: int) -> Array:
    """At most ``most`` evenly spaced indices below ``count``, and at least one."""
    taken = min(max(most, 1), count)
    return (np.arange(taken) * count + count // 2) // taken


def _of_examples(flow: Flow, chosen: Array, batch: int) -> Flow:
    """The context of a call for some examples."""

    def some(mask: Array) -> Array:
        return mask[chosen] if len(mask) == batch else mask

    return msgspec.structs.replace(
        flow,
        masks=tuple(None if mask is None else some(mask) for mask in flow.masks),
        given_masks={name: some(mask) for name, mask in flow.given_masks.items()},
    )


def _figures(scores: Array, seen: Array) -> AttentionFigures | None:
    """The figures of scores (…, queries, keys); ``seen`` are the keys that a query sees."""
    counts = seen.sum(-1)
    is_choice = counts >= 2
    scores, seen, counts = scores[is_choice], seen[is_choice], counts[is_choice]
    if not len(scores):
        return None
    scores = np.where(seen, scores, -np.inf)
    scores = scores - scores.max(-1, keepdims=True)
    shares = np.exp(scores)
    sums = shares.sum(-1, keepdims=True)
    visible = np.where(seen, scores, 0.0)
    mean = visible.sum(-1, keepdims=True) / counts[:, None]
    variance = (np.where(seen, visible - mean, 0.0) ** 2).sum(-1) / counts
    entropy = np.log(sums[:, 0]) - (shares * visible).sum(-1) / sums[:, 0]
    if not math.isfinite(float(variance.mean() + entropy.mean())):
        return None
    return AttentionFigures(
        logit_std=math.sqrt(float(variance.mean())),
        entropy=float(np.mean(entropy / np.log(counts))),
        saturated=float(np.mean(1 / sums[:, 0] > SATURATED_SHARE)),
    )


def predicted_attention(attended: Attended) -> AttentionFigures | None:
    """The figures of normal scores; None if no query sees two keys, or scores overflow."""
    seen = attended.seen[attended.seen >= 2]
    if not len(seen) or not math.isfinite(attended.variance):
        return None
    counts = np.unique(np.round(np.geomspace(2, max(float(seen.max()), 2), _KEYS)))
    variances = attended.variance * gamma_quantiles(attended.uneven)
    of_counts = _by_variance(tuple(counts.tolist()), variances)
    entropy, saturated = (
        np.asarray(np.interp(np.log(seen), np.log(counts), QUANTILE_WEIGHTS @ each))
        for each in of_counts
    )
    # The deviation is from the mean of the keys that a query sees.
    return AttentionFigures(
        logit_std=math.sqrt(attended.variance * float(np.mean(1 - 1 / seen))),
        entropy=float(entropy.mean()),
        saturated=float(saturated.mean()),
    )


def _by_variance(counts: tuple[float, ...], variances: Array) -> tuple[Array, Array]:
    """Entropy and saturated fraction for each variance of the scores: (variances, counts)."""
    logs = np.log(np.maximum(variances, TINY))
    places: Array = np.interp(logs, np.log(VARIANCES), np.arange(len(VARIANCES)))
    found = []
    for place in places:
        low = min(int(place), len(VARIANCES) - 2)
        share = place - low
        nodes = zip(_at_node(low, counts), _at_node(low + 1, counts), strict=True)
        found.append([(1 - share) * one + share * other for one, other in nodes])
    entropy, saturated = (np.array(each) for each in zip(*found, strict=True))
    return entropy, saturated


@cache
def _at_node(index: int, counts: tuple[float, ...]) -> tuple[Array, Array]:
    """Entropy as a fraction of ln n, and saturated fraction, at one variance: (counts,)."""
    n, std = np.array(counts), math.sqrt(VARIANCES[index])
    is_spread = std * std >= _NEVER_SATURATED
    saturated = largest_share(std, n, SATURATED_SHARE) if is_spread else np.zeros(len(n))
    return softmax_entropy(std * NODES, n) / np.log(n), saturated
