"""Hair: which pixels of a head it is, and which of the world's styles, lengths and volumes comes nearest."""

from __future__ import annotations

import math

import cv2
import numpy as np

from stylegan2.collect.facemesh import OVAL
from stylegan2.pocket.portrait.colours import CHEEKS, UNLIKE, skin_distance
from stylegan2.pocket.portrait.head import LEFT_BROW, RIGHT_BROW, SIDE, SPAN, Head
from stylegan2.pocket.world.styles import HAIR_FIELDS, HAIR_STYLES

ROUNDS = 2
TURNED = math.radians(15)
GAP = 6  # rows from the first gap in the hair beside a face that still count
FALLS = 0.4  # part of the strips beside an ear and the jaw that falling hair covers at least
BINS = 24  # of a histogram of colours, along each axis
BARE = 0.2  # with less hair over the forehead, and none beside the face, there is none
LENGTHS = (0.32, 0.68)  # lower ends of short and of medium hair; the chin lies at 0.62, shoulders at 0.75
CURLS = 0.62  # disorder of strands (see `_disorder`) from which hair is curly
LINE, BROW = -0.33, -0.13  # where a forehead is free, and where a fringe is at the brows
OVER_EARS, EARS = 0.55, 0.15  # half width and lower end of short hair that covers the ears
BALDING = -0.42  # height of a hairline from which short hair recedes
FLAT, FULL = (0.42, 0.62), (0.15, 0.2)  # half width and height of flat hair, and how much full hair adds
TALL = 0.72  # height of the top of short hair from which it is more than a crop


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
    far = cv2.GaussianBlur(skin_distance(head.lab, skin).astype(np.float32), (0, 0), 1.5)
    unlike = far > UNLIKE
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
            aside |= own & side & (beside > 0.04) & (beside < 0.35) & (y > -0.15) & (y < 0.4) & (far > 0.7 * UNLIKE)
        else:
            own = own & ~(side & (y > 0.3))
    hair = (crown | (own & ~head.face & (beside < 0.12) & (y < 0))) & unlike | aside
    if (hair[crown].sum() < BARE * crown.sum() and not aside.any()) or _bald(head, crown & (y < top - 0.03), skin):
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
    crown_lab = np.median(head.lab[hair & (y < 0)], 0) if (hair & (y < 0)).any() else skin
    if abs(head.yaw) > TURNED:  # beside a turned face lies the neck, too
        hair &= (y < 0.2) | (skin_distance(head.lab, crown_lab) < 1.3 * UNLIKE)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(hair.astype(np.uint8))
    begun = np.bincount(parts[own & ~face & (y < 0.4) & (beside < 0.35)], minlength=len(stats))
    kept = [k for k in range(1, len(stats)) if begun[k] > 0.15 * stats[k, cv2.CC_STAT_AREA] > 9]
    return np.isin(parts, kept)


def _bald(head: Head, crown: np.ndarray, skin: np.ndarray) -> bool:
    """Is the top of the head as skin is, in tint and grain, maybe in another light?"""
    grain = np.abs(cv2.Laplacian(head.lab[..., 0].astype(np.float32), cv2.CV_32F))
    inner = cv2.erode(crown.astype(np.uint8), np.ones((7, 7))).astype(bool)
    if inner.sum() < 60:
        return False
    cheeks = np.any([head.area(field) for field in CHEEKS], 0)
    near = skin_distance(np.median(head.lab[inner], 0), skin) < UNLIKE
    return bool(near and grain[inner].mean() < 1.5 * grain[cheeks].mean())


def hair_shape(head: Head, mask: np.ndarray) -> dict[str, tuple[float | str, float]]:
    """{attribute: (value, sureness)} of style, length, volume and fringe of the hair's pixels."""
    x, y = head.grid
    oval = head.points[list(OVAL), 0]
    left, right, top = oval.min(), oval.max(), head.points[10, 1]
    over = head.person & (x > left) & (x < right) & (y < top)
    cover = (mask & over).sum() / max(over.sum(), 1)
    if mask.sum() < 150 or cover < BARE:
        beside = mask & ((x < left) | (x > right))
        return {"hair_style": ("receding" if beside.sum() > 150 else "shaved", 0.6), "hair_length": (0.3, 0.5)}
    end, cut_off = _end(head, mask, left, right)
    height = -float(y[mask & over].min())
    level = mask & (np.abs(y + 0.1) < 0.15)
    width = np.ptp(x[level]) / 2 if level.any() else FLAT[0]
    line = _hairline(head, mask)
    style = _style(end, width, height, line, _disorder(head, mask))
    fields = dict(zip(HAIR_FIELDS, HAIR_STYLES[style], strict=True))
    length = (end - fields["end0"]) / (fields["end1"] - fields["end0"])
    volume = ((width - FLAT[0]) / FULL[0] + (height - FLAT[1]) / FULL[1]) / 2
    sure = 0.4 if cut_off else 0.5
    return {
        "hair_style": (style, sure),
        "hair_length": (float(np.clip(length, 0, 1)), sure),
        "hair_volume": (float(np.clip(volume, 0, 1)), 0.5),
        "fringe": (float(np.clip((line - LINE) / (BROW - LINE), 0, 1)), 0.6),
    }


def length_class(end: float) -> str:
    """short, medium or long, by the height at which hair ends."""
    return ("short", "medium", "long")[sum(end > limit for limit in LENGTHS)]


def _end(head: Head, mask: np.ndarray, left: float, right: float) -> tuple[float, bool]:
    """How far down the hair beside the face reaches, and whether the photo ends there."""
    x, y = head.grid
    ends, cut_off = [0.0], False
    for strip in ((x < left + 0.05) & (x > left - 0.45), (x > right - 0.05) & (x < right + 0.45)):
        wide = (mask & strip).sum(1) > 0.07 * SIDE / SPAN
        below = np.flatnonzero(~wide & (y[:, 0] > 0.05))  # the first gap: what comes then is a collar, or another's
        wide[below[0] + GAP if len(below) else SIDE :] = False
        if wide.any():
            row = np.flatnonzero(wide)[-1]
            below = min(row + 4, SIDE - 1)
            ends.append(float(y[row, 0]))
            cut_off |= not head.seen[below][strip[below]].any()
    return max(ends), cut_off


def _hairline(head: Head, mask: np.ndarray) -> float:
    """Height of the lower edge of the hair over the middle of the forehead."""
    x, y = head.grid
    middle = np.abs(x - head.points[151, 0]) < 0.14
    brows = head.points[[*LEFT_BROW, *RIGHT_BROW], 1].mean()
    heights = np.where(mask & middle & (y < brows), y, -9).max(0)
    heights = heights[heights > -9]
    return float(np.median(heights)) if len(heights) else float(head.points[10, 1])


def _disorder(head: Head, mask: np.ndarray) -> float:
    """How little the strands of neighbouring places agree in direction, 0..1 (structure tensor)."""
    light = head.lab[..., 0].astype(np.float32)
    dx, dy = (cv2.Sobel(light, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5))).astype(bool)
    if not inner.any():
        return 0.0
    a, b, c = (cv2.GaussianBlur(v * inner, (0, 0), 5) for v in (dx * dx, dy * dy, dx * dy))
    agreement = np.sqrt((a - b) ** 2 + 4 * c * c) / np.maximum(a + b, 1e-6)
    return float(1 - np.average(agreement[inner], weights=(a + b)[inner] + 1e-6))


def _style(end: float, width: float, height: float, line: float, disorder: float) -> str:
    """The world's style that comes nearest."""
    length = length_class(end)
    if disorder > CURLS:
        return "curly"
    if length == "short" and width > OVER_EARS and end > EARS:
        return "bob"
    if length == "short" and line < BALDING:
        return "receding"
    if length == "short":
        return "side part" if height > TALL else "crop"
    return "bob" if length == "medium" else "long"
