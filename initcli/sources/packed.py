"""PyTorch's tensors that Keras has in several, and the biases of which Keras has the sum.

``in_proj_weight`` and ``in_proj_bias`` of MultiheadAttention have the rows of query, key and value
one after another. Of the two biases of a recurrent layer a GRU's are Keras's two rows, and those of
others act as their sum.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from initcli.checkpoint import Checkpoint, Subject
from initcli.frameworks.torch_layout import BothBiases
from initcli.parameter import Parameter
from initcli.stored import Part, StoredTensor
from initcli.types import Size

_PROJECTIONS = ("query", "key", "value")
_OUTPUT = "attention_output"
_PACKED = re.compile(r"(^|.*\.)in_proj_(weight|bias)$")
_IN_ATTENTION = re.compile(
    r"(?P<scope>^|.*\.)"
    r"(in_proj_(?P<kind>weight|bias)\[(?P<name>\w+)\]|(?P<letter>[qkv])_proj_weight"
    r"|out_proj\.(?P<out>weight|bias))$"
)
_INPUT_BIAS = re.compile(r"(^|.*\.)bias_ih(_l\d+(_reverse)?)?$")


def unpacked(
    tensors: Iterable[StoredTensor], model: Subject, whole: Collection[str] = ()
) -> list[StoredTensor]:
    """The tensors, those of PyTorch in the parts or the sums that the layers of a model have.

    A part has the path ``in_proj_weight[query]``, a sum ``bias_ih_l0 + bias_hh_l0``.

    Args:
        tensors: the tensors of a file.
        model: a model whose tensors have Keras's names; for others, nothing changes.
        whole: paths of tensors that stay as they are.
    """
    by_path = {each.path: each for each in tensors}
    paths = {each.path for each in model.parameters}
    whole = {*whole, *paths}
    has_attention = bool(keras_attention(model.parameters))
    has_biases = any(each.name == "recurrent_kernel" for each in model.parameters)
    found: dict[str, list[StoredTensor]] = {path: [each] for path, each in by_path.items()}
    for path, tensor in by_path.items():
        if path in whole:
            continue
        if has_attention and _PACKED.match(path) and tensor.shape and tensor.shape[0] % 3 == 0:
            found[path] = list(_parts(tensor))
        elif has_biases and _INPUT_BIAS.match(path):
            hidden = by_path.get(path.replace("bias_ih", "bias_hh"))
            if hidden and hidden.shape == tensor.shape and hidden.path not in whole:
                kernel = by_path.get(path.replace("bias_ih", "weight_hh"))
                found[path] = [_both(tensor, hidden, kernel)]
                found[hidden.path] = []
    return [each for some in found.values() for each in some]


def with_unpacked(subject: Subject, other: Subject, whole: Collection[str] = ()) -> Subject:
    """A file of weights with the tensors that :func:`unpacked` gives, and any other as it is."""
    if not isinstance(subject, Checkpoint):
        return subject
    tensors = tuple(unpacked(subject.tensors, other, whole))
    return msgspec.structs.replace(subject, tensors=tensors)


def _parts(tensor: StoredTensor) -> Iterator[StoredTensor]:
    rows, *columns = tensor.shape
    shape = (rows // 3, *columns)
    size = math.prod(shape)
    for place, name in enumerate(_PROJECTIONS):
        storage = None
        if tensor.storage is not None:
            share = tensor.storage.bytes * size // max(tensor.size, 1)
            storage = Part(tensor.storage, place * size, size, share)
        yield msgspec.structs.replace(
            tensor, path=f"{tensor.path}[{name}]", shape=shape, storage=storage, alias_of=None
        )


def _both(tensor: StoredTensor, hidden: StoredTensor, kernel: StoredTensor | None) -> StoredTensor:
    is_gru = kernel is not None and [kernel.shape[0]] == [3 * size for size in kernel.shape[1:]]
    is_readable = tensor.storage is not None and hidden.storage is not None
    storage = BothBiases(tensor, hidden, is_gru=is_gru) if is_readable else None
    return StoredTensor(
        path=f"{tensor.path} + {hidden.path.rpartition('.')[2]}",
        shape=(2, *tensor.shape) if is_gru else tensor.shape,
        dtype=storage.dtype if storage else tensor.dtype,
        storage=storage,
        origin=tensor.origin,
    )


def keras_attention(parameters: Iterable[Parameter]) -> dict[str, dict[str, Parameter]]:
    """The parameters of each MultiHeadAttention of Keras, such as ``query/kernel``, by scope."""
    groups: dict[str, dict[str, Parameter]] = {}
    for each in parameters:
        *scope, projection, _ = ["", *each.path.split("/")] if "/" in each.path else ["", "", ""]
        if projection in (*_PROJECTIONS, _OUTPUT):
            groups.setdefault("/".join(scope[1:]), {})[f"{projection}/{each.name}"] = each
    kernels = {f"{name}/kernel" for name in (*_PROJECTIONS, _OUTPUT)}
    return {scope: group for scope, group in groups.items() if kernels <= group.keys()}


def attention_matrix(parameter: Parameter) -> Size | None:
    """The sides of a kernel of Keras's MultiHeadAttention as a matrix; None for any other."""
    name, shape = parameter.scope.rpartition("/")[2], parameter.shape
    if len(shape) != 3 or name not in (*_PROJECTIONS, _OUTPUT):
        return None
    axis = 2 if name == _OUTPUT else 1
    return math.prod(shape[:axis]), math.prod(shape[axis:])


def torch_attention(tensors: Iterable[StoredTensor]) -> dict[str, dict[str, StoredTensor]]:
    """The tensors of each MultiheadAttention of PyTorch, under Keras's names, by scope."""
    groups: dict[str, dict[str, StoredTensor]] = {}
    for each in tensors:
        if (found := _IN_ATTENTION.match(each.path)) is None:
            continue
        letter = found["letter"]
        projection = found["name"] or (_OUTPUT if letter is None else _of_letter(letter))
        kind = "bias" if "bias" in (found["kind"], found["out"]) else "kernel"
        groups.setdefault(found["scope"].rstrip("."), {})[f"{projection}/{kind}"] = each
    return {scope: group for scope, group in groups.items() if "query/kernel" in group}


def _of_letter(letter: str) -> str:
    return next(name for name in _PROJECTIONS if name.startswith(letter))


def attention_agrees(
    parameters: Mapping[str, Parameter], tensors: Mapping[str, StoredTensor]
) -> bool:
    """Whether every tensor of an attention of PyTorch has a parameter of its size in Keras's."""
    return all(
        name in parameters and parameters[name].size == tensor.size
        for name, tensor in tensors.items()
    )
