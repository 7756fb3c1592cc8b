"""GANSpace: directions in W from samples: the principal components of many w (arXiv 2004.02546, section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from stylegan2.checkpoints import fingerprint
from stylegan2.editing.directions import Directions, upright
from stylegan2.editing.layers import layers_text, parse_layers
from stylegan2.networks import Generator, MappingNetwork, SharedMapping


@torch.no_grad()
def principal_directions(
    g: Generator, layers: str | Sequence[int] = "all", count: int | None = None, samples: int = 10_000, seed: int = 0
) -> Directions:
    """The directions along which the mapping's codes vary most, those with the largest standard deviation of w first.

    Args:
        layers: which codes to move, see `parse_layers`; in a model with two mappings (`SharedMapping`, of FreezeStyle)
            codes of one of them, which then makes the w.
        count: how many to keep, at most w_dim; None: all of them.
        samples, seed: z to map, at least w_dim of them.

    Raises ValueError for layers that do not exist or come from two mappings, too few samples, or an impossible count.
    """
    chosen = parse_layers(layers, g.num_ws)
    mapping = _mapping_of(g, chosen)
    if samples < g.w_dim:
        raise ValueError(f"samples is {samples}, expected at least {g.w_dim}, one per direction")
    if count is not None and not 1 <= count <= g.w_dim:
        raise ValueError(f"count is {count}, expected 1 to {g.w_dim}, the number of directions in W")
    z = torch.randn(samples, mapping.z_dim, generator=torch.Generator().manual_seed(seed))
    w = torch.cat([mapping.w(chunk.to(mapping.w_mean.device)).cpu().double() for chunk in z.split(1000)])
    covariance = torch.cov(w.T)  # [w_dim, w_dim]
    variances, vectors = torch.linalg.eigh(covariance)  # ascending; vectors are columns
    spread = variances.flip(0).clamp_min(0).sqrt()[:count]
    made_from = {"method": "ganspace", "layers": layers_text(layers), "samples": samples, "seed": seed}
    made_from["generator"] = fingerprint(g)
    return Directions(upright(vectors.T.flip(0)[:count]), spread, chosen, made_from=made_from)


def _mapping_of(g: Generator, layers: tuple[int, ...]) -> MappingNetwork:
    """The mapping that makes the codes of these layers."""
    if not isinstance(g.mapping, SharedMapping) or min(layers) >= g.mapping.k:
        return g.mapping
    k, last = g.mapping.k, g.num_ws - 1
    if max(layers) >= k:
        raise ValueError(
            f"layers {', '.join(map(str, layers))}: this model's codes 0-{k - 1} come from its source's mapping and "
            f"{k}-{last} from its own, so they vary differently; choose layers from one of these ranges"
        )
    return g.mapping.source
