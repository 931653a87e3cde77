"""Image layers: what they make of what was drawn, against the real Keras, and the distributions
of it.

The facts are those that tests/reference/make_image_facts.py wrote down.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from autograd.core import make_vjp
from scipy import stats

import initcli
from initcli.layers import known_layers
from initcli.layers.base import Layer
from initcli.layers.flow import Flow
from initcli.layers.image_augmentation import Augmentation
from initcli.layers.resampling import resampling
from initcli.layers.spatial import channels_back, channels_last
from initcli.registry import public_subclasses
from initcli.signal import arrays
from initcli.types import NotComputable
from support.paths import facts
from support.waves import agrees, wave

FACTS: list[Any] = facts("image_facts.json")
DRAWS = 4000
LEAST = 1e-4
"""A probability so small that a test of a distribution may fail by it."""


def made(kind: str, arguments: dict[str, Any]) -> Any:
    shape = [3, 9, 9] if arguments.get("data_format") == "channels_first" else [9, 9, 3]
    spec = {"input_shape": shape, "layers": [{"type": kind, **arguments}]}
    *_, built = initcli.parse(json.dumps(spec)).network.layers
    assert isinstance(built, Layer)
    return built


def images_of(shape: tuple[int, ...], arguments: dict[str, Any]) -> Any:
    """Images that use all of their range, laid out as the layer takes them."""
    low, high = arguments.get("value_range", (0, 255))
    images = np.float32(low) + (wave(shape, 0.3) + 1) / 2 * np.float32(high - low)
    return channels_back(np, images, arguments.get("data_format"))


def expanded(drawn: Any) -> Any:
    """What was drawn, with the fields that it stands for."""
    if isinstance(drawn, dict) and "wave" in drawn:
        return wave(tuple(drawn["wave"]), drawn["phase"]) * np.float32(drawn["scale"])
    if isinstance(drawn, dict):
        return {name: expanded(value) for name, value in drawn.items()}
    return drawn


@pytest.mark.parametrize(
    ("kind", "arguments", "drawn", "shape", "facts"),
    FACTS,
    ids=[f"{kind}-{json.dumps(arguments)}-{i}" for i, (kind, arguments, *_) in enumerate(FACTS)],
)
def test_what_was_drawn_does_what_it_does_in_keras(
    kind: str, arguments: dict[str, Any], drawn: Any, shape: list[int], facts: dict[str, Any]
) -> None:
    layer, given = made(kind, arguments), expanded(drawn)
    images = images_of(tuple(shape), arguments)

    def function(x: Any) -> Any:
        found = layer.transformed(arrays, channels_last(arrays, x, layer.layout), given)
        return channels_back(arrays, found, layer.layout)

    pull, output = make_vjp(function, images)
    assert output.dtype == np.float32
    assert agrees(output, facts["output"], 1e-4)
    assert agrees(pull(wave(output.shape, 9.0)), facts["gradient"], 1e-3)


def random_layers() -> list[type[Layer]]:
    found = [cls for cls in public_subclasses(Layer) if hasattr(cls, "transformed")]
    return [cls for cls in found if "seed" in cls.__struct_fields__]


def test_every_random_image_layer_has_facts() -> None:
    assert {cls.__name__ for cls in random_layers()} <= {kind for kind, *_ in FACTS}


def example(cls: type[Layer], **arguments: Any) -> Any:
    """A layer of that type that draws, with the arguments that it needs."""
    needed = {
        "height": 5,
        "width": 4,
        "factor": 4 if cls.__name__ == "RandomPosterization" else 0.5,
    }
    fields = {
        name: needed.get(name, 0.3)
        for name in cls.__struct_fields__
        if name in needed or name.endswith("_factor")
    }
    return cls(**{**fields, **arguments})


@pytest.mark.parametrize("cls", random_layers(), ids=lambda cls: cls.__name__)
def test_a_seed_decides_on_what_is_drawn_and_inference_draws_nothing(cls: type[Layer]) -> None:
    images = images_of((4, 9, 8, 3), {})

    def output(key: str, seed: int | None, training: bool = True) -> Any:
        flow = Flow(xp=arrays, weights={}, key=key, training=training)
        return example(cls, seed=seed).call(flow, images)

    assert np.array_equal(output("a", None), output("a", None))
    assert np.array_equal(output("a", 3), output("b", 3))
    assert any(not np.array_equal(output("a", None), output(key, None)) for key in "bcdef")
    assert np.array_equal(output("a", None, training=False), images)
    assert output("a", None).dtype == np.float32


@pytest.mark.parametrize("cls", public_subclasses(Augmentation), ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_one_image_is_a_batch_of_one(cls: type[Layer], layout: str) -> None:
    # As wide as it has channels, since Keras looks for colors along the last axis in one case.
    images = channels_back(np, images_of((1, 9, 3, 3), {}), layout)  # type: ignore[arg-type]
    layer = example(cls, data_format=layout)
    flow = Flow(xp=arrays, weights={}, key="one")
    assert np.array_equal(layer.call(flow, images)[0], layer.call(flow, images[0]))
    with pytest.raises(NotComputable):
        layer.call(flow, images[0, 0])


def test_whole_numbers_are_images_too() -> None:
    images = np.arange(3 * 8 * 8 * 3, dtype="uint8").reshape(3, 8, 8, 3)
    flow = Flow(xp=arrays, weights={})
    for layer in (example(known_layers()["RandomContrast"]), made("Rescaling", {"scale": 0.5})):
        assert np.array_equal(layer.call(flow, images), layer.call(flow, images.astype("float32")))


# Distributions of what is drawn.


def drawn(kind: str, shape: tuple[int, ...] = (DRAWS, 6, 8, 3), **arguments: Any) -> Any:
    random = np.random.default_rng(20)
    return example(known_layers()[kind], **arguments).transformation(random, shape)


def is_uniform(values: Any, low: float, high: float) -> bool:
    """Whether the numbers may have been drawn evenly from low to high."""
    assert np.min(values) >= low - 1e-6
    assert np.max(values) <= high + 1e-6
    fit = stats.kstest(np.ravel(values), stats.uniform(low, high - low).cdf)
    return bool(fit.pvalue > LEAST)


def is_often(flags: Any, probability: float) -> bool:
    """Whether the flags may be true with that probability."""
    count = int(np.sum(flags))
    return bool(stats.binomtest(count, np.size(flags), probability).pvalue > LEAST)


UNIFORM = [
    ("RandomRotation", {"factor": 0.2}, "angle", -72, 72),
    ("RandomRotation", {"factor": (-0.1, 0.3)}, "angle", -36, 108),
    ("RandomZoom", {"height_factor": 0.2}, "height_zoom", 0.8, 1.2),
    ("RandomZoom", {"height_factor": 0.1, "width_factor": (-0.2, 0.3)}, "width_zoom", 0.8, 1.3),
    ("RandomBrightness", {"factor": 0.2}, "rgb_delta", -51, 51),
    ("RandomBrightness", {"factor": (0.1, 0.3), "value_range": (-1, 1)}, "rgb_delta", 0.2, 0.6),
    ("RandomContrast", {"factor": 0.2}, "contrast_factor", 1, 1.2),
    ("RandomContrast", {"factor": (0.1, 0.3)}, "contrast_factor", 0.9, 1.3),
    ("RandomHue", {"factor": 0.2}, "factor", -0.1, 0.1),
    ("RandomSharpness", {"factor": 0.2}, "factor", 0, 0.2),
    ("RandomSharpness", {"factor": (0.1, 0.3)}, "factor", 0.1, 0.3),
    ("RandomColorDegeneration", {"factor": 0.2}, "factor", -0.2, 0.2),
    ("Solarization", {"addition_factor": 0.2}, "additions", 0, 51),
    ("Solarization", {"threshold_factor": (0.1, 0.2)}, "thresholds", 0.1, 51),
]


@pytest.mark.parametrize(("kind", "arguments", "name", "low", "high"), UNIFORM)
def test_numbers_are_drawn_evenly(
    kind: str, arguments: dict[str, Any], name: str, low: float, high: float
) -> None:
    values = drawn(kind, **arguments)[name]
    assert np.shape(values) == (DRAWS,)
    assert is_uniform(values, low, high)


def test_a_saturation_is_a_share_over_what_is_left() -> None:
    factor = drawn("RandomSaturation", factor=(0.1, 0.6))["factor"]
    assert is_uniform(factor / (1 + factor), 0.1, 0.6)


def test_hues_turn_both_ways() -> None:
    factor = drawn("RandomHue", factor=(0.2, 0.4))["factor"]
    assert is_uniform(np.abs(factor), 0.1, 0.2)
    assert is_often(factor > 0, 0.5)


def test_images_move_by_shares_of_their_sizes() -> None:
    moves = drawn("RandomTranslation", height_factor=(-0.1, 0.3), width_factor=0.2)["translations"]
    assert is_uniform(moves[:, 0], -0.2 * 8, 0.2 * 8)
    assert is_uniform(moves[:, 1], -0.1 * 6, 0.3 * 6)


def test_both_axes_are_sheared_to_the_same_side() -> None:
    factors = drawn("RandomShear", x_factor=(0.1, 0.3), y_factor=(0.2, 0.4))["shear_factor"]
    assert is_uniform(np.abs(factors[:, 0]), 0.1, 0.3)
    assert is_uniform(np.abs(factors[:, 1]), 0.2, 0.4)
    assert np.array_equal(factors[:, 0] > 0, factors[:, 1] > 0)
    assert is_often(factors[:, 0] > 0, 0.5)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("RandomPerspective", "apply_perspective"),
        ("RandomElasticTransform", "apply_transform"),
        ("RandomInvert", "apply_inversion"),
        ("RandomGaussianBlur", "should_apply_blur"),
        ("RandomErasing", "apply_erasing"),
    ],
)
def test_the_probability_of_a_change_is_drawn_itself(kind: str, name: str) -> None:
    assert is_often(drawn(kind, (DRAWS, 2, 2, 3), factor=1.0)[name], 0.5)
    assert is_often(drawn(kind, (DRAWS, 2, 2, 3), factor=(0.1, 0.3))[name], 0.2)
    assert is_often(drawn(kind, (DRAWS, 2, 2, 3), factor=(1.0, 1.0))[name], 1.0)


def test_coins_are_fair_or_as_they_are_said_to_be() -> None:
    assert is_often(drawn("RandomFlip")["flips"], 0.5)
    assert is_often(drawn("RandomGrayscale", factor=0.2)["should_apply"], 0.2)


def test_the_first_corner_stays_and_others_move_by_shares_of_their_place() -> None:
    ends = drawn("RandomPerspective", scale=0.4)["end_points"]
    assert ends.shape == (DRAWS, 4, 2)
    assert not ends[:, 0].any()
    assert is_uniform(ends[:, 1, 0], 7 * 0.8, 7 * 1.2)
    assert is_uniform(ends[:, 3, 1], 5 * 0.8, 5 * 1.2)
    assert not ends[:, 2, 0].any()


def test_noise_is_normal() -> None:
    noise = drawn("RandomElasticTransform", (40, 10, 10, 3))["noise"]
    assert noise.shape == (40, 10, 10)
    assert stats.kstest(noise.ravel(), "norm").pvalue > LEAST
    fill = drawn("RandomErasing", (40, 10, 10, 3), value_range=(0, 2))["fill_value"]
    assert fill.shape == (40, 10, 10, 3)
    assert stats.kstest(fill.ravel() / 2, "norm").pvalue > LEAST


def test_an_elastic_transform_of_no_scale_leaves_images_alone() -> None:
    assert drawn("RandomElasticTransform", scale=0.0) == {}
    images = images_of((2, 5, 5, 3), {}) + 1000
    layer = example(known_layers()["RandomElasticTransform"], factor=0.0)
    assert np.array_equal(layer.transformed(arrays, images, {}), images)


@pytest.mark.parametrize(
    ("factor", "shifts"),
    [(4, {5, 6, 7}), (1, {7}), (8, set(range(1, 8))), ((3, 6), {5, 4, 3}), ((3, 3), {5})],
)
def test_bits_are_fewer_than_the_most(factor: Any, shifts: set[int]) -> None:
    values, counts = np.unique(
        drawn("RandomPosterization", factor=factor)["shift_factor"], return_counts=True
    )
    assert set(values.tolist()) == shifts
    assert len(shifts) == 1 or stats.chisquare(counts).pvalue > LEAST


def test_blurs_are_the_same_for_a_batch() -> None:
    widths = [
        example(known_layers()["RandomGaussianBlur"], sigma=(0.2, 0.6)).transformation(
            np.random.default_rng(seed), (2, 5, 5, 3)
        )["blur_factor"]
        for seed in range(500)
    ]
    assert np.shape(widths) == (500, 2)
    assert is_uniform(widths, 0.2, 0.6 + 1e-5)


def test_what_is_erased_is_a_rectangle_anywhere() -> None:
    boxes = drawn("RandomErasing", (DRAWS, 6, 8, 1), scale=(0.1, 0.3))["boxes"]
    for axis, size in enumerate((6, 8)):
        start, end = boxes[:, axis, 0], boxes[:, axis, 1]
        share = (end - start) / size
        assert is_uniform(share**2, 0.1, 0.3)
        assert is_uniform(start / (size * (1 - share)), 0, 1)


def test_a_cut_is_as_large_as_a_beta_says() -> None:
    given = drawn("CutMix", factor=(0.7, 0.7))
    assert sorted(given["permutation_order"]) == list(range(DRAWS))
    shares = (given["boxes"][..., 1] - given["boxes"][..., 0]) / (6, 8)
    assert np.allclose(shares[:, 0], shares[:, 1], atol=1e-5)
    assert stats.kstest(1 - shares[:, 0] ** 2, stats.beta(0.7, 0.7).cdf).pvalue > LEAST


def test_weights_of_a_blend_are_beta() -> None:
    given = drawn("MixUp", alpha=0.4)
    assert sorted(given["permutation_order"]) == list(range(DRAWS))
    assert stats.kstest(given["mix_weight"], stats.beta(0.4, 0.4).cdf).pvalue > LEAST
    none = drawn("MixUp", alpha=0.0)["mix_weight"]
    assert set(none.tolist()) == {0.0, 1.0}
    assert is_often(none, 0.5)


def test_a_crop_begins_anywhere() -> None:
    layer = example(known_layers()["RandomCrop"])
    starts = [
        layer.transformation(np.random.default_rng(seed), (2, 9, 6, 3))["start"]
        for seed in range(900)
    ]
    counts = np.unique(starts, axis=0, return_counts=True)[1]
    assert len(counts) == 5 * 3
    assert stats.chisquare(counts).pvalue > LEAST


def test_all_augmentations_are_as_likely() -> None:
    layer = example(known_layers()["RandAugment"], num_ops=3)
    names = [
        name
        for seed in range(300)
        for name in layer.transformation(np.random.default_rng(seed), (2, 4, 4, 3))["names"]
    ]
    _, counts = np.unique(names, return_counts=True)
    assert len(counts) == 11
    assert stats.chisquare(counts).pvalue > LEAST


@pytest.mark.parametrize(("all_ops", "count"), [(True, 11), (False, 7)])
def test_chains_leave_a_step_out_as_often_as_they_take_one(all_ops: bool, count: int) -> None:
    layer = example(known_layers()["AugMix"], all_ops=all_ops, alpha=2.0)
    given = [layer.transformation(np.random.default_rng(seed), (2, 4, 4, 3)) for seed in range(300)]
    taken = [name for each in given for chain in each["chain_transforms"] for name, _ in chain]
    _, counts = np.unique(taken, return_counts=True)
    assert len(counts) == count
    left_out = 300 * 9 - len(taken)
    assert stats.chisquare([*counts, left_out]).pvalue > LEAST
    kept = [each["weight_sample"] for each in given]
    assert stats.kstest(kept, stats.beta(2, 2).cdf).pvalue > LEAST
    weights = np.array([each["chain_mixing_weights"] for each in given])
    assert np.allclose(weights.sum(1), 1)
    assert stats.kstest(weights[:, 0], stats.beta(2, 4).cdf).pvalue > LEAST


def test_augmentations_within_others_draw_apart() -> None:
    given = drawn("RandomColorJitter", brightness_factor=0.5, contrast_factor=(0.5, 0.5), seed=3)
    one, two = given["random_brightness"]["rgb_delta"], given["random_contrast"]["contrast_factor"]
    assert abs(np.corrcoef(one, two)[0, 1]) < 4 / DRAWS**0.5


# What no fact of Keras on JAX tells.


def test_a_color_fills_what_is_erased() -> None:
    layer = example(known_layers()["RandomErasing"], fill_value=[10, 100, 300])
    given = {"boxes": [[[0, 2], [1, 3]]], "apply_erasing": [True]}
    found = layer.transformed(arrays, np.zeros((1, 4, 4, 3), "float32"), given)
    assert np.array_equal(found[0, 1, 2], [10, 100, 255])
    assert found.any(-1).sum() == 4


def test_area_is_the_mean_of_what_an_entry_covers() -> None:
    assert np.allclose(resampling(6, 2, "area"), np.kron(np.eye(2), np.full((1, 3), 1 / 3)))
    assert np.allclose(resampling(2, 6, "area"), resampling(2, 6, "nearest"))
    assert np.allclose(resampling(3, 2, "area"), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "lanczos3", "area"])
def test_a_constant_image_stays_constant(method: str) -> None:
    for old, new in ((7, 3), (7, 19), (1, 4)):
        assert np.allclose(resampling(old, new, method).sum(1), 1)


@pytest.mark.parametrize(
    ("kind", "arguments", "channels"),
    [
        ("RandomHue", {}, 1),
        ("RandomSaturation", {}, 4),
        ("RandomGrayscale", {}, 2),
        ("RandomErasing", {"fill_value": [1, 2, 3]}, 4),
        ("RandomPosterization", {"value_range": (1, 1)}, 3),
        ("Equalization", {"value_range": (1, 1)}, 3),
    ],
)
def test_what_keras_cannot_change_is_not_computed(
    kind: str, arguments: dict[str, Any], channels: int
) -> None:
    layer = example(known_layers()[kind], **arguments)
    with pytest.raises(NotComputable):
        layer.call(Flow(xp=arrays, weights={}), np.ones((2, 5, 5, channels), "float32"))


@pytest.mark.parametrize("mode", ["constant", "reflect", "wrap", "nearest", "mirror"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_gradients_of_samples_are_the_transpose(mode: str, interpolation: str) -> None:
    random = np.random.default_rng(3)
    images = random.random((2, 4, 5, 3))
    rows, columns = random.uniform(-6, 10, (2, 2, 3, 7))
    how = arrays.Sampling(interpolation, mode, 0.0)
    pull, output = make_vjp(lambda x: arrays.sampled(x, rows, columns, how), images)
    g = random.random(output.shape)
    assert np.isclose(np.sum(output * g), np.sum(images * pull(g)))
