"""TimeSformer: attention along the frames of a video, and within each."""

from __future__ import annotations

from initcli.sources.huggingface.families.patches import Older
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Stack
from initcli.types import Size


class Timesformer(Older):
    """TimeSformer. Bertasius et al. 2021, arXiv:2102.05095."""

    model_types = ("timesformer",)
    has_pooler = False
    has_bounds = True
    heads = ("ForVideoClassification", "Model")
    body_name = "timesformer"

    @property
    def kind(self) -> str:
        """What attention sees."""
        kinds = ("divided_space_time", "space_only", "joint_space_time")
        return self.config.word("attention_type", kinds)

    @property
    def frames(self) -> int:
        """The number of frames that pass together."""
        return 1 if self.kind == "space_only" else self.config.size("num_frames")

    @property
    def image(self) -> Size:
        """The frames of a video, one below the other."""
        height, width = self.config.pair("image_size")
        return self.frames * height, width

    @property
    def num_positions(self) -> int:
        return self.num_patches // self.frames + 1

    def tokens(self, width: int) -> dict[str, Tensor]:
        tokens = super().tokens(width)
        if self.kind != "space_only":
            tokens["time_embeddings"] = Tensor((1, self.frames, width), ZERO)
        return tokens

    def attention(self, width: int) -> None:
        self.packed("attention", width)
        if self.kind == "divided_space_time":
            self.modules.norm("temporal_layernorm", width)
            self.packed("temporal_attention", width)
            self.linear("temporal_dense", width, width)

    def packed(self, name: str, width: int) -> None:
        """Add the projections of one attention."""
        self.linear(f"{name}.attention.qkv", width, 3 * width, self.config.flag("qkv_bias"))
        self.linear(f"{name}.output.dense", width, width)

    def compute_embeddings(self, stack: Stack) -> str:
        if self.kind == "space_only":
            return super().compute_embeddings(stack)
        patches, width = self.compute_patches(stack), self.config.size("hidden_size")
        each, table = self.num_positions - 1, "embeddings.position_embeddings"
        cut = [0, stack.steps - each]
        first = stack.add("Cropping1D", "embeddings.frame", patches, cropping=cut)
        first = stack.token("embeddings.cls_token", first)
        filled = {"initializer": stack.filled(stack.tensor(table).initializer)}
        places = stack.add("PositionEmbedding", table, first, sequence_length=1 + each, **filled)
        token = stack.sum("embeddings.frame.sum", first, places)
        token = stack.add("Cropping1D", "embeddings.token", token, cropping=[0, each])
        places = stack.add("Cropping1D", "embeddings.places", places, cropping=[1, 0])
        shape = [1, each, width]
        places = stack.add("Reshape", "embeddings.places.each", places, target_shape=shape)
        shape = [self.frames, each, width]
        frames = stack.add("Reshape", "embeddings.frames", patches, target_shape=shape)
        stream = stack.sum("embeddings.sum", frames, places)
        stack.leave_out("embeddings.time_embeddings", "embeddings of time, which start at 0")
        return self.joined(stack, "embeddings", token, self.turned(stack, "embeddings", stream))

    def turned(self, stack: Stack, name: str, takes: str) -> str:
        """Exchange the axes of frames and of their patches."""
        return stack.add("Permute", f"{name}.turned", takes, dims=[2, 1, 3])

    def joined(self, stack: Stack, name: str, token: str, takes: str) -> str:
        """Put the patches of all frames behind the token."""
        width = self.config.size("hidden_size")
        flat = stack.add("Reshape", f"{name}.flat", takes, target_shape=[-1, width])
        return stack.add("Concatenate", f"{name}.joined", [token, flat], axis=1)

    def compute_layer(self, stack: Stack) -> None:
        if self.kind != "divided_space_time":
            super().compute_layer(stack)
            return
        frames, each = self.frames, self.num_positions - 1
        width = self.config.size("hidden_size")
        token = stack.add("Cropping1D", "token", "input", cropping=[0, frames * each])
        patches = stack.add("Cropping1D", "patches", "input", cropping=[1, 0])
        shape = [each, frames, width]
        patches = stack.add("Reshape", "patches.frames", patches, target_shape=shape)
        normed = self.compute_norm(stack, "temporal_layernorm", patches)
        inner = stack.dense("temporal_dense", self.along(stack, "temporal_attention", normed))
        patches = stack.sum("temporal.sum", patches, inner)
        alone = stack.add("Reshape", "token.alone", token, target_shape=[1, 1, width])
        tokens = stack.add("UpSampling2D", "token.frames", alone, size=[frames, 1])
        both = [tokens, self.turned(stack, "patches", patches)]
        spatial = stack.add("Concatenate", "frames", both, axis=2)
        normed = self.compute_norm(stack, "layernorm_before", spatial)
        inner = self.along(stack, "attention", normed)
        cut = [[0, 0], [1, 0]]
        spatial = stack.add("Cropping2D", "attention.patches", inner, cropping=cut)
        spatial = self.turned(stack, "attention.patches", spatial)
        cut = [[0, 0], [0, each]]
        tokens = stack.add("Cropping2D", "attention.tokens", inner, cropping=cut)
        mean = stack.add("GlobalAveragePooling2D", "attention.mean", tokens)
        mean = stack.add("Reshape", "attention.token", mean, target_shape=[1, width])
        inner = self.joined(stack, "attention", mean, spatial)
        middle = stack.sum("attention.sum", self.joined(stack, "temporal", token, patches), inner)
        inner = self.compute_feed_forward(
            stack, self.compute_norm(stack, "layernorm_after", middle)
        )
        stack.sum("mlp.sum", middle, inner)

    def along(self, stack: Stack, name: str, takes: str) -> str:
        """Add attention along the second axis."""
        packed = f"{name}.attention.qkv"
        heads, out = self.attention_heads, f"{name}.output.dense"
        return stack.attention(name, takes, heads, (packed,) * 3, out, causal=False, axis=2)

    def compute_attention(self, stack: Stack, takes: str) -> str:
        names, out = ("attention.attention.qkv",) * 3, "attention.output.dense"
        return stack.attention("attention", takes, self.attention_heads, names, out, causal=False)
