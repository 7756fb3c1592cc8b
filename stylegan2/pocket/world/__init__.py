"""The pocket world: rendered faces in one source domain and three cartoon domains, with attributes and landmarks.

    faces = sample("photo", 8, seed=0)          # attributes of faces 0..7
    images = render(faces, "photo")             # uint8 [8, 3, 64, 64]
    cartoons = render(faces, "webtoon")         # the same people in another world

``photo`` is endless; each target domain is the fixed set of faces 0..TARGET_SET_SIZE-1 of seed 0. Drawing is settled
per :data:`VERSION`: shipped models were trained on it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylegan2.pocket.world import draw, geometry
from stylegan2.pocket.world.captions import captions, random_captions
from stylegan2.pocket.world.faces import (
    ATTRIBUTES,
    DOMAINS,
    VECTOR_NAMES,
    VERSION,
    Attribute,
    Faces,
    check_domain,
    sample,
)
from stylegan2.pocket.world.features import features, glasses
from stylegan2.pocket.world.geometry import LANDMARKS

TARGET_SET_SIZE = 1000  # images of a target domain: small on purpose, as in the paper's cartoon sets
CHUNK_PIXELS = 32 * 64 * 64  # drawn at once: larger batches fall out of the processor's cache

__all__ = [
    "ATTRIBUTES",
    "DOMAINS",
    "LANDMARKS",
    "TARGET_SET_SIZE",
    "VECTOR_NAMES",
    "VERSION",
    "Attribute",
    "Faces",
    "captions",
    "dataset_size",
    "landmarks",
    "random_captions",
    "render",
    "sample",
]


def dataset_size(domain: str) -> int | None:
    """Images in a domain's data set: TARGET_SET_SIZE for targets, None (endless) for photo."""
    check_domain(domain)
    return None if domain == "photo" else TARGET_SET_SIZE


@torch.no_grad()
def render(faces: Faces, domain: str, size: int = 64) -> Tensor:
    """Draw faces in a domain, whichever they were sampled for: uint8 [N, 3, size, size].

    Raises ValueError for an unknown domain or a size under 16.
    """
    style = check_domain(domain)
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels, got {size}")
    out = torch.empty(len(faces), 3, size, size, dtype=torch.uint8)
    step = max(1, CHUNK_PIXELS // (size * size))
    for first in range(0, len(faces), step):
        out[first : first + step] = _draw(draw.Scene(faces[first : first + step], style, size))
    return out


def _draw(scene: draw.Scene) -> Tensor:
    """Back to front; returns uint8 [n, 3, H, W]."""
    hair, face = draw.Hair(scene), draw.face_distance(scene)
    draw.background(scene)
    draw.hair_behind(scene, hair)
    draw.neck(scene, face)
    draw.clothes(scene)
    draw.ears(scene)
    draw.head(scene, hair, face)
    features(scene, face)
    draw.hair_in_front(scene, hair)
    glasses(scene)
    draw.finish(scene)
    return scene.rgb.mul_(255.0).add_(0.5).clamp_(0, 255).to(torch.uint8)


def landmarks(faces: Faces, domain: str) -> Tensor:
    """Landmarks [N, len(LANDMARKS), 2] as (x, y) in image sides (0..1, y down) of faces drawn in a domain."""
    style = check_domain(domain)
    return geometry.landmarks(geometry.geometry(faces, style), style.zoom)
