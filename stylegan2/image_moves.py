"""How ADA moves and recolours pixels: by index, by a filtered warp, by a colour matrix. All twice differentiable.

`augment.py` samples what is to be done; this file does it (arXiv 2006.06676, appendix B).
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# Low-pass decomposition filter of the Symlet of order 6, as printed by PyWavelets 1.8.0: pywt.Wavelet("sym6").dec_lo.
# Orthogonal: sum(h[n] * h[n + 2k]) is 1 for k = 0 and 0 elsewhere, so upsampling and downsampling again loses nothing.
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip


class Sample(torch.autograd.Function):
    """Bilinear lookup, differentiable any number of times with respect to the image (never the grid).

    It is linear in its image: its backward is the transposed map, whose backward is the lookup again. Older versions of
    PyTorch do not implement the second step, which R1 needs.
    """

    @staticmethod
    def forward(ctx, image: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = image.shape
        return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return SampleTransposed.apply(grad, grid, ctx.shape), None


class SampleTransposed(torch.autograd.Function):
    """The transpose of `Sample`: spreads every sample over the four pixels that it was read from."""

    @staticmethod
    def forward(ctx, grad: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        image = grad.new_empty(shape)  # only its shape matters, since no gradient of the grid is asked for
        bilinear, border, align_corners = 0, 1, True
        backward = torch.ops.aten.grid_sampler_2d_backward
        return backward(grad.contiguous(), image, grid, bilinear, border, align_corners, (True, False))[0]

    @staticmethod
    def backward(ctx, grad_grad: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return Sample.apply(grad_grad, grid), None, None


def _reflect(position: Tensor, size: int) -> Tensor:
    """Integer positions folded into 0..size-1 by mirrors on the first and the last pixel (edges are not repeated)."""
    last = size - 1
    return last - (last - position.remainder(2 * last)).abs()


FILTER_CENTRE = sum(i * tap for i, tap in enumerate(SYM6)) / sum(SYM6)  # where the filter puts a sample, in taps


@lru_cache(maxsize=8)
def resampling(size: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Matrices that upsample [2 * size, size] and downsample [size, 2 * size + 10] one axis of an image.

    Row n of the upsampled axis is sum_k x[k] h[n + floor(centre) - 2k] over the reflected axis; the downsampling
    is the transposed filter, so that the two together are the identity. As matrices both run at the speed of a
    matrix product, forward and backward, and no padding is ever stored.
    """
    with torch.inference_mode(False), torch.no_grad():  # what is cached here must serve in training too
        taps = torch.tensor(SYM6, dtype=torch.float64)
        first, length = math.floor(FILTER_CENTRE), len(SYM6)
        rows, source = torch.arange(2 * size)[:, None] + first, torch.arange(-length, size + length)[None]
        tap = rows - 2 * source  # [2 * size, size + 24]
        weight = torch.where((tap >= 0) & (tap < length), taps[tap.clamp(0, length - 1)], 0.0)
        up = weight.new_zeros(2 * size, size).index_add_(1, _reflect(source[0], size), weight)
        down = taps.new_zeros(size, 2 * size + length - 2)
        for row in range(size):
            down[row, 2 * row : 2 * row + length] = taps
        return (up * math.sqrt(2)).to(device, dtype), (down / math.sqrt(2)).to(device, dtype)


def _sampling_grid(warp: Tensor, size: int) -> Tensor:
    """[N, M, M, 2] where `Sample` finds each point of the upsampled output, M = 2 * size + 10; warp [N, 3, 3].

    Along an axis, pixel q of the input sits at 2q + frac(centre) in the upsampled input, and element n of the
    upsampled output at pixel (n - centre) / 2. The reflection folds coordinates to 0..size-1 by a triangle wave.
    """
    middle, period = (size - 1) / 2, 2.0 * (size - 1)
    inverse = torch.linalg.inv(warp.double())[:, :2]  # [N, 2, 3], output to input
    inverse = torch.cat([inverse[:, :, :2], inverse[:, :, 2:] + middle], 2) / period  # now in periods
    inverse = inverse.to(warp.dtype)[:, None, None]  # [N, 1, 1, 2, 3]
    elements = torch.arange(2 * size + len(SYM6) - 2, device=warp.device, dtype=torch.float64)
    out = ((elements - FILTER_CENTRE) / 2 - middle).to(warp.dtype)  # [M] pixels from the centre
    grid = inverse[..., 0] * out[None, None, :, None] + inverse[..., 2]
    grid = grid + inverse[..., 1] * out[None, :, None, None]  # [N, M, M, 2], x before y
    grid = grid.sub_(grid.round()).abs_()  # distance to the nearest period: 0 at pixel 0, 1/2 at the last
    per_element = 2 / (2 * size - 1)  # grid_sample counts from -1 to 1, first to last of 2 * size elements
    return grid.mul_(2 * period * per_element).add_((FILTER_CENTRE % 1) * per_element - 1)


def warp_images(images: Tensor, warp: Tensor) -> Tensor:
    """General geometry on images [N, 3, S, S]: upsample by 2, look up bilinearly, downsample (appendix B)."""
    up, down = resampling(images.shape[-1], images.dtype, images.device)
    fine = up @ (images @ up.T)  # [N, 3, 2S, 2S]
    grid = _sampling_grid(warp.to(images), images.shape[-1])
    return down @ (Sample.apply(fine, grid) @ down.T)  # [N, 3, S, S]


def blit(images: Tensor, flip: Tensor, turns: Tensor, offset: Tensor) -> Tensor:
    """Flip, quarter turns (as torch.rot90) and translation of images [N, 3, S, S] by index, reflected at borders."""
    n, channels, size, _ = images.shape
    pixels = torch.arange(size, device=images.device)
    flip, turns = flip[:, None, None], turns[:, None, None]
    x = _reflect(pixels - offset[:, :1], size)[:, None, :]  # [N, 1, S]
    y = _reflect(pixels - offset[:, 1:], size)[:, :, None]  # [N, S, 1]
    odd, last = turns % 2 == 1, size - 1
    row, column = torch.where(odd, x, y), torch.where(odd, y, x)  # [N, S, S] in the picture before the turn
    row = torch.where(turns >= 2, last - row, row)
    column = torch.where(((turns == 1) | (turns == 2)) ^ flip, last - column, column)
    index = (row * size + column).reshape(n, 1, -1).expand(-1, channels, -1)
    return images.reshape(n, channels, -1).gather(2, index).reshape(images.shape)


def recolour(images: Tensor, colour: Tensor) -> Tensor:
    """colour [N, 3, 4] applied to every pixel of images [N, 3, S, S]."""
    colour = colour.to(images)
    return torch.baddbmm(colour[:, :, 3:], colour[:, :, :3], images.flatten(2)).reshape(images.shape)


def on_rows(images: Tensor, mask: Tensor, change: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """`change(images, *values)` for the images where mask [N] (CPU, so nothing waits for a GPU), others untouched."""
    if not mask.any():
        return images
    rows = mask.nonzero()[:, 0]
    values = tuple(value[rows].to(images.device) for value in values)
    if len(rows) == len(images):
        return change(images, *values)
    rows = rows.to(images.device)
    return images.index_copy(0, rows, change(images.index_select(0, rows), *values))
