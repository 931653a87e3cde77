"""I611: tensors whose shapes differ between a file and its configuration."""

from __future__ import annotations

from initcli.checks.disagreeing import DisagreementCheck
from initcli.errors import listed
from initcli.model import Disagreement
from initcli.parameter import Parameter
from initcli.types import shape_text


class OtherShape(DisagreementCheck):
    """A tensor has a different shape in a file than in its configuration.

    ## What it does
    Compares the shape of each stored tensor with that of the library's class, which follows from
    the sizes in `config.json`. If another value of one key makes all shapes fit, the finding names
    it.

    ## Why is this bad
    The library rejects the file or, with `ignore_mismatched_sizes`, draws the tensor at random.

    ## Reported
    ```python
    spec = '{"model_type": "llama", "num_hidden_layers": 0, "hidden_size": 64, "vocab_size": 99}'
    rng = np.random.default_rng(0)
    tensors["model.embed_tokens.weight"] = rng.normal(0, 0.02, (99, 64))
    tensors["model.norm.weight"] = np.ones(64)
    tensors["lm_head.weight"] = rng.normal(0, 0.02, (64, 99))
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
    The configuration that the file was saved with, or PyTorch's layout, outputs first.

    ## References
    - Hugging Face transformers documentation, `ignore_mismatched_sizes`
    - Wolf et al. 2020, doi:10.18653/v1/2020.emnlp-demos.6
    """

    code = "I611"
    name = "other-shape"
    kind = "shape"
    remedy = "use the configuration that the file was saved with, or convert the tensor"

    def message(self, parameter: Parameter, disagreement: Disagreement) -> str:
        path, names = disagreement.path, disagreement.names
        declared = disagreement.declared or ()
        if names != (path,) and parameter.shape == declared:
            some = listed(names, "and")
            return f"{some}: different shapes than the other of the {declared[0]:,} parts of {path}"
        seen = parameter.shape
        transposed = " (its transpose)" if seen == declared[::-1] and len(seen) > 1 else ""
        named = "" if names == (path,) else f" (in the file {names[0]})"
        return (
            f"{path}{named} has the shape {shape_text(seen)}{transposed}, "
            f"declared {shape_text(declared)}"
        )
