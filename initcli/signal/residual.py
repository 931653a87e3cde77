"""The scheme that scales the residual branches of a model, and the branches without it.

With L blocks, the last kernels of GPT-2 have 1/√(2L) of their usual standard deviation, those of
Fixup are 0, and those of DeepNorm are multiplied by β while the stream is multiplied by α.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from statistics import median
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from initcli.checkpoint import Checkpoint, Subject
from initcli.errors import SignalError
from initcli.initializers import (
    DeepNorm,
    Fixup,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LecunNormal,
    LecunUniform,
    VarianceScaling,
)
from initcli.layers import applications
from initcli.parameter import Parameter
from initcli.signal.branches import Branch, Kernel, branches, constant, streams
from initcli.signal.graph import Graph
from initcli.signal.program import program
from initcli.sources.load import computable

_SAME = 0.02
"""The largest relative difference of two equal sizes."""
_EXACT = 0.01
"""The largest relative difference of a factor from that of a scheme."""
_WHOLE = 0.02
"""The largest distance of a whole number from an integer."""
_FEWEST = 4
"""The smallest number of branches, and n of 1/√n, for which a factor is not accidental."""
_LARGEST_FACTOR = 0.51
"""The largest factor that is not a difference between common rules, such as He's and LeCun's."""
_RULES = (GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform)
"""Initializers without a free factor."""
_MOST_IN_BLOCK = 4
"""The largest number of branches of a block."""
_LEFT_OUT = ("query/kernel", "key/kernel")
"""Kernels whose size affects only a softmax."""


class ResidualScheme(msgspec.Struct, frozen=True, kw_only=True):
    """The scale of the branches of one residual stream at the start."""

    scheme: Annotated[
        str,
        Meta(
            description="`none`; `1/√(2L)`, `1/√L`, or `1/√(nL)` for n branches a block; `1/√(2l)` "
            "of the block's own number l; `zero`, `Fixup`, `DeepNorm`, `LayerScale`, `depth-µP`, "
            "`1/L`, `constant`, or `not known`."
        ),
    ]
    scales: Annotated[
        str | None,
        Meta(description="What has the factor: `kernel`, `scale`, `gamma` or `multiplier`."),
    ]
    branches: Annotated[int, Meta(description="Number of branches.")]
    blocks: Annotated[int, Meta(description="Number L of blocks, which have a branch or more.")]
    factor: Annotated[
        float | None,
        Meta(description="Factor on the size of a branch; null if it differs or is not known."),
    ]
    stream_factor: Annotated[
        float | None,
        Meta(
            description="Factor on what is carried on, such as α of DeepNorm; null if it differs."
        ),
    ]
    first: Annotated[str, Meta(description="Layer of the first sum.")]
    last: Annotated[str, Meta(description="Layer of the last sum.")]
    others: Annotated[
        tuple[str, ...],
        Meta(description="Layers that end branches without the scheme, which others have."),
    ] = ()

    @property
    def text(self) -> str:
        """The scheme in a line."""
        scheme = self.scheme
        if self.scheme in ("zero", "constant") and self.scales:
            scheme += f" ({self.scales})"
        count = f"{self.branches:,} branch{'es' * (self.branches > 1)}"
        if self.others:
            count = f"{self.branches - len(self.others):,} of {count}"
        facts = [f"{scheme} in {count}" if self.others else scheme]
        facts += [] if self.others else [count]
        if self.blocks < self.branches:
            facts.append(f"L = {self.blocks:,}")
        if self.factor not in (None, 0.0, 1.0):
            facts.append(f"factor {self.factor:.3g}")
        if self.stream_factor not in (None, 1.0):
            facts.append(f"stream times {self.stream_factor:.3g}")
        return ", ".join(facts)


def residual_schemes(model: Subject) -> tuple[ResidualScheme, ...]:
    """The schemes of a model's residual streams; none if its layers or shapes are not known.

    >>> import initcli
    >>> (scheme,) = residual_schemes(initcli.load("sample_configs/gpt2_small.yaml"))
    >>> scheme.scheme, scheme.branches, scheme.blocks
    ('1/√(2L)', 24, 12)
    """
    if isinstance(model, Checkpoint):
        return ()
    try:
        graph = Graph(program(computable(model), 1))
    except SignalError:
        return ()
    return schemes(graph)


def schemes(graph: Graph) -> tuple[ResidualScheme, ...]:
    """The schemes of a graph's residual streams."""
    return tuple(stream.scheme for stream in residual_streams(graph))


def residual_streams(graph: Graph) -> list[Stream]:
    """The residual streams of a graph."""
    return [Stream(graph, each) for each in streams(graph, branches(graph))]


class Kind(NamedTuple):
    """The scheme of a branch, its factor, and what has the factor."""

    scheme: str
    factor: float | None = None
    scales: str | None = None


NONE = Kind("none", 1.0)
UNKNOWN = Kind("not known")
Ruler = Callable[[Parameter], float]
"""The standard deviation of a kernel by a rule of its fans, up to a factor."""
_BY_FANS: tuple[Ruler, ...] = (
    lambda parameter: 1 / math.sqrt(parameter.fans.fan_in),
    lambda parameter: 1 / math.sqrt(sum(parameter.fans)),
    lambda parameter: 1 / math.sqrt(parameter.fans.fan_out),
)
_BY_NOTHING: Ruler = lambda parameter: 1.0  # noqa: E731


class Stream:
    """The branches of one stream, and the scheme of each."""

    def __init__(self, graph: Graph, own: Sequence[Branch]) -> None:
        self.graph = graph
        self.branches = tuple(own)

    @cached_property
    def period(self) -> int | None:
        """The number of branches after which their layer types repeat; None if they do not.

        Shapes of kernels must repeat too, unless they never do.
        """
        kernels = [(*each.kernels, *each.last) for each in self.branches]
        kinds = [[type(self.graph.steps[k.step].layer).__name__ for k in own] for own in kernels]
        shapes = [[k.parameter.shape for k in own] for own in kernels]
        for made in (list(zip(kinds, shapes, strict=True)), kinds):
            for period in range(1, _MOST_IN_BLOCK + 1):
                count, rest = divmod(len(made), period)
                if not rest and count > 1 and made == made[:period] * count:
                    return period
        return None

    @property
    def per_block(self) -> int:
        """The number of branches of a block."""
        is_block = 1 < len(self.branches) < _MOST_IN_BLOCK
        return self.period or (len(self.branches) if is_block else 1)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return len(self.branches) // self.per_block

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """The scheme of each branch."""
        pairs = zip(self._marks, self._by_kernels, strict=True)
        return tuple(by_kernels if own is None else own for own, by_kernels in pairs)

    @cached_property
    def scheme(self) -> ResidualScheme:
        """The most frequent scheme, with its factors."""
        kind = self.main
        alike = [each for each in self.kinds if each.scheme == kind.scheme]
        factors = {each.factor for each in alike if each.factor is not None}
        stream = {each.stream for each in self.branches}
        is_one = factors and max(factors) - min(factors) <= _SAME * max(factors)
        return ResidualScheme(
            scheme=kind.scheme,
            scales=kind.scales,
            branches=len(self.branches),
            blocks=self.blocks,
            factor=median(factors) if is_one else None,
            stream_factor=stream.pop() if len(stream) == 1 else None,
            first=self.graph.steps[self.branches[0].sum].name,
            last=self.graph.steps[self.branches[-1].sum].name,
            others=tuple(self.name(each) for each in self.left_out),
        )

    @cached_property
    def main(self) -> Kind:
        """The most frequent scheme of branches that have one; else what most branches have."""
        counts: dict[str, list[Kind]] = {}
        for each in self.kinds:
            counts.setdefault(each.scheme, []).append(each)
        named = {name: own for name, own in counts.items() if name not in ("none", "not known")}
        return max((named or counts).values(), key=len)[0]

    @property
    def left_out(self) -> list[Branch]:
        """The branches without a scheme, if others have one."""
        main = self.main
        is_usual = main.scales == "kernel" and (main.factor or 0.0) > _LARGEST_FACTOR
        if main.scheme in ("none", "not known") or is_usual:
            return []
        pairs = zip(self.branches, self.kinds, strict=True)
        return [branch for branch, kind in pairs if kind.scheme == "none"]

    def name(self, branch: Branch) -> str:
        """The last layer of a branch, or else the layer of its sum."""
        last = branch.last or ((branch.scale,) if branch.scale else ())
        return self.graph.steps[last[-1].step if last else branch.sum].name

    # Branches by themselves

    @cached_property
    def _marks(self) -> tuple[Kind | None, ...]:
        """The scheme of each branch, if it does not depend on other branches."""
        return tuple(map(self._marked, self.branches))

    def _marked(self, branch: Branch) -> Kind | None:
        made = [each.parameter.initializer for each in (*branch.kernels, *branch.last)]
        if any(isinstance(each, DeepNorm) for each in made):
            last = branch.last[-1].parameter.initializer if branch.last else None
            return Kind("DeepNorm", last.beta, "kernel") if isinstance(last, DeepNorm) else NONE
        if any(isinstance(each, Fixup) for each in made):
            return Kind("Fixup", 0.0, "kernel") if branch.is_zero else NONE
        if branch.is_zero:
            return Kind("zero", 0.0, self._scales(branch) if branch.factor == 0 else "kernel")
        factor = branch.factor
        if factor is None:
            return UNKNOWN
        if factor != 1:
            return self._multiplied(branch, factor)
        is_alone = not branch.kernels and _follows_a_rule(branch)
        return NONE if is_alone or not branch.last else None

    def _scales(self, branch: Branch) -> str:
        """What multiplies the output of a branch."""
        if branch.scale is None:
            return "multiplier"
        layer = self.graph.steps[branch.scale.step].layer
        is_own = isinstance(layer, applications.LayerScale | applications.Scale)
        return "scale" if is_own else "gamma"

    def _multiplied(self, branch: Branch, factor: float) -> Kind:
        """The scheme of a factor that is not in a kernel."""
        what = self._scales(branch)
        if what == "scale":
            return Kind("LayerScale", factor, what)
        if what == "multiplier":
            for count in (self.blocks, 2 * self.blocks, len(self.branches)):
                if math.isclose(factor, count**-0.5, rel_tol=_EXACT) and count >= _FEWEST:
                    return Kind("depth-µP", factor, what)
            if math.isclose(factor, 1 / self.blocks, rel_tol=_EXACT):
                return Kind("1/L", factor, what)
        return Kind("constant", factor, what)

    # Comparison of kernels

    @cached_property
    def _by_kernels(self) -> tuple[Kind, ...]:
        """The scheme of each branch by its last kernels, compared to the other kernels by one rule.

        A rule with the same scheme for all branches is preferred.
        """
        found = [kinds for ruler in self._rulers if (kinds := self._by(ruler)) is not None]
        for kinds in found:
            pairs = zip(self._marks, kinds, strict=True)
            names = {kind.scheme for own, kind in pairs if own is None}
            if len(names) == 1 and "not known" not in names:
                return kinds
        if found:
            return found[0]
        return tuple(NONE if _follows_a_rule(each) else UNKNOWN for each in self.branches)

    @cached_property
    def _compared(self) -> list[Branch]:
        """The branches whose scheme depends on their last kernels."""
        pairs = zip(self.branches, self._marks, strict=True)
        return [branch for branch, own in pairs if own is None]

    @property
    def _rulers(self) -> list[Ruler]:
        """Rules for the sizes of kernels; the first is that of their initializers."""
        every = [k.parameter for b in self._compared for k in (*b.kernels, *b.last)]
        if every and all(each.initializer.counts_fans for each in every):
            return [*_BY_FANS, _BY_NOTHING]
        return [_BY_NOTHING, *_BY_FANS]

    def _ratio(self, branch: Branch, ruler: Ruler, reference: float) -> float | None:
        """The size of a branch's last kernels by a rule, relative to the others."""
        sizes = [_size(each, ruler) for each in branch.last]
        known = [each for each in sizes if each]
        if len(known) < len(sizes) or not known or max(known) > (1 + _SAME) * min(known):
            return None
        return known[0] / reference

    def _reference(self, ruler: Ruler) -> float | None:
        """The size of all kernels except the last by a rule; None if they differ."""
        sizes = []
        for branch in self._compared:
            for each in branch.kernels:
                is_mixing = each.parameter.path.endswith(_LEFT_OUT)
                if not is_mixing and (size := _size(each, ruler)):
                    sizes.append(size)
        if not sizes or max(sizes) > (1 + _SAME) * min(sizes):
            return None
        return median(sizes)

    def _by(self, ruler: Ruler) -> tuple[Kind, ...] | None:
        """The scheme of each branch by one rule; None if the other kernels do not follow it."""
        reference = self._reference(ruler)
        if reference is None:
            return None
        ratios = [self._ratio(each, ruler, reference) for each in self.branches]
        own = [1 / math.sqrt(2 * (k // self.per_block + 1)) for k in range(len(ratios))]
        pairs = list(zip(ratios, own, strict=True))
        if self.blocks > 2 and all(r and math.isclose(r, o, rel_tol=_EXACT) for r, o in pairs):
            return tuple(Kind("1/√(2l)", ratio, "kernel") for ratio in ratios)
        return tuple(
            NONE if _follows_a_rule(branch) else self._of_ratio(ratio)
            for branch, ratio in zip(self.branches, ratios, strict=True)
        )

    def _of_ratio(self, ratio: float | None) -> Kind:
        if ratio is None:
            return UNKNOWN
        if abs(ratio - 1) < _SAME:
            return NONE
        blocks, count = self.blocks, len(self.branches)
        names = {count: f"1/√({self.per_block}L)", blocks: "1/√L", 2 * blocks: "1/√(2L)"}
        for number, name in names.items():
            if number > 1 and math.isclose(ratio, number**-0.5, rel_tol=_EXACT):
                return Kind(name, ratio, "kernel")
        return Kind("not known", ratio, "kernel")

    @property
    def other_number(self) -> int | None:
        """The wrong number n of blocks in a factor 1/√(2n) of all last kernels; None without one.

        A rounded factor, such as 0.1, does not count.
        """
        kinds = set(self.kinds)
        factors = [each.factor for each in kinds if each.scales == "kernel" and each.factor]
        if len(factors) < len(kinds) or max(factors) > (1 + _EXACT) * min(factors):
            return None
        if {each.scheme for each in kinds} != {"not known"} or len(self.branches) < _FEWEST:
            return None
        if self.period is None:
            return None
        factor = median(factors)
        twice = factor**-2
        is_rounded = math.isclose(factor * 100, round(factor * 100), abs_tol=1e-6)
        if is_rounded or twice < 2 * _FEWEST or abs(twice / 2 - round(twice / 2)) > _WHOLE:
            return None
        return round(twice / 2)


def _follows_a_rule(branch: Branch) -> bool:
    """Whether the initializers of its last kernels have no free factor."""
    made = [each.parameter.initializer for each in branch.last]
    return bool(made) and all(isinstance(each, _RULES) or _is_torch_rule(each) for each in made)


def _is_torch_rule(initializer: Initializer) -> bool:
    """Whether it is the default of PyTorch's layers, U(±1/√fan_in)."""
    plain = VarianceScaling(scale=1 / 3, mode="fan_in", distribution="uniform")
    return isinstance(initializer, VarianceScaling) and all(
        getattr(initializer, name) == getattr(plain, name)
        for name in ("scale", "mode", "distribution")
    )


def _size(kernel: Kernel, ruler: Ruler) -> float | None:
    distribution = kernel.parameter.distribution
    is_usable = distribution is not None and constant(kernel.parameter) is None
    return distribution.std / ruler(kernel.parameter) if distribution and is_usable else None
