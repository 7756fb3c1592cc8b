"""A live view of a training run."""

from __future__ import annotations

from collections.abc import Mapping

import ipywidgets as w
from IPython.display import display as show
from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.networks import Generator
from stylegan2.panels.panel import LIVE_QUALITY, StaticAndLive, jpeg_bytes
from stylegan2.trainer import Trainer


class TrainingMonitor:
    """The same latents at every sample (a timeline), and the losses so far; interrupting the kernel saves and returns.

    `columns`: fixed latents to follow; `most`: rows to keep, evenly spread over the run.
    """

    def __init__(self, columns: int = 8, most: int = 7):
        self.columns, self.most = columns, most
        self.samples: dict[int, Tensor] = {}  # images seen -> uint8 [columns, 3, R, R]
        self.image = w.Image(format="jpeg")
        self.status = w.HTML("waiting for the first samples")
        self.box = w.VBox([self.status, self.image])

    def on_sample(self, trainer: Trainer, images: Tensor) -> None:
        """Add a row to the timeline."""
        self.samples[trainer.images_seen] = display.to_uint8(images[: self.columns]).cpu()
        self.image.value = jpeg_bytes(self.picture(), LIVE_QUALITY)

    def on_log(self, trainer: Trainer, values: Mapping[str, float]) -> None:
        """Refresh the line of numbers."""
        left = (trainer.config.images - trainer.images_seen) / max(values["images_per_second"], 1e-9)
        self.status.value = (
            f"{trainer.images_seen:,} of {trainer.config.images:,} images, {values['images_per_second']:.0f} a second, "
            f"about {max(0, left):.0f} s left · ADA p {values['augment_p']:.2f} · loss G {values['loss_g']:.2f}, "
            f"D {values['loss_d']:.2f} · interrupt the kernel to stop and save"
        )

    def picture(self) -> Image.Image:
        """The timeline: a row per sample, oldest on top."""
        seen = sorted(self.samples)
        chosen = sorted({seen[round(i * (len(seen) - 1) / max(1, self.most - 1))] for i in range(self.most)})
        scale = 1 if self.samples[seen[0]].shape[-1] > 64 else 2
        return display.rows({f"{n:,}": self.samples[n] for n in chosen}, scale)

    def run(self, trainer: Trainer) -> Generator:
        """Show the monitor, train, leave the finished timeline as a static picture; returns `g_ema`."""
        blank = Image.new("RGB", (8, 8), display.PAPER)
        handle = show(StaticAndLive(self.box, blank), display_id=True)
        g_ema = trainer.run(self.on_log, self.on_sample, progress=False)
        if handle is not None and self.samples:
            handle.update(StaticAndLive(self.box, self.picture()))
        return g_ema
