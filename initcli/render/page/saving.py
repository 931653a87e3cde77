"""Saving a page, merged with an earlier page of the same model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from initcli.errors import OutputError, printable, quoted
from initcli.files import make_folder, write_whole
from initcli.render.page.data import Page
from initcli.render.page.writing import DATA, GENERATOR, page_html

PAGE_FILE = "index.html"
"""File name of a page in its folder."""
_HEAD = 512
"""Number of bytes at the beginning of a page that contain the generator's line."""
_MAX_BYTES = 1 << 27
"""Maximum size in bytes of an earlier page; a larger one is replaced."""


def save_page(folder: Path, page: Page, tell: Callable[[str], object] = str) -> Path:
    """Save a page as ``index.html`` in a folder, which is created if needed.

    The other sections of an earlier page of the same model are kept. A page of another model or
    version, or one whose data was changed, is replaced, and ``tell`` is called with a note on it.

    Returns:
        The path of the file.

    Raises:
        OutputError: the folder cannot be created, the file cannot be written, or there is an
            ``index.html`` that initcli did not write.
    """
    make_folder(folder)
    file = folder / PAGE_FILE
    earlier = _earlier(file)
    if earlier is not None:
        differing = [key for key in ("version", "model") if earlier.get(key) != page[key]]
        if not differing:
            page = {**earlier, **page}
        else:
            of = "another version" if "version" in differing else _other(earlier, page)
            tell(f"{printable(str(file))} was a page of {of}, and is replaced")
    write_whole(file, page_html(page).encode())
    return file


def _other(earlier: Page, page: Page) -> str:
    """A description of the model of an earlier page that distinguishes it from the new one."""
    names = [str(each["model"]["name"]) for each in (earlier, page)]
    same = names[0] == names[1]
    return f"another {quoted(names[0])}" if same else f"the model {quoted(names[0])}"


def _earlier(file: Path) -> Page | None:
    """The page in a file; None if there is none with intact data."""
    try:
        with file.open("rb") as stream:
            content = stream.read(_HEAD)
            if GENERATOR.encode() not in content:
                reason = "the file that is there is not initcli's"
                raise OutputError(f"{printable(str(file))}: cannot be written: {reason}")
            content += stream.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        if os.path.isdir(file):  # noqa: PTH112  # never fails
            return None  # writing reports it
        raise OutputError(f"{printable(str(file))}: cannot be read: {error.strerror}") from None
    found = DATA.search(content)
    if found is None or hashlib.sha256(found[2]).hexdigest().encode() != found[1]:
        return None
    page: Page = json.loads(found[2])
    return page
