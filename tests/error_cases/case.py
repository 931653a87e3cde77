"""What a case is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest


@dataclass(frozen=True, eq=False)
class Case:
    """What is done, with which files, and what else is the matter."""

    title: str
    command: str = ""
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    cause: Callable[[pytest.MonkeyPatch], None] | None = None
    call: Callable[[], object] | None = None


DENSE = "input_shape: [3]\nlayers: [{type: Dense, units: 2}]\n"
