"""GANSpace: directions in W from samples: the principal components of many w (arXiv 2004.02546, section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from stylegan2.editing.directions import Directions, first
from stylegan2.editing.layers import parse_layers
from stylegan2.networks import Generator, SharedMapping


@torch.no_grad()
def principal_directions(
    g: Generator, layers: str | Sequence[int] = "all", count: int | None = None, samples: int = 10_000, seed: int = 0
) -> Directions:
    """The directions along which the mapping's codes vary most, those with the largest standard deviation of w first.

    `layers` are the codes to move, see `parse_layers`; in a model with two mappings (`SharedMapping`) those of one of
    them, which then makes the w of the `samples`. count: how many to keep, at most w_dim; None: all of them.

    Raises ValueError for layers that do not exist or come from two mappings, too few samples, or an impossible count.
    """
    chosen, mapping = parse_layers(layers, g.num_ws), g.mapping
    if isinstance(mapping, SharedMapping) and chosen[0] < mapping.k:
        if chosen[-1] >= mapping.k:
            raise ValueError(f"layers {layers}: codes below {mapping.k} come from another mapping; choose one side")
        mapping = mapping.source
    if samples < g.w_dim:
        raise ValueError(f"samples is {samples}, expected at least {g.w_dim}, one per direction")
    z = torch.randn(samples, mapping.z_dim, generator=torch.Generator().manual_seed(seed))
    w = torch.cat([mapping.w(chunk.to(mapping.w_mean.device)).cpu().double() for chunk in z.split(1000)])
    variances, vectors = torch.linalg.eigh(torch.cov(w.T))  # ascending; vectors are columns
    spread = variances.flip(0).clamp_min(0).sqrt()
    return first(g, vectors.T.flip(0), spread, layers, count, method="ganspace", samples=samples, seed=seed)
