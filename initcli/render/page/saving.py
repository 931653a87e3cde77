"""A page as a file, which other pages of the same model join."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from initcli.errors import OutputError, printable
from initcli.files import make_folder, write_whole
from initcli.render.page.facts import FORM, Page
from initcli.render.page.writing import DATA_ID, GENERATOR, page_html

PAGE_FILE = "index.html"
"""The name of a page's file in its folder."""
_HEAD = 512
"""Bytes at the beginning of a page in which it says that it is initcli's."""
_MOST_BYTES = 1 << 27
"""Bytes of an earlier page that are read at most; one that is larger is written anew."""


def save_page(folder: Path, page: Page) -> Path:
    """Save a page as ``index.html`` in a folder, which is made if it is missing.

    Where a page of the same model is there, its other sections are kept. A page of another model,
    or one whose data cannot be read, is replaced.

    Returns:
        The path of the file.

    Raises:
        OutputError: the folder cannot be made, the file cannot be written, or there is an
            ``index.html`` that is not initcli's.
    """
    make_folder(folder)
    file = folder / PAGE_FILE
    earlier = _earlier(file)
    if earlier is not None and earlier.model.is_of(page.model):
        page = page.joined(earlier)
    write_whole(file, page_html(page).encode())
    return file


def _earlier(file: Path) -> Page | None:
    """The page that a file holds, or None where there is none that can be read."""
    try:
        with file.open("rb") as stream:
            content = stream.read(_HEAD)
            if GENERATOR.encode() not in content:
                reason = "the file that is there is not initcli's"
                raise OutputError(f"{printable(str(file))}: cannot be written: {reason}")
            content += stream.read(_MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        if os.path.isdir(file):  # noqa: PTH112  # never fails
            return None  # which writing will say
        raise OutputError(f"{printable(str(file))}: cannot be read: {error.strerror}") from None
    _, found, rest = content.partition(f'id="{DATA_ID}">'.encode())
    data, ended, _ = rest.partition(b"</script>")
    if not found or not ended:
        return None
    try:
        page = msgspec.json.decode(data, type=Page)
    except (msgspec.DecodeError, RecursionError):
        return None
    return page if page.form == FORM else None
