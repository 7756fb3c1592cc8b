"""Latent codes from seeds, blends of two codes, and loops through several."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from stylegan2.bars import bar
from stylegan2.inputs import step_generator
from stylegan2.networks import Generator, Noise, Stage
from stylegan2.runtime import images_at_once
from stylegan2.setting_types import check_seed


def z_from_seeds(z_dim: int, seeds: Iterable[int]) -> Tensor:
    """Standard normal z [N, z_dim] (float32, CPU). Raises ValueError for a seed that is not 0 to 2^63 - 1."""
    rows = [torch.randn(z_dim, generator=torch.Generator().manual_seed(check_seed(seed))) for seed in seeds]
    return torch.stack(rows) if rows else torch.empty(0, z_dim)


@torch.no_grad()
def ws_from_seeds(g: Generator, seeds: Iterable[int], truncation: float = 1.0) -> Tensor:
    """Codes of seeds, on the generator's device: ws [N, L, w_dim], truncated with psi = `truncation`."""
    return g.mapping(z_from_seeds(g.z_dim, seeds), truncation)


def noise_from_seeds(g: Generator, seeds: Iterable[int]) -> list[Tensor]:
    """Random noise for every convolution, [N, 1, R, R] each: a seed's own, the same whatever the batch."""
    each = [g.synthesis.sample_noise(1, step_generator(seed, 0, stream=2)) for seed in seeds]
    return [torch.cat(layer) for layer in zip(*each, strict=True)]


def blend(a: Tensor, b: Tensor, amount: float | Tensor) -> Tensor:
    """a + amount (b - a), for codes [..., L, w_dim]; for a tensor of T amounts (on any device) [T, ..., L, w_dim]."""
    if not isinstance(amount, Tensor):
        return torch.lerp(a, b, float(amount))
    return torch.lerp(a, b, amount.to(a).reshape(-1, *[1] * a.ndim))


def loop(keys: Tensor, frames: int) -> Tensor:
    """From code to code and back to the first, easing in and out (3t^2 - 2t^3): [K, L, w_dim] -> [K * frames, ...]."""
    t = torch.arange(frames, dtype=torch.float32, device=keys.device) / frames
    t = (3 * t**2 - 2 * t**3)[None, :, None, None]
    return torch.lerp(keys[:, None], keys.roll(-1, dims=0)[:, None], t).flatten(0, 1)


def check_fits(g: Generator, ws: Tensor, name: str = "") -> None:
    """Raises ValueError for codes [..., L, w_dim] that a generator (called `name`, if that is given) cannot render."""
    if ws.shape[-2:] != (g.num_ws, g.w_dim):
        expected = f"[..., {g.num_ws}, {g.w_dim}] for {repr(name) if name else 'the generator'}"
        raise ValueError(f"codes are {list(ws.shape)}, expected {expected}: of its own mapping, or of its source's")


def noise_of(noise: Noise, part: slice) -> Noise:
    """The noise of some of the images: of a list [N, 1, R, R] their rows; what is the same for all stays."""
    if not isinstance(noise, list | tuple):
        return noise
    return [image if image is None or len(image) == 1 else image[part] for image in noise]


def finish(g: Generator, ws: Tensor, after: Stage | None = None) -> Tensor:
    """The image [N, 3, R, R] that g makes, with fixed noise, of a stage of any model; None: of its constant."""
    for stage in g.synthesis.stages(ws, "const", after):
        image = stage.rgb
    return image


def slices(count: int, size: int) -> list[slice]:
    """0 to `count` in parts of `size`, the last one perhaps smaller; of nothing, one empty part."""
    size = max(1, size)
    return [slice(start, min(start + size, count)) for start in range(0, max(1, count), size)]


def in_parts(network: nn.Module, count: int, compute: Callable[[slice], Tensor]) -> Tensor:
    """compute(part) of `count` images, each treated by itself, as many at once as fit (on a CPU all): [count, ...]."""
    parts = [compute(part) for part in slices(count, images_at_once(network, count))]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


@torch.no_grad()
def render_rgbs(g: Generator, ws: Tensor) -> dict[int, Tensor]:
    """The running RGB sum of every resolution, of many codes: ws [N, L, w_dim] -> {4: [N, 3, 4, 4], ..., R: images}."""
    parts = slices(len(ws), images_at_once(g.synthesis, len(ws)))
    each = [g.synthesis(ws[part], "const", return_rgbs=True)[1] for part in parts]
    return {r: torch.cat([rgbs[r] for rgbs in each]) for r in each[0]}


@torch.no_grad()
def render(g: Generator, ws: Tensor, noise: Noise = "const", batch: int = 16) -> Tensor:
    """Images of many codes, at most `batch` at a time: ws [N, L, w_dim] -> [N, 3, R, R] in about [-1, 1].

    Noise as in `SynthesisNetwork.sample_noise`.
    """

    def rendered(chunk: slice) -> Tensor:
        codes = ws[chunk]  # noise is sampled for all of these, so that it does not depend on the memory
        noises = g.synthesis.sample_noise(len(codes), noise_of(noise, chunk))
        return in_parts(g.synthesis, len(codes), lambda part: g.synthesis(codes[part], noise_of(noises, part)))

    return torch.cat([rendered(chunk) for chunk in bar(slices(len(ws), batch), "render", "batch")])
