"""HDF5 files, in which old Keras models were saved."""

from __future__ import annotations

from initcli.documents.document import Document
from initcli.sources.reader import Reader, Source


class Hdf5(Reader):
    """The configuration of a Keras model that was saved as ``.h5``."""

    suffixes = (".h5",)

    def recognizes(self, source: Source) -> bool:
        return source.head.startswith(b"\x89HDF\r\n\x1a\n")

    def read(self, source: Source) -> Document:
        from initcli.sources.keras.translation import translated
        from initcli.sources.weights.hdf5 import opened, text
        from initcli.sources.weights.hdf5_blocks import CheckedStream

        if not source.stream.seekable():
            raise source.refused("an HDF5 file is read from a file, not from standard input")
        stream = CheckedStream(source.name)
        with opened(source.name, stream) as root:
            config = text(stream, root, "model_config")
        if config is None:
            raise source.without_model()
        return translated(source.parsed(config, f"{source.name}/model_config"))
