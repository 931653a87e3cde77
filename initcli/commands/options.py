"""What several commands share: their options, and how they load a model."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from initcli.terminal import say

if TYPE_CHECKING:
    from initcli.defaults import Framework
    from initcli.spec.model import Model


class Format(StrEnum):
    """What a report is printed as."""

    table = "table"
    json = "json"


class SignalFormat(StrEnum):
    """What a signal is printed as."""

    table = "table"
    json = "json"
    csv = "csv"


Spec = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A YAML or JSON file, a Keras model's JSON or .keras file, or - for standard input.",
    ),
]
Seed = Annotated[int | None, typer.Option(help="Wins over the spec's own seed.")]
Custom = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE.py", help="A file of your own initializers; it is run."),
]
Defaults = Annotated[
    Literal["keras", "torch", "flax"] | None,
    typer.Option(help="Whose default initializers; wins over the spec's own."),
]
Filter = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Only tensors whose path matches, such as '*/kernel'."),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="all cores")]
MaxDraws = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Measure at most the first N entries of a tensor."),
]


Batch = Annotated[
    int | None,
    typer.Option(min=1, help="Examples.", show_default="64, or as many as fit in memory"),
]
Draws = Annotated[
    int, typer.Option(min=1, max=1000, help="Draws of weights and inputs, with a seed each.")
]
Theory = Annotated[
    bool, typer.Option("--theory", help="Predictions from the laws alone; nothing is drawn.")
]
Input = Annotated[
    str | None,
    typer.Option(
        metavar="X.npy", help="Inputs of your own: an array, or an .npz with one for each input."
    ),
]
Picture = Annotated[
    str | None,
    typer.Option(metavar="F.png|F.svg", help="Save a picture of it."),
]
SignalReport = Annotated[SignalFormat, typer.Option(help="What to print.", case_sensitive=False)]


def loaded(
    spec: str, seed: int | None, defaults: Framework | None, custom: list[str] | None
) -> Model:
    """The model of a spec, whose notes go to standard error."""
    from initcli.spec.load import load

    model = load(spec, seed=seed, defaults=defaults, custom=custom or ())
    for note in model.notes:
        say(note)
    return model
