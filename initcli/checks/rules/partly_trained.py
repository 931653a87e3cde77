"""I607: kernels or rows that are still initial in a trained file, and the reverse."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Literal, NamedTuple

from initcli.checks.base import Finding
from initcli.checks.values import Held, ValueCheck, Values
from initcli.initializers import Orthogonal
from initcli.matching.agreement import Match
from initcli.matching.independence import Sample, beyond_edge
from initcli.matching.match import has_bounds
from initcli.matching.rows import kept_rows
from initcli.matching.surroundings import Surroundings, parent
from initcli.measuring.fit import DOUBTFUL

_FEWEST = 1000
"""Minimum number of values of a kernel to distinguish training from chance."""
_LEAST = 4
"""Minimum number of kernels to compare one with the rest."""
_REST = 0.7
"""Share of the kernels that must agree to count as the rest."""
_MARGIN = 3.0
"""Minimum change of the rest, as a multiple of the smallest change that would be detected."""
_LEAST_SIDE = 32
"""Minimum number of rows and columns for the singular-value test."""


class PartlyTrained(ValueCheck):
    """Kernels or rows are still initial in a trained file, or the reverse.

    ## What it does
    Identifies the initializer of each kernel of 1,000 values or more. If most kernels no longer
    follow one, reports those that exactly follow a framework's rule. If most still do, reports
    those whose singular values exceed those of random matrices. A kernel is skipped if a change as
    large as that of the others would not be detectable in it. Also reports tables, such as
    embeddings, that follow no rule as a whole although 16 rows or more still do while others are
    far from it: tokens that never occurred in training.

    ## Why is this bad
    A head that was drawn at random because its weights were not found makes the outputs of a
    trained model random. A trained tensor in a fresh model was left over, or loaded by accident.
    Untrained rows return noise for their tokens.

    ## Reported
    ```python
    rng = np.random.default_rng(0)
    for layer in range(5):
        low_rank = rng.normal(0, 0.3, (64, 2)) @ rng.normal(0, 0.3, (2, 64))
        tensors[f"layers.{layer}.weight"] = rng.normal(0, 0.05, (64, 64)) + low_rank
    tensors["head.weight"] = rng.uniform(-0.125, 0.125, (100, 64))
    ```

    ## Not reported
    ```python
    rng = np.random.default_rng(0)
    for layer in range(5):
        tensors[f"layers.{layer}.weight"] = rng.uniform(-0.125, 0.125, (64, 64))
    tensors["head.weight"] = rng.uniform(-0.125, 0.125, (100, 64))
    ```

    ## Use instead
    The checkpoint that contains the head, or an optimizer with all parameters that should learn.

    ## References
    - Hugging Face transformers documentation, "Some weights were newly initialized"
    - Marchenko, Pastur 1967, doi:10.1070/SM1967v001n04ABEH001994
    """

    code = "I607"
    name = "partly-trained"
    severity = "warning"

    def findings_of(self, values: Values) -> Iterator[Finding]:
        large = [
            each for each in values.tensors if each.is_kernel and each.measured.count >= _FEWEST
        ]
        constant = {parent(each.path) for each in values.tensors if _is_constant(each)}
        kernels = [_Kernel.of(values, each, parent(each.path) in constant) for each in large]
        named = {}
        for each, fault, remedy in _whole(kernels):
            named[each.path] = self.finding_of(values, each, f"{each.path} {fault}", remedy)
        for each, fault, remedy in _rows(values, kernels):
            named[each.path] = self.finding_of(values, each, f"{each.path} {fault}", remedy)
        yield from (named[each.path] for each in large if each.path in named)


_Fault = tuple[Held, str, str]
"""A tensor, its problem, and a remedy."""


class _Kernel(NamedTuple):
    """The state of a kernel: "left" follows no rule, "trained" also has a large singular value.

    ``change`` is the relative norm of the rank-one change that its largest singular value implies,
    and ``shows`` the smallest detectable one: infinite for few normal values.
    """

    tensor: Held
    start: Literal["initial", "left", "trained", "unknown"]
    rule: str
    change: float
    shows: float

    @classmethod
    def of(cls, values: Values, tensor: Held, has_constant: bool) -> _Kernel:
        """The state of a kernel; ``has_constant`` is whether its layer has a constant vector."""
        answer = values.looks_like(tensor)
        if not answer.matches:
            if answer.kind not in ("trained", "unknown"):
                return cls(tensor, "unknown", "", 0.0, math.inf)
            start: Literal["trained", "left"] = "trained" if answer.kind == "trained" else "left"
            return cls(tensor, start, "", _change(tensor), math.inf)
        first = answer.matches[0]
        if first.framework is None and not isinstance(first.initializer, Orthogonal):
            return cls(tensor, "unknown", "", 0.0, math.inf)
        shows = 0.0 if has_constant else _shows(tensor, first)
        return cls(tensor, "initial", first.rule, 0.0, shows)


def _is_constant(tensor: Held) -> bool:
    """Whether it is a constant vector, such as an initial bias, which training would change."""
    seen = tensor.measured
    return len(tensor.stored.shape) == 1 and seen.count > 1 and seen.min == seen.max


def _change(tensor: Held) -> float:
    """The relative norm of a rank-one change whose singular value is the largest of the tensor.

    The largest singular value of m × n noise of variance σ² is σ(√m + √n); that of a change of
    relative norm ε is εσ√(mn).
    """
    value, rows, columns = Sample(tensor.stored).largest
    return value / (tensor.measured.std * math.sqrt(rows * columns))


def _is_beyond_chance(tensor: Held, kernels: int) -> bool:
    """Whether the largest singular value is too large for any of that many fresh kernels."""
    value, rows, columns = Sample(tensor.stored).largest
    return beyond_edge(value / tensor.measured.std, rows, columns) < DOUBTFUL / kernels


def _shows(tensor: Held, match: Match) -> float:
    """The smallest relative norm of a change after which a kernel no longer fits its rule.

    Values leave the bounds of a distribution at any change. A change ε widens a normal
    distribution by ε²/2, which is detected at five standard errors of 1/√(2n), and a singular value
    is detected above that of noise.
    """
    if isinstance(match.initializer, Orthogonal) or has_bounds(match.distribution):
        return 0.0
    count, shape = tensor.measured.count, tensor.stored.shape
    widened = math.sqrt(2 * 5 / math.sqrt(2 * count))
    rows, columns = shape[0], count // shape[0]
    if min(rows, columns) < _LEAST_SIDE:
        return widened
    return min(widened, 1 / math.sqrt(rows) + 1 / math.sqrt(columns))


def _whole(kernels: Iterable[_Kernel]) -> Iterator[_Fault]:
    """Kernels that differ from most, if a change as large as that of the others is detectable."""
    known = [each for each in kernels if each.start != "unknown"]
    initial = [each for each in known if each.start == "initial"]
    trained = [each for each in known if each.start != "initial"]
    if len(known) < _LEAST or not initial or not trained:
        return
    total = f"{len(known):,} kernels are"
    if len(trained) >= _REST * len(known):
        change = median(each.change for each in trained)
        for each in initial:
            if change >= _MARGIN * each.shows:
                fault = f"still follows {each.rule}, but {len(trained):,} of {total} trained"
                yield each.tensor, fault, "load the checkpoint that has it, or train it"
    elif len(initial) >= _REST * len(known):
        shows = median(each.shows for each in initial)
        for each in trained:
            is_moved = each.start == "trained" and each.change >= _MARGIN * shows
            if is_moved and _is_beyond_chance(each.tensor, len(known)):
                fault = f"is trained, but {len(initial):,} of {total} still initial"
                yield each.tensor, fault, "initialize it like the others, or load the others too"


def _rows(values: Values, kernels: Iterable[_Kernel]) -> Iterator[_Fault]:
    """Tables that follow no rule as a whole, but in some rows."""
    surroundings = Surroundings((each.path, each.stored.shape) for each in values.tensors)
    for each in kernels:
        tensor = each.tensor
        if each.start not in ("left", "trained"):
            continue
        found = kept_rows(tensor.stored, surroundings.of(tensor.path), tensor.declared)
        if found is None:
            continue
        among = "" if found.rows == tensor.stored.shape[0] else " checked"
        fault = (
            f"has {found.initial:,} rows that still follow {found.rule} and {found.trained:,} "
            f"trained ones, of {found.rows:,}{among}"
        )
        yield tensor, fault, "train all rows, or remove those that are never used"
