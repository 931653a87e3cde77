"""Files of the checkout that tests read."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_configs"
TOUR = SAMPLES / "tour.yaml"
REFERENCE = ROOT / "tests" / "reference"


@cache
def facts(name: str) -> Any:
    """The content of a JSON (perhaps gzipped) or YAML file in tests/reference."""
    raw = (REFERENCE / name).read_bytes()
    if name.endswith(".yaml"):
        return yaml.load(raw, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return json.loads(gzip.decompress(raw) if name.endswith(".gz") else raw)
