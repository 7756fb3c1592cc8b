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


@lru_cache(maxsize=256)
def _fir_kernel(channels: int, gain: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # what is kept here must serve in training too
        taps = torch.tensor(TAPS, dtype=torch.float64)
        kernel = torch.outer(taps, taps)
        return (kernel * (gain / kernel.sum())).to(device, dtype).repeat(channels, 1, 1, 1)


def fir_kernel(x: Tensor, gain: float = 1.0) -> Tensor:
    """The 4x4 filter, summing to `gain`, as one depthwise kernel per channel of x: [C, 1, 4, 4]."""
    return _fir_kernel(x.shape[1], gain, x.dtype, x.device)


class Filter(torch.autograd.Function):
    """The filter with zeros around the image, every `stride`-th pixel kept, plus a bias [C]; any derivative.

    PyTorch's own second derivative of a depthwise convolution goes through the channels one by one, even though nobody
    asks for the gradient of these fixed taps. But the filter is linear and symmetric: its gradient is `FilterBack`,
    whose gradient is the filter again.
    """

    @staticmethod
    def forward(ctx, x: Tensor, bias: Tensor | None, gain: float, stride: int, padding: int) -> Tensor:
        ctx.settings = gain, stride, padding
        return F.conv2d(x, fir_kernel(x, gain), bias, stride, padding, groups=x.shape[1])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple:
        to_x, to_bias = ctx.needs_input_grad[:2]
        grad_x = FilterBack.apply(grad, *ctx.settings) if to_x else None
        return grad_x, grad.sum(dim=(0, 2, 3)) if to_bias else None, None, None, None


class FilterBack(torch.autograd.Function):
    """The transpose of `Filter`: with stride 2 it inserts zeros, then filters. Stride 2 needs padding 1."""

    @staticmethod
    def forward(ctx, x: Tensor, gain: float, stride: int, padding: int) -> Tensor:
        ctx.settings = gain, stride, padding
        if stride == 1:  # a symmetric filter is its own transpose, up to the border
            return F.conv2d(x, fir_kernel(x, gain), padding=3 - padding, groups=x.shape[1])
        # On a CPU the transposed depthwise convolution takes 18 times longer in bfloat16 than the way over float32.
        y = x.float() if x.dtype == torch.bfloat16 and x.device.type == "cpu" else x
        return F.conv_transpose2d(y, fir_kernel(y, gain), stride=2, padding=padding, groups=y.shape[1]).to(x.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple:
        return Filter.apply(grad, None, *ctx.settings), None, None, None


def upsample2d(x: Tensor) -> Tensor:
    """Double the resolution of x [N, C, H, W] -> [N, C, 2H, 2W]. Gain 4 makes up for the inserted zeros."""
    return FilterBack.apply(x, 4.0, 2, 1)


def downsample2d(x: Tensor) -> Tensor:
    """Halve the resolution of x [N, C, H, W] -> [N, C, H/2, W/2]."""
    return Filter.apply(x, None, 1.0, 2, 1)


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
    return Filter.apply(y, bias, 4.0, 1, 1)


def blurred_conv_down(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The low-pass filter, then a 3x3 convolution that halves the resolution.

    Args:
        x: activations [N, I, H, W].
        weight: [O, I, 3, 3].
        bias: [O], added at the end.

    Returns:
        [N, O, H/2, W/2]
    """
    return F.conv2d(Filter.apply(x, None, 1.0, 1, 2), weight, bias, stride=2)  # filtered: [N, I, H+1, W+1]
