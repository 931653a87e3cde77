"""Comparison of models by how well they keep the size of the signal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from itertools import product
from os import PathLike
from typing import Any, ClassVar, cast

import msgspec

from initcli.display import DisplayedSequence
from initcli.documents.document import Document
from initcli.errors import CodeError, SignalError, TooLarge, printable
from initcli.frameworks import Framework
from initcli.model import Model, Width, with_notes
from initcli.signal.figures import Signal
from initcli.signal.measured import instead, measure_signal, predict_signal
from initcli.signal.planning import BATCH, SECONDS, NotAfforded, Plan, planned
from initcli.signal.program import program
from initcli.signal.training import Trained, Training, train
from initcli.signal.verdict import Verdict, verdict
from initcli.sources import variations
from initcli.sources.code.objects import is_code
from initcli.sources.load import computable, custom_functions, model_of
from initcli.sources.overrides import BadOverride, Given, overridden
from initcli.sources.read import read
from initcli.sources.widths import factors, hidden_sizes, is_rounded, scaled, with_scale
from initcli.types import Array, texts

MAX_VARIANTS = 1_000
"""The largest number of models of a comparison."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One of the models: its label, signal and verdict.

    ``trained`` has the first steps of training, if any were taken.
    """

    label: str
    signal: Signal
    verdict: Verdict
    trained: Trained | None = None


class Comparison(DisplayedSequence[Compared], frozen=True, kw_only=True):
    """Models and their signals, ordered by how well they keep their size."""

    view: ClassVar[str] = "compare"

    @property
    def headline(self) -> str:
        return f"of {len(self):,} models, the best first"

    def lines(self) -> Iterator[tuple[str, ...]]:
        for each in self:
            yield each.label, each.verdict.text


def variants(
    sources: Iterable[str | PathLike[str]],
    *,
    kernel_initializers: Iterable[str] = (),
    bias_initializers: Iterable[str] = (),
    activations: Iterable[str] = (),
    defaults: Sequence[Framework] = (),
    sweeps: Iterable[str] = (),
    widths: Iterable[str] = (),
    scale: Iterable[str] = (),
    seed: int | None = None,
    custom: Iterable[str | PathLike[str]] = (),
    changes: Iterable[str] = (),
) -> list[tuple[str, Model]]:
    """The models of the specs in every combination of the variations, each with a label.

    Args:
        sources: paths, or ``-`` for standard input.
        kernel_initializers: initializers for all kernels, as in a spec: ``he_normal``, or
            ``{type: VarianceScaling, scale: 1.5}``. A text may be a list with commas.
        bias_initializers: initializers for all biases.
        activations: activations for all layers that have one, except the last layer and softmax.
        defaults: frameworks whose default initializers to use.
        sweeps: texts ``PATH=VALUES`` with values to set at the path as in ``changes``. VALUES are a
            list with commas, ``LOW:HIGH:N`` for N equidistant numbers, or ``LOW:HIGH:logN`` for
            equal ratios.
        widths: texts ``0.5,1,2`` of factors for all hidden sizes; see
            :mod:`initcli.sources.widths`.
        scale: names of arguments, or patterns of ``layer.argument``, to scale instead of those that
            the layers declare.
        seed: overrides the seeds of the specs.
        custom: Python files whose public callables are initializers; they are executed.
        changes: changes to every spec, as in :func:`initcli.load`.

    Raises:
        InvalidSpec: a spec or a value is invalid; with all its problems.
        BadOverride: a change or a sweep cannot be parsed, or changes nothing.
        TooLarge: there are more combinations than :data:`MAX_VARIANTS`.

    >>> import initcli
    >>> found = initcli.variants(["sample_configs/lenet5.yaml"], defaults=["keras", "torch"])
    >>> [(label, model.defaults) for label, model in found]
    [('keras', 'keras'), ('torch', 'torch')]
    """
    functions = custom_functions(custom)
    sources, changes = texts("sources", sources), texts("changes", changes)
    frameworks = cast("tuple[Framework | None, ...]", texts("defaults", defaults) or (None,))
    tried = [
        variations.kernels(texts("kernel_initializers", kernel_initializers)),
        variations.biases(texts("bias_initializers", bias_initializers)),
        variations.activations(texts("activations", activations)),
        *variations.sweeps(texts("sweeps", sweeps)),
    ]
    varied = [each for each in tried if each]
    scaled_by, wanted = factors(texts("widths", widths)), texts("scale", scale)
    count = math.prod(map(len, (sources, frameworks, *varied, scaled_by or (None,))))
    if count > MAX_VARIANTS:
        message = f"{count:,} combinations are more than the {MAX_VARIANTS:,} that are compared"
        raise TooLarge(message, "vary fewer values at a time")
    found: list[tuple[str, Model]] = []
    for source in sources:
        if is_code(source):
            message = f"{printable(source)} is code, of which no signal is known"
            raise CodeError(message, "name specs or Keras models")
        document = overridden(read(source), changes)
        if document.dialect == "huggingface" and any(tried[:3]):
            message = f"{printable(source)}: the library alone decides initializers and activations"
            raise CodeError(message, f"`initcli init --from {printable(source)}` writes a spec")
        filled = variations.Initializers()
        if any(tried[:2]):
            filled = variations.initializers_of(model_of(document, seed, None, functions))
        for chosen, framework in product(product(*varied), frameworks):
            changed = document
            for each in chosen:
                changed = each.apply(changed, filled)
            names = [
                *([source] if len(sources) > 1 else []),
                *(each.label for each in chosen),
                *([framework] if framework else []),
            ]
            build = partial(model_of, seed=seed, defaults=framework, functions=functions)
            label = " · ".join(names)
            if scaled_by:
                made = list(_of_widths(build, changed, label, scaled_by, wanted))
            else:
                model = computable(build(changed))
                made = [(label or model.name, model)]
            found += [
                (label, with_notes(model, filled.notes if tried[0] else ()))
                for label, model in made
            ]
    return found


def _of_widths(
    build: Callable[[Document], Model],
    document: Document,
    family: str,
    scaled_by: Sequence[tuple[Given, Fraction]],
    scale: Sequence[str],
) -> Iterator[tuple[str, Model]]:
    """The models of a document at each width, with labels."""
    sizes = hidden_sizes(build(document), scale)
    document = with_scale(document, scale)
    if not any(not size.why for size in sizes):
        message = f"{printable(document.file)} has no size that could be scaled"
        raise BadOverride(scaled_by[0][0], message, "name one: --scale LAYER.ARGUMENT")
    for given, factor in scaled_by:
        model = computable(build(scaled(document, sizes, given, factor)))
        width = Width(
            factor=float(factor),
            family=family,
            scaled=tuple(size for size in sizes if not size.why),
            fixed=tuple(size for size in sizes if size.why),
        )
        notes = []
        if is_rounded(sizes, factor):
            notes.append(f"at width {float(factor):g} sizes are rounded to whole numbers")
        label = " · ".join(filter(None, (family, f"width={float(factor):g}")))
        yield label, msgspec.structs.replace(with_notes(model, notes), width=width)


def compare(
    models: Sequence[tuple[str, Model]],
    *,
    batch: int | None = None,
    draws: int | None = None,
    theory: bool = False,
    inputs: Mapping[str, Array] | None = None,
    progress: Callable[[int, int], None] | None = None,
    training: Training | None = None,
) -> Comparison:
    """The signals of several models, ordered by how well they keep their size.

    Args:
        models: each with its label.
        batch: number of examples; by default 64, or what fits in memory and a minute in total.
        draws: number of draws of weights and inputs; by default 5, or what fits.
        theory: predict from the distributions, without draws.
        inputs: arrays by the name of the input.
        progress: called with the number of steps done, and of all steps of a model.
        training: steps of training to take as well.

    Raises:
        SignalError: the signal cannot pass a layer, or memory is too small.

    >>> import initcli
    >>> models = initcli.variants(
    ...     ["sample_configs/mlp_relu_deep.yaml"],
    ...     kernel_initializers=["he_normal", "glorot_normal"],
    ... )
    >>> [(each.label, each.verdict.text) for each in initcli.compare(models, theory=True)]
    [('he_normal', 'keeps its size'), ('glorot_normal', 'signal vanishes')]
    """
    if not all(isinstance(each, tuple) for each in models):
        raise TypeError("pairs of a label and a model are needed, as initcli.variants gives them")
    if training is not None and theory:
        raise SignalError("training is measured, not predicted", "leave out theory")
    plans: list[Plan | NotAfforded | None] = [None] * len(models)
    if not theory:
        plans = _alike(models, _plans(models, batch, draws, inputs, training))
    found = []
    for (label, model), plan in zip(models, plans, strict=True):
        trained = None
        if plan is None:
            signal = predict_signal(model, batch=batch or BATCH)
        elif isinstance(plan, NotAfforded):
            signal = instead(model, plan)
        else:
            signal = measure_signal(model, inputs=inputs, progress=progress, plan=plan)
            if training is not None:
                trained = train(model, plan.program, training, draws=plan.draws)
        own = verdict(signal)
        found.append(Compared(label=label, signal=signal, verdict=own, trained=trained))
    return Comparison(entries=tuple(sorted(found, key=_distance)))


def _plans(
    models: Sequence[tuple[str, Model]],
    batch: int | None,
    draws: int | None,
    inputs: Mapping[str, Array] | None,
    training: Training | None,
) -> list[Plan | NotAfforded | None]:
    """The plan of each model within its share of the time, or the reason why there is none."""
    seconds, steps = SECONDS / max(len(models), 1), training.steps if training else 0
    plans: list[Plan | NotAfforded | None] = []
    for _, model in models:
        try:
            asked: Any = {"batch": batch, "draws": draws, "inputs": inputs}
            plans.append(planned(model, **asked, seconds=seconds, steps=steps))
        except NotAfforded as error:
            if batch is not None or inputs or training is not None:
                raise
            plans.append(error)
    return plans


def _alike(
    models: Sequence[tuple[str, Model]], plans: Sequence[Plan | NotAfforded | None]
) -> list[Plan | NotAfforded | None]:
    """The plans, with the same examples and draws for all models that differ in width.

    The gradient of a parameter depends on the number of examples.
    """
    pairs = list(zip((model for _, model in models), plans, strict=True))
    known = [each for model, each in pairs if isinstance(each, Plan) and model.width is not None]
    refused = [each for model, each in pairs if not isinstance(each, Plan) and model.width]
    if refused:
        return [refused[0] if model.width else each for model, each in pairs]
    if not known:
        return list(plans)
    least = min(known, key=lambda plan: (plan.program.batch, plan.draws))
    batch, draws = least.program.batch, min(plan.draws for plan in known)
    same: list[Plan | NotAfforded | None] = []
    for model, plan in pairs:
        if isinstance(plan, Plan) and (plan.program.batch, plan.draws) != (batch, draws):
            plan = Plan(program=program(model, batch), draws=draws, notes=least.notes)
        same.append(plan)
    return same


def ranks(compared: Sequence[Compared]) -> list[int]:
    """The rank of each model; equal distances have equal ranks."""
    distances = [_distance(each) for each in compared]
    return [distances.index(distance) + 1 for distance in distances]


def _distance(compared: Compared) -> float:
    """The distance, rounded to less than the difference between draws."""
    distance = compared.verdict.distance
    return math.inf if distance is None else round(distance, 2)
