"""Arguments to try for each layer type."""

from __future__ import annotations

from typing import Any

from support.paths import facts


def layer_cases() -> dict[str, list[Any]]:
    """Input shapes without the batch, and arguments, by layer type: asked of Keras, and own."""
    cases = facts("layer_cases.yaml")
    return {**cases["accepted"], **cases["own"]}
