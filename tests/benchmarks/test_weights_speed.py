"""How long it takes to measure stored weights, beside what safetensors and NumPy take.

The baseline loads each tensor and takes mean, standard deviation, least and greatest value alone;
of 16 bits it must make 32 first. The ratio of initcli includes a histogram and the counts of zeros,
NaNs and infinities.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from initcli.measuring.measure import measure
from initcli.sources.weights.read import checkpoint
from support.beside import beside


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_measuring_four_million_weights(benchmark: Any, tmp_path: Path, dtype: str) -> None:
    values = (0.02 * np.random.default_rng(0).standard_normal((4, 1024, 1024))).astype(dtype)
    file = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({f"layer.{i}": each for i, each in enumerate(values)}, file)

    def with_numpy() -> None:
        for array in safetensors.numpy.load_file(file).values():
            wide = array.astype(np.float32)
            _ = wide.mean(), wide.std(), wide.min(), wide.max()

    def with_initcli() -> int:
        found = checkpoint(str(file))
        assert found is not None
        return sum(seen.count for _, seen in measure(found.parameters))

    assert beside(benchmark, with_numpy, with_initcli) == values.size


def test_listing_100_000_tensors(benchmark: Any, tmp_path: Path) -> None:
    entries = {
        f"layers.{i // 100}.experts.{i % 100}.weight": {
            "dtype": "F32",
            "shape": [1],
            "data_offsets": [4 * i, 4 * i + 4],
        }
        for i in range(100_000)
    }
    text = json.dumps(entries).encode()
    file = tmp_path / "many.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(400_000))

    def listed() -> int:
        found = checkpoint(str(file))
        assert found is not None
        return len(found.tensors)

    assert beside(benchmark, lambda: json.loads(text), listed) == 100_000
