"""Vision transformers that follow ViT, of images, videos and spectrograms."""

from __future__ import annotations

import math
from copy import copy
from typing import ClassVar, Self

from initcli.initializers import Constant
from initcli.sources.huggingface.families.vision import Beit, Vit
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Stack
from initcli.types import Size


class VitMsn(Vit):
    """ViT-MSN. Assran et al. 2022, arXiv:2204.07141."""

    model_types = ("vit_msn",)
    has_pooler = False
    has_zero_tokens = True


class Autoencoder(Vit):
    """A ViT that sees a part of all patches, and a smaller one that makes all of these."""

    model_types: ClassVar[tuple[str, ...]] = ()
    decoding: ClassVar[tuple[str, str, str, str]]
    """Names of the projection in front of the decoder, of its mask, norm and last projection."""

    @property
    def decoder(self) -> Self:
        """The same family with the sizes of the decoder."""
        keys = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        sizes = {key: self.config.size(f"decoder_{key}", 0) for key in keys}
        decoder, decoder.config = copy(self), copy(self.config)
        decoder.config.data = {**self.config.data, **sizes}
        return decoder

    def describe_layers(self) -> None:
        """Add the layers of the decoder."""
        self.config.quotient("decoder_hidden_size", "decoder_num_attention_heads")
        for index in range(self.config.size("decoder_num_hidden_layers", 0)):
            with self.modules.within(f"decoder.decoder_layers.{index}"):
                sizes = (f"decoder_{key}" for key in ("hidden_size", "intermediate_size"))
                self.block(*map(self.config.size, sizes))

    def compute_decoder(self, stack: Stack, takes: str, hidden: int) -> None:
        """Add the decoder, of which so many positions are of patches that the encoder lacks."""
        into, mask, norm, out = self.decoding
        stream = stack.dense(into, takes)
        if hidden:
            stack.steps += hidden
            stream = stack.add("ZeroPadding1D", mask, stream, padding=[0, hidden])
        stack.hold(mask)
        stream = self.decoder.compute_blocks(
            stack, "decoder.decoder_layers", self.compute_positions(stack, stream)
        )
        stack.dense(out, self.compute_norm(stack, norm, stream))

    def compute_positions(self, stack: Stack, takes: str) -> str:
        """Add the positions of the decoder."""
        raise NotImplementedError


class VitMae(Autoencoder, VitMsn):
    """ViT-MAE, of which the positions are sines that the library leaves at 0. arXiv:2111.06377."""

    model_types = ("vit_mae",)
    heads = ("ForPreTraining", "Model")
    decoding = (
        *("decoder.decoder_embed", "decoder.mask_token", "decoder.decoder_norm"),
        "decoder.decoder_pred",
    )

    def tokens(self, width: int) -> dict[str, Tensor]:
        tokens = super().tokens(width)
        table = tokens["position_embeddings"]._replace(trainable=False)
        return {**tokens, "position_embeddings": table}

    def task(self, head: str, width: int) -> None:
        if head == "Model":
            return
        config, modules, size = self.config, self.modules, self.config.size("decoder_hidden_size")
        pixels = config.size("num_channels") * math.prod(config.pair("patch_size"))
        positions = Tensor((1, self.num_positions, size), ZERO, trainable=False)
        mask = Tensor((1, 1, size), ZERO)
        modules.add("decoder", "Decoder", mask_token=mask, decoder_pos_embed=positions)
        modules.linear("decoder.decoder_embed", width, size)
        self.describe_layers()
        modules.norm("decoder.decoder_norm", size)
        modules.linear("decoder.decoder_pred", size, pixels)

    def compute(self, stack: Stack, head: str) -> None:
        with stack.within("" if head == "Model" else self.body_name):
            stream = self.compute_body(stack)
        if head != "Model":
            self.compute_decoder(stack, stream, self.num_hidden)

    def compute_patches(self, stack: Stack) -> str:
        # The library leaves out random ones.
        return stack.without_first(super().compute_patches(stack), self.num_hidden)

    @property
    def num_hidden(self) -> int:
        """The number of patches that the encoder does not see."""
        return self.num_patches - int(self.num_patches * (1 - self.config.number("mask_ratio")))

    def compute_positions(self, stack: Stack, takes: str) -> str:
        return stack.positions("decoder.decoder_pos_embed", takes)


class IJepa(Vit):
    """I-JEPA. Assran et al. 2023, arXiv:2301.08243."""

    model_types = ("ijepa",)
    has_pooler = False
    has_bounds = True
    body_name = "ijepa"
    extra_tokens = ()

    def tokens(self, width: int) -> dict[str, Tensor]:
        return {"position_embeddings": super().tokens(width)["position_embeddings"]}

    def compute_pooled(self, stack: Stack, takes: str, head: str) -> str:
        return takes if head == "Model" else stack.mean("pooler", takes)


class Vivit(Vit):
    """ViViT, for videos. Arnab et al. 2021, arXiv:2103.15691."""

    model_types = ("vivit",)
    heads = ("ForVideoClassification", "Model")
    body_name = "vivit"
    has_zero_tokens = True

    @property
    def image(self) -> Size:
        return self.config.size("num_frames"), *self.config.pair("image_size")

    @property
    def patch(self) -> Size:
        return self.config.numbers("tubelet_size", 3, 1) or (1, 1, 1)


class Ast(Vit):
    """The audio spectrogram transformer. Gong et al. 2021, arXiv:2104.01778."""

    model_types = ("audio-spectrogram-transformer",)
    has_pooler = False
    heads = ("ForAudioClassification", "Model")
    body_name = "audio_spectrogram_transformer"
    extra_tokens = ("cls_token", "distillation_token")
    has_zero_tokens = True
    channels = 1

    @property
    def image(self) -> Size:
        return self.config.size("num_mel_bins"), self.config.size("max_length")

    @property
    def strides(self) -> Size:
        return self.config.size("frequency_stride"), self.config.size("time_stride")

    def tokens(self, width: int) -> dict[str, Tensor]:
        return {**super().tokens(width), "distillation_token": Tensor((1, 1, width), ZERO)}

    def task(self, head: str, width: int) -> None:
        if head != "Model":
            self.modules.norm("classifier.layernorm", width)
            self.modules.linear("classifier.dense", width, self.config.labels)

    def compute(self, stack: Stack, head: str) -> None:
        super().compute(stack, head)
        if head != "Model":
            pooled = self.compute_norm(stack, "classifier.layernorm", stack.last)
            stack.dense("classifier.dense", pooled)

    def compute_pooled(self, stack: Stack, takes: str, head: str) -> str:
        both = [stack.one(name, takes, i) for i, name in enumerate(self.extra_tokens)]
        return stack.add("Average", "pooler", both)


class Dinov3(Vit):
    """DINOv3, with rotary positions. Siméoni et al. 2025, arXiv:2508.10104."""

    model_types = ("dinov3_vit",)
    has_pooler = False
    has_bounds = True
    heads = ("Model",)
    blocks = "model.layer"
    block_norms = ("norm1", "norm2")
    layer_scales = ("layer_scale1.lambda1", "layer_scale2.lambda1")
    mlp_names = ("mlp.up_proj", "mlp.down_proj")
    last_norm = "norm"
    projection_name = "patch_embeddings"

    def tokens(self, width: int) -> dict[str, Tensor]:
        count = self.config.size("num_register_tokens", 0)
        return {
            "cls_token": Tensor((1, 1, width), self.filled),
            "mask_token": Tensor((1, 1, width), ZERO),
            "register_tokens": Tensor((1, count, width), self.filled),
        }

    def compute_body(self, stack: Stack) -> str:
        return self.compute_norm(stack, "norm", super().compute_body(stack))

    def layer(self, index: int, width: int) -> None:
        config, modules, inner = self.config, self.modules, self.config.size("intermediate_size")
        scale = Tensor((width,), Constant(value=config.number("layerscale_value")))
        keys = ("query_bias", "key_bias", "value_bias", "proj_bias")
        with modules.within(f"{self.blocks}.{index}"):
            modules.norm("norm1", width)
            for name, key in zip(self.attention_names, keys, strict=True):
                self.linear(name, width, width, config.flag(key))
            modules.add("layer_scale1", "LayerScale", lambda1=scale)
            modules.norm("norm2", width)
            bias = config.flag("mlp_bias")
            for name in ("gate_proj", "up_proj") if config.flag("use_gated_mlp") else ("up_proj",):
                self.linear(f"mlp.{name}", width, inner, bias)
            self.linear("mlp.down_proj", inner, width, bias)
            modules.add("layer_scale2", "LayerScale", lambda1=scale)


class Older(Vit):
    """ViT with the names of BERT."""

    model_types: ClassVar[tuple[str, ...]] = ()
    blocks: ClassVar[str] = "encoder.layer"
    attention_names: ClassVar[tuple[str, str, str, str]] = (
        *("attention.attention.query", "attention.attention.key", "attention.attention.value"),
        "attention.output.dense",
    )
    mlp_names: ClassVar[tuple[str, str]] = ("intermediate.dense", "output.dense")


class Yolos(Older):
    """YOLOS, which detects objects. Fang et al. 2021, arXiv:2106.00666."""

    model_types = ("yolos",)
    heads = ("ForObjectDetection", "Model")
    defaults = {"pooler_act": "tanh"}
    has_zero_tokens = True

    def tokens(self, width: int) -> dict[str, Tensor]:
        detection = Tensor((1, self.config.size("num_detection_tokens"), width), ZERO)
        return {**super().tokens(width), "detection_tokens": detection}

    @property
    def num_positions(self) -> int:
        return super().num_positions + self.config.size("num_detection_tokens")

    def embeddings(self, width: int) -> None:
        super().embeddings(width)
        count = self.config.size("num_hidden_layers", 0) - 1
        if self.config.flag("use_mid_position_embeddings") and count > 0:
            table = Tensor((count, 1, self.num_positions, width), ZERO)
            self.modules.add("encoder.interpolation", "Positions", mid_position_embeddings=table)

    def task(self, head: str, width: int) -> None:
        if head == "Model":
            return
        for name, size in (
            ("class_labels_classifier", self.config.labels + 1),
            ("bbox_predictor", 4),
        ):
            for index, outputs in enumerate((width, width, size)):
                self.modules.linear(f"{name}.layers.{index}", width, outputs)

    def compute(self, stack: Stack, head: str) -> None:
        super().compute(stack, head)
        if head == "Model":
            return
        before = stack.steps - self.config.size("num_detection_tokens")
        stream = stack.add("Cropping1D", "detections", stack.last, cropping=[0, before])
        for name in ("class_labels_classifier", "bbox_predictor"):
            inner = stack.dense(f"{name}.layers.0", stream, "relu")
            inner = stack.dense(f"{name}.layers.1", inner, "relu")
            stack.dense(f"{name}.layers.2", inner, "sigmoid" if name == "bbox_predictor" else "")

    def compute_patches(self, stack: Stack) -> str:
        stream = super().compute_patches(stack)
        # They stand behind the patches, which makes no difference.
        return stack.token(
            "embeddings.detection_tokens", stream, self.config.size("num_detection_tokens")
        )

    def compute_pooled(self, stack: Stack, takes: str, head: str) -> str:
        return super().compute_pooled(stack, takes, head) if head == "Model" else takes

    def compute_blocks(self, stack: Stack, scope: str, stream: str) -> str:
        table, count = "encoder.interpolation.mid_position_embeddings", 0
        if table in stack:
            count = stack.tensor(table).shape[0]
        for index in range(self.config.size("num_hidden_layers", 0)):
            with stack.block(scope, index, stream):
                self.compute_layer(stack)
                if index < count:
                    how = {"sequence_length": self.num_positions, "initializer": "zeros"}
                    places = stack.add("PositionEmbedding", "positions", stack.last, **how)
                    stack.sum("positions.sum", "mlp.sum", places)
            stream = stack.last
        return stream


class VideoMae(Autoencoder, Older):
    """VideoMAE. Tong et al. 2022, arXiv:2203.12602."""

    model_types = ("videomae",)
    has_pooler = False
    heads = ("ForVideoClassification", "Model", "ForPreTraining")
    body_name = "videomae"
    decoding = ("encoder_to_decoder", "mask_token", "decoder.norm", "decoder.head")

    @property
    def last_norm(self) -> str:  # type: ignore[override]
        return "" if self.config.flag("use_mean_pooling") else "layernorm"

    def tokens(self, width: int) -> dict[str, Tensor]:
        return {}

    @property
    def image(self) -> Size:
        return self.config.size("num_frames"), *self.config.pair("image_size")

    @property
    def patch(self) -> Size:
        return self.config.size("tubelet_size"), *self.config.pair("patch_size")

    def attention(self, width: int) -> None:
        *into, out = self.attention_names
        for name in into:
            is_biased = self.config.flag("qv_bias") and not name.endswith("key")
            self.linear(name, width, width, is_biased)
        self.linear(out, width, width)

    def task(self, head: str, width: int) -> None:
        config, modules = self.config, self.modules
        if head == "ForVideoClassification":
            if config.flag("use_mean_pooling"):
                modules.norm("fc_norm", width)
            modules.linear("classifier", width, config.labels)
        elif head == "ForPreTraining":
            size = config.size("decoder_hidden_size")
            modules.add("", "Model", mask_token=Tensor((1, 1, size), ZERO))
            modules.linear("encoder_to_decoder", width, size, False)
            self.describe_layers()
            modules.norm("decoder.norm", size)
            modules.linear("decoder.head", size, self.channels * math.prod(self.patch))

    def compute(self, stack: Stack, head: str) -> None:
        with stack.within("" if head == "Model" else self.body_name):
            stream = self.compute_body(stack)
        if head == "ForVideoClassification":
            if "fc_norm" in stack:
                pooled = self.compute_norm(stack, "fc_norm", stack.mean("pooler", stream))
            else:
                pooled = stack.one("pooler", stream)
            stack.dense("classifier", pooled)
        elif head == "ForPreTraining":
            stack.notes["the signal leaves out the mask: the encoder sees every patch"] = None
            self.compute_decoder(stack, stream, 0)

    def compute_embeddings(self, stack: Stack) -> str:
        return stack.sines("embeddings.position_embeddings", self.compute_patches(stack))

    def compute_positions(self, stack: Stack, takes: str) -> str:
        return stack.sines("decoder.positions", takes)


class Data2VecVision(Beit, Older):
    """data2vec for images. Baevski et al. 2022, arXiv:2202.03555."""

    model_types = ("data2vec-vision",)
    body_name = "data2vec_vision"
    blocks = Older.blocks
    attention_names = Older.attention_names
    mlp_names = Older.mlp_names
    shared_table = "encoder.relative_position_bias"
    own_table = "attention.attention.relative_position_bias"
    is_bare = False

    def describe(self, head: str) -> None:
        self.is_bare = head == "Model"
        super().describe(head)

    @property
    def last_norm(self) -> str:  # type: ignore[override]
        name = super().last_norm
        return "" if self.is_bare and name != "layernorm" else name

    def compute_pooled(self, stack: Stack, takes: str, head: str) -> str:
        return takes if head == "Model" else super().compute_pooled(stack, takes, head)
