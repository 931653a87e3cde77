"""The command check."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from initcli.cli.completion import checks
from initcli.cli.loading import Loading
from initcli.cli.options import (
    Html,
    Theory,
    format_option,
    items,
    report_text,
)
from initcli.cli.terminal import complain, console, patience, printed, say, write, write_own
from initcli.render.formats import FINDINGS_FORMATS

if TYPE_CHECKING:
    from initcli.checks import Report
    from initcli.checks.fixing import Fixed
    from initcli.errors import InitcliError


_CODES = "Codes, prefixes of codes or names, such as I2,I101. Repeatable."


def check(
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SPEC...", help="Specs or files of weights to check, or - for standard input."
        ),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE,...",
            help=f"Checks to run. {_CODES}",
            show_default="all",
            autocompletion=checks,
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE,...", help="Checks to skip.", autocompletion=checks),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Explain a check and exit.", autocompletion=checks),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write fixes into the specs, and check again.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Print the changes of --fix without making them.")
    ] = False,
    format: Annotated[str, format_option(FINDINGS_FORMATS)] = "table",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 1 for warnings too.")
    ] = False,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Number of examples to measure.", show_default="64 or 16"),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Number of draws to measure.", show_default="3"),
    ] = None,
    theory: Theory = False,
    *,
    loading: Loading,
    html: Html = None,
) -> None:
    """Find problems of the initialization, and how to fix them.

    For a file or folder of weights, the stored values are checked, and compared with the
    config.json next to them, if any.

    The signal is measured if that takes at most a few seconds, or with --batch or --draws;
    otherwise it is predicted. The exit status is 1 if there are errors.

    Examples:
      initcli check model.yaml
      initcli check model.yaml --diff
      initcli check model.safetensors
      initcli check --explain I101
    """
    if explain is not None:
        _explain(explain)
        return
    if not specs:
        raise typer.BadParameter(
            "name a spec, such as model.yaml, or - for standard input", param_hint="SPEC"
        )
    if theory and (batch or draws):
        message = "nothing is sampled, so --batch and --draws have no effect"
        raise typer.BadParameter(message, param_hint="--theory")
    for option, given in (("--set", loading.settings), ("--weights", loading.weights)):
        if given and (fix or diff):
            message = "it cannot be used with --fix or --diff, which change the file of the spec"
            raise typer.BadParameter(message, param_hint=option)
    if fix or diff:
        from initcli.sources.code.objects import is_code

        if code := next(filter(is_code, specs), None):
            raise typer.BadParameter(
                f"{code} is code, and only specs can be fixed", param_hint="--fix"
            )
    if html is not None and len(specs) > 1:
        raise typer.BadParameter(f"it needs a single spec, not {len(specs)}", param_hint="--html")
    from initcli.checks import check as judge
    from initcli.checks import chosen_checks
    from initcli.errors import InitcliError

    how = "predicted" if theory else "measured" if batch or draws else "auto"
    judging: dict[str, Any] = {"how": how, "batch": batch, "draws": draws}
    judging |= {"select": items(select), "ignore": items(ignore)}
    chosen_checks(judging["select"], judging["ignore"])

    def judged(spec: str) -> tuple[Report, Fixed | None]:
        if fix or diff:
            from initcli.checks import fixing

            with patience([spec]):
                fixed = fixing.fix(
                    spec,
                    seed=loading.seed,
                    defaults=loading.defaults,
                    custom=loading.custom or (),
                    **judging,
                )
            return fixed.last, fixed
        model = loading.subject(spec)
        with patience([spec]):
            return judge(model, **judging), None

    reports: list[Report] = []
    not_read: dict[str, InitcliError] = {}
    differs = False
    for spec in specs:
        try:
            report, fixed = judged(spec)
        except InitcliError as error:
            complain(error)
            not_read[spec] = error
            continue
        if fixed is not None:
            differs = differs or fixed.after != fixed.before
            if diff:
                write_own(fixed.diff)
            else:
                _save(fixed)
        of_fixing = () if fixed is None else (*fixed.notes, *report.model.notes)
        for note in dict.fromkeys((*of_fixing, *report.notes)):
            say(note)
        reports.append(report)
    if not diff:
        _print(reports, not_read, format, to_stderr=fix and "-" in specs)
    if html is not None and reports:
        from pathlib import Path

        from initcli.render.page import report_page, save_page

        say(f"the page is {save_page(Path(html), report_page(reports[0]), say)}")
    if not_read:
        raise typer.Exit(2)
    if diff:
        raise typer.Exit(1 if differs else 0)
    found_errors = any(report.errors or (strict and report.warnings) for report in reports)
    raise typer.Exit(1 if found_errors else 0)


def _save(fixed: Fixed) -> None:
    """Save a fixed spec, or print it if it came from standard input."""
    from pathlib import Path

    from initcli.files import rewrite

    if fixed.file == "<stdin>":
        write_own(fixed.after)
    elif fixed.after != fixed.before:
        rewrite(Path(fixed.file), fixed.before, fixed.after)
        say(f"{fixed.file}: {fixed.fixed} of {len(fixed.first.findings)} findings fixed")


def _print(
    reports: Sequence[Report], not_read: Mapping[str, InitcliError], format: str, to_stderr: bool
) -> None:
    """Print the findings, to standard error if the fixed spec goes to standard output."""
    from initcli.render import findings
    from initcli.render.views import View
    from initcli.reports.check import CheckReport, check_rows

    if format == "github":
        text = findings.findings_github(reports, not_read)
    elif not reports:
        text = ""  # nothing was checked
    else:
        total = findings.total(reports, len(not_read))
        view = View(
            lambda *_: findings.findings_page(reports, len(not_read)),
            lambda: CheckReport.of(reports, list(not_read)),
            lambda: check_rows(reports, total),
        )
        text = "".join(report_text(format, view))
    if to_stderr:
        sys.stderr.write(text)
    else:
        write(text)


def _explain(code: str) -> None:
    from initcli.checks import chosen_checks
    from initcli.render.findings import explanation

    page, _ = console()
    pages = [printed(page, explanation(each)) for each in chosen_checks([code])]
    write("\n".join(pages))
