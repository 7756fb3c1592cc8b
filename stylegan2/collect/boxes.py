"""Faces as boxes in a picture, and which of them are the same face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

MIN_SIZE = 32  # pixels of a face
SMALLEST = 8  # pixels of a face: none can be recognised below that
SAME = 0.4  # boxes that share more than this part of their union are one face


@dataclass(frozen=True)
class Face:
    """A face in a picture, in pixels (x to the right, y down)."""

    box: tuple[float, float, float, float]  # (x0, y0, x1, y1)
    score: float  # how sure the detector is; comparable within one detector only
    # [6, 2] of BlazeFace: the person's right eye, left eye, tip of the nose, middle of the mouth, right and left ear
    landmarks: np.ndarray | None = None

    @property
    def side(self) -> float:
        """Of the box, in pixels: the mean of width and height."""
        return (self.box[2] - self.box[0] + self.box[3] - self.box[1]) / 2

    @property
    def middle(self) -> tuple[float, float]:
        """Of the box."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    def moved(self, x: float, y: float, factor: float = 1.0) -> Face:
        """The same face where its picture is enlarged by a factor, and its corner lies at (x, y) of a larger one."""
        x0, y0, x1, y1 = (v * factor for v in self.box)
        landmarks = None if self.landmarks is None else self.landmarks * factor + np.array([x, y])
        return replace(self, box=(x0 + x, y0 + y, x1 + x, y1 + y), landmarks=landmarks)


def overlap(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> np.ndarray:
    """Intersection of boxes over their union, 0 to 1; both [4], or one or both [n, 4]."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    shared = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(-1)
    areas = sum((boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (a, b))
    return shared / np.maximum(areas - shared, 1e-9)


def distinct(faces: Sequence[Face]) -> list[Face]:
    """The faces without those that lie on a better one (non-maximum suppression), the best first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face.box, other.box) <= SAME for other in kept):
            kept.append(face)
    return kept
