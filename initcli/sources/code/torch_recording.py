"""How PyTorch fills tensors, without allocating or drawing them.

A model is built on the meta device, where tensors have shapes but no entries. For each storage the
recorder keeps what was written to it and where: nothing, a distribution, or known values. Values
that depend on no random number are computed, because code may depend on them. A distribution is
followed through copies, slices and arithmetic with constants. Any other operation makes random
entries unknown, and its name is kept.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from initcli.initializers import Constant, Initializer, Orthogonal, RandomNormal
from initcli.initializers.base import Undrawn, Whole
from initcli.initializers.given import SparseColumns, Uninitialized, Unknown
from initcli.sources.code.contents import (
    MAX_COMPUTED,
    UNARY,
    Computed,
    Content,
    Part,
    are_alike,
    are_signs,
    arithmetic,
    clamped,
    erfinv,
    is_random,
    joined,
    mapped,
    moved,
    plain,
    scaled,
    signs,
    unknown,
    whole,
)
from initcli.sources.code.torch_draws import drawn, is_draw
from initcli.sources.code.torch_draws import truncated as truncated_normal
from initcli.sources.code.torch_partial import PARTIAL, partial
from initcli.sources.code.torch_storage import Storage, View, values_of

_POWERS = {2: "square", 0.5: "sqrt", -1: "reciprocal"}
_SAME = {"clone", "_to_copy", "detach_copy", "contiguous", "alias_copy", "lift_fresh_copy"}
_SLICED = {"cat", "stack", "repeat", "index_select", "repeat_interleave", "constant_pad_nd"}
_CREATED_EMPTY = {
    f"{prefix}empty{suffix}" for prefix in ("", "new_") for suffix in ("", "_strided")
} | {"empty_like", "empty_permuted"}


class Recorder(TorchDispatchMode):  # type: ignore[misc]  # PyTorch may be missing
    """Records every write to a tensor while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self._storages: dict[int, Storage] = {}
        self.came_late = False
        """Whether transformers was imported only after recording began."""

    @contextmanager
    def following(self) -> Iterator[None]:
        """Record operations on tensors that have memory."""
        with self.rules(draws=True), self:
            yield
        self._storages = {
            key: each for key, each in self._storages.items() if not each.reference.expired()
        }

    @contextmanager
    def rules(self, *, draws: bool) -> Iterator[None]:
        """Record initializers of PyTorch that cannot be followed operation by operation.

        Args:
            draws: whether tensors have memory, so that the initializers also draw.
        """
        draw_truncated, draw_sparse = torch.nn.init._no_grad_trunc_normal_, torch.nn.init.sparse_

        def truncated(
            tensor: torch.Tensor, mean: float, std: float, a: float, b: float, generator: Any = None
        ) -> torch.Tensor:
            if draws:
                draw_truncated(tensor, mean, std, a, b, generator)
            self.write(tensor, truncated_normal(mean, std, a, b))
            return tensor

        def sparse(
            tensor: torch.Tensor, sparsity: float, std: float = 0.01, generator: Any = None
        ) -> torch.Tensor:
            if draws:
                draw_sparse(tensor, sparsity, std, generator)
            self.write(tensor, SparseColumns(sparsity=sparsity, stddev=std))
            return tensor

        with (
            mock.patch("torch.nn.init._no_grad_trunc_normal_", truncated),
            mock.patch("torch.nn.init.sparse_", sparse),
        ):
            yield

    def follows(self, tensor: torch.Tensor) -> bool:
        """Whether a write to a tensor was recorded."""
        return _is_tensor(tensor) and _key(tensor) in self._storages

    def parts(self, tensor: torch.Tensor) -> list[Part]:
        """The boxes of a tensor and their contents."""
        storage, view = self._storage_of(tensor), View.of(tensor)
        if storage is None:
            return [Part(whole(view.shape), self._given(tensor))]
        return storage.parts(view)

    def content(self, tensor: torch.Tensor) -> Content:
        """The content of all entries of a tensor."""
        storage = self._storage_of(tensor)
        return self._given(tensor) if storage is None else storage.content(View.of(tensor))

    def _storage_of(self, tensor: torch.Tensor) -> Storage | None:
        """The storage of a tensor with entries of its size; None if it is not followed."""
        storage = self._storages.get(_key(tensor))
        if storage is None or storage.itemsize == tensor.element_size():
            return storage
        return storage.cast(tensor)

    def write(self, tensor: torch.Tensor, content: Content) -> None:
        """Record that a tensor is overwritten."""
        storage = self._storage_of(tensor) or Storage(tensor, self._given(tensor))
        storage.write(View.of(tensor), content)
        self._storages[_key(tensor)] = storage

    def _resized(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Resize a tensor; new entries of its storage follow the old ones."""
        tensor = args[0]
        old = self._storage_of(tensor) or Storage(tensor, self._given(tensor.clone()))
        result = func(*args, **kwargs)
        grown = Storage(tensor, place())
        if grown.size > old.size:
            grown.writes += old.writes
            self._storages[_key(tensor)] = grown
        return result

    def _given(self, tensor: torch.Tensor) -> Content:
        """The content of a tensor to which no write was recorded."""
        if tensor.is_meta:
            return Unknown(operation="a tensor made before the model")
        return Computed(tensor)

    def values(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The values of a tensor; None if some are random."""
        if not tensor.is_meta and _key(tensor) not in self._storages:
            return tensor
        values = values_of(self.parts(tensor), View.of(tensor).shape)
        return None if values is None else values.to(tensor.dtype)

    def _number(self, tensor: torch.Tensor) -> float | None:
        """The number that all entries equal; None if they differ or are not known."""
        values = self.values(tensor)
        if values is None or values.numel() == 0 or values.is_complex():
            return None
        first = values.flatten()[0]
        return float(first) if bool((values == first).all()) else None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        tensors = [each for each in tree_flatten((args, kwargs))[0] if _is_tensor(each)]
        if name in {"_local_scalar_dense", "item", "equal", "is_nonzero", "allclose"}:
            values = [self.values(each) for each in tensors]
            if all(each is not None for each in values):
                return func(*self._real(args), **self._real(kwargs))
        if name in {"resize_", "resize_as_"}:
            return self._resized(func, args, kwargs)
        moves = func.is_view or torch.Tag.inplace_view in func.tags
        if moves or name in {"detach", "alias", "lift_fresh", "set_"}:
            return func(*_on_meta(tensors, args), **_on_meta(tensors, kwargs))
        if func._schema.is_mutable and not name.endswith("_"):
            # The former content of an output is not read.
            outputs = _mutated(func, args, kwargs)
            read = [each for each in tensors if not any(each is output for output in outputs)]
        else:
            read = tensors
        known = [
            content if _is_plain(tensor) else moved(content)
            for tensor, content in zip(read, map(self.content, read), strict=True)
        ]
        computed = self._computed(func, args, kwargs, tensors)
        try:
            result = func(*_on_meta(tensors, args), **_on_meta(tensors, kwargs))
        except NotImplementedError:
            if not computed:
                raise
            # The shape of the result depends on values.
            made = tuple(map(_to_meta, computed))
            result = made if len(func._schema.returns) > 1 else made[0]
        outputs = [each for each in tree_flatten(result)[0] if _is_tensor(each)]
        written = _mutated(func, args, kwargs) or outputs
        is_real = not any(each.is_meta for each in written)
        if is_real and not is_draw(func) and name.rstrip("_") not in _CREATED_EMPTY:
            touched = (_key(each) for each in (*tensors, *written))
            if not any(key in self._storages for key in touched):
                return result
        if name in PARTIAL and computed is None and self._write_partly(func, args):
            return args[0]
        for index, output in enumerate(written):
            if computed is not None:
                self.write(output, _constant_or(computed[index]))
            elif is_draw(func):
                self.write(output, drawn(func, args, kwargs, self._number))
            else:
                self.write(output, self._after(name, index, args, kwargs, read, known))
        return args[0] if name.endswith("_") and written and args[0] is written[0] else result

    def _write_partly(self, func: Any, args: Any) -> bool:
        """Record a write to some entries; return False if it is not known to which."""
        write = partial(func, args, self.values)
        if write is None:
            return False
        content: Content
        if _is_tensor(write.source):
            content = self.content(write.source)
            name = func._schema.name.partition("::")[2]
            content = _spread(content, write.source.numel(), write.size, name)
        else:
            content = Constant(value=float(write.source))
        if isinstance(content, Computed | Whole):
            return False
        for view in write.views:
            self.write(view, moved(content))
        return True

    def _real(self, tree: Any) -> Any:
        return tree_map(lambda each: self.values(each) if _is_tensor(each) else each, tree)

    def _computed(
        self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]
    ) -> list[torch.Tensor] | None:
        """The values that an operation writes; None if it reads random ones."""
        name = func._schema.name.partition("::")[2]
        if name.rstrip("_") in _CREATED_EMPTY or is_draw(func):
            return None
        outputs = _mutated(func, args, kwargs)
        overwrites = name in {"zero_", "fill_", "copy_"} or (
            func._schema.is_mutable and not name.endswith("_")
        )
        values: dict[int, torch.Tensor] = {}
        for tensor in tensors:
            if overwrites and any(tensor is each for each in outputs):
                if tensor.numel() > MAX_COMPUTED:
                    return None
                values[id(tensor)] = torch.zeros(View.of(tensor).shape, dtype=tensor.dtype)
                continue
            real = self.values(tensor)
            if real is None:
                return None
            values[id(tensor)] = real.clone() if real is tensor else real
        created = kwargs.get("size", args[0] if args else None)
        if not tensors and _entries(created) > MAX_COMPUTED:
            return None

        def real_of(each: Any) -> Any:
            if _is_tensor(each):
                return values[id(each)]
            return torch.device("cpu") if isinstance(each, torch.device) else each

        real_args, real_kwargs = tree_map(real_of, (args, kwargs))
        try:
            result = func(*real_args, **real_kwargs)
        except (RuntimeError, NotImplementedError, TypeError, ValueError):
            return None
        mutated = _mutated(func, real_args, real_kwargs)
        return mutated or [each for each in tree_flatten(result)[0] if _is_tensor(each)]

    def _after(
        self,
        name: str,
        index: int,
        args: Any,
        kwargs: dict[str, Any],
        tensors: list[torch.Tensor],
        known: list[Content],
    ) -> Content:
        """The content that an operation writes, from the contents that it reads."""
        operation = name.rstrip("_")
        if operation in _CREATED_EMPTY:
            return place()
        if name in {"zero_", "zeros", "zeros_like", "new_zeros"}:
            return Constant(value=0.0)
        if name in {"ones", "ones_like", "new_ones"}:
            return Constant(value=1.0)
        if name in {"fill_", "full", "full_like", "new_full"}:
            value = _argument(args, kwargs, 1, "value", "fill_value")
            real = self.values(value) if _is_tensor(value) else torch.tensor(value)
            if real is not None and real.numel() == 1:
                return Constant(value=float(real))
        if name == "copy_" and len(known) > 1:
            return _spread(known[1], tensors[1].numel(), tensors[0].numel(), name)
        if operation in _SAME and known:
            return known[0]
        if operation in _SLICED and known:
            first = known[0]
            keeps = operation in {"cat", "stack", "index_select"} and not isinstance(first, Whole)
            return joined(known) if keeps and are_alike(known) else unknown(known, operation)
        if operation in {"mul", "div", "add", "sub", "rsub", "neg"} and known:
            return self._affine(operation, args, kwargs, tensors, known)
        if operation == "linalg_qr" and index == 0:
            match plain(known[0]):
                case RandomNormal(mean=0.0):
                    return Orthogonal()
        if operation in {"sign", "sgn"}:
            return signs(known[0])
        if operation == "pow":
            exponent = _argument(args, kwargs, 1, "exponent")
            operation = _POWERS.get(exponent, operation)
            if operation == "pow" and isinstance(exponent, int | float):
                return mapped(known[0], operation, exponent)
        if operation in UNARY:
            return mapped(known[0], operation)
        if operation == "erfinv":
            return erfinv(known[0])
        if operation == "clamp" and known:
            low, high = _argument(args, kwargs, 1, "min"), _argument(args, kwargs, 2, "max")
            return clamped(
                known[0], -math.inf if low is None else low, math.inf if high is None else high
            )
        return unknown(known, operation)

    def _affine(
        self,
        name: str,
        args: Any,
        kwargs: dict[str, Any],
        tensors: list[torch.Tensor],
        known: list[Content],
    ) -> Content:
        """Arithmetic of distributions and numbers."""
        if name == "neg":
            return scaled(known[0], -1.0, 0.0)
        size = math.prod(torch.broadcast_shapes(*(each.shape for each in tensors)))
        read = iter(zip(tensors, known, strict=True))
        operands: list[Content | float] = []
        for each in args[:2]:
            operand = self._operand(*next(read), size) if _is_tensor(each) else each
            if not isinstance(operand, Initializer | Computed | int | float):
                return unknown(known, name)
            operands.append(float(operand) if isinstance(operand, int) else operand)
        if kwargs.get("rounding_mode"):
            return unknown(known, name)
        one, two = operands if name != "rsub" else reversed(operands)
        alpha = kwargs.get("alpha", 1)
        if alpha != 1:
            two = two * alpha if isinstance(two, float) else scaled(two, alpha, 0.0)
        if isinstance(one, float) and isinstance(two, float):
            one = Constant(value=one)
        return arithmetic(name.replace("rsub", "sub"), one, two)

    def _operand(self, tensor: torch.Tensor, content: Content, size: int) -> Content | float | None:
        """An operand of arithmetic with ``size`` results; None if they would hold copies of it."""
        if is_random(content):
            return content if tensor.numel() == size or are_signs(content) else None
        return content.value if isinstance(content, Constant) else self._number(tensor)


def _spread(content: Content, size: int, into: int, name: str) -> Content:
    """The content of a tensor into which another one is copied."""
    repeats = size != into
    if repeats and is_random(content) and not isinstance(content, Undrawn):
        return Unknown(operation=f"{name.rstrip('_')} of fewer entries")
    return content


def _constant_or(values: torch.Tensor) -> Content:
    flat = values.flatten()
    is_even = flat.numel() > 0 and not flat.is_complex() and bool(flat[0] == flat[-1])
    if is_even and bool((flat == flat[0]).all()):
        return Constant(value=float(flat[0]))
    return Computed(values)


def _argument(args: Sequence[Any], kwargs: dict[str, Any], index: int, *names: str) -> Any:
    for name in names:
        if name in kwargs:
            return kwargs[name]
    return args[index] if len(args) > index else None


def _mutated(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The tensors that an operation overwrites according to its schema."""
    found = []
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = kwargs.get(argument.name, args[index] if index < len(args) else None)
            found += [each for each in tree_flatten(value)[0] if _is_tensor(each)]
    return found


def _entries(size: Any) -> int:
    if isinstance(size, list | tuple) and all(isinstance(each, int) for each in size):
        return math.prod(size)
    return 0


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor has all entries of its storage in their order."""
    size = tensor.untyped_storage().nbytes() // max(tensor.element_size(), 1)
    return bool(tensor.is_contiguous()) and tensor.numel() == size


def _is_tensor(each: Any) -> bool:
    return isinstance(each, torch.Tensor) and each.layout == torch.strided


def _on_meta(tensors: list[torch.Tensor], tree: Any) -> Any:
    """The arguments, on the meta device if one of their tensors is."""
    return tree_map(_to_meta, tree) if any(each.is_meta for each in tensors) else tree


def _to_meta(each: Any) -> Any:
    if isinstance(each, torch.device):
        return torch.device("meta")
    return each.to("meta") if _is_tensor(each) and not each.is_meta else each


def _key(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def place() -> Uninitialized:
    """Memory that is allocated by the innermost line outside PyTorch."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in ("torch", "initcli", "contextlib"):
            break
        frame = frame.f_back
    code = frame.f_code
    return Uninitialized(file=code.co_filename, line=frame.f_lineno, function=code.co_qualname)


FOLLOWED = Recorder()
"""The recorder of tensors that have memory."""
