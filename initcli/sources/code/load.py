"""Models from a person's own code: the distributions of all tensors, with nothing drawn."""

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
from initcli.layers.network import Network
from initcli.model import BuiltLayer, Model
from initcli.sources.code.contents import filled
from initcli.sources.code.live import live
from initcli.sources.code.objects import object_of
from initcli.sources.code.trees import Leaf, leaves
from initcli.sources.code.trees import described as described_tree
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
        CodeError: the code fails, or returns no model of a framework that is known.
    """
    with object_of(source, arguments, seed or 0) as make, redirect_stdout(sys.stderr):
        made = _made(make, seed or 0)
        model = _model_of(made, source, seed or 0)
    if model is None:
        message = f"{printable(source)} is of type {type(made.value).__name__}, and holds no arrays"
        remedy = "name a module of PyTorch, Keras, Flax or Equinox, or a function that returns one"
        if _is_keras(made.value):
            remedy = "build it before: give it an Input, or call it on one"
        raise CodeError(message, remedy)
    return model


def of(value: Any) -> Subject:
    """The tensors of a model in memory, with the values that they have now.

    What a report says of a file, it says of them: they are measured where they lie, and nothing is
    copied as a whole unless it lies in no order. Generators of random numbers stay as they are.

    Args:
        value: a module of PyTorch, a Keras model, a module or pytree of Flax or Equinox, a state
            dict, or any mapping of names to arrays, which may be nested. Arrays are those of NumPy
            or of any library with ``__array__`` or DLPack.

    Raises:
        CodeError: it holds no arrays.

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
    message = f"this {type(value).__name__} holds no arrays"
    raise CodeError(message, "pass a module, or a mapping of names to arrays")


@contextmanager
def recording() -> Iterator[None]:
    """Record how PyTorch fills the tensors of models that are built within the ``with`` statement.

    :func:`initcli.of` then also knows the distribution that each was drawn from. Values are drawn
    as without it.

    Raises:
        CodeError: PyTorch is not installed.
    """
    try:
        from initcli.sources.code.torch_recording import FOLLOWED
    except ImportError:
        message = "what is recorded is PyTorch, which is not installed"
        raise CodeError(message, "install torch beside initcli") from None
    with FOLLOWED.following():
        yield


class _Made(NamedTuple):
    """What code made, how its tensors were filled where that was recorded, and why it was not."""

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
        return _Made(make(), reason=error.args[0])  # fails as it would for its author
    return made


def _are_imported() -> bool:
    return "torch" in sys.modules or "jax" in sys.modules


def _recorded(make: Callable[[], Any]) -> _Made:
    """What code makes without memory for it; its values, if they were made before."""
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
    """Whether a value is a module of PyTorch, and not Keras's model in PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module) and not _is_keras(value)


def _is_keras(value: Any) -> bool:
    """Whether a value is a model or a layer of Keras 3, or of Keras 2."""
    modules = (sys.modules.get(name) for name in ("keras", "tf_keras"))
    return any(each is not None and isinstance(value, each.layers.Layer) for each in modules)


def _model_of(made: _Made, source: str, seed: int) -> Model | None:
    """A model with the tensors of an object; None if it holds none."""
    value = made.value
    notes: tuple[str, ...] = ()
    if _is_torch(value):
        from initcli.sources.code.torch_model import described

        layers, notes = described(value, made.recorder, seed)
    else:
        found = leaves(value) if made.traced is None else made.traced.leaves
        if _is_keras(value):
            from initcli.sources.code.keras_model import configured, weights

            found = weights(value)
            if (model := configured(value, found, source, seed)) is not None:
                return model
        if not found:
            return None
        layers = described_tree(found, _initializers(made, found), seed)
    if made.reason:
        notes += (f"its values are measured, since without memory {made.reason}",)
    named = source.rpartition(":")[2] if isinstance(value, _CONTAINERS) else type(value).__name__
    return Model(
        name=named,
        seed=seed,
        dtype=_main_dtype(layers),
        defaults="torch" if _is_torch(value) else "flax",
        network=Network(names=(), layers=(), calls=(), inputs=(), outputs=()),
        layers=layers,
        document=Document(source, "", {}, dict, dialect="python"),
        notes=notes,
    )


_CONTAINERS = (Mapping, list, tuple)


def _main_dtype(layers: Iterable[BuiltLayer]) -> Dtype:
    """The dtype of most entries, among those of a model."""
    entries = Counter({"float32": 0})
    for layer in layers:
        for parameter in layer.parameters:
            if parameter.dtype in get_args(Dtype):
                entries[parameter.dtype] += parameter.size
    return cast(Dtype, entries.most_common(1)[0][0])


def _initializers(made: _Made, found: Sequence[Leaf]) -> list[Initializer] | None:
    """How the arrays were filled; None if that was not recorded."""
    if made.traced is not None:
        return [
            filled(each, leaf.array.shape)
            for each, leaf in zip(made.traced.parts, found, strict=True)
        ]
    if made.recorder is not None and any(getattr(each.array, "is_meta", False) for each in found):
        from initcli.sources.code.torch_model import initializer

        return [initializer(made.recorder, each.array) for each in found]
    return None
