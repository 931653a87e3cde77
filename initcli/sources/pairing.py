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

    A parameter takes the tensor of its path, or the one at its place among the tensors of its
    layer, where their shapes agree. One without a partner has no values; notes name it.
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
    by_name: dict[str, StoredTensor] = {}
    by_layer: defaultdict[str, list[StoredTensor]] = defaultdict(list)
    for each in tensors:
        by_name[each.path] = each
        # An old file of Keras has `model_weights/LAYER/` before each name.
        by_name.setdefault(each.path.partition("/")[2].partition("/")[2], each)
        if each.layer is not None:
            by_layer[each.layer].append(each)
    in_layer: defaultdict[str, list[Parameter]] = defaultdict(list)
    for parameter in parameters:
        in_layer[parameter.scope].append(parameter)
    partners = {}
    for scope, members in in_layer.items():
        for place, parameter in enumerate(members):
            own = by_layer[scope]
            tensor = by_name.get(_old_name(parameter.path)) or by_name.get(parameter.path)
            if tensor is None and len(own) == len(members):
                tensor = own[place]
            if tensor is not None and tensor.shape == parameter.shape:
                partners[parameter.path] = tensor
    return partners


def _old_name(path: str) -> str:
    """The name of a weight in TensorFlow, which numbers the tensors of an operation."""
    return f"{path}:0"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return listed(names[:_MAX_NAMES], "and") + more
