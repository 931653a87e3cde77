"""Checks of stored values: each finds what was planted and leaves sound files alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from initcli.checks import Check, Report, check
from support.stacks import VALUE_CHECKS, of_value_example


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.mark.parametrize("rule", VALUE_CHECKS, ids=lambda rule: rule.code)
def test_a_check_reports_one_of_its_examples_and_not_the_other(
    rule: type[Check], tmp_path: Path
) -> None:
    report = check(of_value_example(rule.example("Reported"), tmp_path))
    # Nothing else is wrong with the example.
    assert set(codes(report)) == {rule.code}
    found = report.findings[0]
    assert found.tensor is not None
    assert found.tensor in found.message
    assert re.search(r"\d", found.message)
    assert found.why == rule.why()
    assert found.remedy
    assert re.search(r"\d{4}|#\d+", rule.sections()["References"]), "a paper or an issue says so"
    assert check(of_value_example(rule.example("Not reported"), tmp_path)).findings == ()
