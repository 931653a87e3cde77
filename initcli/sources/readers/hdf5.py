"""HDF5 files, in which old Keras models were saved."""

from __future__ import annotations

import os

from initcli.documents.document import Document
from initcli.sources.reader import Reader, Source


class Hdf5(Reader):
    """The configuration of a Keras model that was saved as ``.h5``."""

    suffixes = (".h5",)

    def recognizes(self, source: Source) -> bool:
        return source.head.startswith(b"\x89HDF\r\n\x1a\n")

    def read(self, source: Source) -> Document:
        from initcli.sources.keras.translation import translated
        from initcli.sources.weights.hdf5 import opened

        if not source.stream.seekable():
            raise source.refused("an HDF5 file is read from a file, not from standard input")
        with opened(source.name, 0, os.fstat(source.stream.fileno()).st_size) as root:
            config = root.attrs.get("model_config")
        if isinstance(config, bytes):
            config = config.decode("utf-8", "replace")
        if not isinstance(config, str):
            raise source.without_model()
        return translated(source.parsed(config, f"{source.name}/model_config"))
