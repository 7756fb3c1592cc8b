"""A head of a photo in the frame of the pocket world: upright, its size that of a rendered head."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from PIL import Image

from stylegan2.collect.facemesh import LEFT_EYE, OVAL, RIGHT_EYE, Mesh, cut_out, moved, silhouette, warp_of

SIDE, SPAN = 288, 2.9  # pixels, and halves of a rendered picture, across the square around a head
EYES, CHIN = 0.03, 0.62  # heights of a rendered face (`styles.eye_y`, `styles.head_h`)
ABOVE = 1.35  # of the square over the middle of the head
PAIRS = ((33, 263), (133, 362), (234, 454), (127, 356), (61, 291))  # points of the left and right of a face
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
)  # fmt: skip
LEFT_LIDS = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
RIGHT_LIDS = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
LEFT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
RIGHT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
UNIT = 0.382  # see `_unit`


@dataclass(frozen=True)
class Head:
    """One head. Points are in halves of a rendered picture (x right, y down, z away), (0, 0) the middle of the head."""

    pixels: np.ndarray  # uint8 [SIDE, SIDE, 3], RGB
    points: np.ndarray  # [468, 3]
    seen: np.ndarray  # bool [SIDE, SIDE]: inside the photo
    person: np.ndarray  # bool [SIDE, SIDE]
    roll: float  # radians, clockwise

    @cached_property
    def axes(self) -> np.ndarray:
        """[3, 3]: directions of the head's right, down and back in the upright picture."""
        right = sum(_unit_vector(self.points[b] - self.points[a]) for a, b in PAIRS)
        right = _unit_vector(right)
        down = self.points[152] - self.points[10]
        down = _unit_vector(down - right * (right @ down))
        return np.stack([right, down, np.cross(right, down)])

    @property
    def yaw(self) -> float:
        """Radians by which the head is turned to the picture's right."""
        right = self.axes[0]
        return math.atan2(right[2], math.hypot(right[0], right[1]))

    @cached_property
    def front(self) -> np.ndarray:
        """The points [468, 3] as they lie when the head looks into the camera."""
        return self.points @ self.axes.T

    def at(self, x: float | np.ndarray, y: float | np.ndarray) -> tuple:
        """Column and row of a point, in pixels."""
        scale = SIDE / SPAN
        return (np.asarray(x) + SPAN / 2) * scale, (np.asarray(y) + ABOVE) * scale

    def area(self, points: tuple[int, ...]) -> np.ndarray:
        """The inside of a polygon of points, bool [SIDE, SIDE]."""
        corners = np.stack(self.at(*self.points[list(points), :2].T), 1)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        return cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 1).astype(bool)

    @cached_property
    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of every pixel, [SIDE, SIDE] each."""
        steps = (np.arange(SIDE) + 0.5) * SPAN / SIDE
        return np.meshgrid(steps - SPAN / 2, steps - ABOVE)

    @cached_property
    def lab(self) -> np.ndarray:
        """CIE L*a*b* of every pixel, float [SIDE, SIDE, 3]: L in 0..100."""
        return cv2.cvtColor(self.pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)

    @cached_property
    def face(self) -> np.ndarray:
        """The inside of the face's outline, bool [SIDE, SIDE]."""
        return self.area(OVAL)


def _unit_vector(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)


def _unit(points: np.ndarray) -> float:
    """Pixels of half a rendered picture: between the outer corners of the eyes, and from the eyes to the nose.

    Of our real faces with closed mouths, this brings the chin to where a rendered one has it.
    """
    eyes = points[[*LEFT_EYE, *RIGHT_EYE]].mean(0)
    across, down = np.linalg.norm(points[33] - points[263]), np.linalg.norm(points[2] - eyes)
    return math.sqrt(across * down) / UNIT


def head_of(photo: Image.Image, mesh: Mesh) -> Head:
    """The square around a head of an upright RGB photo."""
    unit = _unit(mesh.points)
    upright = moved(mesh.points, warp_of(np.zeros(2), unit, mesh.roll, 1)) - [0.5, 0.5, 0]
    eyes = upright[[*LEFT_EYE, *RIGHT_EYE]].mean(0)
    middle = np.array([upright[[234, 454], 0].mean(), eyes[1] - EYES, 0])  # ears turn least with the head
    sin, cos = math.sin(mesh.roll), math.cos(mesh.roll)
    centre = middle[:2] + [0, SPAN / 2 - ABOVE]
    warp = warp_of(np.array([[cos, -sin], [sin, cos]]) @ centre * unit, SPAN * unit, mesh.roll, SIDE)
    pixels = np.asarray(photo.convert("RGB"))
    square = cut_out(pixels, warp, SIDE, "edge")
    seen = cut_out(np.ones(pixels.shape[:2], np.uint8), warp, SIDE) > 0
    return Head(square, upright - middle, seen, (silhouette(square) > 0.5) & seen, mesh.roll)
