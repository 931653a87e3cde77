"""``extends``: a spec that goes on where another one ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from initcli.errors import InvalidValue, Path, quoted
from initcli.spec.document import Document, Origin

KEY = "extends"
MOST_FILES = 20
"""Specs that extend one another, at most."""

Read = Callable[[str], Document]


def extended(document: Document, read: Read) -> Document:
    """A document with all that it extends: the layers of the other first, its own keys winning.

    Raises:
        InvalidSpec: the other cannot be read, or extends the first in turn.
    """
    return _extended(document, read, ())


def _extended(document: Document, read: Read, before: tuple[FilePath, ...]) -> Document:
    data = document.data
    if not isinstance(data, Mapping) or KEY not in data:
        return document
    file = data[KEY]
    if not isinstance(file, str) or not file:
        message = f"`{KEY}` must be the path of another spec, not {quoted(file)}"
        raise document.invalid([InvalidValue(message, path=(KEY,))])
    path = FilePath(document.file).parent / file
    here = (*before, _resolved(document.file))
    if _resolved(str(path)) in here or len(here) > MOST_FILES:
        message = f"{quoted(file)} extends this file in turn"
        if len(here) > MOST_FILES:
            message = f"more than {MOST_FILES} files extend one another"
        raise document.invalid([InvalidValue(message, path=(KEY,))])
    base = _extended(read(str(path)), read, here)
    if not isinstance(base.data, Mapping):
        message = f"a spec is a mapping with `layers`, not {quoted(base.data)}"
        raise base.invalid([InvalidValue(message)])
    return _joined(base, document)


def _resolved(file: str) -> FilePath:
    try:
        return FilePath(file).resolve()
    except (OSError, ValueError):
        return FilePath(file)


def _joined(base: Document, own: Document) -> Document:
    """Both as one document, in which every part knows where it stands."""
    first: Mapping[str, Any] = base.data
    origins: dict[Path, Origin] = {(): Origin(own, ())}
    data: dict[str, Any] = {}
    for document, part in ((base, first), (own, own.data)):
        for key, value in part.items():
            if key not in (KEY, "type", "input_layers", "trainable"):
                data[key] = value
                origins[(key,)] = Origin(document, (key,))
    old, new = first.get("initializers"), own.data.get("initializers")
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        data["initializers"] = {**old, **new}
        for document, recipes in ((base, old), (own, new)):
            for name in recipes:
                place = ("initializers", name)
                origins[place] = Origin(document, place)
    below, above = first.get("layers"), own.data.get("layers")
    if isinstance(below, list) and isinstance(above, list):
        above = _connected(above, first.get("outputs"))
        data["layers"] = [*below, *above]
        if "outputs" not in own.data:
            data.pop("outputs", None)
        for index in range(len(below)):
            origins[("layers", index)] = Origin(base, ("layers", index))
        for index in range(len(above)):
            origins[("layers", len(below) + index)] = Origin(own, ("layers", index))
    return replace(
        own,
        data=data,
        origins=origins,
        dialect=base.dialect if base.dialect == "keras" else own.dialect,
        notes=(*base.notes, *own.notes),
    )


def _connected(layers: list[Any], outputs: Any) -> list[Any]:
    """Layers of which the first takes what the other spec says it gives, if that is one thing."""
    one = isinstance(outputs, list) and len(outputs) == 1
    if not layers or not one or not isinstance(layers[0], dict):
        return layers
    if "inputs" in layers[0] or layers[0].get("type") in ("Input", "InputLayer"):
        return layers
    return [{**layers[0], "inputs": outputs}, *layers[1:]]
