"""Rules of theory: one class adds one, and a layer without a rule is not known."""

from __future__ import annotations

import json
from typing import Any

import pytest

import initcli
from initcli.layers.base import Layer
from initcli.signal.field import Field
from initcli.signal.initial_fields import standard
from initcli.signal.measured import measure_signal, predict_signal
from initcli.signal.rules.base import Context, EntrywiseRule, Expected, Gradient, NoTheory, affine
from initcli.signal.rules.layout import predicted
from initcli.types import Array

CONTEXT = Context({}, {}, [(4, 8)], [(4, 8)], options={})


class Silent(Layer, frozen=True, kw_only=True):
    """A layer that adds nothing to what every layer is."""

    registered = False


class Halved(Layer, frozen=True, kw_only=True):
    """A layer with a computation of its own."""

    registered = False

    def call(self, flow: Any, x: Array) -> Array:
        return x / 2


class AlsoHalved(Halved, frozen=True, kw_only=True):
    """A layer that inherits its computation."""

    registered = False


class HalvedRule(EntrywiseRule):
    layers = (Halved,)

    def expected(self, layer: Layer, context: Context, given: Field) -> Expected:
        return affine(given, 0.5, 0.0)


class Unknown(Layer, frozen=True, kw_only=True):
    """A layer with a computation of its own, and no rule."""

    registered = False

    def call(self, flow: Any, x: Array) -> Array:
        return x / 2


def test_a_layer_that_adds_nothing_passes_its_input_on() -> None:
    given = standard((), 8)
    output, pull, *_ = predicted(Silent(), CONTEXT, given)
    assert output == given
    gradient = Gradient.even(given.second)
    assert list(pull(gradient)) == [gradient]


def test_a_rule_is_one_class_and_holds_for_derived_layers() -> None:
    for layer in (Halved(), AlsoHalved()):
        output = predicted(layer, CONTEXT, standard((), 8)).output
        assert float(output.second) == pytest.approx(0.25)


def test_a_layer_without_a_rule_is_not_known() -> None:
    with pytest.raises(NoTheory):
        predicted(Unknown(), CONTEXT, standard((), 8))


@pytest.mark.parametrize(
    ("layers", "types"),
    [
        ([{"type": "Highway"}, {"type": "Dense", "units": 4}, {"type": "Highway"}], "Highway"),
        (
            [{"type": "Highway"}, {"type": "MaxoutDense", "output_dim": 4, "features": 2}],
            "Highway and MaxoutDense",
        ),
        ([{"type": "Identity"}, {"type": "Dense", "units": 4}], None),
    ],
)
def test_a_note_lists_the_types_without_a_rule(
    layers: list[dict[str, Any]], types: str | None
) -> None:
    model = initcli.parse(json.dumps({"input_shape": [8], "layers": layers}))
    note = f"theory has no rule for {types}: predictions "
    predicted, measured = ("end there", "continue from its measured output")
    assert predict_signal(model).notes == ((note + predicted,) if types else ())
    assert measure_signal(model, batch=4, draws=1).notes == ((note + measured,) if types else ())
    assert measure_signal(model, batch=4, draws=1, theory=False).notes == ()
