"""The pocket world: rendered faces in one source domain and three cartoon domains, with attributes and landmarks.

    faces = sample("photo", 8, seed=0)          # attributes of faces 0..7
    images = render(faces, "photo")             # uint8 [8, 3, SIZE, SIZE]
    cartoons = render(faces, "webtoon")         # the same people in another world

``photo`` is endless; each target domain is the fixed set of faces 0..TARGET_SET_SIZE-1 of seed 0. The pictures of one
:data:`VERSION` never change: shipped models were trained on them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylegan2.pocket.world import features, geometry, head
from stylegan2.pocket.world.captions import captions, random_captions
from stylegan2.pocket.world.faces import ATTRIBUTES, VECTOR_NAMES, VERSION, Attribute, Faces, from_z, sample
from stylegan2.pocket.world.geometry import LANDMARKS
from stylegan2.pocket.world.scene import Scene, background, finish
from stylegan2.pocket.world.styles import DOMAINS, check_domain

SIZE = 128  # pixels of a side: of the world's pictures, and of the models that are trained on them
TARGET_SET_SIZE = 1000  # images of a target domain: small on purpose, as in the paper's cartoon sets
CHUNK_PIXELS = 32 * 64 * 64  # rendered at once: larger batches fall out of the processor's cache
BACK_TO_FRONT = (
    head.place_hair, background, head.hair_behind, head.neck, head.clothes, head.ears, head.head,
    features.nose, features.eyes, features.brows, features.beard, features.mouth,
    head.hair_in_front, features.glasses, finish,
)  # fmt: skip

__all__ = [
    "ATTRIBUTES", "DOMAINS", "LANDMARKS", "SIZE", "TARGET_SET_SIZE", "VECTOR_NAMES", "VERSION", "Attribute", "Faces",
    "captions", "from_z", "landmarks", "random_captions", "render", "sample",
]  # fmt: skip


@torch.no_grad()
def render(faces: Faces, domain: str, size: int = SIZE) -> Tensor:
    """Render faces in a domain, whichever they were sampled for: uint8 [N, 3, size, size].

    Raises ValueError for an unknown domain or a size under 16.
    """
    style = check_domain(domain)
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels, got {size}")
    out = torch.empty(len(faces), 3, size, size, dtype=torch.uint8)
    step = max(1, CHUNK_PIXELS // (size * size))
    for first in range(0, len(faces), step):
        scene = Scene(faces[first : first + step], style, size)
        for paint in BACK_TO_FRONT:
            paint(scene)
        out[first : first + step] = scene.rgb.mul_(255.0).add_(0.5).clamp_(0, 255)
    return out


def landmarks(faces: Faces, domain: str) -> Tensor:
    """Landmarks [N, len(LANDMARKS), 2] as (x, y) in image sides (0..1, y down) of faces rendered in a domain."""
    style = check_domain(domain)
    return geometry.landmarks(geometry.geometry(faces, style), style.zoom)
