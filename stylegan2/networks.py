"""The StyleGAN2 networks (arXiv 1912.04958): mapping, synthesis with a skip generator, residual discriminator.

    z --MappingNetwork--> ws --SynthesisNetwork--> image --Discriminator--> logit

`mapping` and `synthesis` are separate on purpose: truncation, mixing, projection and every edit of this course are
short functions that work on the ws in between. No training method and no edit ever enters a `forward`.

Which code drives what, at any size: ws[0] the 4x4 convolution; ws[1] the up-convolution to 8x8 *and* the 4x4 tRGB;
ws[2] the second 8x8 convolution; ws[3] the up-convolution to 16x16 and the 8x8 tRGB; and so on, two per resolution.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2 import ops
from stylegan2.setting_types import check_seed

Noise = Literal["random", "const", "none"] | torch.Generator | Sequence[Tensor]

SQRT_HALF = math.sqrt(0.5)


def widths(resolution: int, base: int = 32768, maximum: int = 512) -> dict[int, int]:
    """Feature maps per resolution, min(base / r, maximum). The defaults are config-f of the paper."""
    return {r: min(base // r, maximum) for r in resolutions(resolution)}


def resolutions(resolution: int) -> list[int]:
    """4, 8, ... up to `resolution`.

    Raises:
        ValueError: if `resolution` is not a power of two from 8 to 1024.
    """
    if not 8 <= resolution <= 1024 or resolution & (resolution - 1):
        raise ValueError(f"resolution must be a power of two from 8 to 1024, got {resolution}")
    return [2**k for k in range(2, resolution.bit_length())]


def _check_widths(channels: Mapping[int, int], sizes: list[int]) -> dict[int, int]:
    missing = [r for r in sizes if r not in channels]
    if missing:
        raise ValueError(f"channels must name a width for each of {sizes}; missing: {missing}")
    return {r: int(channels[r]) for r in sizes}


def _kernels(out_channels: int, in_channels: int, side: int) -> nn.Parameter:
    """Standard normal weights [O, I, k, k], in the memory layout of the activations: nothing is rearranged at use."""
    weight = torch.randn(out_channels, in_channels, side, side)
    return nn.Parameter(weight.contiguous(memory_format=torch.channels_last))


class EqualLinear(nn.Module):
    """Fully connected layer with equalised learning rate (arXiv 1710.10196, section 4.1): scaled at run time.

    Args:
        in_features, out_features: sizes.
        bias_init: initial bias.
        lr_multiplier: the layer learns this many times slower (mapping: 0.01).
        activate: leaky ReLU afterwards.
    """

    def __init__(self, in_features: int, out_features: int, bias_init=0.0, lr_multiplier=1.0, activate=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_features] -> [N, out_features]"""
        bias = self.bias if self.bias_gain == 1 else self.bias * self.bias_gain
        x = x * self.weight_gain  # the same as scaling the weights, of which there are more
        if self.activate:
            return ops.bias_act(F.linear(x, self.weight), bias)
        return F.linear(x, self.weight, bias)


class EqualConv2d(nn.Module):
    """Convolution with equalised learning rate.

    Args:
        in_channels, out_channels, kernel: sizes.
        down: filter and halve the size.
        activate: add a bias, then a leaky ReLU with its gain.
        gain: what the result is multiplied with besides (as part of weights and bias: it costs no pass over memory).
        clamp: activations stay within +-clamp * gain; None: no bound.
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
        self.weight = _kernels(out_channels, in_channels, kernel)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if activate else None
        self.gain = gain * ops.GAIN if activate else gain
        self.weight_gain = self.gain / math.sqrt(in_channels * kernel**2)
        self.down = down
        self.clamp = None if clamp is None else clamp * gain

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H, W], or half of H and W with `down`."""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        bias = None if self.bias is None else (self.bias * self.gain).to(x.dtype)
        if not self.down:
            y = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        elif weight.shape[-1] == 1:  # a 1x1 convolution commutes with taking every second pixel: filter and halve first
            y = F.conv2d(ops.downsample2d(x), weight, bias)
        else:
            y = ops.blurred_conv_down(x, weight, bias)
        return y if bias is None else ops.bounded(F.leaky_relu_(y, ops.SLOPE), self.clamp)


class MappingNetwork(nn.Module):
    """z -> w: normalise, then fully connected layers (StyleGAN2, figure 2), broadcast to one code per layer.

    Args:
        z_dim, w_dim: sizes of z and of w.
        num_ws: codes L that the synthesis network takes.
        layers: depth (config-f: 8; ADA's `auto`: 2).
        lr_multiplier: the mapping learns this many times slower than the rest.

    Attributes:
        w_mean: [w_dim], the centre of truncation; see `update_mean`.
    """

    def __init__(self, z_dim: int, w_dim: int, num_ws: int, layers: int = 8, lr_multiplier: float = 0.01):
        super().__init__()
        self.z_dim, self.w_dim, self.num_ws = z_dim, w_dim, num_ws
        sizes = [z_dim] + [w_dim] * layers
        self.layers = nn.ModuleList(
            EqualLinear(a, b, lr_multiplier=lr_multiplier, activate=True)
            for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.register_buffer("w_mean", torch.zeros(w_dim))

    def w(self, z: Tensor) -> Tensor:
        """[N, z_dim] -> one w per image [N, w_dim], without truncation.

        Raises:
            ValueError: z of another shape. (A z per layer would be normalised across layers: map first, mix then.)
        """
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z must be [N, {self.z_dim}], one code per image, got {list(z.shape)}")
        z = z.to(self.w_mean)  # type and device: latents are drawn on the CPU, the same for every machine
        x = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.layers:
            x = layer(x)
        return x

    def forward(self, z: Tensor, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        """One code for each layer: [N, z_dim] -> ws [N, L, w_dim].

        Args:
            z: [N, z_dim], standard normal.
            truncation: psi; 1 leaves w alone, 0 gives the mean face, above 1 exaggerates, negative is the "anti-face"
                (arXiv 1812.04948, section 4 and appendix B).
            cutoff: truncate only the first `cutoff` codes (coarse layers); None: all.
        """
        return self.truncate(self.broadcast(self.w(z)), truncation, cutoff)

    def broadcast(self, w: Tensor) -> Tensor:
        """w [N, w_dim] -> ws [N, L, w_dim], the same code for every layer."""
        return w[:, None].expand(-1, self.num_ws, -1)

    def truncate(self, ws: Tensor, truncation: float, cutoff: int | None = None) -> Tensor:
        """mean_ws + psi * (ws - mean_ws) on the first `cutoff` codes of ws [N, L, w_dim]."""
        if truncation == 1:
            return ws
        cutoff = self.num_ws if cutoff is None else cutoff
        near = torch.lerp(self.mean_ws[:cutoff].expand_as(ws[:, :cutoff]), ws[:, :cutoff], float(truncation))
        return torch.cat([near, ws[:, cutoff:]], dim=1)

    @property
    def mean_ws(self) -> Tensor:
        """The centre of truncation of every layer's code, [L, w_dim]: `w_mean` for all of them."""
        return self.w_mean.expand(self.num_ws, -1)

    @torch.no_grad()
    def update_mean(self, samples: int = 10_000, seed: int = 0) -> Tensor:
        """Set `w_mean` to the mean w of `samples` seeded z, and return it [w_dim]: the same for the same seed."""
        rng = torch.Generator().manual_seed(seed)
        z = torch.randn(samples, self.z_dim, generator=rng).to(self.w_mean.device)
        sums = [self.w(chunk).double().sum(0) for chunk in z.split(1000)]
        self.w_mean.copy_(torch.stack(sums).sum(0) / samples)
        return self.w_mean


class SharedMapping(MappingNetwork):
    """A mapping whose first k codes come from another network's mapping (FreezeStyle, arXiv 2106.12445).

    It is what a model needs to carry to be sampled as it was trained: `G.mapping(z)` gives the source's codes for the
    coarse layers and its own for the others, each truncated around the mean of the mapping that made it.

    Args:
        own: the mapping that makes the codes from k on; its tensors are taken over, not copied.
        source: the mapping that makes the first k codes; copied.
        k: how many codes, from 1 to num_ws.

    Raises:
        ValueError: for a k outside of that, or mappings that do not fit each other.
    """

    def __init__(self, own: MappingNetwork, source: MappingNetwork, k: int):
        if not 1 <= k <= own.num_ws:
            raise ValueError(f"k is {k}, expected 1 to {own.num_ws}, the number of codes")
        sizes = [(m.z_dim, m.w_dim, m.num_ws) for m in (own, source)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"mappings differ: (z_dim, w_dim, codes) {sizes[0]} and {sizes[1]}")
        super().__init__(own.z_dim, own.w_dim, own.num_ws, layers=0)
        self.layers, self.w_mean = own.layers, own.w_mean
        self.source = copy.deepcopy(source)
        self.k = k
        self.register_buffer("from_source", (torch.arange(own.num_ws) < k).to(own.w_mean))  # [L]: k travels in files

    def broadcast(self, w: Tensor) -> Tensor:
        """Raises ValueError: one w does not tell the codes of all layers."""
        raise ValueError("the codes come from two mappings: call the mapping with z, or use mapping.source for one w")

    def forward(self, z: Tensor, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        """[N, z_dim] -> ws [N, L, w_dim]; arguments as in `MappingNetwork.forward`."""
        own = super().broadcast(self.w(z))
        return self.truncate(torch.cat([self.source(z)[:, : self.k], own[:, self.k :]], dim=1), truncation, cutoff)

    @property
    def mean_ws(self) -> Tensor:
        """[L, w_dim]: the source's mean w for the first k codes, its own for the others."""
        return torch.cat([self.source.mean_ws[: self.k], super().mean_ws[self.k :]])


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU: one grey box of figure 2c in the paper."""

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, resolution: int, up=False, clamp: float | None = None
    ):
        super().__init__()
        self.resolution, self.up, self.clamp = resolution, up, clamp
        self.affine = EqualLinear(w_dim, in_channels, bias_init=1.0)
        self.weight = _kernels(out_channels, in_channels, 3)
        self.weight_gain = 1 / math.sqrt(in_channels * 9)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("noise_const", torch.randn(1, 1, resolution, resolution))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """x [N, in, H, W], w [N, w_dim], noise [N or 1, 1, R, R] or None -> [N, out, R, R]"""
        noise = None if noise is None else noise * self.noise_strength
        style = self.affine(w) * self.weight_gain  # scaling the few styles spares scaling the many weights
        return ops.styled_conv(x, self.weight, style, self.bias, noise, self.up, self.clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, without demodulation. Its outputs are summed, always in float32."""

    def __init__(self, in_channels: int, w_dim: int, clamp: float | None = None):
        super().__init__()
        self.clamp = clamp
        self.affine = EqualLinear(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.weight_gain = 1 / math.sqrt(in_channels)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, H, W], w [N, w_dim] -> [N, 3, H, W]"""
        return ops.bounded(ops.modulated_rgb(x, self.weight, self.affine(w) * self.weight_gain, self.bias), self.clamp)


class SynthesisBlock(nn.Module):
    """One resolution: up-convolution (a learned constant at 4x4), convolution, and the colours it adds to the image."""

    def __init__(
        self, in_channels: int | None, out_channels: int, w_dim: int, resolution: int, clamp: float | None = None
    ):
        super().__init__()
        self.resolution = resolution
        if in_channels is None:
            self.const = nn.Parameter(torch.randn(1, out_channels, 4, 4))
        else:
            self.conv0 = StyledConv(in_channels, out_channels, w_dim, resolution, up=True, clamp=clamp)
        self.conv1 = StyledConv(out_channels, out_channels, w_dim, resolution, clamp=clamp)
        self.to_rgb = ToRGB(out_channels, w_dim, clamp)

    @property
    def convs(self) -> list[StyledConv]:
        """The styled convolutions in order: one at 4x4, two above."""
        return [self.conv1] if self.resolution == 4 else [self.conv0, self.conv1]

    def forward(
        self, x: Tensor | None, rgb: Tensor | None, ws: Tensor, noises: list[Tensor | None], dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Add one resolution.

        Args:
            x: features of the block below [N, in, R/2, R/2]; None at 4x4.
            rgb: running RGB sum of the block below [N, 3, R/2, R/2]; None at 4x4.
            ws: this block's codes [N, 2 or 3, w_dim]: one per convolution, the last for tRGB.
            noises: one per convolution.
            dtype: type to compute the convolutions in.

        Returns:
            features [N, out, R, R] and running RGB sum [N, 3, R, R] (float32).
        """
        if x is None:
            x = self.const.expand(len(ws), -1, -1, -1)
        layout = ops.memory_format(x.device, dtype, self.conv1.weight.shape[:2], self.resolution)
        x = x.to(dtype=dtype, memory_format=layout)
        for conv, w, noise in zip(self.convs, ws.unbind(1), noises, strict=False):
            x = conv(x, w, noise)
        colours = self.to_rgb(x, ws[:, -1])
        return x, colours if rgb is None else ops.upsample2d(rgb) + colours


class Stage(NamedTuple):
    """What a synthesis network knows after one resolution; all that the blocks above it need."""

    resolution: int
    x: Tensor  # features [N, C, R, R], in the network's compute_dtype
    rgb: Tensor  # running RGB sum [N, 3, R, R], float32


class SynthesisNetwork(nn.Module):
    """ws -> image, with output skips: every resolution adds its colours to the upsampled image so far (figure 7b).

    Args:
        resolution: side of the image in pixels.
        w_dim: size of w.
        channels: width per resolution; default config-f.
        clamp: see `Generator`.

    Attributes:
        compute_dtype: type of the convolutions (float32 by default; float16: see `ops.dtype_at`). RGB sums and styles
            always stay float32.
        clamp: None, or a tensor: a buffer, so that it travels in files.
    """

    def __init__(
        self,
        resolution: int,
        w_dim: int = 512,
        channels: Mapping[int, int] | None = None,
        clamp: float | None = None,
    ):
        super().__init__()
        self.register_buffer("clamp", None if clamp is None else torch.tensor(float(clamp)))
        self.resolution, self.w_dim = resolution, w_dim
        self.resolutions = resolutions(resolution)
        self.channels = _check_widths(channels or widths(resolution), self.resolutions)
        self.num_ws = 2 * len(self.resolutions)
        self.compute_dtype = torch.float32
        inputs = [None, *[self.channels[r] for r in self.resolutions]]
        self.blocks = nn.ModuleDict(
            {
                str(r): SynthesisBlock(c, self.channels[r], w_dim, r, clamp)
                for c, r in zip(inputs, self.resolutions, strict=False)
            }
        )

    @property
    def convs(self) -> list[StyledConv]:
        """All styled convolutions, lowest resolution first; convs[i] is driven by ws[:, i]."""
        return [conv for block in self.blocks.values() for conv in block.convs]

    def draw_noise(self, n: int, noise: Noise = "random") -> list[Tensor | None]:
        """Noise images for every convolution, to be drawn once and shared by several calls.

        Args:
            n: batch size.
            noise: "random" (torch's global generator), "const" (the fixed buffers), "none", a `torch.Generator`, or a
                list of L-1 tensors [N or 1, 1, R, R], which is returned as it is.

        Raises:
            ValueError: for anything else, or for a list of the wrong length.
        """
        if isinstance(noise, str):
            if noise not in ("random", "const", "none"):
                raise ValueError(f'noise must be "random", "const", "none", a torch.Generator or a list, got {noise!r}')
            if noise == "none":
                return [None] * len(self.convs)
            if noise == "const":
                return [conv.noise_const for conv in self.convs]
            noise = None
        if noise is None or isinstance(noise, torch.Generator):
            like = self.convs[0].noise_const
            device = noise.device if noise is not None else like.device
            shapes = [(n, 1, conv.resolution, conv.resolution) for conv in self.convs]
            return [torch.randn(s, generator=noise, device=device).to(like.device) for s in shapes]
        noise = list(noise)
        if len(noise) != len(self.convs):
            raise ValueError(f"a list of noise needs {len(self.convs)} tensors, one per convolution, got {len(noise)}")
        return noise

    def stages(self, ws: Tensor, noise: Noise = "random", after: "Stage | None" = None) -> Iterator["Stage"]:
        """Draw the image resolution by resolution: one `Stage` per block, the last one's `rgb` is the image.

        Nothing is computed beyond the stage that was asked for last. Since a stage is all that the next block needs,
        another network of the same sizes may go on from it (layer swapping).

        Args:
            ws: [N, L, w_dim].
            noise: see `draw_noise`.
            after: go on from this stage, at the resolution above it; None: from the constant.

        Raises:
            ValueError: ws of another shape.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws must be [N, {self.num_ws}, {self.w_dim}], got {list(ws.shape)}; see G.mapping")
        noises, at = self.draw_noise(len(ws), noise), 0
        for r, block in zip(self.resolutions, self.blocks.values(), strict=True):
            n = len(block.convs)
            if after is None or r > after.resolution:
                x, rgb = (None, None) if after is None else (after.x, after.rgb)
                dtype = ops.dtype_at(r, self.resolution, self.compute_dtype)
                x, rgb = block(x, rgb, ws[:, at : at + n + 1], noises[at : at + n], dtype)
                after = Stage(r, x, rgb)
                yield after
            at += n

    def forward(self, ws: Tensor, noise: Noise = "random", return_rgbs: bool = False):
        """Draw the image.

        Args:
            ws: [N, L, w_dim].
            noise: see `draw_noise`.
            return_rgbs: also return the running RGB sum of every resolution, {4: [N, 3, 4, 4], 8: ..., R: image}.

        Returns:
            image [N, 3, R, R], roughly in [-1, 1] (not clamped); or (image, rgbs).

        Raises:
            ValueError: ws of another shape.
        """
        rgbs = {stage.resolution: stage.rgb for stage in self.stages(ws, noise)}
        return (rgbs[self.resolution], rgbs) if return_rgbs else rgbs[self.resolution]


class Generator(nn.Module):
    """Mapping and synthesis together. `G(z)` is `G.synthesis(G.mapping(z))`.

    Args:
        resolution: side of the image in pixels, a power of two from 8 to 1024.
        z_dim, w_dim: sizes of the latent codes.
        mapping_layers: depth of the mapping network.
        channels: width per resolution, {4: 512, ..., resolution: 128}; default config-f (`widths`).
        clamp: what comes out of a convolution stays within +-clamp (NVIDIA's `conv_clamp`, 256 in ADA's training,
            arXiv 2006.06676, appendix); None: no bound.
    """

    def __init__(
        self,
        resolution: int = 256,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        channels: Mapping[int, int] | None = None,
        clamp: float | None = None,
    ):
        super().__init__()
        self.synthesis = SynthesisNetwork(resolution, w_dim, channels, clamp)
        self.mapping = MappingNetwork(z_dim, w_dim, self.synthesis.num_ws, mapping_layers)

    resolution = property(lambda self: self.synthesis.resolution)
    num_ws = property(lambda self: self.synthesis.num_ws)
    z_dim = property(lambda self: self.mapping.z_dim)
    w_dim = property(lambda self: self.mapping.w_dim)

    def forward(self, z: Tensor, truncation: float = 1.0, cutoff: int | None = None, noise: Noise = "random") -> Tensor:
        """z [N, z_dim] -> image [N, 3, R, R], roughly in [-1, 1]."""
        return self.synthesis(self.mapping(z, truncation, cutoff), noise)


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
    """Append one feature: how much the images of a group differ (arXiv 1710.10196, section 3).

    Works for any batch: ceil(N / group_size) groups, as even as can be (5 -> 3 + 2, 7 -> 4 + 3), so that no group is a
    single image unless the batch is. Image n belongs to group n mod (number of groups).

    Args:
        x: [N, C, H, W].

    Returns:
        [N, C + 1, H, W]
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
        """[N, C, 4, 4] -> [N, 1]; `batches` as in `Discriminator.forward`."""
        x = torch.cat([minibatch_stddev(batch) for batch in x.chunk(batches)])
        return self.out(self.fc(self.conv(x).flatten(1)))


class Discriminator(nn.Module):
    """Image -> one logit per image, high for real ones: residual blocks, minibatch stddev (figure 7c).

    Args:
        resolution: side of the image in pixels.
        channels: width per resolution; default config-f.
        clamp: see `Generator`. (1x1 skips have no bound.)

    Attributes:
        compute_dtype: type of the blocks' convolutions (float32 by default); the 4x4 head always computes in float32.
        clamp: None, or a tensor: a buffer, so that it travels in files.
    """

    def __init__(self, resolution: int = 256, channels: Mapping[int, int] | None = None, clamp: float | None = None):
        super().__init__()
        self.register_buffer("clamp", None if clamp is None else torch.tensor(float(clamp)))
        self.resolution = resolution
        self.resolutions = resolutions(resolution)[::-1]  # from the image down: R, ..., 8, 4
        self.channels = _check_widths(channels or widths(resolution), self.resolutions)
        self.compute_dtype = torch.float32
        self.from_rgb = EqualConv2d(3, self.channels[resolution], 1, clamp=clamp)
        self.blocks = nn.ModuleDict(
            {str(r): DiscriminatorBlock(self.channels[r], self.channels[r // 2], clamp) for r in self.resolutions[:-1]}
        )
        self.head = DiscriminatorHead(self.channels[4], clamp)

    def forward(self, images: Tensor, batches: int = 1) -> Tensor:
        """[N, 3, R, R] in [-1, 1] -> logits [N, 1] (float32).

        Args:
            images: [N, 3, R, R].
            batches: so many batches of equal size, one after the other, are judged in one pass, each by its own
                minibatch stddev: the logits are those of a call for each batch.

        Raises:
            ValueError: images of another size, or a number of them that is no multiple of `batches`.
        """
        if images.ndim != 4 or images.shape[1:] != (3, self.resolution, self.resolution):
            raise ValueError(f"images must be [N, 3, {self.resolution}, {self.resolution}], got {list(images.shape)}")
        if len(images) % batches:
            raise ValueError(f"{len(images)} images cannot be {batches} batches of equal size")
        x = self.from_rgb(images.to(dtype=self.compute_dtype, memory_format=torch.channels_last))
        for r, block in zip(self.resolutions, self.blocks.values(), strict=False):
            x = block(x.to(ops.dtype_at(r, self.resolution, self.compute_dtype)))
        return self.head(ops.upcast(x), batches)


class Encoder(nn.Module):
    """Image -> one code per layer, W+ (arXiv 2004.00049): the discriminator's residual blocks, then one 4x4 filter.

    Args:
        resolution: side of the image in pixels.
        num_ws, w_dim: of the generator whose codes it gives.
        channels: width per resolution; default config-f.
        psi: what it was trained with: its answer e gives the codes mean + psi * (e - mean). With psi other than 1 it
            must be told that mean, see `around`.

    Attributes:
        compute_dtype: type of the blocks' convolutions (float32 by default); the last filter computes in float32.
    """

    def __init__(
        self,
        resolution: int,
        num_ws: int,
        w_dim: int = 512,
        channels: Mapping[int, int] | None = None,
        psi: float = 1.0,
    ):
        super().__init__()
        self.resolution, self.num_ws, self.w_dim, self.psi = resolution, num_ws, w_dim, psi
        self.register_buffer("mean_ws", None, persistent=False)
        self.resolutions = resolutions(resolution)[::-1]
        self.channels = _check_widths(channels or widths(resolution), self.resolutions)
        self.compute_dtype = torch.float32
        self.from_rgb = EqualConv2d(3, self.channels[resolution], 1)
        self.blocks = nn.ModuleDict(
            {str(r): DiscriminatorBlock(self.channels[r], self.channels[r // 2]) for r in self.resolutions[:-1]}
        )
        self.head = _kernels(num_ws * w_dim, self.channels[4], 4)

    def around(self, mapping: MappingNetwork) -> "Encoder":
        """Take the mean w of the generator whose codes it gives; returns itself.

        Raises:
            ValueError: a mapping of other sizes.
        """
        if mapping.mean_ws.shape != (self.num_ws, self.w_dim):
            sizes = f"[{self.num_ws}, {self.w_dim}]"
            raise ValueError(f"the mapping's mean is {list(mapping.mean_ws.shape)}, this encoder's codes are {sizes}")
        self.mean_ws = mapping.mean_ws.detach().to(self.head.device, copy=True)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Codes to be drawn as they are: [N, 3, R, R] in [-1, 1] -> ws [N, num_ws, w_dim] (float32).

        Raises:
            ValueError: images of another size, or psi is not 1 and `around` was not called.
        """
        if self.psi != 1 and self.mean_ws is None:
            raise ValueError(f"this encoder's codes hold for psi {self.psi:g}: call encoder.around(g.mapping) first")
        if images.ndim != 4 or images.shape[1:] != (3, self.resolution, self.resolution):
            raise ValueError(f"images must be [N, 3, {self.resolution}, {self.resolution}], got {list(images.shape)}")
        x = self.from_rgb(images.to(dtype=self.compute_dtype, memory_format=torch.channels_last))
        for r, block in zip(self.resolutions, self.blocks.values(), strict=False):
            x = block(x.to(ops.dtype_at(r, self.resolution, self.compute_dtype)))
        filters = self.head.flatten(1)  # [num_ws * w_dim, C * 16]
        w = F.linear(ops.upcast(x).flatten(1), filters / math.sqrt(filters.shape[1]))
        ws = w.unflatten(1, (self.num_ws, self.w_dim))
        return ws if self.psi == 1 else torch.lerp(self.mean_ws.expand_as(ws), ws, self.psi)


@dataclass(frozen=True)
class Preset:
    """A size of the two networks: widths min(base / r, maximum), latent sizes, depth of the mapping."""

    base: int
    maximum: int
    z_dim: int
    w_dim: int
    mapping_layers: int


PRESETS = {
    "pocket": Preset(base=2048, maximum=128, z_dim=128, w_dim=128, mapping_layers=4),  # 1.1 M + 1.2 M at 64 px
    "config-f": Preset(base=32768, maximum=512, z_dim=512, w_dim=512, mapping_layers=8),  # 30 M + 29 M at 256 px
}


def build(resolution: int, preset: str = "config-f", seed: int = 0) -> tuple[Generator, Discriminator]:
    """New networks with seeded initial weights; the global random state is left as it was.

    Raises:
        ValueError: for an unknown preset (the error lists the known ones) or an impossible resolution.
    """
    if preset not in PRESETS:
        raise ValueError(f"no preset {preset!r}; there are: {', '.join(PRESETS)}")
    p = PRESETS[preset]
    channels = widths(resolution, p.base, p.maximum)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(check_seed(seed))
        return Generator(resolution, p.z_dim, p.w_dim, p.mapping_layers, channels), Discriminator(resolution, channels)
