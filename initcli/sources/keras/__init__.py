"""Translation of Keras models to the plain data of a spec. Nothing in a file is executed.

Models are the output of ``to_json()``, of ``to_yaml()`` of Keras up to 2.5, or the ``config.json``
of a ``.keras`` archive (https://keras.io/api/models/model_saving_apis), from Keras 1, 2 and 3. A
layer with custom code becomes an Opaque layer, whose output shape is the one that its neighbors
record.
"""
