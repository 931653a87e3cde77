"""The line above a table: the name of what it is about, and facts."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from initcli.checkpoint import Subject
from initcli.errors import printable
from initcli.reports.tensors import model_facts


def separator(ascii_only: bool) -> str:
    """What is between the parts of a line."""
    return " - " if ascii_only else " · "


def heading(name: str, facts: Iterable[str], ascii_only: bool) -> Text:
    """A name with facts."""
    between = separator(ascii_only)
    return Text.assemble((printable(name), "bold"), (between + between.join(facts), "dim"))


def model_heading(model: Subject, ascii_only: bool) -> Text:
    """A model with the facts that determine its values."""
    facts = separator(ascii_only).join(model_facts(model))
    return Text.assemble((printable(model.name), "bold"), "  ", (facts, "dim"))
