"""What passes through the model of a configuration."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

import initcli
from initcli.errors import SignalError
from initcli.initializers.given import Parts
from initcli.model import Model
from initcli.sources.huggingface.family import known_families
from initcli.sources.load import computable
from support.paths import facts

FACTS: dict[str, Any] = facts("huggingface_signal_facts.json")


def model(config: dict[str, Any]) -> Model:
    return initcli.parse(json.dumps(config), file="config.json")


def drawn(model: Model) -> Counter[float]:
    """The number of entries by std; constants are left out, and rows of the padding."""
    found: Counter[float] = Counter()
    for each in model.parameters:
        filled = each.initializer
        if isinstance(filled, Parts):
            filled = filled.boxes[0].initializer
        distribution = filled.distribution_for(each.shape)
        std = distribution.std if distribution else 0.0
        if std and each.trainable:
            found[round(std, 9)] += each.size
    return found


@pytest.mark.parametrize("model_type", FACTS)
def test_the_stream_is_as_large_as_in_the_library(model_type: str) -> None:
    case = FACTS[model_type]
    signal = initcli.predict_signal(model(case["config"]))
    layers = signal.layers
    is_encoder = any(each.name.endswith(".output.LayerNorm") for each in layers)
    last = "output.LayerNorm" if is_encoder else "mlp.sum"
    blocks = [each for each in layers if each.name.endswith(f".{last}")]
    predicted = [each.predicted.std for each in blocks if "attention" not in each.name][:-1]
    # Models of width 256 vary by 2 %, and the approximation of attention is up to 8 % off. Where
    # norms of queries and keys are left out, attention is more even than it is, by up to 20 %.
    leaves_out = any("norms of queries" in note for note in signal.model.notes)
    assert predicted == pytest.approx(case["stream"], rel=0.25 if leaves_out else 0.1)


@pytest.mark.parametrize("model_type", FACTS)
def test_layers_have_the_distributions_of_the_tensors(model_type: str) -> None:
    described = model(FACTS[model_type]["config"])
    assert drawn(computable(described)) == drawn(described)


def test_a_family_is_computed_only_where_the_library_has_been_measured() -> None:
    config = FACTS["llama"]["config"]
    for model_type in known_families().keys() - FACTS.keys() - {"gpt-sw3"}:
        try:
            described = model({**config, "model_type": model_type})
        except initcli.InvalidSpec:
            continue
        with pytest.raises(SignalError):
            computable(described)


def test_blocks_are_named_as_in_the_library() -> None:
    names = [each.name for each in computable(model(FACTS["llama"]["config"])).layers]
    assert {"model.embed_tokens", "model.layers.3.mlp.down_proj", "model.norm"} <= set(names)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "gemma2"}, ["soft cap of attention scores", "soft cap of logits"]),
        ({"model_type": "gemma2", "attn_logit_softcapping": None}, ["soft cap of logits"]),
        ({"model_type": "gemma3_text"}, []),
        ({"model_type": "mistral"}, []),
        ({"model_type": "mistral", "sliding_window": 16}, ["64 tokens sees all before it, not 16"]),
        ({"model_type": "qwen2", "sliding_window": 16}, []),
        ({"model_type": "llama", "rope_scaling": {"type": "yarn", "factor": 4}}, ["'yarn'"]),
        ({"model_type": "llama", "rope_parameters": {"rope_type": "default"}}, []),
    ],
)
def test_what_the_signal_leaves_out_is_noted(changes: dict[str, Any], words: list[str]) -> None:
    described = model({**FACTS["llama"]["config"], **changes})
    plain = set(model({**FACTS["llama"]["config"], "model_type": changes["model_type"]}).notes)
    notes = [each for each in computable(described).notes if each not in plain]
    others = ("biases", "norms of queries")
    found = [n for n in notes if "leaves out" in n and not any(each in n for each in others)]
    assert len(found) == len(words)
    assert all(each in note for each, note in zip(words, found, strict=True))
