"""Several models side by side: which initialization keeps the signal's size best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import msgspec

from initcli.activations import known_activations
from initcli.errors import CodeError, NotInCatalog, did_you_mean, printable, quoted
from initcli.frameworks import Framework
from initcli.initializers import known_initializers
from initcli.model import Model
from initcli.signal.figures import Signal
from initcli.signal.measured import (
    BATCH,
    SECONDS,
    NotAfforded,
    instead,
    measure_signal,
    planned,
    predict_signal,
)
from initcli.signal.verdict import Verdict, verdict
from initcli.sources.building import build
from initcli.sources.code.objects import is_code
from initcli.sources.load import custom_functions
from initcli.sources.overrides import overridden, varied
from initcli.sources.read import read
from initcli.types import Array


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One of the models compared: what it is called, its signal, and what that comes to."""

    label: str
    signal: Signal
    verdict: Verdict


def variants(
    sources: Sequence[str],
    *,
    kernel_initializers: Sequence[str] = (),
    activations: Sequence[str] = (),
    defaults: Sequence[Framework] = (),
    seed: int | None = None,
    custom: Iterable[str] = (),
    changes: Iterable[str] = (),
) -> list[tuple[str, Model]]:
    """The models of the specs, each in every combination of what is varied, with a label.

    Args:
        sources: paths, or ``-`` for standard input.
        kernel_initializers: names, each in turn the initializer of all kernels.
        activations: names, each in turn the activation of all layers that have one, but for the
            last layer and softmax.
        defaults: whose default initializers.
        seed: wins over the specs' own.
        custom: Python files whose public functions are initializers; they are run.
        changes: values of every spec to change, as in :func:`initcli.load`.

    Raises:
        InvalidSpec: a spec cannot be read, or is wrong; with all its problems.
        NotInCatalog: no initializer or activation has that name.

    >>> import initcli
    >>> found = initcli.variants(["sample_configs/lenet5.yaml"], defaults=["keras", "torch"])
    >>> [(label, model.defaults) for label, model in found]
    [('keras', 'keras'), ('torch', 'torch')]
    """
    functions = custom_functions(custom)
    changes = list(changes)
    options: list[list[Any]] = [
        list(each) or [None] for each in (kernel_initializers, activations, defaults)
    ]
    found = []
    for source in sources:
        if is_code(source):
            message = f"{printable(source)} is code, of which no signal is known"
            raise CodeError(message, "name specs or Keras models")
        document = overridden(read(source), changes)
        own = {*functions, *_recipes(document.data)}
        _refuse_unknown("initializer", kernel_initializers, {*known_initializers(), *own})
        _refuse_unknown("activation", activations, set(known_activations()))
        for kernel, activation, framework in product(*options):
            changed = varied(document, kernel=kernel, activation=activation)
            model = build(changed, seed=seed, defaults=framework, functions=functions)
            names = [source if len(sources) > 1 else None, kernel, activation, framework]
            label = " · ".join(name for name in names if name) or model.name
            found.append((label, model))
    return found


def _recipes(data: Any) -> Iterable[str]:
    found = data.get("initializers") if isinstance(data, Mapping) else None
    return found if isinstance(found, Mapping) else ()


def _refuse_unknown(kind: str, names: Iterable[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            remedy = did_you_mean(name, known) or f"`initcli catalog` lists every {kind}"
            raise NotInCatalog(f"unknown {kind} {quoted(name)}", remedy)


def compare(
    models: Sequence[tuple[str, Model]],
    *,
    batch: int | None = None,
    draws: int | None = None,
    theory: bool = False,
    inputs: Mapping[str, Array] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Compared]:
    """The signals of several models, those that keep their size best first.

    Args:
        models: each with its label.
        batch: examples; by default 64, or as many as fit in memory and a minute for all models.
        draws: how often to draw weights and inputs anew; by default 5, or as for the batch.
        theory: predict from the distributions alone, with nothing drawn.
        inputs: one's own, by the name of the input.
        progress: told of steps that are done, and of how many there are for one model.

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
    found = []
    for label, model in models:
        if theory:
            signal = predict_signal(model, batch=batch or BATCH)
        else:
            try:
                seconds = SECONDS / len(models)
                plan = planned(model, batch=batch, draws=draws, inputs=inputs, seconds=seconds)
                signal = measure_signal(model, inputs=inputs, progress=progress, plan=plan)
            except NotAfforded as error:
                if batch is not None or inputs:
                    raise
                signal = instead(model, error)
        found.append(Compared(label=label, signal=signal, verdict=verdict(signal)))
    return sorted(found, key=_distance)


def _distance(compared: Compared) -> float:
    distance = compared.verdict.distance
    return math.inf if distance is None else distance
