"""Text-guided latent optimisation (StyleCLIP, arXiv 2103.17249, section 4), and *strength* (arXiv 2106.12445).

    edit = optimise(g, clip, ws, EditConfig("red hair", neutral="brown hair"))
    images = g.synthesis(edit.at(1.5), "const")  # 1: the edit; more: exaggerated; below 0: the opposite

A code w0 in W+ is moved to w1, in whose image CLIP sees the text. `w0 + strength (w1 - w0)` then goes along the line
through both, in any generator that was fine-tuned from this one. With `together`, many codes are moved by one offset:
what would fool CLIP differs from face to face and averages out, so the edit also fits other faces (`TextEdit.onto`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2.data.roughen import roughen
from stylegan2.editing import figures
from stylegan2.editing.latents import render
from stylegan2.editing.layers import parse_layers
from stylegan2.editing.optimise import LatentSearch, Result, check_settings
from stylegan2.networks import Generator
from stylegan2.published.clip_model import ClipModel

FORMAT = "stylegan2 text edit"
PLAIN = "a face"  # what all images show
IMPROVES = 1e-3  # a mean loss that falls by less in `patience` steps has converged


@dataclass(frozen=True)
class EditConfig:
    """What to change, and how. Raises ValueError for an empty text, or numbers that cannot work."""

    text: str  # what the image should show: "red hair", "a person with a big smile"
    neutral: str | None = None  # what it shows now, e.g. "brown hair": it is moved from this to `text`
    steps: int = 40  # of Adam, at most
    lr: float = 0.1  # step size in units of w, at its highest
    l2: float = 0.0005  # weight of the squared distance to the first code, summed over layers and components
    keep: float = 0.0  # weight of what CLIP sees change besides the text, see `TextLoss`
    layers: str | tuple[int, ...] = "all"  # which codes may move: a preset or numbers, see `parse_layers`
    space: Literal["w+", "w"] = "w+"  # every layer's code moves by itself; or all alike, which stays nearer to faces
    together: bool = False  # one offset for all codes, instead of one for each
    views: int = 1  # slightly moved, softened, noisy copies that CLIP looks at in every step; 0: the image as it is.
    # What only one exact picture shows is no edit (the random views of arXiv 2106.14843)
    patience: int = 10  # stop when the mean loss of so many steps is no lower than that of as many before; 0: never

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("the text is empty: expected what the image should show, such as 'red hair'")
        check_settings(self, "l2", "keep", "views", "patience")
        if self.neutral is not None and self.neutral.strip() == self.text.strip():
            raise ValueError(f"text and neutral text are both {self.text!r}: there is no direction between them")


@dataclass(frozen=True)
class TextEdit(Result):
    """A finished edit: where it began, where it ended, and every code on the line through both.

    Rows of `history`: {"step", "loss", "similarity" (mean cosine of image and text), "moved" (root mean square distance
    from the start)}; `stopped` is "done", "converged" (early stop) or "interrupted".
    """

    format, settings = FORMAT, EditConfig
    refusal = "is no text edit: expected a file that `edit --latents` wrote"

    config: EditConfig
    start: Tensor  # codes ws [N, L, w_dim] before ...
    end: Tensor  # ... and after

    def at(self, strength: float) -> Tensor:
        """start + strength (end - start): 0 the original, 1 the optimised code; above exaggerates, below 0 opposes."""
        return torch.lerp(self.start, self.end, float(strength))

    def onto(self, ws: Tensor, strength: float = 1.0) -> Tensor:
        """Other codes, moved as these were: ws [N, L, w_dim] + strength (end - start).

        N is any number after an edit `together`, or of one face; else as many as were optimised. ValueError otherwise.
        """
        way = self.end - self.start
        way = (way[:1] if self.config.together else way).to(ws)
        if ws.shape[-2:] != way.shape[1:] or len(way) not in (1, len(ws)):
            count = "N" if len(way) == 1 else str(len(way))
            raise ValueError(f"codes are {list(ws.shape)}, expected [{count}, {way.shape[1]}, {way.shape[2]}]")
        return ws + float(strength) * way

    def figure(self):
        """Plots of the loss, of image and text, and of the way gone (matplotlib)."""
        names = {"loss": ["loss"], "cosine of image and text": ["similarity"], "distance from the start": ["moved"]}
        return figures.curves(self.history, names, "step", "step")


class TextLoss:
    """How far images are from a text, as CLIP sees it, and from what they were: [N].

        (1 - cos(image, text)) + keep |across|^2

    The first part is equation 1 of arXiv 2103.17249. The second replaces its identity term, whose network knows only
    photographs: `across` is how far the image's vector has moved since the first image, without its part along the
    text's own direction (what it says beyond "a face"). A neutral text replaces both by the direction from it.
    """

    def __init__(self, clip: ClipModel, config: EditConfig, images: Tensor):
        self.clip, self.views, self.keep, self.first = clip, config.views, config.keep, images.detach()
        self.text = self.goal = clip.encode_texts(config.text)  # [1, E]
        if config.neutral is None:
            plain = clip.encode_texts(PLAIN)
            self.way = F.normalize(self.text - (self.text * plain).sum() * plain, dim=1)
        else:
            self.goal = self.way = F.normalize(self.text - clip.encode_texts(config.neutral), dim=1)

    def __call__(self, images: Tensor, step: int = 0, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """-> the loss and the cosine of image and text, [N] each. `step` chooses the views, `part` the first images."""
        now = embed_views(self.clip, images, self.views, step)  # [V, N, E]
        loss = 1 - (now * self.goal).sum(2)
        if self.keep:
            with torch.no_grad():  # through the same views: what a view does to an image is no change
                before = embed_views(self.clip, self.first[part], self.views, step)
            change = now - before
            across = change - (change * self.way).sum(2, keepdim=True) * self.way
            loss = loss + self.keep * across.square().sum(2)
        return loss.mean(0), (now * self.text).sum(2).mean(0).detach()


def embed_views(clip: ClipModel, images: Tensor, views: int, step: int) -> Tensor:
    """CLIP's unit vectors of V views of the images, seeded by `step`; of 0 views, of the images: [V or 1, N, E]."""
    if not views:
        return clip.encode_images(images)[None]
    rng = torch.Generator(images.device).manual_seed(step)
    points = images.new_zeros(len(images), 1, 2)
    seen = [roughen(images, points, rng, shared=True)[0] for _ in range(views)]
    return clip.encode_images(torch.cat(seen)).unflatten(0, (views, -1))


def check_words(clip: ClipModel, config: EditConfig) -> list[str]:
    """Words of an edit's texts that CLIP never saw. Raises ValueError for a text that says nothing to it."""
    texts = [text for text in (config.text, config.neutral) if text is not None]
    for text in texts:
        clip.check_text(text)
    return list(dict.fromkeys(word for text in texts for word in clip.unknown_words(text)))


class Optimisation(LatentSearch):
    """A text edit under way, step by step.

    Unless they are moved together, every code is optimised by itself, up to rounding and an early stop, which looks at
    the mean. The codes ws [N, L, w_dim] may be truncated: nothing is afterwards. `images`, [N, 3, R, R], are those of
    the last row of `history`, with fixed noise.

    Raises ValueError for wrong shapes, layers that g does not have, or a text of which CLIP knows no word.
    """

    def __init__(self, g: Generator, clip: ClipModel, ws: Tensor, config: EditConfig):
        check_words(clip, config)
        self.start = ws.detach().float()
        chosen = parse_layers(config.layers, g.synthesis.num_ws)
        self.chosen = torch.tensor(chosen, device=ws.device)
        rows, offsets = len(chosen) if config.space == "w+" else 1, 1 if config.together else len(ws)
        self.moved = torch.zeros(offsets, rows, g.w_dim, device=ws.device, requires_grad=True)
        super().__init__(g, clip, config, len(ws), [self.moved])
        self.images = render(g, self.start, batch=len(ws))
        self.loss = TextLoss(clip, config, self.images)

    @property
    def codes(self) -> Tensor:
        """The codes by now, ws [N, L, w_dim]."""
        moved = self.moved.expand(len(self.start), len(self.chosen), -1)
        return self.start.index_add(1, self.chosen, moved)

    @property
    def stopped(self) -> str:
        """Why there is nothing left to do ("done", "converged"), or ""."""
        return super().stopped or "converged" * _converged(self.history, self.config.patience)

    def _backward(self, part: slice, number: int) -> tuple[Tensor, ...]:
        images = self.g.synthesis(self.codes[part], "const")
        loss, similarity = self.loss(images, number, part)
        distance = (self.codes[part] - self.start[part]).square().sum((1, 2))
        total = loss + self.config.l2 * distance
        total.sum().backward()
        return total.detach(), similarity, distance.detach(), images.detach()

    def _row(self, total: Tensor, similarity: Tensor, distance: Tensor, images: Tensor) -> dict[str, float]:
        self.images = images
        row = {"loss": total.mean(), "similarity": similarity.mean(), "moved": distance.mean().sqrt()}
        return {name: float(value) for name, value in row.items()}

    def edit(self, stopped: str = "") -> TextEdit:
        """The result by now."""
        ended = {"history": list(self.history), "stopped": stopped or self.stopped}
        return TextEdit(self.config, self.start, self.codes.detach(), **ended)


def optimise(g: Generator, clip: ClipModel, ws: Tensor, config: EditConfig, **run: Any) -> TextEdit:
    """Move codes until CLIP sees a text in their images (see `TextLoss`); arguments and errors as of `Optimisation`.

    An interruption (the kernel's stop button, Ctrl-C) ends it early and keeps what there is. `on_step` and `progress`
    as those of its `run`.
    """
    search = Optimisation(g, clip, ws, config)
    return search.edit(search.run(config.text, **run))


def _converged(history: Sequence[dict[str, float]], patience: int) -> bool:
    """Has the mean loss of the last `patience` steps not improved on that of as many before? (Views make one noisy.)"""
    if not patience or len(history) < 2 * patience:
        return False
    losses = [row["loss"] for row in history[-2 * patience :]]
    return sum(losses[patience:]) > sum(losses[:patience]) - IMPROVES * patience
