"""Notes on what a signal assumes and leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from initcli import limits
from initcli.errors import listed
from initcli.layers.preprocessing import Preprocessing
from initcli.signal.cost import room
from initcli.signal.program import Program, Step
from initcli.signal.rules.base import rule_of

_MAX_NAMED = 4
"""Layers that a note names."""


def notes_of_assumptions(built: Program) -> tuple[str, ...]:
    """What a program assumes."""
    notes: list[str] = []
    if built.length is not None:
        notes.append(f"sizes that the spec leaves open are taken to be {built.length}")
    layers = ((step.name, step.layer) for step in built.steps)
    unprepared = dict.fromkeys(name for name, layer in layers if isinstance(layer, Preprocessing))
    if unprepared:
        names = listed(unprepared, "and")
        notes.append(f"initcli does not prepare data: the input of {names} passes unchanged")
    return tuple(notes)


def notes_of_missing_rules(built: Program, is_measured: bool = False) -> tuple[str, ...]:
    """The types of layers without a rule of theory."""
    layers = [step.layer for step in built.steps]
    types = dict.fromkeys(x.type_name for x in layers if not rule_of(x).covers(x))
    if not types:
        return ()
    then = "continue from its measured output" if is_measured else "end there"
    return (f"theory has no rule for {listed(types, 'and')}: predictions {then}",)


def notes_of_left_out(left_out: Sequence[str]) -> tuple[str, ...]:
    """The layers whose prediction takes more memory than allowed."""
    if not left_out:
        return ()
    taken = f"with {memory_text(room())} of memory, which are allowed"
    return (f"{_named(left_out)} cannot be predicted {taken}: {limits.remedy('memory')}",)


def notes_of_masks(steps: Sequence[Step], share: float | None = None) -> tuple[str, ...]:
    """The steps whose masks predictions ignore.

    ``share`` is the measured fraction of masked time steps, if any.
    """
    if not steps or share == 0:
        return ()
    names = _named(step.name for step in steps)
    assumed = f"predictions assume that no mask hides a step from {names}"
    return (assumed if share is None else f"{assumed}, and {share:.2g} of the steps are hidden",)


def memory_text(size: int) -> str:
    """A number of bytes in words."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"


def _named(names: Iterable[str]) -> str:
    """The names in quotes, with the number of those that are too many to list."""
    quoted = [f"'{name}'" for name in dict.fromkeys(names)]
    shown, more = quoted[:_MAX_NAMED], len(quoted) - _MAX_NAMED
    return f"{', '.join(shown)} and {more:,} more" if more > 0 else listed(shown, "and")
