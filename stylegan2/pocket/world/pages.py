"""Webtoon pages of rendered faces: tall strips of panels with speech balloons, whose faces are known.

    page = make_strip(seed=7)
    page.image        # RGB, 400 pixels wide, as tall as it takes
    page.boxes        # [(x0, y0, x1, y1), ...] around every face, in pixels

They stand in for real pages where none may be fetched: the crawler's stand-in site serves them, the small detector is
trained on them, and its errors can be counted. A face's box is the square around brows, chin and the sides of the face
(see `face_boxes`), about what cascades for faces report.
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
SEED, FACES = 10_000_000, 100  # of the faces, so many to a page: sequences that nothing else draws from
LARGEST = 256  # pixels of a rendered face; larger ones are enlarged
PAPERS = ("#ffffff", "#ffffff", "#ffffff", "#ffffff", "#14141c", "#f7efe2")  # of the page, mostly white
SKIES = (("#8ec5ff", "#e8f4ff"), ("#ffb88c", "#de6262"), ("#2b3a67", "#6a7fb8"), ("#c9e4ca", "#87bba2"))
WALLS = (("#efe0c9", "#d9c3a3"), ("#d7d4e8", "#b3aed1"), ("#f4d6d6", "#e3aeae"), ("#3b3b4a", "#22222c"))
INK = "#1a1a22"
WORDS = ("well", "so", "that", "is", "what", "you", "meant", "but", "why", "did", "nobody", "tell", "me", "wait", "no")
SOUNDS = ("BAM!", "...", "SWISH", "!?", "TAP TAP", "DOOM")


@dataclass
class Strip:
    """A page and what is on it.

    Attributes:
        image: RGB.
        boxes: of the faces, (x0, y0, x1, y1) in pixels, from top to bottom.
    """

    image: Image.Image
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)

    def put(self, other: Strip, left: int, top: int, mask: Image.Image | None = None) -> None:
        """Paste another one with its faces, its corner at (left, top)."""
        self.image.paste(other.image, (left, top), mask)
        self.boxes += [(x0 + left, y0 + top, x1 + left, y1 + top) for x0, y0, x1, y1 in other.boxes]


def face_boxes(landmarks: Tensor) -> Tensor:
    """Squares around faces: as wide as the face is, from its middle between brows and chin.

    Args:
        landmarks: [N, len(pocket.LANDMARKS), 2] in any unit.

    Returns:
        [N, 4], x0, y0, x1, y1 in that unit.
    """
    at = {name: landmarks[:, i] for i, name in enumerate(world.LANDMARKS)}
    width = (at["face_right"] - at["face_left"]).norm(dim=1)
    brows = (at["brow_left"] + at["brow_right"]) / 2
    height = (at["chin"] - brows).norm(dim=1)
    half = torch.maximum(width, height)[:, None] / 2
    centre = ((at["face_left"] + at["face_right"]) / 2 + (brows + at["chin"]) / 2) / 2
    return torch.cat([centre - half, centre + half], dim=1)


class _Pen(random.Random):
    """Random choices of one page, and its faces, one after the other."""

    def __init__(self, seed: int):
        super().__init__(f"strip {seed}")
        self.next_face = SEED + FACES * seed

    def face(self, side: int) -> Strip:
        """Another face with its background, side x side."""
        faces, self.next_face = world.sample(DOMAIN, 1, seed=self.next_face), self.next_face + 1
        image = world.render(faces, DOMAIN, max(16, min(side, LARGEST)))[0].permute(1, 2, 0).numpy()
        box = tuple((face_boxes(world.landmarks(faces, DOMAIN))[0] * side).tolist())
        return Strip(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS), [box])


def make_strip(seed: int, panels: int = 4, width: int = 400) -> Strip:
    """A page of that many panels: the same seed always gives the same page.

    Args:
        seed: of everything on it.
        panels: one below the other.
        width: in pixels.

    Raises:
        ValueError: no panel, or a page under 160 pixels.
    """
    if panels < 1 or width < 160:
        raise ValueError(f"panels is {panels}, width {width}: expected at least 1 panel and 160 pixels")
    rng = _Pen(seed)
    paper = rng.choice(PAPERS)
    page, top = Strip(Image.new("RGB", (width, 1), paper)), rng.randint(20, 60)
    for _ in range(panels):
        margin = rng.choice((0, 0, round(width * 0.05), round(width * 0.1)))
        panel = _panel(rng, width - 2 * margin)
        _balloons(rng, panel)
        if rng.random() < 0.7:
            _border(panel.image, max(2, width // 160))
        page = _below(page, panel, margin, top, paper)
        top = page.image.height + rng.randint(30, 130)
    page.image = _below(page, Strip(Image.new("RGB", (1, 1), paper)), 0, top, paper).image
    return page


def _below(page: Strip, panel: Strip, left: int, top: int, paper: str) -> Strip:
    """The page with another panel at (left, top)."""
    longer = Strip(Image.new("RGB", (page.image.width, top + panel.image.height), paper))
    longer.put(page, 0, 0)
    longer.put(panel, left, top)
    return longer


# -------------------------------------------------------------------------------------------------------------- panels


def _panel(rng: _Pen, width: int) -> Strip:
    """A close-up, two people talking, a small figure in a scene, or nobody at all."""
    kind = rng.choices(("close", "pair", "scene", "nobody"), (4, 3, 3, 2))[0]
    if kind == "close":
        return _close(rng, width)
    if kind == "pair":
        return _pair(rng, width)
    panel = Strip(_scenery(rng, width, round(width * rng.uniform(0.5, 1.0))))
    if kind == "scene":
        _figures(rng, panel)
    return panel


def _close(rng: _Pen, width: int) -> Strip:
    """A face that fills the panel; upper and lower rim may be cut, the face itself is not."""
    panel = rng.face(width)
    (box,) = panel.boxes
    top, bottom = round(rng.uniform(0, 0.4) * box[1]), round(width - rng.uniform(0, 0.4) * (width - box[3]))
    moved = (box[0], box[1] - top, box[2], box[3] - top)
    return Strip(panel.image.crop((0, top, width, bottom)), [moved])


def _pair(rng: _Pen, width: int) -> Strip:
    """Two or three people side by side, each in front of the own wall, with a line between them."""
    count = rng.choice((2, 2, 3))
    side = width // count
    panel = Strip(Image.new("RGB", (width, side), INK))
    for i in range(count):
        panel.put(rng.face(side), i * side, 0)
    pen = ImageDraw.Draw(panel.image)
    for i in range(1, count):
        pen.line([(i * side, 0), (i * side, side)], INK, 3)
    return panel


def _figures(rng: _Pen, panel: Strip) -> None:
    """One or two small people in round windows of a scene."""
    width, height = panel.image.size
    count = rng.choice((1, 2))
    for i in range(count):
        side = round(width * rng.uniform(0.2, 0.4))
        side = min(side, height - 8, width // count - 8)
        face = rng.face(side)
        left = round(rng.uniform(i * width / count + 2, (i + 1) * width / count - side - 2))
        top = round(rng.uniform(2, height - side - 2))
        mask = Image.new("L", (side, side), 0)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, side - 1, side - 1), side * rng.choice((0.02, 0.25, 0.5)), 255)
        panel.put(face, left, top, mask)


def _scenery(rng: _Pen, width: int, height: int) -> Image.Image:
    """A sky with hills and sun, or a room with furniture: nothing with a face."""
    outside = rng.random() < 0.5
    upper, lower = rng.choice(SKIES if outside else WALLS)
    image = _gradient(width, height, upper, lower)
    pen = ImageDraw.Draw(image)
    if outside:
        x, y, r = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.4) * height, rng.uniform(0.04, 0.12) * width
        pen.ellipse((x - r, y - r, x + r, y + r), fill="#fff3c4", outline=INK, width=2)
        for depth in range(3):
            _hill(rng, pen, width, height, depth)
    else:
        for _ in range(rng.randint(2, 5)):
            w, h = rng.uniform(0.1, 0.35) * width, rng.uniform(0.1, 0.5) * height
            x, y = rng.uniform(0, width - w), rng.uniform(0.2 * height, height - h)
            colour = "#" + "".join(f"{rng.randint(70, 220):02x}" for _ in range(3))
            shape = rng.choice((pen.rectangle, pen.ellipse))
            shape((x, y, x + w, y + h), fill=colour, outline=INK, width=2)
    if rng.random() < 0.4:
        _sound(rng, image)
    return image


def _gradient(width: int, height: int, upper: str, lower: str) -> Image.Image:
    ramp = Image.linear_gradient("L").resize((width, height))
    return Image.composite(Image.new("RGB", ramp.size, lower), Image.new("RGB", ramp.size, upper), ramp)


def _hill(rng: _Pen, pen: ImageDraw.ImageDraw, width: int, height: int, depth: int) -> None:
    level, waves, phase = 0.5 + 0.15 * depth, rng.uniform(1, 3), rng.uniform(0, 6)
    points = [
        (x, height * (level + 0.08 * math.sin(phase + waves * 2 * math.pi * x / width))) for x in range(0, width + 8, 8)
    ]
    shade = 150 - 40 * depth
    pen.polygon([(0, height), *points, (width, height)], fill=(shade // 2, shade, shade // 2 + 20), outline=INK)


def _sound(rng: _Pen, image: Image.Image) -> None:
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


def _border(image: Image.Image, thickness: int) -> None:
    ImageDraw.Draw(image).rectangle((0, 0, image.width - 1, image.height - 1), outline=INK, width=thickness)


# ------------------------------------------------------------------------------------------------------------ balloons


def _balloons(rng: _Pen, panel: Strip) -> None:
    """Up to two speech balloons where no face is; a place that cannot be found is not forced."""
    taken = list(panel.boxes)
    for _ in range(rng.choice((0, 1, 1, 2))):
        words = " ".join(rng.choices(WORDS, k=rng.randint(2, 7)))
        for _ in range(12):
            w, h = round(panel.image.width * rng.uniform(0.24, 0.4)), round(panel.image.width * rng.uniform(0.13, 0.2))
            if w >= panel.image.width or h >= panel.image.height:
                break
            x, y = rng.randint(0, panel.image.width - w), rng.randint(0, panel.image.height - h)
            box = (x, y, x + w, y + h)
            if not any(_touch(box, other) for other in taken):
                _balloon(rng, panel, box, words)
                taken.append(box)
                break


def _touch(a: tuple, b: tuple) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _balloon(rng: _Pen, panel: Strip, box: tuple[int, int, int, int], words: str) -> None:
    """An ellipse with a tail towards the nearest face and a few words, drawn large and shrunk for smooth edges."""
    k = 3
    size = (box[2] - box[0], box[3] - box[1])
    pad = size[1] // 2
    canvas = Image.new("RGBA", ((size[0] + 2 * pad) * k, (size[1] + 2 * pad) * k))
    pen = ImageDraw.Draw(canvas)
    inner = tuple(v * k for v in (pad, pad, pad + size[0], pad + size[1]))
    _tail(pen, panel, box, pad, k)
    pen.ellipse(inner, fill="white", outline=INK, width=2 * k)
    font = ImageFont.load_default(max(9, size[1] // 5) * k)
    lines = _lines(words, font, size[0] * k * 0.75)
    pen.multiline_text(
        ((inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2), lines, INK, font, anchor="mm", align="center"
    )
    small = canvas.resize((canvas.width // k, canvas.height // k), Image.Resampling.LANCZOS)
    panel.image.paste(small, (box[0] - pad, box[1] - pad), small)


def _tail(pen: ImageDraw.ImageDraw, panel: Strip, box: tuple[int, int, int, int], pad: int, k: int) -> None:
    """A short triangle from the balloon's middle towards the nearest face."""
    if not panel.boxes:
        return
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    faces = [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in panel.boxes]
    to = min(faces, key=lambda face: math.dist(face, middle))
    angle = math.atan2(to[1] - middle[1], to[0] - middle[0])
    reach = [(box[2] - box[0]) / 2 + pad * 0.4, (box[3] - box[1]) / 2 + pad * 0.4]
    centre = [(pad + (box[2] - box[0]) / 2) * k, (pad + (box[3] - box[1]) / 2) * k]
    points = [
        tuple(c + r * k * part * f(angle + turn) for c, r, f in zip(centre, reach, (math.cos, math.sin), strict=True))
        for part, turn in ((0.7, 0.2), (1.0, 0.0), (0.7, -0.2))
    ]
    pen.polygon(points, fill="white", outline=INK, width=2 * k)


def _lines(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """Words broken into lines of at most that width."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)
