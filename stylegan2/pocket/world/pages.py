"""Webtoon pages of rendered faces: tall pages of panels with speech balloons, with a box around every face.

    page = make_page(seed=7)
    page.image        # RGB, 400 pixels wide, as tall as its panels need
    page.boxes        # [(x0, y0, x1, y1), ...] around every face, in pixels

The crawler's local site serves them, and the small detector is trained and measured on them. A face's box is the square
around brows, chin and the sides of the face, about what cascades for faces report.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from stylegan2.pocket import world

DOMAIN = "webtoon"
SEED, FACES = 10_000_000, 100  # seed of the first page's first face, and seeds for a page: used by nothing else
LARGEST = 256  # pixels of a rendered face; larger ones are enlarged
PAPERS = ("#ffffff", "#ffffff", "#ffffff", "#ffffff", "#14141c", "#f7efe2")  # of the page, mostly white
SKIES = (("#8ec5ff", "#e8f4ff"), ("#ffb88c", "#de6262"), ("#2b3a67", "#6a7fb8"), ("#c9e4ca", "#87bba2"))
WALLS = (("#efe0c9", "#d9c3a3"), ("#d7d4e8", "#b3aed1"), ("#f4d6d6", "#e3aeae"), ("#3b3b4a", "#22222c"))
INK = "#1a1a22"
K = 3  # supersampling of balloons: drawn K times larger, then shrunk
WORDS = ("well", "so", "that", "is", "what", "you", "meant", "but", "why", "did", "nobody", "tell", "me", "wait", "no")
SOUNDS = ("BAM!", "...", "SWISH", "!?", "TAP TAP", "DOOM")


@dataclass
class Page:
    """A page, or a part of one: an RGB image, and the boxes of its faces, (x0, y0, x1, y1) in pixels, top to bottom."""

    image: Image.Image
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)

    def put(self, part: Page, left: int, top: int, mask: Image.Image | None = None) -> None:
        """Paste a part with its faces, its corner at (left, top)."""
        self.image.paste(part.image, (left, top), mask)
        self.boxes += [(x0 + left, y0 + top, x1 + left, y1 + top) for x0, y0, x1, y1 in part.boxes]


def face_boxes(landmarks: Tensor) -> Tensor:
    """Squares around faces [N, 4], as x0, y0, x1, y1, of landmarks [N, len(LANDMARKS), 2] in the same unit."""
    at = {name: landmarks[:, i] for i, name in enumerate(world.LANDMARKS)}
    width = (at["face_right"] - at["face_left"]).norm(dim=1)
    brows = (at["brow_left"] + at["brow_right"]) / 2
    height = (at["chin"] - brows).norm(dim=1)
    half = torch.maximum(width, height)[:, None] / 2
    centre = ((at["face_left"] + at["face_right"]) / 2 + (brows + at["chin"]) / 2) / 2
    return torch.cat([centre - half, centre + half], dim=1)


class _Random(random.Random):
    """Random choices of one page, and its faces, one after the other."""

    def __init__(self, seed: int):
        super().__init__(f"strip {seed}")
        self.next_face = SEED + FACES * seed

    def face(self, side: int) -> Page:
        """Another face with its background, side x side."""
        faces = world.sample(DOMAIN, 1, seed=self.next_face)
        self.next_face += 1
        image = world.render(faces, DOMAIN, max(16, min(side, LARGEST)))[0].permute(1, 2, 0).numpy()
        box = tuple((face_boxes(world.landmarks(faces, DOMAIN))[0] * side).tolist())
        return Page(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS), [box])


def make_page(seed: int, panels: int = 4, width: int = 400) -> Page:
    """A page of that many panels, one below the other, ``width`` pixels wide: the same seed gives the same page."""
    rng = _Random(seed)
    paper, top = rng.choice(PAPERS), rng.randint(20, 60)
    placed = []
    for _ in range(panels):
        margin = rng.choice((0, 0, round(width * 0.05), round(width * 0.1)))
        panel = rng.choices((_close, _pair, _figures, _scenery), (4, 3, 3, 2))[0](rng, width - 2 * margin)
        _balloons(rng, panel)
        if rng.random() < 0.7:
            right, bottom = panel.image.width - 1, panel.image.height - 1
            ImageDraw.Draw(panel.image).rectangle((0, 0, right, bottom), outline=INK, width=max(2, width // 160))
        placed.append((panel, margin, top))
        top += panel.image.height + rng.randint(30, 130)
    page = Page(Image.new("RGB", (width, top + 1), paper))
    for panel, left, upper in placed:
        page.put(panel, left, upper)
    return page


# -------------------------------------------------------------------------------------------------------------- panels


def _close(rng: _Random, width: int) -> Page:
    """A face that fills the panel; upper and lower rim may be cut, the face itself is not."""
    face = rng.face(width)
    (box,) = face.boxes
    top, bottom = round(rng.uniform(0, 0.4) * box[1]), round(width - rng.uniform(0, 0.4) * (width - box[3]))
    panel = Page(Image.new("RGB", (width, bottom - top)))
    panel.put(face, 0, -top)
    return panel


def _pair(rng: _Random, width: int) -> Page:
    """Two or three people side by side, each in front of their own background, with a line between them."""
    count = rng.choice((2, 2, 3))
    side = width // count
    panel = Page(Image.new("RGB", (width, side), INK))
    for i in range(count):
        panel.put(rng.face(side), i * side, 0)
    for i in range(1, count):
        ImageDraw.Draw(panel.image).line([(i * side, 0), (i * side, side)], INK, 3)
    return panel


def _figures(rng: _Random, width: int) -> Page:
    """One or two small people in round windows of a scene."""
    panel = _scenery(rng, width)
    height, count = panel.image.height, rng.choice((1, 2))
    for i in range(count):
        side = min(round(width * rng.uniform(0.2, 0.4)), height - 8, width // count - 8)
        face = rng.face(side)
        left = round(rng.uniform(i * width / count + 2, (i + 1) * width / count - side - 2))
        top = round(rng.uniform(2, height - side - 2))
        mask = Image.new("L", (side, side), 0)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, side - 1, side - 1), side * rng.choice((0.02, 0.25, 0.5)), 255)
        panel.put(face, left, top, mask)
    return panel


def _scenery(rng: _Random, width: int) -> Page:
    """A sky with hills and sun, or a room with furniture: nothing with a face."""
    height = round(width * rng.uniform(0.5, 1.0))
    outside = rng.random() < 0.5
    upper, lower = rng.choice(SKIES if outside else WALLS)
    ramp = Image.linear_gradient("L").resize((width, height))
    image = Image.composite(Image.new("RGB", ramp.size, lower), Image.new("RGB", ramp.size, upper), ramp)
    pen = ImageDraw.Draw(image)
    if outside:
        x, y, r = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.4) * height, rng.uniform(0.04, 0.12) * width
        pen.ellipse((x - r, y - r, x + r, y + r), fill="#fff3c4", outline=INK, width=2)
        for depth in range(3):  # hills
            level, waves, phase = 0.5 + 0.15 * depth, rng.uniform(1, 3), rng.uniform(0, 6)
            swing = [(x, 0.08 * math.sin(phase + waves * 2 * math.pi * x / width)) for x in range(0, width + 8, 8)]
            points = [(0, height), *((x, height * (level + y)) for x, y in swing), (width, height)]
            shade = 150 - 40 * depth
            pen.polygon(points, fill=(shade // 2, shade, shade // 2 + 20), outline=INK)
    else:
        for _ in range(rng.randint(2, 5)):
            w, h = rng.uniform(0.1, 0.35) * width, rng.uniform(0.1, 0.5) * height
            x, y = rng.uniform(0, width - w), rng.uniform(0.2 * height, height - h)
            colour = "#" + "".join(f"{rng.randint(70, 220):02x}" for _ in range(3))
            shape = rng.choice((pen.rectangle, pen.ellipse))
            shape((x, y, x + w, y + h), fill=colour, outline=INK, width=2)
    if rng.random() < 0.4:
        _sound(rng, image)
    return Page(image)


def _sound(rng: _Random, image: Image.Image) -> None:
    """A sound in large letters, somewhat turned."""
    text, size = rng.choice(SOUNDS), image.width // rng.randint(5, 9)
    font = ImageFont.load_default(size)
    box = font.getbbox(text, stroke_width=3)
    sign = Image.new("RGBA", (round(box[2]) + 12, round(box[3]) + 12))
    colour = rng.choice(("#ff3b3b", "#ffd23b", "#ffffff"))
    ImageDraw.Draw(sign).text((6, 6), text, colour, font, stroke_width=3, stroke_fill=INK)
    sign = sign.rotate(rng.uniform(-20, 20), Image.Resampling.BICUBIC, expand=True)
    at = (rng.randint(0, max(0, image.width - sign.width)), rng.randint(0, max(0, image.height - sign.height)))
    image.paste(sign, at, sign)


# ------------------------------------------------------------------------------------------------------------ balloons


def _balloons(rng: _Random, panel: Page) -> None:
    """Up to two speech balloons where no face is, or fewer where no place for them is found."""
    width, height = panel.image.size
    taken = list(panel.boxes)
    for _ in range(rng.choice((0, 1, 1, 2))):
        words = " ".join(rng.choices(WORDS, k=rng.randint(2, 7)))
        for _ in range(12):
            w, h = round(width * rng.uniform(0.24, 0.4)), round(width * rng.uniform(0.13, 0.2))
            if w >= width or h >= height:
                break
            x, y = rng.randint(0, width - w), rng.randint(0, height - h)
            box = (x, y, x + w, y + h)
            if not any(_touch(box, other) for other in taken):
                _balloon(rng, panel, box, words)
                taken.append(box)
                break


def _touch(a: tuple, b: tuple) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _balloon(rng: _Random, panel: Page, box: tuple[int, int, int, int], words: str) -> None:
    """An ellipse with a tail towards the nearest face and a few words."""
    width, height = box[2] - box[0], box[3] - box[1]
    pad = height // 2
    canvas = Image.new("RGBA", ((width + 2 * pad) * K, (height + 2 * pad) * K))
    pen = ImageDraw.Draw(canvas)
    _tail(pen, panel, box, pad)
    pen.ellipse((pad * K, pad * K, (pad + width) * K, (pad + height) * K), fill="white", outline=INK, width=2 * K)
    font = ImageFont.load_default(max(9, height // 5) * K)
    lines = _lines(words, font, width * K * 0.75)
    pen.multiline_text((canvas.width / 2, canvas.height / 2), lines, INK, font, anchor="mm", align="center")
    small = canvas.resize((canvas.width // K, canvas.height // K), Image.Resampling.LANCZOS)
    panel.image.paste(small, (box[0] - pad, box[1] - pad), small)


def _tail(pen: ImageDraw.ImageDraw, panel: Page, box: tuple[int, int, int, int], pad: int) -> None:
    """A short triangle from the balloon's middle towards the nearest face."""
    if not panel.boxes:
        return
    w, h = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    faces = [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in panel.boxes]
    x, y = min(faces, key=lambda face: math.dist(face, middle))
    angle = math.atan2(y - middle[1], x - middle[0])
    directions = ((0.7, 0.2), (1.0, 0.0), (0.7, -0.2))  # distance, and angle from that of the face
    points = [
        tuple((pad + r) * K + (r + pad * 0.4) * K * far * f(angle + turn) for r, f in ((w, math.cos), (h, math.sin)))
        for far, turn in directions
    ]
    pen.polygon(points, fill="white", outline=INK, width=2 * K)


def _lines(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """Words broken into lines of at most that width."""
    first, *rest = words.split()
    lines = [first]
    for word in rest:
        if font.getlength(f"{lines[-1]} {word}") > width:
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return "\n".join(lines)
