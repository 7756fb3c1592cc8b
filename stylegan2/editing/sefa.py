"""SeFa: directions in W from the weights alone, in closed form (arXiv 2007.06600).

A step n in w changes the styles of a layer by A n, where A is the weight of the layer's `affine`. The steps of length 1
that change them most are the eigenvectors of A'A with the largest eigenvalues (equations 4 to 6). For several layers at
once their weights are stacked.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylegan2.editing.directions import Directions, first
from stylegan2.editing.layers import parse_layers
from stylegan2.networks import Generator


def style_weights(g: Generator, layers: str | Sequence[int] = "all", to_rgb: Sequence[int] = ()) -> Tensor:
    """A: the weights of the affine layers that make the styles of the chosen convolutions, [C, w_dim] (float64, CPU).

    Without the gain of the equalised learning rate, which only scales the eigenvalues. The last code drives no
    convolution, only the last tRGB, and adds no rows. `to_rgb`: resolutions whose tRGB weights are added at the end:
    [4] in the original code, which does not normalise; the image's own in the authors' code, when all layers are
    chosen.

    Raises ValueError for layers or resolutions that the model does not have, or no convolution among the layers.
    """
    convs = g.synthesis.convs
    chosen = [convs[i].affine for i in parse_layers(layers, g.num_ws) if i < len(convs)]
    if not chosen:
        last = len(convs)
        raise ValueError(f"layers {layers!r}: code {last} drives the last tRGB alone; expected some of 0 to {last - 1}")
    if not set(to_rgb) <= set(g.synthesis.resolutions):
        raise ValueError(f"to_rgb {list(to_rgb)}: expected some of the resolutions {g.synthesis.resolutions}")
    chosen += [g.synthesis.blocks[str(r)].to_rgb.affine for r in to_rgb]
    return torch.cat([affine.weight.detach().cpu().double() for affine in chosen])


def factorize(
    g: Generator,
    layers: str | Sequence[int] = "all",
    normalise: bool = True,
    count: int | None = None,
    to_rgb: Sequence[int] = (),
) -> Directions:
    """The directions that change the styles of the chosen layers most, those with the largest eigenvalue first.

    They are the right singular vectors of A; the eigenvalues are the squared singular values. `layers`: which weights
    to factorise and which codes to move, see `parse_layers`. normalise: bring every row of A (one style's weights) to
    length 1 first, as the authors' code does; False: the equation as in the paper. count: how many to keep; None: all
    of them. `to_rgb`, and errors: see `style_weights`.
    """
    a = style_weights(g, layers, to_rgb)  # [C, w_dim]
    if normalise:
        a = a / a.norm(dim=1, keepdim=True).clamp_min(1e-12)
    _, sizes, vectors = torch.linalg.svd(a, full_matrices=False)  # [K], [K, w_dim]
    settings = {"normalise": normalise} | ({"to_rgb": list(to_rgb)} if to_rgb else {})
    return first(g, vectors, sizes.square(), layers, count, method="sefa", **settings)
