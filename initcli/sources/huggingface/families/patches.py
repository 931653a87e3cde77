"""Vision transformers that follow ViT, of images, videos and spectrograms."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.initializers import Constant, Initializer
from initcli.sources.huggingface.families.vision import Beit, Vit, bounded_normal
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor, normal
from initcli.types import Size


class VitMsn(Vit):
    """ViT-MSN. Assran et al. 2022, arXiv:2204.07141."""

    model_types = ("vit_msn",)
    compute = Family.compute
    has_zero_tokens = True

    def pooler(self, width: int) -> None:
        """There is none."""


class VitMae(VitMsn):
    """ViT-MAE, of which the positions are sines that the library leaves at 0. arXiv:2111.06377."""

    model_types = ("vit_mae",)
    heads = ("ForPreTraining", "Model")

    def tokens(self, width: int) -> dict[str, Tensor]:
        tokens = super().tokens(width)
        table = tokens["position_embeddings"]._replace(trainable=False)
        return {**tokens, "position_embeddings": table}

    def task(self, head: str, width: int) -> None:
        if head == "Model":
            return
        config, modules = self.config, self.modules
        size, inner = config.size("decoder_hidden_size"), config.size("decoder_intermediate_size")
        config.quotient("decoder_hidden_size", "decoder_num_attention_heads")
        pixels = config.size("num_channels") * math.prod(config.pair("patch_size"))
        positions = Tensor((1, self.num_positions, size), ZERO, trainable=False)
        with modules.within("decoder"):
            mask = Tensor((1, 1, size), ZERO)
            modules.add("", "Decoder", mask_token=mask, decoder_pos_embed=positions)
            modules.linear("decoder_embed", width, size)
            for index in range(config.size("decoder_num_hidden_layers", 0)):
                with modules.within(f"decoder_layers.{index}"):
                    self.block(size, inner)
            modules.norm("decoder_norm", size)
            modules.linear("decoder_pred", size, pixels)


class IJepa(Vit):
    """I-JEPA. Assran et al. 2023, arXiv:2301.08243."""

    model_types = ("ijepa",)
    compute = Family.compute
    body_name = "ijepa"
    extra_tokens = ()

    def tokens(self, width: int) -> dict[str, Tensor]:
        return {"position_embeddings": super().tokens(width)["position_embeddings"]}

    def pooler(self, width: int) -> None:
        """There is none."""

    @property
    def filled(self) -> Initializer:
        return bounded_normal(self.config.number("initializer_range"))


class Vivit(Vit):
    """ViViT, for videos. Arnab et al. 2021, arXiv:2103.15691."""

    model_types = ("vivit",)
    compute = Family.compute
    heads = ("ForVideoClassification", "Model")
    body_name = "vivit"
    has_zero_tokens = True

    def projection(self, name: str, width: int) -> None:
        channels = self.config.size("num_channels")
        self.modules.convolution(name, channels, width, self.tube, initializer=self.filled)

    @property
    def tube(self) -> Size:
        """The frames and pixels of a patch."""
        return self.config.numbers("tubelet_size", 3, 1) or (1, 1, 1)

    @property
    def num_positions(self) -> int:
        frames, rows, columns = self.tube
        image = self.config.pair("image_size")
        patches = (image[0] // rows) * (image[1] // columns)
        return patches * (self.config.size("num_frames") // frames) + 1


class Ast(Vit):
    """The audio spectrogram transformer. Gong et al. 2021, arXiv:2104.01778."""

    model_types = ("audio-spectrogram-transformer",)
    compute = Family.compute
    heads = ("ForAudioClassification", "Model")
    body_name = "audio_spectrogram_transformer"
    has_zero_tokens = True

    def projection(self, name: str, width: int) -> None:
        patch = self.config.size("patch_size")
        self.modules.convolution(name, 1, width, (patch, patch))

    def tokens(self, width: int) -> dict[str, Tensor]:
        return {**super().tokens(width), "distillation_token": Tensor((1, 1, width), ZERO)}

    def pooler(self, width: int) -> None:
        """There is none."""

    def task(self, head: str, width: int) -> None:
        if head != "Model":
            self.modules.norm("classifier.layernorm", width)
            self.modules.linear("classifier.dense", width, self.config.labels)

    @property
    def num_positions(self) -> int:
        config, patch = self.config, self.config.size("patch_size")
        count = 1
        for size, stride in (("num_mel_bins", "frequency_stride"), ("max_length", "time_stride")):
            count *= (config.size(size) - patch) // config.size(stride) + 1
        return max(count, 0) + 2


class Dinov3(Vit):
    """DINOv3, with rotary positions. Siméoni et al. 2025, arXiv:2508.10104."""

    model_types = ("dinov3_vit",)
    compute = Family.compute
    heads = ("Model",)
    blocks = "model.layer"
    last_norm = "norm"

    def pooler(self, width: int) -> None:
        """There is none."""

    @property
    def filled(self) -> Initializer:
        return bounded_normal(self.config.number("initializer_range"))

    def projection(self, name: str, width: int) -> None:
        super().projection("patch_embeddings", width)

    def tokens(self, width: int) -> dict[str, Tensor]:
        count = self.config.size("num_register_tokens", 0)
        return {
            "cls_token": Tensor((1, 1, width), self.filled),
            "mask_token": Tensor((1, 1, width), ZERO),
            "register_tokens": Tensor((1, count, width), self.filled),
        }

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
    compute = Family.compute
    heads = ("ForObjectDetection", "Model")
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


class VideoMae(Older):
    """VideoMAE. Tong et al. 2022, arXiv:2203.12602."""

    model_types = ("videomae",)
    compute = Family.compute
    heads = ("ForVideoClassification", "Model", "ForPreTraining")
    body_name = "videomae"

    def pooler(self, width: int) -> None:
        """There is none."""

    @property
    def last_norm(self) -> str:  # type: ignore[override]
        return "" if self.config.flag("use_mean_pooling") else "layernorm"

    def tokens(self, width: int) -> dict[str, Tensor]:
        return {}

    def projection(self, name: str, width: int) -> None:
        config = self.config
        kernel = (config.size("tubelet_size"), *config.pair("patch_size"))
        self.modules.convolution(name, config.size("num_channels"), width, kernel)

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
            inner = config.size("decoder_intermediate_size")
            config.quotient("decoder_hidden_size", "decoder_num_attention_heads")
            modules.add("", "Model", mask_token=Tensor((1, 1, size), ZERO))
            modules.linear("encoder_to_decoder", width, size, False)
            pixels = config.size("num_channels") * config.size("tubelet_size")
            with modules.within("decoder"):
                for index in range(config.size("decoder_num_hidden_layers", 0)):
                    with modules.within(f"decoder_layers.{index}"):
                        self.block(size, inner)
                modules.norm("norm", size)
                modules.linear("head", size, pixels * math.prod(config.pair("patch_size")))


class Timesformer(Older):
    """TimeSformer. Bertasius et al. 2021, arXiv:2102.05095."""

    model_types = ("timesformer",)
    compute = Family.compute
    heads = ("ForVideoClassification", "Model")
    body_name = "timesformer"

    def pooler(self, width: int) -> None:
        """There is none."""

    @property
    def filled(self) -> Initializer:
        return bounded_normal(self.config.number("initializer_range"))

    @property
    def kind(self) -> str:
        """What attention sees."""
        kinds = ("divided_space_time", "space_only", "joint_space_time")
        return self.config.word("attention_type", kinds)

    def tokens(self, width: int) -> dict[str, Tensor]:
        tokens = super().tokens(width)
        if self.kind != "space_only":
            shape = (1, self.config.size("num_frames"), width)
            tokens["time_embeddings"] = Tensor(shape, ZERO)
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


class Data2VecVision(Beit, Older):
    """data2vec for images. Baevski et al. 2022, arXiv:2202.03555."""

    model_types = ("data2vec-vision",)
    compute = Family.compute
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


class VitDet(Vit):
    """ViTDet, the body of detectors. Li et al. 2022, arXiv:2203.16527."""

    model_types = ("vitdet",)
    compute = Family.compute
    heads = ("Model",)
    blocks = "encoder.layer"
    last_norm = ""

    def pooler(self, width: int) -> None:
        """There is none."""

    @property
    def filled(self) -> Initializer:
        return bounded_normal(self.config.number("initializer_range"))

    def projection(self, name: str, width: int) -> None:
        super().projection("projection", width)

    def tokens(self, width: int) -> dict[str, Tensor]:
        if not self.config.flag("use_absolute_position_embeddings"):
            return {}
        return {"position_embeddings": super().tokens(width)["position_embeddings"]}

    @property
    def num_positions(self) -> int:
        config = self.config
        image, patch = config.pair("pretrain_image_size"), config.pair("patch_size")
        return math.prod(a // b for a, b in zip(image, patch, strict=True)) + 1

    def layer(self, index: int, width: int) -> None:
        config, modules = self.config, self.modules
        inner = int(width * config.number("mlp_ratio"))
        with modules.within(f"{self.blocks}.{index}"):
            modules.norm("norm1", width)
            self.linear("attention.qkv", width, 3 * width, config.flag("qkv_bias"))
            self.linear("attention.proj", width, width)
            if config.flag("use_relative_position_embeddings"):
                self.relative_positions(index)
            modules.norm("norm2", width)
            self.linear("mlp.fc1", width, inner)
            self.linear("mlp.fc2", inner, width)
            if index in config.numbers("residual_block_indices"):
                with modules.within("residual"):
                    self.residual(width)

    def relative_positions(self, index: int) -> None:
        """Add the tables of distances, in a window or in the whole image."""
        config = self.config
        each = config.quotient("hidden_size", "num_attention_heads")
        image, patch = config.pair("image_size"), config.pair("patch_size")
        sides = [a // b for a, b in zip(image, patch, strict=True)]
        if index in config.numbers("window_block_indices") and config.size("window_size", 0):
            sides = [config.size("window_size")] * 2
        names = ("rel_pos_h", "rel_pos_w")
        tables = {
            name: Tensor((2 * side - 1, each), self.filled)
            for name, side in zip(names, sides, strict=True)
        }
        self.modules.add("attention", "Attention", **tables)

    def residual(self, width: int) -> None:
        """Add three convolutions of which the last norm starts at 0."""
        modules, narrow = self.modules, max(width // 2, 1)
        shapes = ((width, narrow, 1), (narrow, narrow, 3), (narrow, width, 1))
        for index, (inputs, outputs, size) in enumerate(shapes, 1):
            drawn = normal(math.sqrt(2 / (outputs * size**2)))
            modules.convolution(f"conv{index}", inputs, outputs, (size, size), False, drawn)
            modules.norm(f"norm{index}", outputs, start=0.0 if index == 3 else 1.0)
