"""Loading of specs and other sources for commands, with the options that decide how."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from initcli.choices import Framework
from initcli.cli.options import MODEL, Custom, Sample, Seed, Settings
from initcli.cli.terminal import complain, patience, say

if TYPE_CHECKING:
    from initcli.checkpoint import Subject
    from initcli.model import Model

Loaded = TypeVar("Loaded")


def _keywords(text: str) -> dict[str, Any]:
    """Parse keyword arguments."""
    import json

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise typer.BadParameter('it must be a JSON object, such as {"layers": 2}')
    return value


@dataclass(frozen=True)
class Reading:
    """The options that decide how a spec becomes a model."""

    settings: Settings = None
    seed: Seed = None
    defaults: Annotated[
        Framework | None,
        typer.Option(
            rich_help_panel=MODEL,
            help="Framework whose default initializers to use; overrides the spec.",
        ),
    ] = None
    custom: Custom = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of :func:`initcli.sources.load.load` for these options."""
        return {
            "seed": self.seed,
            "defaults": self.defaults,
            "custom": self.custom or (),
            "changes": self.settings or (),
        }

    def model(self, spec: str) -> Model:
        """Load a spec and print its notes."""
        from initcli.sources.load import load

        with patience([spec]):
            model = load(spec, **self.arguments())
        for note in model.notes:
            say(note)
        return model


@dataclass(frozen=True)
class Loading(Reading):
    """The options that decide how a source becomes a model, and which values it has."""

    sample: Sample = False
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=MODEL,
            help="Take the values from a file of weights, and compare them with the model.",
        ),
    ] = None
    map: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="PARAMETER=TENSOR",
            rich_help_panel=MODEL,
            help="Pair a parameter with a tensor of --weights. Repeatable.",
        ),
    ] = None
    call: Annotated[
        Any,
        typer.Option(
            rich_help_panel=MODEL,
            metavar="JSON",
            parser=_keywords,
            help="Keyword arguments, as JSON, for the function or class that SPEC names in code.",
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of the loading functions for these options."""
        return {**super().arguments(), "call": self.call}

    def subject(self, source: str) -> Subject:
        """Load stored weights if there are any, else the model, and print the notes."""
        if self.weights is not None:
            return self._held_to(source, self.weights)
        if self.map:
            raise typer.BadParameter("there is no --weights FILE", param_hint="--map")
        from initcli.checkpoint import Checkpoint
        from initcli.sources.subject import subject

        arguments = self.arguments()
        with patience([source]):
            found = subject(source, sample=self.sample, **arguments)
        options = ("--seed", "--defaults", "--custom", "--set", "--call")
        for option, given in zip(options, arguments.values(), strict=True):
            if isinstance(found, Checkpoint) and given not in (None, {}, ()):
                message = f"{source} holds stored weights: nothing is sampled"
                raise typer.BadParameter(message, param_hint=option)
        for note in found.notes:
            say(note)
        return found

    def _held_to(self, source: str, file: str) -> Model:
        """The model with the values of another file."""
        from initcli.sources.pairing import held_to
        from initcli.sources.reader import unreadable
        from initcli.sources.weights.read import checkpoint

        with patience([file]):
            found = checkpoint(file)
        if found is None:
            raise unreadable(file, "there are no stored weights", "name a file such as model.npz")
        declared = self.model(source)
        model = held_to(declared, found, self.map or ())
        for note in model.notes[len(declared.notes) :]:
            say(note)
        return model


def for_each(
    specs: Iterable[str],
    load: Callable[[str], Loaded],
    do: Callable[[str, Loaded, bool], None],
) -> None:
    """Call ``do(spec, load(spec), is_first)`` for every spec; an error does not stop the rest."""
    from initcli.errors import InitcliError

    wrong, first = False, True
    for spec in specs:
        try:
            model = load(spec)
            is_first, first = first, False
            do(spec, model, is_first)
        except InitcliError as error:
            complain(error)
            wrong = True
    if wrong:
        raise typer.Exit(2)
