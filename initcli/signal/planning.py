"""The number of examples and draws of a measurement that fit in memory and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from initcli import limits
from initcli.errors import SignalError
from initcli.model import Model
from initcli.signal.cost import Cost, cost, room, usable
from initcli.signal.notes import memory_text, notes_of_assumptions
from initcli.signal.program import Program, program
from initcli.sources.load import computable
from initcli.types import Array

WANTED = ((64, 5), (32, 5), (16, 5), (8, 5), (4, 5), (4, 3), (2, 3), (2, 1), (1, 1))
"""Examples and draws, in order of preference."""
BATCH = WANTED[0][0]
"""The number of examples of a prediction."""
SECONDS = 60.0
"""The largest time for all draws."""


class NotAfforded(SignalError):
    """A measurement needs more memory or time than allowed."""


class TooSlow(NotAfforded):
    """A measurement needs more time than allowed."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The program for a number of examples, the number of draws, and notes."""

    program: Program
    draws: int
    notes: tuple[str, ...] = ()


def planned(
    model: Model,
    *,
    batch: int | None = None,
    draws: int | None = None,
    inputs: Mapping[str, Array] | None = None,
    seconds: float = SECONDS,
    wanted: Sequence[tuple[int, int]] = WANTED,
    steps: int = 0,
) -> Plan:
    """Choose the first numbers of examples and draws that fit in memory and time.

    Args:
        model: the model.
        batch: number of examples, for any time.
        draws: number of draws, for any time.
        inputs: arrays by the name of the input, which determine the number of examples.
        seconds: the largest time for all draws.
        wanted: examples and draws, in order of preference.
        steps: number of steps of training.

    Raises:
        NotAfforded: even the smallest numbers do not fit.
    """
    model = computable(model)
    lengths = [x.shape[0] for x in (inputs or {}).values() if x.ndim]
    batch = min(lengths) if batch is None and lengths else batch
    shapes = {name: tuple(x.shape[1:]) for name, x in (inputs or {}).items()}
    is_free = batch is None
    choices = dict.fromkeys((batch or each, draws or count) for each, count in wanted)
    first: Cost | None = None
    known: dict[int, tuple[Program, Cost]] = {}
    for examples, count in choices:
        if examples not in known:
            built = program(model, examples, shapes)
            known[examples] = built, cost(built, model.dtype, steps)
        built, own = known[examples]
        first = first or own
        is_slow = own.seconds * count > seconds and (is_free or (draws is None and count > 1))
        if own.bytes <= room() and not is_slow:
            better = next(iter(choices))
            notes = notes_of_assumptions(built)
            if (examples, count) != better:
                notes = (_reduced(examples, count, better, first), *notes)
            return Plan(program=built, draws=count, notes=notes)
        if not is_free and own.bytes > room():
            break
    raise _refusal(examples, count, own, is_free, seconds)


def _reduced(examples: int, count: int, better: tuple[int, int], full: Cost) -> str:
    """The note that less is measured than preferred."""
    return (
        f"measured with a batch of {examples} and {_draws(count)}: {better[0]} examples and "
        f"{_draws(better[1])} would take {_time(full.seconds * better[1])} and "
        f"{memory_text(full.bytes)}; --theory predicts at once"
    )


def _refusal(examples: int, count: int, own: Cost, is_free: bool, seconds: float) -> NotAfforded:
    what = f"a batch of {examples}" if examples > 1 else "a single example"
    if own.bytes > room():
        message = (
            f"{what} takes {memory_text(own.bytes)} of memory, most of it in '{own.layer}', and "
            f"{memory_text(room())} are allowed"
        )
        smaller = "" if is_free or examples == 1 else "take fewer with --batch, or "
        more = f"{limits.remedy('memory', own.bytes)}; " if own.bytes <= usable() else ""
        return NotAfforded(message, f"{more}{smaller}--theory predicts it")
    message = (
        f"{what} and {_draws(count)} take {_time(own.seconds * count)}, and measuring is left out "
        f"beyond {_time(seconds)}"
    )
    remedy = f"--theory predicts it; --batch {examples} --draws {count} measures it anyway"
    return TooSlow(message, remedy)


def _draws(count: int) -> str:
    return f"{count} draw{'s' * (count > 1)}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:,.0f} minutes"
