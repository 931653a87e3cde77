"""Operations on tensors: what ``x + y`` or ``x[:, 0]`` becomes in a Functional Keras model.

An operation has no weights. Its output shape follows from a rule for its function, or is the one
that the file records.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from initcli.activations import Activation, known_activations
from initcli.layers.base import Layer, Role
from initcli.layers.computations import computation
from initcli.layers.core import Recorded
from initcli.layers.flow import Flow
from initcli.layers.operation_shapes import ARGUMENTS_MAKE_NO_SENSE, shape_of
from initcli.registry import known
from initcli.types import Array, NotComputable, Shape, doc


class Operation(Recorded, frozen=True, kw_only=True):
    """A Keras operation, such as Add or GetItem, called on its inputs."""

    function: Annotated[str, doc("Name of the operation in Keras.")]
    kind: Annotated[str | None, doc("Name of the layer's type, if not that of the operation.")] = (
        None
    )
    arguments: Annotated[
        tuple[Any, ...], doc("Positional arguments; {input: k} stands for input k.")
    ] = ()
    keywords: Annotated[
        dict[str, Any], doc("Keyword arguments; {input: k} stands for input k.")
    ] = msgspec.field(default_factory=dict)

    def output_shape(self, *inputs: Shape) -> Shape | list[Shape]:
        found = shape_of(self.function, self.arguments, self.keywords, inputs)
        # The file may record what no rule knows.
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
        same = known(Layer).get(self.function)
        return same.role if same is not None and same.merges else None

    @property
    def last_activation(self) -> Activation | None:
        same = known_activations().get(self.function.lower())
        return None if same is None else same()

    @property
    def type_name(self) -> str:
        return self.kind or self.function


def _as_precise(found: Any, inputs: tuple[Array, ...]) -> Any:
    """An output in the precision of the input; NumPy converts integers to float64."""
    if isinstance(found, list):
        return [_as_precise(each, inputs) for each in found]
    is_wide = any(str(x.dtype) == "float64" for x in inputs)
    return found.astype("float32") if str(found.dtype) == "float64" and not is_wide else found


def _with_arrays(value: Any, inputs: tuple[Array, ...]) -> Any:
    """An argument with arrays in place of references."""
    if isinstance(value, dict) and set(value) == {"input"}:
        return inputs[value["input"]]
    if isinstance(value, list | tuple):
        return [_with_arrays(each, inputs) for each in value]
    return value
