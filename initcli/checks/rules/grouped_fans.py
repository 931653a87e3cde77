"""I302: kernels of grouped convolutions whose fan-out counts all groups."""

from __future__ import annotations

from initcli.checks.miscounted import MiscountedFans
from initcli.layers import convolution
from initcli.parameter import Parameter


class GroupedFans(MiscountedFans):
    """The fan-out of a grouped convolution's kernel counts the filters of all groups.

    ## What it does
    Compares the fans that the initializer counts with those of the layer. With g groups an input
    channel feeds only the filters of its own group, 1/g of all; Keras and PyTorch compute the
    fan-out from the kernel's shape, which contains all filters.

    ## Why is this bad
    Initializers that scale by the fan-out, or by the mean of both fans like Glorot's, draw weights
    that are too small. Those that scale by the fan-in are correct.

    ## Reported
    ```yaml
    input_shape: [16, 16, 64]
    layers:
      - {type: Conv2D, filters: 64, kernel_size: 3, groups: 8, kernel_initializer: glorot_uniform}
    ```

    ## Not reported
    ```yaml
    input_shape: [16, 16, 64]
    layers:
      - {type: Conv2D, filters: 64, kernel_size: 3, groups: 8, kernel_initializer: lecun_uniform}
    ```

    ## Use instead
    An initializer that scales by the fan-in, such as `lecun_uniform` or `he_uniform`.

    ## References
    - pytorch/pytorch#23854
    """

    code = "I302"
    name = "grouped-fans"

    def reason(self, parameter: Parameter) -> str | None:
        layer = parameter.owner.layer if parameter.owner else None
        groups = getattr(layer, "groups", 1)
        if isinstance(layer, convolution.ConvTranspose) or not isinstance(groups, int):
            return None
        return f"each input channel feeds one group of {groups}" if groups > 1 else None
