"""What a family of models is: a description of its tensors by the keys of its configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from initcli.registry import import_modules, known
from initcli.sources.huggingface.config import Config
from initcli.sources.huggingface.modules import ZERO, Modules, Tensor
from initcli.sources.huggingface.stack import NotComputed, Stack
from initcli.types import Size

MAX_TOKENS = 512
"""Tokens of an input whose signal is followed."""

MAX_COMPUTED = 2**24
"""Largest number of values that are computed of a tensor."""


class Family:
    """The models of one ``model_type``.

    A family is one class in a file of ``sources/huggingface/families``, and nothing else needs to
    be told. Class attributes are the differences between families that share a skeleton. A flag is
    true, false, or the configuration's key that says which.
    """

    model_types: ClassVar[tuple[str, ...]] = ()
    """Values of ``model_type``."""
    classes: ClassVar[str] = ""
    """What the names of the library's classes begin with, such as ``Llama``."""
    heads: ClassVar[tuple[str, ...]] = ("ForCausalLM", "Model")
    """What the names end with; the first is meant where a configuration names no class."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """The library's own defaults."""
    aliases: ClassVar[Mapping[str, str]] = {}
    """Other names that the library takes for keys, and the keys."""
    label_head: ClassVar[str] = "classifier"
    """Name of the head over labels of tokens."""
    positions_key: ClassVar[str] = "max_position_embeddings"
    std_key: ClassVar[str] = "initializer_range"
    """The key of the std of most weights."""
    width_keys: ClassVar[tuple[str, ...]] = (
        *("hidden_size", "d_model", "n_embd", "dim", "embedding_size", "word_embed_proj_dim"),
        *("intermediate_size", "d_ff", "n_inner", "hidden_dim", "ffn_dim", "ffn_hidden_size"),
        *("encoder_ffn_dim", "decoder_ffn_dim", "moe_intermediate_size"),
        *("shared_expert_intermediate_size", "q_lora_rank", "kv_lora_rank", "hidden_sizes"),
        *("num_attention_heads", "num_key_value_heads", "num_kv_heads", "num_heads", "n_head"),
        *("n_heads", "encoder_attention_heads", "decoder_attention_heads"),
    )
    """Keys of sizes that grow with the width of a model; those of a head do not."""

    def __init__(self, config: Config, modules: Modules) -> None:
        self.config = config
        self.modules = modules

    @classmethod
    def registered_names(cls) -> tuple[str, ...]:
        """The values of ``model_type``."""
        return cls.model_types

    @classmethod
    def all_defaults(cls) -> dict[str, Any]:
        """The defaults, those of the skeleton included."""
        merged: dict[str, Any] = {}
        for each in reversed(cls.__mro__):
            merged |= vars(each).get("defaults", {})
        return merged

    def describe(self, head: str) -> None:
        """Add the modules of the class with that end of its name, such as ``ForCausalLM``."""
        raise NotImplementedError

    def compute(self, stack: Stack, head: str) -> None:
        """Add what the described model computes, in order.

        Raises:
            NotComputed: no layer describes a part of it.
        """
        raise NotComputed(f"the model type '{type(self).model_types[0]}'")

    def token_ids(self, stack: Stack) -> str:
        """Add the input."""
        return stack.tokens(self.num_tokens)

    @property
    def num_tokens(self) -> int:
        """As many tokens as there are positions, and at most :data:`MAX_TOKENS`."""
        positions = self.config.optional_size(self.positions_key) or MAX_TOKENS
        return min(positions, MAX_TOKENS)

    def compute_head(self, stack: Stack, head: str, takes: str, table: str = "") -> str:
        """Add what the head of :meth:`add_head` computes; ``table`` is the tied one, if any."""
        if table:
            return stack.tied("lm_head", table, takes)
        name = {
            "ForCausalLM": "lm_head",
            "LMHeadModel": "lm_head",
            "ForSequenceClassification": "score",
            "ForTokenClassification": self.label_head,
            "ForQuestionAnswering": "qa_outputs",
        }.get(head)
        return takes if name is None else stack.dense(name, takes)

    @classmethod
    def all_aliases(cls) -> dict[str, str]:
        """The other names of keys, those of every family included."""
        return {"torch_dtype": "dtype", **cls.aliases}

    def add_head(self, head: str, width: int, table: str, *, bias: bool = False) -> None:
        """Add the usual head of a decoder.

        Args:
            head: end of the name of the class.
            width: size of the residual stream.
            table: name of the embedding's weight, which may be the head's too.
            bias: whether the head over the vocabulary has a bias.
        """
        config, modules = self.config, self.modules
        match head:
            case "ForCausalLM" | "LMHeadModel":
                rows = config.size("vocab_size")
                if not config.flag("tie_word_embeddings"):
                    modules.linear("lm_head", width, rows, bias)
                    return
                modules.tie("lm_head.weight", table)
                if bias:
                    modules.add("lm_head", "Linear", bias=Tensor((rows,), ZERO))
            case "ForSequenceClassification":
                modules.linear("score", width, config.labels, False)
            case "ForTokenClassification":
                modules.linear(self.label_head, width, config.labels)
            case "ForQuestionAnswering":
                modules.linear("qa_outputs", width, 2)

    def is_computable(self, shape: Size, key: str) -> bool:
        """Whether a table whose values are computed is small enough; reports if it is not."""
        if math.prod(shape) <= MAX_COMPUTED:
            return True
        message = f"a table of {shape} computed values is too large"
        self.config.errors.report(message, (key,))
        return False

    def flag(self, flag: bool | str) -> bool:
        """The value of a flag of the family."""
        return flag if isinstance(flag, bool) else self.config.flag(flag)


def known_families() -> Mapping[str, type[Family]]:
    """Every family by its ``model_type``."""
    from initcli.sources.huggingface import families

    import_modules(families.__name__, families.__path__)
    return known(Family)
