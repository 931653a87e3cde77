"""What the reader of a Keras model should know that no spec can say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from initcli.errors import listed, quoted
from initcli.layers.core import Opaque


def few(notes: Iterable[str]) -> tuple[str, ...]:
    """As many of the notes as somebody would read."""
    found = tuple(notes)
    more = len(found) - _NOTED
    return found if more <= 0 else (*found[:_NOTED], f"{more:,} more such notes are left out")


def of_unknown(layers: Iterable[tuple[str, Opaque]]) -> Iterator[str]:
    """What there is to say of layers, by name, that are code of their author: once for each kind.

    What a person has said of a layer is not said again.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for name, layer in layers:
        alike.setdefault((layer.kind, "; ".join(_unknown(layer))), []).append(quoted(name))
    for (kind, said), names in alike.items():
        if said:
            what = f"{_named(names)} ({kind})"
            yield f"{what}: its author's own code, which is not run; {said}"


def _unknown(layer: Opaque) -> Iterator[str]:
    if layer.output_shape_ == "recorded" and not layer.passes_on:
        recorded = "the shape of what comes out is the recorded one"
        yield recorded if layer.shapes else "what comes out is not known"
    if layer.kind != "Lambda" and not layer.parameters_ and not layer.passes_on:
        yield "weights of its own, if there are any, are not counted"


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
