"""From an image to codes that render it: projection (arXiv 1912.04958, section 5 and appendix D), and pivotal tuning.

    projection = project(g, images, distance, start=encoder(images))  # start=None: from the mean face
    rendered = g.synthesis(projection.ws, "const")

The learning rate and the noise that is added to w are as published. The generator's noise images, which are fitted
there too, stay fixed here, so that the codes alone render the face, in every generator fine-tuned from this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from stylegan2.bars import bar
from stylegan2.editing.latents import slices
from stylegan2.editing.optimise import DONE, LatentSearch, Result, check_settings, frozen
from stylegan2.editing.perceptual import psnr
from stylegan2.networks import Generator
from stylegan2.runtime import images_at_once

FORMAT = "stylegan2 projection"
STIR_UNTIL = 0.75  # part of the run after which no more noise is added to w
SPREAD_SAMPLES = 10_000  # codes that give the mean w and how far w lies from it


@dataclass(frozen=True)
class ProjectConfig:
    """How to look for the codes. Raises ValueError for numbers that cannot work."""

    steps: int = 300  # of Adam
    lr: float = 0.1  # step size at its highest
    space: Literal["w", "w+"] = "w+"  # one code for all layers, surely a face; or one for each, nearer to the image
    pixels: float = 1.0  # weight of the mean squared difference of pixels
    perceptual: float = 1.0  # weight of the perceptual distance
    stir: float = 0.05  # noise added to w at the beginning, in spreads of w; it fades with the square of the time
    l2: float = 0.0  # weight of the mean squared distance from the first codes, in spreads of w: for an encoder's start
    shared: bool = False  # for the frames of a film: all of them move from their first codes by one and the same way
    smooth: float = 0.0  # for frames, too: weight of that mean squared distance from the codes of the frame before

    def __post_init__(self) -> None:
        check_settings(self, "pixels", "perceptual", "stir", "l2", "smooth")
        if not self.pixels and not self.perceptual:
            raise ValueError("pixels and perceptual are both 0: nothing would be compared")


@dataclass(frozen=True)
class Projection(Result):
    """Codes of N images."""

    format, settings = FORMAT, ProjectConfig
    refusal = "holds no projection: expected a file that `project` wrote"

    config: ProjectConfig
    ws: Tensor  # [N, L, w_dim]; not truncated, and not to be
    # rows of `history`: {"step", "loss", "psnr" (median, dB)}


def stirring(config: ProjectConfig, step: int) -> float:
    """How much noise is added to w, in spreads of w: falls to 0 with the square of the time left."""
    return config.stir * max(0.0, 1 - step / config.steps / STIR_UNTIL) ** 2


@torch.no_grad()
def spread(g: Generator) -> float:
    """How far w lies from the mean w: root mean squared distance over all components together."""
    rng = torch.Generator().manual_seed(0)
    w = g.mapping.w(torch.randn(SPREAD_SAMPLES, g.z_dim, generator=rng).to(g.mapping.w_mean.device))
    return float((w - w.mean(0)).square().sum(1).mean().sqrt())


class Search(LatentSearch):
    """A projection under way, step by step. Raises ValueError for images or codes of another shape.

    Every image is fitted by itself, up to rounding; not so the frames of a film, with `config.shared` or `smooth`.

    Args:
        images: [N, 3, R, R] in [-1, 1], of the size of g.
        distance: see :mod:`stylegan2.editing.perceptual`.
        start: codes to begin with, [N, L, w_dim]; None: the mean w.
        before: codes [1, L, w_dim] of the frame before the first, for `smooth`.
    """

    def __init__(self, g: Generator, images: Tensor, distance, config: ProjectConfig, start=None, before=None):
        check_images(g, images, start)
        self.images, self.distance = images, distance
        start = g.mapping.mean_ws.expand(len(images), -1, -1) if start is None else start
        start = start.detach().float()
        self.start = start if config.space == "w+" else start.mean(1, keepdim=True)
        self.spread, self.rng = spread(g), torch.Generator().manual_seed(0)
        self.found = (torch.zeros_like(self.start[:1]) if config.shared else self.start.clone()).requires_grad_()
        self.before = None if before is None else before.to(self.start)
        super().__init__(g, distance, config, len(images), [self.found])
        with torch.no_grad():
            self.target = distance.of(images)

    @property
    def ws(self) -> Tensor:
        """The codes by now, one for all layers where `config.space` says so: [N, L or 1, w_dim]."""
        return self.start + self.found if self.config.shared else self.found

    @property
    def codes(self) -> Tensor:
        """The codes by now, ws [N, L, w_dim]."""
        return self.ws.expand(-1, self.g.num_ws, -1)

    def step(self) -> dict[str, float]:
        """One step of Adam; returns its row of `history`."""
        stir = torch.randn(1, 1, self.g.w_dim, generator=self.rng).to(self.ws.device)  # one for all images
        self.stir = stir * (stirring(self.config, len(self.history)) * self.spread / self.g.w_dim**0.5)
        return super().step()

    def _backward(self, part: slice, number: int) -> tuple[Tensor, Tensor]:
        config, images = self.config, self.images[part]
        rendered = self.g.synthesis(self.codes[part] + self.stir, "const")
        loss = config.pixels * (rendered - images).square().mean((1, 2, 3))
        loss = loss + config.perceptual * self.distance(rendered, [features[part] for features in self.target])
        if config.l2:
            loss = loss + config.l2 * self._apart(self.ws[part], self.start[part])
        if config.smooth:
            loss = loss + config.smooth * self._apart(self.ws[part], self._previous()[part])
        loss.sum().backward()
        return loss.detach(), psnr(rendered.detach(), images)

    def _apart(self, a: Tensor, b: Tensor) -> Tensor:
        """Mean squared distance of codes [n, L or 1, w_dim] over layers, in squared spreads of w: [n]."""
        return (a - b).square().sum(2).mean(1) / self.spread**2

    def _previous(self) -> Tensor:
        """The codes of the frame before each; of the first, `before`, or its own: then nothing holds it."""
        first = self.ws[:1] if self.before is None else self.before[:, : self.ws.shape[1]]
        return torch.cat([first, self.ws[:-1]])

    def _row(self, loss: Tensor, decibels: Tensor) -> dict[str, float]:
        return {"loss": float(loss.mean()), "psnr": float(decibels.median())}

    def result(self, stopped: str = DONE) -> Projection:
        """The result by now."""
        return Projection(self.config, self.codes.detach().clone(), history=list(self.history), stopped=stopped)


def project(
    g: Generator, images: Tensor, distance, config: ProjectConfig | None = None, start=None, before=None, **run: Any
) -> Projection:
    """Find codes that render the images. An interruption (stop button, Ctrl-C) ends early and keeps what there is.

    Arguments and errors as those of `Search`; `on_step` and `progress` as those of its `run`.
    """
    search = Search(g, images, distance, config or ProjectConfig(), start, before)
    return search.result(search.run("project", **run))


def tune(
    g: Generator, projection: Projection, images: Tensor, distance, steps: int = 100, lr: float = 1e-3, progress=True
) -> Generator:
    """Pivotal tuning (arXiv 2106.05744, equation 2): a copy of G that renders these very images from the codes found.

    The copy's synthesis network learns by `steps` of Adam. Edits of the codes keep working, and faces far from them
    hardly change. Images, distance and errors as those of `Search`.
    """
    check_images(g, images, projection.ws)
    pairs = projection.ws, images
    learning = learning_steps(g, lambda step: pairs, distance, steps, lr, pixels=1.0)
    *_, (tuned, _) = bar(learning, "tune", "step", progress, total=steps)
    return tuned


def learning_steps(
    g: Generator, pairs: Callable[[int], tuple[Tensor, Tensor]], distance, steps: int, lr: float, pixels: float = 0.0
) -> Iterator[tuple[Generator, dict[str, float]]]:
    """A copy of G whose synthesis network learns to render images from codes, after each step of Adam.

    Args:
        pairs: of the number of a step: codes [N, L, w_dim], and what they should render, [N, 3, R, R] in [-1, 1].
        distance, pixels: a perceptual distance, and the weight of the mean squared difference beside it.

    Yields the copy, always the same, and {"step", "loss", "psnr"}. Raises ValueError for numbers that cannot work.
    """
    if steps < 1 or lr <= 0:
        raise ValueError(f"steps is {steps}, lr {lr:g}: expected steps >= 1, lr > 0")
    tuned = deepcopy(g)
    optimiser = torch.optim.Adam(tuned.synthesis.parameters(), lr)
    for step in range(steps):
        ws, images = pairs(step)
        tuned.synthesis.requires_grad_(True)
        optimiser.zero_grad(set_to_none=True)
        rows = []
        try:
            with frozen(distance):
                for part in slices(len(ws), images_at_once(tuned.synthesis, len(ws), graph=True)):
                    with torch.no_grad():
                        target = distance.of(images[part])
                    rendered = tuned.synthesis(ws[part], "const")
                    error = (rendered - images[part]).square().mean((1, 2, 3))
                    loss = pixels * error + distance(rendered, target)
                    (loss.sum() / len(ws)).backward()
                    rows.append((loss.detach(), psnr(rendered.detach(), images[part])))
            optimiser.step()
        finally:  # Ctrl-C may come within a step
            tuned.requires_grad_(False)
        loss, decibels = map(torch.cat, zip(*rows, strict=True))
        yield tuned, {"step": step, "loss": float(loss.mean()), "psnr": float(decibels.median())}


def check_images(g: Generator, images: Tensor, start: Tensor | None) -> None:
    """Raises ValueError for images that are not g's size, or codes that are not theirs."""
    side = g.resolution
    if images.ndim != 4 or images.shape[1:] != (3, side, side) or not images.is_floating_point():
        raise ValueError(f"images must be float [N, 3, {side}, {side}] in [-1, 1], got {list(images.shape)}")
    if start is not None and start.shape != (len(images), g.num_ws, g.w_dim):
        expected = [len(images), g.num_ws, g.w_dim]
        raise ValueError(f"the first codes must be {expected}, got {list(start.shape)}")
