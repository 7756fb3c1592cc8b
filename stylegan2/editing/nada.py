"""A style from one sentence (StyleGAN-NADA, arXiv 2108.00946): CLIP alone says where the pictures should go.

    learning = Learning(source, [clip], NadaConfig("webtoon drawing", source="photo"))
    for row in learning: ...               # numbers of every iteration; learning.style is the generator by now
    cartoonize(source, {"webtoon": learning.best}, photo_ws, strength=0.8)

No picture of the target is needed. With E for CLIP's unit vectors, G0 for the frozen source, and G for its copy that
learns, the way of a picture is to have the direction of the way between two texts (the paper's section 4.1):

    dT = E(text) - E(source text)        dI = E(G(w)) - E(G0(w))        loss = 1 - dI dT / (|dI| |dT|)

Not all of G learns. Before an iteration the codes of some faces are moved towards the text for a step, each layer's by
itself; the layers whose codes move most are those that matter to the text, and only their convolutions learn (the
paper's section 4.2). The mapping and the tRGB layers never do.

Other than in the paper: |dI| in the loss counts as at least `reach` |dT|. A direction alone says nothing about how far,
and at the start, where dI = 0, its gradient is without bounds: Adam would remember it for a thousand steps. CLIP looks
at slightly changed copies of both pictures (`views`), and layers are chosen every few iterations, not in each. And the
learning stops itself: on faces that it does not learn from, `Learning.measure` says how far they have come, and how
different they still are. Without an adversary nothing else keeps them from becoming one face.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2.bars import bar
from stylegan2.editing.latents import render, slices
from stylegan2.editing.layers import parse_layers
from stylegan2.editing.optimise import frozen
from stylegan2.editing.styleclip import embed_views
from stylegan2.inputs import step_generator
from stylegan2.networks import Generator
from stylegan2.published.clip_model import ClipModel
from stylegan2.runtime import images_at_once
from stylegan2.setting_types import check_types

TEMPLATES = ("a {}", "a {} of a face", "a {} of a person", "a {} of someone", "a {} of a man or woman")
PROBED = 8  # faces whose codes are moved, to see which layers matter
HELD_OUT = 32  # faces that are measured and never learnt from
OTHER_SEEDS = 1_000_000  # what is added to the seed for those, so that no step samples them


@dataclass(frozen=True)
class NadaConfig:
    """What to learn from a text, and how. Raises ValueError for empty or equal texts, or numbers that cannot work."""

    text: str  # what the pictures should be: "webtoon drawing"
    source: str = "photo"  # what the source's pictures are
    iterations: int = 300  # steps of Adam, at most
    lr: float = 2e-3  # step size, the paper's
    batch: int = 4  # faces of an iteration
    layers: str = "auto"  # which convolutions learn: chosen on the way, or numbers such as 3-8
    share: float = 1.0  # of the convolutions, where chosen; the paper: all for a style, two thirds for new shapes
    choose_every: int = 10  # iterations between two choices; the paper: 1
    colours: bool = False  # the tRGB layers learn, too; the paper: never
    reach: float = 1.0  # how far the pictures must move at least, in lengths of the texts' way
    views: int = 1  # slightly changed copies that CLIP looks at; 0: the pictures as they are
    check_every: int = 20  # iterations between two measurements
    least_variety: float = 0.6  # of the faces, 1 being the source's: with less, the learning stops
    seed: int = 0  # of the faces

    def __post_init__(self) -> None:
        check_types(self)
        if not self.text.strip() or not self.source.strip() or self.text.strip() == self.source.strip():
            raise ValueError(
                f"the texts are {self.text!r} and, of the source, {self.source!r}: expected two that differ, such as "
                "'webtoon drawing' and 'photo'"
            )
        counts = {name: getattr(self, name) for name in ("iterations", "batch", "choose_every", "check_every")}
        if min(counts.values()) < 1 or not 0 < self.lr < 1 or self.views < 0:
            given = ", ".join(f"{name} {value}" for name, value in counts.items())
            raise ValueError(
                f"{given}, lr {self.lr:g}, views {self.views}: expected at least 1 each, an lr between 0 and 1, "
                "and no fewer views than 0"
            )
        if not 0 < self.share <= 1 or self.reach <= 0 or not 0 <= self.least_variety < 1:
            raise ValueError(
                f"share is {self.share:g}, reach {self.reach:g}, least_variety {self.least_variety:g}: expected a "
                "share above 0 and at most 1, a reach above 0, and a least variety from 0 to below 1"
            )


def encode_text(clip: ClipModel, text: str) -> Tensor:
    """The mean of CLIP's unit vectors of a text in all `TEMPLATES`, [E]."""
    return clip.encode_texts([template.format(text) for template in TEMPLATES]).mean(0)


class DirectionalLoss:
    """1 - cosine of the ways of pictures and of texts, see above: 0 where they agree, 1 where nothing moved, 2 where
    the pictures go the other way.

    Raises ValueError for a text that says nothing to this CLIP.
    """

    def __init__(self, clip: ClipModel, config: NadaConfig):
        for text in (config.text, config.source):
            clip.check_text(text)
        self.clip, self.views, self.goal = clip, config.views, encode_text(clip, config.text)
        way = self.goal - encode_text(clip, config.source)
        self.way, self.least = F.normalize(way, dim=0), config.reach * float(way.norm())

    def __call__(self, images: Tensor, before: Tensor, step: int = 0) -> Tensor:
        """Of images [N, 3, R, R] and what they were, [N]; `step` chooses the views, the same for both."""
        with torch.no_grad():
            start = embed_views(self.clip, before, self.views, step)
        return self.of(embed_views(self.clip, images, self.views, step) - start).mean(0)

    def of(self, moved: Tensor) -> Tensor:
        """Of ways in CLIP's space, [..., E] -> [...]."""
        return 1 - moved @ self.way / moved.norm(dim=-1).clamp_min(self.least)

    def to_text(self, images: Tensor, step: int = 0) -> Tensor:
        """1 - cosine of images and the text itself, [N]: the paper's global loss, with which layers are chosen."""
        return (1 - F.cosine_similarity(embed_views(self.clip, images, self.views, step), self.goal, dim=-1)).mean(0)


def layer_moves(g: Generator, losses: Sequence[DirectionalLoss], ws: Tensor, step: int = 0) -> Tensor:
    """How far a step of gradient descent towards the text moves the code of each convolution of g, on the mean of some
    faces ws [N, L, w_dim]; in units of the step, [L - 1]: the last code drives a tRGB only."""
    ws = ws.detach().clone().requires_grad_(True)
    with frozen(g, *(loss.clip for loss in losses)):
        images = g.synthesis(ws, "const")
        (moved,) = torch.autograd.grad(sum(loss.to_text(images, step).sum() for loss in losses), ws)
    return moved.abs().mean((0, 2))[: len(g.synthesis.convs)]


def variety(seen: Tensor) -> float:
    """How different faces are to CLIP: the mean distance of any two of its vectors [N, E]."""
    return float(torch.pdist(seen).mean())


class Learning:
    """A copy of the source that learns from a text; iterating it learns, and yields a row after each iteration.

    Args:
        source: stays as it is.
        clips: one, or several whose losses are averaged.

    Attributes:
        style: the generator by now. best: as it was when it came nearest to the text, before variety was lost.
        history: rows {"step", "loss"}, and from time to time {"similarity", "variety"} of `measure`, "layers" (a text).
        collapsed: did the learning stop for want of variety?

    Raises ValueError for layers that the source does not have, or a text that says nothing to a CLIP.
    """

    def __init__(self, source: Generator, clips: Sequence[ClipModel], config: NadaConfig):
        self.source, self.config = source, config
        self.losses = [DirectionalLoss(clip, config) for clip in clips]
        convs = len(source.synthesis.convs)
        self.fixed = None if config.layers == "auto" else list(parse_layers(config.layers, convs))
        self.count = math.ceil(config.share * convs)
        self.style = copy.deepcopy(source).requires_grad_(False)
        self.best, self.best_row = source, {"similarity": 0.0, "variety": 1.0}
        self.history: list[dict] = []
        self.collapsed = False
        self.faces = self._faces(HELD_OUT, OTHER_SEEDS)
        images = render(source, self.faces)
        with torch.no_grad():
            self.before = [loss.clip.encode_images(images) for loss in self.losses]

    @torch.no_grad()
    def _faces(self, count: int, step: int) -> Tensor:
        z = torch.randn(count, self.source.z_dim, generator=step_generator(self.config.seed, step))
        return self.source.mapping(z)

    def __iter__(self) -> Iterator[dict]:
        config = self.config
        optimiser = torch.optim.Adam(self.style.synthesis.parameters(), config.lr)
        for step in range(config.iterations):
            if self.fixed is None and step % config.choose_every == 0:
                probed = self._faces(PROBED, OTHER_SEEDS + 1 + step)
                moves = layer_moves(self.style, self.losses, probed, step)
                chosen = sorted(moves.topk(self.count).indices.tolist())
            layers = chosen if self.fixed is None else self.fixed
            row = {"step": step, "loss": self._learn(optimiser, layers, step)}
            self.history.append(row)
            if (step + 1) % config.check_every == 0 or step + 1 == config.iterations:
                row |= {"layers": ",".join(map(str, layers))}
                self.check()
            yield row
            if self.collapsed:
                return

    def _learn(self, optimiser: torch.optim.Optimizer, layers: Sequence[int], step: int) -> float:
        """One step of Adam for some of the convolutions; returns the loss."""
        ws, synthesis, losses = self._faces(self.config.batch, step), self.style.synthesis, []
        optimiser.zero_grad(set_to_none=True)  # Adam leaves what has no gradient as it is
        try:
            for layer in layers:
                synthesis.convs[layer].requires_grad_(True)
            for block in synthesis.blocks.values():
                block.to_rgb.requires_grad_(self.config.colours)
            with frozen(*(loss.clip for loss in self.losses)):
                for part in slices(len(ws), images_at_once(synthesis, len(ws), graph=True)):
                    with torch.no_grad():
                        before = self.source.synthesis(ws[part], "const")
                    images = synthesis(ws[part], "const")
                    each = torch.stack([loss(images, before, step) for loss in self.losses]).mean(0)
                    (each.sum() / len(ws)).backward()
                    losses.append(each.detach())
            optimiser.step()
        finally:  # Ctrl-C may come within a step
            self.style.requires_grad_(False)
        return float(torch.cat(losses).mean())

    @torch.no_grad()
    def measure(self, g: Generator) -> dict[str, float]:
        """On faces that are never learnt from: {"similarity": 1 - loss, without views; "variety": 1 as the source}."""
        images, numbers = render(g, self.faces), []
        for loss, before in zip(self.losses, self.before, strict=True):
            seen = loss.clip.encode_images(images)
            numbers.append((1 - float(loss.of(seen - before).mean()), variety(seen) / variety(before)))
        near, varied = (sum(each) / len(numbers) for each in zip(*numbers, strict=True))
        return {"similarity": near, "variety": varied}

    def check(self) -> None:
        """Measure the style into the last row, and keep it if it is the best by now."""
        row = self.measure(self.style)
        self.history[-1] |= row
        self.collapsed = row["variety"] < self.config.least_variety
        if not self.collapsed and row["similarity"] > self.best_row["similarity"]:
            self.best, self.best_row = copy.deepcopy(self.style), self.history[-1]

    def keep(self) -> None:
        """Measure what was learnt since the last measurement, for a learning that is stopped."""
        if self.history and "variety" not in self.history[-1]:
            self.check()

    def describe(self) -> str:
        """What was kept, in words."""
        kept, done = self.best_row, len(self.history)
        if "step" not in kept:
            return f"nothing was kept: {done} iterations brought no faces nearer to the text that differ enough"
        numbers = f"similarity {kept['similarity']:.2f}, variety {kept['variety']:.2f}"
        why = " (stopped: faces became alike)" * self.collapsed
        return f"{numbers}, after {kept['step'] + 1} of {done} iterations{why}"


def learn(source: Generator, clips: Sequence[ClipModel], config: NadaConfig, progress: bool = True) -> Learning:
    """All of a learning, or, after Ctrl-C, what there was by then. Arguments and errors as those of `Learning`."""
    learning = Learning(source, clips, config)
    try:
        with bar(learning, config.text, "step", progress, total=config.iterations) as shown:
            for row in shown:
                shown.set_postfix(loss=f"{row['loss']:.2f}", refresh=False)
    except KeyboardInterrupt:
        learning.keep()
    return learning
