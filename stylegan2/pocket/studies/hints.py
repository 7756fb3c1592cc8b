"""Two ways to webtoons that see one picture of them, or none: rows of the scoreboard beside the transfer methods.

A drawing is a rendered face that no model has seen, another one for each seed. The sentence is known to the tiny CLIP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from stylegan2 import checkpoints
from stylegan2.editing.encoder import load_encoder
from stylegan2.editing.jojogan import StyleConfig, invert, stylize
from stylegan2.editing.nada import NadaConfig, learn
from stylegan2.networks import Generator
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import to_float
from stylegan2.pocket.nets.perceptual import distance_for
from stylegan2.published.clip_model import ClipModel

DRAWINGS_SEED = 970_000  # of faces that nothing was trained on
WAYS: dict[str, StyleConfig | NadaConfig] = {
    "one drawing": StyleConfig(iterations=200, keep_colours=True),
    "one drawing, its colours": StyleConfig(iterations=200),
    "one sentence": NadaConfig("webtoon drawing", iterations=80, check_every=10),
}


HELPERS = {StyleConfig: "encoder.pt", NadaConfig: "clip.pt"}  # what each needs besides source and judge


def needs(methods: Sequence, photo: Path) -> list[Path]:
    """What the ways of WAYS among some methods need: files beside the source's, `photo`."""
    return [photo.with_name(HELPERS[type(method)]) for method in methods if type(method) in HELPERS]


def make(way: StyleConfig | NadaConfig, domain: str, seed: int, photo: Path, judge: Path, device) -> Generator:
    """What a way makes of the source."""
    source, config, (helper,) = checkpoints.load(photo, device), replace(way, seed=seed), needs([way], photo)
    if isinstance(config, NadaConfig):
        return learn(source.g_ema, [ClipModel.load(helper, device)], config).best
    g, encoder = source.g_ema, load_encoder(helper, device).encoder
    drawn = drawing(domain, g.resolution, seed).to(device)
    ws = invert(g, drawn, distance_for(g.resolution, judge, device), encoder)
    return stylize(g, source.d, drawn, ws, config)


def drawing(domain: str, side: int, seed: int) -> Tensor:
    """A face that nothing was trained on, [1, 3, side, side] in [-1, 1]."""
    return to_float(world.render(world.sample(domain, 1, seed=DRAWINGS_SEED + seed), domain, side))
