"""Small specs and archives."""

from __future__ import annotations

import io
import json
import zipfile

DENSE = "input_shape: [3]\nlayers: [{type: Dense, units: 2}]\n"
CONFIG = json.dumps(
    {
        "class_name": "Sequential",
        "config": {
            "name": "small",
            "layers": [
                {"class_name": "InputLayer", "config": {"batch_shape": [None, 3]}},
                {"class_name": "Dense", "config": {"units": 2}},
            ],
        },
    }
).encode()


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, content in members:
            made.writestr(name, content)
    return stream.getvalue()
