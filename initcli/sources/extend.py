"""``extends``: a spec that continues another one.

A spec may come from an untrusted source, so that it can name only files in its own folder and in
the working folder.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from initcli import limits
from initcli.documents.document import Document, Origin
from initcli.errors import InvalidSpec, InvalidValue, Path, UnparsableText, quoted

KEY = "extends"

Read = Callable[[str], Document]


def extended(document: Document, read: Read, before: tuple[FilePath, ...] = ()) -> Document:
    """A document joined with the one it extends, whose layers come first; its own keys win.

    ``before`` are files that extend this one.

    Raises:
        InvalidSpec: the other cannot be read, is not allowed, or extends the first in turn.
    """
    data = document.data
    if not isinstance(data, Mapping) or KEY not in data:
        return document

    def refused(message: str, remedy: str = "") -> InvalidSpec:
        return document.refused(message, (KEY,), remedy)

    file = data[KEY]
    if not isinstance(file, str) or not file:
        raise refused(f"`{KEY}` must be the path of another spec, not {quoted(file)}")
    path = FilePath(document.file).parent / file
    here = (*before, _resolved(document.file))
    target = _resolved(str(path))
    if target in here:
        raise refused(f"{quoted(file)} extends this file in turn")
    if len(here) > limits.EXTENDED_FILES:
        raise refused(f"more than {limits.EXTENDED_FILES} files extend one another")
    if not any(target.is_relative_to(folder) for folder in (here[0].parent, _resolved("."))):
        message = f"{quoted(file)} is neither in the folder of this spec nor in the working folder"
        raise refused(message, "run initcli in a folder with both, or copy the other here")
    if _is_special(target):
        raise refused(f"{quoted(file)} is a pipe or a device, not a file")
    base = extended(_read_quietly(str(path), read), read, here)
    return _joined(base, document)


def _read_quietly(file: str, read: Read) -> Document:
    """Another document; errors quote its text only if it is a mapping, like a spec.

    A spec must not make initcli print parts of files that are not specs.
    """
    try:
        document = read(file)
    except InvalidSpec as invalid:
        for error in invalid.errors:
            if isinstance(error, UnparsableText) and error.place is not None:
                error.place = error.place._replace(text="")
        raise InvalidSpec(invalid.errors) from None
    if not isinstance(document.data, Mapping):
        error = InvalidValue("a spec is a mapping with `layers`, and this file is not")
        error.place = document.place(())._replace(text="")
        raise InvalidSpec([error])
    return document


def _resolved(file: str) -> FilePath:
    try:
        return FilePath(file).resolve()
    except (OSError, ValueError, RuntimeError):  # RuntimeError for a circle of links
        with suppress(OSError):  # the working folder may be gone
            return FilePath(file).absolute()
        return FilePath(file)


def _is_special(file: FilePath) -> bool:
    """Whether the path is a pipe or a device, whose reading can block."""
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _joined(base: Document, own: Document) -> Document:
    """Both as one document, with the origin of every part."""
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
        is_editable=own.is_editable and base.is_editable,
        notes=(*base.notes, *own.notes),
    )


def _connected(layers: list[Any], outputs: Any) -> list[Any]:
    """The layers; the first one takes the output of the other spec if that has only one."""
    one = isinstance(outputs, list) and len(outputs) == 1
    if not layers or not one or not isinstance(layers[0], dict):
        return layers
    if "inputs" in layers[0] or layers[0].get("type") in ("Input", "InputLayer"):
        return layers
    return [{**layers[0], "inputs": outputs}, *layers[1:]]
