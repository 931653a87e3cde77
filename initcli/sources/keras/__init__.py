"""Translation of Keras models to the plain data of a spec. Nothing in a file is ever run.

Models come as the text of ``to_json()``, of ``to_yaml()`` of Keras up to 2.5, and as the
``config.json`` of a ``.keras`` archive (https://keras.io/api/models/model_saving_apis), from
Keras 1, 2 and 3. A layer that only its author's code can compute becomes an Opaque layer, whose
output has the shape that its neighbors recorded.
"""
