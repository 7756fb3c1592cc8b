"""Walk through the latent space: two seeds, the way between them, psi and the noise."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from PIL import Image

from stylegan2 import display
from stylegan2.editing import latents
from stylegan2.networks import Generator
from stylegan2.panels.controls import choice, float_slider, int_slider, psi_slider
from stylegan2.panels.panel import Panel

SIDE = 384  # pixels of the large face, about


def render_latent(
    g: Generator, seed: int, second: int, blend: float, truncation: float, noise: str, noise_seed: int = 0
) -> Image.Image:
    """The blend of two seeds' codes, large, above the two it lies between. All three have the same noise.

    Args:
        blend: 0 gives the first, 1 the second, beyond that it goes on.
        noise, noise_seed: "const", "none" or "random", and which random noise.
    """
    ends = latents.ws_from_seeds(g, [seed, second], truncation)
    middle = latents.blend(ends[:1], ends[1:], blend)
    source = torch.Generator().manual_seed(noise_seed) if noise == "random" else noise
    images = latents.render(g, torch.cat([ends, middle]), g.synthesis.sample_noise(1, source)).cpu()
    large = display.to_pil(images[2], side=SIDE)
    first, last = (display.sized(image, large.width // 3) for image in images[:2])
    return display.stack([large, display.table([[first, display.fitted(None, first.width), last]], gap=0)], gap=6)


def latent_panel(g: Generator, record: Mapping[str, Any] | None = None) -> Panel:
    """Two seeds, the way between them (also as a video), psi and the noise."""
    controls = {
        "seed": int_slider("seed", 10, 0, 999, "the face on the left"),
        "second": int_slider("second seed", 0, 0, 999, "the face on the right"),
        "blend": float_slider("blend", 0.0, -0.5, 1.5, 0.02, "0: the first, 1: the second, outside: beyond them"),
        "truncation": psi_slider(0.8),
        "noise": choice("noise", ["const", "none", "random"]),
        "noise_seed": int_slider("noise seed", 0, 0, 99, "which random noise"),
    }
    return Panel(partial(render_latent, g), controls, "face", record=record, video={"blend": 1.0})
