"""Sharded files with an index, which Hugging Face libraries write for large models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from initcli.errors import quoted
from initcli.sources.weights import reader_of
from initcli.sources.weights.reader import (
    Contents,
    WeightsFile,
    WeightsReader,
    checked,
    in_model_order,
    natural_order,
)
from initcli.stored import StoredTensor


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


class Sharded(WeightsReader):
    """An index, ``*.index.json``, that maps tensors to files in its folder."""

    suffixes = (".index.json",)

    def recognizes(self, file: WeightsFile) -> bool:
        return file.head.lstrip()[:1] == b"{" and b'"weight_map"' in file.head

    def read(self, file: WeightsFile) -> Contents:
        try:
            index = msgspec.json.decode(file.header("index", file.size), type=_Index)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise file.refused(f"this is not an index of files of weights: {error}") from None
        parts = sorted(set(index.weight_map.values()), key=natural_order)
        tensors = list(_tensors(file, parts))
        names = dict.fromkeys(tensor.path for tensor in tensors)
        for path, part in index.weight_map.items():
            if path not in names:
                raise file.refused(f"{quoted(part)} has no tensor {quoted(path)}")
        # Tensors that the index does not name come last.
        paths = in_model_order([*(index.weight_map | names)])
        places = {path: place for place, path in enumerate(paths)}
        return Contents(sorted(tensors, key=lambda each: places[each.path]))


def _tensors(file: WeightsFile, parts: list[str]) -> Iterator[StoredTensor]:
    for part in parts:
        shard = WeightsFile(beside(file, part))
        reader = reader_of(shard)
        if reader is None or isinstance(reader, Sharded):
            raise file.refused(f"{quoted(part)} is not a file of weights")
        yield from checked(shard, reader.read(shard)).tensors


def beside(file: WeightsFile, name: str) -> Path:
    """The path of another file that a file names, which must be in the same folder.

    It may be a link to the folder ``blobs`` of the Hugging Face cache.

    Raises:
        InvalidSpec: it is in another folder, or does not exist.
    """
    folder = file.path.parent
    outside = file.refused(f"it names a file outside its folder, {quoted(name)}")
    try:
        path = (folder / name).resolve()
        if not path.is_file():
            raise file.refused(f"it names the file {quoted(name)}, which does not exist")
    except (OSError, ValueError):
        raise outside from None
    blobs = folder.resolve().parent.parent / "blobs"
    if "\\" in name or ".." in Path(name).parts or Path(name).is_absolute():
        raise outside
    if not path.is_relative_to(folder.resolve()) and path.parent != blobs:
        raise outside
    return folder / name
