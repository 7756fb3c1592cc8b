"""A face as 468 points in three dimensions, and who stands before what: two more networks of Google's MediaPipe.

FaceMesh: arXiv 1907.06724. Points are numbered as in MediaPipe's canonical face; those that we use have names below.
"left" and "right" are those of the picture, not of the person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from stylegan2.collect.blazeface import run
from stylegan2.collect.boxes import Face

MESH, PERSON = "face_landmark.tflite", "selfie_segmentation.tflite"
MESH_SIDE, PERSON_SIDE = 192, 256  # pixels of the networks' inputs
AROUND = 1.5  # side of the square that the network sees, in faces, as in MediaPipe
LEFT_EYE, RIGHT_EYE = (33, 133), (263, 362)  # outer and inner corner
LIDS = ((159, 145, 33, 133), (386, 374, 263, 362))  # of each eye: upper lid, lower lid, corners
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip


@dataclass(frozen=True)
class Mesh:
    """A face in a picture."""

    points: np.ndarray  # [468, 3] in pixels: x to the right, y down, z away from the camera
    presence: float  # 0..1, how sure the network is that this is a face

    @property
    def roll(self) -> float:
        """Angle of the line between the eyes in radians, positive clockwise."""
        left, right = (self.points[list(eye), :2].mean(0) for eye in (LEFT_EYE, RIGHT_EYE))
        return math.atan2(*(right - left)[::-1])


def warp_of(centre: np.ndarray, side: float, angle: float, pixels: int) -> np.ndarray:
    """[2, 3]: from a picture to a square of it, turned by `angle` (radians, clockwise), as `pixels` x `pixels`."""
    sin, cos = math.sin(angle), math.cos(angle)
    turn = np.array([[cos, sin], [-sin, cos]]) * pixels / side
    return np.column_stack([turn, pixels / 2 - turn @ centre])


def cut_out(pixels: np.ndarray, warp: np.ndarray, side: int, outside: str = "black") -> np.ndarray:
    """The square [side, side, ...] of a picture [H, W, ...] as `warp_of` says; `outside` it black or its edge."""
    factor = np.hypot(*warp[0, :2])
    if factor < 0.5:  # a large picture is shrunk first, or the square would skip pixels
        small = cv2.resize(pixels, None, fx=2 * factor, fy=2 * factor, interpolation=cv2.INTER_AREA)
        rest = np.array(pixels.shape[1::-1]) / small.shape[1::-1]
        pixels, warp = small, np.column_stack([warp[:, :2] * rest, warp[:, 2]])
    border = cv2.BORDER_CONSTANT if outside == "black" else cv2.BORDER_REPLICATE
    return cv2.warpAffine(pixels, warp, (side, side), flags=cv2.INTER_LINEAR, borderMode=border)


def moved(points: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """Points [N, 2 or 3] after a warp; z is scaled with them."""
    flat = points[:, :2] @ warp[:, :2].T + warp[:, 2]
    return np.column_stack([flat, points[:, 2:] * np.hypot(*warp[0, :2])])


class FaceMesh:
    """Points of a face that a detector found."""

    def __call__(self, image: Image.Image, face: Face) -> Mesh:
        """Looks twice: at the detector's square, then at that of the first points. `face` needs BlazeFace's eyes."""
        pixels = np.asarray(image.convert("RGB"))
        right, left = face.landmarks[:2]  # of the person
        side = AROUND * max(face.box[2] - face.box[0], face.box[3] - face.box[1])
        mesh = self._look(pixels, np.array(face.middle), side, math.atan2(*(left - right)[::-1]))
        upright = moved(mesh.points, warp_of(np.zeros(2), 1, mesh.roll, 1))[:, :2]
        low, high = upright.min(0), upright.max(0)
        sin, cos = math.sin(mesh.roll), math.cos(mesh.roll)
        middle = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2 - 0.5)
        return self._look(pixels, middle, AROUND * (high - low).max(), mesh.roll)

    def _look(self, pixels: np.ndarray, centre: np.ndarray, side: float, angle: float) -> Mesh:
        warp = warp_of(centre, side, angle, MESH_SIDE)
        outputs = sorted(run(MESH, cut_out(pixels, warp, MESH_SIDE) / 255), key=lambda output: output.size)
        logit, points = outputs[0].item(), outputs[1].reshape(468, 3).astype(float)
        return Mesh(moved(points, cv2.invertAffineTransform(warp)), 1 / (1 + math.exp(-min(max(logit, -80), 80))))


def eyes_open(points: np.ndarray) -> np.ndarray:
    """Height of both eyes in their widths [2], from a mesh's points [468, 2 or 3]."""
    up, down, left, right = (points[list(numbers)] for numbers in zip(*LIDS, strict=True))
    return np.linalg.norm(up - down, axis=1) / np.linalg.norm(left - right, axis=1)


def silhouette(square: np.ndarray) -> np.ndarray:
    """How surely a person is seen at each pixel of a square picture: uint8 [H, H, 3] -> [H, H] in 0..1.

    MediaPipe's selfie segmentation; it knows heads and shoulders that fill about half of the picture.
    """
    small = cv2.resize(square, (PERSON_SIDE, PERSON_SIDE), interpolation=cv2.INTER_AREA)
    (answer,) = run(PERSON, small / 255)
    return cv2.resize(answer.reshape(PERSON_SIDE, PERSON_SIDE), square.shape[1::-1], interpolation=cv2.INTER_LINEAR)
