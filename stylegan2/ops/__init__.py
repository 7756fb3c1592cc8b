"""The three operations that StyleGAN2 is made of, in plain PyTorch: no compiler, any device, twice differentiable.

R1 and path length regularisation differentiate a gradient, so every operation here is composed of functions whose
*second* derivative PyTorch knows.
"""

from stylegan2.ops.activation import GAIN, SLOPE, bias_act
from stylegan2.ops.conv import conv3x3, memory_format
from stylegan2.ops.modulated_conv import modulated_conv2d, modulated_rgb, styled_conv
from stylegan2.ops.precision import bounded, dtype_at, upcast
from stylegan2.ops.resample import blurred_conv_down, blurred_conv_up, downsample2d, upsample2d

__all__ = [
    "GAIN",
    "SLOPE",
    "bias_act",
    "blurred_conv_down",
    "blurred_conv_up",
    "bounded",
    "conv3x3",
    "downsample2d",
    "dtype_at",
    "memory_format",
    "modulated_conv2d",
    "modulated_rgb",
    "styled_conv",
    "upcast",
    "upsample2d",
]
