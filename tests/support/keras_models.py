"""Models of Keras, and what Keras makes of them."""

from __future__ import annotations

from typing import Any

from support.paths import facts


def models(keras: str) -> dict[str, Any]:
    known: dict[str, Any] = facts(f"{keras}_models.json.gz")["models"]
    return known
