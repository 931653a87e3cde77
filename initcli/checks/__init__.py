"""Checks: what is wrong with how a model's weights start, where, why, and what to write instead."""

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
