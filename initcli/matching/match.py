"""The initializer that stored values look like."""

from __future__ import annotations

import math
from typing import cast

import msgspec
import numpy as np

from initcli.distributions import Constant, Distribution, Floats, Mixture
from initcli.initializers import Initializer, Orthogonal, Sparse, ZeroRow
from initcli.initializers.composite import Joined
from initcli.matching import structure
from initcli.matching.agreement import Match, agreement, beyond, combined, log_likelihood
from initcli.matching.families import LEAST, estimated
from initcli.matching.independence import Sample, Stored, beyond_edge, independence
from initcli.matching.layouts import style_of
from initcli.matching.rules import Rule, candidates
from initcli.matching.surroundings import Place
from initcli.measuring.fit import DOUBTFUL, Empirical, fit
from initcli.measuring.histogram import Grid
from initcli.measuring.measurement import FINE_BINS, Measurement
from initcli.measuring.tally import measure_values
from initcli.types import WHOLE, Size, TensorDtype

FLOATS = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
FEWEST = 32
"""Minimum number of random values to identify a rule."""
_FACTOR = 1e4
"""Factor of the likelihood by which a rule is rejected. True draws exceed it at most once in as
many cases (Markov's inequality)."""
_RARITY = 20.0
"""Factor by which a rule must be more likely for each step of rarity."""
_MANY = 1 << 20
"""Number of values that determine a standard deviation to 0.07 %."""
_SMALLEST = 1e-60
"""Minimum standard deviation of values whose fourth powers do not underflow; its inverse is the
maximum."""
_CONSTANTS = 1 << 20
"""Maximum length of a vector that is compared with one value per gate."""
_BLOCKS = (2, 3, 4)
"""Numbers of parts of a packed matrix, each with its own initializer."""


_NOWHERE = Place()


class Identified(msgspec.Struct, frozen=True):
    """The initializers that one tensor's values agree with, the likeliest first, and a note.

    The note gives the structure of the values, or the reason why nothing fits.
    """

    matches: tuple[Match, ...] = ()
    note: str = ""

    @property
    def kind(self) -> str:
        """The note's last remark without its reason, such as "trained" and "unknown"."""
        return self.note.rpartition("; ")[2].partition(":")[0]


def match(tensor: Stored, seen: Measurement, place: Place = _NOWHERE) -> Identified:
    """The initializers that the values of a tensor agree with.

    A rule is rejected if true draws agree as badly for only one tensor in a thousand, or if another
    is 10,000 times as likely.

    Args:
        tensor: the tensor, some of whose values are read again.
        seen: the measurement of all of its values.
        place: its place among the other tensors of its file.
    """
    if not seen.count:
        return Identified(note="no finite values" if seen.nans or seen.infs else "no values")
    if seen.nans or seen.infs:
        return Identified(note=f"{seen.nans:,} NaNs and {seen.infs:,} infinities")
    if seen.min == seen.max:
        return _only(structure.constant(seen.min), Constant(seen.min))
    with np.errstate(all="ignore"):
        return _varied(tensor, seen, place)


def _varied(tensor: Stored, seen: Measurement, place: Place) -> Identified:
    """The initializers of values that are not all equal."""
    sample = Sample(tensor)
    if (fixed := structure.pattern(tensor, seen)) is not None:
        return _only(fixed, None)
    if known := structure.not_random(sample):
        return Identified(note=f"not random: {known}")
    if tensor.dtype in WHOLE:
        return Identified(note="whole numbers")
    if tensor.dtype not in FLOATS:
        return Identified(note=f"quantized to {tensor.dtype}, which changes the distribution")
    if (joined := _constants(tensor, seen)) is not None:
        return joined
    if (rotation := structure.orthogonal(tensor, seen, sample)) is not None:
        return _orthogonal(rotation, tensor.shape, cast(TensorDtype, tensor.dtype), seen)
    if seen.count < FEWEST:
        return Identified(note=f"{seen.count} values are too few to tell")
    if not _SMALLEST < seen.std < 1 / _SMALLEST:
        return Identified(note=f"values of the size {seen.std:.3g} are no weights")
    return _random(tensor, cast(TensorDtype, tensor.dtype), seen, sample, place)


def _only(
    initializer: Initializer, distribution: Distribution | None, note: str = ""
) -> Identified:
    matched = Match(
        initializer=initializer,
        rule=distribution.text if distribution else str(initializer),
        distribution=distribution,
    )
    return Identified((matched,), note)


def _constants(tensor: Stored, seen: Measurement) -> Identified | None:
    """A vector of equal parts with one value each, such as the bias of an LSTM."""
    if len(tensor.shape) != 1 or seen.count > _CONSTANTS:
        return None
    values = structure.constants(tensor.read(0, seen.count))
    if values is None:
        return None
    initializer = Joined(
        parts=tuple(map(structure.constant, values)),
        sizes=(seen.count // len(values),) * len(values),
        remark="unit_forget_bias" if values == [0, 1, 0, 0] else "per_gate",
    )
    shown = ", ".join(f"{value:.4g}" for value in values)
    distribution = initializer.distribution_for(tensor.shape)
    return _only(initializer, distribution, f"{len(values)} equal parts: {shown}")


def _orthogonal(
    rotation: Initializer, shape: Size, dtype: TensorDtype, seen: Measurement
) -> Identified:
    if not isinstance(rotation, Orthogonal):
        return _only(rotation, None)
    # Of the two matrices that a kernel can be, the one whose entries fit.
    shapes = [shape, (shape[0], seen.count // shape[0])] if len(shape) > 2 else [shape]
    tried = [rotation.distribution_for(each) for each in shapes]
    fits = [(fit(each, seen, dtype).p_value, each) for each in tried if each is not None]
    p_value, distribution = max(fits, key=lambda each: each[0])
    matched = Match(
        initializer=rotation,
        rule=f"orthogonal, gain {rotation.gain:.4g}",
        distribution=distribution,
        p_value=p_value,
    )
    note = "" if p_value >= DOUBTFUL else "the rows are orthogonal, but not uniformly distributed"
    return Identified((matched,), note)


def _random(
    tensor: Stored, dtype: TensorDtype, seen: Measurement, sample: Sample, place: Place
) -> Identified:
    shape, path = tensor.shape, tensor.path
    remarks: list[str] = []
    if rows := structure.zero_rows(tensor, seen):
        seen = _without_zeros(seen)
        sample.drop(rows)
        shown = ", ".join(map(str, rows[:3])) + ("…" if len(rows) > 3 else "")
        remarks.append(f"{'row' if len(rows) == 1 else 'rows'} {shown} of zeros")
    elif (times := structure.copies(sample)) > 1:
        remarks.append(f"each row {times} times")
        sample.distinct()
        seen = measured(sample.values)
        shape = (shape[0] // times, *shape[1:])
    empirical = Empirical(seen, dtype)
    found = _rules(shape, path, empirical, sample, place)
    if not found and seen.zeros > seen.count / 100 and seen.count - seen.zeros >= LEAST:
        return _sparse(tensor, dtype, seen, sample)
    if not found and seen.count >= LEAST and not place.trained:
        found = _estimated(empirical, sample) or _blocks(path, dtype, sample, place)
    if place.trained and found and (kept := _decided(found, seen)) != found:
        if not kept:
            remarks.append(
                f"near {found[0].rule}, and too few values to tell it from training: "
                f"{place.trained} is trained"
            )
            return Identified(note="; ".join(remarks))
        found = kept
    if len(rows) == 1:
        found = [
            msgspec.structs.replace(
                each, initializer=ZeroRow(declared=each.initializer, row=rows[0])
            )
            for each in found
        ]
    if found and _has_equal_fans(shape) and "fan_in" in found[0].rule:
        remarks.append("fan_in = fan_out")
    if not found:
        remarks.append(_unmatched(seen, sample))
    return Identified(tuple(found), "; ".join(remarks))


def _has_equal_fans(shape: Size) -> bool:
    """Whether the channels of a kernel, the longest axes of most, are equal."""
    return len(shape) > 1 and len(set(sorted(shape)[-2:])) == 1


def _rules(shape: Size, path: str, values: Empirical, sample: Sample, place: Place) -> list[Match]:
    """The rules without a free parameter that the values agree with, the likeliest first."""
    style, seen = style_of(path), values.seen
    # Five standard errors of the standard deviation and more, for a kurtosis of up to 3.
    width = min(5 / math.sqrt(2 * seen.count) + 0.02, 0.9)
    low, high = seen.std / (1 + width), seen.std / (1 - width)
    likelihoods: dict[Distribution, float] = {}
    found: dict[tuple[Distribution, Initializer], tuple[int, Rule]] = {}
    for _, rarity, rule, distribution in candidates(shape, style, place, path, low, high):
        if distribution not in likelihoods:
            is_beyond = beyond(distribution, values)
            likelihoods[distribution] = (
                -math.inf if is_beyond else log_likelihood(distribution, values)
            )
        if likelihoods[distribution] > -math.inf:
            found.setdefault((distribution, rule.initializer), (rarity, rule))
    p_values: dict[Distribution, float] = {}
    best = -math.inf
    for distribution, likelihood in sorted(likelihoods.items(), key=lambda each: -each[1]):
        if likelihood < best - math.log(_FACTOR) or likelihood == -math.inf:
            break
        p_value = agreement(distribution, values)
        if p_value >= DOUBTFUL:
            p_value = combined((p_value, *independence(distribution, sample)))
        if p_value >= DOUBTFUL:
            p_values[distribution] = p_value
            best = max(best, likelihood)
    rarities = {
        (distribution, rule.text): rarity for (distribution, _), (rarity, rule) in found.items()
    }

    def rarity_of(distribution: Distribution, rarity: int, rule: Rule) -> int:
        # Where fan_in = fan_out, a rule of the fan_out is that of the fan_in.
        twin = distribution, rule.text.replace("fan_in", "fan_out")
        return min(rarity, rarities.get(twin, rarity))

    scored = [
        (
            rarity_of(distribution, rarity, rule) * math.log(_RARITY) - likelihoods[distribution],
            "fan_out" in rule.text and "fan_in" not in rule.text,
            Match(
                initializer=initializer,
                framework=rule.framework(style),
                rule=rule.text,
                distribution=distribution,
                p_value=p_values[distribution],
            ),
        )
        for (distribution, initializer), (rarity, rule) in found.items()
        if distribution in p_values
    ]
    return [each[-1] for each in sorted(scored, key=lambda each: each[:-1])]


def _decided(matches: list[Match], seen: Measurement) -> list[Match]:
    """The matches that training would have ended: those with bounds, or of many values.

    Values that move by a tenth of their norm leave close bounds, but only widen a normal
    distribution by 0.5 %, which is seven standard errors of that many values.
    """
    return [each for each in matches if seen.count >= _MANY or has_bounds(each.distribution)]


def has_bounds(distribution: Distribution | None) -> bool:
    """Whether values lie within bounds so close that training leaves them."""
    if isinstance(distribution, Mixture):
        return all(map(has_bounds, distribution.parts))
    return distribution is not None and max(distribution.support) < 2.5 * distribution.std


def _estimated(values: Empirical, sample: Sample) -> list[Match]:
    """The families with estimated parameters that the values agree with, the best first."""
    found = []
    for each in estimated(values):
        if each.p_value is None or each.distribution is None or each.p_value < DOUBTFUL:
            continue
        p_value = combined((each.p_value, *independence(each.distribution, sample)))
        if p_value >= DOUBTFUL:
            found.append(msgspec.structs.replace(each, p_value=p_value))
    return found


def _blocks(path: str, dtype: TensorDtype, sample: Sample, place: Place) -> list[Match]:
    """One initializer for each of several equal parts along the first or last axis.

    The standard deviations of the parts must differ so much that no single rule fits all.
    """
    if not sample.is_whole:
        return []
    shape = sample.values.shape
    for axis in dict.fromkeys((0, len(shape) - 1)):
        for parts in _BLOCKS:
            if shape[axis] % parts or sample.values.size < parts * FEWEST:
                continue
            pieces = np.split(sample.values, parts, axis)
            spreads = [float(piece.std()) for piece in pieces]
            if min(spreads) > 0.8 * max(spreads):
                continue
            found = [_block(piece, path, dtype, place) for piece in pieces]
            matches = [each for each in found if each is not None]
            if len(matches) == parts:
                return [_joined(matches, shape[axis] // parts)]
    return []


def _block(values: Floats, path: str, dtype: TensorDtype, place: Place) -> Match | None:
    """The likeliest rule for a part of a tensor."""
    seen = measured(values)
    if seen.min == seen.max:
        return _only(structure.constant(seen.min), Constant(seen.min)).matches[0]
    sample = Sample.of(np.ascontiguousarray(values))
    return next(iter(_rules(values.shape, path, Empirical(seen, dtype), sample, place)), None)


def _joined(parts: list[Match], size: int) -> Match:
    distributions = tuple(part.distribution for part in parts if part.distribution is not None)
    return Match(
        initializer=Joined(
            parts=tuple(part.initializer for part in parts),
            sizes=(size,) * len(parts),
            remark="per_part",
        ),
        framework=next((part.framework for part in parts if part.framework), None),
        rule=" | ".join(part.rule for part in parts),
        distribution=Mixture((1 / len(parts),) * len(parts), distributions),
        p_value=combined([part.p_value for part in parts if part.p_value is not None] or [1.0]),
    )


def _sparse(tensor: Stored, dtype: TensorDtype, seen: Measurement, sample: Sample) -> Identified:
    """Random values with zeros among them."""
    share = seen.zeros / seen.count
    note = f"{100 * share:.3g} % zeros"
    others = Empirical(_without_zeros(seen), dtype)
    found = _rules((), tensor.path, others, Sample.of(np.zeros(1)), Place())
    if not found or len(tensor.shape) != 2 or not sample.is_whole:
        return Identified(note=f"{note}, and other values")
    for axis in (0, 1):
        counts = np.count_nonzero(sample.values == 0, axis=axis)
        if (counts == counts[0]).all():
            std = seen.std if found[0].distribution is None else found[0].distribution.std
            sparsity = float(counts[0]) / tensor.shape[axis]
            initializer = Sparse(sparsity=sparsity, stddev=std)
            matched = msgspec.structs.replace(
                found[0], initializer=initializer, rule=f"{note}, else {found[0].rule}"
            )
            return Identified((matched,), note)
    return Identified(note=f"{note} at irregular places, else {found[0].rule}")


def _unmatched(seen: Measurement, sample: Sample) -> str:
    """The reason why nothing fits, if it can be found."""
    for axis in sample.slices:
        lengths = np.sqrt(axis.squares)
        if np.ptp(lengths) <= 2.0**-7 * lengths.max():
            return f"slices along axis {axis.axis} have the same length, {lengths.mean():.4g}"
    value, rows, columns = sample.largest if sample.values.ndim > 1 else (0.0, 0, 0)
    if min(rows, columns) >= FEWEST and beyond_edge(value / seen.std, rows, columns) < DOUBTFUL:
        ratio = value / (seen.std * (math.sqrt(rows) + math.sqrt(columns)))
        return f"trained: the largest singular value is {ratio:.3g} times that of noise"
    return "unknown: no initializer fits"


def _without_zeros(seen: Measurement) -> Measurement:
    """The measurement of the values that are not 0."""
    count = seen.count - seen.zeros
    mean = seen.mean * seen.count / count
    counts = seen.histogram.counts.copy()
    zero = int(np.searchsorted(seen.histogram.edges, 0.0, side="right")) - 1
    counts[min(max(zero, 0), counts.size - 1)] -= seen.zeros
    return msgspec.structs.replace(
        seen,
        count=count,
        mean=mean,
        squares=max(seen.squares + seen.count * seen.mean**2 - count * mean**2, 0.0),
        zeros=0,
        histogram=msgspec.structs.replace(seen.histogram, counts=counts),
        values=None if seen.values is None else tuple(each for each in seen.values if each),
    )


def measured(values: Floats) -> Measurement:
    """The measurement of an array."""
    flat = values.reshape(-1)
    finite = flat[np.isfinite(flat)]
    ends = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return measure_values(flat, Grid.over(*ends, FINE_BINS))
