"""Write down what transformers says of its model types: classes, defaults and other names of keys.

Needs torch 2.13 and transformers 5.24 beside initcli:
``python tests/reference/make_huggingface_model_types.py`` writes a line for each model type that a
family describes. A default that is null or false is as good as none and left out, and so is that
of a key which no family reads.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import transformers
from transformers.models.auto import modeling_auto

import initcli.sources.huggingface
from initcli.sources.huggingface.family import known_families

FILE = Path(initcli.sources.huggingface.__file__).with_name("model_types.json")
SOURCE = "".join(each.read_text("utf-8") for each in FILE.parent.rglob("*.py"))
WINDOWED = {"use_sliding_window"}
"""Keys whose default of false is not the same as no such key."""
SIDES = re.compile(r"(en|de)coder_(layers|ffn_dim|attention_heads)")
"""Keys that the families put together from their parts."""


def modeling(name: str) -> Any:
    """The module with the classes of a model type."""
    config = transformers.CONFIG_MAPPING[name]
    return importlib.import_module(config.__module__.replace(".configuration_", ".modeling_"))


def class_named(model_type: str, name: str) -> Any:
    """A class of a model type, which the library need not show at its top."""
    return getattr(transformers, name, None) or getattr(modeling(model_type), name)


def classes_of(name: str) -> list[str]:
    """The names of the classes of a model type, that of the bare model first."""
    found: dict[str, None] = {}
    for mapping in (each for each in vars(modeling_auto) if each.endswith("MAPPING_NAMES")):
        given = getattr(modeling_auto, mapping).get(name, ())
        found |= dict.fromkeys([given] if isinstance(given, str) else given)
    try:
        kinds = vars(modeling(name)).values()
    except ImportError:
        kinds = {}.values()
    for kind in kinds:
        own = getattr(kind, "config_class", None)
        if isinstance(kind, type) and getattr(own, "model_type", None) == name:
            found[kind.__name__] = None
    others = ("Config", "Backbone", "PreTrainedModel", "PretrainedModel", "Processor")
    kept = (each for each in found if each and not each.endswith(others))
    bare = "VisionTransformerPretrainedModel"
    return [*kept, *(each for each in found if each.endswith(bare))]


def defaults_of(name: str) -> dict[str, Any]:
    """The defaults as they are written, before the library derives some from others."""
    found, config = {}, transformers.CONFIG_MAPPING[name]
    for field in dataclasses.fields(config):
        value = field.default
        if field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        is_simple = isinstance(value, (bool, int, float, str, list, tuple))
        meant = config.attribute_map.get(field.name, field.name)
        names = [meant, *(new for new, old in config.attribute_map.items() if old == meant)]
        is_read = any(f'"{each}"' in SOURCE for each in names)
        is_said = value is not False or meant in WINDOWED
        if is_simple and is_said and (is_read or SIDES.fullmatch(meant)):
            found[meant] = list(value) if isinstance(value, tuple) else value
    found.pop("model_type", None)
    return found


def parts_of(name: str) -> dict[str, Any]:
    """The parts with configurations of their own."""
    found = {}
    for key, spec in transformers.CONFIG_MAPPING[name].sub_configs_defaults.items():
        said: dict[str, Any] = {"model_type": spec.model_type}
        if spec.config_class is not transformers.AutoConfig:
            said["is_fixed"] = True
        if spec.optional:
            said["is_optional"] = True
        given = {key: value for key, value in spec.init_kwargs.items() if key != "model_type"}
        if given:
            said["given"] = given
        found[key] = said
    return found


def main() -> None:
    """Write the file."""
    lines = []
    for name in sorted(known_families()):
        config = transformers.CONFIG_MAPPING[name]
        said = {"classes": classes_of(name), "defaults": defaults_of(name)}
        if config.attribute_map:
            said["aliases"] = {new: old for new, old in config.attribute_map.items() if new != old}
        if config.sub_configs_defaults:
            said["parts"] = parts_of(name)
        lines.append(f"{json.dumps(name)}: {json.dumps(said, allow_nan=False)}")
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
