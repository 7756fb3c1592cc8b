"""The StyleGAN2 networks (arXiv 1912.04958): mapping, synthesis with a skip generator, residual discriminator.

    z --MappingNetwork--> ws --SynthesisNetwork--> image --Discriminator--> logit

(the last in discriminator.py, what all are made of in layers.py and ops.py). Truncation, mixing, projection and every
edit of this course are short functions of the ws in between. No training method and no edit ever enters a `forward`.

Which code drives what, at any size: ws[0] the 4x4 convolution; ws[1] the up-convolution to 8x8 *and* the 4x4 tRGB;
ws[2] the second 8x8 convolution; ws[3] the up-convolution to 16x16 and the 8x8 tRGB; and so on, two per resolution.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from stylegan2 import ops
from stylegan2.discriminator import Discriminator
from stylegan2.layers import EqualLinear, checked_widths, normal_kernels, resolutions, widths
from stylegan2.setting_types import check_seed

Noise = Literal["random", "const", "none"] | torch.Generator | Sequence[Tensor]


class MappingNetwork(nn.Module):
    """z -> w: normalise, then fully connected layers (figure 2), broadcast to `num_ws` codes, one per layer.

    layers: depth (config-f: 8; ADA's `auto`: 2). The buffer `w_mean` [w_dim] is the centre of truncation.
    """

    def __init__(self, z_dim: int, w_dim: int, num_ws: int, layers: int = 8):
        super().__init__()
        self.z_dim, self.w_dim, self.num_ws = z_dim, w_dim, num_ws
        sizes = [z_dim] + [w_dim] * layers
        pairs = zip(sizes, sizes[1:], strict=False)
        self.layers = nn.ModuleList(EqualLinear(a, b, lr_multiplier=0.01, activate=True) for a, b in pairs)
        self.register_buffer("w_mean", torch.zeros(w_dim))

    def w(self, z: Tensor) -> Tensor:
        """[N, z_dim] -> one w per image [N, w_dim], without truncation.

        Raises ValueError: z of another shape. (A z per layer would be normalised across layers: map first, mix then.)
        """
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z must be [N, {self.z_dim}], one code per image, got {list(z.shape)}")
        z = z.to(self.w_mean)  # type and device: latents are sampled on the CPU, the same on every machine
        x = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.layers:
            x = layer(x)
        return x

    def forward(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """One code for each layer: z [N, z_dim], standard normal -> ws [N, L, w_dim].

        truncation: psi; 1 leaves w alone, 0 gives the mean face (arXiv 1812.04948, section 4 and appendix B).
        """
        return self.truncate(self.broadcast(self.w(z)), truncation)

    def broadcast(self, w: Tensor) -> Tensor:
        """w [N, w_dim] -> ws [N, L, w_dim], the same code for every layer."""
        return w[:, None].expand(-1, self.num_ws, -1)

    def truncate(self, ws: Tensor, truncation: float) -> Tensor:
        """mean_ws + psi * (ws - mean_ws), ws [N, L, w_dim]."""
        return ws if truncation == 1 else torch.lerp(self.mean_ws.expand_as(ws), ws, float(truncation))

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

    The codes are truncated around the mean of the mapping that made them. `source` is copied, the tensors of `own` are
    taken over. Raises ValueError: k is not 1 to num_ws, or the mappings do not fit each other.
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
        """Raises ValueError: one w does not give the codes of all layers."""
        raise ValueError("the codes come from two mappings: call the mapping with z, or use mapping.source for one w")

    def forward(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        own = super().broadcast(self.w(z))
        return self.truncate(torch.cat([self.source(z)[:, : self.k], own[:, self.k :]], dim=1), truncation)

    @property
    def mean_ws(self) -> Tensor:
        """[L, w_dim]: the source's mean w for the first k codes, its own for the others."""
        return torch.cat([self.source.mean_ws[: self.k], super().mean_ws[self.k :]])


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU: one grey box of figure 2c in the paper."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, resolution: int, up=False, clamp=None):
        super().__init__()
        self.resolution, self.up, self.clamp = resolution, up, clamp
        self.affine = EqualLinear(w_dim, in_channels, bias_init=1.0)
        self.weight = normal_kernels(out_channels, in_channels, 3)
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

    def __init__(self, in_channels: int | None, out_channels: int, w_dim: int, resolution: int, clamp=None):
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
        """Features x [N, in, R/2, R/2] and running RGB sum [N, 3, R/2, R/2] of the block below (None at 4x4) -> the
        same of this one, [N, out, R, R] and [N, 3, R, R] (float32).

        ws: this block's codes [N, 2 or 3, w_dim], one per convolution, the last for tRGB. noises: one per convolution.
        """
        if x is None:
            x = self.const.expand(len(ws), -1, -1, -1)
        x = x.to(dtype=dtype, memory_format=torch.channels_last)
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

    Arguments as of `Generator`. `compute_dtype` is the type of the convolutions (float32 by default; float16: see
    `ops.dtype_at`); RGB sums and styles always stay float32. `clamp` is a buffer, so that it travels in files.
    """

    def __init__(
        self, resolution: int, w_dim: int = 512, channels: Mapping[int, int] | None = None, clamp: float | None = None
    ):
        super().__init__()
        self.register_buffer("clamp", None if clamp is None else torch.tensor(float(clamp)))
        self.resolution, self.w_dim = resolution, w_dim
        self.resolutions = resolutions(resolution)
        self.channels = checked_widths(channels, self.resolutions)
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

    def sample_noise(self, n: int, noise: Noise = "random") -> list[Tensor | None]:
        """Noise images of n images for every convolution, which several calls may share.

        noise: "random" (torch's global generator), "const" (the fixed buffers), "none", a `torch.Generator`, or a list
            of L-1 tensors [N or 1, 1, R, R], which is returned as it is. Raises ValueError for anything else.
        """
        if isinstance(noise, str) and noise not in ("random", "const", "none"):
            raise ValueError(f'noise must be "random", "const", "none", a torch.Generator or a list, got {noise!r}')
        if noise in ("const", "none"):
            return [conv.noise_const if noise == "const" else None for conv in self.convs]
        if isinstance(noise, str | torch.Generator):
            rng, here = None if noise == "random" else noise, self.convs[0].noise_const.device
            shapes = [(n, 1, conv.resolution, conv.resolution) for conv in self.convs]
            return [torch.randn(s, generator=rng, device=rng.device if rng else here).to(here) for s in shapes]
        noise = list(noise)
        if len(noise) != len(self.convs):
            raise ValueError(f"a list of noise needs {len(self.convs)} tensors, one per convolution, got {len(noise)}")
        return noise

    def stages(self, ws: Tensor, noise: Noise = "random", after: "Stage | None" = None) -> Iterator["Stage"]:
        """Render the image resolution by resolution: one `Stage` per block, the last one's `rgb` is the image.

        Nothing is computed beyond the stage that was asked for last. Another network of the same sizes may go on from
        a stage (layer swapping).

        ws: [N, L, w_dim], else ValueError. noise: see `sample_noise`. after: go on above this stage; None: from 4x4.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws must be [N, {self.num_ws}, {self.w_dim}], got {list(ws.shape)}; see G.mapping")
        noises, at = self.sample_noise(len(ws), noise), 0
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
        """ws [N, L, w_dim] -> image [N, 3, R, R], roughly in [-1, 1] (not clamped); noise: see `sample_noise`.

        return_rgbs: (image, running RGB sum of every resolution {4: [N, 3, 4, 4], 8: ..., R: image}) instead.
        """
        rgbs = {stage.resolution: stage.rgb for stage in self.stages(ws, noise)}
        return (rgbs[self.resolution], rgbs) if return_rgbs else rgbs[self.resolution]


class Generator(nn.Module):
    """Mapping and synthesis together. `G(z)` is `G.synthesis(G.mapping(z))`.

    Args:
        resolution: side of the image in pixels, a power of two from 8 to 1024.
        z_dim, w_dim, mapping_layers: sizes of the latent codes, depth of the mapping.
        channels: width per resolution, {4: 512, ..., resolution: 128}; default config-f (`widths`).
        clamp: bound of a convolution's outputs, +-clamp (NVIDIA's `conv_clamp`, 256 in ADA's training), or None.
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

    def forward(self, z: Tensor, truncation: float = 1.0, noise: Noise = "random") -> Tensor:
        """z [N, z_dim] -> image [N, 3, R, R], roughly in [-1, 1]."""
        return self.synthesis(self.mapping(z, truncation), noise)


PRESETS = {  # widths are min(base / r, size), z and w have this size too; layers of the mapping
    "pocket": (2048, 128, 4),  # 1.1 M + 1.2 M parameters at 128 px
    "config-f": (32768, 512, 8),  # 30 M + 29 M at 256 px
}


def build(resolution: int, preset: str = "config-f", seed: int = 0) -> tuple[Generator, Discriminator]:
    """New networks with seeded initial weights; the global random state is left as it was.

    Raises ValueError for an unknown preset (the error lists the known ones) or an impossible resolution.
    """
    if preset not in PRESETS:
        raise ValueError(f"no preset {preset!r}; there are: {', '.join(PRESETS)}")
    base, size, layers = PRESETS[preset]
    channels = widths(resolution, base, size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(check_seed(seed))
        return Generator(resolution, size, size, layers, channels), Discriminator(resolution, channels)
