"""I301: depthwise kernels whose fan-in counts all channels."""

from __future__ import annotations

from initcli.checks.miscounted import MiscountedFans
from initcli.layers import convolution
from initcli.parameter import Parameter


class DepthwiseFans(MiscountedFans):
    """The fans of a depthwise kernel are counted as those of a plain convolution.

    ## What it does
    Compares the fans that the initializer counts with those of the layer. A depthwise convolution
    sums over the k · k window of one channel; for the kernel shape (k, k, channels, multiplier)
    Keras counts the fan-in as k · k · channels.

    ## Why is this bad
    Initializers that scale by a fan draw weights that are too small, by about the square root of
    the number of channels: 5.7 times for 32 channels. A normalization after the layer hides this,
    as in MobileNet, and the finding says so; without one the signal shrinks by that factor.

    ## Reported
    ```yaml
    input_shape: [16, 16, 32]
    layers:
      - {type: DepthwiseConv2D, kernel_size: 3, depthwise_initializer: he_normal}
    ```

    ## Not reported
    ```yaml
    input_shape: [16, 16, 32]
    layers:
      - type: DepthwiseConv2D
        kernel_size: 3
        depthwise_initializer:
          {type: HeNormal, input_axes: [0, 1], output_axes: [2, 3]}
    ```

    ## Use instead
    An initializer with the summed axes as `input_axes`, or VarianceScaling with a larger scale.

    ## References
    - keras-team/keras#11773
    """

    code = "I301"
    name = "depthwise-fans"

    def reason(self, parameter: Parameter) -> str | None:
        owner = parameter.owner
        kinds = convolution.DepthwiseConv | convolution.SeparableConv
        is_depthwise = (
            owner is not None
            and isinstance(owner.layer, kinds)
            and parameter.argument == "depthwise_initializer"
        )
        return "each output sees one channel" if is_depthwise else None
