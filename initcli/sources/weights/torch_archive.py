"""PyTorch files: zip archives whose pickle is read without executing code.

https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple, NoReturn

from initcli.errors import InvalidSpec, quoted, some
from initcli.limits import NESTING
from initcli.sources.weights import archives
from initcli.sources.weights.archives import Member
from initcli.sources.weights.reader import Contents, WeightsFile, WeightsReader, reach_of
from initcli.stored import StoredTensor
from initcli.types import BYTES, NUMPY

SAVE_ANEW = (
    "load it in PyTorch with torch.load(file, weights_only=True), and save it with "
    "safetensors.torch.save_file"
)
_CONTAINERS = ("state_dict", "model_state_dict", "model", "module", "network", "net", "weights")
"""Keys under which training scripts store weights beside the state of an optimizer."""
_PARALLEL = "module."
"""Prefix that DataParallel and DistributedDataParallel add to each name."""
_DTYPES: dict[str, str] = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    **{name: name for name in BYTES},
}
"""Dtypes by the names of storage classes and dtypes of torch."""


class TorchArchive(WeightsReader):
    """The format of ``torch.save`` since PyTorch 1.6."""

    suffixes = (".pt", ".pth", ".bin", ".ckpt")

    def recognizes(self, file: WeightsFile) -> bool:
        return archives.is_archive(file) and _pickle_in(archives.members(file)) is not None

    def read(self, file: WeightsFile) -> Contents:
        members = archives.members(file)
        main = _pickle_in(members)
        assert main is not None
        text = archives.content(file, main, len(file.header("data.pkl", main.size)))
        data = _Unpickler(file, text).load()
        folder = main.name.removesuffix("data.pkl")
        order = members.get(f"{folder}byteorder")
        is_big = order is not None and archives.content(file, order, 3) == b"big"
        weights, notes = _weights(data)
        named = list(_named(weights, file.path.stem))
        if named and all(path.startswith(_PARALLEL) for path, _ in named):
            named = [(path.removeprefix(_PARALLEL), tensor) for path, tensor in named]
            notes.append(f"the prefix '{_PARALLEL}' of DataParallel is left out of all names")
        return Contents(
            (_stored(file, members, folder, is_big, *each) for each in named), tuple(notes)
        )


class Pickle(WeightsReader):
    """A pickle without an archive, recognized only to give advice."""

    def recognizes(self, file: WeightsFile) -> bool:
        return file.head[:1] == b"\x80" and file.head[1:2] in b"\1\2\3\4\5" and len(file.head) > 2

    def read(self, file: WeightsFile) -> NoReturn:
        raise file.refused(
            "this is a pickle, which is not read because it can execute any code", SAVE_ANEW
        )


def _pickle_in(members: dict[str, Member]) -> Member | None:
    names = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
    return members[min(names, key=len)] if names else None


class _Kind(NamedTuple):
    """Stand-in for a class of storages, or for a dtype."""

    name: str


class _Bytes(NamedTuple):
    """Stand-in for a storage: the name of its member, and its dtype."""

    key: str
    dtype: str


class _View(NamedTuple):
    """Stand-in for a tensor: a view of a storage."""

    storage: _Bytes
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


class _Mapping(dict[Any, Any]):
    """Stand-in for an OrderedDict, without attributes such as ``_metadata``."""

    def __setstate__(self, state: object) -> None:
        pass


def _mapping() -> _Mapping:
    return _Mapping()


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *others: Any) -> _View:
    if not isinstance(storage, _Bytes) or type(offset) is not int or offset < 0:
        raise ValueError("a tensor without a storage")
    if len(shape) != len(strides) or not all(type(each) is int for each in (*shape, *strides)):
        raise ValueError("a tensor without a shape")
    kind = next((each for each in others if isinstance(each, _Kind)), None)
    dtype = storage.dtype if kind is None else _DTYPES.get(kind.name, kind.name)
    return _View(storage, offset, tuple(shape), tuple(strides), dtype)


def _first(tensor: Any, *_: Any) -> Any:
    return tensor


_INERT: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _mapping,
    ("torch._utils", "_rebuild_tensor"): _view,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch._utils", "_rebuild_tensor_v3"): _view,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch._utils", "_rebuild_parameter_with_state"): _first,
    ("torch", "Size"): tuple,
    ("torch", "device"): _first,
    ("torch.storage", "UntypedStorage"): _Kind("UntypedStorage"),
}
"""Harmless stand-ins for the names that a pickle of tensors uses."""

_OPCODES = (
    *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.NONE),
    *(pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2),
    *(pickle.LONG1, pickle.BINFLOAT, pickle.BINUNICODE, pickle.SHORT_BINUNICODE),
    *(pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.BINBYTES, pickle.SHORT_BINBYTES),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT, pickle.SETITEM),
    *(pickle.SETITEMS, pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BUILD),
    *(pickle.BINGET, pickle.LONG_BINGET, pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE),
    pickle.BINPERSID,
)
"""The opcodes that ``torch.save`` writes for tensors in mappings, lists and tuples."""


class _Unpickler(pickle._Unpickler):
    """Builds only mappings, lists, numbers and stand-ins of tensors.

    It derives from the unpickler in Python, because the one in C allocates a memo of any size.
    """

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: WeightsFile, text: bytes) -> None:
        super().__init__(io.BytesIO(text), encoding="latin1")
        self.weights_file = file

    def load(self) -> Any:
        """The content of the pickle.

        Raises:
            InvalidSpec: it needs more than the stand-ins, or is damaged.
        """
        try:
            return super().load()
        except InvalidSpec:
            raise
        except Exception:  # a damaged pickle can raise anything
            raise self.weights_file.refused("its data.pkl is damaged", SAVE_ANEW) from None

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name."""
        if (module, name) in _INERT:
            return _INERT[module, name]
        if module != "torch":
            raise self.weights_file.refused(
                f"its pickle has {quoted(f'{module}.{name}')}, but only tensors, numbers, texts, "
                "mappings and lists are read",
                SAVE_ANEW,
            )
        return _Kind(name)

    def persistent_load(self, pid: Any) -> _Bytes:
        """The stand-in for a storage."""
        kind, storage, key = pid[:3]
        if kind != "storage" or not isinstance(storage, _Kind) or not isinstance(key, str):
            raise ValueError("no storage")
        return _Bytes(key, _DTYPES.get(storage.name, storage.name))

    def load_setitem(self) -> None:
        """Set an item of a mapping."""
        value, key = self.stack.pop(), self.stack.pop()
        self._set(self.stack[-1], [key, value])

    def load_setitems(self) -> None:
        """Set items of a mapping."""
        self._set(*reversed((self.pop_mark(), self.stack[-1])))

    def _set(self, mapping: Any, items: list[Any]) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing nested tuples can take exponential time.
            if not isinstance(mapping, dict) or not isinstance(key, str | int | float | None):
                raise ValueError("not a mapping with strings or numbers as keys")
            mapping[key] = value

    dispatch: ClassVar[dict[int, Any]] = {
        **{code[0]: pickle._Unpickler.dispatch[code[0]] for code in _OPCODES},
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }


def _weights(data: Any) -> tuple[Any, list[str]]:
    """The part of a file with the weights, and notes on the rest."""
    if not isinstance(data, dict):
        return data, []
    key = next((key for key in _CONTAINERS if isinstance(data.get(key), dict)), None)
    if key is not None:
        shown, others = data[key], [each for each in data if each != key]
    else:
        shown = {each: data[each] for each in data if "optim" not in str(each)}
        others = [each for each in data if each not in shown]
    if not others:
        return shown, []
    where = "" if key is None else f"the weights are those under {quoted(key)}; "
    return shown, [f"{where}not shown: {some([quoted(each) for each in others])}"]


def _named(data: Any, alone: str) -> Iterator[tuple[str, _View]]:
    """The tensors in nested mappings and lists, named by their keys."""
    pending: list[tuple[tuple[str, ...], Any]] = [((), data)]
    opened: set[int] = set()
    while pending:
        path, value = pending.pop()
        if isinstance(value, _View):
            yield ".".join(path) or alone, value
        elif isinstance(value, dict | list | tuple) and id(value) not in opened:
            # A value that occurs again is skipped, because it may contain itself.
            opened.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            inner = [((*path, str(key)), each) for key, each in items]
            if len(path) < NESTING:
                pending += reversed(inner)


def _stored(
    file: WeightsFile,
    members: dict[str, Member],
    folder: str,
    is_big: bool,
    path: str,
    view: _View,
) -> StoredTensor:
    shape, strides, dtype = file.checked_shape(path, view.shape), view.strides, view.dtype
    if dtype not in NUMPY:
        return file.tensor(path, shape, dtype)
    member = members.get(f"{folder}data/{view.storage.key}")
    if member is None or member.offset is None:
        raise file.refused(f"the values of {quoted(path)} are not in this archive")
    size, reach = math.prod(shape), reach_of(shape, strides)
    if size and min(strides, default=0) < 0:
        raise file.refused(f"{quoted(path)} has the strides {quoted(strides)}")
    if size > max(reach, _REPEATED):
        raise file.refused(f"{quoted(path)} repeats {reach:,} values {size:,} times in all")
    itemsize = BYTES[dtype]
    if (view.offset + reach) * itemsize > member.size:
        raise file.refused(f"{quoted(path)} is not within its storage")
    # Strides of axes of one entry, or of no entries, mean nothing.
    plain = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    is_plain = all(n == 1 or a == b for n, a, b in zip(shape, strides, plain, strict=True))
    offset, strided = member.offset + view.offset * itemsize, strides if size else None
    return file.tensor(
        path, shape, dtype, offset, big_endian=is_big, strides=None if is_plain else strided
    )


_REPEATED = 1 << 24
"""Maximum number of entries of a tensor with repeated values, such as one of ``expand``."""
