"""Pairing of a model's parameters with the tensors of a checkpoint."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import msgspec

from initcli.checkpoint import Checkpoint, Subject
from initcli.errors import did_you_mean, printable, quoted, some
from initcli.frameworks.torch_layout import FromTorch, NoCounterpart, torch_shapes
from initcli.model import BuiltLayer, Model, leaves, with_parameters
from initcli.parameter import Parameter
from initcli.sources.overrides import BadOverride, Given
from initcli.sources.packed import (
    attention_agrees,
    attention_matrix,
    keras_attention,
    torch_attention,
    unpacked,
)
from initcli.sources.reader import unreadable
from initcli.sources.torch_file import flattened_images, module_entries
from initcli.stored import StoredTensor
from initcli.types import Size

_NUMBER = re.compile(r"\d+")
_ROLES = (
    ("count", ("num_batches",)),
    ("bias", (" + ",)),
    ("part of a bias", ("bias_ih", "bias_hh")),
    ("recurrent", ("recurrent", "weight_hh")),
    ("mean", ("mean",)),
    ("variance", ("var",)),
    ("bias", ("bias", "beta")),
)
"""Roles of tensors by words in their names; all others are weights."""


def paired(model: Model, checkpoint: Checkpoint) -> Model:
    """The model with the values of the checkpoint, which is of the same file.

    A parameter takes the only tensor whose path is its own or ends in it, or the one at its place
    among the tensors of its layer, where their shapes agree. One without a partner has no values;
    notes name it.
    """
    return _filled(model, checkpoint, _by_name(model.parameters, checkpoint.tensors))


def held_to(model: Model, checkpoint: Checkpoint, pairs: Iterable[str] = ()) -> Model:
    """The model with the values of a checkpoint of another file.

    A parameter takes, in this order, the tensor that ``pairs`` give it, one as in :func:`paired`,
    one with the name that the PyTorch module of its layer has for it, one that stands in the same
    scope and has the same role, and one of the same role and shape: the only one, or the next of
    those whose paths differ in numbers alone. PyTorch's ``weight`` (out, in, window) is Keras's
    ``kernel`` (window, in, out); see :mod:`packed` for what only one of the two has in one tensor.

    Of a configuration of Hugging Face, the names alone decide, where the file has the library's.

    Args:
        model: the model, which declares the distributions.
        checkpoint: the tensors.
        pairs: pairs, each as ``PARAMETER=TENSOR``.

    Raises:
        InvalidSpec: several tensors may be one parameter.
        BadOverride: a pair names no parameter or no tensor, or their shapes differ.
    """
    named = [_Pair.of(text) for text in pairs]
    if model.source == "huggingface":
        from initcli.sources.huggingface import checkpoint as names  # not needed for specs

        given = dict(_given(model.parameters, checkpoint.tensors, named))
        held = names.with_checkpoint(model, checkpoint, given)
        if names.has_any(held, model):
            return held
    tensors = unpacked(checkpoint.tensors, model, {each.tensor for each in named})
    try:
        partners = _by_rules(model, tensors, dict(_given(model.parameters, tensors, named)))
    except _Ambiguous as error:
        raise unreadable(checkpoint.file, str(error), error.remedy()) from None
    whole = msgspec.structs.replace(checkpoint, tensors=tuple(tensors))
    return _filled(model, whole, partners)


def counterparts(
    a: Subject, b: Subject, pairs: Iterable[str] = (), *, guess: bool = True
) -> list[tuple[Parameter, Parameter]]:
    """The tensors of two sources that are one tensor under two names, see :func:`held_to`.

    A tensor in PyTorch's layout is given in Keras's, if its partner has that.

    Args:
        a: the first source.
        b: the second source.
        pairs: pairs that the user names, each as ``A=B``.
        guess: whether to pair by rules what ``pairs`` do not.

    Raises:
        InvalidSpec: several tensors may be one.
        BadOverride: a pair names no tensor, or the shapes differ.
    """
    swapped = not _is_of_keras(a) and _is_of_keras(b)
    one, two = (b, a) if swapped else (a, b)
    own, others = ({each.path: each for each in model.parameters} for model in (one, two))
    tensors = [
        StoredTensor(path=each.path, shape=each.shape, dtype=each.dtype, storage=None)
        for each in others.values()
    ]
    named = [_Pair.of(text) for text in pairs]
    if swapped:
        named = [each._replace(parameter=each.tensor, tensor=each.parameter) for each in named]
    partners = dict(_given(one.parameters, tensors, named))
    if guess:
        try:
            partners = _by_rules(one, tensors, partners)
        except _Ambiguous as error:
            raise unreadable(b.name, str(error), error.remedy(swapped=swapped)) from None
    found = [(own[path], others[tensor.path]) for path, tensor in partners.items()]
    stored = [(each, other.stored) for each, other in found if other.stored is not None]
    rearranged = in_keras_layout(stored, one)
    both = [(each, _with_storage(other, rearranged.get(each.path))) for each, other in found]
    return [(other, each) for each, other in both] if swapped else both


def _is_of_keras(model: Subject) -> bool:
    return any("kernel" in each.name for each in model.parameters)


def _with_storage(parameter: Parameter, stored: StoredTensor | None) -> Parameter:
    if stored is None:
        return parameter
    return msgspec.structs.replace(parameter, shape=stored.shape, stored=stored)


def _by_rules(
    model: Subject, tensors: Iterable[StoredTensor], partners: Mapping[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """The tensor of each parameter: those that are known, and those that the rules give."""
    found = dict(partners)
    by_module = partial(_by_module, model.layers)
    for find in (_by_name, _by_attention, by_module, _by_scope, _by_shape):
        used = {each.path for each in found.values()}
        left = [each for each in model.parameters if each.path not in found]
        others = [each for each in tensors if each.path not in used]
        found |= find(left, others)
    return found


def in_keras_layout(
    pairs: Sequence[tuple[Parameter, StoredTensor]], model: Subject
) -> dict[str, StoredTensor]:
    """The tensor of each parameter's path, in Keras's layout where it is in PyTorch's.

    The gates of a GRU are told by three times as many rows as columns of ``weight_hh``.

    Args:
        pairs: all parameters that have a tensor, and these.
        model: the model of the parameters.
    """
    images = flattened_images(model)
    shapes = {tensor.path: tensor.shape for _, tensor in pairs}
    found = {}
    for parameter, tensor in pairs:
        if tensor.storage is None or not _is_transposed(parameter, tensor):
            # A bias of attention has the heads as an axis of its own.
            is_flat = tensor.shape == (parameter.size,)
            shape = parameter.shape if is_flat else tensor.shape
            found[parameter.path] = msgspec.structs.replace(tensor, shape=shape)
            continue
        rows, *columns = shapes.get(tensor.path.replace("weight_ih", "weight_hh"), tensor.shape)
        kernel = attention_matrix(parameter) or parameter.shape
        storage = FromTorch(
            base=tensor.storage,
            shape=kernel,
            is_depthwise=tensor.shape != torch_shapes(kernel)[0],
            swaps_gates="weight_" in tensor.path and [rows] == [3 * size for size in columns],
            image=images.get(parameter.scope),
        )
        found[parameter.path] = msgspec.structs.replace(
            tensor, shape=parameter.shape, storage=storage
        )
    return found


def _filled(model: Model, checkpoint: Checkpoint, partners: Mapping[str, StoredTensor]) -> Model:
    """The model with the values of partners, and notes on those without one."""

    def stored(parameter: Parameter) -> Parameter:
        nothing = StoredTensor(
            path=parameter.path, shape=parameter.shape, dtype=parameter.dtype, storage=None
        )
        partner = partners.get(parameter.path, nothing)
        dtype = {} if partner is nothing else {"dtype": partner.dtype}
        return msgspec.structs.replace(parameter, stored=partner, **dtype)

    used = {partner.path for partner in partners.values()}
    missing = [each.path for each in model.parameters if each.path not in partners]
    others = [each.path for each in checkpoint.tensors if each.path not in used]
    notes = (*model.notes, *checkpoint.notes)
    if missing:
        notes += (f"no stored values are those of {some(missing)}",)
    if others:
        notes += (f"no parameter has the stored values {some(others)}",)
    layers = tuple(with_parameters(layer, stored) for layer in model.layers)
    return msgspec.structs.replace(model, layers=layers, notes=notes)


def _by_name(
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
        if len(own) < len(members):
            # Keras saves the sum of a kernel and its low-rank change as the kernel.
            members = [each for each in members if not each.name.startswith("lora_")]
        for place, parameter in enumerate(members):
            named = by_name[parameter.path]
            if len(named) != 1:
                named = own[place : place + 1] if len(own) == len(members) else []
            if named and named[0].shape == parameter.shape:
                partners[parameter.path] = named[0]
    return partners


class _Ambiguous(Exception):
    """A parameter and two tensors that may be it, or the reverse; and a pair of both."""

    def __init__(self, what: str, one: str, two: str, pair: tuple[str, str]) -> None:
        super().__init__(f"{quoted(what)} may be {quoted(one)} or {quoted(two)}")
        self.pair = pair

    def remedy(self, *, swapped: bool = False) -> str:
        """How to say which; ``swapped`` is whether the tensor is named before the parameter."""
        pair = reversed(self.pair) if swapped else self.pair
        return f"say which, such as --map {printable('='.join(pair))}"


class _Pair(NamedTuple):
    """A pair that the user names."""

    given: Given
    parameter: str
    tensor: str

    @classmethod
    def of(cls, text: str) -> _Pair:
        """The pair of ``PARAMETER=TENSOR``."""
        parameter, _, tensor = text.partition("=")
        return cls(Given("--map", text), parameter, tensor)


def _given(
    parameters: Iterable[Parameter], tensors: Iterable[StoredTensor], pairs: Iterable[_Pair]
) -> Iterator[tuple[str, StoredTensor]]:
    """The pairs that the user names."""
    by_path = {each.path: each for each in parameters}
    by_name = {each.path: each for each in tensors}
    for given, path, name in pairs:
        parameter, tensor = by_path.get(path), by_name.get(name)
        if parameter is None:
            problem = f"no parameter is {quoted(path)}"
            raise BadOverride(given, problem, did_you_mean(path, by_path))
        if tensor is None:
            problem = f"no tensor is {quoted(name)}"
            raise BadOverride(given, problem, did_you_mean(name, by_name))
        if tensor.shape not in _shapes(parameter):
            raise BadOverride(given, f"the shapes are {parameter.shape} and {tensor.shape}")
        yield path, tensor


def _by_module(
    layers: Iterable[BuiltLayer], parameters: Iterable[Parameter], tensors: Iterable[StoredTensor]
) -> Mapping[str, StoredTensor]:
    """The tensor under the name that the PyTorch module of a layer of the same name has for it."""
    by_name: defaultdict[str, list[StoredTensor]] = defaultdict(list)
    for tensor in tensors:
        # A sum has the name of its first tensor.
        parts = tensor.path.split(" + ")[0].split(".")
        for place in range(len(parts)):
            by_name[".".join(parts[place:])].append(tensor)
    left = {each.path for each in parameters}
    partners = {}
    for layer in leaves(layers):
        with suppress(NoCounterpart):
            for entry in module_entries(layer):
                named, parameter = by_name[entry.name], entry.sources[0]
                if len(entry.sources) > 1 or parameter.path not in left or len(named) != 1:
                    continue
                if _role(named[0].path) == "part of a bias":
                    continue
                if _agrees(parameter, named[0]):
                    partners[parameter.path] = named[0]
    return partners


def _by_attention(
    parameters: Iterable[Parameter], tensors: Iterable[StoredTensor]
) -> Mapping[str, StoredTensor]:
    """The tensors of the attention in the same scope, or of the next of those of the same sizes."""
    own, others = keras_attention(parameters), torch_attention(tensors)
    found: dict[str, str] = {}
    for scope, group in own.items():
        end = _parts(scope)
        named = [
            each
            for each in others
            if _parts(each)[-len(end) :] == end and attention_agrees(group, others[each])
        ]
        if len(named) == 1:
            found[scope] = named[0]
    rows: dict[tuple[str, ...], list[str]] = {}
    for scope in own.keys() - found.keys():
        left = [each for each in others if each not in found.values()]
        alike = tuple(each for each in left if attention_agrees(own[scope], others[each]))
        if alike:
            rows.setdefault(alike, []).append(scope)
    for alike, scopes in rows.items():
        members = [own[scope]["query/kernel"] for scope in own if scope in scopes]
        _refuse_ambiguous(members, [others[each]["query/kernel"] for each in alike])
        in_order = (scope for scope in own if scope in scopes)
        found |= zip(in_order, sorted(alike, key=_numbers), strict=True)
    return {
        own[scope][name].path: tensor
        for scope, other in found.items()
        for name, tensor in others[other].items()
    }


def _by_scope(
    parameters: Iterable[Parameter], tensors: Iterable[StoredTensor]
) -> Mapping[str, StoredTensor]:
    """The tensor in the same scope, below any other, with the same role and shape."""
    candidates: defaultdict[tuple[str, ...], list[StoredTensor]] = defaultdict(list)
    for tensor in tensors:
        *scope, name = _parts(tensor.path)
        for place in range(len(scope)):
            candidates[(*scope[place:], _role(name))].append(tensor)
    partners = {}
    for parameter in parameters:
        *scope, name = _parts(parameter.path)
        alike = [each for each in candidates[(*scope, _role(name))] if _agrees(parameter, each)]
        if len(alike) > 1:
            raise _ambiguous_tensors(parameter, alike)
        if alike:
            partners[parameter.path] = alike[0]
    return partners


def _by_shape(
    parameters: Iterable[Parameter], tensors: Iterable[StoredTensor]
) -> Mapping[str, StoredTensor]:
    """The only tensor of the same role and shape, or the next if paths differ only in numbers."""
    by_role: defaultdict[tuple[str, bool], list[StoredTensor]] = defaultdict(list)
    for tensor in tensors:
        by_role[_role(_parts(tensor.path)[-1]), "_reverse" in tensor.path].append(tensor)
    has_reverse = any(is_reverse for _, is_reverse in by_role)
    groups: dict[tuple[str, ...], tuple[list[Parameter], list[StoredTensor]]] = {}
    for parameter in parameters:
        # Keras's Bidirectional has a layer forward_lstm and one backward_lstm.
        role = _role(parameter.name), has_reverse and "backward_" in parameter.path
        alike = [each for each in by_role[role] if _agrees(parameter, each)]
        if alike:
            key = tuple(each.path for each in alike)
            groups.setdefault(key, ([], alike))[0].append(parameter)
    partners: dict[str, StoredTensor] = {}
    owners: dict[str, Parameter] = {}
    for members, alike in groups.values():
        _refuse_ambiguous(members, alike)
        # Files may sort paths as texts, 10 before 2.
        alike.sort(key=lambda each: _numbers(each.path))
        for parameter, tensor in zip(members, alike, strict=True):
            other = owners.setdefault(tensor.path, parameter)
            if other is not parameter:
                raise _ambiguous_parameters(tensor, [other, parameter])
            partners[parameter.path] = tensor
    return partners


def _refuse_ambiguous(members: list[Parameter], alike: list[StoredTensor]) -> None:
    """Raise _Ambiguous unless there are as many, and paths of tensors differ in numbers alone."""
    patterns = {_NUMBER.sub("#", each.path) for each in alike}
    if len(alike) > len(members) or len(patterns) > 1:
        raise _ambiguous_tensors(members[0], alike)
    if len(alike) < len(members):
        raise _ambiguous_parameters(alike[0], members)


def _numbers(path: str) -> list[int]:
    return [int(digits) for digits in _NUMBER.findall(path)]


def _ambiguous_tensors(parameter: Parameter, alike: list[StoredTensor]) -> _Ambiguous:
    one, two, *_ = (each.path for each in alike)
    return _Ambiguous(parameter.path, one, two, (parameter.path, one))


def _ambiguous_parameters(tensor: StoredTensor, members: list[Parameter]) -> _Ambiguous:
    one, two, *_ = (each.path for each in members)
    return _Ambiguous(tensor.path, one, two, (one, tensor.path))


def _agrees(parameter: Parameter, tensor: StoredTensor) -> bool:
    """Whether the shapes agree, in the layout that the names say."""
    if _is_transposed(parameter, tensor):
        return tensor.shape in _torch_shapes(parameter)
    return tensor.shape == parameter.shape


def _shapes(parameter: Parameter) -> list[Size]:
    """The shapes that a tensor may have to be a parameter, in any layout."""
    return [parameter.shape, *_torch_shapes(parameter)]


def _torch_shapes(parameter: Parameter) -> list[Size]:
    return torch_shapes(attention_matrix(parameter) or parameter.shape)


def _is_transposed(parameter: Parameter, tensor: StoredTensor) -> bool:
    """Whether the tensor has PyTorch's layout and the parameter Keras's, by their names."""
    return "kernel" in parameter.name and "weight" in _parts(tensor.path)[-1]


def _role(name: str) -> str:
    """What a tensor of that name is to its layer, in the words of any framework."""
    return next((role for role, words in _ROLES if any(word in name for word in words)), "weight")


def _parts(path: str) -> list[str]:
    return re.split(r"[/.]", path.removesuffix(":0"))
