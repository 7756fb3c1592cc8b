"""Your photo as a cartoon: its codes, found in the source model, drawn by models that were fine-tuned from it.

    found = project(source, photo, looks, start=encoder(photo))
    cartoons = cartoonize(source, {"webtoon": webtoon}, found.ws, swap_resolution=16)

Two dials: from which resolution on the cartoon model draws (below it, the photo's own structure stays), and how much of
it (its weights blended into the source's).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.editing.latents import check_fits
from stylegan2.editing.layer_swapping import swap
from stylegan2.networks import Generator


@torch.no_grad()
def cartoonize(
    source: Generator,
    styles: Mapping[str, Generator],
    ws: Tensor,
    swap_resolution: int = 4,
    width: float = 0.0,
    strength: float = 1.0,
) -> dict[str, Tensor]:
    """The same codes in every style.

    Args:
        source: the model that the codes were found in.
        styles: models fine-tuned from it, by name.
        ws: [N, L, w_dim].
        swap_resolution: the first resolution that a style draws; 4: all of them.
        width, strength: see `layer_swapping.swap`.

    Returns:
        {style: [N, 3, R, R] in about [-1, 1]}.

    Raises:
        ValueError: codes or models that do not fit each other, or impossible dials.
    """
    check_fits(source, ws, "source")
    return {
        name: swap(source, style, swap_resolution, width, strength=strength).synthesis(ws, "const")
        for name, style in styles.items()
    }


def sheet(photos: Tensor, drawn: Tensor, cartoons: Mapping[str, Tensor], side: int = 192) -> Image.Image:
    """A row for each photo: the photo, what the source draws of it, and every style; names above.

    Args:
        photos, drawn: [N, 3, R, R] in [-1, 1].
        cartoons: of `cartoonize`.
        side: of a face in pixels, at least.
    """
    columns = {"photo": photos, "its codes": drawn, **cartoons}
    scale = max(1, side // photos.shape[-1])
    return display.beside([display.label(display.grid(x.cpu(), 1, scale), name) for name, x in columns.items()])
