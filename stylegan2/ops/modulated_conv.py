"""Modulated convolution, the heart of StyleGAN2 (arXiv 1912.04958, section 2.2, equations 1-3)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2.ops.activation import GAIN, SLOPE
from stylegan2.ops.conv import conv3x3, uses_winograd
from stylegan2.ops.precision import bounded, tamed, upcast
from stylegan2.ops.resample import blurred_conv_up

EPS = 1e-8


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """1 / sqrt(sum_{i,k} (s_i w_oik)^2 + eps), the factor of equation 3, in float32 or better.

    Args:
        weight: [O, I, k, k].
        style: [N, I], already multiplied with the weights' scale.

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
    y = _convolve(x * style.to(x.dtype)[:, :, None, None], weight.to(x.dtype), up)
    if demodulate:
        y = y * demodulation(weight, style).to(x.dtype)[:, :, None, None]
    return y


def modulated_rgb(x: Tensor, weight: Tensor, style: Tensor, bias: Tensor) -> Tensor:
    """Modulated 1x1 convolution in the type of x, without demodulation; its result plus bias in float32 or better.

    Args:
        x: activations [N, I, H, W].
        weight: [3, I, 1, 1].
        style: [N, I], already multiplied with the weights' scale.
        bias: [3].

    Returns:
        [N, 3, H, W]
    """
    if len(x) == 1 and not _needs_graph(x, weight, style, bias):
        return upcast(F.conv2d(x, (weight * style[0][:, None, None]).to(x.dtype))).add_(bias[:, None, None])
    return upcast(modulated_conv2d(x, weight, style, demodulate=False)) + bias[:, None, None]


def _needs_graph(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def _convolve(x: Tensor, kernel: Tensor, up: bool, bias: Tensor | None = None) -> Tensor:
    if up:
        return blurred_conv_up(x, kernel, bias)
    return conv3x3(x, kernel, bias) if kernel.shape[-1] == 3 else F.conv2d(x, kernel, bias)


def styled_conv(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    bias: Tensor,
    noise: Tensor | None = None,
    up: bool = False,
    clamp: float | None = None,
) -> Tensor:
    """Modulated 3x3 convolution, noise, bias and leaky ReLU: one grey box of figure 2c, in few passes over memory.

    A leaky ReLU lets positive factors through, gain * lrelu(y) = lrelu(gain * y): its gain becomes part of the
    demodulation, the bias and the noise. What follows the convolution works in place, which autograd allows, since no
    gradient needs these intermediate values.

    Args:
        x: activations [N, I, H, W].
        weight: [O, I, 3, 3], as it is stored: its equalised-learning-rate scale is part of the style.
        style: [N, I], already multiplied with the weights' scale.
        bias: [O].
        noise: added to every feature, already multiplied with its strength: [N or 1, 1, R, R]; None for none.
        up: double the resolution.
        clamp: the result stays within +-clamp; see `bounded`.

    Returns:
        [N, O, R, R], R = H or 2H.
    """
    if x.dtype == torch.float16:
        weight, style = tamed(weight, style)
    factor, bias = demodulation(weight, style) * GAIN, (bias * GAIN).to(x.dtype)  # [N, O], [O]
    if not _needs_graph(x, weight, style, bias) and _folding_pays(x, weight, up):
        y = _folded_conv(x, weight, style, factor, bias, up)
    else:
        y = modulated_conv2d(x, weight, style, demodulate=False, up=up)
        y = torch.addcmul(bias[:, None, None], y, factor.to(x.dtype)[:, :, None, None])
    if noise is not None:
        y = y.add_((noise * GAIN).to(x.dtype))
    return bounded(F.leaky_relu_(y, SLOPE), clamp)


def _folded_conv(x: Tensor, weight: Tensor, style: Tensor, factor: Tensor, bias: Tensor, up: bool) -> Tensor:
    """The convolution with style [N, I] and factor [N, O] folded into a kernel per image, as in the paper."""
    kernels = (weight * style[:, None, :, None, None]).mul_(factor[:, :, None, None, None]).to(x.dtype)
    images = [_convolve(image, kernel, up, bias) for image, kernel in zip(x.split(1), kernels, strict=True)]
    return images[0] if len(images) == 1 else torch.cat(images)


def _folding_pays(x: Tensor, weight: Tensor, up: bool) -> bool:
    """Scale the weights, as the paper does, instead of the activations? Only image by image, and where maps are large.

    Winograd's convolution goes image by image in any case.
    """
    n, _, h, w = x.shape
    pixels = h * w * (4 if up else 1)
    one_by_one = n == 1 or uses_winograd(x.device, x.dtype, weight.shape[:2], min(h, w))
    return one_by_one and 9 * min(weight.shape[:2]) < pixels
