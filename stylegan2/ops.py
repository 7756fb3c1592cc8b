"""The operations that StyleGAN2 is made of, in plain PyTorch: no compiler, any device, twice differentiable.

R1 and path length regularisation differentiate a gradient, so every operation here is composed of functions whose
*second* derivative PyTorch knows.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

SLOPE = 0.2  # of the leaky ReLU
GAIN = math.sqrt(2)  # a leaky ReLU roughly halves the variance of a normal input; this gives it back (appendix B)


def bias_act(x: Tensor, bias: Tensor) -> Tensor:
    """leaky_relu(x + bias) * sqrt(2), with slope 0.2; x [N, C] or [N, C, H, W], bias [C]."""
    bias = bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))  # [1, C, 1, 1]
    return F.leaky_relu(x + bias, SLOPE) * GAIN


# ----------------------------------------------------------------------------------------------------------- precision

LARGEST = 256.0  # of float16 activations (ADA, arXiv 2006.06676, implementation details); the type ends at 65,504
HALF_BLOCKS = 4  # resolutions, the highest, that compute in float16; below, maps are small and the gain is too


def upcast(x: Tensor) -> Tensor:
    """float16 and bfloat16 to float32; float32 and float64 as they are (float64 serves gradient checks)."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def dtype_at(resolution: int, highest: int, dtype: torch.dtype) -> torch.dtype:
    """Type of the convolutions of one resolution: float16 only at the `HALF_BLOCKS` highest, float32 below.

    bfloat16 has float32's range, and serves everywhere.
    """
    low = dtype == torch.float16 and resolution * 2**HALF_BLOCKS <= highest
    return torch.float32 if low else dtype


def bounded(x: Tensor, clamp: float | None = None) -> Tensor:
    """Activations within +-clamp; float16 ones never beyond +-`LARGEST`, others without a clamp as they are."""
    if x.dtype == torch.float16:
        clamp = LARGEST if clamp is None else min(clamp, LARGEST)
    return x if clamp is None else x.clamp(-clamp, clamp)


def _unit_size(weight: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [O, I, k, k] and styles [N, I] of about unit size, so that a demodulated float16 convolution has room.

    Demodulation takes out factors that an output feature's weights, or an image's styles, have in common.
    """
    weight = weight / (weight.abs().amax((1, 2, 3), keepdim=True) * weight[0].numel() ** 0.5).clamp_min(1e-12)
    return weight, style / style.abs().amax(1, keepdim=True).clamp_min(1e-12)


# ---------------------------------------------------------------------------------------------------------- resampling
# A low-pass filter, so that no layer aliases: the binomial [1, 3, 3, 1] in x and y (section 4.1, appendix B). Doubling
# the resolution is "insert zeros, then filter", halving "filter, then keep every second pixel". Outside the image is
# zero, as in the original. All are depthwise convolutions, on a CPU several times faster in channels_last.

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

    PyTorch's own second derivative of a depthwise convolution goes through the channels one by one, for a gradient of
    these fixed taps that nobody asks for. But the filter is linear and symmetric: its gradient is `FilterBack`, whose
    gradient is the filter again.
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
    """A 3x3 convolution that doubles the resolution, then the filter: x [N, I, H, W] -> [N, O, 2H, 2W]."""
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [N, O, 2H+1, 2W+1]
    return Filter.apply(y, bias, 4.0, 1, 1)


def blurred_conv_down(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The filter, then a 3x3 convolution that halves the resolution: x [N, I, H, W] -> [N, O, H/2, W/2]."""
    return F.conv2d(Filter.apply(x, None, 1.0, 1, 2), weight, bias, stride=2)  # filtered: [N, I, H+1, W+1]


# ------------------------------------------------------------------- modulated convolution (section 2.2, equations 1-3)
def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """1 / sqrt(sum_{i,k} (s_i w_oik)^2 + eps), the factor of equation 3, in float32 or better: [N, O].

    weight: [O, I, k, k]. style: [N, I], already multiplied with the weights' scale.
    """
    energy = upcast(weight).square().sum(dim=(2, 3))  # [O, I]
    return torch.rsqrt(upcast(style).square() @ energy.t() + 1e-8)


def modulated_conv2d(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool = True, up: bool = False) -> Tensor:
    """Convolve every image of a batch with its own, style-scaled copy of the weights.

    The paper scales the weights (equations 1 and 3). Scaling the *activations* before and after the convolution is the
    same linear map, needs no weights per image, and so runs as one ordinary convolution over the batch.

    x [N, I, H, W], weight [O, I, k, k], already multiplied with its equalised-learning-rate scale, style [N, I] ->
    [N, O, H, W], or [N, O, 2H, 2W] with `up` (k = 3 only). demodulate: bring outputs back to unit expected variance.
    """
    y = _convolve(x * style.to(x.dtype)[:, :, None, None], weight.to(x.dtype), up)
    if demodulate:
        y = y * demodulation(weight, style).to(x.dtype)[:, :, None, None]
    return y


def modulated_rgb(x: Tensor, weight: Tensor, style: Tensor, bias: Tensor) -> Tensor:
    """Modulated 1x1 convolution to colours without demodulation, in the type of x; the result in float32 or better.

    x [N, I, H, W], weight [3, I, 1, 1], style [N, I] already multiplied with the weights' scale, bias [3] ->
    [N, 3, H, W].
    """
    if len(x) == 1 and not _needs_graph(x, weight, style, bias):
        return upcast(F.conv2d(x, (weight * style[0][:, None, None]).to(x.dtype))).add_(bias[:, None, None])
    return upcast(modulated_conv2d(x, weight, style, demodulate=False)) + bias[:, None, None]


def _needs_graph(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def _convolve(x: Tensor, weight: Tensor, up: bool, bias: Tensor | None = None) -> Tensor:
    return blurred_conv_up(x, weight, bias) if up else F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


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

    x [N, I, H, W], weight [O, I, 3, 3] as it is stored, style [N, I] already multiplied with the weights' scale, bias
    [O], noise [N or 1, 1, R, R] already multiplied with its strength -> [N, O, R, R], R = H, or 2H with `up`.
    clamp: see `bounded`.
    """
    if x.dtype == torch.float16:
        weight, style = _unit_size(weight, style)
    factor, bias = demodulation(weight, style) * GAIN, (bias * GAIN).to(x.dtype)  # [N, O], [O]
    pixels = x.shape[2] * x.shape[3] * (4 if up else 1)
    if len(x) == 1 and 9 * min(weight.shape[:2]) < pixels and not _needs_graph(x, weight, style, bias):
        # one image on large maps: scale the weights, as in the paper, which are fewer than the activations
        kernel = (weight * style[0][:, None, None]).mul_(factor[0][:, None, None, None]).to(x.dtype)
        y = _convolve(x, kernel, up, bias)
    else:
        y = modulated_conv2d(x, weight, style, demodulate=False, up=up)
        y = torch.addcmul(bias[:, None, None], y, factor.to(x.dtype)[:, :, None, None])
    if noise is not None:
        y = y.add_((noise * GAIN).to(x.dtype))
    return bounded(F.leaky_relu_(y, SLOPE), clamp)
