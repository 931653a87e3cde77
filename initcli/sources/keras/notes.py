"""Notes on a Keras model about facts that no spec expresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from initcli.errors import listed, quoted
from initcli.layers.core import Opaque


def few(notes: Iterable[str]) -> tuple[str, ...]:
    """The first notes, and how many are left out."""
    every = tuple(notes)
    more = len(every) - _MAX_NOTES
    return every if more <= 0 else (*every[:_MAX_NOTES], f"{more:,} more such notes are left out")


def of_unknown(layers: Iterable[tuple[str, Opaque]]) -> Iterator[str]:
    """Notes on layers of their author's own code, one for each kind."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name, layer in layers:
        alike.setdefault((layer.kind, "; ".join(_unknown(layer))), []).append(quoted(name))
    for (kind, said), names in alike.items():
        if said:
            what = f"{_names(names)} ({kind})"
            yield f"{what}: its author's own code, which is not run; {said}"


def _unknown(layer: Opaque) -> Iterator[str]:
    if layer.output_shape_ == "recorded" and not layer.passes_on:
        recorded = "the shape of what comes out is the recorded one"
        yield recorded if layer.shapes else "what comes out is not known"
    if layer.kind != "Lambda" and not layer.parameters_ and not layer.passes_on:
        yield "weights of its own, if there are any, are not counted"


def of_quantized(quantized: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Notes on layers with quantized weights, one for each scheme."""
    for scheme, names in quantized.items():
        shown = _names(names)
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
    """The note on layers whose own flag freezes nothing."""
    if names:
        yield (
            f"{_names(names)}: trainable is false, but Keras applies that to none of the layers "
            "within when it reads the file, and trains them as they say themselves"
        )


def _names(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    return listed(names if more <= 0 else [*names[:_MAX_NAMES], f"{more} more"], "and")


_MAX_NAMES = 5
_MAX_NOTES = 50
