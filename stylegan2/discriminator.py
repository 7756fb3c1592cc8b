"""The discriminator (arXiv 1912.04958, figure 7c), and what an encoder shares with it."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2 import ops
from stylegan2.layers import EqualConv2d, EqualLinear, checked_widths, resolutions

SQRT_HALF = math.sqrt(0.5)


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the resolution (figure 7c): (conv, conv down) + (1x1 skip down), over sqrt 2."""

    def __init__(self, in_channels: int, out_channels: int, clamp: float | None = None):
        super().__init__()
        self.conv0 = EqualConv2d(in_channels, in_channels, 3, clamp=clamp)
        self.conv1 = EqualConv2d(in_channels, out_channels, 3, down=True, gain=SQRT_HALF, clamp=clamp)
        self.skip = EqualConv2d(in_channels, out_channels, 1, down=True, activate=False, gain=SQRT_HALF)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, R, R] -> [N, out, R/2, R/2]"""
        return self.skip(x).add_(self.conv1(self.conv0(x)))


def minibatch_stddev(x: Tensor, group_size: int = 4) -> Tensor:
    """Append one feature, how much the images of a group differ: [N, C, H, W] -> [N, C + 1, H, W] (arXiv 1710.10196).

    Works for any batch: ceil(N / group_size) groups, as even as can be (5 -> 3 + 2, 7 -> 4 + 3), so that no group is a
    single image unless the batch is. Image n belongs to group n mod (number of groups).
    """
    n, _, h, w = x.shape
    groups = math.ceil(n / group_size)
    flat = ops.upcast(x).flatten(1)  # [N, C*H*W]
    member = torch.arange(n, device=x.device) % groups  # [N]
    average = F.one_hot(member, groups).t().to(flat.dtype)  # [G, N]
    average = average / average.sum(dim=1, keepdim=True)
    deviation = flat - (average @ flat)[member]
    std = (average @ deviation.square() + 1e-8).sqrt().mean(dim=1)  # [G]
    feature = std[member].reshape(n, 1, 1, 1).expand(n, 1, h, w)
    return torch.cat([x, feature.to(x.dtype)], dim=1)


class DiscriminatorHead(nn.Module):
    """4x4 features -> one logit: minibatch stddev, convolution, two fully connected layers."""

    def __init__(self, channels: int, clamp: float | None = None):
        super().__init__()
        self.conv = EqualConv2d(channels + 1, channels, 3, clamp=clamp)
        self.fc = EqualLinear(channels * 16, channels, activate=True)
        self.out = EqualLinear(channels, 1)

    def forward(self, x: Tensor, batches: int = 1) -> Tensor:
        """[N, C, 4, 4] -> [N, 1]; batches: see `Discriminator.forward`."""
        x = torch.cat([minibatch_stddev(batch) for batch in x.chunk(batches)])
        return self.out(self.fc(self.conv(x).flatten(1)))


class ResidualBlocks(nn.Module):
    """Images -> 4x4 features: what a discriminator and an encoder have in common.

    resolution: side of the image in pixels. channels: width per resolution; default config-f. clamp: see `Generator`
    (1x1 skips have no bound). `compute_dtype` is the type of the convolutions, float32 by default.
    """

    def __init__(self, resolution: int, channels: Mapping[int, int] | None = None, clamp: float | None = None):
        super().__init__()
        self.register_buffer("clamp", None if clamp is None else torch.tensor(float(clamp)))
        self.resolution = resolution
        self.resolutions = resolutions(resolution)[::-1]  # from the image down: R, ..., 8, 4
        self.channels = checked_widths(channels, self.resolutions)
        self.compute_dtype = torch.float32
        self.from_rgb = EqualConv2d(3, self.channels[resolution], 1, clamp=clamp)
        self.blocks = nn.ModuleDict(
            {str(r): DiscriminatorBlock(self.channels[r], self.channels[r // 2], clamp) for r in self.resolutions[:-1]}
        )

    def maps(self, images: Tensor) -> Iterator[Tensor]:
        """Activations on the way down: [N, 3, R, R] in [-1, 1] -> [N, C, R, R], [N, C, R/2, R/2], ..., [N, C, 4, 4].

        The first is that of `from_rgb`. Raises ValueError for images of another size.
        """
        if images.ndim != 4 or images.shape[1:] != (3, self.resolution, self.resolution):
            raise ValueError(f"images must be [N, 3, {self.resolution}, {self.resolution}], got {list(images.shape)}")
        x = self.from_rgb(images.to(dtype=self.compute_dtype, memory_format=torch.channels_last))
        yield x
        for r, block in zip(self.resolutions, self.blocks.values(), strict=False):
            x = block(x.to(ops.dtype_at(r, self.resolution, self.compute_dtype)))
            yield x

    def features(self, images: Tensor) -> Tensor:
        """[N, 3, R, R] in [-1, 1] -> [N, C, 4, 4] (float32), the last of `maps`."""
        for x in self.maps(images):
            last = x
        return ops.upcast(last)


class Discriminator(ResidualBlocks):
    """Image -> one logit per image, high for real ones: residual blocks, minibatch stddev (figure 7c)."""

    def __init__(self, resolution: int = 256, channels: Mapping[int, int] | None = None, clamp: float | None = None):
        super().__init__(resolution, channels, clamp)
        self.head = DiscriminatorHead(self.channels[4], clamp)

    def forward(self, images: Tensor, batches: int = 1) -> Tensor:
        """[N, 3, R, R] in [-1, 1] -> logits [N, 1] (float32).

        batches: so many batches of equal size, one after the other, go through in one pass, each with its own minibatch
        stddev. Raises ValueError: images of another size, or a number of them that is no multiple of `batches`.
        """
        if len(images) % batches:
            raise ValueError(f"{len(images)} images cannot be {batches} batches of equal size")
        return self.head(self.features(images), batches)
