"""Models from a user's code: the distributions of all tensors, without drawing them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_args

from initcli.checkpoint import Checkpoint, Subject
from initcli.documents.document import Document
from initcli.errors import CodeError, printable
from initcli.initializers import Initializer
from initcli.initializers.base import Undeclared
from initcli.layers.network import Network
from initcli.model import BuiltLayer, Model
from initcli.sources.code.contents import filled
from initcli.sources.code.live import live
from initcli.sources.code.objects import object_of
from initcli.sources.code.trees import Leaf, described, leaves
from initcli.types import Dtype

if TYPE_CHECKING:
    from initcli.sources.code.jax_recording import Traced
    from initcli.sources.code.torch_recording import Recorder


def load_code(source: str, arguments: Mapping[str, Any], seed: int | None = None) -> Model:
    """The tensors of the model that code builds, each with the initializer that fills it.

    Args:
        source: ``package.module:object`` or ``file.py:object``; a model, a function that returns
            one, or a class.
        arguments: keyword arguments of the function or class.
        seed: seed of what is sampled here, and of a key that the function takes.

    Raises:
        CodeError: the code fails, or returns no model of a known framework.
    """
    with object_of(source, arguments, seed or 0) as make, redirect_stdout(sys.stderr):
        made = _made(make, seed or 0)
        model = _model_of(made, source, seed or 0)
    if model is None:
        message = f"{printable(source)} is of type {type(made.value).__name__}, and has no arrays"
        remedy = "name a module of PyTorch, Keras, Flax or Equinox, or a function that returns one"
        if _is_keras(made.value):
            remedy = "build it first: give it an Input, or call it on one"
        raise CodeError(message, remedy)
    return model


def of(value: Any) -> Subject:
    """The tensors of a model in memory, with their present values.

    All reports on files of weights also work on them. Values are measured in place; only tensors
    that are not contiguous are copied. The states of random generators do not change.

    Args:
        value: a module of PyTorch, a Keras model, a module or pytree of Flax or Equinox, a state
            dict, or any mapping of names to arrays, which may be nested. Arrays are those of NumPy
            or of any library with ``__array__`` or DLPack.

    Raises:
        CodeError: it has no arrays.

    >>> import initcli, numpy
    >>> weights = initcli.of({"dense/kernel": numpy.zeros((3, 4), "float32")})
    >>> [(each.parameter.path, each.measured.zeros) for each in initcli.summarize(weights)]
    [('dense/kernel', 12)]
    """
    if isinstance(value, Mapping):
        tensors = tuple(live(leaf.path, leaf.array) for leaf in leaves(value))
        if tensors:
            return Checkpoint(name="values", file="values", tensors=tensors)
    elif (model := _model_of(_Made(value), type(value).__name__, 0)) is not None:
        return model
    message = f"this {type(value).__name__} has no arrays"
    raise CodeError(message, "pass a module, or a mapping of names to arrays")


@contextmanager
def recording() -> Iterator[None]:
    """Record how PyTorch fills the tensors of models that are built within the ``with`` statement.

    :func:`initcli.of` then also knows the distribution of each. Recording does not change the
    values that are drawn.

    Raises:
        CodeError: PyTorch is not installed.
    """
    try:
        from initcli.sources.code.torch_recording import FOLLOWED
    except ImportError:
        message = "recording needs PyTorch, which is not installed"
        raise CodeError(message, "install torch beside initcli") from None
    with FOLLOWED.following():
        yield


class _Made(NamedTuple):
    """The object that code made, and how its tensors were filled, or why that is not known."""

    value: Any
    recorder: Recorder | None = None
    traced: Traced | None = None
    reason: str = ""


def _made(make: Callable[[], Any], seed: int) -> _Made:
    if "keras" in sys.modules or not _are_imported():
        try:
            value = make()
        except CodeError:
            if not _are_imported():
                raise
        else:
            if _is_keras(value) or not _are_imported():
                return _Made(value)
    try:
        made = _recorded(make)
        late = made.recorder is not None and made.recorder.came_late
        if late and type(made.value).__module__.startswith("transformers"):
            made = _recorded(make)
    except CodeError as error:
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(seed)
        return _Made(make(), reason=error.args[0])  # fails with the author's own error
    return made


def _are_imported() -> bool:
    return "torch" in sys.modules or "jax" in sys.modules


def _recorded(make: Callable[[], Any]) -> _Made:
    """Make an object, and record how its tensors are filled, without memory for them."""
    tracing = recorder = None
    with ExitStack() as stack:
        if "torch" in sys.modules:
            from initcli.sources.code.torch_meta import recorded

            recorder = stack.enter_context(recorded())
        if "jax" in sys.modules:
            from initcli.sources.code.jax_recording import traced

            value, tracing = traced(make)
        else:
            value = make()
    if _is_torch(value):
        tensors = (*value.parameters(), *value.buffers())
        is_new = recorder and any(each.is_meta or recorder.follows(each) for each in tensors)
        return _Made(value, recorder if is_new else None)
    return _Made(value, recorder, tracing)


def _is_torch(value: Any) -> bool:
    """Whether a value is a PyTorch module, and not a Keras model with the PyTorch backend."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module) and not _is_keras(value)


def _is_keras(value: Any) -> bool:
    """Whether a value is a model or a layer of Keras 3, or of Keras 2."""
    modules = (sys.modules.get(name) for name in ("keras", "tf_keras"))
    return any(each is not None and isinstance(value, each.layers.Layer) for each in modules)


def _model_of(made: _Made, source: str, seed: int) -> Model | None:
    """The model of the tensors of an object; None if it has none."""
    value = made.value
    found: Sequence[Leaf]
    notes: list[str] = []
    if _is_torch(value):
        from initcli.sources.code.torch_model import tensors

        found, notes = tensors(value)
    elif _is_keras(value):
        from initcli.sources.code.keras_model import configured, weights

        found = weights(value)
        if (model := configured(value, found, source, seed)) is not None:
            return model
    else:
        found = leaves(value) if made.traced is None else made.traced.leaves
    if not found and not _is_torch(value):
        return None
    initializers, is_live = _filled(made, found)
    layers = described(found, initializers, seed, is_live=is_live)
    if made.reason:
        notes.append(f"its values are measured, because it cannot be recorded: {made.reason}")
    named = source.rpartition(":")[2] if isinstance(value, _CONTAINERS) else type(value).__name__
    return Model(
        name=named,
        seed=seed,
        dtype=_main_dtype(layers),
        defaults="torch" if _is_torch(value) else "flax",
        network=Network(names=(), layers=(), calls=(), inputs=(), outputs=()),
        layers=layers,
        document=Document(source, "", {}, dict, dialect="python"),
        notes=tuple(notes),
    )


_CONTAINERS = (Mapping, list, tuple)


def _main_dtype(layers: Iterable[BuiltLayer]) -> Dtype:
    """The dtype of most entries, among those that a model can have."""
    entries = Counter({"float32": 0})
    for layer in layers:
        for parameter in layer.parameters:
            if parameter.dtype in get_args(Dtype):
                entries[parameter.dtype] += parameter.size
    return cast(Dtype, entries.most_common(1)[0][0])


def _filled(made: _Made, found: Sequence[Leaf]) -> tuple[list[Initializer], bool]:
    """How the arrays were filled, and whether they have values."""
    recorder, traced = made.recorder, made.traced
    if traced is not None:
        shapes = (each.array.shape for each in found)
        return list(map(filled, traced.parts, shapes)), False
    if _is_torch(made.value) or any(getattr(each.array, "is_meta", False) for each in found):
        from initcli.sources.code.torch_model import initializer

        return [initializer(each.array, recorder) for each in found], recorder is None
    return [Undeclared()] * len(found), True
