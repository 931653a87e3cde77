"""HDF5 files, in which old Keras models were saved."""

from __future__ import annotations

from initcli.documents.document import Document
from initcli.sources.reader import Reader, Source


class Hdf5(Reader):
    """Recognized to say how the model can be saved in a format that is read."""

    def recognizes(self, source: Source) -> bool:
        return source.head.startswith(b"\x89HDF\r\n\x1a\n")

    def read(self, source: Source) -> Document:
        advice = "load it in Keras, and save it as .keras or write what its to_json() returns"
        raise source.refused("this is an HDF5 file, which only Keras itself can read", advice)
