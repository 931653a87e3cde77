"""I609: declared tensors of which a file has no values."""

from __future__ import annotations

from initcli.checks.disagreeing import DisagreementCheck
from initcli.errors import listed
from initcli.model import Disagreement
from initcli.parameter import Parameter


class MissingTensor(DisagreementCheck):
    """A file lacks the values of a tensor that its configuration declares.

    ## What it does
    Looks for each tensor that `config.json` declares under the names that transformers knows for
    it in files: those of older versions, with and without the name of the base model, single
    experts in place of joined ones, and the other name of a tied tensor.

    ## Why is this bad
    The library draws what it does not find, and says so in one line of a log. The loaded model then
    computes with random numbers where trained ones were meant.

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
    The checkpoint that has the tensor; a configuration that declares what the file has.

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
        drawn = f": the library fills it by {distribution.text}" if distribution else ""
        if names == (path,):
            return f"the file has no {path}, {size}{drawn}"
        if len(names) == 1 == count:
            return f"the file has no {names[0]}, which is all or a part of {path}, {size}{drawn}"
        named = f", such as {listed(names, 'and')}" if names else ""
        return f"of {path}, {size}, the file lacks {count:,} parts{named}{drawn}"
