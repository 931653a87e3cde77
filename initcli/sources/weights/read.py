"""Reading of checkpoints from files and folders in all known formats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from initcli.checkpoint import Checkpoint
from initcli.errors import printable, quoted, some
from initcli.sources.reader import unreadable
from initcli.sources.weights import known_readers, reader_of
from initcli.sources.weights.reader import WeightsFile, checked
from initcli.stored import Mapped, StoredTensor

_MAX_NOTES = 5
"""Maximum number of tied tensors that are named."""


def checkpoint(source: str) -> Checkpoint | None:
    """The weights in a file or in a folder; None if there are none.

    Raises:
        InvalidSpec: the file is damaged, or exceeds a limit.
    """
    path = Path(source)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError):  # an invalid path
        return None
    if is_folder:
        main = _main_file(path)
        if main is None:
            return None
        path = main
    elif not is_file:
        return None
    file = WeightsFile(path)
    reader = reader_of(file)
    if reader is None:
        return None
    contents = checked(file, reader.read(file))
    tensors = tuple(_tied(contents.tensors))
    name = Path(source).resolve().name if is_folder else path.stem
    notes = (*contents.notes, *map(printable, _ties(tensors)))
    return Checkpoint(
        name=name, tensors=tensors, notes=notes, has_model=contents.has_model, file=str(path)
    )


def _instead(folder: Path) -> str:
    """Advice for a folder without weights but with specs."""
    suffixes = (".yaml", ".yml", ".json")
    specs = sorted(each.name for each in folder.iterdir() if each.name.endswith(suffixes))
    if not specs:
        return ""
    return f"name a file in it: {some(list(map(quoted, specs)), 'or')}"


_NAMES = (
    *("model.safetensors.index.json", "model.safetensors"),
    *("diffusion_pytorch_model.safetensors.index.json", "diffusion_pytorch_model.safetensors"),
    *("adapter_model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin"),
    *("adapter_model.bin", "flax_model.msgpack"),
)
"""Names of files of weights of Hugging Face libraries, in order of preference."""


def _main_file(folder: Path) -> Path | None:
    """The file of weights in a folder: one with a usual name, or else the only one.

    None if there is only a configuration.
    """
    for name in _NAMES:
        if (folder / name).is_file():
            return folder / name
    suffixes = tuple(suffix for reader in known_readers() for suffix in reader.suffixes)
    files = sorted(each for each in folder.iterdir() if each.name.endswith(suffixes))
    if len(files) == 1:
        return files[0]
    if not files and (folder / "config.json").is_file():
        return None
    if not files:
        raise unreadable(str(folder), "there are no weights in this folder", _instead(folder))
    names = some([quoted(each.name) for each in files])
    message = f"there are several files of weights in this folder: {names}"
    raise unreadable(str(folder), message, "name one of them")


def _tied(tensors: Iterable[StoredTensor]) -> Iterator[StoredTensor]:
    """The tensors, with ``alias_of`` set where an earlier one has the same bytes."""
    first: dict[Mapped, str] = {}
    for tensor in tensors:
        if isinstance(tensor.storage, Mapped) and tensor.size:
            path = first.setdefault(tensor.storage, tensor.path)
            if path != tensor.path:
                tensor = msgspec.structs.replace(tensor, alias_of=path)
        yield tensor


def _ties(tensors: Iterable[StoredTensor]) -> Iterator[str]:
    ties = [tensor for tensor in tensors if tensor.alias_of is not None]
    for tensor in ties[:_MAX_NOTES]:
        yield f"{tensor.path} is tied to {tensor.alias_of}: both have the same bytes"
    if len(ties) > _MAX_NOTES:
        yield f"{len(ties) - _MAX_NOTES:,} more tensors are tied"
