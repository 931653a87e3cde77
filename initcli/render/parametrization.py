"""Multipliers and learning rates of a parametrization, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.console import RenderableType

from initcli.errors import printable
from initcli.initializers import Rescaled
from initcli.parameter import Parameter
from initcli.render.columns import Column, in_columns


def parametrization_table(parameters: Iterable[Parameter], *, width: int) -> RenderableType | None:
    """A line for each parameter that the parametrization changes; None if there is none."""
    factors: dict[str, Callable[[Parameter], float]] = {
        "scale": _scale,
        "multiplier": lambda each: each.multiplier,
        "Adam rate": lambda each: each.adam_rate,
        "SGD rate": lambda each: each.sgd_rate,
    }
    rows = [p for p in parameters if any(value(p) != 1 for value in factors.values())]
    if not rows:
        return None

    def column(heading: str, value: Callable[[Parameter], float]) -> Column:
        return Column(heading, lambda each: f"{value(each):.4g}")

    names = [Column("parametrization of", lambda each: printable(each.path))]
    return in_columns(names, [column(*each) for each in factors.items()], rows, width)


def _scale(parameter: Parameter) -> float:
    """The factor on the initial values of the spec."""
    made = parameter.initializer
    return made.times if isinstance(made, Rescaled) else 1.0
