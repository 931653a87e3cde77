"""Notes on facts about a Keras model that a spec cannot express."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from initcli.errors import quoted, some
from initcli.layers.core import Opaque

_MAX_NOTES = 50

THAWED = (
    "trainable is false, but Keras does not apply that to the layers inside when it loads the "
    "file; their own flags decide"
)
"""The note on layers whose flag has no effect."""


def few(notes: Iterable[str]) -> tuple[str, ...]:
    """The first notes, and how many are left out."""
    every = tuple(notes)
    more = len(every) - _MAX_NOTES
    return every if more <= 0 else (*every[:_MAX_NOTES], f"{more:,} more such notes are left out")


def of_quantized(scheme: str) -> str:
    """The note on layers with quantized weights."""
    if scheme.partition("/")[0] == "float8":
        return (
            "kernels are drawn as their initializers say; rounding to float8 while they compute "
            "is left out"
        )
    return (
        "the file names initializers, but Keras makes codes of zeros and scales of ones, which a "
        "file of weights then replaces"
    )


def of_unknown(layers: Iterable[tuple[str, Opaque]]) -> tuple[str, ...]:
    """Notes on layers with custom code, one for each kind."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name, layer in layers:
        if unknown := "; ".join(_unknown(layer)):
            note = f"its custom code is not run; {unknown}"
            alike.setdefault((layer.kind, note), []).append(name)
    return few(note_on(names, kind, note) for (kind, note), names in alike.items())


def _unknown(layer: Opaque) -> Iterator[str]:
    if layer.output_shape_ == "recorded" and not layer.passes_on:
        recorded = "its output has the recorded shape"
        yield recorded if layer.shapes else "its output shape is not known"
    if layer.kind != "Lambda" and not layer.parameters_ and not layer.passes_on:
        yield "its own weights, if any, are not counted"


def note_on(names: list[str], kind: str, note: str) -> str:
    """A note on several layers of one kind."""
    return f"{some(list(map(quoted, names)))}{f' ({kind})' if kind else ''}: {note}"
