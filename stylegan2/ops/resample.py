"""Resampling with a low-pass filter, so that no layer aliases (arXiv 1912.04958, section 4.1 and appendix B).

The filter is the separable binomial [1, 3, 3, 1]. Doubling the resolution is "insert zeros, then filter"; halving it
is "filter, then keep every second pixel". Outside the image is zero, as in the original.

All blurs are depthwise convolutions. On a CPU they are several times faster in the channels_last memory layout, which
the networks use throughout.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

TAPS = (1.0, 3.0, 3.0, 1.0)


def fir_kernel(x: Tensor, gain: float = 1.0) -> Tensor:
    """The 4x4 filter, summing to `gain`, as one depthwise kernel per channel of x: [C, 1, 4, 4]."""
    return _fir_kernel(gain, x.dtype, x.device).expand(x.shape[1], 1, 4, 4)


@lru_cache
def _fir_kernel(gain: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # what is kept here must serve in training too
        taps = torch.tensor(TAPS, dtype=torch.float64)
        kernel = torch.outer(taps, taps)
        return (kernel * (gain / kernel.sum())).to(device, dtype)


def upsample2d(x: Tensor) -> Tensor:
    """Double the resolution of x [N, C, H, W] -> [N, C, 2H, 2W]. Gain 4 makes up for the inserted zeros."""
    return F.conv_transpose2d(x, fir_kernel(x, gain=4.0), stride=2, padding=1, groups=x.shape[1])


def downsample2d(x: Tensor) -> Tensor:
    """Halve the resolution of x [N, C, H, W] -> [N, C, H/2, W/2]."""
    y = x.float() if x.dtype == torch.bfloat16 else x  # its strided depthwise gradient is 6 times slower on a CPU
    return F.conv2d(y, fir_kernel(y), stride=2, padding=1, groups=y.shape[1]).to(x.dtype)


def blurred_conv_up(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 3x3 convolution that doubles the resolution, then the low-pass filter.

    Args:
        x: activations [N, I, H, W].
        weight: [O, I, 3, 3].
        bias: [O], added at the end.

    Returns:
        [N, O, 2H, 2W]
    """
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [N, O, 2H+1, 2W+1]
    return F.conv2d(y, fir_kernel(y, gain=4.0), bias, padding=1, groups=y.shape[1])


def blurred_conv_down(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The low-pass filter, then a 3x3 convolution that halves the resolution.

    Args:
        x: activations [N, I, H, W].
        weight: [O, I, 3, 3].
        bias: [O], added at the end.

    Returns:
        [N, O, H/2, W/2]
    """
    y = F.conv2d(x, fir_kernel(x), padding=2, groups=x.shape[1])  # [N, I, H+1, W+1]
    return F.conv2d(y, weight, bias, stride=2)
