"""Write down what the real Keras's random image layers make of what was drawn, as image_facts.json.

Install the public packages, then run from any directory:

    pip install keras==3.15.1 jax pyyaml
    KERAS_BACKEND=jax python make_image_facts.py

Such a layer draws numbers and then transforms images by them. Its own numbers cannot be had
elsewhere, so that each layer is given some that were chosen by hand, by the names that initcli has
for them, with images that anyone can make again; of what comes out, and of its gradient, a few
entries and the root mean square are kept. initcli and its tests need none of this: they read the
JSON alone.
"""

import json

import jax
import numpy as np
from make_call_facts import kept, wave
from make_layer_facts import HERE, keras, made

SHAPE = (3, 9, 11, 3)
"""Of the images, unless a case says so: the batch, height, width and channels."""
FLAGS = [True, False, True]
BOXES = [[[1.5, 6.2], [0.0, 4.9]], [[0.0, 9.0], [3.1, 3.9]], [[4.4, 8.0], [6.0, 11.0]]]


def field(*shape, phase, scale=1.0):
    """Stands for numbers that the test can make again."""
    return {"wave": list(shape), "phase": phase, "scale": scale}


SHEAR = {"shear_factor": [[0.3, -0.2], [0.0, 0.5], [-0.4, 0.1]]}
TRANSLATION = {"translations": [[2.25, -1.6], [-4.0, 3.0], [0.3, 7.7]]}
ROTATION = {"angle": [33.0, -120.5, 7.25]}
BRIGHTNESS = {"rgb_delta": [20.5, -70.25, 0.0]}
CONTRAST = {"contrast_factor": [0.6, 1.3, 1.0]}
SATURATION = {"factor": [0.25, 1.0, -0.15]}
HUE = {"factor": [0.31, -0.45, 0.0]}
FADING = {"factor": [0.4, -0.3, 1.0]}
SHARPNESS = {"factor": [0.0, 0.4, 0.9]}
SHIFT = {"shift_factor": [7, 5, 4]}
SOLAR = {"additions": [0.0, 20.5, 77.0], "thresholds": [100.0, 0.0, 180.5]}
ELASTIC = {
    "apply_transform": FLAGS,
    "distortion_factor": 0.8,
    "noise": field(*SHAPE[:3], phase=2.0),
}
PERSPECTIVE = {
    "apply_perspective": FLAGS,
    "end_points": [
        [[0.0, 0.0], [8.1, 0.0], [0.0, 9.5], [12.4, 6.6]],
        [[0.0, 0.0], [10.0, 0.0], [0.0, 8.0], [10.0, 8.0]],
        [[0.0, 0.0], [13.5, 0.0], [0.0, 6.1], [8.8, 10.3]],
    ],
}
UNIT = {"value_range": [0, 1]}
FIRST = {"data_format": "channels_first"}
MODES = ("constant", "reflect", "wrap", "nearest")
FILLED = [
    {"fill_mode": mode, "interpolation": way, "fill_value": 30.5}
    for mode in MODES
    for way in ("nearest", "bilinear")
]

# The layer's type, its arguments, what was drawn and, where it is not SHAPE, the images' shape.
CASES = [
    ("RandomCrop", {"height": 4, "width": 5}, {"start": [2, 3]}),
    ("RandomCrop", {"height": 12, "width": 5}, {"start": [0, 4]}),
    *(
        ("RandomFlip", {"mode": mode}, {"flips": FLAGS})
        for mode in ("horizontal", "vertical", "horizontal_and_vertical")
    ),
    ("RandomFlip", {"mode": "horizontal", **FIRST}, {"flips": FLAGS}),
    *(("RandomRotation", {"factor": 0.5, **each}, ROTATION) for each in FILLED),
    ("RandomRotation", {"factor": 0.5, **FIRST}, ROTATION),
    *(
        ("RandomTranslation", {"height_factor": 0.5, "width_factor": 0.5, **each}, TRANSLATION)
        for each in FILLED
    ),
    *(
        (
            "RandomZoom",
            {"height_factor": 0.5, **each},
            {"height_zoom": [0.7, 1.45, 1.0], "width_zoom": [0.7, 1.2, 0.55]},
        )
        for each in FILLED
    ),
    *(("RandomShear", {"x_factor": 0.5, "y_factor": 0.5, **each}, SHEAR) for each in FILLED),
    ("RandomPerspective", {}, PERSPECTIVE),
    ("RandomPerspective", {"interpolation": "nearest", "fill_value": 9.5}, PERSPECTIVE),
    ("RandomPerspective", {**FIRST}, PERSPECTIVE),
    *(("RandomElasticTransform", each, ELASTIC) for each in FILLED),
    (
        "RandomElasticTransform",
        {"fill_mode": "mirror", **UNIT},
        {**ELASTIC, "distortion_factor": 0.35},
    ),
    (
        "RandomElasticTransform",
        {},
        {**ELASTIC, "noise": field(3, 40, 36, phase=2.0)},
        (3, 40, 36, 2),
    ),
    ("RandomBrightness", {"factor": 0.5}, BRIGHTNESS),
    ("RandomBrightness", {"factor": 0.5, **UNIT}, {"rgb_delta": [0.2, -0.4, 0.0]}),
    ("RandomContrast", {"factor": 0.5}, CONTRAST),
    ("RandomContrast", {"factor": 0.5, **UNIT, **FIRST}, CONTRAST),
    ("RandomHue", {"factor": 0.5}, HUE),
    ("RandomHue", {"factor": 0.5, **UNIT, **FIRST}, HUE),
    ("RandomSaturation", {"factor": 0.5}, SATURATION),
    ("RandomSaturation", {"factor": 0.5, **UNIT, **FIRST}, {"factor": [3.0, 0.5, 1.2]}),
    ("RandomSharpness", {"factor": 0.5}, SHARPNESS),
    ("RandomSharpness", {"factor": 0.5, **UNIT}, SHARPNESS, (3, 7, 5, 1)),
    ("RandomSharpness", {"factor": 0.5, **FIRST}, SHARPNESS),
    ("RandomColorDegeneration", {"factor": 0.5}, FADING),
    ("RandomColorDegeneration", {"factor": 0.5, **UNIT, **FIRST}, FADING),
    (
        "RandomColorJitter",
        {
            "brightness_factor": 0.2,
            "contrast_factor": 0.3,
            "saturation_factor": 0.4,
            "hue_factor": 0.5,
        },
        {
            "random_brightness": BRIGHTNESS,
            "random_contrast": CONTRAST,
            "random_saturation": SATURATION,
            "random_hue": HUE,
        },
    ),
    ("RandomColorJitter", {"contrast_factor": 0.3, **FIRST}, {"random_contrast": CONTRAST}),
    ("RandomPosterization", {"factor": 4}, SHIFT),
    ("RandomPosterization", {"factor": 8, **UNIT}, {"shift_factor": [1, 3, 6]}),
    ("RandomInvert", {}, {"apply_inversion": FLAGS}),
    ("RandomInvert", {**UNIT}, {"apply_inversion": FLAGS}),
    ("RandomGrayscale", {}, {"should_apply": FLAGS}),
    ("RandomGrayscale", {**FIRST}, {"should_apply": FLAGS}),
    ("RandomGaussianBlur", {}, {"should_apply_blur": FLAGS, "blur_factor": [0.8, 0.3]}),
    (
        "RandomGaussianBlur",
        {"kernel_size": [3, 7]},
        {"should_apply_blur": FLAGS, "blur_factor": [0.8, 1.0]},
    ),
    (
        "RandomGaussianBlur",
        {"kernel_size": 5, **UNIT, **FIRST},
        {"should_apply_blur": FLAGS, "blur_factor": [0.4, 0.9]},
    ),
    (
        "RandomErasing",
        {},
        {
            "boxes": BOXES,
            "apply_erasing": FLAGS,
            "fill_value": field(*SHAPE, phase=3.0, scale=300.0),
        },
    ),
    ("RandomErasing", {"fill_value": 300}, {"boxes": BOXES, "apply_erasing": FLAGS}),
    (
        "RandomErasing",
        {"fill_value": 0.5, **FIRST, **UNIT},
        {"boxes": BOXES, "apply_erasing": [True, True, False]},
    ),
    ("Solarization", {"addition_factor": 0.5, "threshold_factor": 0.5}, SOLAR),
    ("Solarization", {"addition_factor": 0.5, **UNIT}, SOLAR),
    ("AutoContrast", {}, {}),
    ("AutoContrast", {**UNIT, **FIRST}, {}),
    ("Equalization", {}, {}),
    ("Equalization", {"bins": 20, **UNIT}, {}),
    (
        "ContrastLimitedAdaptiveHistogramEqualization",
        {"tile_grid_size": [2, 3]},
        {},
        (2, 33, 31, 3),
    ),
    ("CutMix", {}, {"boxes": BOXES, "permutation_order": [1, 2, 0]}),
    ("CutMix", {**FIRST}, {"boxes": BOXES, "permutation_order": [2, 1, 0]}),
    ("MixUp", {}, {"mix_weight": [0.1, 0.6, 1.0], "permutation_order": [1, 2, 0]}),
    (
        "RandAugment",
        {"num_ops": 3},
        {
            "names": ["random_rotation", "equalization", "random_rotation"],
            "transforms": {"random_rotation": ROTATION, "equalization": {}},
        },
    ),
    (
        "RandAugment",
        {**UNIT, **FIRST},
        {
            "names": ["auto_contrast", "solarization"],
            "transforms": {"auto_contrast": {}, "solarization": SOLAR},
        },
    ),
    (
        "RandAugment",
        {"num_ops": 4, "interpolation": "nearest"},
        {
            "names": [
                "random_shear",
                "random_posterization",
                "random_sharpness",
                "random_color_degeneration",
            ],
            "transforms": {
                "random_shear": SHEAR,
                "random_posterization": SHIFT,
                "random_sharpness": SHARPNESS,
                "random_color_degeneration": FADING,
            },
        },
    ),
    (
        "AugMix",
        {"chain_depth": 2},
        {
            "chain_mixing_weights": [0.5, 0.2, 0.3],
            "weight_sample": 0.35,
            "chain_transforms": [
                [["random_translation", TRANSLATION], ["random_contrast", CONTRAST]],
                [],
                [["solarization", SOLAR]],
            ],
        },
    ),
    (
        "AugMix",
        {"num_chains": 2, "all_ops": False, "interpolation": "nearest"},
        {
            "chain_mixing_weights": [0.9, 0.1],
            "weight_sample": 0.8,
            "chain_transforms": [
                [["random_shear", SHEAR]],
                [["random_posterization", SHIFT], ["equalization", {}], ["auto_contrast", {}]],
            ],
        },
    ),
]


def expanded(drawn):
    """What was drawn, with the fields that it stands for."""
    if isinstance(drawn, dict) and "wave" in drawn:
        return wave(drawn["wave"], drawn["phase"]) * np.float32(drawn["scale"])
    if isinstance(drawn, dict):
        return {name: expanded(value) for name, value in drawn.items()}
    return drawn


def images_of(shape, arguments):
    """Images that anyone can make again, which use all of their range."""
    low, high = arguments.get("value_range", (0, 255))
    images = np.float32(low) + (wave(shape, 0.3) + 1) / 2 * np.float32(high - low)
    return (
        np.moveaxis(images, -1, 1) if arguments.get("data_format") == "channels_first" else images
    )


def numbers(value, dtype="float32"):
    return jax.numpy.asarray(np.asarray(value, dtype))


def each(value):
    return numbers(value).reshape(-1, 1, 1, 1)


def masks(layer, images, boxes):
    (top, bottom), (left, right) = np.moveaxis(np.asarray(boxes, "float32"), 0, -1)
    found = layer._generate_batch_mask(
        images.shape, tuple(map(numbers, (left, right, top, bottom)))
    )
    return found[0] if isinstance(found, tuple) else found


def as_keras_has_it(layer, images, drawn):
    """The dictionary that the layer's own get_random_transformation would have given."""
    kind, shape = type(layer).__name__, images.shape
    flag = {
        name: numbers(value, "bool")
        for name, value in drawn.items()
        if name.startswith(("apply", "should", "flips"))
    }
    if kind == "RandomCrop":
        return tuple(drawn["start"])
    if kind == "RandomFlip":
        return {"flips": flag["flips"][:, None, None, None], "input_shape": shape}
    if kind == "RandomRotation":
        rows, columns = shape[2:] if layer.data_format == "channels_first" else shape[1:3]
        zeros, ones = numbers(np.zeros(shape[0])), numbers(np.ones(shape[0]))
        matrix = layer._compute_affine_matrix(
            0.5, 0.5, numbers(drawn["angle"]), zeros, zeros, ones, zeros, zeros, rows, columns
        )
        return {"rotation_matrix": matrix}
    if kind == "RandomZoom":
        return {name: numbers(value)[:, None] for name, value in drawn.items()}
    if kind == "RandomPerspective":
        rows, columns = shape[2:] if layer.data_format == "channels_first" else shape[1:3]
        corners = [[0, 0], [columns - 1, 0], [0, rows - 1], [columns - 1, rows - 1]]
        return {
            **flag,
            "start_points": numbers([corners] * shape[0]),
            "end_points": numbers(drawn["end_points"]),
        }
    if kind == "RandomElasticTransform":
        return {**flag, "distortion_factor": numbers(drawn["distortion_factor"]), "seed": 1}
    if kind in ("RandomBrightness", "RandomContrast", "RandomColorDegeneration", "Solarization"):
        return {name: each(value) for name, value in drawn.items()}
    if kind == "RandomPosterization":
        return {"shift_factor": numbers(drawn["shift_factor"], "uint8")}
    if kind == "RandomGrayscale":
        return flag["should_apply"][:, None, None, None]
    if kind == "RandomErasing":
        fill = layer._get_fill_value(images, shape, 1)
        if "fill_value" in drawn:
            fill = keras.ops.clip(drawn["fill_value"], *layer.value_range)
        return {**flag, "batch_masks": masks(layer, images, drawn["boxes"]), "fill_value": fill}
    if kind == "CutMix":
        order = numbers(drawn["permutation_order"], "int32")
        return {"batch_masks": masks(layer, images, drawn["boxes"]), "permutation_order": order}
    if kind == "MixUp":
        return {
            "mix_weight": numbers(drawn["mix_weight"]),
            "permutation_order": numbers(drawn["permutation_order"], "int64"),
        }
    if kind == "RandAugment":
        transforms = layer.get_random_transformation(images)["transforms"]
        for name, given in drawn["transforms"].items():
            transforms[name] = as_keras_has_it(getattr(layer, name), images, given)
        places = [layer._AUGMENT_LAYERS.index(name) for name in drawn["names"]]
        return {"transforms": transforms, "layer_idxes": numbers(places, "int32")}
    if kind == "AugMix":
        chains = [
            [
                {
                    "layer_name": name,
                    "transformation": as_keras_has_it(getattr(layer, name), images, given),
                }
                for name, given in chain
            ]
            for chain in drawn["chain_transforms"]
        ]
        return {**drawn, "chain_transforms": chains}
    return {name: flag.get(name, numbers(value)) for name, value in drawn.items()}


def facts(layer_type, arguments, drawn, shape=SHAPE):
    keras.utils.set_random_seed(0)
    layer = made(layer_type, arguments)
    images, given = images_of(shape, arguments), expanded(drawn)
    if layer_type == "RandomColorJitter":
        for name, each_drawn in given.items():
            inner = getattr(layer, name)
            found = as_keras_has_it(inner, images, each_drawn)
            inner.get_random_transformation = lambda *_, found=found, **__: dict(found)
        transformation = None
    else:
        transformation = as_keras_has_it(layer, jax.numpy.asarray(images), given)
    normal = jax.random.normal
    if "noise" in given:
        jax.random.normal = lambda *_, **__: numbers(given["noise"])
    try:
        outputs, pull = jax.vjp(
            lambda x: layer.transform_images(x, transformation, training=True),
            jax.numpy.asarray(images),
        )
        (gradient,) = pull(wave(outputs.shape, 9.0).astype(outputs.dtype))
    finally:
        jax.random.normal = normal
    return [
        layer_type,
        arguments,
        drawn,
        list(shape),
        {"output": kept(outputs), "gradient": kept(gradient)},
    ]


def main():
    lines = [json.dumps(facts(*case)) for case in CASES]
    (HERE / "image_facts.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")


if __name__ == "__main__":
    main()
