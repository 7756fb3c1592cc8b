"""Faces in pictures: three detectors behind one call.

    faces = make("animeface")(image)                # [Face(box, score, landmarks), ...], the best first
    faces = on_pages(make("pocket"), strip)         # tall webtoon pages, tile by tile

``pocket``: our own small network, for rendered webtoon pages. ``animeface``: nagadomi's cascade for drawn faces,
fetched once by a known hash. ``photo``: BlazeFace, for photos, with six landmarks (:mod:`stylegan2.collect.blazeface`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
from PIL import Image

from stylegan2.collect.blazeface import BlazeFace
from stylegan2.collect.boxes import MIN_SIZE, SAME, SMALLEST, Face, distinct, overlap
from stylegan2.collect.face_detector import load
from stylegan2.files import counted
from stylegan2.published.fetch import Published

ANIMEFACE = Published(
    "lbpcascade_animeface.xml",
    "https://raw.githubusercontent.com/nagadomi/lbpcascade_animeface/2ec7e559c4c38f146479021812c1f95f7707bcce/"
    "lbpcascade_animeface.xml",
    megabytes=0.2,
    sha256="9376d30ac38db6bda2a68b88b3b76bbd7e6aa33af47f7f5c76bc88ca75f1ce30",
    option="--cascade",
)
NAMES = ("pocket", "animeface", "photo")
NEIGHBOURS = 10  # windows of a cascade that must agree for `sure` = 1
SHRINK = 1.1  # from one size of a cascade's picture to the next
PLAINLY = 0.7  # score of `pocket` for rendered faces (97 % have 0.6, 70 % 0.8); in seven photos at most 0.64
Detector = Callable[[Image.Image], list[Face]]


def is_here(name: str) -> bool:
    """Can this detector be made without fetching anything?"""
    return name != "animeface" or ANIMEFACE.cached.is_file()


def make(name: str, file: str | os.PathLike | None = None, min_size: int = MIN_SIZE, sure: float | None = None):
    """A detector, one of `NAMES`: called with an RGB image it returns a list of `Face`, the best first.

    `file`: its cascade or network, or a folder with it, instead of the one that is shipped or fetched. `sure`: 0 to 1,
    the score of a network; of a cascade, a tenth of the windows that must agree; None: the detector's own.
    Raises ValueError: an unknown name, a number out of range, or a file that is no such detector; FileNotFoundError,
    ConnectionError: its file is not there, or cannot be fetched; says what to do.
    """
    if name not in NAMES:
        raise ValueError(f"detector is {name!r}, expected one of {', '.join(NAMES)}")
    if min_size < SMALLEST or (sure is not None and not 0 <= sure <= 1):
        raise ValueError(f"min_size is {min_size}, sure {sure}: expected at least {SMALLEST} pixels, and 0 to 1")
    given = {} if sure is None else {"sure": sure}  # else each detector's own
    if name == "pocket":
        return load(file, min_size, **given)
    if name == "photo":
        if file is not None:
            raise ValueError(f"'{file}': the detector for photos has its own files; leave out --cascade")
        return BlazeFace(min_size, **given)
    return Cascade(ANIMEFACE.find(file), min_size, **given)


class Cascade:
    """A cascade of local binary patterns (an XML file, which OpenCV 5 reads no more), by scikit-image.

    As in OpenCV 4, the picture, equalised and grey, is shrunk step by step under a window of one size; each window that
    passes is a vote, and `NEIGHBOURS` times `sure` must agree. Raises ValueError: another file.
    """

    def __init__(self, path: Path, min_size: int = MIN_SIZE, sure: float = 0.5):
        from skimage.feature import Cascade as Patterns

        try:  # scikit-image crashes on a cascade of another kind, such as OpenCV's of Haar features
            if ElementTree.parse(path).findtext("cascade/featureType", "").strip() != "LBP":
                raise ValueError("another kind of cascade")
            self.cascade = Patterns(str(path))
        except (SyntaxError, AttributeError, IndexError, TypeError, ValueError, OverflowError, MemoryError) as error:
            raise ValueError(f"'{path}' is no cascade of local binary patterns: expected {ANIMEFACE.name}") from error
        self.min_size, self.neighbours = min_size, max(1, round(NEIGHBOURS * sure))

    def __call__(self, image: Image.Image) -> list[Face]:
        """The score of a face is the number of windows that agree on it, its box their mean."""
        boxes, faces = self._windows(image), []
        for box in boxes:
            near = boxes[overlap(box, boxes) > SAME]
            if len(near) >= self.neighbours:
                faces.append(Face(tuple(near.mean(0).tolist()), float(len(near))))
        return distinct(faces)

    def _windows(self, image: Image.Image) -> np.ndarray:
        """Boxes of all windows that pass, [n, 4] in pixels."""
        grey = cv2.equalizeHist(np.asarray(image.convert("L")))
        window = np.array([self.cascade.window_width, self.cascade.window_height])
        boxes, scale = [np.empty((0, 4))], max(1.0, self.min_size / min(window))
        while (scale * window <= image.size).all():
            small = cv2.resize(grey, [round(side / scale) for side in image.size])
            step = 1 if scale > 2 else 2  # pixels between windows, as OpenCV has it
            one_size = window[::-1], window[::-1] + 1
            passed = self.cascade.detect_multi_scale(small, SHRINK, step, *one_size, 1, 1.0)  # ungrouped
            corners = np.array([(w["c"], w["r"]) for w in passed]).reshape(-1, 2)
            boxes.append(np.hstack([corners, corners + window]) * scale)
            scale *= SHRINK
        return np.concatenate(boxes)


def choose(pages: Sequence[Image.Image], min_size: int = MIN_SIZE) -> tuple[str, str]:
    """The name of the detector that suits these pages, and why, by the number of faces that each finds on them.

    On rendered pages `pocket` is very sure of its faces; on drawn ones `animeface` finds more than `photo`, which finds
    some drawn faces too; on photos it finds none. Raises ValueError: none finds a face; says how to name one.
    """
    counts, note = {"pocket": 0, "photo": 0}, ""
    for name in (*counts, "animeface"):
        try:
            detector = make(name, min_size=min_size)
        except OSError:  # it is not here and cannot be fetched
            note = "; animeface, for drawn pages, is not here and could not be fetched (--cascade FILE)"
            continue
        faces = [face for page in pages for face in on_pages(detector, page)]
        counts[name] = sum(name != "pocket" or face.score >= PLAINLY for face in faces)
    why = ", ".join(f"{name} finds {count}" for name, count in counts.items())
    why = f"on {counted(len(pages), 'page')} {why}{note}"
    if not any(counts.values()):
        raise ValueError(f"no face was found to choose the detector by ({why}): name it with --detector")
    drawn = counts.get("animeface", 0)
    if counts["pocket"] >= max(1, 0.7 * max(counts["photo"], drawn)):
        return "pocket", why
    return ("animeface" if drawn > counts["photo"] else "photo"), why


def on_pages(detector: Detector, image: Image.Image) -> list[Face]:
    """Faces of a picture of any shape, each once, from top to bottom: a tall strip in tiles twice as high as wide.

    Neighbouring tiles overlap by half, so every face that fits the page lies whole in one of them; faces that a tile's
    edge cuts are left to the next.
    """
    short, long = sorted(image.size)
    if short < SMALLEST:
        return []
    along = int(image.height >= image.width)  # the axis of the long side: 0 for x, 1 for y
    tile, faces = min(long, 2 * short), []
    for first in sorted({*range(0, long - tile, short), long - tile}):  # the last tile ends with the page
        x, y = (0, first) if along else (first, 0)
        part = image.crop((x, y, min(image.width, x + tile), min(image.height, y + tile)))
        for face in detector(part):
            start, end, near = face.box[along], face.box[along + 2], 0.02 * face.side
            if (first == 0 or start >= near) and (first + tile == long or end <= tile - near):  # whole
                faces.append(face.moved(x, y))
    return sorted(distinct(faces), key=lambda face: (face.box[1], face.box[0]))
