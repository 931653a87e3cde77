"""Keras models' own JSON to the plain data of a spec. Nothing in a file is ever run.

Read are the texts of ``to_json()``, those of ``to_yaml()`` of Keras up to 2.5, and the
``config.json`` of a ``.keras`` archive, of Keras 3
(https://keras.io/api/models/model_saving_apis) and of Keras 2. What only its author's code can
compute becomes an Opaque layer, whose output has the shape that its neighbours recorded.
"""

from initcli.sources.keras.finding import model_in
from initcli.sources.keras.translation import from_keras

__all__ = ["from_keras", "model_in"]
