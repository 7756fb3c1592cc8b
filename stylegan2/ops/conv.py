"""3x3 convolutions at the same resolution, by the fastest algorithm that PyTorch brings along.

On a CPU, a wide layer on a large map is computed with Winograd's minimal filtering (arXiv 1509.09308, F(6x6, 3x3): 64
multiplications instead of 324 per tile). PyTorch's CPU builds contain it in NNPACK but choose it only for themselves on
machines without oneDNN. Its results differ from the direct sum by 5e-6 of their standard deviation, at worst by
1e-4. `with torch.backends.nnpack.flags(enabled=False):` switches it off.
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

# Measured on two cores: 320-440 GFLOP/s (as the direct sum counts them) at 128 channels and 128 px or more, where the
# direct convolution reaches at most 230. Below these sizes transforming the tiles costs more than it saves. With many
# threads it was not measured, so there the direct convolution stays.
WINOGRAD_SIDE, WINOGRAD_CHANNELS, WINOGRAD_WORK = 64, 64, 128 * 128 * 64 * 64
WINOGRAD_THREADS = 4


@cache
def _has_nnpack() -> bool:
    names = (torch, "_nnpack_spatial_convolution"), (torch._C, "_get_nnpack_enabled")  # private: may go one day
    return all(hasattr(module, name) for module, name in names) and torch.backends.nnpack.is_available()


def uses_winograd(device: torch.device, dtype: torch.dtype, channels: tuple[int, int], side: int) -> bool:
    """Does `conv3x3` use Winograd's algorithm on maps of side x side, for weights of channels = (O, I)?"""
    large = side >= WINOGRAD_SIDE and min(channels) >= WINOGRAD_CHANNELS
    large = large and channels[0] * channels[1] * side**2 >= WINOGRAD_WORK
    fits = large and device.type == "cpu" and dtype == torch.float32 and torch.get_num_threads() <= WINOGRAD_THREADS
    if not fits or torch.compiler.is_compiling():  # `torch.compile` cannot see through the private operator
        return False
    return _has_nnpack() and torch._C._get_nnpack_enabled()


def memory_format(
    device: torch.device, dtype: torch.dtype, channels: tuple[int, int], side: int
) -> torch.memory_format:
    """The layout in memory that suits the convolution best; arguments as in `uses_winograd`."""
    return torch.contiguous_format if uses_winograd(device, dtype, channels, side) else torch.channels_last


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 3x3 convolution with zeros around the image, differentiable any number of times.

    Args:
        x: [N, I, H, W].
        weight: [O, I, 3, 3].
        bias: [O].

    Returns:
        [N, O, H, W]
    """
    if uses_winograd(x.device, x.dtype, weight.shape[:2], min(x.shape[2:])):
        return Winograd3x3.apply(x, weight, bias)
    return F.conv2d(x, weight, bias, padding=1)


class Winograd3x3(torch.autograd.Function):
    """The convolution and its gradients; each is a convolution again, so that they can be differentiated in turn."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        x, weight = x.contiguous(), weight.contiguous()
        # image by image: for a batch NNPACK chooses its slower algorithm, the Fourier transform
        images = [torch._nnpack_spatial_convolution(image, weight, bias, [1, 1]) for image in x.split(1)]
        return images[0] if len(images) == 1 else torch.cat(images)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            conv3x3(grad, weight.flip(2, 3).transpose(0, 1)) if to_x else None,
            conv2d_weight(x, weight.shape, grad, padding=1) if to_weight else None,
            grad.sum(dim=(0, 2, 3)) if to_bias else None,
        )
