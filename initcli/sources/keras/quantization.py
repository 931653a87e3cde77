"""How a layer of a Keras file is quantized, by its dtype policy and its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MODES = ("int8", "int4", "float8", "gptq", "awq")


def policy_in(value: Any) -> Mapping[str, Any]:
    """The configuration of a dtype policy, or of the default of a map of policies."""
    config = value.get("config") if isinstance(value, Mapping) else None
    if isinstance(config, Mapping) and "default_policy" in config:
        default = config["default_policy"]
        return policy_in(default) if isinstance(default, Mapping) else {"name": default}
    return config if isinstance(config, Mapping) else {}


def quantization_of(config: Mapping[str, Any]) -> str | None:
    """The scheme of a layer, such as ``int4/128``; None for floating-point weights.

    The policy is an object with a ``mode``, or a name such as ``int8_from_float32``. For int4, the
    layer's own ``quantization_config`` has the block size of the scales.
    """
    value = config.get("dtype")
    policy = policy_in(value) if isinstance(value, Mapping) else {"name": value}
    mode = policy.get("mode")
    if not isinstance(mode, str):
        name = policy.get("name")
        mode, *source = name.split("_from_") if isinstance(name, str) else ("",)
        if not source:
            return None
    if mode.partition("/")[0] not in _MODES:
        return None
    if mode == "float8" and isinstance(length := policy.get("amax_history_length"), int):
        return f"float8/{length}"
    own = config.get("quantization_config")
    inner = own.get("config") if isinstance(own, Mapping) else None
    if mode.startswith("int4") and isinstance(inner, Mapping) and "block_size" in inner:
        return f"int4/{-1 if inner['block_size'] is None else inner['block_size']}"
    return mode
