"""XLNet, whose attention sees content and relative positions apart."""

from __future__ import annotations

from typing import ClassVar

from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Stack

_POSITIONS = "the scores of relative positions and of segments, beside those of content"
_POOLED = ("ForSequenceClassification", "ForMultipleChoice")


class XlNet(Family):
    """XLNet. Yang et al. 2019, arXiv:1906.08237."""

    model_types = ("xlnet",)
    heads: ClassVar[tuple[str, ...]] = (
        *("LMHeadModel", "Model", *_POOLED, "ForTokenClassification"),
        "ForQuestionAnsweringSimple",
    )
    width_keys = (*Family.width_keys, "d_inner")

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("d_model")
        config.activation("ff_activation")
        rows = config.size("vocab_size")
        with modules.within("" if head == "Model" else "transformer"):
            modules.embedding("word_embedding", rows, width)
            modules.add("", "Model", mask_emb=Tensor((1, 1, width), self.modules.drawn()))
            for index in range(config.size("n_layer", 0)):
                with modules.within(f"layer.{index}"):
                    self.layer(width)
        if head != "Model":
            self.task(head, width, rows)

    def layer(self, width: int) -> None:
        """Add one layer."""
        modules, drawn, inner = self.modules, self.modules.drawn(), self.config.size("d_inner")
        heads = self.config.size("n_head"), self.head_size
        tensors = {name: Tensor((width, *heads), drawn, (0,), (1, 2)) for name in "qkvr"}
        tensors["o"] = Tensor((width, *heads), drawn, (1, 2), (0,))
        tensors |= {f"r_{name}_bias": Tensor(heads, drawn) for name in "rsw"}
        tensors["seg_embed"] = Tensor((2, *heads), drawn)
        modules.add("rel_attn", "RelativeAttention", **tensors)
        modules.norm("rel_attn.layer_norm", width)
        modules.linear("ff.layer_1", width, inner)
        modules.linear("ff.layer_2", inner, width)
        modules.norm("ff.layer_norm", width)

    def task(self, head: str, width: int, rows: int) -> None:
        """Add the head of a class."""
        config, modules = self.config, self.modules
        match head:
            case "LMHeadModel" if self.is_tied:
                modules.add("lm_loss", "Linear", bias=Tensor((rows,), ZERO))
                modules.tie("lm_loss.weight", "transformer.word_embedding.weight")
            case "LMHeadModel":
                modules.linear("lm_loss", width, rows)
            case "ForTokenClassification":
                modules.linear("classifier", width, config.labels)
            case "ForQuestionAnsweringSimple":
                modules.linear("qa_outputs", width, config.labels)
            case _:
                if config.flag("summary_use_proj"):
                    modules.linear("sequence_summary.summary", width, width)
                single = head == "ForMultipleChoice"
                modules.linear("logits_proj", width, 1 if single else config.labels)

    def compute(self, stack: Stack, head: str) -> None:
        tokens, is_tied = self.token_ids(stack), head == "LMHeadModel" and self.is_tied
        with stack.within("" if head == "Model" else "transformer"):
            if is_tied:
                stack.will_tie("word_embedding")
            table = stream = stack.embedding("word_embedding", tokens)
            stack.leave_out("mask_emb", "the vector of tokens to predict")
            for index in range(self.config.size("n_layer", 0)):
                with stack.block("layer", index, stream):
                    self.compute_layer(stack)
                stream = stack.last
        match head:
            case "LMHeadModel" if is_tied:
                stack.tied("lm_loss", table, stream)
                stack.leave_out("lm_loss", "the bias of the head, which starts at 0")
            case "LMHeadModel":
                stack.dense("lm_loss", stream)
            case "ForTokenClassification":
                stack.dense("classifier", stream)
            case "ForQuestionAnsweringSimple":
                stack.dense("qa_outputs", stream)
            case "ForSequenceClassification" | "ForMultipleChoice":
                stack.dense("logits_proj", self.compute_summary(stack, stream))

    def compute_layer(self, stack: Stack) -> None:
        """Add what one layer computes."""
        name, config = "rel_attn", self.config
        drawn = [stack.tensor(f"{name}.{each}").initializer for each in "qkvo"]
        inner = stack.add(
            "MultiHeadAttention",
            name,
            ["input", "input"],
            num_heads=config.size("n_head"),
            key_dim=self.head_size,
            use_bias=False,
            kernel_initializer=stack.filled(drawn[0]),
        )
        for other in ("r", "r_r_bias", "r_s_bias", "r_w_bias", "seg_embed"):
            stack.leave_out(f"{name}.{other}", _POSITIONS)
        stream = stack.sum(f"{name}.sum", "input", inner)
        stream = self.compute_norm(stack, f"{name}.layer_norm", stream)
        inner = stack.dense("ff.layer_1", stream, config.text("ff_activation"))
        stream = stack.sum("ff.sum", stream, stack.dense("ff.layer_2", inner))
        self.compute_norm(stack, "ff.layer_norm", stream)

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        """Add a normalization."""
        return stack.norm(name, takes, "LayerNorm", self.config.number("layer_norm_eps") or 1e-12)

    def compute_summary(self, stack: Stack, takes: str) -> str:
        """Add the vector that stands for a sequence."""
        config, name = self.config, "sequence_summary"
        kind = config.word("summary_type", ("last", "first", "mean", "cls_index"))
        if kind == "mean":
            takes = stack.mean(name, takes)
        else:
            takes = stack.one(name, takes, 0 if kind == "first" else -1)
        activation = (
            "" if config.is_null("summary_activation") else config.text("summary_activation")
        )
        if f"{name}.summary" in stack:
            return stack.dense(f"{name}.summary", takes, activation)
        return stack.activated(f"{name}.activation", takes, activation) if activation else takes

    @property
    def is_tied(self) -> bool:
        """Whether the head over the vocabulary is the table of tokens."""
        return self.config.flag("tie_word_embeddings")

    @property
    def head_size(self) -> int:
        """The size of a head."""
        return self.config.quotient("d_model", "n_head")
