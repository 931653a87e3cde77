"""Stacks for checks, and what checks say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import initcli
from initcli.checks import Check, Finding, Report, known_checks

CHECKS = [rule for rule in known_checks().values() if rule.code != "I501"]
"""The checks of specs; I501 is about code."""


def of_example(rule: type[Check], text: str, folder: Path) -> initcli.Model:
    """The model of one of a check's own specs, with the initializers that it needs."""
    spec = folder / "spec.yaml"
    spec.write_text(text, encoding="utf-8")
    custom = []
    if code := rule.example("With these initializers"):
        file = folder / "initializers.py"
        file.write_text(code, encoding="utf-8")
        custom = [str(file)]
    return initcli.load(str(spec), custom=custom)


def errors(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.severity == "error"]


def stack(count: int, hidden: dict[str, Any], width: int = 256, inputs: int = 256) -> str:
    """A stack of equal dense layers and a last one."""
    layer = {"type": "Dense", "units": width, **hidden}
    layers = [{"repeat": count, "layers": [layer]}, {"type": "Dense", "units": 10}]
    return json.dumps({"input_shape": [inputs], "layers": layers})
