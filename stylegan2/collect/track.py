"""One face through a clip: found in every frame, followed, its squares smoothed over time.

    places = np.array([follower(frame) for frame in frames])     # [T, 4], NaN where no face was found
    face = cut(frames[0], corners(smooth(places, sigma=2)[0]), 256)

A place is a square as four numbers: its centre, and the vector from there to the middle of its right side, in pixels.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from PIL import Image

from stylegan2.collect import align
from stylegan2.collect.align import FFHQ, Frame, NoFace, Person

NEAR = 1.5  # sides of the last square: as wide is the part of a frame where the face is sought first
JUMP, GROWTH = 0.5, 1.6  # sides, and times: what moves or grows more between two frames is another scene
GAP = 12  # frames without a face, after which a new scene begins
PATIENCE = 6  # frames in which the face is not where it could be, after which another one is followed
REACH = 3  # sigmas, beyond which a frame has no weight
NOWHERE = np.full(4, np.nan)


class Follower:
    """Finds a face frame by frame: first near where it was, then in the whole frame; of several the nearest one.

    A face that it cannot have become since then is another one, and followed only after some frames (`PATIENCE`).

    face: which one to follow, 1 the surest of the first frame that has so many. frame: where it lies in its square.
    """

    def __init__(self, face: int = 1, frame: Frame = FFHQ):
        self.face, self.frame = face, frame
        self.last: np.ndarray | None = None  # the place where it was
        self.missed = 0  # frames since then

    def __call__(self, image: Image.Image) -> np.ndarray:
        """The place of the face in an RGB image: float [4], NaN where it is not found."""
        if self.last is None:
            people = _people(image)
            if len(people) < self.face:
                return NOWHERE
            self.last = of_head(people[self.face - 1], self.frame)
            return self.last
        places = [of_head(person, self.frame) for person in self._nearby(image) or _people(image)]
        nearest = min(places, key=lambda one: np.hypot(*(one - self.last)[:2]), default=None)
        if nearest is None or self.missed < PATIENCE and jumps(self.last, nearest, self.missed + 1):
            self.missed += 1
            return NOWHERE
        self.last, self.missed = nearest, 0
        return nearest

    def _nearby(self, image: Image.Image) -> list[Person]:
        """The faces around the last place, in pixels of the whole image."""
        half = NEAR * np.hypot(*self.last[2:])
        left, top = (int(v) for v in np.floor(self.last[:2] - half))
        part = image.crop((left, top, left + int(2 * half), top + int(2 * half)))
        return [_moved(person, left, top) for person in _people(part)]


def _people(image: Image.Image) -> list[Person]:
    try:
        return align.find_people(image)
    except NoFace:
        return []


def _moved(person: Person, x: int, y: int) -> Person:
    points = [(a + x, b + y) for a, b in (person.left_eye, person.right_eye, person.mouth)]
    return Person(*points, person.face.moved(x, y))


def of_head(person: Person, frame: Frame) -> np.ndarray:
    """The place of a face [4]: its square as a photo's, moved sideways by `frame.ears`.

    A head that turns carries its eyes with it, but hardly the middle of its ears. To a model of heads that turn in the
    middle of the picture, a square around the eyes would show one that wanders.
    """
    own = place(align.square_of(person, frame))
    if frame.ears and person.face is not None:
        right, left, _, _, *ears = person.face.landmarks
        across = own[2:] / np.hypot(*own[2:])
        own[:2] += frame.ears * across * (across @ ((ears[0] + ears[1]) - (right + left))) / 2
    return own


def place(square: np.ndarray) -> np.ndarray:
    """Corners of a square, as of `align.square_of`, as a place [4]."""
    return np.concatenate([square.mean(0), (square[2] + square[3] - square[0] - square[1]) / 4])


def corners(place: np.ndarray) -> np.ndarray:
    """The other way round: [4] -> [4, 2]."""
    return align.corners_of(place[:2], place[2:])


def scenes(places: np.ndarray) -> list[np.ndarray]:
    """Numbers of the frames with a face, as runs in which it moves without a jump: [T, 4] -> increasing int arrays."""
    seen = np.flatnonzero(~np.isnan(places[:, 0]))
    if not len(seen):
        return []
    new = [j - i > GAP or jumps(places[i], places[j], j - i) for i, j in pairwise(seen)]
    return np.split(seen, np.flatnonzero(new) + 1)


def jumps(a: np.ndarray, b: np.ndarray, frames: int = 1) -> bool:
    """Are two places [4] further apart than a face gets in so many frames (at most twice as far as in one)?"""
    sides = 2 * np.hypot(*np.stack([a[2:], b[2:]], 1))
    return np.hypot(*(a - b)[:2]) > min(frames, 2) * JUMP * sides.min() or sides.max() > GROWTH * sides.min()


def short_gaps(places: np.ndarray, most: float) -> np.ndarray:
    """Which frames, bool [T], lie in a gap of at most so many frames between places [T, 4] of one face."""
    short, faces = np.zeros(len(places), bool), np.flatnonzero(~np.isnan(places[:, 0]))
    for i, j in pairwise(faces):
        if j - i - 1 <= most and not jumps(places[i], places[j], j - i):
            short[i + 1 : j] = True
    return short


def smooth(places: np.ndarray, sigma: float) -> np.ndarray:
    """Places [T, 4], smoothed over time: of each scene a straight line is fitted around every frame, with a Gaussian's
    weights of `sigma` frames; 0 changes nothing. (A mean would lag behind a face that moves, at the ends of a scene.)
    """
    smoothed = places.copy()
    for times in scenes(places) if sigma else ():
        for t in times:
            near = times[abs(times - t) <= REACH * sigma]
            weights = np.exp(-0.5 * ((near - t) / sigma) ** 2)
            line = np.polyfit(near - t, places[near], 1, w=np.sqrt(weights)) if len(near) > 2 else None
            smoothed[t] = places[t] if line is None else line[1]
    return smoothed
