"""Families of models: their tensors, and what they compute, by the keys of a configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from initcli.registry import import_modules, known
from initcli.sources.huggingface.config import Config
from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.model_types import ModelType, known_model_types
from initcli.sources.huggingface.modules import Modules
from initcli.sources.huggingface.stack import Stack
from initcli.types import Size

MAX_TOKENS = 512
"""Largest number of tokens of the input of a signal."""

MAX_COMPUTED = 2**24
"""Largest number of entries of a tensor with computed values."""


class Family:
    """The models of one ``model_type``.

    A family is one class in a file of ``sources/huggingface/families``. Names of classes, defaults
    and aliases are the library's. Class attributes are the differences between families that share
    a skeleton. A flag is a bool, or the configuration's key that gives it.
    """

    model_types: ClassVar[tuple[str, ...]] = ()
    """Values of ``model_type``."""
    heads: ClassVar[tuple[str, ...]] = ("ForCausalLM", "Model")
    """Suffixes of the names of described classes, of those that the library has.

    The first is the default of a configuration that names no class.
    """
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Defaults that the library derives from other keys, or lacks."""
    aliases: ClassVar[Mapping[str, str]] = {}
    """Keys by further aliases that the library accepts."""
    positions_key: ClassVar[str] = "max_position_embeddings"
    flat_part: ClassVar[str] = ""
    """The key of a part whose values may be given among those of the whole."""
    merged_part: ClassVar[str] = ""
    """The key of a part that keeps the defaults of the whole even if it is given."""
    std_key: ClassVar[str] = "initializer_range"
    """The key of the std of most weights."""
    width_keys: ClassVar[tuple[str, ...]] = (
        *("hidden_size", "d_model", "n_embd", "dim", "embedding_size", "word_embed_proj_dim"),
        *("embed_dim", "intermediate_size_mlp", "shared_intermediate_size", "attention_heads"),
        *("linear_num_key_heads", "linear_num_value_heads", "mamba_n_heads", "index_n_heads"),
        *("intermediate_size", "d_ff", "n_inner", "hidden_dim", "ffn_dim", "ffn_hidden_size"),
        *("encoder_ffn_dim", "decoder_ffn_dim", "moe_intermediate_size", "out_hidden_size"),
        *("shared_expert_intermediate_size", "q_lora_rank", "kv_lora_rank", "hidden_sizes"),
        *("num_attention_heads", "num_key_value_heads", "num_kv_heads", "num_heads", "n_head"),
        *("n_heads", "encoder_attention_heads", "decoder_attention_heads"),
    )
    """Keys of sizes that grow with the width of a model; the size of a head does not."""

    def __init__(self, model_type: str, config: Config, modules: Modules) -> None:
        self.model_type = model_type
        self.config = config
        self.modules = modules

    @classmethod
    def registered_names(cls) -> tuple[str, ...]:
        """The values of ``model_type``."""
        return cls.model_types

    @classmethod
    def defaults_of(cls, model_type: str) -> dict[str, Any]:
        """The defaults of a model type."""
        merged = dict(_said(model_type).defaults)
        for each in reversed(cls.__mro__):
            merged |= vars(each).get("defaults", {})
        return merged

    @classmethod
    def aliases_of(cls, model_type: str) -> dict[str, str]:
        """Keys by their aliases."""
        return {"torch_dtype": "dtype", **cls.aliases, **_said(model_type).aliases}

    @classmethod
    def ends_of(cls, model_type: str) -> dict[str, str]:
        """The suffixes of the described classes by the classes' names."""
        names, prefix = _said(model_type).classes, cls.__name__
        if names:
            end = max(filter(names[0].endswith, cls.heads), key=len, default="")
            prefix = names[0].removesuffix(end)
        found = {f"{prefix}{head}": head for head in cls.heads}
        return {name: head for name, head in found.items() if name in names or not names}

    def describe(self, head: str) -> None:
        """Add the modules of the class whose name ends in ``head``, such as ``ForCausalLM``."""
        raise NotImplementedError

    def compute(self, stack: Stack, head: str) -> None:
        """Add the layers that compute what the described model does.

        Raises:
            NotComputed: no layer describes a part of it.
        """
        raise NotImplementedError

    def compute_features(self, stack: Stack, layer: int | tuple[int, ...] | None) -> str:
        """Add the layers that turn an image into features for another model.

        Args:
            stack: the entries.
            layer: number of the layer whose output is taken; 0 for the input of the first, a
                negative number counts from the end, None for the end of the model. The outputs of
                several are concatenated.

        Raises:
            NotComputed: no layer describes a part of it.
        """
        raise NotComputed(f"what the model type '{self.model_type}' sees")

    def token_ids(self, stack: Stack) -> str:
        """Add the input."""
        return stack.tokens(self.num_tokens)

    @property
    def num_tokens(self) -> int:
        """The number of positions, at most :data:`MAX_TOKENS`."""
        positions = self.config.optional_size(self.positions_key) or MAX_TOKENS
        return min(positions, MAX_TOKENS)

    @property
    def parts(self) -> tuple[str, ...]:
        """The keys of parts that have a configuration and a family."""
        known = known_families()
        parts = _said(self.model_type).parts
        return tuple(key for key, part in parts.items() if part.model_type in known)

    def given_to(self, key: str) -> dict[str, Any]:
        """The configuration of a part that the whole leaves to the library."""
        return dict(_said(self.model_type).parts[key].given)

    def part(self, key: str) -> Family:
        """The family of a part of the model; it adds to the same modules."""
        families, said = known_families(), _said(self.model_type).parts[key]
        given = self.config.value(key)
        name = said.model_type
        if isinstance(given, Mapping) and not said.is_fixed:
            name = given.get("model_type", name)
        if not isinstance(name, str) or name not in families:
            self.config.refuse_part(key, name, families)
            name = said.model_type
        family = families[name]
        is_given = given is not None and key != self.merged_part
        defaults = {**family.defaults_of(name), **({} if is_given else said.given)}
        part = self.config.part(key, defaults, family.aliases_of(name))
        if given is None and key == self.flat_part:
            part.path, part.data = self.config.path, self.config.data
        return family(name, part, self.modules)

    def add_part(self, name: str, part: Family) -> None:
        """Add the modules of a part's bare model below a name, with the part's std."""
        with self.modules.within(name), self.modules.filled_by(part.std):
            part.describe(part.bare_head)

    @property
    def bare_head(self) -> str:
        """The suffix of the class without a head."""
        classes = _said(self.model_type).classes
        return self.ends_of(self.model_type).get(classes[0], "Model") if classes else "Model"

    @property
    def std(self) -> float:
        """The standard deviation of most weights."""
        given = not self.config.is_null(self.std_key)
        return (self.config.number(self.std_key) if given else 0.0) or 0.02

    def is_computable(self, shape: Size, key: str) -> bool:
        """Whether a table of computed values is small enough; reports if it is not."""
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


def _said(model_type: str) -> ModelType:
    return known_model_types().get(model_type, ModelType())
