"""I603: stored tensors that are identical."""

from __future__ import annotations

import re
from collections.abc import Iterator

from initcli.checks.base import Finding
from initcli.checks.values import ValueCheck, Values
from initcli.measuring.same_values import SameValues

_OFTEN_TIED = re.compile(
    r"embed|wte|wpe|shared(?!_)|lm_head|decoder\.weight$|pos(?!t)|ema", re.IGNORECASE
)
"""Names of embeddings, heads and averages, which files may store twice."""


class IdenticalTensors(ValueCheck):
    """Two stored tensors have the same random values.

    ## What it does
    Compares kernels of the same shape bit by bit. Not reported are tied tensors, which share their
    bytes in the file, nor embeddings, heads and moving averages, which files may store twice.

    ## Why is this bad
    Independent draws are never equal. Identical layers were copied or drawn with the same seed, so
    experts or blocks that should differ start equal.

    ## Reported
    ```python
    same = np.random.default_rng(0).normal(0, 0.02, (16, 16))
    tensors["experts.0.weight"] = tensors["experts.1.weight"] = same
    ```

    ## Not reported
    ```python
    rng = np.random.default_rng(0)
    tensors["experts.0.weight"] = rng.normal(0, 0.02, (16, 16))
    tensors["experts.1.weight"] = rng.normal(0, 0.02, (16, 16))
    ```

    ## Use instead
    A different seed for each tensor, or a tie if they are meant to be the same.

    ## References
    - Keras documentation, "initializers": an instance with a seed gives the same values each time
    - Komatsuzaki et al. 2022, Sparse upcycling, arXiv:2212.05055: experts that start as copies
    """

    code = "I603"
    name = "identical-tensors"
    severity = "warning"

    def findings_of(self, values: Values) -> Iterator[Finding]:
        kernels = {
            id(each.stored): each
            for each in values.tensors
            if each.is_kernel and not _OFTEN_TIED.search(each.path)
        }
        same = SameValues()
        for each in kernels.values():
            same.add(each.stored, each.measured)
        for first, second, *others in same.groups():
            tensor, partner = kernels[id(first)], kernels[id(second)]
            more = f" and {len(others):,} more" if others else ""
            yield self.finding_of(
                values,
                tensor,
                f"{tensor.path} has the same {first.size:,} values as {partner.path}{more}",
                "draw each with a different seed, or tie them",
            )
