"""The model that a configuration declares: every tensor of the library's class, not drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast, get_args

import msgspec

from initcli.documents.document import Document
from initcli.errors import (
    NotCovered,
    Path,
    SignalError,
    TooManyErrors,
    did_you_mean,
    listed,
    quoted,
)
from initcli.layers.core import Opaque
from initcli.layers.network import Network
from initcli.limits import in_force, remedy
from initcli.model import BuiltLayer, Model
from initcli.parameter import Parameter
from initcli.sources.building import build
from initcli.sources.huggingface.config import Config
from initcli.sources.huggingface.entries import NotComputed, unrolled
from initcli.sources.huggingface.family import Family, known_families
from initcli.sources.huggingface.left_out import left_out
from initcli.sources.huggingface.modules import Module, Modules, TooManyModules
from initcli.sources.huggingface.stack import Stack
from initcli.types import Dtype

_MAX_ENTRIES = 2**63
"""A tensor of PyTorch has fewer entries."""

_CLASSIFYING = ("LM", "LMHeadModel", "ForConditionalGeneration", "Classification")
"""Suffixes of the names of classes whose outputs are logits."""

VERSION = "transformers 5.24"
"""The version whose classes are described."""


def described(document: Document, seed: int | None) -> Model:
    """The tensors of the model that a ``config.json`` declares, each with its initializer.

    Names and shapes are those of the library's class in memory.

    Raises:
        InvalidSpec: the model type is unknown, or values are wrong; it lists all of them.
    """
    declared = _declared(document)
    try:
        return _described(document, declared, seed or 0)
    except TooManyErrors:
        raise document.invalid(declared.family.config.errors) from None


class Computed(NamedTuple):
    """The data of a spec that computes what the class of a described model does."""

    spec: dict[str, Any]
    """Its blocks are repeated ones. Every initializer is that of the described tensor."""
    notes: tuple[str, ...]
    placeholders: tuple[str, ...]
    """Notes on weights whose initializer no spec can write."""


def spec_of(model: Model, holds: bool = True) -> Computed:
    """The spec of what the class of a described model computes.

    Args:
        model: the described model.
        holds: whether entries hold the weights of what is not computed.

    Raises:
        SignalError: no layer describes a part of the class.
        InvalidSpec: a value of the configuration is wrong, or there are too many layers.
    """
    document = model.document
    family, _, head, _ = _declared(document)
    family.describe(head)
    stack = Stack(family.modules.modules, holds)
    try:
        family.compute(stack, head)
        entries = stack.finished()
    except TooManyModules:
        message = f"the signal of this model has more than {in_force().layers:,} layers"
        raise document.refused(message, (), remedy("layers")) from None
    except NotComputed as error:
        if family.config.errors:
            raise document.invalid(family.config.errors) from None
        message = f"the signal of {model.name} is not known: no layer describes {error}"
        known = "`summary`, `hist`, `check --weights` and `export` know its tensors"
        raise SignalError(message, known) from None
    if family.config.errors:
        raise document.invalid(family.config.errors)
    spec = {"name": model.name, "seed": model.seed, "dtype": model.dtype, "layers": entries}
    notes = (*stack.notes, *left_out(family.config, family.num_tokens))
    return Computed(spec, notes, tuple(stack.placeholders))


def sizes_of(document: Document) -> tuple[dict[Path, int], frozenset[Path]]:
    """The sizes of a configuration and its parts by path, with defaults, and the paths of widths.

    Raises:
        InvalidSpec: the family is not known.
    """
    sizes: dict[Path, int] = {}
    widths: set[Path] = set()
    for family in _with_parts(_declared(document).family):
        config, keys = family.config, set(family.width_keys)
        for key in dict.fromkeys((*config.defaults, *config.data)):
            name, value = config.written(config.aliases.get(key, key))
            is_list = isinstance(value, list | tuple)
            for index, each in enumerate(value if is_list else [value]):
                if type(each) is int and each > 0:
                    path = (*config.path, name, index) if is_list else (*config.path, name)
                    sizes[path] = each
                    if name in keys or config.aliases.get(name) in keys:
                        widths.add(path)
    return sizes, frozenset(widths)


def with_parts(document: Document) -> Document:
    """The document with the configurations of parts that it leaves to the library."""
    family = _declared(document).family
    left = {key: family.given_to(key) for key in family.parts if key != family.flat_part}
    missing = {key: given for key, given in left.items() if document.data.get(key) is None}
    return replace(document, data={**document.data, **missing}) if missing else document


def _with_parts(family: Family) -> Iterator[Family]:
    yield family
    for key in family.parts:
        yield from _with_parts(family.part(key))


def computed(model: Model) -> Model:
    """The described model with initcli's layers, named as the library's modules.

    Raises:
        SignalError: no layer describes a part of the class.
        InvalidSpec: a value of the configuration is wrong.
    """
    # What is not computed needs no weights, and a spec cannot fill some of them.
    spec, notes, _ = spec_of(model, holds=False)
    spec["layers"] = unrolled(spec["layers"])
    document = model.document
    built = build(Document(document.file, "", spec, dict))
    loss = "cross_entropy" if model.name.endswith(_CLASSIFYING) else None
    return msgspec.structs.replace(
        built, document=document, notes=(*model.notes, *notes), loss=loss
    )


class _Declared(NamedTuple):
    """The class that a configuration declares."""

    family: Family
    name: str
    """The class's name."""
    head: str
    """Its suffix."""
    notes: list[str]
    """Notes on the choice of the class."""


def _declared(document: Document) -> _Declared:
    kind = _family(document)
    model_type = document.data["model_type"]
    name, head, notes = _class(document, kind.ends_of(model_type))
    config = Config(document, kind.defaults_of(model_type), kind.aliases_of(model_type))
    family = kind(model_type, config, Modules(0.02, in_force().layers))
    family.modules.std = family.std
    return _Declared(family, name, head, notes)


def _described(document: Document, declared: _Declared, seed: int) -> Model:
    family = declared.family
    config, modules = family.config, family.modules
    try:
        family.describe(declared.head)
    except TooManyModules:
        message = f"this model has more than {modules.limit:,} modules with tensors"
        raise document.refused(message, (), remedy("layers")) from None
    sizes = {
        f"{module.name}.{name}": tensor.shape
        for module in modules.modules
        for name, tensor in module.tensors.items()
    }
    largest = max(sizes, key=lambda name: math.prod(sizes[name]), default="")
    if largest and math.prod(sizes[largest]) >= _MAX_ENTRIES:
        config.errors.report(f"`{largest}` has the shape {sizes[largest]}, which is too large")
    dtype = _dtype(config)
    if config.errors:
        raise document.invalid(config.errors)
    ties = (f"{name} is {first}: one tensor with two names" for name, first in modules.ties.items())
    return Model(
        name=declared.name,
        seed=seed,
        dtype=dtype,
        defaults="torch",
        network=Network(names=(), layers=(), calls=(), inputs=(), outputs=()),
        layers=tuple(_layer(each, seed, dtype) for each in modules.modules),
        document=document,
        notes=(*declared.notes, *config.notes, *ties),
        ties=modules.ties,
    )


def _layer(module: Module, seed: int, dtype: Dtype) -> BuiltLayer:
    return BuiltLayer(
        name=module.name,
        layer=Opaque(kind=module.kind, output_shape_="recorded"),
        parameters=tuple(_parameters(module, seed, dtype)),
    )


def _parameters(module: Module, seed: int, dtype: Dtype) -> Iterator[Parameter]:
    for name, tensor in module.tensors.items():
        yield Parameter(
            path=f"{module.name}.{name}" if module.name else name,
            shape=tensor.shape,
            initializer=tensor.initializer,
            trainable=tensor.trainable,
            dtype=tensor.dtype or dtype,
            keeps_dtype=tensor.dtype is not None,
            seed=seed,
            contracts=tensor.contracts,
            produces=tensor.produces,
        )


def _family(document: Document) -> type[Family]:
    families = known_families()
    name = document.data.get("model_type")
    if isinstance(name, str) and name in families:
        return families[name]
    if name is None:
        message = "this configuration has no `model_type`, which says what the model is"
        raise document.refused(message, (), _covered(families))
    own = document.data.get("auto_map")
    code = f"; its code ({_named(own)}) is not run" if own else ""
    error = NotCovered(
        f"the model type {quoted(name)} is not covered{code}",
        remedy=did_you_mean(name, families) or _covered(families),
        path=("model_type",),
    )
    raise document.invalid([error])


def _covered(families: Mapping[str, type[Family]]) -> str:
    return f"covered are {listed(sorted(families), 'and')}"


def _named(auto_map: Any) -> str:
    """The first class of a configuration's own code."""
    values = list(auto_map.values()) if isinstance(auto_map, Mapping) else [auto_map]
    return quoted(next((each for each in values if isinstance(each, str)), auto_map))


def _class(document: Document, ends: Mapping[str, str]) -> tuple[str, str, list[str]]:
    """The class's name, its suffix, and notes on the choice."""
    data, notes = document.data, []
    if data.get("auto_map"):
        own = _named(data["auto_map"])
        notes.append(f"the model's own code, {own}, is not run: this is the class of {VERSION}")
    given = data.get("architectures")
    name = given[0] if isinstance(given, list) and given else given
    if name is None or name == []:
        name = next(iter(ends))
        notes.append(f"no `architectures`: {name} is taken")
    elif not isinstance(name, str) or name not in ends:
        path = ("architectures", 0) if isinstance(given, list) else ("architectures",)
        kind = data["model_type"]
        message = f"the architecture {quoted(name)} of the model type {quoted(kind)} is not covered"
        error = NotCovered(message, remedy=f"covered are {listed(ends, 'and')}", path=path)
        raise document.invalid([error])
    return name, ends[name], notes


def _dtype(config: Config) -> Dtype:
    if config.is_null("dtype"):
        return "float32"
    return cast(Dtype, config.word("dtype", get_args(Dtype)))
