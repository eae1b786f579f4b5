"""Pre-activation residual blocks (He et al. 2016, ResNetV2), as GAMIX-VAE uses them and in our corrected form.

Main path: three times [normalisation, ReLU, convolution] of kernels 3, 3, 1 (going up: 1, then a transposed one).

| | published | corrected |
| --- | --- | --- |
| normalisation | scale and shift | group normalisation |
| down | 1x1 convolution that skips every second pixel | low-pass filter, then the 1x1 convolution |
| up | transposed 3x3, stride 2: uneven overlap | transposed 4x4, stride 2: each pixel gets four taps |
| side path | normalised and rectified | linear: filter and 1x1 convolution, so brightness and contrast pass |
"""

from typing import Any

import keras

from gamix_keras.layers.blur import BlurResample2D
from gamix_keras.layers.convolution import Conv2D, Conv2DTranspose
from gamix_keras.layers.normalisation import make_normalisation

Tensor = Any
SCALES = {"none": 1, "down": 0.5, "up": 2}


def _resampled(input_shape: tuple, resample: str, channels: int) -> tuple:
    batch, height, width, _ = input_shape
    return batch, int(height * SCALES[resample]), int(width * SCALES[resample]), channels


@keras.saving.register_keras_serializable("gamix_keras")
class PreActivatedConv(keras.layers.Layer):
    """Normalisation, ReLU, an optional low-pass filter, convolution: (B, H, W, C) to (B, H', W', filters).

    Args:
        filters: Channels of the output.
        kernel_size: Side of the kernel.
        resample: "none", "down" (half the height and width) or "up" (double, by a transposed convolution).
        blur: Filter before going down. A 1x1 convolution commutes with the filter, so at half the resolution it
            computes the same function for a quarter of the cost.
        norm: See `make_normalisation`.
        groups: Most groups of the group normalisation.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        resample: str = "none",
        blur: bool = False,
        norm: str = "group",
        groups: int = 8,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.resample = filters, kernel_size, resample
        self.blur, self.norm, self.groups = blur, norm, groups
        strides = 1 if resample == "none" or (resample == "down" and blur) else 2
        kind = Conv2DTranspose if resample == "up" else Conv2D
        self.conv = kind(filters, kernel_size, strides, "same", dtype=self.dtype_policy)
        self.activation = keras.layers.ReLU(dtype=self.dtype_policy)
        self.filter = BlurResample2D(0.5, dtype=self.dtype_policy) if resample == "down" and blur else None

    def build(self, input_shape: tuple) -> None:
        """Create the normalisation, whose number of groups depends on the channels, and build the parts."""
        self.normalisation = make_normalisation(self.norm, input_shape[-1], self.groups, dtype=self.dtype_policy)
        self.normalisation.build(input_shape)
        if self.filter is not None:
            self.filter.build(input_shape)
            input_shape = self.filter.compute_output_shape(input_shape)
        self.conv.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Apply the parts in the order of the class name."""
        x = self.activation(self.normalisation(inputs))
        if self.filter is not None:
            x = self.filter(x)
        return self.conv(x)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape with height and width halved, kept or doubled."""
        return _resampled(input_shape, self.resample, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("filters", "kernel_size", "resample", "blur", "norm", "groups")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("gamix_keras")
class ResidualBlock(keras.layers.Layer):
    """Main path plus side path: (B, H, W, C) to (B, H', W', width).

    Args:
        width: Channels of the output; if nothing is resampled they must equal those of the input.
        resample: "none" (the side path is the input itself), "down" or "up".
        paper: The published form instead of the corrected one (table above). At width 128 the block has 313,216
            parameters, and 330,240 going down.
        groups: Most groups of the group normalisation.

    Raises:
        ValueError: If `resample` is another, or `width` is not the input's and nothing is resampled.
    """

    def __init__(self, width: int, resample: str = "none", paper: bool = False, groups: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if resample not in SCALES:
            raise ValueError(f"ResidualBlock: resample: expected one of {', '.join(SCALES)}, got {resample!r}.")
        self.width, self.resample, self.paper, self.groups = width, resample, paper, groups
        self.main = self._main_path()
        self.side = self._side_path()

    def _step(self, kernel_size: int, resample: str = "none") -> PreActivatedConv:
        norm = "scale_shift" if self.paper else "group"
        return PreActivatedConv(
            self.width, kernel_size, resample, not self.paper, norm, self.groups, dtype=self.dtype_policy
        )

    def _main_path(self) -> list[keras.layers.Layer]:
        if self.resample == "up":
            return [self._step(1), self._step(3 if self.paper else 4, "up")]
        return [self._step(3), self._step(3), self._step(1, self.resample)]

    def _side_path(self) -> list[keras.layers.Layer]:
        if self.resample == "none":
            return []
        if self.paper:
            return [self._step(1 if self.resample == "down" else 3, self.resample)]
        filtered = BlurResample2D(0.5 if self.resample == "down" else 2, dtype=self.dtype_policy)
        mixed = Conv2D(self.width, 1, dtype=self.dtype_policy)
        # The convolution takes the side with fewer pixels; the two commute.
        return [filtered, mixed] if self.resample == "down" else [mixed, filtered]

    def build(self, input_shape: tuple) -> None:
        """Build both paths."""
        if self.resample == "none" and input_shape[-1] != self.width:
            raise ValueError(
                f"ResidualBlock: width: expected the input's {input_shape[-1]} channels, got {self.width}."
            )
        for path in (self.main, self.side):
            shape = input_shape
            for layer in path:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the sum of the two paths."""
        main, side = inputs, inputs
        for layer in self.main:
            main = layer(main)
        for layer in self.side:
            side = layer(side)
        return main + side

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape with height and width halved, kept or doubled."""
        return _resampled(input_shape, self.resample, self.width)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("width", "resample", "paper", "groups")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
