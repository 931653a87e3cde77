"""Write down what published code makes of residual branches, as residual_facts.json.

Install the public packages, fetch the code of Fixup's authors, and run from its directory:

    pip install torch==2.13.0 torchscale==0.3.0 fairscale==0.4.13 timm torchvision
    git clone https://github.com/hongyi-zhang/Fixup  # f3fa449fbb8906ccb7143cea822f8b964b3d9258
    python make_residual_facts.py Fixup/cifar/models Fixup/imagenet/models

initcli and its tests need none of this: they read the JSON alone.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

import torch
from torchscale.architecture.config import DecoderConfig, EncoderConfig, EncoderDecoderConfig
from torchscale.architecture.decoder import Decoder
from torchscale.architecture.encoder import Encoder

HERE = Path(__file__).parent


def moments(values):
    values = values.detach().double().ravel()
    return {
        "count": values.numel(),
        "mean": values.mean().item(),
        "std": values.std().item(),
        "min": values.min().item(),
        "max": values.max().item(),
    }


def deepnorm():
    """α and β of torchscale, which divides the kernels of a fresh model by 1/β."""
    found = []
    for n, m, stack in (
        (6, None, None),
        (24, None, None),
        (None, 12, None),
        (6, 6, "encoder"),
        (6, 6, "decoder"),
        (18, 6, "encoder"),
        (18, 6, "decoder"),
    ):
        both = n is not None and m is not None
        kind, build = {
            "encoder": (EncoderDecoderConfig, Encoder),
            "decoder": (EncoderDecoderConfig, Decoder),
            None: (EncoderConfig, Encoder) if n else (DecoderConfig, Decoder),
        }[stack]
        sizes = {"vocab_size": 8}
        sizes |= {"encoder_layers": n, "encoder_embed_dim": 16} if n else {}
        sizes |= {"encoder_ffn_embed_dim": 32, "encoder_attention_heads": 2} if n else {}
        sizes |= {"decoder_layers": m, "decoder_embed_dim": 16} if m else {}
        sizes |= {"decoder_ffn_embed_dim": 32, "decoder_attention_heads": 2} if m else {}
        drawn = {}
        for is_deep in (False, True):
            torch.manual_seed(0)
            drawn[is_deep] = build(
                kind(deepnorm=is_deep, subln=False, **sizes), is_encoder_decoder=both
            )
        before, after = (dict(drawn[each].layers[0].named_parameters()) for each in (False, True))
        ratios = {
            name: (value / before[name]).mean().item()
            for name, value in after.items()
            if value.ndim > 1
        }
        found.append(
            {
                "encoder_layers": n,
                "decoder_layers": m,
                "stack": stack,
                "alpha": drawn[True].layers[0].alpha,
                "ratios": ratios,
            }
        )
    return found


def fixup(folders):
    """Kernels of models by Fixup's authors, with the branches of the model."""
    small, large = folders
    found = []
    for folder, name, branches in (
        (small, "fixup_resnet20", 9),
        (small, "fixup_resnet110", 54),
        (large, "fixup_resnet50", 16),
    ):
        path = Path(folder).resolve()
        sys.path.insert(0, str(path))
        module = import_module("fixup_resnet_imagenet" if folder is large else "fixup_resnet_cifar")
        torch.manual_seed(0)
        block = getattr(module, name)().layer3[-1]
        kernels = {k: v for k, v in block.named_parameters() if v.ndim == 4}
        for kernel, values in kernels.items():
            out, into, *field = values.shape
            found.append(
                {
                    "branches": branches,
                    "branch_layers": len(kernels),
                    "is_last": kernel == list(kernels)[-1],
                    "shape": [*field, into, out],
                    **moments(values),
                }
            )
    return found


def main():
    facts = {"deepnorm": deepnorm(), "fixup": fixup(sys.argv[1:3])}
    (HERE / "residual_facts.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
