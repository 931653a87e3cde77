"""I102: tensors that are identical because they share a seed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from initcli import distributions
from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.initializers import Joined
from initcli.model import BuiltLayer
from initcli.parameter import Parameter


class SharedSeed(Check):
    """Tensors of the same shape are identical because their initializers have the same seed.

    ## What it does
    Looks for tensors of the same shape and kind of distribution whose initializers have the same
    `seed` argument. If only the scales differ, one tensor is a multiple of the other.

    The key `seed` of a spec does not cause this: each tensor draws from its own stream, which
    depends on its path.

    ## Why is this bad
    An initializer with a seed returns the same values for the same shape each time, so layers that
    should be independent start as copies of each other until training separates them.

    ## Reported
    ```yaml
    input_shape: [64]
    layers:
      - {type: Dense, units: 64, activation: relu, kernel_initializer: {type: HeNormal, seed: 1}}
      - {type: Dense, units: 64, activation: relu, kernel_initializer: {type: HeNormal, seed: 1}}
      - {type: Dense, units: 10}
    ```

    ## Not reported
    ```yaml
    input_shape: [64]
    layers:
      - {type: Dense, units: 64, activation: relu, kernel_initializer: {type: HeNormal, seed: 1}}
      - {type: Dense, units: 64, activation: relu, kernel_initializer: {type: HeNormal, seed: 2}}
      - {type: Dense, units: 10, kernel_initializer: {type: HeNormal, seed: 1}}
    ```

    ## Use instead
    Another seed for each initializer, or none.

    ## References
    - tensorflow/tensorflow#62577
    - keras-team/keras-hub#352
    """

    code = "I102"
    name = "shared-seed"
    severity = "warning"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        first: dict[object, tuple[BuiltLayer, Parameter]] = {}
        taken = {parameter.initializer.own_seed for _, parameter in evidence.parameters}
        free = (seed for seed in count() if seed not in taken)
        for layer, parameter in evidence.parameters:
            seed, distribution = parameter.initializer.own_seed, parameter.distribution
            if seed is None or isinstance(distribution, distributions.Constant):
                continue
            key = (seed, parameter.shape, parameter.dtype, type(distribution))
            owner, other = first.setdefault(key, (layer, parameter))
            if other is parameter:
                continue
            # Layers of a repeated block share one entry, so only seed: null makes them differ.
            is_one = evidence.path(owner, other) == evidence.path(layer, parameter)
            made = parameter.initializer
            made = made.parts[0] if isinstance(made, Joined) else made
            is_same = distribution == other.distribution
            yield self.finding(
                evidence,
                layer,
                parameter,
                message=(
                    f"{parameter.path} is {'identical to' if is_same else 'a multiple of'} "
                    f"{other.path}: both are drawn with seed {seed}"
                ),
                initializer={
                    "type": made.type_name,
                    **made.arguments,
                    "seed": None if is_one else next(free),
                },
            )
