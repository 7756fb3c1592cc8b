"""Training of an in-domain encoder: image in, codes out, through a generator that stays as it is (arXiv 2004.00049).

Half of its images are generated and half rendered; the codes of both are known (`teaching.FaceCodes`), and must be
found. Images must come back when their codes go through the generator (equation 3, with our perceptual distance).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from stylegan2 import checkpoints
from stylegan2.editing.encoder import Encoder, load_encoder, save_encoder
from stylegan2.editing.perceptual import psnr
from stylegan2.networks import Generator
from stylegan2.pocket import world
from stylegan2.pocket.nets.fit import Fit, FitConfig, warm_cosine
from stylegan2.pocket.nets.judge import to_float
from stylegan2.pocket.nets.muon import Muon, split
from stylegan2.pocket.nets.perceptual import JudgeDistance
from stylegan2.pocket.nets.teaching import FaceCodes, describe
from stylegan2.runtime import pick_dtype

FACES_SEED = 720_000  # a sequence of faces that no data set, no judge and no evaluation uses
EVALUATION_SEED = 820_000
WIDTHS = {128: 16, 64: 32, 32: 64, 16: 96, 8: 128, 4: 32}  # the last filter has w_dim times codes rows


@dataclass(frozen=True)
class EncoderConfig(FitConfig):
    """How an encoder is trained."""

    images: int = 200_000  # shown in all: 40,000 took 42 minutes on one core
    batch: int = 16  # half generated, half rendered
    faces: int = 12_000  # rendered photos to learn from
    psi: float = 0.9  # of the generated ones: the codes it gives lie about as far from the mean
    pixels: float = 1.0  # weights: of the mean squared difference of pixels
    perceptual: float = 0.5  # of the perceptual distance
    codes: float = 0.1  # of the mean squared difference of codes
    lr: float = 3e-3  # at its highest, after a warm-up; falls to 0 along a cosine
    seed: int = 0

    may_be_zero = ("seed", "pixels", "perceptual", "codes")
    halves = "half generated and half rendered"


class EncoderTraining(Fit):
    """An encoder that learns for g, which stays as it is.

    codes: which w a rendered face has; None: nobody knows, as for a generator that was not taught.
    """

    def __init__(
        self,
        config: EncoderConfig,
        g: Generator,
        distance: JudgeDistance,
        device: torch.device | str,
        codes: FaceCodes | None = None,
    ):
        widths = {4 << k: WIDTHS.get(4 << k, WIDTHS[128]) for k in range(g.resolution.bit_length() - 2)}
        super().__init__(config, lambda: Encoder(g.resolution, g.num_ws, g.w_dim, widths), device)
        self.g, self.distance = deepcopy(g).to(self.device).eval().requires_grad_(False), distance.to(self.device)
        self.codes = codes
        self.settings["generator"] = checkpoints.fingerprint(self.g)
        self.dtype = self.g.synthesis.compute_dtype = self.model.compute_dtype = pick_dtype("auto", self.device)
        groups = split(self.model, lambda name, p: name.startswith("blocks") and p.ndim > 1)
        self.optimiser = Muon(groups, config.lr)
        self.schedule = warm_cosine(self.optimiser, config.steps, 0.02)

    @cached_property
    @torch.no_grad()
    def faces(self) -> tuple[Tensor, Tensor | None]:
        """Rendered photos uint8 [N, 3, R, R], and their w [N, w_dim] where that is known."""
        faces = world.sample("photo", self.config.faces, seed=FACES_SEED)
        w = None if self.codes is None else self.codes.w(describe(faces)).cpu()
        return world.render(faces, "photo", self.g.resolution), w

    def batch(self) -> tuple[Tensor, Tensor]:
        """Images [B, 3, R, R], generated ones first, and the codes [B or B/2, L, w_dim] that are known of them."""
        photos, w = self.faces
        half, rng = self.config.batch // 2, self.rng()
        z = torch.randn(half, self.g.z_dim, generator=rng).to(self.device)
        chosen = torch.randint(len(photos), (half,), generator=rng)
        rendered = to_float(photos[chosen].to(self.device))
        with torch.no_grad():
            ws = self.g.mapping(z, self.config.psi)
            images = torch.cat([self.g.synthesis(ws, "const").clamp(-1, 1), rendered])
            if w is not None:
                ws = torch.cat([ws, self.g.mapping.broadcast(w[chosen].to(self.device))])
            return images, ws

    def losses(self, images: Tensor, ws: Tensor) -> dict[str, Tensor]:
        codes = self.model(images)
        answer = self.g.synthesis(codes, "const")
        with torch.autocast(self.device.type, self.dtype, self.dtype == torch.bfloat16):
            with torch.no_grad():
                target = self.distance.of(images)
            distance = self.distance(answer, target).mean()
        return {
            "pixels": self.config.pixels * (answer - images).square().mean(),
            "perceptual": self.config.perceptual * distance,
            "codes": self.config.codes * (codes[: len(ws)] - ws).square().mean(),
        }

    def finish(self, path: Path, meta: dict) -> tuple[Encoder, dict]:
        save_encoder(path, self.model, meta, half=True)
        encoder = load_encoder(path, self.device).encoder
        return encoder, {"psnr": measure(encoder, self.g, self.config.psi)}


@torch.no_grad()
def measure(encoder: Encoder, g: Generator, psi: float, count: int = 100) -> dict[str, float]:
    """Median PSNR in dB of images from their codes, on faces it never saw: {"generated", "rendered"}."""
    device, rng = g.mapping.w_mean.device, torch.Generator().manual_seed(EVALUATION_SEED)
    z = torch.randn(count, g.z_dim, generator=rng).to(device)
    rendered = world.render(world.sample("photo", count, seed=EVALUATION_SEED), "photo", g.resolution)
    generated = g.synthesis(g.mapping(z, psi), "const").clamp(-1, 1)
    sets = {"generated": generated, "rendered": to_float(rendered.to(device))}
    return {name: float(psnr(g.synthesis(encoder(x), "const"), x).median()) for name, x in sets.items()}
