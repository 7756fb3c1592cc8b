"""Hair: which pixels of a head it is, and which of the world's styles, lengths and volumes comes nearest."""

from __future__ import annotations

import cv2
import numpy as np

from stylegan2.collect.facemesh import OVAL
from stylegan2.pocket.portrait.head import LEFT_BROW, RIGHT_BROW, Head

ROUNDS = 2
FALLS = 0.4  # part of the strips beside an ear and the jaw that falling hair covers at least
BINS = 24  # of a histogram of colours, along each axis
UNLIKE = 11.0  # distance in L*a*b* (lightness counts half) from which a pixel is hardly skin
BARE = 0.2  # with less hair over the forehead, and none beside the face, there is none


def skin_distance(head: Head, skin: np.ndarray) -> np.ndarray:
    """How unlike skin [3] (L*a*b*) every pixel is, [SIDE, SIDE]; light and shadow count half."""
    return np.sqrt((((head.lab - skin) * (0.5, 1, 1)) ** 2).sum(-1))


def _density(head: Head, mask: np.ndarray) -> np.ndarray:
    """How common the colour of each pixel is among those of a mask, [SIDE, SIDE]."""
    bins = np.clip(head.lab / (100, 160, 160) * BINS + (0, BINS / 2, BINS / 2), 0, BINS - 1).astype(int)
    flat = (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]
    counts = np.bincount(flat[mask], minlength=BINS**3).reshape((BINS,) * 3).astype(np.float32)
    for axis in range(3):  # smooth
        counts = 0.25 * np.roll(counts, 1, axis) + 0.5 * counts + 0.25 * np.roll(counts, -1, axis)
    return (counts.ravel() / max(counts.sum(), 1))[flat]


def hair_mask(head: Head, skin: np.ndarray) -> np.ndarray:
    """Pixels of hair, bool [SIDE, SIDE].

    The colours of what must be hair (the silhouette over the forehead where it is unlike skin, and far beside the
    face), of the face, and of the body below are compared at each pixel of the person, with where hair usually is.
    """
    x, y = head.grid
    unlike = cv2.GaussianBlur(skin_distance(head, skin).astype(np.float32), (0, 0), 1.5) > UNLIKE
    brows, top, chin = head.points[[*LEFT_BROW, *RIGHT_BROW], 1].min(), head.points[10, 1], head.points[152, 1]
    left, right = head.points[list(OVAL), 0].min(), head.points[list(OVAL), 0].max()
    beside = np.maximum(left - x, x - right)  # of the face, in the same units
    own = head.person & (beside < 0.6) & (y > -1.15)
    crown = own & (beside < 0) & ~head.face & (y < top + 0.04)
    aside = np.zeros_like(own)
    for side in (x < 0, x > 0):  # hair that falls is seen beside the ear and beside the jaw
        ear = side & (beside > 0.05) & (beside < 0.15) & (y > -0.15) & (y < 0.1)
        jaw = side & (beside > 0) & (beside < 0.12) & (y > 0.2) & (y < 0.45)
        if all((own & strip).sum() > FALLS * strip.sum() for strip in (ear, jaw)):
            aside |= own & side & (beside > 0.04) & (beside < 0.35) & (y > -0.15) & (y < 0.4)
        else:
            own = own & ~(side & (y > 0.3))
    hair = (crown | (own & ~head.face & (beside < 0.12) & (y < 0))) & unlike | aside
    if hair[crown].sum() < BARE * crown.sum() and not aside.any():
        return np.zeros_like(hair)
    face = head.face & (y > brows - 0.03) & head.seen
    skin_like = face | (head.face & head.seen & ~unlike)
    body = head.person & (y > chin + 0.35) & (np.abs(x) < 0.9)
    usual = np.where(y < top, 0.85, np.where(y < 0.5, 0.6, 0.35)) * np.where(beside > 0.35, 0.5, 1)
    usual = np.where((head.face & (y > top)) | ((beside < -0.1) & (y > chin)), 0.3, usual)  # a fringe, or on the neck
    usual[~own | face] = 0
    other = 0.7 * _density(head, skin_like) + 0.3 * _density(head, body & ~hair)
    for _ in range(ROUNDS):
        likely = usual * _density(head, hair)
        share = likely / np.maximum(likely + (1 - usual) * other, 1e-9)
        hair = (cv2.GaussianBlur(share.astype(np.float32), (0, 0), 2) > 0.5) & own
    _, parts, stats, _ = cv2.connectedComponentsWithStats(hair.astype(np.uint8))
    begun = np.bincount(parts[own & ~face & (y < 0.4) & (beside < 0.35)], minlength=len(stats))
    kept = [k for k in range(1, len(stats)) if begun[k] > 0.15 * stats[k, cv2.CC_STAT_AREA] > 9]
    return np.isin(parts, kept)
