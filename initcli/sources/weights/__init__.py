"""The readers of weights, one file per format. Adding a file here registers its reader."""

from __future__ import annotations

from functools import cache

from initcli.errors import InvalidSpec
from initcli.registry import import_modules
from initcli.sources.weights.reader import WeightsFile, WeightsReader

_POINTER = b"version https://git-lfs.github.com/spec/"
_TEXT = bytes([*b"\t\n\r", *range(32, 127)])


@cache
def known_readers() -> tuple[WeightsReader, ...]:
    """Every reader of weights, in the order of their files."""
    import_modules(__name__, __path__)
    return tuple(cls() for cls in WeightsReader.__subclasses__())


def reader_of(file: WeightsFile) -> WeightsReader | None:
    """The reader that recognizes a file.

    Raises:
        InvalidSpec: the file is a pointer to weights elsewhere, or its content does not match its
            suffix.
    """
    if file.head.startswith(_POINTER):
        advice = "`git lfs pull` fetches them"
        raise file.refused("this is a Git LFS pointer instead of the weights", advice)
    if _is_spec(file):
        return None
    for reader in known_readers():
        try:
            if reader.recognizes(file):
                return reader
        except InvalidSpec:
            if file.path.suffix == ".keras":
                return None  # the reader of Keras models reports the error
            raise
    for reader in known_readers():
        if file.name.endswith(reader.suffixes) and not reader.may_have_model:
            raise file.refused("its content does not match its suffix", "is the file complete?")
    return None


def _is_spec(file: WeightsFile) -> bool:
    """Whether a file is a spec, by its text and name, so that no reader is imported for it."""
    is_text = not file.head.translate(None, _TEXT) and b'"weight_map"' not in file.head
    return is_text and file.name.endswith((".yaml", ".yml", ".json"))
