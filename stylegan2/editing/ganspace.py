"""GANSpace: directions in W from samples: the principal components of many w (arXiv 2004.02546, section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylegan2.checkpoints import fingerprint
from stylegan2.editing.directions import Directions, upright
from stylegan2.editing.layers import parse_layers
from stylegan2.networks import Generator


@torch.no_grad()
def principal_directions(
    g: Generator, layers: str | Sequence[int] = "all", count: int | None = None, samples: int = 10_000, seed: int = 0
) -> Directions:
    """The directions along which the mapping's own codes vary most.

    They do not depend on the layers: the same w drives all of them. The layers decide what a step does.

    Args:
        g: a generator; with a shared mapping (FreezeStyle), the w of its own mapping count.
        layers: which codes to move, see `parse_layers`.
        count: how many to keep, at most w_dim; None: all of them.
        samples: seeded z to map, at least w_dim.
        seed: of the samples.

    Returns:
        Directions, largest standard deviation of w first; each has its component of largest size positive.

    Raises:
        ValueError: layers that the model does not have, too few samples, or an impossible count.
    """
    chosen = parse_layers(layers, g.num_ws)
    if samples < g.w_dim:
        raise ValueError(f"samples is {samples}, expected at least {g.w_dim}, one per direction")
    if count is not None and not 1 <= count <= g.w_dim:
        raise ValueError(f"count is {count}, expected 1 to {g.w_dim}, the number of directions in W")
    variances, vectors = torch.linalg.eigh(torch.cov(_codes(g, samples, seed).T))  # ascending; vectors are columns
    spread = variances.flip(0).clamp_min(0).sqrt()[:count]
    preset = layers if isinstance(layers, str) else ",".join(map(str, layers))
    made_from = {"method": "ganspace", "layers": preset, "samples": samples, "seed": seed, "generator": fingerprint(g)}
    return Directions(upright(vectors.T.flip(0)[:count]), spread, chosen, made_from=made_from)


def _codes(g: Generator, samples: int, seed: int) -> Tensor:
    """w of seeded z, [samples, w_dim] in float64."""
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(samples, g.z_dim, generator=rng)
    return torch.cat([g.mapping.w(chunk).double() for chunk in z.split(1000)])
