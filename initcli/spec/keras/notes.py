"""What the reader of a Keras model should know that no spec can say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from initcli.errors import listed


def few(notes: Iterable[str]) -> tuple[str, ...]:
    """As many of the notes as somebody would read."""
    found = tuple(notes)
    more = len(found) - _NOTED
    return found if more <= 0 else (*found[:_NOTED], f"{more:,} more such notes are left out")


def of_unknown(unknown: Sequence[tuple[str, str, bool]]) -> Iterator[str]:
    """What there is to say of layers that are code of their author, once for each type."""
    alike: dict[tuple[str, bool], list[str]] = {}
    for name, kind, known in unknown:
        alike.setdefault((kind, known), []).append(name)
    for (kind, known), names in alike.items():
        shape = "the shape of what comes out is the recorded one"
        said = [shape if known else "what comes out is not known"]
        if kind != "Lambda":
            said.append("weights of its own, if there are any, are not counted")
        yield (
            f"{_named(names)} ({kind}): its author's own code, which is not run; {'; '.join(said)}"
        )


def of_quantized(quantized: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What there is to say of layers with quantized weights, once for each scheme."""
    for scheme, names in quantized.items():
        shown = _named(names)
        mode = scheme.partition("/")[0]
        if mode == "float8":
            yield (
                f"{shown} ({mode}): kernels are drawn as their initializers say; rounding to "
                "float8 while they compute is left out"
            )
        else:
            yield (
                f"{shown} ({mode}): the file names initializers, but Keras makes codes of zeros "
                "and scales of ones, which a file of weights then replaces"
            )


def of_thawed(names: Sequence[str]) -> Iterator[str]:
    """What there is to say of layers whose own flag freezes nothing."""
    if names:
        yield (
            f"{_named(names)}: trainable is false, but Keras applies that to none of the layers "
            "within when it reads the file, and trains them as they say themselves"
        )


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return listed(names if more <= 0 else [*names[:_NAMED], f"{more} more"], "and")


_NAMED = 5
"""Layers of one type that a note names."""
_NOTED = 50
"""Notes on one file."""
