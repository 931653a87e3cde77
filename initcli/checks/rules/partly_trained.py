"""I607: kernels, or rows of them, that are still initial in a trained file, and the reverse."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Literal, NamedTuple

from initcli.checks.base import Finding
from initcli.checks.values import Held, ValueCheck, Values
from initcli.initializers import Orthogonal
from initcli.matching.independence import Sample, beyond_edge
from initcli.matching.match import Match, has_bounds
from initcli.matching.rows import kept_rows
from initcli.matching.surroundings import Surroundings, parent
from initcli.measuring.fit import DOUBTFUL

_FEWEST = 1000
"""Values of a kernel that tell training from chance."""
_LEAST = 4
"""Kernels of a file that has a rest to compare with."""
_REST = 0.7
"""Share of the kernels that must be alike to be the rest."""
_MARGIN = 3.0
"""By how much more than what would just show the rest must have changed."""
_LEAST_SIDE = 32
"""Rows and columns of a matrix whose largest singular value is close to that of noise."""


class PartlyTrained(ValueCheck):
    """A kernel is still initial while the rest of the file is trained, or the reverse; or its rows.

    ## What it does
    Identifies the initializer of each kernel of 1,000 values or more. Where most follow none any
    more, it names those that exactly follow the rule of a framework; where most still do, those
    that have singular values beyond what random matrices have. Nothing is said where a change like
    that of the others would not show. Of tables such as embeddings that follow no rule it names
    those of which 16 rows or more still do, while others are far from it: words never seen.

    ## Why is this bad
    A head that was drawn anew, in place of a weight that was not found, makes the outputs of a
    trained model random. A trained tensor in a fresh model was left over, or loaded by accident.
    Rows that nothing trained are noise for whoever looks them up.

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
    The checkpoint that has the head; training of all parameters that should learn.

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
"""A tensor, what is wrong with it, and a remedy."""


class _Kernel(NamedTuple):
    """Whether a kernel is still initial; "left" follows no rule, "trained" shows why.

    ``change`` is the relative norm of a change of one direction that its largest singular value
    would show, and ``shows`` the least that would be seen: infinite for few normal values.
    """

    tensor: Held
    start: Literal["initial", "left", "trained", "unknown"]
    rule: str
    change: float
    shows: float

    @classmethod
    def of(cls, values: Values, tensor: Held, has_constant: bool) -> _Kernel:
        """The state of a kernel, which stands beside a constant or not."""
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
    """Whether it is a bias as it started, or the like, which training would have changed."""
    seen = tensor.measured
    return len(tensor.stored.shape) == 1 and seen.count > 1 and seen.min == seen.max


def _change(tensor: Held) -> float:
    """The relative norm of a change of rank one whose singular value is the largest one.

    Noise of variance σ² and m rows and n columns has the largest singular value σ(√m + √n), and a
    change of the relative norm ε has the singular value εσ√(mn).
    """
    value, rows, columns = Sample(tensor.stored).largest
    return value / (tensor.measured.std * math.sqrt(rows * columns))


def _is_beyond_chance(tensor: Held, kernels: int) -> bool:
    """Whether not even one of so many fresh kernels would have such a largest singular value."""
    value, rows, columns = Sample(tensor.stored).largest
    return beyond_edge(value / tensor.measured.std, rows, columns) < DOUBTFUL / kernels


def _shows(tensor: Held, match: Match) -> float:
    """The relative norm of a change that would end the agreement with a rule.

    Bounds of a distribution are left at once. A normal one widens by half the square, which shows
    at five standard errors, 1/√(2n) each; and a singular value shows beyond that of noise.
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
    """Kernels that are not as most are, if as much change would show in them as in the others."""
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
                fault = f"still follows {each.rule}, and {len(trained):,} of {total} trained"
                yield each.tensor, fault, "load the checkpoint that has it, or train it"
    elif len(initial) >= _REST * len(known):
        shows = median(each.shows for each in initial)
        for each in trained:
            is_moved = each.start == "trained" and each.change >= _MARGIN * shows
            if is_moved and _is_beyond_chance(each.tensor, len(known)):
                fault = f"is trained, and {len(initial):,} of {total} still initial"
                yield each.tensor, fault, "start it as the others, or load the others too"


def _rows(values: Values, kernels: Iterable[_Kernel]) -> Iterator[_Fault]:
    """Tables that follow no rule, some of whose rows do."""
    surroundings = Surroundings((each.path, each.stored.shape) for each in values.tensors)
    for each in kernels:
        tensor = each.tensor
        if each.start not in ("left", "trained"):
            continue
        found = kept_rows(tensor.stored, surroundings.of(tensor.path), tensor.declared)
        if found is None:
            continue
        among = "" if found.rows == tensor.stored.shape[0] else " that were looked at"
        fault = (
            f"has {found.initial:,} rows that still follow {found.rule}, and {found.trained:,} "
            f"that are trained, of {found.rows:,}{among}"
        )
        yield tensor, fault, "train all rows, or leave out those that are never used"
