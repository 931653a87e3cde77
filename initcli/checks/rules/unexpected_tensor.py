"""I610: tensors in a file that its configuration does not declare."""

from __future__ import annotations

from initcli.checks.disagreeing import DisagreementCheck
from initcli.model import Disagreement
from initcli.parameter import Parameter
from initcli.types import shape_text


class UnexpectedTensor(DisagreementCheck):
    """A file has a tensor that its configuration does not declare.

    ## What it does
    Reports the tensors that transformers does not use. Tensors that it ignores silently, such as
    the masks of GPT-2, are skipped.

    ## Why is this bad
    The library does not load the tensor. Often a part of the model has a different name in the
    file, so the library initializes it at random; or the configuration has fewer blocks than the
    file.

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
    The library's name for the tensor, or a configuration that declares it.

    ## References
    - Hugging Face transformers documentation, "Some weights of the model checkpoint were not used"
    - Wolf et al. 2020, doi:10.18653/v1/2020.emnlp-demos.6
    """

    code = "I610"
    name = "unexpected-tensor"
    severity = "warning"
    kind = "unexpected"
    remedy = "rename it as the library does, or declare it in the configuration"

    def message(self, parameter: Parameter, disagreement: Disagreement) -> str:
        shape = shape_text(parameter.shape)
        return f"the configuration does not declare {disagreement.path} {shape}: it is not loaded"
