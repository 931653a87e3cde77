"""Hold what initcli says of names in files against what transformers says when it loads them.

Needs torch 2.13, transformers 5.24 and safetensors beside initcli:
``python tests/reference/check_huggingface_loading.py [MODEL_TYPE ...]``. Small models are saved, and
loaded by their own class and by another head, with their names as they are, without and with that of
the base model, as in older versions, as in memory, and with tensors that are gone, renamed or of
another size. Missing, unexpected and mismatched tensors must be the same. Ends with status 1 where
they are not.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import transformers
from make_huggingface_model_types import class_named
from safetensors.numpy import load_file, save_file

from initcli.model import Model
from initcli.sources.huggingface.family import known_families
from initcli.sources.subject import subject

Arrays = dict[str, Any]
_IGNORED = ("model.layers.0.self_attn.rotary_emb.inv_freq", "h.0.attn.bias", "x.position_ids")


def forms(tensors: Arrays, model: Any, rng: random.Random) -> Iterator[tuple[str, Arrays]]:
    """The tensors under several names, each with a word for it."""
    prefix = f"{model.base_model_prefix}."
    yield "as they are", tensors
    yield "without base", {name.removeprefix(prefix): each for name, each in tensors.items()}
    yield "with base", {prefix + name: each for name, each in tensors.items()}
    older = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))
    yield "older", {renamed(name, older): each for name, each in tensors.items()}
    yield "in memory", {name: each.numpy().copy() for name, each in model.state_dict().items()}
    yield "damaged", damaged(tensors, rng)


def renamed(name: str, pairs: Any) -> str:
    """The name with parts replaced."""
    for old, new in pairs:
        name = name.replace(old, new)
    return name


def damaged(tensors: Arrays, rng: random.Random) -> Arrays:
    """The tensors without two, with two renamed, one larger, and some that may be passed over."""
    # A joined tensor of which a part is missing is one of another size to the library.
    names = [name for name in tensors if ".experts." not in name]
    changed = dict(tensors)
    for name in rng.sample(names, 2):
        del changed[name]
    one, two, three = rng.sample([name for name in names if name in changed], 3)
    changed[f"{one}_x"] = changed.pop(one)
    changed[f"foo.{two}"] = changed.pop(two)
    changed[three] = np.zeros([size + 1 for size in changed[three].shape], changed[three].dtype)
    return changed | {name: np.zeros(3, np.float32) for name in _IGNORED}


def said_by_library(kind: Any, folder: str) -> tuple[set[str], set[str], int]:
    """Missing and mismatched tensors, and the number of unexpected ones."""
    model, info = kind.from_pretrained(
        folder, output_loading_info=True, ignore_mismatched_sizes=True
    )
    mismatched = {each[0] for each in info["mismatched_keys"]}
    missing = set(info["missing_keys"]) - mismatched
    # Of tied tensors that are all missing, the library names each.
    missing -= {name for name, first in model.all_tied_weights_keys.items() if first in missing}
    unexpected = {re.sub(r"\.experts\..*", ".experts", path) for path in info["unexpected_keys"]}
    return missing, mismatched, len(unexpected)


def said_by_initcli(folder: str) -> tuple[set[str], set[str], int]:
    """The same."""
    model = subject(folder)
    assert isinstance(model, Model), model.notes
    found = {kind: set[str]() for kind in ("missing", "optional", "shape", "unexpected", "untied")}
    for each in model.disagreements:
        found[each.kind].add(each.path)
    second = {first: name for name, first in model.ties.items()}
    # Where the tie is the other way around, the library has the other name.
    missing = {second.get(path, path) if "decoder" in path else path for path in found["missing"]}
    # The library counts the experts that it would join once.
    unexpected = {re.sub(r"\.experts\.\d+\..*", ".experts", path) for path in found["unexpected"]}
    return missing, found["shape"], len(unexpected)


def differences(name: str, data: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Each thing that was tried, and whether both say the same."""
    rng = random.Random(zlib.crc32(name.encode()))
    family = known_families()[name]
    classes = list(family.ends_of(name))
    for first in [classes[0], *rng.sample(classes[1:], min(2, len(classes) - 1))]:
        config = json.loads(json.dumps({**data, "architectures": [first]}))
        model = class_named(name, first)(transformers.AutoConfig.for_model(**config))
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            weights, file = Path(folder) / "model.safetensors", Path(folder) / "config.json"
            tensors, written = load_file(weights), json.loads(file.read_text())
            for other in dict.fromkeys((first, rng.choice(classes))):
                file.write_text(json.dumps({**written, "architectures": [other]}))
                for word, form in forms(tensors, model, rng):
                    arrays = {key: np.ascontiguousarray(each) for key, each in form.items()}
                    save_file(arrays, weights, metadata={"format": "pt"})
                    theirs = said_by_library(class_named(name, other), folder)
                    ours = said_by_initcli(folder)
                    yield f"{first} as {other}, {word}: {theirs} and {ours}", theirs == ours


def main() -> None:
    """Try all model types, or those that are named."""
    transformers.logging.set_verbosity(50)
    transformers.logging.disable_progress_bar()
    facts = Path(__file__).with_name("huggingface_facts.json.gz")
    configurations = json.loads(gzip.decompress(facts.read_bytes()))
    tried = wrong = 0
    for name in sys.argv[1:] or known_families():
        for text, is_same in differences(name, configurations[name]["cases"][0]["config"]):
            tried += 1
            if not is_same:
                wrong += 1
                print(text[:1500], flush=True)
    print(f"{tried} loads, {wrong} of which initcli says something else")
    raise SystemExit(min(wrong, 1))


if __name__ == "__main__":
    main()
