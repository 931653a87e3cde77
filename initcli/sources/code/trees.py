"""Arrays in mappings and in modules of Flax and Equinox, and their layers."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from initcli.checkpoint import Tensors
from initcli.errors import CodeError
from initcli.initializers import Initializer
from initcli.layers import Layer
from initcli.layers.core import Opaque
from initcli.model import BuiltLayer
from initcli.parameter import Parameter
from initcli.sources.code.live import dtype_of, is_array, live

Axes = tuple[int, ...] | None
_MAX_DEPTH = 200


class Leaf(NamedTuple):
    """An array, the module that directly holds it, and whether it is trained.

    ``axes`` are those that it sums over and produces, if they are known.
    """

    path: str
    array: Any
    owner: Any = None
    trainable: bool = True
    axes: tuple[Axes, Axes] | None = None


def leaves(value: Any) -> tuple[Leaf, ...]:
    """The arrays of a value, in its order.

    Names of attributes are joined by dots, as in Flax NNX and Equinox, and keys of mappings by
    slashes, as in Flax Linen, whose collection ``params`` is left out. Random keys are left out.

    Raises:
        CodeError: the value is a module of Flax Linen, which has no arrays, or contains itself.
    """
    found = tuple(_leaves(value, (), None))
    if not isinstance(value, Mapping) or "params" not in value:
        return found
    names = [each.path.removeprefix("params/") for each in found]
    if max(Counter(names).values(), default=0) > 1:
        names = [each.path for each in found]
    return tuple(
        leaf._replace(path=name, trainable=leaf.path.startswith("params/"))
        for leaf, name in zip(found, names, strict=True)
    )


def _leaves(value: Any, path: tuple[Any, ...], owner: Any) -> Iterator[Leaf]:
    if len(path) > _MAX_DEPTH:
        raise CodeError(f"its values are nested more than {_MAX_DEPTH} deep")
    if _is_instance(value, "flax.nnx", "Variable"):
        if not _is_instance(value, "flax.nnx", "RngState"):
            yield from _leaves(value.get_value(), path, owner)
    elif is_array(value):
        if not _is_key(value):
            yield Leaf(_joined(path), value, owner)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, (*path, key), owner)
    elif _is_instance(value, "flax.linen", "Module"):
        raise CodeError(
            "a module of Flax Linen has no parameters before it is initialized with an input",
            "name a function that returns module.init(key, inputs)",
        )
    elif _is_instance(value, "flax.nnx", "Module"):
        yield from _of_nnx(value, path)
    elif (jax := sys.modules.get("jax")) is not None:
        children = jax.tree_util.tree_flatten_with_path(value, lambda each: each is not value)[0]
        for keys, each in children:
            if not keys:
                continue
            # A box with metadata, such as nn.Partitioned, has no name of its own.
            own = () if hasattr(value, "unbox") else tuple(map(_key, keys))
            is_module = any(isinstance(each, _Attribute) for each in own)
            yield from _leaves(each, (*path, *own), value if is_module else owner)


class _Attribute(str):
    """The name of an attribute."""


def _key(key: Any) -> Any:
    """The name in a key of a pytree."""
    if hasattr(key, "name"):
        return _Attribute(key.name)
    return getattr(key, "key", getattr(key, "idx", str(key)))


def _joined(path: Sequence[Any]) -> str:
    separator = "." if any(isinstance(each, _Attribute) for each in path) else "/"
    # A key can be a tuple of names, as in the statistics of Flax.
    parts = (
        separator.join(map(str, each)) if isinstance(each, tuple) else str(each) for each in path
    )
    return separator.join(parts) or "values"


def _of_nnx(module: Any, path: tuple[Any, ...]) -> Iterator[Leaf]:
    """The variables of a module of Flax NNX, in the order of its attributes."""
    nnx = sys.modules["flax.nnx"]
    found = []
    for keys, variable in nnx.state(module).flat_state():
        value = variable.get_value() if hasattr(variable, "get_value") else variable
        if isinstance(variable, nnx.RngState) or not is_array(value) or _is_key(value):
            continue
        owner, places = module, []
        for key in keys:
            names = list(map(str, owner if isinstance(owner, Mapping) else vars(owner)))
            places.append(names.index(str(key)) if str(key) in names else len(names))
            if key is not keys[-1]:
                is_attribute = isinstance(key, str) and not isinstance(owner, Mapping)
                owner = getattr(owner, key) if is_attribute else owner[key]
        name = _joined((*path, *(_Attribute(each) for each in keys)))
        found.append((places, Leaf(name, value, owner, isinstance(variable, nnx.Param))))
    found.sort(key=lambda each: each[0])
    yield from (leaf for _, leaf in found)


def _is_instance(value: Any, module: str, name: str) -> bool:
    """Whether a value is an instance of a class of a module, if that is imported."""
    return module in sys.modules and isinstance(value, getattr(sys.modules[module], name))


def _is_key(array: Any) -> bool:
    return str(array.dtype).startswith("key<")


def described(
    found: Sequence[Leaf], initializers: Iterable[Initializer], seed: int, *, is_live: bool
) -> tuple[BuiltLayer, ...]:
    """The arrays as parameters, a layer for each module that holds some.

    ``is_live`` is whether the arrays have values, which are then those of the parameters.
    """
    parameters = []
    for leaf, initializer in zip(found, initializers, strict=True):
        dtype, shape = dtype_of(leaf.array), tuple(map(int, leaf.array.shape))
        contracts, produces = leaf.axes or _axes(leaf)
        parameters.append(
            Parameter(
                path=leaf.path,
                shape=shape,
                initializer=initializer,
                stored=live(leaf.path, leaf.array) if is_live else None,
                trainable=leaf.trainable and ("float" in dtype or "complex" in dtype),
                dtype=dtype,
                keeps_dtype=True,
                seed=seed,
                contracts=contracts,
                produces=produces,
            )
        )
    owners = {leaf.path: leaf.owner for leaf in found}
    layers = []

    def name_of(parameter: Parameter) -> str:
        owner = owners[parameter.path]
        return parameter.scope or (parameter.path if owner is None else type(owner).__name__)

    for name, members in groupby(parameters, name_of):
        own = tuple(members)
        owner = owners[own[0].path]
        layer: Layer = Tensors()
        if owner is not None:
            layer = Opaque(kind=type(owner).__name__, output_shape_="recorded")
        layers.append(BuiltLayer(name=name, layer=layer, parameters=own))
    return tuple(layers)


def _axes(leaf: Leaf) -> tuple[Axes, Axes]:
    """The axes that a weight sums over and produces, if the module is of Flax or Equinox."""
    framework, kind = type(leaf.owner).__module__.partition(".")[0], type(leaf.owner).__name__
    name, rank = leaf.path.replace("/", ".").rpartition(".")[2], len(leaf.array.shape)
    match framework, kind, name:
        case "equinox", "Embedding", "weight":
            return (), (1,)
        case "equinox", "Linear" | "GRUCell" | "LSTMCell", "weight" | "weight_ih" | "weight_hh":
            return ((1,), (0,)) if rank == 2 else (None, None)
        case "equinox", "Conv" | "Conv1d" | "Conv2d" | "Conv3d", "weight":
            kernel = tuple(range(2, rank))
            return (1, *kernel), (0, *kernel)
        case "flax", "Embed", "embedding":
            return (), (1,)
        case "flax", "Linear" | "Conv", "kernel":
            kernel = tuple(range(len(getattr(leaf.owner, "kernel_size", ()))))
            inner = len(kernel)
            return ((*kernel, inner), (*kernel, inner + 1)) if rank == inner + 2 else (None, None)
        case "flax", "LinearGeneral", "kernel":
            before, inputs = len(leaf.owner.batch_axis), len(leaf.owner.in_features)
            inside = before + inputs
            if rank == inside + len(leaf.owner.out_features):
                return tuple(range(before, inside)), tuple(range(inside, rank))
    return None, None
