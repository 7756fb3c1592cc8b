"""A face put back into the picture that it was cut out of, softly, along the person's outline."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from stylegan2.collect.facemesh import silhouette

FULL, NONE = 0.8, 1.0  # where the pasted square is all cartoon, and where none, in halves of its side
WIDER, SOFT = 0.03, 0.02  # of the person's outline, in sides of the square
OVAL = (0.35, 0.5)  # where the face surely is all cartoon, and where that ends
ROUND = 3.0  # of its outline: 2 a circle, more and more a square
CUT, CLOSE = 0.01, 0.025  # softness of the cartoon's own outline, and how much more than a person is filled, in sides


def mask(person: np.ndarray) -> np.ndarray:
    """How much of a pasted square is cartoon, float32 [H, H] in 0..1, from the clip person's `silhouette`, [H, H].

    The face's oval, and around it the person with hair and neck, somewhat wider and soft; nothing at the square's
    rounded edge.
    """
    side = len(person)
    along = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    x, y = np.abs(along)[None], np.abs(along)[:, None]
    edge = _falling((x**ROUND + y**ROUND) ** (1 / ROUND), FULL, NONE)
    wider = cv2.dilate(person, np.ones((max(1, round(WIDER * side)),) * 2))
    return edge * np.maximum(cv2.GaussianBlur(wider, (0, 0), SOFT * side), _falling(np.hypot(x, y), *OVAL))


def on_own_ground(face: Image.Image, own: np.ndarray, person: np.ndarray) -> Image.Image:
    """The cartoon's person before the clip's background, as it may look behind the clip's person.

    face: a square picture; own: what it replaces, uint8 [H, H, 3], and its `silhouette`. Heads differ in shape, so that
    around the cartoon's something of its background would be seen, or of the clip's hair. (Filled by Telea's method,
    JGT 2004.)
    """
    side = len(own)
    gone = cv2.dilate(person, np.ones((max(1, round(3 * CLOSE * side)),) * 2)) > 0.3
    ground = cv2.inpaint(own, gone.astype(np.uint8), max(1, round(CLOSE * side)), cv2.INPAINT_TELEA)
    drawn = np.asarray(face.resize((side, side), Image.Resampling.BICUBIC))
    soft = cv2.GaussianBlur(silhouette(drawn), (0, 0), CUT * side)[..., None]
    return Image.fromarray(np.rint(ground + soft * (drawn.astype(np.float32) - ground)).astype(np.uint8))


def _falling(distance: np.ndarray, full: float, none: float) -> np.ndarray:
    """1 up to a distance, 0 from another on, smooth between them."""
    t = np.clip((none - distance) / (none - full), 0, 1)
    return t * t * (3 - 2 * t)


def paste(frame: Image.Image, face: Image.Image, corners: np.ndarray, soft: np.ndarray) -> Image.Image:
    """A square picture put back where it was cut out; `corners` as of `align.square_of`, `soft` as of `mask`."""
    low = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(0)).astype(int), frame.size)
    if (high <= low).any():
        return frame
    size = face.width
    to = (corners[[0, 3, 1]] - low - 0.5).astype(np.float32)  # OpenCV counts from the middles of pixels
    warp = cv2.getAffineTransform(np.float32([[-0.5, -0.5], [size - 0.5, -0.5], [-0.5, size - 0.5]]), to)
    whole = tuple((high - low).tolist())
    drawn = cv2.warpAffine(np.asarray(face), warp, whole, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.warpAffine(soft, warp, whole, flags=cv2.INTER_LINEAR)[..., None]
    pixels = np.array(frame)
    part = pixels[low[1] : high[1], low[0] : high[0]]
    part[:] = np.rint(part + soft * (drawn.astype(np.float32) - part))
    return Image.fromarray(pixels)
