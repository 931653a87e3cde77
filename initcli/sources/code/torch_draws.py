"""Distributions of the random operations of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from initcli.initializers import Constant, RandomNormal, RandomUniform, TruncatedNormal
from initcli.initializers.given import Unknown
from initcli.sources.code.contents import Content, draw_of, mapped


def is_draw(func: Any) -> bool:
    """Whether an operation draws random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags


def drawn(
    func: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    number: Callable[[torch.Tensor], float | None],
) -> Content:
    """The content that an operation draws.

    Args:
        func: one for which :func:`is_draw` holds.
        args: its arguments.
        kwargs: its arguments by name.
        number: gives the number that all entries of a tensor equal, or None.
    """
    name = func._schema.name.partition("::")[2]
    names, content = _DRAWN.get(name, ((), None))
    given = dict(zip((each.name for each in func._schema.arguments), args, strict=False)) | kwargs
    numbers = []
    for each in func._schema.arguments:
        if each.name in names:
            value = given.get(each.name, each.default_value)
            numbers.append(number(value) if isinstance(value, torch.Tensor) else value)
    if content is None or None in numbers:
        return Unknown(operation=name.rstrip("_"))
    return content(*numbers)


def truncated(mean: float, std: float, low: float, high: float) -> Content:
    """The content that ``torch.nn.init.trunc_normal_`` draws."""
    if not std:
        return Constant(value=min(max(mean, low), high))
    lower, upper = (low - mean) / std, (high - mean) / std
    return draw_of(TruncatedNormal(mean=mean, stddev=std, lower=lower, upper=upper))


def _normal(mean: float, std: float) -> Content:
    return draw_of(RandomNormal(mean=float(mean), stddev=float(std)))


def _uniform(low: float, high: float) -> Content:
    return draw_of(RandomUniform(minval=float(low), maxval=float(high)))


def _exponential(rate: float) -> Content:
    drawn = mapped(mapped(_uniform(-1.0, 0.0), "log1p"), "neg")
    return mapped(drawn, "div", rate)


_DRAWN: dict[str, tuple[Sequence[str], Callable[..., Content]]] = {
    **dict.fromkeys(("normal", "normal_"), (("mean", "std"), _normal)),
    **dict.fromkeys(("uniform", "uniform_"), (("from", "to"), _uniform)),
    **dict.fromkeys(("randn", "randn_like"), ((), lambda: _normal(0.0, 1.0))),
    **dict.fromkeys(("rand", "rand_like"), ((), lambda: _uniform(0.0, 1.0))),
    "log_normal_": (("mean", "std"), lambda mean, std: mapped(_normal(mean, std), "exp")),
    "exponential_": (("lambd",), _exponential),
}
