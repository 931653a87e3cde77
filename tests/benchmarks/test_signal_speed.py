"""How long a signal takes, forwards and backwards, beside the bare matrix products of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import initcli
from support.beside import beside


def test_a_stack_of_20_wide_layers(benchmark: Any) -> None:
    width, depth, batch = 512, 20, 64
    layer = {"type": "Dense", "units": width, "activation": "relu"}
    model = initcli.parse(json.dumps({"input_shape": [width], "layers": [layer] * depth}))
    rng = np.random.default_rng(0)

    def products() -> Any:
        """Weights, outputs, and gradients of both."""
        with threadpool_limits(1, "blas"):
            x = [rng.standard_normal((batch, width), np.float32)]
            kernels = [rng.standard_normal((width, width), np.float32) / 16 for _ in range(depth)]
            for kernel in kernels:
                x.append(np.maximum(x[-1] @ kernel, 0))
            g: Any = rng.standard_normal((batch, width), np.float32)
            for kernel, before, after in zip(kernels[::-1], x[-2::-1], x[:0:-1], strict=True):
                g = g * (after > 0)
                _, g = before.T @ g, g @ kernel.T
            return g

    signal = beside(benchmark, products, lambda: initcli.measure_signal(model, draws=1))
    assert len(signal.layers) == depth


def test_the_theory_of_1000_layers(benchmark: Any) -> None:
    text = json.dumps(
        {
            "input_shape": [64],
            "layers": [
                {
                    "repeat": 250,
                    "layers": [
                        {"type": "LayerNormalization"},
                        {"type": "Dense", "units": 64, "activation": "gelu"},
                        {"type": "Dense", "units": 64, "name": "down"},
                        {"type": "Add", "inputs": ["input", "down"]},
                    ],
                }
            ],
        }
    )
    model = initcli.parse(text)
    signal = beside(
        benchmark, lambda: initcli.parse(text), lambda: initcli.predict_signal(model), 3
    )
    assert len(signal.layers) == 1000
