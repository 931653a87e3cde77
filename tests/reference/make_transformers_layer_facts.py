"""Write down what layers of transformers and PyTorch compute that Keras has not.

Needs torch 2.13 and transformers 5.24: ``python
tests/reference/make_transformers_layer_facts.py`` writes inputs, weights, outputs, and gradients of the inputs for a gradient of 1, 2, … at the output.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import DeepseekV3Config, GptOssConfig, MixtralConfig, NemotronHConfig
from transformers.activations import ACT2FN, XIELUActivation
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssMLP
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock
from transformers.models.nemotron_h.modeling_nemotron_h import NemotronHMoE

FILE = Path(__file__).with_name("transformers_layer_facts.json")
D, UNITS, EXPERTS, TOP_K, STEPS = 6, 4, 5, 2, 7
SIZES = {"hidden_size": D, "num_experts_per_tok": TOP_K, "hidden_act": "silu"}


def rounded(x: torch.Tensor) -> Any:
    """Nested lists of numbers."""
    return json.loads(
        json.dumps(x.detach().tolist()), parse_float=lambda n: float(f"{float(n):.7g}")
    )


def passed(function: Any, *inputs: torch.Tensor) -> dict[str, Any]:
    """The output of a function, and the gradients of its inputs."""
    for each in inputs:
        each.requires_grad_(True)
    output = function(*inputs)
    output = output[0] if isinstance(output, tuple) else output
    weights = torch.arange(1.0, output.numel() + 1).reshape(output.shape)
    (output * weights).sum().backward()
    return {
        "inputs": [rounded(each) for each in inputs],
        "output": rounded(output),
        "gradients": [rounded(each.grad) for each in inputs],
    }


def mixture(block: Any) -> dict[str, Any]:
    """A mixture of experts with random weights, and its weights by their names."""
    torch.manual_seed(0)
    weights = {}
    for name, each in (*block.named_parameters(), *block.named_buffers()):
        # Experts that every token takes are layers of their own.
        if each.ndim == 1 or name.startswith("shared"):
            each.data.zero_()
        else:
            weights[name] = rounded(each.data.normal_(0.0, 0.5))
    return {**passed(block, torch.randn(2, STEPS, D)), "weights": weights}


def attention(heads: int, keys: int, scale: float | None, causal: bool) -> dict[str, Any]:
    """Attention of projections (batch, steps, heads · size)."""
    torch.manual_seed(0)
    inputs = (torch.randn(2, STEPS, n * 3) for n in (heads, keys, keys))

    def computed(query: Any, value: Any, key: Any) -> torch.Tensor:
        split = [x.reshape(2, STEPS, -1, 3).transpose(1, 2) for x in (query, key, value)]
        found = scaled_dot_product_attention(*split, is_causal=causal, scale=scale, enable_gqa=True)
        return found.transpose(1, 2).reshape(2, STEPS, -1)

    return passed(computed, *inputs)


def main() -> None:
    """Write the file."""
    x = torch.linspace(-4, 4, 32)
    routed = {"n_routed_experts": EXPERTS, "moe_intermediate_size": UNITS}
    routed |= {"n_group": 1, "topk_group": 1}
    shared = {"moe_shared_expert_intermediate_size": UNITS}
    local = {"num_local_experts": EXPERTS, "intermediate_size": UNITS}
    facts = {
        "activations": {
            "quick_gelu": passed(ACT2FN["quick_gelu"], x.clone()),
            "squared_relu": passed(ACT2FN["relu2"], x.clone()),
            "xielu": passed(XIELUActivation(dtype=torch.float32), x.clone()),
        },
        "mixtures": {
            "mixtral": mixture(MixtralSparseMoeBlock(MixtralConfig(**SIZES, **local))),
            "deepseek_v3": mixture(DeepseekV3MoE(DeepseekV3Config(**SIZES, **routed))),
            "gpt_oss": mixture(GptOssMLP(GptOssConfig(**SIZES, **local))),
            "nemotron_h": mixture(NemotronHMoE(NemotronHConfig(**SIZES, **routed, **shared))),
        },
        "attention": {
            "plain": attention(4, 4, None, False),
            "grouped": attention(4, 2, None, True),
            "scaled": attention(2, 1, 1.0, True),
        },
    }
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
