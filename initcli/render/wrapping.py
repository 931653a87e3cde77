"""Wrapping of lines between words, or between the parts of long names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rich.cells import cell_len
from rich.text import Text

_WORD = re.compile(r"\s*\S+")
_PART = re.compile(r"\s*[^/_.,=]*[/_.,=]+|.+")


def wrapped(text: Text, room: int) -> list[Text]:
    """The text in lines of at most ``room`` columns. Rich's own wrapping breaks names anywhere."""
    if text.cell_len <= room:
        return [text]
    plain, lines = text.plain, []
    start = end = 0
    for piece in _pieces(plain, max(room, 2)):
        stop = end + len(piece)
        if start < end and cell_len(plain[start:stop]) > room:
            lines.append(text[start:end])
            start = stop - len(piece.lstrip())
        end = stop
    return [*lines, text[start:end]]


def in_lines(cells: Iterable[Text], room: int) -> Iterator[Text]:
    """The cells in lines of at most ``room`` columns; no cell is broken."""
    line = Text("")
    for cell in cells:
        if line and line.cell_len + 2 + cell.cell_len > room:
            yield from wrapped(line, room)
            line = Text("")
        line.append("  " if line else "").append_text(cell)
    if line:
        yield from wrapped(line, room)


def _pieces(text: str, room: int) -> Iterator[str]:
    """The pieces that stay on one line: words, or parts of words that are longer than a line."""
    for word in _WORD.findall(text):
        if cell_len(word.strip()) <= room:
            yield word
            continue
        for part in _PART.findall(word):
            yield from [part] if cell_len(part) <= room else part
