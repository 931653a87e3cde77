"""Hugging Face configurations: ``config.json``."""

from __future__ import annotations

from dataclasses import replace

from initcli.documents.document import Document
from initcli.sources.reader import Reader, Source


class HuggingFaceConfig(Reader):
    """The configuration of a model of transformers."""

    suffixes = (".json",)

    def recognizes(self, source: Source) -> bool:
        words = ("model_type", "architectures")
        if source.is_binary or not any(word in source.text for word in words):
            return False
        data = source.data
        return (
            isinstance(data, dict) and "layers" not in data and any(word in data for word in words)
        )

    def read(self, source: Source) -> Document:
        return replace(source.document, dialect="huggingface", is_editable=False)
