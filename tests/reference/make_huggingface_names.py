"""Write down which names the tensors of transformers have in a file, and which in memory.

Needs torch 2.13 and transformers 5.24 beside initcli:
``python tests/reference/make_huggingface_names.py``. Two files are written:

- ``initcli/sources/huggingface/names.json``, which initcli reads: what the library does with the
  names of a file before it looks for them in the model. Classes for which it does the same stand
  together.
- ``huggingface_names_facts.json.gz`` here: what ``save_pretrained`` of a small model of each class
  writes, by the classes whose names and shapes are the same.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from make_huggingface_model_types import class_named
from transformers.conversion_mapping import (
    get_checkpoint_conversion_mapping,
    get_model_conversion_mapping,
)
from transformers.core_model_loading import (
    WeightConverter,
    WeightTransform,
    revert_weight_conversion,
)
from transformers.modeling_utils import PreTrainedModel, remove_tied_weights_from_state_dict

import initcli.sources.huggingface
from initcli.sources.huggingface.family import known_families

HERE = Path(__file__).parent
FACTS = HERE / "huggingface_names_facts.json.gz"
CONFIGURATIONS = HERE / "huggingface_facts.json.gz"
NAMES = Path(initcli.sources.huggingface.__file__).with_name("names.json")
JOINED = (("MergeModulelist",), ("MergeModulelist", "Concatenate"))
DIVIDED = (("Chunk",), ("Split",))


def models() -> Iterator[tuple[dict[str, Any], PreTrainedModel]]:
    """A small model of each class that a family describes, without memory, and its config."""
    configurations = json.loads(gzip.decompress(CONFIGURATIONS.read_bytes()))
    for name, family in known_families().items():
        for class_name in family.ends_of(name):
            data = {**configurations[name]["cases"][0]["config"]}
            data["architectures"] = [class_name]
            config = transformers.AutoConfig.for_model(**json.loads(json.dumps(data)))
            with torch.device("meta"):
                yield data, class_named(name, class_name)(config)


def step(transform: WeightTransform) -> Iterator[dict[str, Any]]:
    """What a transform does with names, as regular expressions."""
    found: dict[str, Any] = {} if transform.scope_prefix is None else {"in": transform.scope_prefix}
    sources = [pattern(each) for each in transform.source_patterns]
    if not isinstance(transform, WeightConverter):
        for source in sources:
            # Where the library reverts a pattern, it writes the star.
            starred = source.replace(r"(\d+)", r"(\d+|\*)")
            yield {**found, "renamed": starred, "to": transform.target_patterns[0]}
        return
    operations = tuple(type(each).__name__ for each in transform.operations)
    axes = [getattr(each, "dim", None) for each in transform.operations]
    targets = list(transform.target_patterns)
    if operations in JOINED and axes == [0, 1][: len(axes)]:
        yield {**found, "joined": sources, "to": targets[0]}
    elif operations in DIVIDED and axes == [0] and len(sources) == 1:
        yield {**found, "divided": sources[0], "to": targets}
    else:
        yield {**found, "converted": sources, "to": targets}


def pattern(source: str) -> str:
    """The library's pattern as it compiles it; a list of modules is numbered."""
    ends = r"(?!\w)" if re.search(r"[a-zA-Z0-9]$", source) else ""
    return source.replace("*.", r"\.(\d+)\.").replace(r".\.(\d+)", r"\.(\d+)") + ends


def loading(model: PreTrainedModel) -> dict[str, Any]:
    """What the library does with the names of a file for a class."""
    found: dict[str, Any] = {"base": model.base_model_prefix}
    conversions = get_model_conversion_mapping(model, add_legacy=False)
    if steps := [each for transform in conversions for each in step(transform)]:
        found["steps"] = steps
    unread = set(model._keys_to_ignore_on_load_unexpected)
    buffers = [name for name, _ in model.named_buffers()]
    if any(name.endswith("rotary_emb.inv_freq") for name in buffers):
        unread.add(r"rotary_emb\.inv_freq")
    if any(name.endswith("position_ids") for name in buffers):
        unread.add(r"(^|\.)position_ids$")
    if unread:
        found["unread"] = sorted(unread)
    if model._keys_to_ignore_on_load_missing:
        found["optional"] = sorted(model._keys_to_ignore_on_load_missing)
    return found


def saved(model: PreTrainedModel) -> dict[str, list[int]]:
    """The names and shapes that ``save_pretrained`` writes."""
    tensors = model.state_dict()
    for name in model._keys_to_ignore_on_save:
        tensors.pop(name, None)
    tensors = revert_weight_conversion(model, remove_tied_weights_from_state_dict(tensors, model))
    return {name: list(each.shape) for name, each in tensors.items()}


def main() -> None:
    """Write both files."""
    rules: dict[str, list[str]] = {}
    facts: list[Mapping[str, Any]] = []
    for data, model in models():
        name = data["architectures"][0]
        classes = rules.setdefault(json.dumps(loading(model)), [])
        if name not in classes:
            classes.append(name)
        facts.append({"config": data, "names": saved(model)})
        print(name, len(facts[-1]["names"]), flush=True)
    legacy = [each for t in get_checkpoint_conversion_mapping("legacy") for each in step(t)]
    rows = [json.dumps({"classes": names, **json.loads(rule)}) for rule, names in rules.items()]
    classes_text = ",\n".join(f"  {row}" for row in rows)
    NAMES.write_text(f'{{"legacy": {json.dumps(legacy)},\n"classes": [\n{classes_text}\n]}}\n')
    text = json.dumps(facts, separators=(",", ":"))
    FACTS.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
