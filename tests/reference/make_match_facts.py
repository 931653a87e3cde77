"""Hold initcli's matches against the truth about fresh and trained models, as match_facts.json.

Run ``match_torch.py``, ``match_jax.py`` and ``match_trained.py`` with one FOLDER, each with the
packages that its head names; then, with initcli's own test environment,

    python make_match_facts.py FOLDER

The scores of all models are in the facts. Some small tensors of each are kept, in float16, in
match_tensors.npz, with the truth and what stands beside them in the facts.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))

from initcli.matching.identify import identifier  # noqa: E402
from initcli.matching.surroundings import Surroundings  # noqa: E402
from support.matching import Held, is_true  # noqa: E402

LEAST = 256
"""Elements from which a tensor counts."""
MOST = 4096
"""Elements of the largest tensor that is kept."""
TOTAL = 120_000
"""Elements of all fresh tensors that are kept."""
KEPT = 1
"""Tensors kept of each model."""
TRAINED = 6
"""Trained kernels kept."""


def tensors_of(file):
    with np.load(file) as arrays:
        return [Held(name.replace("|", "/"), arrays[name]) for name in arrays.files]


def answers(tensors):
    identify = identifier(tensors)
    return [identify(each, each.measurement) for each in tensors]


def fresh(files):
    """The score of each group of models, and the tensors to keep."""
    scores, kept = {}, []
    for file in files:
        score = scores.setdefault(file.stem.partition("_")[0], Counter())
        score["files"] += 1
        truths = json.loads(file.with_suffix(".json").read_text())
        tensors = tensors_of(file)
        surroundings = Surroundings((each.path, each.shape) for each in tensors)
        chosen = []
        for tensor, answer in zip(tensors, answers(tensors), strict=True):
            truth = truths.get(tensor.path.replace("/", "|")) or truths.get(tensor.path)
            if truth is None or tensor.values.size < LEAST:
                continue
            places = [i for i, match in enumerate(answer.matches) if is_true(match, truth)]
            for name, holds in (
                ("tensors", True),
                ("among", bool(places)),
                ("first", places[:1] == [0]),
            ):
                score[name] += holds
                score[f"random_{name}"] += holds and truth["type"] != "constant"
            if tensor.values.size <= MOST and truth["type"] != "constant":
                chosen.append((tensor, truth, surroundings.of(tensor.path)))
        if file.stem.endswith("-0"):
            shapes = {(each[0].shape, json.dumps(each[1])): each for each in chosen}
            kept += sorted(shapes.values(), key=lambda each: each[0].values.size)[:KEPT]
    kept.sort(key=lambda each: each[0].values.size)
    sizes = np.cumsum([each[0].values.size for each in kept])
    return scores, kept[: np.searchsorted(sizes, TOTAL, side="right")]


def trained(files):
    """How many trained kernels are called initial, and those to keep with their biases."""
    score, kept = Counter(), []
    for file in files:
        score["files"] += 1
        moved = json.loads(file.with_suffix(".json").read_text())["moved"]
        tensors = tensors_of(file)
        for tensor, answer in zip(tensors, answers(tensors), strict=True):
            if tensor.path not in moved:
                continue
            score["kernels"] += 1
            score["called_initial"] += bool(answer.matches)
            parent = tensor.path.rpartition(".")[0]
            bias = next((each for each in tensors if each.path == f"{parent}.bias"), None)
            if bias is not None and tensor.values.size <= MOST and len(kept) < TRAINED:
                kept.append((tensor, bias))
    return score, kept


def main():
    folder = Path(sys.argv[1])
    files = sorted(folder.glob("*.npz"))
    scores, kept = fresh([file for file in files if not file.stem.startswith("trained_")])
    score, kernels = trained([file for file in files if file.stem.startswith("trained_")])
    arrays, cases = {}, []
    for tensor, truth, place in kept:
        arrays[f"fresh{len(cases)}"] = tensor.values.astype(np.float16)
        cases.append({"path": tensor.path, "truth": truth, "place": place._asdict()})
    for number, pair in enumerate(kernels):
        for name, each in zip(("weight", "bias"), pair, strict=True):
            arrays[f"trained{number}.{name}"] = each.values.astype(np.float16)
    np.savez_compressed(HERE / "match_tensors.npz", **arrays)
    facts = {"scores": {**scores, "trained": score}, "fresh": cases, "trained": len(kernels)}
    (HERE / "match_facts.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    for group, each in facts["scores"].items():
        print(group, dict(each))


if __name__ == "__main__":
    main()
