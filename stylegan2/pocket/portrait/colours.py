"""Colours of a head: skin, hair, eyes, clothes, background, and how sure they are."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from stylegan2.collect.facemesh import OVAL
from stylegan2.pocket.portrait.head import LEFT_LIDS, RIGHT_LIDS, Head
from stylegan2.pocket.world.faces import Value
from stylegan2.pocket.world.styles import SKIN_RAMP, SKIN_WARMTH

CHEEKS = (  # fields of the two cheeks, the forehead, the ridge of the nose
    (116, 117, 118, 101, 36, 205, 187, 123),
    (345, 346, 347, 330, 266, 425, 411, 352),
    (109, 10, 338, 337, 151, 108),
    (6, 122, 196, 3, 195, 248, 419, 351),
)
CHIN = (194, 201, 200, 421, 418, 262, 428, 199, 208, 32)
GREY = 5.0  # a picture has no colours when 95 of 100 pixels lie so near to the tint of their lightness, in L*a*b*
STEP = 8.0  # of lightness that share a tint: sepia is strongest in the middle tones
WHITE = 95.0  # lightness of what is white in a well exposed picture
GREY_HAIR = {"black": 24, "dark brown": 47, "grey": 60, "white": 101}  # names in black and white, darker than this
SAME_HAIR = 25.0  # of lightness: hair that falls is not much darker than that on top
UNLIKE = 11.0  # `skin_distance` from which a pixel is hardly skin
NEUTRAL = 0.35  # part of the light's colour that is taken out
LIT_SKIN, SHADE = 0.88, 0.8  # the renderer's skin where it is lit, and its hair on average, in parts of their colours
PLAIN = 20.0  # how much a strong tint of the skin has to explain, in squared L*a*b*
YELLOW_WEIGHT = 0.4  # how far the yellow of skin says its tone, which dim light leaves as it is; the rest its lightness
FLAT = 0.36  # of skin: darker than this, its yellow hardly changes
UNKNOWN = np.full(3, 0.3), 0.0
Colour = tuple[np.ndarray, float]  # RGB in 0..1, and how sure it is


def read(head: Head, hair_at: np.ndarray, skin_at: np.ndarray, grey: bool) -> dict[str, tuple[Value, float]]:
    """{attribute: (value, sureness)} of all that needs colours, and the side from which light falls.

    The hair's pixels are bool [SIDE, SIDE], the skin L*a*b* [3]; grey: the head has no colours.
    """
    y = head.grid[1]
    found = {
        "hair_colour": hair(head, hair_at, skin_at),
        "eye_colour": eyes(head),
        "clothes_colour": clothes(head, hair_at, skin_at, grey),
        "background": background(head, y < -0.2),
        "background2": background(head, y >= -0.2),
    }
    tone, warmth = skin(skin_at)
    left, right = (np.median(head.lab[head.area(cheek)][:, 0]) for cheek in CHEEKS[:2])
    light = float(np.clip((right - left) / 30, -1, 1))
    values = {name: (tuple(map(float, colour)), sure) for name, (colour, sure) in found.items()}
    return values | {"skin": (tone, 0.8), "skin_warmth": (warmth, 0.5), "light": (light, 0.5)}


def is_grey(head: Head) -> bool:
    """Black and white, or tinted such as sepia: the lightness of a pixel tells its colour.

    In the whole square and in the face: of 36 heads, coloured ones are 18 and 6 away at least, sepia 4 and 3 at most.
    """
    return all(_tint_spread(head.lab[mask]) < GREY for mask in (head.seen, head.face & head.seen) if mask.any())


def _tint_spread(lab: np.ndarray) -> float:
    """How far the colours of pixels [N, 3] (L*a*b*) lie from the usual tint of their lightness: 95 of 100 pixels."""
    levels, far = (lab[:, 0] / STEP).astype(int), np.zeros(len(lab))
    for level in np.unique(levels):
        ab = lab[levels == level, 1:]
        far[levels == level] = np.linalg.norm(ab - np.median(ab, 0), axis=1)
    return float(np.percentile(far, 95))


def greyed(head: Head) -> Head:
    """The head without its tint."""
    return replace(head, pixels=np.repeat(cv2.cvtColor(head.pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, 2))


def grey_hair(head: Head, mask: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Hair of a black-and-white head without what is below it [SIDE, SIDE], and its name by lightness (None: unseen).

    Light hair is as light as skin there, so all of the silhouette around the face counts, too.
    """
    x, y = head.grid
    oval, top = head.points[list(OVAL), 0], head.points[10, 1] - 0.1
    around = ((y < top) | (x < oval.min()) | (x > oval.max())) & (np.abs(x) < 0.9) & (y > -1.15) & (y < 0.05)
    upper = (head.person & ~head.face & around) | (mask & (y < 0.1))
    if upper.sum() < 60:
        return mask, None
    light = np.median(head.lab[upper][:, 0])
    name = next(name for name, limit in GREY_HAIR.items() if light < limit)
    return mask & ((y < 0.1) | (np.abs(head.lab[..., 0] - light) < SAME_HAIR)), name


def grey_skin(head: Head, skin: np.ndarray) -> float:
    """skin (0 dark .. 1 pale) of a black-and-white head, by the lightness of its L*a*b* [3].

    A dim picture is half brought to full white: whether the light or the skin was dark, nobody knows.
    """
    white = np.percentile(head.lab[head.seen][:, 0], 99)
    lights = lab_of(np.array(SKIN_RAMP) * LIT_SKIN)[:, 0]
    return float(np.interp(skin[0] * math.sqrt(WHITE / max(white, 1)), lights, np.linspace(0, 1, len(lights))))


def balanced(head: Head) -> Head:
    """The head under whiter light: shades of grey (Finlayson and Trezzi 2004), taken back by a part only."""
    pixels = head.pixels[head.seen].astype(float) / 255
    light = (pixels**6).mean(0) ** (1 / 6)
    gain = (light.mean() / light) ** NEUTRAL
    return replace(head, pixels=np.clip(head.pixels * gain, 0, 255).astype(np.uint8))


def rgb_of(lab: np.ndarray) -> np.ndarray:
    """[3] L*a*b* -> RGB in 0..1."""
    return np.clip(cv2.cvtColor(np.float32(lab)[None, None], cv2.COLOR_LAB2RGB)[0, 0], 0, 1)


def lab_of(rgb: np.ndarray) -> np.ndarray:
    """[..., 3] RGB in 0..1 -> L*a*b*."""
    return cv2.cvtColor(np.float32(rgb).reshape(1, -1, 3), cv2.COLOR_RGB2LAB).reshape(np.shape(rgb))


def skin_distance(lab: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """How unlike skin [3] colours [..., 3] are (both L*a*b*), [...]; light and shadow count half."""
    return np.sqrt((((lab - skin) * (0.5, 1, 1)) ** 2).sum(-1))


def skin_lab(head: Head) -> np.ndarray:
    """L*a*b* [3] of the skin where light falls on it: the mean of the lightest three of five fields' medians.

    Shadow, beard and glasses cover some of the fields; the median of one leaves out shine.
    """
    fields = [head.area(points) & head.seen for points in (*CHEEKS, CHIN)]
    medians = [np.median(head.lab[field], 0) for field in fields if field.sum() > 5]
    return np.mean(sorted(medians, key=lambda lab: -lab[0])[:3], 0)


def skin(lab: np.ndarray) -> tuple[float, float]:
    """skin (0 dark .. 1 pale) and skin_warmth (-1 rosy .. 1 golden) of a colour in L*a*b* [3].

    The tone whose rendered colour comes nearest, moved towards the one that its yellow says; then the nearest warmth.
    """
    places, warmths = np.linspace(0, 1, 141), np.linspace(-1, 1, 41)
    ramp = np.array(SKIN_RAMP)
    base = np.stack([np.interp(places * (len(ramp) - 1), range(len(ramp)), channel) for channel in ramp.T], 1)
    mixed = np.clip(base[:, None] * (1 + warmths[None, :, None] * np.array(SKIN_WARMTH)), 0, 1)
    wanted = np.clip(rgb_of(lab) / LIT_SKIN, 0, 1)
    far = ((lab_of(mixed) - lab_of(wanted)) ** 2).sum(2) + PLAIN * warmths**2
    tone = places[far.min(1).argmin()]
    by_yellow = np.interp(_yellow(wanted), _yellow(base)[::-1], places[::-1])
    by_yellow = by_yellow if by_yellow > FLAT else min(tone, FLAT)
    place = np.abs(places - tone - YELLOW_WEIGHT * (by_yellow - tone)).argmin()
    return float(places[place]), float(warmths[far[place].argmin()])


def _yellow(rgb: np.ndarray) -> np.ndarray:
    """Logarithm of green over blue in linear light, [..., 3] -> [...]; it falls from dark skin to pale."""
    linear = np.maximum(rgb, 0.02) ** 2.2
    return np.log(linear[..., 1] / linear[..., 2])


def hair(head: Head, mask: np.ndarray, skin: np.ndarray) -> Colour:
    """Of the hair's pixels [SIDE, SIDE], without its lights and shadows, and without skin [3] (L*a*b*) between them."""
    unlike = mask & (skin_distance(head.lab, skin) > UNLIKE)
    mask = unlike if unlike.sum() > 0.3 * mask.sum() else mask
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5))).astype(bool)
    pixels = head.lab[inner if inner.sum() > 100 else mask]
    if len(pixels) < 60:
        return UNKNOWN
    return np.clip(rgb_of(np.median(_between(pixels, 25, 80), 0)) / SHADE, 0, 1), float(min(1, len(pixels) / 1500))


def _between(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Pixels [N, 3] (L*a*b*) between two percentiles of lightness: neither shadows nor highlights."""
    low, high = np.percentile(pixels[:, 0], (low, high))
    return pixels[(pixels[:, 0] >= low) & (pixels[:, 0] <= high)]


def eyes(head: Head) -> Colour:
    """Of the irises: the middle of the open eyes, without pupil, white and highlights."""
    x, y = head.grid
    taken = []
    for lids, corners in ((LEFT_LIDS, (33, 133)), (RIGHT_LIDS, (263, 362))):
        cx, cy = head.points[list(lids), :2].mean(0)
        wide = np.ptp(head.points[list(corners), 0])
        pixels = head.lab[head.area(lids) & ((x - cx) ** 2 + (y - cy) ** 2 < (0.24 * wide) ** 2)]
        taken += [_between(pixels, 20, 60)] if len(pixels) > 8 else []
    if not taken:
        return UNKNOWN
    return np.clip(rgb_of(np.median(np.concatenate(taken), 0)) * 1.15, 0, 1), 0.4


def clothes(head: Head, hair_mask: np.ndarray, skin: np.ndarray, grey: bool) -> Colour:
    """Of what the person wears below the chin; skin [3] (L*a*b*) does not count. grey: the head has no colours."""
    y, far = head.grid[1], np.abs(head.lab - skin)
    skin_like = far[..., 0] < 5 if grey else far[..., 1:].sum(-1) < 8
    below = head.person & ~hair_mask & (y > head.points[152, 1] + 0.3) & ~skin_like
    if below.sum() < 200:
        return UNKNOWN
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 10, 0)
    _, which, centres = cv2.kmeans(head.lab[below].astype(np.float32), 3, None, stop, 1, cv2.KMEANS_PP_CENTERS)
    largest = np.bincount(which.ravel(), minlength=3).argmax()  # a mean of shirt and jacket is neither
    return rgb_of(centres[largest]), float(min(1, below.sum() / 4000))


def background(head: Head, part: np.ndarray) -> Colour:
    """Of what is behind the person in a part of the square, bool [SIDE, SIDE]."""
    behind = head.seen & ~cv2.dilate(head.person.astype(np.uint8), np.ones((9, 9))).astype(bool)
    pixels = head.lab[behind & part]
    return (rgb_of(np.median(pixels, 0)), 0.8) if len(pixels) > 200 else UNKNOWN
