"""Whose default initializers: what a layer receives where the spec names none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from initcli.layers import Parameter

Framework = Literal["keras", "torch", "flax"]


def with_defaults(
    framework: Framework, parameters: Iterable[Parameter]
) -> tuple[list[Parameter], list[str]]:
    """The parameters of one layer as that framework starts them, and what it does otherwise."""
    return list(parameters), []
