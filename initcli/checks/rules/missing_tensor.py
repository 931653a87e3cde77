"""I609: declared tensors that a file does not contain."""

from __future__ import annotations

from initcli.checks.disagreeing import DisagreementCheck
from initcli.errors import listed
from initcli.model import Disagreement
from initcli.parameter import Parameter


class MissingTensor(DisagreementCheck):
    """A file lacks a tensor that its configuration declares.

    ## What it does
    Looks for each tensor that `config.json` declares, under all names by which transformers finds
    it in files: those of older versions, with and without the prefix of the base model, single
    experts instead of joined ones, and the other name of a tied tensor.

    ## Why is this bad
    The library draws missing tensors at random, and reports them in one line of its log. The loaded
    model then computes with random weights instead of trained ones.

    ## Reported
    ```python
    spec = '{"model_type": "llama", "num_hidden_layers": 0, "hidden_size": 64, "vocab_size": 99}'
    rng = np.random.default_rng(0)
    tensors["model.embed_tokens.weight"] = rng.normal(0, 0.02, (99, 64))
    tensors["model.norm.weight"] = np.ones(64)
    ```

    ## Not reported
    ```python
    spec = '{"model_type": "llama", "num_hidden_layers": 0, "hidden_size": 64, "vocab_size": 99}'
    rng = np.random.default_rng(0)
    tensors["model.embed_tokens.weight"] = rng.normal(0, 0.02, (99, 64))
    tensors["model.norm.weight"] = np.ones(64)
    tensors["lm_head.weight"] = rng.normal(0, 0.02, (99, 64))
    ```

    ## Use instead
    The checkpoint that contains the tensor, or a configuration that matches the file.

    ## References
    - Hugging Face transformers documentation, "Some weights were newly initialized"
    - Hugging Face transformers #46620, tensors that are never initialized
    """

    code = "I609"
    name = "missing-tensor"
    kind = "missing"
    remedy = "load the checkpoint that has it, or train it"

    def message(self, parameter: Parameter, disagreement: Disagreement) -> str:
        path, names, count = disagreement.path, disagreement.names, disagreement.count
        size = f"{parameter.size:,} values"
        distribution = parameter.distribution
        drawn = f": the library draws it from {distribution.text}" if distribution else ""
        if names == (path,):
            return f"the file has no {path}, {size}{drawn}"
        if len(names) == 1 == count:
            return f"the file has no {names[0]}, which is all or part of {path}, {size}{drawn}"
        named = f", such as {listed(names, 'and')}" if names else ""
        return f"the file lacks {count:,} parts of {path}, {size}{named}{drawn}"
