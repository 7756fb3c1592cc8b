"""Photos, turned and cut so that faces sit where a generator expects them (FFHQ: arXiv 1710.10196, appendix C).

    photo = images.decode(path.read_bytes())     # upright: EXIF rotation is applied
    people = find_people(photo)                  # eyes and mouth of every face, the largest first
    face = cut(photo, square_of(people[0]), 256)

Two points decide all: the line between the eyes, and the line from the eyes to the mouth. What lies outside the photo
is mirrored.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from stylegan2.data import detectors

FINDERS = ("auto", "yunet", "haar")
SUPERSAMPLING = 4  # a square is drawn this much larger, then shrunk
TYPICAL_EYES = ((0.31, 0.39), (0.69, 0.39))  # in a face box of the Haar cascade, where no eyes are found
MOUTH_BELOW = 1.05  # eye distances from eyes to mouth, typical of photos; the Haar cascades know no mouths


class NoFace(ValueError):
    """No face was found; the message says what to do."""


@dataclass(frozen=True)
class Frame:
    """Where a face lies in its square.

    Attributes:
        eyes: side of the square in distances between the eyes, at least.
        mouth: side in distances from eyes to mouth, at least.
        below: how far below the eyes the centre lies, in distances from eyes to mouth; negative: above them.
    """

    eyes: float = 4.0
    mouth: float = 3.6
    below: float = 0.1

    def __post_init__(self) -> None:
        if not (self.eyes > 0 and self.mouth > 0 and math.isfinite(self.below)):
            raise ValueError(f"{self}: expected eyes and mouth above 0")


FFHQ = Frame()
POCKET = Frame(eyes=4.4, mouth=4.2, below=-0.07)  # the rendered photos' mean landmarks, weighed for real faces


@dataclass(frozen=True)
class Person:
    """A face in a photo, in pixels (x to the right, y down).

    Attributes:
        left_eye, right_eye: their middles, left and right as seen in the photo.
        mouth: its middle.
        box: (x0, y0, x1, y1) around the face.
    """

    left_eye: tuple[float, float]
    right_eye: tuple[float, float]
    mouth: tuple[float, float]
    box: tuple[float, float, float, float]

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def find_people(image: Image.Image, finder: str = "auto", detector=None) -> list[Person]:
    """The faces of a photo, the largest first.

    Args:
        image: upright RGB.
        finder: "yunet" finds five points in each face, "haar" faces and eyes with what OpenCV brings along (frontal
            faces only); "auto": yunet if its file is here already, else haar.
        detector: used instead of the finder's own, with the same kind of answer.

    Raises:
        NoFace: there is none.
        ValueError: an unknown finder.
    """
    if finder not in FINDERS:
        raise ValueError(f"finder is {finder!r}, expected one of {', '.join(FINDERS)}")
    if finder == "auto":
        finder = "yunet" if detectors.is_here("yunet") else "haar"
    detector = detector or detectors.make(finder)
    people = [_person(image, face) for face in detector(image)]
    if not people:
        raise NoFace(
            f"no face found in this photo ({image.width}x{image.height} pixels, by {finder}): it should look into "
            "the camera and be upright; or give the square around it by hand (box, --box LEFT,TOP,SIDE, in pixels)"
        )
    return sorted(people, key=lambda person: -person.area)


def _person(image: Image.Image, face: detectors.Face) -> Person:
    if face.landmarks is not None:  # YuNet: eyes, nose, corners of the mouth; left and right are the person's own
        points = np.asarray(face.landmarks, dtype=float)
        left, right = sorted((tuple(points[0]), tuple(points[1])))
        return Person(left, right, tuple(points[3:5].mean(0)), face.box)
    left, right = _eyes(image, face.box)
    middle = np.add(left, right) / 2
    across = np.subtract(right, left)
    return Person(left, right, tuple(middle + MOUTH_BELOW * np.array([-across[1], across[0]])), face.box)


def _eyes(image: Image.Image, box: Sequence[float]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The two eyes of a face by OpenCV's cascade; typical places where it does not find two."""
    import cv2

    x0, y0, x1, y1 = box
    upper = image.crop((round(x0), round(y0), round(x1), round(y0 + 0.6 * (y1 - y0)))).convert("L")
    factor = max(1.0, 160 / upper.width)  # the cascade sees no eye under 20 pixels
    grey = np.asarray(upper.resize((round(upper.width * factor), round(upper.height * factor))))
    least = round(0.12 * grey.shape[1])
    found, _, weights = _eye_cascade().detectMultiScale3(
        cv2.equalizeHist(grey), 1.05, 3, minSize=(least, least), outputRejectLevels=True
    )
    side = (x1 - x0, y1 - y0)
    eyes = []
    for typical in TYPICAL_EYES:
        near = [
            (weight, (x0 + (x + w / 2) / factor, y0 + (y + h / 2) / factor))
            for (x, y, w, h), weight in zip(found, np.ravel(weights), strict=True)
            if math.dist(((x + w / 2) / grey.shape[1], (y + h / 2) / factor / side[1]), typical) < 0.15
        ]
        eyes.append(max(near)[1] if near else None)
    if None in eyes:
        return tuple((x0 + a * side[0], y0 + b * side[1]) for a, b in TYPICAL_EYES)
    return tuple(eyes)


@functools.cache
def _eye_cascade():
    """OpenCV's, read once: it is asked for every face."""
    import cv2

    return cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_eye.xml")


def square_of(person: Person, frame: Frame = FFHQ) -> np.ndarray:
    """Corners of the square to cut: upper left, lower left, lower right, upper right, float [4, 2] in pixels.

    Raises:
        ValueError: eyes and mouth in one point.
    """
    left, right, mouth = (np.array(p, dtype=float) for p in (person.left_eye, person.right_eye, person.mouth))
    middle = (left + right) / 2
    across, up = right - left, middle - mouth
    axis = across + _turned(up)  # both lines say which way the face is turned: neither is trusted alone
    if not np.hypot(*axis):
        raise ValueError(f"{person}: eyes and mouth lie in one point")
    half = max(frame.eyes * np.hypot(*across), frame.mouth * np.hypot(*up)) / 2
    x = axis / np.hypot(*axis) * half
    y = _turned(x)
    centre = middle - frame.below * up
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def _turned(vector: np.ndarray) -> np.ndarray:
    """By a quarter, from "right" to "down"."""
    return np.array([-vector[1], vector[0]])


def box_square(left: float, top: float, side: float) -> np.ndarray:
    """Corners of an upright square given by hand, as `square_of` gives them.

    Raises:
        ValueError: no positive side.
    """
    if not side > 0:
        raise ValueError(f"the square's side is {side:g}, expected more than 0 pixels")
    return np.array([(left, top), (left, top + side), (left + side, top + side), (left + side, top)], dtype=float)


def cut(image: Image.Image, corners: np.ndarray, size: int) -> Image.Image:
    """The square as an image of size x size; what lies outside the photo is mirrored.

    Args:
        image: RGB.
        corners: of `square_of` or `box_square`.
        size: in pixels.

    Raises:
        ValueError: a square whose centre lies outside the photo, or that is much larger than it.
    """
    centre, side = corners.mean(0), math.dist(corners[0], corners[1])
    if not (0 <= centre[0] <= image.width and 0 <= centre[1] <= image.height) or side > 4 * max(image.size):
        raise ValueError(
            f"the square around ({centre[0]:.0f}, {centre[1]:.0f}) with a side of {side:.0f} does not fit a photo of "
            f"{image.width}x{image.height} pixels"
        )
    factor = max(1, int(side / size / 2))
    if factor > 1:  # a large photo is first shrunk by a whole number, or the square would skip pixels
        image, corners = image.reduce(factor), corners / factor
    image, corners = _mirrored(image, corners)
    if corners[0, 1] == corners[3, 1] and corners[0, 0] == corners[1, 0]:  # upright: a resize does it, ten times faster
        return image.resize((size, size), Image.Resampling.LANCZOS, box=(*corners[0], *corners[2]))
    large = (size * SUPERSAMPLING,) * 2
    drawn = image.transform(large, Image.Transform.QUAD, tuple(corners.ravel()), Image.Resampling.BILINEAR)
    return drawn.resize((size, size), Image.Resampling.LANCZOS)


def _mirrored(image: Image.Image, corners: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """The part of the photo that the square needs, mirrored beyond its edges, and the corners in it."""
    low, high = np.floor(corners.min(0)).astype(int) - 2, np.ceil(corners.max(0)).astype(int) + 2
    before, after = np.maximum(-low, 0), np.maximum(high - image.size, 0)
    pixels = np.asarray(image)
    if before.any() or after.any():  # mirrored from the whole photo: a cut-out alone may be too narrow
        pixels = np.pad(pixels, ((before[1], after[1]), (before[0], after[0]), (0, 0)), mode="reflect")
    (x0, y0), (x1, y1) = low + before, high + before
    pixels = pixels[y0:y1, x0:x1]
    return Image.fromarray(np.ascontiguousarray(pixels)), corners - low


def marked(image: Image.Image, people: Sequence[Person], frame: Frame = FFHQ, side: int = 640) -> Image.Image:
    """The photo with every face's square, eyes and mouth, and its number: to choose from.

    Args:
        image: RGB.
        people: of `find_people`.
        frame: as for `align`.
        side: longest side of the answer in pixels.
    """
    from stylegan2 import display

    factor = side / max(image.size)
    shown = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(shown)
    for number, person in enumerate(people, start=1):
        corners = [tuple(point) for point in square_of(person, frame) * factor]
        pen.line([*corners, corners[0]], fill="#ff3b6b", width=3)
        for x, y in (person.left_eye, person.right_eye, person.mouth):
            x, y = x * factor, y * factor
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), outline="#ffd23b", width=2)
        pen.text((corners[0][0] + 6, corners[0][1] + 4), str(number), fill="#ff3b6b", font=display.font())
    return shown
