"""Save small models with transformers, damage them, and see what initcli says of the folders.

Needs torch 2.13, transformers 5.24 and safetensors beside initcli:
``python tests/reference/check_huggingface_checkpoints.py [MODEL_TYPE ...]``. For each model type
that a family describes, a class with random weights is saved: initcli must find nothing, and every
tensor must have its values. Then the folder is damaged in ten ways, each of which must be found and
named. Ends with status 1 where something is not as it should be.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import re
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import transformers
from make_huggingface_model_types import class_named
from safetensors.numpy import load_file, save_file

import initcli
from initcli.checks import check
from initcli.model import Model
from initcli.sources.huggingface.family import known_families
from initcli.sources.subject import subject

CASES = 2
"""Configurations of each model type."""
MAX_ENTRIES = 50_000_000
"""Entries of a model that is tried; a part without sizes has those of a real one."""
Arrays = dict[str, Any]


class Damage(NamedTuple):
    """What is damaged: the tensor or the key, and the code of the check that must name it."""

    what: str
    codes: tuple[str, ...]


class Folder:
    """The saved tensors and configuration of a model, to be damaged."""

    def __init__(self, path: Path, model: Any, seed: int) -> None:
        self.path = path
        self.tensors: Arrays = load_file(path / "model.safetensors")
        self.config: dict[str, Any] = json.loads((path / "config.json").read_text())
        self.ties = dict(model.all_tied_weights_keys)
        self.rng = random.Random(seed)

    def write(self, tensors: Arrays, config: dict[str, Any]) -> None:
        """Write the folder."""
        # A single number keeps its shape, which `ascontiguousarray` would change.
        save_file({k: np.array(v, order="C") for k, v in tensors.items()}, self.path / WEIGHTS)
        (self.path / "config.json").write_text(json.dumps(config))

    def kernels(self, least: int = 64) -> list[str]:
        """Matrices with random values."""
        return [
            name
            for name, each in self.tensors.items()
            if each.ndim >= 2
            and each.size >= least
            and each.dtype == np.float32
            and each.std() > 0
            and not name.endswith(("norm.weight", "A_log"))
        ]


WEIGHTS = "model.safetensors"


def not_a_number(folder: Folder, tensors: Arrays, config: dict[str, Any]) -> Damage:
    name = folder.rng.choice(list(folder.kernels()))
    tensors[name].flat[3] = np.nan
    return Damage(name, ("I601",))


def missing(folder: Folder, tensors: Arrays, config: dict[str, Any]) -> Damage | None:
    name = folder.rng.choice([n for n in tensors if "final_logits_bias" not in n])
    del tensors[name]
    return Damage(name, ("I609",))


def extra(folder: Folder, tensors: Arrays, config: dict[str, Any]) -> Damage:
    tensors["reward_head.weight"] = np.random.default_rng(0).normal(0, 0.02, (7, 9)).astype("f4")
    return Damage("reward_head.weight", ("I610",))


def transposed(folder: Folder, tensors: Arrays, config: dict[str, Any]) -> Damage | None:
    names = [n for n in folder.kernels(2) if tensors[n].shape != tensors[n].shape[::-1]]
    if not names:
        return None
    name = folder.rng.choice(names)
    tensors[name] = tensors[name].T
    return Damage(name, ("I611",))


def untied(folder: Folder, tensors: Arrays, config: dict[str, Any]) -> Damage | None:
    for name, first in folder.ties.items():
        there, other = (first, name) if first in tensors else (name, first)
        if there in tensors and other not in tensors and tensors[there].ndim == 2:
            tensors[other] = tensors[there] + np.float32(0.001)
            return Damage(other, ("I612",))
    return None


def zeros(folder: Folder, tensors: Arrays, config: dict[str, Any]) -> Damage:
    name = folder.rng.choice(folder.kernels())
    tensors[name][...] = 0
    # The zeros of one expert are rows of the tensor that the experts are.
    return Damage(name, ("I602", "I604", "I608", "I607"))


def huge(folder: Folder, tensors: Arrays, config: dict[str, Any]) -> Damage:
    name = folder.rng.choice(folder.kernels())
    tensors[name].flat[::5] = 1e37
    return Damage(name, ("I606",))


def identical(folder: Folder, tensors: Arrays, config: dict[str, Any]) -> Damage | None:
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name in folder.kernels():
        # An embedding that the head has too is no finding.
        if not any(word in name for word in (".experts.", "embed", "head", "wte", "decoder.w")):
            by_shape.setdefault(tensors[name].shape, []).append(name)
    pairs = [names for names in by_shape.values() if len(names) > 1]
    if not pairs:
        return None
    one, two = folder.rng.sample(folder.rng.choice(pairs), 2)
    tensors[one][...] = tensors[two]
    return Damage(one, ("I603",))


def expert(folder: Folder, tensors: Arrays, config: dict[str, Any]) -> Damage | None:
    names = [name for name in tensors if re.search(r"\.experts\.\d+\.", name)]
    if not names:
        return None
    name = folder.rng.choice(names)
    del tensors[name]
    return Damage(name, ("I609",))


def wrong_value(folder: Folder, tensors: Arrays, config: dict[str, Any]) -> Damage | None:
    for key in (
        "vocab_size",
        "intermediate_size",
        "num_hidden_layers",
        "n_layer",
        "num_layers",
        "d_model",
    ):
        if not isinstance(config.get(key), int) or config[key] < 2:
            continue
        changed = {**config, key: config[key] + 1}
        if shapes(changed) != shapes(config):  # Some classes read no such key.
            config.update(changed)
            return Damage(f"`{key}: {config[key] - 1}`", ("I609", "I610", "I611"))
    return None


def shapes(config: Mapping[str, Any]) -> dict[str, Any]:
    """The shapes that a configuration declares; none for one that is refused."""
    try:
        model = initcli.parse(json.dumps(config), file="config.json")
    except initcli.InvalidSpec:
        return {}
    return {each.path: each.shape for each in model.parameters}


DAMAGES: tuple[Callable[..., Damage | None], ...] = (
    *(not_a_number, missing, extra, transposed, untied),
    *(zeros, huge, identical, expert, wrong_value),
)


def is_named(finding: Any, damage: Damage, changed: set[str]) -> bool:
    """Whether a finding names what was damaged, by its name in the file or in memory."""
    said = f"{finding.message} {finding.remedy} {finding.tensor} {' '.join(finding.layers)}"
    return damage.what in said or any(each in said for each in changed)


def changed_in(damaged: Any, loaded: Mapping[str, Any]) -> set[str]:
    """The tensors in memory with other values than before."""
    changed = set()
    for each in damaged.parameters:
        stored, own = each.stored, loaded.get(each.path)
        if stored is None or stored.storage is None or own is None or own.shape != stored.shape:
            continue
        seen = stored.read(0, stored.size).reshape(stored.shape)
        if not np.array_equal(seen, own.float().numpy()):
            changed.add(each.path)
    return changed


def faults(name: str, data: dict[str, Any], path: Path, counts: Counter[str]) -> Iterator[str]:
    """What is not as it should be for one configuration."""
    config = transformers.AutoConfig.for_model(**json.loads(json.dumps(data)))
    torch.manual_seed(zlib.crc32(name.encode()))
    model = class_named(name, data["architectures"][0])(config)
    model.save_pretrained(path)
    sound = subject(str(path))
    if not isinstance(sound, Model):
        yield f"not held to its configuration: {sound.notes}"
        return
    if sound.disagreements:
        yield f"disagreements {sound.disagreements[:3]}"
    loaded = model.state_dict()
    for parameter in sound.parameters:
        stored = parameter.stored
        if stored is None or stored.storage is None:
            yield f"{parameter.path} has no values"
            continue
        seen = stored.read(0, stored.size).reshape(stored.shape)
        if not np.array_equal(seen, loaded[parameter.path].float().numpy()):
            yield f"{parameter.path} has other values than in memory"
    report = check(sound)
    for finding in report.findings:
        yield f"sound, but {finding.code} {finding.message}"
    folder = Folder(path, model, zlib.crc32(json.dumps(data).encode()))
    for damage in DAMAGES:
        tensors = {each: array.copy() for each, array in folder.tensors.items()}
        changed = dict(folder.config)
        done = damage(folder, tensors, changed)
        if done is None:
            continue
        folder.write(tensors, changed)
        counts[damage.__name__] += 1
        try:
            damaged = subject(str(path))
            report = check(damaged)
        except initcli.InitcliError as error:
            yield f"{damage.__name__} {done.what}: {error}"
            continue
        found = [each for each in report.findings if each.code in done.codes]
        others = changed_in(damaged, loaded)
        if damage is missing:  # which in memory may have another name
            others = {each.path for each in sound.parameters if each.stored.path == done.what}
        if not any(is_named(each, done, others) for each in found):
            every = [f"{each.code} {each.message} = {each.remedy}" for each in report.findings]
            yield f"{damage.__name__} {done.what} is not found: {every[:4]}"


def main() -> None:
    """Try all model types, or those that are named."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    facts = json.loads(
        gzip.decompress(Path(__file__).with_name("huggingface_facts.json.gz").read_bytes())
    )
    total, counts = 0, Counter[str]()
    for name in sys.argv[1:] or known_families():
        for case in facts[name]["cases"][:CASES]:
            if sum(map(math.prod, shapes(case["config"]).values())) > MAX_ENTRIES:
                continue
            with tempfile.TemporaryDirectory() as folder:
                for fault in faults(name, case["config"], Path(folder), counts):
                    total += 1
                    print(f"{name} {case['config']['architectures'][0]}: {fault}", flush=True)
    print(f"{total} faults; damaged: {dict(counts)}")
    raise SystemExit(min(total, 1))


if __name__ == "__main__":
    main()
