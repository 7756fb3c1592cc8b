"""Pictures that tell themselves apart, as files in memory."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def noise_picture(side: int = 32, seed: int = 0, square: int = 1, kind: str = "png") -> bytes:
    """An image file of coloured squares of `square` pixels, another for each seed."""
    rgb = np.random.default_rng(seed).integers(0, 255, (side // square, side // square, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(rgb).resize((side, side), Image.Resampling.NEAREST).save(data, kind)
    return data.getvalue()
