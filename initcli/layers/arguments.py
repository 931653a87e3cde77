"""Types of the arguments that several layers share, each with its description."""

from __future__ import annotations

from typing import Annotated, Literal

from initcli.activations import Activation
from initcli.initializers import Initializer
from initcli.types import DataFormat, Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, doc

Sizes = PositiveInt | tuple[PositiveInt, ...]
"""One number for all spatial axes, or one for each."""

Units = Annotated[PositiveInt, doc("Number of output features.", is_width=True)]
Filters = Annotated[PositiveInt, doc("Number of output channels.", is_width=True)]
OutputActivation = Annotated[Activation, doc("Function applied to the output.")]
UseBias = Annotated[bool, doc("Whether the layer adds a bias.")]
KernelInitializer = Annotated[Initializer, doc("Fills the kernel.")]
BiasInitializer = Annotated[Initializer, doc("Fills the bias.")]
RecurrentInitializer = Annotated[
    Initializer, doc("Fills the recurrent kernel, which multiplies the previous state.")
]
DepthwiseInitializer = Annotated[Initializer, doc("Fills the depthwise kernel.")]
LoraRank = Annotated[
    PositiveInt | None,
    doc(
        "Rank r of the trained factors whose product is added to the frozen weight (Hu et al. "
        "2021, arXiv:2106.09685)."
    ),
]
LoraAlpha = Annotated[
    PositiveFloat | None, doc("Scales the product of the factors by lora_alpha / r; r if absent.")
]
Quantization = Annotated[
    str | None,
    doc(
        "How Keras stores the weight: int8, int4/GROUP, float8/HISTORY, gptq/BITS/GROUP or "
        "awq/4/GROUP."
    ),
]

KernelSize = Annotated[Sizes, doc("Size of the window: one number, or one for each spatial axis.")]
Strides = Annotated[Sizes, doc("Step of the window: one number, or one for each spatial axis.")]
DilationRate = Annotated[
    Sizes, doc("Distance between the entries of a window: one number, or one for each axis.")
]
Padding = Annotated[
    Literal["valid", "same"],
    doc("`valid`: no padding. `same`: zeros around the input, so that strides of 1 keep its size."),
]
CausalPadding = Annotated[
    Literal["valid", "same", "causal"],
    doc(
        "`valid`: no padding. `same`: zeros around the input, so that strides of 1 keep its size. "
        "`causal`: zeros before it alone."
    ),
]
ChannelOrder = Annotated[
    DataFormat | None,
    doc("Whether channels are the last axis, as by default, or the first after the batch."),
]

Axis = Annotated[int, doc("Axis of the input; 0 is the batch, -1 the last.")]
Axes = Annotated[int | tuple[int, ...], doc("Axis of the input, or several; -1 is the last.")]
Epsilon = Annotated[NonNegativeFloat, doc("Added to the variance before the division.")]

Rate = Annotated[Fraction, doc("Share of the entries set to 0 in training.")]
Seed = Annotated[
    int | None, doc("Own seed of the random numbers; absent, they follow from the model's seed.")
]

StateActivation = Annotated[
    Activation, doc("Function applied to the candidate state, and to the output of an LSTM.")
]
InputDropout = Annotated[Fraction, doc("Share of the input's entries set to 0 in training.")]
RecurrentDropout = Annotated[Fraction, doc("Share of the state's entries set to 0 in training.")]
RecurrentActivation = Annotated[Activation, doc("Function applied to the gates.")]
UnitForgetBias = Annotated[
    bool,
    doc(
        "Whether the bias of the forget gate starts at 1 (Jozefowicz et al. 2015, PMLR "
        "37:2342–2350)."
    ),
]
ReturnSequences = Annotated[bool, doc("Whether to output every step, not only the last.")]
ReturnState = Annotated[bool, doc("Whether to output the final states as well.")]
GoBackwards = Annotated[bool, doc("Whether to process the sequence in reverse.")]
Stateful = Annotated[bool, doc("Whether the states carry over to the next batch.")]
Unroll = Annotated[bool, doc("Whether Keras unrolls the loop; it changes no value.")]
ZeroOutputForMask = Annotated[bool, doc("Whether masked steps output 0, not the previous output.")]
UseCudnn = Annotated[bool | str, doc("Whether Keras uses cuDNN; it changes no value.")]
