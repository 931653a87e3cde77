"""The weights of a model under PyTorch's names and in its layout."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import msgspec
import numpy as np

from initcli.checkpoint import Subject
from initcli.errors import Errors
from initcli.frameworks.torch_layout import Entry, NoCounterpart, torch_entries
from initcli.layers.core import Dense
from initcli.layers.network import Network, Shaped
from initcli.layers.reshaping import Flatten, Permute
from initcli.layers.spatial import SpatialLayer
from initcli.model import BuiltLayer, Model, leaves
from initcli.parameter import Parameter
from initcli.types import Array, Size

_REMEDY = "choose other tensors with --filter, or export them in Keras's layout"


def torch_file(model: Subject, only: frozenset[str]) -> list[Entry]:
    """The tensors of a PyTorch model whose modules have the names of the layers.

    ``dense/kernel`` is ``dense.weight``, ``block/dense/kernel`` is ``block.dense.weight``. Paths
    without a ``/`` are PyTorch's own, and stay. The rows of a Dense behind a Flatten are in the
    order of PyTorch's images, channels first.

    Args:
        model: whose parameters.
        only: paths of the parameters that are wanted.

    Raises:
        InvalidSpec: layers have no counterpart in PyTorch.
    """
    images = flattened_images(model)
    errors = Errors()
    entries: list[Entry] = []
    for layer in leaves(model.layers):
        wanted = [each for each in layer.parameters if each.path in only]
        if not wanted:
            continue
        try:
            found = list(module_entries(layer))
        except NoCounterpart as error:
            why = f": {error}" if str(error) else ""
            kind = f"{layer.type} " if layer.type else ""
            message = f"torch has no counterpart of the {kind}layer '{layer.name}'{why}"
            errors.report(message, layer.path, _REMEDY)
            continue
        if layer.name in images:
            found[0] = _with_rows(found[0], images[layer.name])
        entries += (each for each in found if only.intersection(p.path for p in each.sources))
    if errors:
        raise model.document.invalid(errors)
    return entries


def flattened_images(model: Subject) -> dict[str, Size]:
    """The shapes, channels last, of the images that a Flatten before a Dense layer flattens.

    Keys are names of Dense layers. Those with the same order of entries in PyTorch are left out.
    """
    return dict(_flattened(model.network)) if isinstance(model, Model) else {}


def module_entries(layer: BuiltLayer) -> Iterator[Entry]:
    """The tensors of the PyTorch module of a layer, under their whole names.

    Raises:
        NoCounterpart: there is none.
    """
    groups: defaultdict[str, dict[str, Parameter]] = defaultdict(dict)
    for parameter in layer.parameters:
        if "/" not in parameter.path:
            yield Entry(parameter.path, parameter.shape, (parameter,))
            continue
        if parameter.owner is None:
            raise NoCounterpart("only the names of its tensors are known")
        name = parameter.owner.name
        groups[parameter.path.removesuffix(f"/{name}")][name] = parameter
    for scope, members in groups.items():
        owner = next(iter(members.values())).owner
        assert owner is not None
        module, end = layer.name, ""
        if len(groups) > 1:
            # Bidirectional has two groups, one of them backward.
            if layer.type != "Bidirectional":
                module = scope
            elif scope != next(iter(groups)):
                end = "_reverse"
        for entry in torch_entries(owner.layer, members):
            name = f"{module.replace('/', '.')}.{entry.name}{end}"
            yield msgspec.structs.replace(entry, name=name)


def _with_rows(entry: Entry, shape: Size) -> Entry:
    """The weight of a Dense behind a Flatten of (window, channels), with channels first."""
    convert = entry.convert
    assert convert is not None

    def converted(kernel: Array) -> Array:
        rows = np.moveaxis(kernel.reshape(*shape, kernel.shape[-1]), len(shape) - 1, 0)
        whole: Array = convert(rows.reshape(kernel.shape))
        return whole

    return msgspec.structs.replace(entry, convert=converted)


def _flattened(
    network: Network, shapes: list[Shaped] | None = None, scope: str = ""
) -> Iterator[tuple[str, Size]]:
    shapes = network.shapes() if shapes is None else shapes
    for index, call in enumerate(network.calls):
        layer, name = network.layers[call.layer], f"{scope}{network.names[call.layer]}"
        if isinstance(layer, Network):
            yield from _flattened(layer, layer.shapes(shapes[index].inputs), f"{name}/")
        elif isinstance(layer, Dense) and (shape := _image(network, shapes, index)):
            yield name, shape


def _image(network: Network, shapes: list[Shaped], index: int) -> Size | None:
    index = _before(network, shapes, index)
    flatten = network.layers[network.calls[index].layer]
    if not isinstance(flatten, Flatten):
        return None
    shape = shapes[index].inputs[0][1:]
    index = _before(network, shapes, index)
    source = network.layers[network.calls[index].layer]
    if not isinstance(source, SpatialLayer) or len(shape) < 2 or None in shape:
        return None
    channels_first = getattr(source, "data_format", None) == "channels_first"
    if channels_first != (flatten.data_format == "channels_first"):
        return None
    sizes = tuple(size for size in shape if size is not None)
    return (*sizes[1:], sizes[0]) if channels_first else sizes


def _before(network: Network, shapes: list[Shaped], index: int) -> int:
    """The call before one, past those that keep the order of the axes and sum over none."""
    while network.calls[index].inputs:
        index = network.calls[index].inputs[0].call
        layer, (inputs, outputs) = network.layers[network.calls[index].layer], shapes[index]
        if isinstance(layer, SpatialLayer | Permute | Network) or not inputs:
            break
        if inputs[0] != outputs[0] and layer.acts_as() != "joins":
            break
        if any(each.contracts != () for each in layer.parameters(*inputs)):
            break
    return index
