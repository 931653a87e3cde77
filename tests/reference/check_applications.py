"""Judge every model of keras.applications and print what is found, as one line a model.

Install the public packages, and initcli itself from this repository, then run from any directory:

    pip install keras==3.15.1 jax
    KERAS_BACKEND=jax python check_applications.py        # or only some: ... VGG16 MobileNetV2

Ends with status 1 where a model that is known to train gives an error.
"""

import collections
import inspect
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

import initcli


def main(names):
    known = {
        name: build
        for name, build in inspect.getmembers(keras.applications, inspect.isfunction)
        if name[0].isupper()
    }
    wrong = 0
    for name in names or known:
        report = initcli.check(initcli.parse(known[name](weights=None).to_json()))
        keras.utils.clear_session()
        counts = collections.Counter(each.code for each in report.findings)
        print(name, "errors", report.errors, "warnings", dict(counts), flush=True)
        wrong += report.errors
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
