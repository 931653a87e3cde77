"""Operations on tensors: what ``x + y`` or ``x[:, 0]`` becomes in a Functional Keras model.

An operation has no weights. Where a rule knows the shape that its function gives, that is its
output's; else it is the one that the file records.
"""

from __future__ import annotations

from typing import Any

import msgspec

from initcli.activations import Activation, known_activations
from initcli.layers.base import Role, known_layers
from initcli.layers.computations import computation
from initcli.layers.core import Recorded
from initcli.layers.flow import Flow
from initcli.layers.operation_shapes import ARGUMENTS_MAKE_NO_SENSE, shape_of
from initcli.types import Array, NotComputable, Shape


class Operation(Recorded, frozen=True, kw_only=True):
    """One of Keras's operations, such as Add or GetItem, called on its inputs.

    ``kind`` is what the type of its layer is called where that is something else.

    ``arguments`` and ``keywords`` are those of the call, in which ``{input: k}`` stands for input
    k; ``shapes`` are the outputs' as they were recorded.
    """

    function: str
    kind: str | None = None
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = msgspec.field(default_factory=dict)

    def output_shape(self, *inputs: Shape) -> Shape | list[Shape]:
        found = shape_of(self.function, self.arguments, self.keywords, inputs)
        # The file may know what no rule does.
        return Recorded.output_shape(self) if found is None else found

    def call(self, flow: Flow, *inputs: Array) -> Any:
        positional = [_with_arrays(value, inputs) for value in self.arguments]
        keywords = {name: _with_arrays(value, inputs) for name, value in self.keywords.items()}
        function = computation(flow.xp, self.function)
        if function is None:
            raise NotComputable(f"initcli does not compute the operation {self.function}")
        try:
            return _as_precise(function(*positional, **keywords), inputs)
        except ARGUMENTS_MAKE_NO_SENSE as error:
            what = f"the operation {self.function} cannot be computed"
            raise NotComputable(f"{what}: {error}") from None

    def acts_as(self) -> Role | None:
        same = known_layers().get(self.function)
        return same.role if same is not None and same.merges else None

    @property
    def last_activation(self) -> Activation | None:
        same = known_activations().get(self.function.lower())
        return None if same is None else same()

    @property
    def type_name(self) -> str:
        return self.kind or self.function


def _as_precise(found: Any, inputs: tuple[Array, ...]) -> Any:
    """What comes out, in the precision of what went in: NumPy makes float64 of whole numbers."""
    if isinstance(found, list):
        return [_as_precise(each, inputs) for each in found]
    is_wide = any(str(x.dtype) == "float64" for x in inputs)
    return found.astype("float32") if str(found.dtype) == "float64" and not is_wide else found


def _with_arrays(value: Any, inputs: tuple[Array, ...]) -> Any:
    """An argument with its arrays in place."""
    if isinstance(value, dict) and set(value) == {"input"}:
        return inputs[value["input"]]
    if isinstance(value, list | tuple):
        return [_with_arrays(each, inputs) for each in value]
    return value
