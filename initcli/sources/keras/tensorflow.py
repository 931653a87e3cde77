"""TensorFlow functions in files of Keras 2, under the names of Keras 3's operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES = {
    "reduce_mean": "Mean",
    "reduce_sum": "Sum",
    "reduce_max": "Max",
    "reduce_min": "Min",
    "reduce_prod": "Prod",
    "reduce_std": "Std",
    "reduce_variance": "Var",
    "reduce_any": "Any",
    "reduce_all": "All",
    "concat": "Concatenate",
    "sub": "Subtract",
    "mul": "Multiply",
    "pow": "Power",
    "neg": "Negative",
    "truediv": "Divide",
    "floordiv": "FloorDivide",
    "getitem": "GetItem",
    "gather": "Take",
    "clip_by_value": "Clip",
    "l2_normalize": "Normalize",
    "shape": "ShapeOf",
    "rank": "SizeOf",
    "size": "SizeOf",
    "eq": "Equal",
    "ne": "NotEqual",
    "add_n": "Add",
    "floor_div": "FloorDivide",
    "floormod": "Mod",
    "atan2": "Arctan2",
    "reverse": "Flip",
    "bias_add": "Add",
    "clip_by_norm": "Clip",
    "reduce_logsumexp": "Logsumexp",
}
_KEYWORDS = {
    "perm": "axes",
    "paddings": "pad_width",
    "multiples": "repeats",
    "num_or_size_splits": "indices_or_sections",
    "depth": "num_classes",
    "equation": "subscripts",
    "slice_spec": "key",
    "keep_dims": "keepdims",
}


def operation_of_tensorflow(
    config: Mapping[str, Any], keywords: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The operation and keywords of a function such as ``math.reduce_mean``.

    A function without a counterpart keeps its name, and its output has the recorded shape.
    """
    function = config.get("function")
    full = function if isinstance(function, str) else str(config.get("name", "operation"))
    last = full.rpartition(".")[2]
    name = _NAMES.get(last, "".join(part.capitalize() for part in last.split("_")))
    given = {_KEYWORDS.get(key, key): value for key, value in keywords.items()}
    if name == "Reshape" and "shape" in given:
        given["newshape"] = given.pop("shape")
    sections = given.get("indices_or_sections")
    if name == "Split" and isinstance(sections, list):
        # TensorFlow gives the sizes of the parts, Keras where they end.
        ends: list[int] = []
        for size in sections[:-1]:
            if not isinstance(size, int):
                return full, given
            ends.append((ends[-1] if ends else 0) + size)
        given["indices_or_sections"] = ends
    return name or full, given
