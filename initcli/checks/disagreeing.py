"""Base of the checks that compare a file with its configuration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import ClassVar

from initcli.checks.base import Finding
from initcli.checks.values import ValueCheck, Values, place_of
from initcli.model import Disagreement, Kind, Model, leaves
from initcli.parameter import Parameter


class DisagreementCheck(ValueCheck):
    """A rule about one kind of disagreement.

    Tensors of equal blocks share one finding. So do all tensors that one wrong key of the
    configuration explains; that finding is at the key.
    """

    registered = False
    kind: ClassVar[Kind]
    remedy: ClassVar[str]

    def message(self, parameter: Parameter, disagreement: Disagreement) -> str:
        """The problem of a tensor."""
        raise NotImplementedError

    def findings_of(self, values: Values) -> Iterator[Finding]:
        model = values.subject
        if not isinstance(model, Model) or not model.disagreements:
            return
        owned = {
            each.path: (layer, each) for layer in leaves(model.layers) for each in layer.parameters
        }
        groups: defaultdict[tuple[str | int, ...], list[Disagreement]] = defaultdict(list)
        for each in model.disagreements:
            if each.kind == self.kind:
                place = (each.key,) if each.key else place_of(model, *owned[each.path])
                groups[place].append(each)
        for place, group in groups.items():
            layer, parameter = owned[group[0].path]
            yield self.placed(
                model.document,
                place,
                layer,
                parameter,
                message=self.message(parameter, group[0]) + _more(group),
                remedy=group[0].remedy or self.remedy,
                others=[owned[each.path][0].name for each in group[1:]],
            )


def _more(group: Sequence[Disagreement]) -> str:
    """The number of further tensors, as text."""
    if len(group) == 1:
        return ""
    return f"; and {len(group) - 1:,} more, to {group[-1].path}"
