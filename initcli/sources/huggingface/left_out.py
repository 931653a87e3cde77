"""Parts of a configuration that the computation of its signal leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from initcli.errors import quoted
from initcli.sources.huggingface.config import Config

_CAPS = {
    "attn_logit_softcapping": "the soft cap of attention scores",
    "final_logit_softcapping": "the soft cap of logits",
    "attn_logit_cap": "the soft cap of attention scores",
}
_WINDOWS = ("sliding_window", "local_attention", "window_size")
_ROTARY = ("rope_parameters", "rope_scaling")
_PLAIN = ("default", None)


def left_out(config: Config, tokens: int) -> Iterator[str]:
    """Notes on soft caps, on windows narrower than the input, and on scaled rotary positions.

    Args:
        config: the configuration.
        tokens: length of the input whose signal is followed.
    """
    for key, what in _CAPS.items():
        if config.value(key):
            yield f"the signal leaves out {what}, `{key}`, which is {quoted(config.value(key))}"
    is_wide = config.value("use_sliding_window") is False
    for key in _WINDOWS:
        window = config.value(key)
        if type(window) is int and 0 < window < tokens and not is_wide:
            yield (
                f"the signal leaves out the window of attention, `{key}`: it reaches over all "
                f"{tokens:,} tokens, not {window:,}"
            )
    for key in _ROTARY:
        for kind in dict.fromkeys(_kinds(config.value(key))):
            if kind not in _PLAIN:
                yield f"the signal leaves out the scaling of rotary positions, {quoted(kind)}"


def _kinds(parameters: Any) -> Iterator[Any]:
    """The kinds of rotary positions, for each kind of layer if they differ."""
    if isinstance(parameters, Mapping):
        yield parameters.get("rope_type", parameters.get("type"))
        for each in parameters.values():
            if isinstance(each, Mapping):
                yield each.get("rope_type", each.get("type"))
