"""``.keras`` archives: of the whole zip file, only its ``config.json`` is opened."""

from __future__ import annotations

from typing import IO

from initcli.documents.document import Document
from initcli.limits import ARCHIVE_BYTES, in_force, remedy
from initcli.sources.reader import Reader, Source, system_errors

_MEMBER = "config.json"


class KerasArchive(Reader):
    """The configuration of the model in a ``.keras`` file."""

    suffixes = (".keras",)

    def recognizes(self, source: Source) -> bool:
        return source.head.startswith(b"PK\x03\x04")

    def read(self, source: Source) -> Document:
        from initcli.sources.keras.translation import translated  # not needed to read a plain spec

        with system_errors(source.name):
            content = _config(source)
        name = f"{source.name}/{_MEMBER}"
        return translated(source.parsed(source.decoded(content, name), name))


def _config(source: Source) -> bytes:
    if source.stream.seekable():
        return _member(source, source.stream)
    import tempfile

    with tempfile.TemporaryFile() as copy:
        part = source.head
        while part:
            copy.write(part)
            if copy.tell() > ARCHIVE_BYTES:
                raise source.refused(f"this archive has more than {ARCHIVE_BYTES:,} bytes")
            part = source.stream.read(1 << 20)
        return _member(source, copy)


def _member(source: Source, stream: IO[bytes]) -> bytes:
    import zipfile

    from initcli.sources.weights.archives import opened

    limit = in_force().file_bytes
    with opened(source, stream, "file_bytes") as archive:
        if _MEMBER not in archive.namelist():
            raise source.refused(f"this archive has no {_MEMBER}, as a .keras file has")
        member = archive.getinfo(_MEMBER)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Python expands all that it reads with the other methods at once.
            raise source.refused(f"its {_MEMBER} is packed in a way that no .keras file is")
        with archive.open(member) as file:
            content = file.read(limit + 1)
    if len(content) > limit:
        message = f"a spec may have at most {limit:,} bytes"
        raise source.refused(message, remedy("file_bytes", max(member.file_size, limit + 1)))
    return content
