"""Findings as text and as GitHub annotations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.text import Text

from initcli.checks import Check, Finding, Report
from initcli.errors import InitcliError, InvalidSpec, printable
from initcli.types import SEVERITIES, counted

_COLORS = {"error": "bold red", "warning": "yellow"}


def findings_page(reports: Sequence[Report], not_read: int = 0) -> RenderableType:
    """The findings by code, the worst first: the reason, then each place with its remedy."""
    found = [finding for report in reports for finding in report.findings]
    found.sort(key=lambda each: (SEVERITIES.index(each.severity), each.code))
    parts: list[RenderableType] = []
    for _, group in groupby(found, key=lambda each: (each.severity, each.code)):
        parts += _section(list(group))
    parts.append(Text(total(reports, not_read)))
    return Group(*parts)


def findings_github(
    reports: Sequence[Report], not_read: Mapping[str, InitcliError] = MappingProxyType({})
) -> str:
    """A workflow command for each finding and each error, which GitHub shows at its line."""
    found = [
        _command(
            each.severity,
            {"file": each.file, "line": each.line, "col": each.column},
            f"{each.code} {each.rule}",
            f"{each.message}\n{each.remedy}",
        )
        for report in reports
        for each in report.findings
    ]
    for spec, error in not_read.items():
        for each in error.errors if isinstance(error, InvalidSpec) else ():
            place: dict[str, object] = {"file": spec}
            if each.place is not None:
                file, line, column, _ = each.place
                place = {"file": file, "line": line, "col": column}
            message = f"{each.message}\n{each.remedy}".rstrip("\n")
            found.append(_command("error", place, "this spec is wrong", message))
        if not isinstance(error, InvalidSpec):
            found.append(_command("error", {"file": spec}, "not checked", str(error)))
    return "".join(found)


def _command(severity: str, place: Mapping[str, object], title: str, message: str) -> str:
    where = "".join(f"{name}={_property(str(value))}," for name, value in place.items())
    return f"::{severity} {where}title={_property(title)}::{_data(message)}\n"


def explanation(check: type[Check]) -> RenderableType:
    """The documentation of a check."""
    heading = Text.assemble((check.code, _COLORS[check.severity]), f" {check.name}")
    heading.append(f"  {check.severity}", "dim")
    parts: list[RenderableType] = [heading, Text(""), Text(check.title())]
    for section, text in check.sections().items():
        parts += [Text(""), Text(section, "bold")]
        for number, part in enumerate(re.split(r"^```", text, flags=re.MULTILINE)):
            if number % 2:
                language, _, code = part.partition("\n")
                parts.append(_code(code, language))
            elif part.strip():
                parts.append(Text("\n\n".join(map(_unwrapped, part.strip().split("\n\n")))))
    silence = f"--ignore {check.code} leaves it out, and so does a comment at the line:"
    parts += [Text(""), Text(f"{silence} # initcli: ignore {check.code}", "dim")]
    return Group(*parts)


def _unwrapped(paragraph: str) -> str:
    """A paragraph, or the items of a list, each on one line."""
    return re.sub(r"\n(?!- )\s*", " ", paragraph)


def _section(group: Sequence[Finding]) -> Iterator[RenderableType]:
    first = group[0]
    heading = Text.assemble((first.code, _COLORS[first.severity]), f" {first.rule}")
    heading.append(f"  {first.severity}", "dim")
    yield heading
    yield Padding(Text(first.why, "dim"), (0, 0, 0, 2), expand=False)
    for each in group:
        place = Text(f"{printable(each.file)}:{each.line}:{each.column}", "cyan")
        place.append(f"  {printable(each.layer)}", "bold")
        if len(each.layers) > 1:
            place.append(f" and {len(each.layers) - 1} more, to {printable(each.layers[-1])}")
        yield Padding(place, (0, 0, 0, 2), expand=False)
        yield Padding(Text(printable(each.message)), (0, 0, 0, 4), expand=False)
        remedy = Text(f"= {printable(each.remedy)}", "green")
        if each.fixable:
            remedy.append("  --fix", "dim")
        yield Padding(remedy, (0, 0, 0, 4), expand=False)
    yield Text("")


def total(reports: Sequence[Report], not_read: int) -> str:
    """The number of findings, in a sentence."""
    text = _counted(reports)
    if not_read:
        text += f" {not_read} of {not_read + len(reports)} specs could not be read."
    return text


def _counted(reports: Sequence[Report]) -> str:
    errors = sum(report.errors for report in reports)
    warnings = sum(report.warnings for report in reports)
    fixable = sum(each.fixable for report in reports for each in report.findings)
    if not errors + warnings:
        return "Nothing found."
    counts = (errors, "error"), (warnings, "warning")
    text = f"Found {' and '.join(counted(*each) for each in counts if each[0])}."
    return f"{text} {fixable} fixable with --fix." if fixable else text


def _code(text: str, language: str) -> RenderableType:
    code = Syntax(
        text.rstrip("\n"), language, theme="ansi_dark", background_color="default", word_wrap=True
    )
    return Padding(code, (0, 0, 0, 2), expand=False)


def _data(text: str) -> str:
    """The data of a workflow command, with line ends and control characters escaped."""
    return "%0A".join(printable(line).replace("%", "%25") for line in text.split("\n"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
