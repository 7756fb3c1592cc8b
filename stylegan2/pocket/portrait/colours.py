"""Colours of a head: skin, hair, eyes, clothes, background."""

from __future__ import annotations

import numpy as np

from stylegan2.pocket.portrait.head import LEFT_LIDS, LIPS, RIGHT_LIDS, Head

CHEEKS = (  # two fields of the cheeks, the forehead, the ridge of the nose
    (116, 117, 118, 101, 36, 205, 187, 123),
    (345, 346, 347, 330, 266, 425, 411, 352),
    (109, 10, 338, 337, 151, 108),
    (6, 122, 196, 3, 195, 248, 419, 351),
)
LIT = (40, 85)  # percentiles of lightness: without shadows, and without shine


def skin_lab(head: Head) -> np.ndarray:
    """L*a*b* [3] of the skin where light falls on it."""
    field = np.any([head.area(points) for points in CHEEKS], 0) & head.seen
    pixels = head.lab[field]
    low, high = np.percentile(pixels[:, 0], LIT)
    return np.median(pixels[(pixels[:, 0] >= low) & (pixels[:, 0] <= high)], 0)
