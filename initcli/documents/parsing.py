"""Parsing of a text as JSON or YAML, whichever it is."""

from __future__ import annotations

from initcli.documents.document import Document
from initcli.documents.json_text import looks_like_json, parse_json
from initcli.documents.yaml_text import parse_yaml


def is_json(text: str, file: str) -> bool:
    """Whether a text is read as JSON: by the name of its file or by how it begins."""
    return file.endswith(".json") or looks_like_json(text)


def parse_text(text: str, file: str) -> Document:
    """Parse a JSON or YAML text; ``file`` is its name in errors.

    Raises:
        InvalidSpec: the text does not parse, or exceeds a limit.
    """
    return parse_json(text, file) if is_json(text, file) else parse_yaml(text, file)
