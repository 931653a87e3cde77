"""Parametrizations: how initial scales, multipliers and learning rates depend on the width.

- ``standard``: initializers as the spec names them.
- ``mup``: the maximal update parametrization, table 8 of Tensor Programs V (Yang et al. 2022,
  arXiv:2203.03466), as the package ``mup`` has it. At the width of the base model it is the
  standard one. With r the width in units of that of the base model:

  ==================  =================  ==========  =========  ========
  parameter           initial scale      multiplier  Adam rate  SGD rate
  ==================  =================  ==========  =========  ========
  input, bias, gain   that of the base   1           1          r
  hidden kernel       base / √r          1           1 / r      1
  output kernel       that of the base   1 / r       1          r
  ==================  =================  ==========  =========  ========

  Where heads of attention are wider than those of the base model, queries are multiplied by
  √(d_base / d), so that scores are divided by d in place of √d (definition 4.1).

- ``ntk``: the neural tangent parametrization (Jacot et al. 2018, arXiv:1806.07572): kernels start
  with variance 1 and are multiplied by σ / √fan_in, where σ is what the initializer says of the
  base model. So are biases, by the size β that their initializer says; those of 0 stay as they
  are. Learning rates are those given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import msgspec

from initcli.choices import Parametrization
from initcli.documents.document import Document, Origin
from initcli.errors import some
from initcli.initializers import Rescaled
from initcli.layers.attention import GroupedQueryAttention, MultiHeadAttention
from initcli.layers.embedding import ReversibleEmbedding
from initcli.model import Model, leaves, with_parameters
from initcli.parameter import Parameter
from initcli.sources.overrides import Given, replaced
from initcli.sources.widths import LARGEST_FACTOR, hidden_sizes, scaled

_EXACT = 10_000
"""Largest denominator of a width that is taken as a fraction."""
_CLOSE = 1e-9


def parametrized(
    model: Model, kind: Parametrization, base_width: float, build: Callable[[Document], Model]
) -> Model:
    """The model with the scales, multipliers and learning rates of a parametrization.

    Args:
        model: built in the standard parametrization.
        kind: which.
        base_width: width of the base model, in units of the model's.
        build: builds a document in the standard parametrization.

    Raises:
        BadOverride: the base model has a number of heads that is not whole.
        InvalidSpec: the base model does not fit.
    """
    document = model.document
    if kind == "standard":
        return model
    if not 1 / LARGEST_FACTOR <= base_width <= LARGEST_FACTOR:
        message = f"`base_width` lies between 1/{LARGEST_FACTOR:,} and {LARGEST_FACTOR:,}"
        raise document.refused(message, ("base_width",))
    given = Given("base_width", f"{base_width:g}")
    factor = Fraction(base_width).limit_denominator(_EXACT)
    if factor != 1:
        document = scaled(document, hidden_sizes(model), given, factor)
    word = Document(document.file, document.text, "standard", dict)
    base = build(replaced(document, {("parametrization",): Origin(word, ())}))
    pairs = zip(model.parameters, base.parameters, strict=True)
    tied = {
        f"{layer.name}/embeddings"
        for layer in leaves(model.layers)
        if isinstance(layer.layer, ReversibleEmbedding) and layer.layer.tie_weights
    }
    queries = {
        f"{layer.name}/query/{name}"
        for layer in leaves(model.layers)
        if isinstance(layer.layer, MultiHeadAttention | GroupedQueryAttention)
        for name in ("kernel", "bias")
    }

    def changed(parameter: Parameter, base: Parameter) -> Parameter | None:
        made = _of(parameter, base, kind, parameter.path in tied)
        if made is None or kind != "mup" or parameter.path not in queries:
            return made
        narrower = math.sqrt(base.shape[-1] / parameter.shape[-1])
        return msgspec.structs.replace(made, multiplier=made.multiplier * narrower)

    found = {parameter.path: changed(parameter, other) for parameter, other in pairs}
    unknown = [path for path, each in found.items() if each is None]
    notes = model.notes
    if unknown:
        notes += (f"parametrization {kind}: not known for {some(unknown)}, which stays standard",)

    def change(parameter: Parameter) -> Parameter:
        return found[parameter.path] or parameter

    layers = tuple(with_parameters(layer, change) for layer in model.layers)
    return msgspec.structs.replace(model, layers=layers, parametrization=kind, notes=notes)


class _Widths(NamedTuple):
    """By how much a parameter is wider than that of the base model, over groups of its axes."""

    summed: float
    """Over the axes that it sums over."""
    others: float
    is_matrix: bool
    """Whether the width is on both sides."""


def _of(
    parameter: Parameter, base: Parameter, kind: Parametrization, is_tied: bool
) -> Parameter | None:
    """The parameter in the parametrization; None where it is not known."""
    if kind == "mup" and parameter.shape == base.shape:
        return parameter
    widths = _widths(parameter, base)
    own, wanted = _size(parameter), _size(base)
    if widths is None or own is None or wanted is None:
        return None
    if kind == "ntk":
        is_multiplied = parameter.contracts or parameter.name.endswith("bias")
        return _ntk(parameter, wanted, widths) if is_multiplied else parameter
    if widths.is_matrix:
        wanted /= math.sqrt(widths.summed)
    is_output = not widths.is_matrix and (is_tied or widths.summed != 1)
    width = widths.summed * widths.others
    return msgspec.structs.replace(
        _rescaled(parameter, wanted / own if own else 1.0),
        multiplier=1 / width if is_output else 1.0,
        adam_rate=1 / widths.summed if widths.is_matrix else 1.0,
        sgd_rate=widths.others / widths.summed if widths.is_matrix else width,
    )


def _ntk(parameter: Parameter, wanted: float, widths: _Widths) -> Parameter:
    """Entries of size 1, and the scale as a multiplier."""
    own = _size(parameter)
    if not own or not wanted:
        return parameter
    scale = wanted / math.sqrt(widths.summed)
    return msgspec.structs.replace(_rescaled(parameter, 1 / own), multiplier=scale)


def _widths(parameter: Parameter, base: Parameter) -> _Widths | None:
    ratios = [a / b for a, b in zip(parameter.shape, base.shape, strict=True)]
    wide = [axis for axis, ratio in enumerate(ratios) if ratio != 1]
    summed = parameter.contracts
    if summed is None:
        if len(wide) > 1:
            return None
        summed = ()
    within = math.prod(ratios[axis] for axis in summed)
    others = math.prod(ratio for axis, ratio in enumerate(ratios) if axis not in summed)
    is_matrix = any(axis in summed for axis in wide) and any(axis not in summed for axis in wide)
    return _Widths(within, others, is_matrix)


def _size(parameter: Parameter) -> float | None:
    """The root mean square of an entry; None for a distribution that is not known."""
    distribution = parameter.distribution
    return None if distribution is None else math.hypot(distribution.mean, distribution.std)


def _rescaled(parameter: Parameter, times: float) -> Parameter:
    if math.isclose(times, 1, rel_tol=_CLOSE):
        return parameter
    made = Rescaled(declared=parameter.initializer, times=times)
    return msgspec.structs.replace(parameter, initializer=made)
