"""Products with weights run on several threads where each product is large, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

import initcli
from initcli.signal import passes
from initcli.signal.passes import Pass, drawn_values, forwards
from initcli.signal.program import program


def threads() -> int:
    return min(int(each["num_threads"]) for each in threadpool_info() if each["user_api"] == "blas")


def threads_of_layers(spec: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads of BLAS while each layer is computed."""
    seen: list[int] = []
    compute = passes.computed_step

    def watched(*arguments: Any) -> Any:
        seen.append(threads())
        return compute(*arguments)

    monkeypatch.setattr(passes, "computed_step", watched)
    built = program(initcli.parse(spec), batch)
    (given,) = built.inputs
    tensors = {given.tensor: np.ones(built.shapes[given.tensor], np.float32)}
    with threadpool_limits(1, "blas"):
        for _ in forwards(built, tensors, Pass(drawn_values(1 << 28), "0", threads=2)):
            pass
        assert threads() == 1
    return seen


@pytest.mark.skipif(
    not any(each["user_api"] == "blas" for each in ThreadpoolController().info()),
    reason="NumPy's BLAS has no threads that can be set",
)
def test_only_large_products_have_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    convolution = (
        "{input_shape: [24, 24, 32], layers: [{type: Conv2D, filters: 32, kernel_size: 3}]}"
    )
    # 22 positions of a row times 9,216 weights, and 64 examples times 1.0 or 0.3 million.
    assert threads_of_layers(convolution, 64, monkeypatch) == [1]
    dense = "{input_shape: [1024], layers: [{type: Dense, units: 1024}, {type: Dense, units: 300}]}"
    assert threads_of_layers(dense, 64, monkeypatch) == [2, 1]
    recurrent = "{input_shape: [50, 64], layers: [{type: LSTM, units: 64}]}"
    assert set(threads_of_layers(recurrent, 64, monkeypatch)) == {1}
