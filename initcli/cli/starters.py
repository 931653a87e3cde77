"""Specs to start from, and next steps for existing specs."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """Kinds of networks to start from."""

    tour = "tour"
    mlp = "mlp"
    cnn = "cnn"
    transformer = "transformer"


_HEAD = """\
# {}. Show its weights, their effect on a signal, and what to change:
#   initcli summary model.yaml
#   initcli signal model.yaml
#   initcli check model.yaml
# `initcli catalog` lists all layers, initializers and activations, `initcli catalog Dense` one.

"""

_TOUR = """\
name: model
input_shape: [28, 28, 1]  # without the batch; null for an unknown size
seed: 0                   # the same seed gives the same values everywhere
defaults: keras           # framework of the default initializers: keras, torch or flax

initializers:             # recipes: names of your own, for use below
  scaled: {type: VarianceScaling, scale: 2.0, mode: fan_in, distribution: truncated_normal}

layers:
  # A layer has a type and the arguments of the Keras layer. An initializer is a name, ...
  - {type: Conv2D, filters: 16, kernel_size: 3, activation: relu, kernel_initializer: he_normal}
  - {type: MaxPooling2D, pool_size: 2}
  - {type: Flatten}
  # ... or a type with arguments, ...
  - type: Dense
    name: stem
    units: 64
    activation: relu
    kernel_initializer: {type: Orthogonal, gain: 1.4}
    bias_initializer: zeros
  # ... or a recipe. A block repeats its layers; `input` in it is the input of the block.
  - name: block
    repeat: 4
    layers:
      - {type: LayerNormalization}
      - {type: Dense, name: widen, units: 256, activation: relu, kernel_initializer: scaled}
      - {type: Dense, name: narrow, units: 64}
      - {type: Add, inputs: [input, narrow]}
  - {type: LayerNormalization}
  - {type: Dense, name: out, units: 10, activation: softmax}
"""

_MLP = """\
name: model
input_shape: [784]  # without the batch

layers:
  # A block repeats its layers. A ReLU halves the mean square, and he_normal compensates for it.
  - name: hidden
    repeat: 3
    layers:
      - {type: Dense, units: 256, activation: relu, kernel_initializer: he_normal}
  - {type: Dense, units: 10, name: out, activation: softmax}
"""

_CNN = """\
name: model
input_shape: [32, 32, 3]  # height, width, channels, without the batch

layers:
  - type: Conv2D
    filters: 32
    kernel_size: 3
    padding: same
    use_bias: false  # the normalization has one
    kernel_initializer: he_normal
  - {type: BatchNormalization}
  - {type: ReLU}
  - {type: MaxPooling2D, pool_size: 2}
  - type: Conv2D
    filters: 64
    kernel_size: 3
    padding: same
    use_bias: false
    kernel_initializer: he_normal
  - {type: BatchNormalization}
  - {type: ReLU}
  - {type: MaxPooling2D, pool_size: 2}
  - type: Conv2D
    filters: 128
    kernel_size: 3
    padding: same
    use_bias: false
    kernel_initializer: he_normal
  - {type: BatchNormalization}
  - {type: ReLU}
  - {type: GlobalAveragePooling2D}
  - {type: Dense, units: 10, name: out, activation: softmax}
"""

_TRANSFORMER = """\
name: model

initializers:  # as in GPT-2
  small: {type: RandomNormal, stddev: 0.02}
  residual: {type: RandomNormal, stddev: 0.00707}  # 0.02 / sqrt(2 * 4 blocks)

layers:
  - {type: Input, name: tokens, shape: [128], dtype: int32}
  - type: ReversibleEmbedding
    name: embedding
    input_dim: 8000
    output_dim: 256
    embeddings_initializer: small
  - {type: PositionEmbedding, name: positions, sequence_length: 128, initializer: small}
  - {type: Add, inputs: [embedding, positions]}
  # `input` in a block is the input of the block.
  - name: block
    repeat: 4
    layers:
      - {type: LayerNormalization, name: before_attention}
      - type: MultiHeadAttention
        name: attention
        num_heads: 4
        key_dim: 64
        kernel_initializer: small
        output_initializer: residual
      - {type: Add, name: attended, inputs: [input, attention]}
      - {type: LayerNormalization, name: before_mlp}
      - {type: Dense, name: up, units: 1024, activation: gelu, kernel_initializer: small}
      - {type: Dense, name: down, units: 256, kernel_initializer: residual}
      - {type: Add, inputs: [attended, down]}
  - {type: LayerNormalization, name: last}
  - {call: embedding, name: logits, reverse: true}  # the tied output layer
"""

_STARTERS = {
    Kind.tour: ("A network to start from", _TOUR),
    Kind.mlp: ("A multilayer perceptron to start from", _MLP),
    Kind.cnn: ("A convolutional network to start from", _CNN),
    Kind.transformer: ("A decoder-only transformer to start from", _TRANSFORMER),
}


def starter(kind: Kind, file: str = "model.yaml") -> str:
    """The spec of a kind, with comments that name the file."""
    title, body = _STARTERS[kind]
    return _HEAD.format(title).replace("model.yaml", file) + body


_MAX_FILES = 200
_MAX_BYTES = 1 << 20


def specs_here() -> list[str]:
    """The names of the specs and Keras models in the working folder, among small files."""
    from initcli.errors import InvalidSpec
    from initcli.sources.read import SPEC_SUFFIXES, read

    try:
        files = sorted(each for each in Path().iterdir() if each.suffix in SPEC_SUFFIXES)
    except OSError:
        return []
    found = []
    for file in files[:_MAX_FILES]:
        if not file.is_file() or file.stat().st_size > _MAX_BYTES:
            continue
        with suppress(InvalidSpec):
            data = read(str(file)).data
            if isinstance(data, dict) and "layers" in data:
                found.append(str(file))
    return found


def next_steps(specs: list[str]) -> str:
    """Commands to try with specs, one per line, each with what it shows."""
    from initcli.errors import listed, printable

    names = [printable(each) for each in specs]
    more = [f"{len(names) - 3} more"] if len(names) > 3 else []
    first = names[0]
    steps = {
        f"summary {first}": "every tensor: shape, initializer, distribution, values",
        f"hist {first}": "their histograms",
        f"signal {first}": "their effect on activations and gradients",
        f"check {first}": "what to change",
        f"compare {first} --kernel-initializer he_normal,glorot_uniform": "which keeps the signal",
    }
    lines = [f"  initcli {command}\n      {what}" for command, what in steps.items()]
    here = f"This folder has {listed([*names[:3], *more], 'and')}."
    return "\n".join([here, "", *lines, "", "initcli --help lists all commands.", ""])
