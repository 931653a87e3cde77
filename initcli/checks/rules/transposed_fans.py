"""I303: kernels of transposed convolutions whose fans are swapped or ignore the stride."""

from __future__ import annotations

from initcli.checks.miscounted import MiscountedFans
from initcli.layers import convolution
from initcli.parameter import Parameter


class TransposedFans(MiscountedFans):
    """The fans of a transposed convolution's kernel are counted as those of a plain convolution.

    ## What it does
    Compares the fans that the initializer counts with those of the layer. Counted as for a plain
    convolution, the fan-in of the kernel (k, k, filters, channels) contains the output filters, and
    the fan-out the input channels. In addition, with stride s each output gets contributions from
    only one in s · s kernel positions: the fan-in is k · k · channels / s².

    ## Why is this bad
    A 4 × 4 kernel with stride 2 from 256 to 128 channels has a fan-in of 1,024, but He's
    initializer counts 2,048: the output has half of the intended variance.

    ## Reported
    ```yaml
    input_shape: [8, 8, 256]
    layers:
      - {type: Conv2DTranspose, filters: 128, kernel_size: 4, strides: 2, padding: same,
         kernel_initializer: he_normal}
    ```

    ## Not reported
    ```yaml
    input_shape: [8, 8, 256]
    layers:
      - {type: Conv2DTranspose, filters: 64, kernel_size: 4, strides: 2, padding: same,
         kernel_initializer: he_normal}
    ```

    ## Use instead
    VarianceScaling with the scale that the remedy gives.

    ## References
    - tensorflow/tensorflow#31192
    """

    code = "I303"
    name = "transposed-fans"

    def reason(self, parameter: Parameter) -> str | None:
        if parameter.owner is None or not isinstance(
            parameter.owner.layer, convolution.ConvTranspose
        ):
            return None
        return "it sums over the input channels, at one in stride² positions"
