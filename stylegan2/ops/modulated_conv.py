"""Modulated convolution, the heart of StyleGAN2 (arXiv 1912.04958, section 2.2, equations 1-3)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2.ops.precision import upcast
from stylegan2.ops.resample import blurred_conv_up

EPS = 1e-8


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """1 / sqrt(sum_{i,k} (s_i w_oik)^2 + eps), the factor of equation 3, in float32 or better.

    Args:
        weight: [O, I, k, k], already scaled.
        style: [N, I].

    Returns:
        [N, O]
    """
    energy = upcast(weight).square().sum(dim=(2, 3))  # [O, I]
    return torch.rsqrt(upcast(style).square() @ energy.t() + EPS)


def modulated_conv2d(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool = True, up: bool = False) -> Tensor:
    """Convolve every image of a batch with its own, style-scaled copy of the weights.

    The paper scales the weights (equations 1 and 3). Scaling the *activations* before and after the convolution is the
    same linear map, needs no weights per image, and so runs as one ordinary convolution over the batch.

    Args:
        x: activations [N, I, H, W].
        weight: [O, I, k, k], already multiplied with its equalised-learning-rate scale.
        style: [N, I], a factor for each input feature.
        demodulate: bring each output feature back to unit expected variance.
        up: double the resolution (k = 3 only).

    Returns:
        [N, O, H, W], or [N, O, 2H, 2W] with `up`.
    """
    y = x * style.to(x.dtype)[:, :, None, None]
    kernel = weight.to(x.dtype)
    y = blurred_conv_up(y, kernel) if up else F.conv2d(y, kernel, padding=weight.shape[-1] // 2)
    if demodulate:
        y = y * demodulation(weight, style).to(x.dtype)[:, :, None, None]
    return y
