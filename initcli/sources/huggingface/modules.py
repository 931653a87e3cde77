"""The modules of a described model: names, shapes and initializers of their tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from initcli.initializers import Constant, Initializer, RandomNormal
from initcli.initializers.given import Box, Parts, Values
from initcli.types import Size, TensorDtype


class Tensor(NamedTuple):
    """One tensor of a module, see :class:`initcli.parameter.Parameter`."""

    shape: Size
    initializer: Initializer
    contracts: tuple[int, ...] | None = None
    produces: tuple[int, ...] | None = None
    trainable: bool = True
    dtype: TensorDtype | None = None


class Module(NamedTuple):
    """A module that holds tensors itself."""

    name: str
    kind: str
    tensors: dict[str, Tensor]


class TooManyModules(Exception):
    """The configuration declares more modules than the limit allows."""


def normal(std: float) -> Initializer:
    """N(0, std²); with a std of 0, zeros."""
    return RandomNormal(mean=0.0, stddev=std) if std else ZERO


def frequencies(width: int, base: float = 1e4) -> Tensor:
    """The frequencies of rotary positions, one for each pair of entries of a head."""
    rates = base ** (-np.arange(0, width, 2) / width)
    return Tensor(rates.shape, Values(numbers=rates.tobytes()), trainable=False)


def sinusoids(shape: Size) -> Initializer:
    """Sines, then cosines, of positions at wavelengths from 2π to 20,000π."""
    rows, width = shape
    angles = np.outer(np.arange(rows), 1e4 ** (-np.arange(0, width, 2) / width))
    waves = np.concatenate([np.sin(angles), np.cos(angles[:, : width // 2])], axis=1)
    return Values(numbers=waves.tobytes())


ZERO, ONE = Constant(value=0.0), Constant(value=1.0)


class Modules:
    """Modules in order, and the names of tied tensors.

    ``std`` is the standard deviation of weights that are added without one.
    """

    def __init__(self, std: float, limit: int) -> None:
        self.std = std
        self.limit = limit
        self.modules: list[Module] = []
        self.ties: dict[str, str] = {}
        self._scope = ""

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Prefix the names of modules that are added within; an empty name adds nothing."""
        outer = self._scope
        self._scope = f"{outer}{name}." if name else outer
        yield
        self._scope = outer

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Add modules without a prefix."""
        outer, self._scope = self._scope, ""
        yield
        self._scope = outer

    @contextmanager
    def filled_by(self, std: float) -> Iterator[None]:
        """Use another standard deviation for weights that are added within."""
        outer, self.std = self.std, std
        yield
        self.std = outer

    def add(self, name: str, kind: str, **tensors: Tensor) -> None:
        """Add a module; an empty name stands for the module that is being described."""
        if len(self.modules) >= self.limit:
            raise TooManyModules
        if tensors:
            full = f"{self._scope}{name}" if name else self._scope.removesuffix(".")
            self.modules.append(Module(full, kind, tensors))

    def tie(self, name: str, first: str) -> None:
        """Give a tensor a second name; both are full."""
        self.ties[name] = first

    def tie_within(self, name: str, first: str, scope: str) -> None:
        """Give a tensor a second name, both relative to the module that holds ``scope``."""
        outer = self._scope.removesuffix(f"{scope}.") if scope else self._scope
        self.tie(f"{self._scope}{name}", f"{outer}{first}")

    def linear(
        self,
        name: str,
        inputs: int,
        outputs: int,
        bias: bool = True,
        std: float | None = None,
        initializer: Initializer | None = None,
    ) -> None:
        """A torch.nn.Linear: weight (outputs, inputs), bias (outputs,)."""
        weight = Tensor((outputs, inputs), initializer or self.drawn(std), (1,), (0,))
        self.add(name, "Linear", weight=weight, **_bias(outputs, bias))

    def conv1d(
        self, name: str, inputs: int, outputs: int, bias: bool = True, std: float | None = None
    ) -> None:
        """A Conv1D of transformers, which is a Linear with its weight transposed."""
        weight = Tensor((inputs, outputs), self.drawn(std), (0,), (1,))
        self.add(name, "Conv1D", weight=weight, **_bias(outputs, bias))

    def convolution(
        self,
        name: str,
        inputs: int,
        outputs: int,
        kernel: Size,
        bias: bool = True,
        initializer: Initializer | None = None,
    ) -> None:
        """A torch.nn.Conv of as many axes as its kernel: weight (outputs, inputs, *kernel)."""
        axes = tuple(range(2, 2 + len(kernel)))
        filled = initializer or self.drawn()
        weight = Tensor((outputs, inputs, *kernel), filled, (1, *axes), (0, *axes))
        self.add(name, f"Conv{len(kernel)}d", weight=weight, **_bias(outputs, bias))

    def embedding(
        self,
        name: str,
        rows: int,
        width: int,
        padding: int | None = None,
        std: float | None = None,
    ) -> None:
        """A table (rows, width) whose row ``padding`` is 0."""
        initializer = self.drawn(std)
        if padding is not None:
            whole = Box(starts=(0, 0), stops=(rows, width), initializer=initializer)
            row = Box(starts=(padding, 0), stops=(padding + 1, width), initializer=ZERO)
            initializer = Parts(boxes=(whole, row))
        self.add(name, "Embedding", weight=Tensor((rows, width), initializer, (), (1,)))

    def norm(self, name: str, width: int, kind: str = "LayerNorm", start: float = 1.0) -> None:
        """A normalization with a scale that starts at ``start``; a LayerNorm also has a bias."""
        scale = Tensor((width,), Constant(value=start))
        self.add(name, kind, weight=scale, **_bias(width, kind == "LayerNorm"))

    def batch_norm(self, name: str, width: int, initializer: Initializer = ONE) -> None:
        """A torch.nn.BatchNorm2d; the initializer fills its scale."""
        self.add(
            name,
            "BatchNorm2d",
            weight=Tensor((width,), initializer),
            bias=Tensor((width,), ZERO),
            running_mean=Tensor((width,), ZERO, trainable=False),
            running_var=Tensor((width,), ONE, trainable=False),
            num_batches_tracked=Tensor((), ZERO, trainable=False, dtype="int64"),
        )

    def drawn(self, std: float | None = None) -> Initializer:
        """The initializer N(0, std²) of a weight, by default with the std of most weights."""
        return normal(self.std if std is None else std)


def _bias(size: int, has_bias: bool) -> dict[str, Tensor]:
    return {"bias": Tensor((size,), ZERO)} if has_bias else {}
