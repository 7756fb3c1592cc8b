"""Your photo as a cartoon: its codes, found in the source model, rendered by models that were fine-tuned from it.

    ws, outside, stopped = find_codes(source, photos, distance, encoder)
    cartoons = cartoonize(source, {"webtoon": webtoon}, ws, swap_resolution=16)

Dials say from which resolution on a cartoon model renders, and how far its weights are blended into the source's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.editing.encoder import Encoder
from stylegan2.editing.latents import check_fits, in_parts, render, slices
from stylegan2.editing.layer_swapping import swap, swap_images
from stylegan2.editing.optimise import INTERRUPTED
from stylegan2.editing.projection import ProjectConfig, Projection, project
from stylegan2.networks import Generator
from stylegan2.runtime import how_many_fit

STEPS = 100
AGAIN = "drawn again"  # title of what the source renders of the codes
CLOSE = ProjectConfig(STEPS, stir=0.0, l2=0.02)  # one code per layer, held near the encoder's answer
CAREFUL = ProjectConfig(STEPS, space="w", l2=2.0)  # one code, held near the mean face
ENCODING = 200  # bytes that the encoder takes for each byte of a photo (config-f, counted for docs/full_scale.md)


@torch.no_grad()
def is_outside(source: Generator, photos: Tensor, distance, encoder: Encoder | None) -> Tensor:
    """Do photos [N, 3, R, R] in [-1, 1] come from a world that the model does not know? bool [N].

    Then even the rough likeness of the encoder's answer is wrong (`far` of the perceptual distance), and a free search
    would find codes that render smears, in every style. Without an encoder all photos count as known.
    """
    if encoder is None:
        return torch.zeros(len(photos), dtype=torch.bool)

    def to_answer(part: slice) -> Tensor:
        return distance(source.synthesis(encoder(photos[part]), "const"), distance.of(photos[part]))

    return (in_parts(source.synthesis, len(photos), to_answer) > distance.far).cpu()


@torch.no_grad()
def encode(encoder: Encoder, photos: Tensor) -> Tensor:
    """The encoder's codes of any number of photos: [N, 3, R, R] -> ws [N, L, w_dim]."""
    at_once = how_many_fit(len(photos), ENCODING * photos[0].nbytes, photos.device)
    return torch.cat([encoder(photos[part]) for part in slices(len(photos), at_once)])


def settings(outside: bool, encoded: bool, steps: int = STEPS, known: ProjectConfig | None = None) -> ProjectConfig:
    """How to look for codes: as `CAREFUL` says where photos are `outside` of the known world.

    Else as `known` says; None: `CLOSE`, held near nothing where no encoder gives the first codes (`encoded`).
    """
    steps = max(1, steps)
    if outside:
        return replace(CAREFUL, steps=steps, l2=(known and known.l2) or CAREFUL.l2)
    return replace(known or (CLOSE if encoded else replace(CLOSE, l2=0.0)), steps=steps)


def first_codes(encoder: Encoder | None, photos: Tensor, outside: bool) -> Tensor | None:
    """Where a search begins, ws [N, L, w_dim]; None: at the mean face, without an encoder or in an unknown world."""
    return None if outside or encoder is None else encode(encoder, photos)


def search(
    source: Generator, photos: Tensor, distance, encoder: Encoder | None, outside: Tensor, steps=STEPS, known=None
) -> dict[int, Projection]:
    """Look for the codes of photos of the known world, then for those of unknown ones, each as `settings` says.

    `outside` is the answer of `is_outside`; `steps` are those of each search, 0: the encoder's answer as it is
    (ValueError without one), `known` is for `settings`.

    Returns {number of a photo: its codes [1, L, w_dim]}; Ctrl-C ends all of it, then some are missing.
    """
    if not steps and encoder is None:
        raise ValueError("steps is 0 and there is no encoder: nothing would be looked for; give steps, or an encoder")
    if not steps:
        codes = encode(encoder, photos).split(1)
        return {i: Projection(known or CLOSE, ws, stopped="encoder only") for i, ws in enumerate(codes)}
    projections: dict[int, Projection] = {}
    for far in (False, True):
        these = (outside == far).nonzero()[:, 0].tolist()
        if these:
            start = first_codes(encoder, photos[these], far)
            together = project(source, photos[these], distance, settings(far, encoder is not None, steps, known), start)
            projections |= {i: replace(together, ws=together.ws[k : k + 1]) for k, i in enumerate(these)}
            if together.stopped == INTERRUPTED:
                break
    return dict(sorted(projections.items()))


def find_codes(
    source: Generator, photos: Tensor, distance, encoder=None, steps: int = STEPS, outside: Tensor | None = None
) -> tuple[Tensor, Tensor, bool]:
    """ws [N, L, w_dim] that render photos, in other models too; `outside`; whether Ctrl-C stopped the search.

    The photos left then keep what they began with. `outside` None: of `is_outside`; other arguments and errors as those
    of `search`.
    """
    outside = is_outside(source, photos, distance, encoder) if outside is None else outside
    projections = search(source, photos, distance, encoder, outside, steps)
    ws = source.mapping.mean_ws.expand(len(photos), -1, -1) if encoder is None else encode(encoder, photos)
    ws = torch.cat([projections[i].ws if i in projections else ws[i : i + 1] for i in range(len(photos))])
    return ws, outside, any(one.stopped == INTERRUPTED for one in projections.values())


@torch.no_grad()
def cartoonize(
    source: Generator, styles: Mapping[str, Generator], ws: Tensor, swap_resolution=4, width=0.0, strength=1.0
) -> dict[str, Tensor]:
    """The same codes ws [N, L, w_dim] in every style: {style: [N, 3, R, R] in about [-1, 1]}.

    `source` and `styles`, fine-tuned from it, by name. The dials are those of `layer_swapping.swap`: below
    `swap_resolution` the photo's structure stays. Raises ValueError for what does not fit, or impossible dials.
    """
    check_fits(source, ws, "source")
    if strength == 1 and width == 0:  # no model is copied
        return {name: swap_images(source, style, ws, swap_resolution) for name, style in styles.items()}
    return {
        name: render(swap(source, style, swap_resolution, width, strength=strength), ws, batch=len(ws))
        for name, style in styles.items()
    }


def sheet(
    photos: Tensor, rendered: Tensor, cartoons: Mapping[str, Tensor], side=192, seen=None, notes: Sequence[Mapping] = ()
) -> Image.Image:
    """A row for each photo: the photo, what the source renders of it, and every style; names above.

    Images are [N, 3, R, R] in [-1, 1], faces at least `side` pixels large. seen: the whole photos, see
    `photos.Portrait`, a column at the left; None: without. notes: for each photo {column: words below its picture}.
    """
    columns = {
        name: [display.to_pil(image, side=side) for image in display.to_uint8(images)]
        for name, images in {"photo": photos, AGAIN: rendered, **cartoons}.items()
    }
    if seen is not None and any(seen):
        columns = {"what was taken": [display.fitted(picture, columns["photo"][0].width) for picture in seen]} | columns
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    for i, words in reversed(list(enumerate(notes))):
        width = columns["photo"][0].width
        rows.insert(i + 1, [display.note(words[name], width) if words.get(name) else None for name in columns])
    return display.table(rows, list(columns), gap=(4, 2), band=22)
