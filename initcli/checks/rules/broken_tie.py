"""I612: tensors that should be one and are not."""

from __future__ import annotations

from initcli.checks.disagreeing import DisagreementCheck
from initcli.errors import listed
from initcli.model import Disagreement
from initcli.parameter import Parameter


class BrokenTie(DisagreementCheck):
    """A file has different values for two tensors that its configuration makes one.

    ## What it does
    Compares the values of tied tensors, such as the embedding and the head over the vocabulary,
    where a file has both.

    ## Why is this bad
    Transformers 5 leaves the two apart and trains both; earlier versions let one overwrite the
    other. The model is not the one that was trained, by one reading or the other.

    ## Reported
    ```python
    spec = '''{"model_type": "llama", "num_hidden_layers": 0, "hidden_size": 64, "vocab_size": 99,
      "tie_word_embeddings": true}'''
    rng = np.random.default_rng(0)
    tensors["model.embed_tokens.weight"] = rng.normal(0, 0.02, (99, 64))
    tensors["model.norm.weight"] = np.ones(64)
    tensors["lm_head.weight"] = rng.normal(0, 0.02, (99, 64))
    ```

    ## Not reported
    ```python
    spec = '''{"model_type": "llama", "num_hidden_layers": 0, "hidden_size": 64, "vocab_size": 99,
      "tie_word_embeddings": true}'''
    rng = np.random.default_rng(0)
    tensors["model.embed_tokens.weight"] = rng.normal(0, 0.02, (99, 64))
    tensors["model.norm.weight"] = np.ones(64)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    ```

    ## Use instead
    `tie_word_embeddings: false`, if both were trained; else a checkpoint with one of them.

    ## References
    - Press, Wolf 2017, Using the output embedding, arXiv:1608.05859
    - Hugging Face transformers documentation, `tie_weights`
    """

    code = "I612"
    name = "broken-tie"
    kind = "untied"
    remedy = "say `tie_word_embeddings: false` if both were trained, or store one of them"

    def message(self, parameter: Parameter, disagreement: Disagreement) -> str:
        names = listed(disagreement.names, "and")
        return f"{names} are one tensor of {parameter.size:,} values, and have different ones"
