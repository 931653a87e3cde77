"""Translation of Keras models to the plain data of a spec. Nothing in a file is ever run.

Models come as the text of ``to_json()``, of ``to_yaml()`` of Keras up to 2.5, and as the
``config.json`` of a ``.keras`` archive (https://keras.io/api/models/model_saving_apis), from
Keras 1, 2 and 3. A layer that only its author's code can compute becomes an Opaque layer, whose
output has the shape that its neighbors recorded.
"""

from initcli.documents.document import Document
from initcli.sources.keras.finding import model_in
from initcli.sources.keras.translation import from_keras

__all__ = ["translated"]


def translated(document: Document) -> Document:
    """The spec that says what the Keras model in a document says; other documents as they are.

    Raises:
        InvalidSpec: the model cannot be read.
    """
    model = model_in(document)
    return document if model is None else from_keras(model)
