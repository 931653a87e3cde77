"""The help: options in groups, examples, and topics."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from initcli.cli.options import command
from initcli.cli.terminal import write

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

_EXAMPLES = "Examples:\n"
"""The line of a docstring that precedes the examples, one per line."""
_MODULES = {
    "summary": "weights",
    "hist": "hist",
    "identify": "weights",
    "diff": "diff",
    "export": "weights",
    "signal": "signals",
    "compare": "signals",
    "check": "checking",
    "catalog": "authoring",
    "schema": "authoring",
    "init": "authoring",
    "help": "helping",
}
"""The commands, in the order of the help, and the module of each."""
_SPEC = "spec"
"""The help topic that is not a command."""


class Command(TyperCommand):
    """A command whose docstring ends in examples, and whose options have groups."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the options; the error for an unknown one suggests what to write instead."""
        from typer._click.exceptions import NoSuchOption

        try:
            return super().parse_args(ctx, args)
        except NoSuchOption as error:
            error.message += f": {_instead(ctx, error.option_name)}"
            error.possibilities = None
            raise

    def format_help_text(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the docstring, its examples line by line."""
        text, _, examples = inspect.cleandoc(self.help or "").partition(_EXAMPLES)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text.strip())
        with formatter.section("Examples"):
            for line in examples.splitlines():
                formatter.write(f"  {line.strip()}\n")

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the arguments, the options of this command only, and then each group."""

        def group(parameter: Any) -> str:
            is_argument = parameter.param_type_name == "argument"
            return "Arguments" if is_argument else parameter.rich_help_panel or "Options"

        parameters = self.get_params(ctx)
        groups = list(dict.fromkeys(["Arguments", "Options", *map(group, parameters)]))
        parameters.sort(key=lambda each: groups.index(group(each)))
        for title, members in groupby(parameters, group):
            records = [each.get_help_record(ctx) for each in members]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])


class _ByName(Mapping[str, TyperCommand]):
    """The commands, each made when it is asked for: to make all takes longer than most work."""

    def __getitem__(self, name: str) -> TyperCommand:
        function = getattr(import_module(f"initcli.cli.{_MODULES[name]}"), name)
        alone = typer.Typer(
            add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
        )
        alone.command(cls=Command)(command(function))
        made = typer.main.get_command(alone)
        assert isinstance(made, TyperCommand)
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


class Commands(TyperGroup):
    """All commands, and completion for a named or detected shell."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _ByName()  # type: ignore[assignment]  # nothing is added to them

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write each command with its whole summary."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, _summary(command)) for name, command in self.commands.items()]
            )

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the command line; a shell may be named after the completion options."""
        from typer.completion import install_callback, show_callback

        callbacks = {"--install-completion": install_callback, "--show-completion": show_callback}
        if len(args) == 2 and args[0] in callbacks:
            _complete(ctx, callbacks[args[0]], *args)
        return super().parse_args(ctx, args)


def _instead(ctx: Any, option: str) -> str:
    """What to write instead of an option that a command does not have."""
    from initcli.errors import did_you_mean, listed
    from initcli.layers import known_layers
    from initcli.types import arguments_of

    def options(command: Any) -> list[str]:
        return [name for each in command.params for name in each.opts if name.startswith("--")]

    own, advice = options(ctx.command), []
    commands = _group(ctx).commands.items()
    others = [f"`{name}`" for name, command in commands if option in options(command)]
    if others:
        advice.append(f"{listed(others, 'and')} {'have' if others[1:] else 'has'} it")
    argument = option.removeprefix("--").replace("-", "_")
    layers = known_layers().values()
    if "--set" in own and any(a.name == argument for each in layers for a in arguments_of(each)):
        advice.append(f"--set 'layers.*.{argument}=VALUE' sets it in the spec")
    return "; ".join(advice) or did_you_mean(option, own) or f"`{ctx.command_path} -h` lists all"


def _summary(command: Any) -> str:
    """The first paragraph of a command's docstring."""
    return " ".join(inspect.cleandoc(command.help or "").partition("\n\n")[0].split())


def _complete(ctx: Context, callback: Any, option: str, shell: str) -> None:
    """Install or print the completion of a shell, and exit."""
    from subprocess import CalledProcessError

    from initcli.errors import printable, quoted

    shells = ("bash", "zsh", "fish", "powershell", "pwsh")
    if shell not in shells:
        message = f"{quoted(shell)} is not one of {', '.join(shells)}"
        raise typer.BadParameter(message, param_hint=option)
    try:
        callback(ctx, None, shell)
    except (OSError, CalledProcessError) as error:
        message = f"it cannot be installed: {printable(str(error))}"
        raise typer.BadParameter(message, param_hint=option) from None


def _topics(ctx: typer.Context) -> list[str]:
    return [_SPEC, *_group(ctx).commands]


def _group(ctx: typer.Context) -> Commands:
    group = ctx.find_root().command
    assert isinstance(group, Commands)
    return group


def help(  # noqa: A001  # the name of the command
    ctx: typer.Context,
    topic: Annotated[
        str | None,
        typer.Argument(help=f"A command, or {_SPEC}.", autocompletion=_topics),
    ] = None,
) -> None:
    """Explain a command, or the keys of a spec.

    Examples:
      initcli help spec
      initcli help summary
    """
    commands, root = _group(ctx).commands, ctx.find_root()
    if topic is None:
        text = root.get_help()
    elif topic == _SPEC:
        text = _spec_keys(root)
    elif topic in commands:
        inner = type(root)(commands[topic], info_name=topic, parent=root)
        text = inner.get_help()
    else:
        from initcli.errors import did_you_mean, quoted

        topics = _topics(ctx)
        advice = did_you_mean(topic, topics) or f"it is one of {', '.join(topics)}"
        raise typer.BadParameter(f"there is no help on {quoted(topic)}: {advice}")
    write(f"{text}\n")


def _spec_keys(root: Context) -> str:
    """The keys of a spec, from its schema."""
    from initcli.sources.schema import schema

    described = schema()
    formatter = root.make_formatter()
    formatter.write_text(
        "A spec is a mapping in YAML or JSON. Each layer is a mapping with its type and the "
        "arguments that it has in Keras."
    )
    with formatter.section("Keys"):
        formatter.write_dl(
            [(name, key["description"]) for name, key in described["properties"].items()]
        )
    with formatter.section("See also"):
        formatter.write_dl(
            [
                ("initcli init", "writes a spec to start from, with comments."),
                ("initcli catalog", "lists layers, initializers, activations and checks."),
                ("initcli catalog Dense", "describes one, with its arguments."),
                ("initcli schema", "prints the JSON Schema, for an editor."),
            ]
        )
    return str(formatter.getvalue().rstrip("\n"))
