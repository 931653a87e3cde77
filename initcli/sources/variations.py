"""Changes of a spec that ``compare`` tries one after another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from initcli.documents.document import Document, Origin
from initcli.errors import Path, printable, quoted, some
from initcli.model import Model, leaves
from initcli.parameter import Parameter
from initcli.sources.overrides import (
    BadOverride,
    Given,
    matches,
    parsed,
    replaced,
    steps_of,
    takes,
    value_at,
    walk,
)

Filled = Literal["kernels", "biases"]
_KEPT_ACTIVATIONS = ("linear", "softmax", "log_softmax")
_ACTIVATION_LAYERS = ("ReLU", "LeakyReLU", "ELU", "PReLU")
_MAX_STEPS = 100
"""Numbers of one range."""


class Variation(NamedTuple):
    """A change of a document: its label, and the function that makes it.

    The function takes the document and its initializers before any variation.
    """

    label: str
    apply: Callable[[Document, Initializers], Document]


class Initializers(NamedTuple):
    """The arguments of a document that fill kernels alone, and biases alone, by their paths.

    ``kept`` names what no variation of kernels changes: recurrent kernels, kernels whose argument
    fills other tensors as well, and tensors of several axes that their layer says nothing of.
    """

    kernels: tuple[Path, ...] = ()
    biases: tuple[Path, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What no variation of kernels changes, as a note."""
        if not self.kept:
            return ()
        return (f"--kernel-initializer does not change {some(self.kept)}",)


def initializers_of(model: Model) -> Initializers:
    """The arguments that fill the kernels and biases of a model."""
    filled: dict[Path, list[Parameter]] = {}
    for layer in leaves(model.layers):
        for each in layer.parameters:
            if each.argument is not None and each.owner is not None:
                filled.setdefault(layer.path_of(each), []).append(each)
    kernels = [path for path, filling in filled.items() if all(p.is_kernel for p in filling)]
    kept = [
        each.path
        for filling in filled.values()
        if not all(p.is_kernel for p in filling)
        for each in filling
        if each.is_kernel or each.recurs or _is_unknown(each)
    ]
    biases = [path for path in filled if str(path[-1]).endswith("bias_initializer")]
    return Initializers(tuple(kernels), tuple(biases), tuple(kept))


def _is_unknown(parameter: Parameter) -> bool:
    """Whether a layer does not say what it does with a tensor of several axes."""
    layer, name = parameter.owner and parameter.owner.layer, parameter.argument or ""
    is_said = name.endswith("bias_initializer") or (layer and layer.acts_as() is not None)
    return parameter.contracts is None and len(parameter.shape) > 1 and not is_said


def kernels(texts: Iterable[str]) -> list[Variation]:
    """Each initializer for all kernels. A text is a list of them with commas, as in a spec."""
    return _initializers("--kernel-initializer", texts, "kernels")


def biases(texts: Iterable[str]) -> list[Variation]:
    """Each initializer for all biases."""
    return _initializers("--bias-initializer", texts, "biases")


def activations(texts: Iterable[str]) -> list[Variation]:
    """Each activation for all layers that have one.

    Linear and softmax activations and those of the last layer stay as they are.
    """
    return [
        Variation(_label(value), partial(_with_activation, given=given, value=value))
        for given in (Given("--activation", text) for text in texts)
        for value in _listed(given, 0)
    ]


def sweeps(texts: Iterable[str]) -> list[list[Variation]]:
    """Each value in turn at the path of a text.

    A text is ``PATH=A,B,...``, or ``PATH=LOW:HIGH:N`` for N numbers at equal distances, or
    ``PATH=LOW:HIGH:logN`` at equal ratios; all with six significant digits.

    Raises:
        BadOverride: a text has another form.
    """
    every = [(given, *steps_of(given)) for given in (Given("--sweep", text) for text in texts)]
    ends = Counter(str(steps[-1]) for _, steps, _ in every)
    found = []
    for given, steps, start in every:
        end = str(steps[-1])
        name = end if ends[end] == 1 else printable(given.text[: start - 1])

        def apply(
            document: Document, _: Any, value: Origin, given: Given = given, steps: Any = steps
        ) -> Document:
            paths = matches(document.data, steps, given)
            return replaced(document, dict.fromkeys(paths, value))

        values = _range(given, start) or _listed(given, start)
        found.append([Variation(f"{name}={_label(v)}", partial(apply, value=v)) for v in values])
    return found


def _initializers(option: str, texts: Iterable[str], what: Filled) -> list[Variation]:
    return [
        Variation(_label(value), partial(_with_initializer, given=given, value=value, what=what))
        for given in (Given(option, text) for text in texts)
        for value in _listed(given, 0)
    ]


def _with_initializer(
    document: Document, initializers: Initializers, given: Given, value: Origin, what: Filled
) -> Document:
    paths: tuple[Path, ...] = getattr(initializers, what)
    if not paths:
        raise BadOverride(given, f"no layer has {what} whose initializer a spec can set")
    return replaced(document, dict.fromkeys(paths, value))


def _with_activation(document: Document, _: Any, given: Given, value: Origin) -> Document:
    layers = _layers(document)
    values: dict[Path, Origin] = {}
    for path, entry in walk(layers, ("layers",)):
        if path[:2] == ("layers", len(layers) - 1):
            continue
        if isinstance(entry, dict) and entry.get("type") in _ACTIVATION_LAYERS:
            kept = {key: each for key, each in entry.items() if key in ("name", "inputs")}
            name = value_at(value.document.data, value.path)
            data = {"type": "Activation", "activation": name, **kept}
            origins: dict[Path, Origin] = {(): Origin(document, path), ("activation",): value}
            layer = Document(document.file, document.text, data, dict, origins)
            values[path] = Origin(layer, ())
        elif takes(entry, "activation") and (used := entry.get("activation")) is not None:
            name = used.get("type") if isinstance(used, Mapping) else used
            if name not in _KEPT_ACTIVATIONS:
                values[(*path, "activation")] = value
    if layers and not values:
        raise BadOverride(given, "no layer but the last has an activation")
    return replaced(document, values)


def _layers(document: Document) -> list[Any]:
    """The entries of the layers; none if they are invalid, which building reports."""
    layers = document.data.get("layers") if isinstance(document.data, Mapping) else None
    return layers if isinstance(layers, list) else []


def _listed(given: Given, start: int) -> list[Origin]:
    """The items of a YAML list that is written without its brackets."""
    document = parsed(given, f"[{given.text[start:]}]", start - 1)
    if not document.data:
        raise BadOverride(given, "this lists no values", "separate them with commas")
    return [Origin(document, (index,)) for index in range(len(document.data))]


_RANGE = re.compile(r"\s*([^:,{}\[\]]+):([^:,{}\[\]]+):\s*(log)?\s*([0-9]{1,9})\s*")


def _range(given: Given, start: int) -> list[Origin]:
    """The numbers of a range; none if the text is no range."""
    written = _RANGE.fullmatch(given.text, start)
    if written is None:
        return []
    count = int(written[4])
    try:
        low, high = float(written[1]), float(written[2])
    except ValueError:
        return []
    if not (np.isfinite([low, high]).all() and 2 <= count <= _MAX_STEPS):
        message = f"a range has two finite numbers and from 2 to {_MAX_STEPS} steps"
        raise BadOverride(given, message, "such as 0.01:0.2:log5")
    if written[3] and low * high <= 0:
        raise BadOverride(given, "equal ratios need two numbers of the same sign, and not 0")
    numbers = (np.geomspace if written[3] else np.linspace)(low, high, count)
    rounded = [float(f"{number:.6g}") for number in numbers]
    if all(number.is_integer() for number in rounded) and max(map(abs, rounded)) < 1e6:
        rounded = list(map(int, rounded))
    return [given.origin(number, start) for number in rounded]


def _label(value: Origin) -> str:
    """The label of a value: its name, with its arguments in parentheses."""
    data = value_at(value.document.data, value.path)
    if isinstance(data, Mapping) and "type" in data:
        arguments = (f"{key}={each}" for key, each in data.items() if key != "type")
        return printable(f"{data['type']}({', '.join(arguments)})")
    return printable(data) if isinstance(data, str) else quoted(data)
