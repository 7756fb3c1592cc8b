"""The three operations that StyleGAN2 is made of, in plain PyTorch: no compiler, any device, twice differentiable.

R1 and path length regularisation differentiate a gradient, so every operation here is composed of functions whose
*second* derivative PyTorch knows.
"""

from stylegan2.ops.activation import bias_act
from stylegan2.ops.modulated_conv import modulated_conv2d
from stylegan2.ops.precision import upcast
from stylegan2.ops.resample import blurred_conv_down, blurred_conv_up, downsample2d, upsample2d

__all__ = [
    "bias_act",
    "blurred_conv_down",
    "blurred_conv_up",
    "downsample2d",
    "modulated_conv2d",
    "upcast",
    "upsample2d",
]
