"""What a weight costs to draw and to measure, beside a bare fill with nothing measured.

The whole command is timed, its start included; the baseline is NumPy's ``Generator`` filling
buffers on all cores, in a process that has started already.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from initcli.initializers.orthogonal import haar
from initcli.sampling.workers import cores
from support.beside import beside, python

CHUNK = 1 << 16
Fill = Callable[[np.random.Generator, Any], Any]


def uniforms(rng: np.random.Generator, out: Any) -> None:
    rng.random(out=out, dtype=np.float32)


def normals(rng: np.random.Generator, out: Any) -> None:
    rng.standard_normal(out=out, dtype=np.float32)


def fill(weights: int, chunk: Fill) -> None:
    """Fill buffers on all cores, each with a generator and a buffer of its own."""

    def part(seed: int) -> None:
        rng, out = np.random.default_rng(seed), np.empty(CHUNK, np.float32)
        for _ in range(weights // cores() // CHUNK):
            chunk(rng, out)

    with ThreadPoolExecutor(cores()) as threads:
        list(threads.map(part, range(cores())))


@pytest.mark.parametrize(
    ("initializer", "baseline"),
    [("random_normal", normals), ("random_uniform", uniforms), ("truncated_normal", normals)],
)
def test_a_billion_weights(
    benchmark: Any, tmp_path: Path, initializer: str, baseline: Fill
) -> None:
    side = 8192 if benchmark.enabled else 1024
    layer = {"type": "Dense", "units": side, "kernel_initializer": initializer, "use_bias": False}
    spec = tmp_path / "many.json"
    blocks = [{"repeat": 15, "layers": [layer]}]
    spec.write_text(json.dumps({"input_shape": [side], "layers": blocks}))
    command = python("-m", "initcli", "summary", spec, "--format", "json")
    printed = beside(benchmark, lambda: fill(15 * side**2, baseline), command, 3)
    assert json.loads(printed)["totals"]["params"] == 15 * side**2


@pytest.mark.parametrize("shape", [(4096, 4096), (50257, 768), (768, 50257)])
def test_an_orthogonal_matrix(benchmark: Any, shape: tuple[int, int]) -> None:
    rows, columns = shape if benchmark.enabled else (shape[0] // 16, shape[1] // 16)
    rng = np.random.default_rng(0)

    def decomposed() -> Any:
        """What a framework does: a decomposition of a normal matrix, and signs."""
        normal = rng.standard_normal((max(rows, columns), min(rows, columns)), np.float32)
        q, r = np.linalg.qr(normal)
        return q * np.sign(np.diagonal(r))

    def made() -> Any:
        return haar(rows, columns, rng, np.dtype(np.float32))

    assert beside(benchmark, decomposed, made, 3).shape == (rows, columns)
