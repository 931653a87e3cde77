"""I303: kernels of transposed convolutions whose fans are swapped, or forget the stride."""

from __future__ import annotations

from initcli.checks.miscounted import MiscountedFans
from initcli.layers import convolution
from initcli.parameter import Parameter


class TransposedFans(MiscountedFans):
    """The fans of a transposed convolution's kernel are those of a plain convolution.

    ## What it does
    Compares the fans that the initializer counts with those of the layer. Read as that of a plain
    convolution, the kernel (k, k, filters, channels) has a fan-in that counts the filters that come
    out and a fan-out that counts the channels that go in. Besides, with stride s each output is
    reached from one in s · s positions of the kernel: the fan-in is k · k · channels / s².

    ## Why is this bad
    A kernel of 4 with stride 2 from 256 channels to 128 has a fan-in of 1,024 and is given one of
    2,048 by He's initializer: the output has half the variance it should have.

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
        return "it sums over the channels that come in, at one in stride² positions"
