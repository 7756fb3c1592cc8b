"""Photos, turned and cut so that faces sit where a generator expects them (FFHQ: arXiv 1710.10196, appendix C).

    photo = images.decode(path.read_bytes())      # upright: EXIF rotation is applied
    people = find_people(photo)                   # eyes and mouth of every face, the surest first
    face = cut(photo, square_of(people[0]), 256)

What lies outside the photo is mirrored.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from stylegan2 import display
from stylegan2.collect import detectors

SUPERSAMPLING = 4  # a turned square is resampled this much larger, then shrunk
SMALLEST = 16  # pixels of a face
NEEDED = (
    f"eyes, nose and mouth should be seen, and the face be at least {SMALLEST} pixels wide; or give the square around "
    "it by hand (box, --box LEFT,TOP,SIDE, in pixels)"
)
CORNERS = 0.94  # BlazeFace points at the middle of the lips; the recipe means their corners, which lie this far down
TAKEN, OTHER = "#ff3b6b", "#8a8a94"  # colours of the squares that are taken, and of others


class NoFace(ValueError):
    """No face was found; the message says what to do."""


@dataclass(frozen=True)
class Frame:
    """Where a face lies in its square."""

    eyes: float = 4.0  # side of the square in distances between the eyes, at least
    mouth: float = 3.6  # side in distances from eyes to mouth, at least
    below: float = 0.1  # how far below the eyes the centre lies, in distances from eyes to mouth; negative: above them
    ears: float = 0.0  # in clips: how far the centre lies sideways, from the middle of the eyes to that of the ears


FFHQ = Frame()
POCKET = Frame(eyes=4.4, mouth=4.2, below=-0.07, ears=1.0)  # rendered photos' mean landmarks, weighed for real faces


@dataclass(frozen=True)
class Person:
    """A face in a photo: the middles of eyes and mouth, in pixels (x to the right, y down)."""

    left_eye: tuple[float, float]  # left as seen in the photo
    right_eye: tuple[float, float]
    mouth: tuple[float, float]
    face: detectors.Face | None = field(default=None, compare=False, repr=False)  # as the detector has it


def find_people(image: Image.Image) -> list[Person]:
    """The faces of an upright RGB photo, the surest first. Raises NoFace: there is none."""
    people = []
    for face in detectors.make("photo", min_size=SMALLEST)(image):
        right, left, _, mouth = face.landmarks[:4]  # of the person: in the picture its right eye is at the left
        eyes = (left + right) / 2
        corners = eyes + CORNERS * (mouth - eyes)
        people.append(Person(tuple(right.tolist()), tuple(left.tolist()), tuple(corners.tolist()), face))
    if not people:
        raise NoFace(f"no face found in this photo ({image.width}x{image.height} pixels): {NEEDED}")
    return people


def square_of(person: Person, frame: Frame = FFHQ) -> np.ndarray:
    """Corners of the square to cut: upper left, lower left, lower right, upper right, float [4, 2] in pixels.

    Raises ValueError: eyes and mouth in one point.
    """
    left, right, mouth = (np.array(p, dtype=float) for p in (person.left_eye, person.right_eye, person.mouth))
    middle = (left + right) / 2
    across, up = right - left, middle - mouth
    axis = across + _turned(up)  # both lines say which way the face is turned: neither is trusted alone
    if not np.hypot(*axis):
        raise ValueError(f"{person}: eyes and mouth lie in one point")
    half = max(frame.eyes * np.hypot(*across), frame.mouth * np.hypot(*up)) / 2
    return corners_of(middle - frame.below * up, axis / np.hypot(*axis) * half)


def corners_of(centre: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Corners, as `square_of` gives them, of the square around a point; x [2] leads from it to the right side."""
    y = _turned(x)
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def _turned(vector: np.ndarray) -> np.ndarray:
    """Turned by 90 degrees, from "right" to "down"."""
    return np.array([-vector[1], vector[0]])


def box_square(left: float, top: float, side: float) -> np.ndarray:
    """Corners of an upright square given by hand, as `square_of` gives them. Raises ValueError: no positive side."""
    if not side > 0:
        raise ValueError(f"the square's side is {side:g}, expected more than 0 pixels")
    return np.array([(left, top), (left, top + side), (left + side, top + side), (left + side, top)], dtype=float)


def cut(image: Image.Image, corners: np.ndarray, size: int) -> Image.Image:
    """The square (see `square_of`, `box_square`) of an RGB photo as an image of size x size pixels, mirrored outside.

    Raises ValueError: a square whose centre lies outside the photo, or that is much larger than it.
    """
    centre, side = corners.mean(0), math.dist(corners[0], corners[1])
    if not (0 <= centre[0] <= image.width and 0 <= centre[1] <= image.height) or side > 4 * max(image.size):
        raise ValueError(
            f"the square around ({centre[0]:.0f}, {centre[1]:.0f}) with a side of {side:.0f} does not fit a photo of "
            f"{image.width}x{image.height} pixels"
        )
    image, corners = _needed(image, corners, max(1, int(side / size / 2)))
    if corners[0, 1] == corners[3, 1] and corners[0, 0] == corners[1, 0]:  # upright: a resize does it, ten times faster
        return image.resize((size, size), Image.Resampling.LANCZOS, box=(*corners[0], *corners[2]))
    large = (size * SUPERSAMPLING,) * 2
    turned = image.transform(large, Image.Transform.QUAD, tuple(corners.ravel()), Image.Resampling.BILINEAR)
    return turned.resize((size, size), Image.Resampling.LANCZOS)


def _needed(image: Image.Image, corners: np.ndarray, factor: int) -> tuple[Image.Image, np.ndarray]:
    """The part of the photo that a square needs, shrunk by `factor`, mirrored beyond its edges; the corners in it."""
    corners = corners / factor
    low, high = np.floor(corners.min(0)).astype(int) - 2, np.ceil(corners.max(0)).astype(int) + 2
    x, y = (_mirrored(np.arange(*ends), -(-side // factor)) for *ends, side in zip(low, high, image.size, strict=True))
    first, last = factor * np.array([x.min(), y.min()]), factor * np.array([x.max() + 1, y.max() + 1])
    pixels = np.asarray(image.reduce(factor, (*first.tolist(), *np.minimum(last, image.size).tolist())))
    return Image.fromarray(pixels[np.ix_(y - y.min(), x - x.min())]), corners - low


def _mirrored(places: np.ndarray, length: int) -> np.ndarray:
    """Places on a line, those beyond its ends mirrored at them: 0, 1, ... `length` - 1."""
    places = places % max(1, 2 * (length - 1))
    return np.minimum(places, 2 * (length - 1) - places) if length > 1 else places


def marked(
    image: Image.Image,
    people: Sequence[Person],
    frame: Frame = FFHQ,
    side: int = 640,
    taken: Container[int] | None = None,
) -> Image.Image:
    """The RGB photo, resized to a longest side of `side` pixels, with every face's square, eyes, mouth and number.

    `taken`: positions of the faces that are taken; the others are grey. None: all.
    """
    factor = side / max(image.size)
    size = tuple(max(1, round(length * factor)) for length in image.size)
    shown = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    pen = ImageDraw.Draw(shown)
    for i in sorted(range(len(people)), key=lambda i: taken is not None and i in taken):  # the taken on top
        person, colour = people[i], TAKEN if taken is None or i in taken else OTHER
        corners = [tuple(point) for point in square_of(person, frame) * factor]
        pen.line([*corners, corners[0]], fill=colour, width=3)
        for x, y in (person.left_eye, person.right_eye, person.mouth):
            x, y, r = x * factor, y * factor, max(2, side // 160)
            pen.ellipse((x - r, y - r, x + r, y + r), outline="#ffd23b", width=2)
        at = min(max(corners[0][0], 0) + 6, shown.width - 12), min(max(corners[0][1], 0) + 4, shown.height - 18)
        pen.text(at, str(i + 1), fill=colour, font=display.font(), stroke_width=2, stroke_fill="white")
    return shown
