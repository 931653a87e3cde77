"""I612: tied tensors whose values differ."""

from __future__ import annotations

from initcli.checks.disagreeing import DisagreementCheck
from initcli.errors import listed
from initcli.model import Disagreement
from initcli.parameter import Parameter


class BrokenTie(DisagreementCheck):
    """Two tensors that the configuration ties have different values in the file.

    ## What it does
    Compares the values of tied tensors, such as the embedding and the language model head, if the
    file stores both.

    ## Why is this bad
    Transformers 5 loads and trains the two separately; earlier versions let one overwrite the
    other. In one of these versions the loaded model is not the one that was trained.

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
    `tie_word_embeddings: false` if both were trained; otherwise a checkpoint with only one of them.

    ## References
    - Press, Wolf 2017, Using the output embedding, arXiv:1608.05859
    - Hugging Face transformers documentation, `tie_weights`
    """

    code = "I612"
    name = "broken-tie"
    kind = "untied"
    remedy = "set `tie_word_embeddings: false` if both were trained, or store only one of them"

    def message(self, parameter: Parameter, disagreement: Disagreement) -> str:
        names = listed(disagreement.names, "and")
        return f"{names} are tied, but their {parameter.size:,} values differ"
