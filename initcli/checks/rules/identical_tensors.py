"""I603: stored tensors that are identical."""

from __future__ import annotations

import re
from collections.abc import Iterator

from initcli.checks.base import Finding
from initcli.checks.values import ValueCheck, Values
from initcli.measuring.same_values import SameValues

_OFTEN_TIED = re.compile(
    r"embed|wte|wpe|shared(?!_)|lm_head|decoder\.weight$|pos|ema", re.IGNORECASE
)
"""Embeddings, heads and averages, of which files store copies."""


class IdenticalTensors(ValueCheck):
    """Two stored tensors have the same random values.

    ## What it does
    Compares kernels of one shape bit by bit. Tensors that share their bytes in the file are tied
    and not reported, nor are embeddings, heads and moving averages, of which files store copies.

    ## Why is this bad
    Independent draws are never equal. Layers that start identical were drawn with the same seed or
    copied, so that experts or blocks that should differ start as one.

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
    A seed of its own for each tensor, or a real tie if they are meant to be one.

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
            more = f" and of {len(others):,} more" if others else ""
            yield self.finding_of(
                values,
                tensor,
                f"the {first.size:,} values of {tensor.path} are those of {partner.path}{more}",
                "draw each with a seed of its own, or tie them",
            )
