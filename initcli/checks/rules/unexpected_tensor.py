"""I610: tensors of a file that its configuration does not declare."""

from __future__ import annotations

from initcli.checks.disagreeing import DisagreementCheck
from initcli.model import Disagreement
from initcli.parameter import Parameter
from initcli.types import shape_text


class UnexpectedTensor(DisagreementCheck):
    """A file has a tensor that its configuration does not declare.

    ## What it does
    Names the tensors that transformers would find no place for. Those that it passes over in
    silence, such as the masks of GPT-2, are left out.

    ## Why is this bad
    The library does not read the tensor. Often a part of the model has another name than the
    library gives it, and starts anew; or the configuration has fewer blocks than the file.

    ## Reported
    ```python
    spec = '''{"model_type": "llama", "architectures": ["LlamaModel"], "num_hidden_layers": 0,
      "hidden_size": 64, "vocab_size": 99}'''
    rng = np.random.default_rng(0)
    tensors["embed_tokens.weight"] = rng.normal(0, 0.02, (99, 64))
    tensors["norm.weight"] = np.ones(64)
    tensors["reward.weight"] = rng.normal(0, 0.02, (64, 64))
    ```

    ## Not reported
    ```python
    spec = '''{"model_type": "llama", "architectures": ["LlamaModel"], "num_hidden_layers": 0,
      "hidden_size": 64, "vocab_size": 99}'''
    rng = np.random.default_rng(0)
    tensors["model.embed_tokens.weight"] = rng.normal(0, 0.02, (99, 64))
    tensors["model.norm.weight"] = np.ones(64)
    ```

    ## Use instead
    The library's name for the tensor; a configuration that declares it.

    ## References
    - Hugging Face transformers documentation, "Some weights of the model checkpoint were not used"
    - Wolf et al. 2020, doi:10.18653/v1/2020.emnlp-demos.6
    """

    code = "I610"
    name = "unexpected-tensor"
    severity = "warning"
    kind = "unexpected"
    remedy = "give it the library's name, or declare it in the configuration"

    def message(self, parameter: Parameter, disagreement: Disagreement) -> str:
        shape = shape_text(parameter.shape)
        return f"the configuration declares no {disagreement.path} {shape}, which is not read"
