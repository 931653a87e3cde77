"""Checks: problems in how a model's weights start, with place, reason and remedy."""

from initcli.checks.base import Check, Finding
from initcli.checks.fixing import Fixed, check, fix
from initcli.checks.judging import Report, chosen_checks
from initcli.checks.rules import known_checks

__all__ = [
    "Check",
    "Finding",
    "Fixed",
    "Report",
    "check",
    "chosen_checks",
    "fix",
    "known_checks",
]
