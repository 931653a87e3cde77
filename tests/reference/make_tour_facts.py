"""Write down what the real Keras draws for the tour, as sample_configs/facts/tour_keras.json.

Install the public packages, then run from any directory:

    pip install keras==3.15.1 jax
    KERAS_BACKEND=jax python make_tour_facts.py

The notebook of the tour shows these figures beside those of initcli.
"""

import json
from pathlib import Path

import keras
import numpy as np
from keras import layers

SAMPLES = Path(__file__).parents[2] / "sample_configs"


def figures(model):
    """The statistics of every weight, by its path."""
    found = {}
    for layer in model.layers:
        for weight in layer.weights:
            values = np.asarray(weight, np.float64)
            path = weight.path.removeprefix(f"{model.name}/")
            shown = {
                "mean": values.mean(),
                "std": values.std(),
                "min": values.min(),
                "max": values.max(),
            }
            found[path] = {name: float(f"{value:.4g}") for name, value in shown.items()}
    return found


def facts():
    """The figures of each step of the notebook."""
    keras.utils.set_random_seed(0)
    conv = {"filters": 16, "kernel_size": 3, "activation": "relu"}
    defaults = keras.Sequential(
        [keras.Input((128, 64)), layers.Conv1D(**conv), layers.LSTM(32), layers.Dense(64)]
    )
    keras.utils.clear_session()  # names count from the start again
    keras.utils.set_random_seed(0)
    tour = keras.models.model_from_json((SAMPLES / "keras_tour.json").read_text("utf-8"))
    try:
        layers.MaxPooling1D(4, kernel_initializer="he_uniform")
    except Exception as error:
        message = str(error)
    return {
        "keras": keras.__version__,
        "defaults": figures(defaults),
        "tour": figures(tour),
        "error": message,
    }


if __name__ == "__main__":
    text = json.dumps(facts(), indent=1)
    (SAMPLES / "facts" / "tour_keras.json").write_text(text + "\n", "utf-8")
