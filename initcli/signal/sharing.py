"""A cache of the results of rules, by content: equal calls with equal fields are computed once.

Repeated blocks have the same fields once these reach a fixed point or a cycle. A model that was
changed in one place has the same fields before that place. Cached results are the same to the last
bit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b

import msgspec
import numpy as np

from initcli import limits
from initcli.initializers import Initializer
from initcli.layers.base import Layer
from initcli.signal.field import Field, new_latent
from initcli.signal.joint import Cross
from initcli.signal.rules.base import Context, Expected, Gradient, NoTheory, rule_of
from initcli.signal.typical import Call, Figures, Made, made

_SHARE = 8
"""The inverse of the fraction of the allowed memory above which the cache is cleared."""
_OVERHEAD = 4096
"""Bytes of a field besides its arrays."""


class Shared:
    """The results of calls by their content."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._layers: dict[int, tuple[Layer, int]] = {}
        self._fields: dict[int, tuple[Field, int]] = {}
        self._known: dict[Hashable, tuple[Made, list[int]]] = {}
        self._bytes = 0

    def made(self, call: Call, afford: Callable[[], int]) -> Made:
        """The same as :func:`initcli.signal.typical.made`, computed once for equal calls.

        ``afford`` is called before a computation: it returns the bytes to keep, or raises NoTheory.
        """
        layer, context, given = call.layer, call.context, call.inputs

        def work() -> Made:
            self._bytes += afford()
            return made(call)

        try:
            latents = list(dict.fromkeys(_latents(given)))
            key = (
                self._number_of_layer(layer),
                tuple(context.weights.items()),
                tuple(context.sizes.values()),
                tuple(context.inputs),
                tuple(context.outputs),
                tuple(context.options.items()),
                tuple(context.initializers.values()),
                context.tied,
                self._common(layer, context, given),
                tuple(self._number(each) for each in given),
                tuple(latents.index(each) for each in _latents(given)),
                tuple(call.log_vars),
                call.batch,
                call.is_weighted,
            )
            found = self._known.get(key)
        except TypeError:
            return work()  # Some arguments cannot be hashed.
        if found is None:
            if self._bytes > limits.in_force().memory // _SHARE:
                self._forget()
                return work()
            found = self._known[key] = work(), latents
            return found[0]
        return self._renamed(*found, latents)

    def _number_of_layer(self, layer: Layer) -> int:
        """A number that is the same for layers with equal arguments.

        Names and initializers do not count: rules take the weights from the context.
        """
        known = self._layers.get(id(layer))
        if known is None:
            own = {name: getattr(layer, name) for name in layer.__struct_fields__}
            aside = {name: None for name, value in own.items() if isinstance(value, Initializer)}
            known = layer, self._numbered(msgspec.structs.replace(layer, **{**aside, "name": None}))
            self._layers[id(layer)] = known
        return known[1]

    def _numbered(self, content: Hashable) -> int:
        return self._numbers.setdefault(content, len(self._numbers))

    def _number(self, given: Field) -> int:
        """A number that is the same for equal fields, apart from their latent variables."""
        known = self._fields.get(id(given))
        if known is None:
            known = given, self._numbered(self._content(given))
            self._fields[id(given)] = known
        return known[1]

    def _content(self, given: Field) -> Hashable:
        digest, rest = blake2b(digest_size=16), list[Hashable]()
        for name in Field.__struct_fields__:
            value = getattr(given, name)
            if isinstance(value, np.ndarray):
                digest.update(value.tobytes())
                self._bytes += value.nbytes
                rest.append(value.shape)
            elif name == "parts":
                rest.append(tuple(map(self._number, value or ())))
            elif name != "latent":
                rest.append(value)
        self._bytes += _OVERHEAD
        return digest.digest(), tuple(rest)

    def _common(self, layer: Layer, context: Context, given: Sequence[Field]) -> Hashable:
        """The cross moments of two inputs, for rules that use them.

        Raises:
            TypeError: there are several pairs.
        """
        if not rule_of(layer).uses_cross_moments or len(given) < 2:
            return None
        if len(given) > 2:
            raise TypeError
        if given[0].latent == given[1].latent:
            return None
        try:
            found: Cross = context.common(0, 1)
        except NoTheory:
            return False
        return None if found is None else found.tobytes()

    def _renamed(self, kept: Made, before: Sequence[int], after: Sequence[int]) -> Made:
        """A cached result with the latent variables of this call."""
        names = dict(zip(before, after, strict=True))
        expected = kept.expected
        others = tuple(self._renamed_field(each, names) for each in expected.others)
        output = self._renamed_field(expected.output, names)
        back = {new: old for old, new in names.items()}

        def pull(*gradients: Gradient) -> Sequence[Gradient]:
            found = expected.pull(*(_with_latents(each, back) for each in gradients))
            return [_with_latents(each, names) for each in found]

        own = expected.kernel
        kernel = None if own is None else lambda g, batch: own(_with_latents(g, back), batch)
        renamed = expected._replace(output=output, pull=pull, others=others, kernel=kernel)
        return _Again(renamed, kept)

    def _renamed_field(self, given: Field, names: dict[int, int]) -> Field:
        number = self._number(given)
        parts = given.parts and tuple(self._renamed_field(each, names) for each in given.parts)
        if given.latent not in names:
            names[given.latent] = new_latent()
        renamed = msgspec.structs.replace(given, latent=names[given.latent], parts=parts)
        self._fields[id(renamed)] = renamed, number
        return renamed


class _Again(Made):
    """The result of an earlier equal call."""

    def __init__(self, expected: Expected, first: Made) -> None:
        super().__init__(expected, first.log_var, first.batch)
        self.first = first

    @property
    def responses(self) -> list[float]:
        return self.first.responses

    @property
    def figures(self) -> Figures:
        return self.first.figures


def _latents(given: Sequence[Field]) -> Iterator[int]:
    for each in given:
        yield each.latent
        yield from _latents(each.parts or ())


def _with_latents(given: Gradient, names: Mapping[int, int]) -> Gradient:
    """The gradient with renamed latent variables; unknown ones are negated, and later restored."""
    if given.latent is None and given.parts is None:
        return given
    latent = given.latent if given.latent is None else names.get(given.latent, ~given.latent)
    parts = given.parts and tuple(
        (units, _with_latents(each, names)) for units, each in given.parts
    )
    return msgspec.structs.replace(given, latent=latent, parts=parts)


_CURRENT: ContextVar[Shared | None] = ContextVar("shared", default=None)


def shared() -> Shared:
    """The cache of the current :func:`sharing` block, or an empty one."""
    return _CURRENT.get() or Shared()


@contextmanager
def sharing() -> Iterator[None]:
    """Share one cache between all predictions within a ``with`` statement."""
    token = _CURRENT.set(_CURRENT.get() or Shared())
    try:
        yield
    finally:
        _CURRENT.reset(token)
