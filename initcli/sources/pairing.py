"""Pairing of a model's parameters with the tensors of a checkpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from initcli.checkpoint import Checkpoint
from initcli.errors import listed
from initcli.model import BuiltLayer, Model
from initcli.parameter import Parameter
from initcli.stored import StoredTensor

_MAX_NAMES = 5
"""Parameters or tensors without a partner that a note names."""


def paired(model: Model, checkpoint: Checkpoint) -> Model:
    """The model with the values of the checkpoint.

    A parameter takes the only tensor whose path is its own or ends in it, or the one at its place
    among the tensors of its layer, where their shapes agree. One without a partner has no values;
    notes name it.
    """
    partners = _partners(model.parameters, checkpoint.tensors)

    def stored(parameter: Parameter) -> Parameter:
        nothing = StoredTensor(
            path=parameter.path, shape=parameter.shape, dtype=parameter.dtype, storage=None
        )
        partner = partners.get(parameter.path, nothing)
        dtype = {} if partner is nothing else {"dtype": partner.dtype}
        return msgspec.structs.replace(parameter, stored=partner, **dtype)

    def filled(layer: BuiltLayer) -> BuiltLayer:
        return msgspec.structs.replace(
            layer,
            parameters=tuple(map(stored, layer.parameters)),
            layers=tuple(map(filled, layer.layers)),
        )

    used = {partner.path for partner in partners.values()}
    missing = [each.path for each in model.parameters if each.path not in partners]
    others = [each.path for each in checkpoint.tensors if each.path not in used]
    notes = (*model.notes, *checkpoint.notes)
    if missing:
        notes += (f"no stored values are those of {_some(missing)}",)
    if others:
        notes += (f"no parameter has the stored values {_some(others)}",)
    return msgspec.structs.replace(model, layers=tuple(map(filled, model.layers)), notes=notes)


def _partners(
    parameters: Iterable[Parameter], tensors: Iterable[StoredTensor]
) -> Mapping[str, StoredTensor]:
    """The tensor of each parameter, by the parameter's path."""
    by_name: defaultdict[str, list[StoredTensor]] = defaultdict(list)
    by_layer: defaultdict[str, list[StoredTensor]] = defaultdict(list)
    for each in tensors:
        # Files put names of groups and of the model before a weight's own name, and TensorFlow
        # numbers the outputs of an operation behind it.
        parts = each.path.removesuffix(":0").split("/")
        for place in range(len(parts)):
            by_name["/".join(parts[place:])].append(each)
        if each.layer is not None:
            by_layer[each.layer].append(each)
    in_layer: defaultdict[str, list[Parameter]] = defaultdict(list)
    for parameter in parameters:
        in_layer[parameter.scope].append(parameter)
    partners = {}
    for scope, members in in_layer.items():
        own = by_layer[scope]
        for place, parameter in enumerate(members):
            named = by_name[parameter.path]
            if len(named) != 1:
                named = own[place : place + 1] if len(own) == len(members) else []
            if named and named[0].shape == parameter.shape:
                partners[parameter.path] = named[0]
    return partners


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return listed(names[:_MAX_NAMES], "and") + more
