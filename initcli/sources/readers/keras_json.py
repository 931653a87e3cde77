"""Keras models as text: ``to_json()``, ``to_yaml()`` and TensorFlow.js."""

from __future__ import annotations

from initcli.documents.document import Document
from initcli.sources.reader import Reader, Source

_WORDS = ("class_name", "className", "modelTopology", "graph-model", '"versions"')
"""Words that every Keras or TensorFlow.js model contains at least one of."""


class KerasJson(Reader):
    """The text of a Keras model, whatever stands around it."""

    suffixes = (".json",)

    def recognizes(self, source: Source) -> bool:
        return not source.is_binary and any(word in source.text for word in _WORDS)

    def read(self, source: Source) -> Document:
        from initcli.sources.keras.translation import translated  # not needed to read a plain spec

        return translated(source.document)
