"""The rules by which frameworks and models initialize weights, without free parameters.

A row is a rule, the frameworks that have it, its rarity (0: the default of a layer), and its
source.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from initcli.distributions import Distribution
from initcli.distributions import TruncatedNormal as TruncatedNormalDistribution
from initcli.initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LecunNormal,
    LecunUniform,
    RandomNormal,
    RandomUniform,
    Scaled,
    Siren,
    SirenFirst,
    TruncatedNormal,
    VarianceScaling,
)
from initcli.initializers.random import TRUNCATION, Kind, Mode
from initcli.matching.layouts import Layout, layouts
from initcli.matching.surroundings import Place
from initcli.types import Size


class Rule(NamedTuple):
    """An initializer, and who uses it."""

    initializer: Initializer
    text: str
    frameworks: tuple[str, ...]
    rarity: int
    source: str

    def framework(self, style: str) -> str:
        """The first framework that names tensors in that style, or the first of all."""
        return next((name for name in self.frameworks if _has(name, style)), self.frameworks[0])

    def strangeness(self, style: str) -> int:
        """1 if no framework that has the rule names tensors in that style."""
        return int(not any(_has(name, style) for name in self.frameworks))

    def distribution(self, layout: Layout | None) -> Distribution:
        """The distribution for the fans of a layout, if it depends on them."""
        if layout is not None and isinstance(self.initializer, Scaled):
            return self.initializer.distribution_of_fans(layout[:2])
        distribution = self.initializer.distribution_for(())
        assert distribution is not None
        return distribution


def _has(framework: str, style: str) -> bool:
    return not style or (framework in ("keras", "flax", "haiku")) == (style != "torch")


_NAMED = (GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal)
_BY_SETTING: dict[tuple[float, Mode, Kind], Initializer] = {each.setting: each() for each in _NAMED}
_ENDS = {"truncated_normal": " truncated", "uncorrected_truncated_normal": " cut at ±2σ"}


def _fans(
    kind: Kind, scale: float, mode: Mode, users: str, rarity: int, source: str, text: str = ""
) -> Rule:
    """A rule of variance scaling, for the frameworks ``users``; by default with its formula."""
    made: Initializer = VarianceScaling(scale=scale, mode=mode, distribution=kind)
    made = _BY_SETTING.get((scale, mode, kind), made)
    return Rule(made, text or _formula(kind, scale, mode), tuple(users.split()), rarity, source)


def _formula(kind: Kind, scale: float, mode: Mode) -> str:
    """The distribution of variance scaling, such as ``U(±√(6/fan_in))``."""
    if mode == "fan_avg":
        scale *= 2
    n = "(fan_in + fan_out)" if mode == "fan_avg" else mode
    if kind != "uniform":
        return f"N(0, {scale:.4g}/{n}){_ENDS.get(kind, '')}"
    return f"U(±1/√{n})" if 3 * scale == 1 else f"U(±√({3 * scale:.4g}/{n}))"


def _gains() -> Iterator[Rule]:
    """``torch.nn.init`` with a gain (``calculate_gain``), normal and uniform."""
    source = "torch.nn.init.calculate_gain"
    for squared, name in (
        (25 / 9, "tanh"),
        (9 / 16, "selu"),
        (2 / 1.04, "leaky_relu(0.2)"),
        (2 / 1.01, "leaky_relu(0.1)"),
        (0.5, "1/√2"),
        (2.0, "relu"),
    ):
        kinds: tuple[tuple[Kind, str], ...] = (("uniform", "U"), ("untruncated_normal", "N"))
        modes: tuple[Mode, ...] = ("fan_avg",)
        if squared not in (0.5, 2.0):
            modes = ("fan_in", "fan_out", "fan_avg")
        for kind, letter in kinds:
            for mode in modes:
                text = f"{letter} of variance {squared:.4g}/{mode} (gain of {name})"
                yield _fans(kind, squared, mode, "torch", 2, source, text)


_U: Kind = "uniform"
_N: Kind = "untruncated_normal"
_T: Kind = "truncated_normal"
_C: Kind = "uncorrected_truncated_normal"

SCALED: tuple[Rule, ...] = (
    _fans(_U, 1, "fan_avg", "keras torch flax", 0, "Keras's default; torch.nn.MultiheadAttention"),
    _fans(_U, 1 / 3, "fan_in", "torch equinox", 0, "torch.nn.Linear: kaiming_uniform_(a=√5)"),
    _fans(_T, 1, "fan_in", "flax keras timm", 0, "Flax's default; timm.layers.lecun_normal_"),
    _fans(_T, 2, "fan_in", "keras flax", 0, "arXiv:1502.01852"),
    _fans(
        _N,
        2,
        "fan_out",
        "torch torchvision timm transformers",
        0,
        "kaiming_normal_(mode='fan_out') of torchvision's ResNet and timm's EfficientNet",
    ),
    _fans(_N, 2, "fan_in", "torch", 0, "torch.nn.init.kaiming_normal_"),
    _fans(_U, 2, "fan_in", "keras torch flax", 0, "kaiming_uniform_; arXiv:1502.01852"),
    _fans(_T, 1, "fan_avg", "keras flax", 0, "Glorot & Bengio 2010, PMLR 9:249–256"),
    _fans(_N, 1, "fan_avg", "torch", 0, "torch.nn.init.xavier_normal_"),
    _fans(
        _N,
        1,
        "fan_in",
        "torch flax transformers",
        0,
        "kaiming_normal_(nonlinearity='linear'); flax.linen.Embed; T5's initializer_factor",
    ),
    _fans(_U, 1, "fan_in", "keras flax torch", 0, "LeCun et al. 1998"),
    _fans(_U, 1 / 3, "fan_out", "timm torchvision", 1, "the classifier of EfficientNet"),
    _fans(_N, 1, "fan_out", "torch transformers", 1, "kaiming_normal_(nonlinearity='linear')"),
    _fans(_U, 1, "fan_out", "torch torchvision", 1, "kaiming_uniform_ of torchvision's MNASNet"),
    _fans(_T, 1, "fan_out", "flax keras", 1, "jax.nn.initializers.variance_scaling"),
    _fans(_U, 2, "fan_out", "torch flax", 1, "kaiming_uniform_(mode='fan_out')"),
    _fans(_T, 2, "fan_out", "keras flax", 1, "kernels of EfficientNet in keras.applications"),
    _fans(_U, 1 / 3, "fan_out", "keras", 1, "its classifier: DENSE_KERNEL_INITIALIZER"),
    _fans(_C, 1, "fan_in", "haiku torchvision", 1, "haiku.Linear: truncation lowers the variance"),
    _fans(_C, 2, "fan_in", "keras", 2, "Keras before 2.2.0"),
    _fans(_C, 1, "fan_avg", "keras", 2, "Keras before 2.2.0"),
    _fans(_N, 1 / 2, "fan_in", "transformers", 1, "CLIPMLP: fc_std", "N(0, 1/(2 fan_in))"),
    _fans(_N, 2 / 5, "fan_in", "gpt-neox", 1, "arXiv:1910.05895", "N(0, 2/(5 fan_in))"),
    # It corrects for a truncation that it does not make.
    _fans(_N, TRUNCATION**-2, "fan_in", "transformers", 2, "SigLIP's lecun_normal_"),
    _fans(_N, 4, "fan_out", "transformers", 2, "Wav2Vec2PositionalConvEmbedding"),
    _fans(_T, 0.02**2, "fan_in", "flax", 2, "FlaxViT", "N(0, 0.02²/fan_in) truncated"),
    Rule(SirenFirst(), "U(±1/fan_in)", ("torch",), 2, "the first layer of SIREN; arXiv:2006.09661"),
    Rule(Siren(), "U(±√(6/fan_in)/30)", ("torch",), 2, "SIREN; arXiv:2006.09661"),
    *_gains(),
)
"""Rules of a variance that depends on the fans alone."""


def _normal(std: float, users: str, rarity: int, source: str) -> Rule:
    rule = RandomNormal(mean=0.0, stddev=std)
    return Rule(rule, f"N(0, {std:.4g}²)", tuple(users.split()), rarity, source)


def _cut(std: float, users: str, rarity: int, source: str, bound: float = 2.0) -> Rule:
    rule = TruncatedNormal(mean=0.0, stddev=std)
    if bound != 2:
        rule = TruncatedNormal(mean=0.0, stddev=std, lower=-bound, upper=bound)
    return Rule(rule, f"N(0, {std:.4g}²) cut at ±{bound:g}σ", tuple(users.split()), rarity, source)


def _within(bound: float, users: str, rarity: int, source: str, text: str = "") -> Rule:
    rule = RandomUniform(minval=-bound, maxval=bound)
    return Rule(rule, text or f"U(±{bound:.4g})", tuple(users.split()), rarity, source)


FIXED: tuple[Rule, ...] = (
    _normal(0.02, "transformers timm torch", 0, "initializer_range; arXiv:1810.04805"),
    _normal(1.0, "torch", 0, "torch.nn.Embedding"),
    _within(0.05, "keras", 0, "keras.layers.Embedding"),
    _cut(0.02, "timm keras flax", 0, "trunc_normal_tf_; TruncatedNormal(0.02) of BERT"),
    _cut(0.02, "olmo torchtitan", 1, "trunc_normal_ with a cutoff factor of 3", 3.0),
    _normal(0.05, "keras", 1, "keras.initializers.RandomNormal"),
    _cut(0.05, "keras", 0, "keras.initializers.TruncatedNormal"),
    _normal(0.01, "torchvision flax", 0, "the classifiers of VGG; jax.nn.initializers.normal"),
    _within(0.01, "flax", 1, "jax.nn.initializers.uniform"),
    _cut(0.01, "timm flax keras", 1, "jax.nn.initializers.truncated_normal"),
    _cut(1.0, "torch", 1, "the defaults of torch.nn.init.trunc_normal_"),
    _normal(1e-6, "torchvision flax timm transformers", 0, "biases of ViT's MLP"),
    Rule(RandomNormal(mean=1.0, stddev=0.02), "N(1, 0.02²)", ("torch",), 0, "DCGAN's norms"),
    _normal(0.001, "torch detectron2", 1, "the box regression of Faster R-CNN"),
    _normal(0.1, "torchvision transformers", 1, "torchvision's Inception; Mamba"),
    _normal(0.006, "transformers", 1, "DeepSeek; arXiv:2405.04434"),
    _normal(1 / 24, "transformers", 1, "SmolLM: 0.041666"),
    _normal(2048**-0.5, "transformers", 1, "XLM: embed_init_std"),
    _normal(0.018042, "transformers", 1, "Starcoder2"),
    _normal(0.0177, "transformers", 2, "initializer_range of a configuration"),
    _normal(0.0134, "transformers", 2, "initializer_range of a configuration"),
    _normal(1e-10, "transformers", 1, "SAM's vision encoder"),
    _normal(0.03, "torch", 2, "initializer_range"),
    _normal(0.005, "torch", 2, "initializer_range"),
    _normal(0.2, "torch", 2, "initializer_range"),
    _normal(0.04, "torch", 2, "initializer_range"),
    _normal(0.5, "torch", 2, "initializer_range"),
    _within(0.1, "torch", 1, "init_range of torch's word language model"),
    _within(0.08, "torch", 1, "arXiv:1409.3215"),
    _within(1.0, "torch", 1, "U(−1, 1)"),
    _within(0.003, "torch", 2, "the last layer of DDPG; arXiv:1509.02971"),
    Rule(RandomUniform(minval=0.0, maxval=1.0), "U(0, 1)", ("torch", "keras"), 1, "torch.rand"),
)
"""Rules that do not depend on the shape."""


_MARKS = ("_ih", "_hh", "relative_attention_bias", ".q.", "/q/")
"""Parts of a path that rules depend on."""


VECTORS: tuple[Rule, ...] = tuple(
    each
    for each in FIXED
    if each.initializer
    in (RandomNormal(mean=0.0, stddev=1e-6), RandomNormal(mean=1.0, stddev=0.02))
)
"""The fixed rules for biases and scales of norms."""


def beside(shape: Size, place: Place, path: str) -> Iterator[Rule]:
    """Rules that depend on the kernel of a bias, and on the width of a recurrent layer.

    The name shows that a layer is recurrent, so its rule comes first.
    """
    for kernel in place.kernels if len(shape) == 1 else ():
        for layout in layouts(kernel, "torch"):
            if layout.fan_out >= shape[0] or layout.rarity == 0:
                rarity = layout.rarity
                bound = 1 / math.sqrt(layout.fan_in)
                source = "the bias of torch.nn.Linear and convolutions"
                yield _within(bound, "torch", rarity, source, "U(±1/√fan_in)")
    recurrent = "_ih" in path or "_hh" in path
    for gates in (4, 3, 1) if recurrent and shape else ():
        if shape[0] % gates == 0:
            bound = math.sqrt(gates / shape[0])
            yield _within(bound, "torch", -1, "torch.nn.LSTM, GRU and RNN", "U(±1/√hidden)")


def _placed(shape: Size, place: Place, path: str) -> Iterator[Rule]:
    """Rules that depend on the place of a tensor in its file."""
    yield from beside(shape, place, path)
    if place.blocks:
        depth = 2 * place.blocks
        for std in (0.02, 0.01, 0.006):
            yield Rule(
                RandomNormal(mean=0.0, stddev=std / math.sqrt(depth)),
                f"N(0, {std:g}²/(2 · {place.blocks} blocks))",
                ("transformers",),
                1,
                "GPT-2's residual projections",
            )
        scale = std = 0.02 / math.sqrt(2 * (place.block + 1))
        source = "residual projections of torchtitan and OLMo, by depth"
        yield _normal(scale, "torchtitan olmo", 2, source)
        yield _cut(scale, "torchtitan olmo", 2, source, 3.0)
        yield _cut(0.02 / math.sqrt(depth), "olmo", 2, "residual projections", 3.0)
    for layout in layouts(shape, "torch") if len(shape) == 2 else ():
        if layout.rarity == 0:
            yield _cut(layout.fan_in**-0.5, "torchtitan", 1, "the output of Llama: 1/√d", 3.0)
    if "relative_attention_bias" in path and place.width:
        yield _normal(place.width**-0.5, "transformers", 0, "T5's relative_attention_bias")


def _placed_scales(place: Place, path: str) -> Iterator[Rule]:
    """Rules of variance scaling whose factor depends on the place of a tensor in its file."""
    if n := place.blocks:
        modes: tuple[Mode, ...] = ("fan_in", "fan_out")
        for mode in modes:
            text, clip = f"N(0, 1/(2 · {n} blocks · {mode}))", "CLIPMLP: in_proj_std"
            yield _fans(_N, 1 / (2 * n), mode, "transformers", 1, clip, text)
            text = f"N(0, 4/({n} blocks² · {mode}))"
            yield _fans(_N, 4 / n**2, mode, "gpt-neox", 2, "wang_init", text)
            text, source = f"N(0, 1/({n} blocks² · {mode}))", "projections of TinyLlama"
            yield _fans(_N, 1 / n**2, mode, "litgpt", 2, source, text)
        text, source = f"U(±1/√({n} blocks · fan_in))", "rescale_prenorm_residual"
        yield _fans(_U, 1 / (3 * n), "fan_in", "mamba", 2, source, text)
    if ".q." in path or "/q/" in path:
        for width in (8, 16, 32, 64, 128, 256):
            text, rarity = f"N(0, 1/({width} fan_in))", int(width != 64)
            source = "T5Attention's query: 1/√(d_model · d_kv)"
            yield _fans(_N, 1 / width, "fan_in", "transformers flax", rarity, source, text)


class Candidate(NamedTuple):
    """A rule for one shape; the standard deviation is first, as the sort key."""

    std: float
    rarity: int
    rule: Rule
    distribution: Distribution


@lru_cache(maxsize=512)
def _general(shape: Size, style: str) -> tuple[Candidate, ...]:
    found = [*_of_fans(SCALED, shape, style)]
    found += [_fixed(rule, style) for rule in FIXED]
    return tuple(sorted(found, key=lambda each: each.std))


def _of_fans(rules: tuple[Rule, ...], shape: Size, style: str) -> Iterator[Candidate]:
    for rule in rules:
        for layout in layouts(shape, style):
            rarity = rule.rarity + layout.rarity + rule.strangeness(style)
            distribution = rule.distribution(layout)
            yield Candidate(_std(distribution), rarity, rule, distribution)


def _std(distribution: Distribution) -> float:
    """The standard deviation, faster for truncated normal distributions."""
    if isinstance(distribution, TruncatedNormalDistribution):
        cut = round((distribution.high - distribution.location) / distribution.scale, 9)
        return distribution.scale * _std_within(cut)
    return distribution.std


@cache
def _std_within(cut: float) -> float:
    return TruncatedNormalDistribution(0.0, 1.0, -cut, cut).std


def _fixed(rule: Rule, style: str) -> Candidate:
    distribution = rule.distribution(None)
    return Candidate(distribution.std, rule.rarity + rule.strangeness(style), rule, distribution)


@lru_cache(maxsize=512)
def _of_place(shape: Size, style: str, place: Place, marks: str) -> list[Candidate]:
    found = [_fixed(rule, style) for rule in _placed(shape, place, marks)]
    return [*found, *_of_depth(shape, style, place.blocks, marks)]


@lru_cache(maxsize=512)
def _of_depth(shape: Size, style: str, blocks: int, marks: str) -> list[Candidate]:
    rules = tuple(_placed_scales(Place(blocks=blocks), marks))
    return list(_of_fans(rules, shape, style))


def candidates(
    shape: Size, style: str, place: Place, path: str, low: float, high: float
) -> list[Candidate]:
    """The rules for a shape whose standard deviation lies in [low, high], the common ones first."""
    general = _general(shape, style)
    first = bisect_left(general, low, key=lambda each: each.std)
    last = bisect_right(general, high, key=lambda each: each.std)
    marks = " ".join(mark for mark in _MARKS if mark in path)
    placed = [each for each in _of_place(shape, style, place, marks) if low <= each.std <= high]
    return sorted([*general[first:last], *placed], key=lambda each: each.rarity)
