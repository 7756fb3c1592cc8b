"""Faces in photos: BlazeFace (arXiv 1907.05047), by two of the networks of Google's MediaPipe, which OpenCV runs.

The `WIDE` network proposes faces on the whole picture and on four parts of it. The `CLOSE` network then scores each of
them at the size it knows best, as it is and mirrored, and places eyes, nose, mouth and ears. On our test pictures faces
scored 0.6 and more (from the front 0.8), and a cat, coins or a cup of coffee 0.4 and less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from PIL import Image, ImageOps

from stylegan2.collect.boxes import MIN_SIZE, Face, distinct

MODELS = Path(__file__).with_name("models")
LONGEST = 800  # pixels: longest side of the copy on which faces are sought
PART = 0.6  # sides of the four parts of the picture, in sides of the picture
PROPOSED = 0.3  # least score of a proposal of the first network
AROUND = 2.75  # side of the square that the second network sees, in faces
SURE = 0.5  # least score of the second network
FAR_LESS = 0.6  # faces with less than this part of the best score are left out
MOST = 64  # proposals that the second network sees, the surest
MIRRORED = (1, 0, 2, 3, 5, 4)  # landmarks of a mirrored face: eyes and ears change places


@dataclass(frozen=True)
class Layout:
    """A network's file and its anchors (MediaPipe's SSD, all of one size)."""

    file: str  # in `MODELS`
    side: int  # of its input in pixels
    cells: tuple[tuple[int, int], ...]  # (pixels to a cell, anchors of each cell) of its maps, in their order
    outputs: tuple[str, str]  # names of the scores [1, N, 1] and of boxes and points [1, N, 16]


WIDE = Layout("face_detection_back.tflite", 256, ((16, 2), (32, 6)), ("classificators", "regressors"))
CLOSE = Layout(
    "face_detection_full_range.tflite", 192, ((4, 1),), ("reshaped_classifier_face_4", "reshaped_regressor_face_4")
)


@cache
def _opened(file: str) -> tuple[cv2.dnn.Net, Lock]:
    """A network and its lock; to read one takes longer than to run it."""
    return cv2.dnn.readNetFromTFLite(str(MODELS / file)), Lock()


def run(file: str, pixels: np.ndarray, outputs: Sequence[str] = ()) -> list[np.ndarray]:
    """What a network of `MODELS` says of one picture, [H, W, 3]: the outputs of these names; none: all it has."""
    network, lock = _opened(file)
    with lock:  # several panels may ask at once
        network.setInput(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32))
        known = network.getUnconnectedOutLayersNames()
        if outputs and set(outputs) <= set(known):
            return [answer.copy() for answer in network.forward(outputs)]
        return [network.forward(name).copy() for name in outputs or known]  # OpenCV 5 knows one output of each network


class _Network:
    def __init__(self, layout: Layout):
        self.layout, middles = layout, []
        for pixels, anchors in layout.cells:
            count = layout.side // pixels
            y, x = np.mgrid[0:count, 0:count] + 0.5
            middles.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2) / count, anchors, 0))
        self.anchors = np.concatenate(middles)  # of the cells, in parts of the input, [N, 2]

    def __call__(self, image: Image.Image, sure: float) -> list[Face]:
        """Faces of an RGB picture of any shape, in its pixels, the best first."""
        side, (width, height) = self.layout.side, image.size
        small = ImageOps.pad(image, (side, side), Image.Resampling.BILINEAR, "black")
        outputs = run(self.layout.file, np.asarray(small, np.float32) / 127.5 - 1, self.layout.outputs)
        logits, regressed = (output[0] for output in outputs)  # [N, 1], [N, 16]
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))
        best = np.flatnonzero(scores >= sure)
        points = regressed[best].reshape(-1, 8, 2) / side  # middle, size, and six points, from the cell's middle
        places = np.arange(8) != 1  # all but the size
        points[:, places] += self.anchors[best][:, None]
        points = points * max(width, height)
        points[:, places] -= (max(width, height) - np.array([width, height])) / 2  # the border of `pad`
        return distinct([_face(*one) for one in zip(points, scores[best], strict=True)])


def _face(points: np.ndarray, score: float) -> Face:
    (x, y), (w, h) = points[:2].tolist()
    return Face((x - w / 2, y - h / 2, x + w / 2, y + h / 2), float(score), points[2:])


class BlazeFace:
    """Both networks as a detector of faces of at least `min_size` pixels, with a score of at least `sure` (0 to 1)."""

    def __init__(self, min_size: int = MIN_SIZE, sure: float = SURE):
        self.min_size, self.sure = min_size, sure
        self.wide, self.close = _Network(WIDE), _Network(CLOSE)

    def __call__(self, image: Image.Image) -> list[Face]:
        image = image.convert("RGB")
        copy = image.copy()
        copy.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR, reducing_gap=2.0)
        factor = image.width / copy.width
        scored = []
        for face in self._proposals(copy)[:MOST]:
            if face.side * factor < self.min_size / 2:
                continue
            if face.side * AROUND >= CLOSE.side:  # the copy has enough pixels
                scored += [close.moved(0, 0, factor) for close in self._look_closely(copy, face)]
            else:
                scored += self._look_closely(image, face.moved(0, 0, factor))
        faces = distinct([face for face in scored if face.score >= self.sure and face.side >= self.min_size])
        return [face for face in faces if face.score >= FAR_LESS * faces[0].score]

    def _proposals(self, image: Image.Image) -> list[Face]:
        """Of the whole picture and, unless the network sees it all already, of four parts that overlap."""
        proposals = self.wide(image, PROPOSED)
        width, height = (round(PART * side) for side in image.size)
        if max(width, height) > WIDE.side:
            for x in (0, image.width - width):
                for y in (0, image.height - height):
                    part = image.crop((x, y, x + width, y + height))
                    proposals += [face.moved(x, y) for face in self.wide(part, PROPOSED)]
        return distinct(proposals)

    def _look_closely(self, image: Image.Image, face: Face) -> list[Face]:
        """A proposal as the second network sees it, the mean of both views, or nothing."""
        half = round(face.side * AROUND / 2)
        x, y = (round(v) for v in face.middle)
        around = image.crop((x - half, y - half, x + half, y + half))
        plain, mirrored = self._best(around, face.side / 2), self._best(ImageOps.mirror(around), face.side / 2)
        if plain is None or mirrored is None:
            return []
        return [_mean(plain, _unmirrored(mirrored, around.width)).moved(x - half, y - half)]

    def _best(self, image: Image.Image, near: float) -> Face | None:
        """The surest face whose middle lies near that of the picture, or None."""
        least = max(0.05, 2 * self.sure - 1)  # with less in one view the mean of both cannot reach `sure`
        middle = image.width / 2
        faces = self.close(image, least)
        return next((face for face in faces if all(abs(v - middle) <= near for v in face.middle)), None)


def _unmirrored(face: Face, width: int) -> Face:
    """A face of a mirrored picture in the picture itself."""
    x0, y0, x1, y1 = face.box
    landmarks = (face.landmarks * (-1, 1) + (width, 0))[list(MIRRORED)]
    return Face((width - x1, y0, width - x0, y1), face.score, landmarks)


def _mean(a: Face, b: Face) -> Face:
    box = tuple((v + w) / 2 for v, w in zip(a.box, b.box, strict=True))
    return Face(box, (a.score + b.score) / 2, (a.landmarks + b.landmarks) / 2)
