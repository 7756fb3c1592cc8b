"""What all networks are made of: widths, and layers with equalised learning rate (arXiv 1710.10196, section 4.1).

Such a layer's weights are standard normal, and scaled when they are used.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2 import ops


def widths(resolution: int, base: int = 32768, maximum: int = 512) -> dict[int, int]:
    """Feature maps per resolution, min(base / r, maximum). The defaults are config-f of the paper."""
    return {r: min(base // r, maximum) for r in resolutions(resolution)}


def resolutions(resolution: int) -> list[int]:
    """4, 8, ... up to `resolution`. Raises ValueError if that is not a power of two from 8 to 1024."""
    if not 8 <= resolution <= 1024 or resolution & (resolution - 1):
        raise ValueError(f"resolution must be a power of two from 8 to 1024, got {resolution}")
    return [2**k for k in range(2, resolution.bit_length())]


def checked_widths(channels: Mapping[int, int] | None, sizes: list[int]) -> dict[int, int]:
    """A width for each of `sizes`, by default config-f's. Raises ValueError where one is missing."""
    channels = channels or widths(max(sizes))
    missing = [r for r in sizes if r not in channels]
    if missing:
        raise ValueError(f"channels must name a width for each of {sizes}; missing: {missing}")
    return {r: int(channels[r]) for r in sizes}


def normal_kernels(out_channels: int, in_channels: int, side: int) -> nn.Parameter:
    """Standard normal weights [O, I, k, k], in the memory layout of the activations: nothing is rearranged at use."""
    weight = torch.randn(out_channels, in_channels, side, side)
    return nn.Parameter(weight.contiguous(memory_format=torch.channels_last))


class EqualLinear(nn.Module):
    """Fully connected layer [N, in_features] -> [N, out_features].

    bias_init: initial bias. lr_multiplier: the layer learns this many times slower (mapping: 0.01). activate: leaky
    ReLU afterwards.
    """

    def __init__(self, in_features: int, out_features: int, bias_init=0.0, lr_multiplier=1.0, activate=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.bias_gain == 1 else self.bias * self.bias_gain
        x = x * self.weight_gain  # the same as scaling the weights, of which there are more
        if self.activate:
            return ops.bias_act(F.linear(x, self.weight), bias)
        return F.linear(x, self.weight, bias)


class EqualConv2d(nn.Module):
    """Convolution [N, in, H, W] -> [N, out, H, W], or with `down` filtered and of half the size.

    activate: add a bias, then a leaky ReLU with its gain. gain: what the result is multiplied with besides (as part of
    weights and bias: it costs no pass over memory). clamp: activations stay within +-clamp * gain; None: no bound.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        down: bool = False,
        activate: bool = True,
        gain: float = 1.0,
        clamp: float | None = None,
    ):
        super().__init__()
        self.weight = normal_kernels(out_channels, in_channels, kernel)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if activate else None
        self.gain = gain * ops.GAIN if activate else gain
        self.weight_gain = self.gain / math.sqrt(in_channels * kernel**2)
        self.down = down
        self.clamp = None if clamp is None else clamp * gain

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight * self.weight_gain).to(x.dtype)
        bias = None if self.bias is None else (self.bias * self.gain).to(x.dtype)
        if not self.down:
            y = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        elif weight.shape[-1] == 1:  # a 1x1 convolution commutes with taking every second pixel: filter and halve first
            y = F.conv2d(ops.downsample2d(x), weight, bias)
        else:
            y = ops.blurred_conv_down(x, weight, bias)
        return y if bias is None else ops.bounded(F.leaky_relu_(y, ops.SLOPE), self.clamp)
