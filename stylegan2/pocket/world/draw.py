"""The large shapes of a pocket face, back to front: background, hair behind the head, neck, clothes, ears, head, hair.

Every function paints one thing on a :class:`Scene`; `features.py` adds eyes, nose, mouth and what is worn.

Longer than other modules: one face is one stack of shapes, and reads from back to front in one piece.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from stylegan2.pocket.world import shapes
from stylegan2.pocket.world.faces import COLLARS, Faces
from stylegan2.pocket.world.geometry import Geometry, chin_shift, geometry, hairline_at
from stylegan2.pocket.world.styles import SKIN_RAMP, Style

SKIN_SHADOW = (0.50, 0.365, 0.345)  # what shadow leaves of skin: less light, redder
CLOTH_SHADOW = (0.45, 0.44, 0.50)
HAIR_SHADOW = (0.34, 0.31, 0.34)


def rgb(colour: tuple[float, float, float]) -> Tensor:
    """A constant colour as [1, 3, 1, 1]."""
    return torch.tensor(colour, dtype=torch.float32).view(1, 3, 1, 1)


def luma(colour: Tensor) -> Tensor:
    """Lightness [N, 1, 1, 1] of colours [N, 3, 1, 1]."""
    return (colour * rgb((0.3, 0.59, 0.11))).sum(1, keepdim=True)


def saturate(colour: Tensor, amount: float) -> Tensor:
    """Colours moved away from (amount > 1) or towards their grey."""
    grey = luma(colour)
    return (grey + (colour - grey) * amount).clamp(0, 1)


class Scene:
    """A batch of images in progress: canvas [N, 3, H, W] in 0..1, coordinates, attributes, positions and colours."""

    def __init__(self, faces: Faces, style: Style, size: int) -> None:
        self.style, self.size, self.px, n = style, size, 2.0 / size / style.zoom, len(faces)
        self.f = {k: v.float().view(-1, 1, 1) for k, v in faces.values.items() if v.ndim == 1}  # [N, 1, 1]
        self.c = {k: v.view(-1, 3, 1, 1) for k, v in faces.values.items() if v.ndim == 2}  # [N, 3, 1, 1]
        self.g: Geometry = geometry(faces, style)
        self.u, self.v = shapes.grid(size)
        self.u, self.v = (t.expand(n, size, size) / style.zoom for t in (self.u, self.v))
        self._head_frame()
        self.rgb = torch.empty(n, 3, size, size)
        self.rows = slice(0, size)
        self.skin = self._skin()
        self.hair = saturate(self.c["hair_colour"], style.saturation).clamp_min(0.02)
        for name in ("background", "background2", "clothes_colour"):
            self.c[name] = saturate(self.c[name], min(style.saturation, 1.0))

    def _head_frame(self) -> None:
        g, u, v = self.g, self.u, self.v
        if self.style.finish == "paint":  # edges wander a little, as under a brush
            wobble = 0.006 * torch.sin(15 * v + 9 * self.f["texture"]) + 0.004 * torch.sin(27 * u + 19 * v)
            u, v = u + wobble, v + 0.005 * torch.sin(17 * u + 11 * self.f["texture"])
        sin, cos = g.roll.sin(), g.roll.cos()
        dx, dy = u - g.cx, v - g.cy
        self.x, self.y = cos * dx + sin * dy, cos * dy - sin * dx  # [N, H, W]

    def _skin(self) -> Tensor:
        ramp = torch.tensor(SKIN_RAMP)
        place = self.f["skin"].view(-1) * (len(ramp) - 1)
        low = place.long().clamp(0, len(ramp) - 2)
        mixed = torch.lerp(ramp[low], ramp[low + 1], (place - low)[:, None]).view(-1, 3, 1, 1)
        warm = self.f["skin_warmth"].unsqueeze(1) * rgb((0.0, 0.045, -0.11))
        skin = mixed * (1 + warm)
        return saturate(skin, self.style.saturation)

    def band(self, top: float, bottom: float) -> Band:
        """The rows between two heights of the image (-1..1): features only touch their band, which saves most work."""
        first = max(0, int((top * self.style.zoom + 1) / 2 * self.size))
        last = min(self.size, int((bottom * self.style.zoom + 1) / 2 * self.size) + 1)
        return Band(self, slice(first, last))

    def whole(self) -> Band:
        return Band(self, slice(0, self.size))

    def shade(self, base: Tensor, tone: Tensor, shadow: tuple[float, float, float]) -> Tensor:
        """Colour [N, 3, H, W] of a surface: ``tone`` 1 is lit, 0 in shadow (which leaves ``shadow`` of the colour)."""
        if self.style.hard:
            tone = ((tone - 0.5) * (0.10 * self.size) + 0.5).clamp_(0, 1)
        dark = 1 - (1 - rgb(shadow)) * self.style.contrast
        return base * (dark.clamp_min(0.05) + (1 - dark) * tone.unsqueeze(1))


class Band:
    """A view of some rows of a scene, with the painting operations."""

    def __init__(self, scene: Scene, rows: slice) -> None:
        self.scene, self.style, self.px, self.rows = scene, scene.style, scene.px, rows
        self.x, self.y = scene.x[:, rows], scene.y[:, rows]
        self.u, self.v = scene.u[:, rows], scene.v[:, rows]
        self.rgb = scene.rgb[:, :, rows]

    def paint(self, alpha: Tensor, colour: Tensor) -> None:
        """Cover the canvas with a colour ([N, 3, 1, 1] or [N, 3, H, W]) by ``alpha`` [N, H, W]."""
        self.rgb.lerp_(colour.expand_as(self.rgb), alpha.unsqueeze(1))

    def multiply(self, alpha: Tensor, tint: tuple[float, float, float]) -> None:
        """Darken towards ``tint`` times the colour."""
        self.rgb.mul_(1 - alpha.unsqueeze(1) * (1 - rgb(tint)))

    def add(self, alpha: Tensor, light: tuple[float, float, float] = (1.0, 0.97, 0.92)) -> None:
        """Add light towards white."""
        self.rgb.lerp_(rgb(light).expand_as(self.rgb), alpha.unsqueeze(1))

    def fill(self, distance: Tensor, colour: Tensor) -> None:
        self.paint(shapes.coverage(distance, self.px), colour)

    def outline(self, distance: Tensor, base: Tensor, width: float = 1.0, alpha: Tensor | float = 1.0) -> None:
        """The style's line along an edge, in a dark version of ``base`` [N, 3, 1, 1] (if it has lines)."""
        if self.style.line:
            cover = shapes.coverage(distance.abs() - self.style.line * width, self.px)
            self.paint(cover * (self.style.line_alpha * alpha), base * self.style.line_dark)


# ---------------------------------------------------------------- background


def background(scene: Scene) -> None:
    """Fill the canvas: two colours of the attributes, in the manner of the domain."""
    t = (0.5 + 0.42 * scene.v + 0.16 * scene.u * scene.f["light"]).clamp(0, 1)
    scene.rgb.copy_(torch.lerp(scene.c["background"], scene.c["background2"], t.unsqueeze(1)))
    {"blur": _blurred, "pattern": _pattern, "glow": _glow, "vignette": _vignette}[scene.style.background](scene)


def _blurred(scene: Scene) -> None:
    """Large out-of-focus discs of light, as behind a photographed head."""
    band, t = scene.whole(), scene.f["texture"]
    for k in range(2):
        cx, cy = torch.sin(40 * t + 2.6 * k), -0.55 + 0.5 * torch.cos(57 * t + 1.9 * k)
        band.add(0.20 * shapes.coverage(shapes.circle(band.u - cx, band.v - cy, 0.34), 0.22))
    band.multiply(0.22 * shapes.step(band.u * -scene.f["light"], -0.4, 1.3), (0.25, 0.25, 0.3))


def _pattern(scene: Scene) -> None:
    """Flat pastel ground with broad diagonal stripes or dots."""
    band, t = scene.whole(), scene.f["texture"]
    stripes = (torch.sin((band.u + band.v) * 7.0 + 20 * t) * 4 + 0.5).clamp(0, 1)
    dots = (0.5 + (torch.cos(band.u * 9.4) * torch.cos(band.v * 9.4 + 6 * t) - 0.35) * 4).clamp(0, 1)
    shown = torch.where(t < 0.4, stripes, torch.where(t < 0.7, dots, 0 * t))
    band.paint(shown * 0.6, scene.c["background2"] * 0.75 + 0.25)


def _glow(scene: Scene) -> None:
    """A warm round glow behind the head and a soft hill below."""
    band, t = scene.whole(), scene.f["texture"]
    band.add(0.55 * shapes.bell(band.u, band.v + 0.15, 1.0, 1.0), (1.0, 0.96, 0.84))
    hill = band.v - 0.45 - 0.16 * torch.sin(2.2 * band.u + 12 * t)
    band.multiply(0.5 * shapes.coverage(hill * -1, 0.05), (0.80, 0.72, 0.66))


def _vignette(scene: Scene) -> None:
    """Dark ground with a pool of light beside the head, as in old portraits."""
    band = scene.whole()
    band.add(0.13 * shapes.bell(band.u + 0.45 * scene.f["light"], band.v + 0.1, 0.9, 0.9), (0.95, 0.80, 0.55))
    band.multiply(shapes.step(band.u * band.u + band.v * band.v, 0.35, 2.0), (0.30, 0.27, 0.25))


# ---------------------------------------------------------------- hair


class Hair:
    """Distance fields of the hair, shared by its layers and by the shadow it casts: ``mass`` is its whole silhouette,
    ``face`` the opening in which the face shows, both negative inside."""

    def __init__(self, scene: Scene) -> None:
        g, f, x, y = scene.g, scene.f, scene.x, scene.y
        self.x = x - g.hair_x
        lower = shapes.step(y, -0.3, 0.5)
        phase = 6.0 * f["texture"] + x.sign()
        self.wave = torch.sin(11.0 * y + phase)
        t = 6 * f["texture"]
        curl = torch.sin(18 * x + 2.2 * torch.sin(7 * y + t)) * torch.sin(18 * y + 2.2 * torch.sin(8 * x - t))
        bumps = g.hair["curl"] * curl + g.hair["wave"] * 0.55 * self.wave * lower
        self.curl = curl
        self.strand = self._strands(scene)
        tufts = 0.010 * (1 - 0.3 * scene.style.hard) * self.strand * shapes.step(y, 0.0, -0.4)
        self.mass = _hair_mass(g, self.x, y, self.strand) + bumps + tufts
        self.face = _face_opening(scene, self.strand)
        self.front = torch.maximum(torch.maximum(self.mass, -self.face), y - g.hair["side_end"])

    def _strands(self, scene: Scene) -> Tensor:
        """Light and dark along the flow of the hair, -1..1: strands leave the parting and fall down."""
        g, t = scene.g, scene.f["texture"]
        dy = scene.y + g.top * 0.95
        flow = (scene.x - g.part_x) / (dy * dy + 0.12).sqrt() + g.hair["wave"] * 0.9 * self.wave
        strands = 0.6 * torch.sin(15 * flow + 30 * t) + 0.4 * torch.sin(26 * flow + 50 * t + 2 * scene.y)
        curled = (g.hair["curl"] * 28).clamp(0, 0.8)
        return torch.lerp(strands, self.curl, curled)


def _hair_mass(g: Geometry, x: Tensor, y: Tensor, strand: Tensor) -> Tensor:
    """Silhouette: a dome over the head, below it straight sides that flare, a bun or a tail where the style has one."""
    base = -0.06 * g.h
    lean = 0.13 * g.hair["sweep"].clamp(0, 0.6) * g.part_x / g.w
    dome = shapes.ellipse(x - lean * y.clamp_max(0), y - base, g.rx, g.top + base)
    below = y - base
    width = g.rx * (1 + 0.35 * g.hair["flare"] * below - 0.16 * (1.2 * below - g.end).clamp(0, 1))
    sides = shapes.smooth_intersection(x.abs() - width, y - g.end + 0.028 * strand, 0.14)
    mass = torch.where(below < 0, dome, sides)
    side = -torch.where(g.sin.abs() > 0.12, g.sin, g.part_x).sign()
    bun = shapes.ellipse(x + 0.20 * g.w * g.sin, y + g.top + 0.01, 0.19, 0.16) + 9 * (1 - g.hair["bun"])
    tail = _tail(g, x * side, y) + 9 * (1 - g.hair["tail"])
    return shapes.smooth_union(mass, torch.minimum(bun, tail), 0.06)


def _tail(g: Geometry, x: Tensor, y: Tensor) -> Tensor:
    """A ponytail tied high at the back: a tuft beside the crown that falls in a bow beside the neck."""
    tall = 0.40 + 0.55 * g.end
    low = y + 0.42 * g.top - tall
    bow = x - g.w - 0.16 + 0.22 * (low / tall) ** 2 - 0.05 * low
    tuft = shapes.ellipse(x - 0.80 * g.w, y + 0.62 * g.top, 0.24, 0.17)
    return shapes.smooth_union(tuft, shapes.ellipse(bow, low, 0.125, tall), 0.16)


def _face_opening(scene: Scene, strand: Tensor) -> Tensor:
    """Where the front hair leaves the face free: under the hairline and between the locks at its sides."""
    g, f, x, y = scene.g, scene.f, scene.x, scene.y
    t = (x - g.part_x) / g.w
    teeth = (0.018 + 0.022 * f["fringe"]) * (1 + 1.1 * scene.style.hard) * strand
    line = (hairline_at(g, x) + teeth - y) / (1 + (1.1 * g.sweep * g.h * t / g.w) ** 2).sqrt()
    middle = g.line_x + 0.06 * g.w * g.sin
    half = g.w * g.hair["open_w"] * (1 - 0.10 * shapes.step(y, 0.35, 0.75)) + 0.008 * strand
    return shapes.smooth_intersection(line, (x - middle).abs() - half, 0.10)


def _hair_colour(scene: Scene, hair: Hair, depth: float) -> Tensor:
    """Shaded hair [N, 3, H, W]; ``depth`` 1 in front, less behind the head."""
    g, s = scene.g, scene.style
    nx, ny = (hair.x / g.rx).clamp(-1, 1), (scene.y / g.top).clamp(-1, 1)
    tone = 0.62 + 0.30 * nx * scene.f["light"] - 0.30 * ny - 0.22 * nx * nx + 0.20 * s.strands * hair.strand
    if s.hard:
        locks = hair.strand * (1 - 0.8 * (g.hair["curl"] > 0))
        tone = 0.70 + 0.25 * nx * scene.f["light"] - 0.30 * ny.clamp_min(0) + 0.30 * locks - 0.6 * (1 - depth)
    return scene.shade(scene.hair, tone.clamp_(0, 1.15) * depth, HAIR_SHADOW)


def hair_behind(scene: Scene, hair: Hair) -> None:
    """The part of the hair behind neck and shoulders, in the shadow of the head."""
    band = scene.whole()
    band.fill(hair.mass, _hair_colour(scene, hair, 0.62))
    band.outline(hair.mass, scene.hair)


def hair_in_front(scene: Scene, hair: Hair) -> None:
    """Hair over head and shoulders, with its strands and the band of light around the crown."""
    band, g, s = scene.whole(), scene.g, scene.style
    cover = shapes.coverage(hair.front, band.px)
    cover = cover * torch.where(scene.f["hair_style"] == 0, 0.72, 1.0)
    band.paint(cover, _hair_colour(scene, hair, 1.0))
    band.outline(hair.front, scene.hair)
    arc = ((hair.x / g.rx) ** 2 * 0.7 + (scene.y / g.top) ** 2).sqrt()
    upper = shapes.step(scene.y, -0.12, -0.30)
    if s.hard:
        shine = (
            shapes.coverage((arc - 0.77 + 0.05 * hair.strand).abs() - 0.035 - 0.02 * hair.strand, band.px * 1.5) * 0.55
        )
    else:
        shine = torch.exp(-(((arc - 0.80 + 0.03 * hair.strand) / 0.10) ** 2)) * (0.60 + 0.40 * hair.strand) * 0.55
    side = (0.65 + 0.5 * scene.f["light"] * hair.x / g.rx).clamp(0.1, 1)
    gloss = scene.hair * 0.75 + 0.25 + 0.08
    band.paint(cover * shine * upper * side * s.hair_shine, gloss.clamp_max(1))


# ---------------------------------------------------------------- neck and clothes


def neck(scene: Scene, face: Tensor) -> None:
    """Neck with the shadow of the chin."""
    band, g, s = scene.band(0.2, 1), scene.g, scene.style
    x = band.u - g.cx - 0.12 * g.w * g.sin
    wide = s.neck_w * (1 + 0.12 * scene.f["jaw"] + 0.10 * scene.f["face_width"])
    flare = ((band.v - 0.62) * 3).clamp(0, 1) ** 2 * 0.16
    d = x.abs() - wide - flare
    nx = (x / wide).clamp(-1, 1)
    lit = 0.72 + 0.30 * nx * scene.f["light"] - 0.28 * nx * nx
    under = shapes.step(face[:, band.rows], 0.22, 0.02)
    tone = lit * (1 - 0.75 * under) if not s.hard else 1 - shapes.coverage(face[:, band.rows] - 0.10, band.px)
    d = torch.maximum(d, 0.2 - band.v)
    band.fill(d, scene.shade(scene.skin, tone.clamp(0, 1), SKIN_SHADOW))
    band.outline(d, scene.skin)


def clothes(scene: Scene) -> None:
    """Shoulders in a garment with one of the collars."""
    band, g, s, f = scene.band(0.45, 1), scene.g, scene.style, scene.f
    x, y = band.u - 0.5 * g.cx, band.v
    shoulders = shapes.ellipse(x, y - s.shoulder_y - 0.52, 0.98, 0.56)
    cloth = scene.c["clothes_colour"]
    nx = x.clamp(-1, 1)
    tone = 0.80 + 0.28 * nx * f["light"] - 0.30 * nx * nx - 0.08 * torch.sin(9 * nx + 5 * y)
    collar, nw = f["collar"], s.neck_w * 1.12
    crew = -shapes.ellipse(x, y - s.shoulder_y + 0.03, nw, 0.13)
    vee = (_v_edge(s, y) - x.abs()) * 0.76
    cut = torch.where((collar == COLLARS.index("v-neck")) | (collar == COLLARS.index("shirt")), vee, crew)
    body = torch.where(collar == COLLARS.index("turtleneck"), shoulders, torch.maximum(shoulders, cut))
    band.fill(body, scene.shade(cloth, tone.clamp(0, 1), CLOTH_SHADOW))
    band.outline(body, cloth)
    _collar(scene, band, x, y, tone)


def _v_edge(style: Style, y: Tensor) -> Tensor:
    """Half width of a V neck at a height."""
    return style.neck_w * 1.0 - 0.85 * (y - style.shoulder_y + 0.06)


def _collar(scene: Scene, band: Band, x: Tensor, y: Tensor, tone: Tensor) -> None:
    """Turtleneck tube, shirt flaps or a pleated ruff."""
    s, collar, cloth = scene.style, scene.f["collar"], scene.c["clothes_colour"]
    off = {name: 9.0 * (collar != k) for k, name in enumerate(COLLARS)}
    tube = shapes.rounded_box(x, y - s.shoulder_y + 0.01, s.neck_w * 1.22 + 0 * tone, 0.11 + 0 * tone, 0.05 + 0 * tone)
    low = (y - s.shoulder_y - 0.20 + 0.62 * x.abs()) * 0.85
    flaps = torch.maximum(torch.maximum((_v_edge(s, y) - x.abs()) * 0.76, low), x.abs() - s.neck_w * 1.28)
    ruff = shapes.ellipse(x, y - s.shoulder_y - 0.05, 0.52, 0.155) + 0.012 * torch.sin(34 * x)
    pleats = 0.72 + 0.28 * torch.sin(34 * x) - 0.25 * shapes.step(y, s.shoulder_y - 0.06, s.shoulder_y - 0.12)
    knit = scene.shade(cloth, (tone - 0.10).clamp(0, 1), CLOTH_SHADOW)
    band.fill(tube + off["turtleneck"], knit)
    band.outline(tube + off["turtleneck"], cloth)
    shirt = (cloth * 0.55 + 0.42).clamp(0, 1)
    band.fill(flaps + off["shirt"], scene.shade(shirt, tone.clamp(0, 1), CLOTH_SHADOW))
    band.outline(flaps + off["shirt"], cloth)
    white = rgb((0.88, 0.85, 0.77)).expand_as(cloth)
    if float(off["ruff"].min()) == 0:
        band.fill(ruff + off["ruff"], scene.shade(white, pleats.clamp(0, 1), (0.5, 0.48, 0.46)))
        band.outline(ruff + off["ruff"], white)


# ---------------------------------------------------------------- head


def face_distance(scene: Scene) -> Tensor:
    """Distance to the face outline [N, H, W]: round above, |x/w|^2 + |y/h|^jaw = 1 below the eye line."""
    g = scene.g
    t = scene.y / g.h
    x = (scene.x - chin_shift(g) * (0.5 + 0.5 * t).clamp(0, 1)) / g.w
    power = torch.where(t < 0, 2.15, g.jaw)
    steep = torch.exp((power - 1) * torch.log(t.abs().clamp_min(1e-3)))  # |t|^(power-1)
    value = x * x + steep * t.abs() - 1
    slope = ((2 * x / g.w) ** 2 + (power * steep / g.h) ** 2).sqrt_().clamp_min_(0.8)
    return value / slope


def ears(scene: Scene) -> None:
    """Ears at the sides; the far one disappears behind the turning head."""
    band, g = scene.band(-0.5, 0.6), scene.g
    right = band.x > 0.55 * chin_shift(g)
    sign = torch.where(right, 1.0, -1.0)
    near = (1 - 1.9 * sign * g.sin).clamp(0.25, 1.25)
    x = band.x * sign - g.w * (0.985 + 0.03 * near) - 0.10 * g.w * sign * g.sin
    y = band.y - g.eye_y - 0.07
    d = shapes.ellipse(x - 0.12 * y * -1, y, 0.075 * near, 0.135 + 0 * y)
    tone = 0.78 + 0.25 * sign * scene.f["light"] - 0.55 * shapes.bell(x + 0.01, y, 0.04, 0.09)
    band.fill(d, scene.shade(scene.skin, tone.clamp(0, 1), SKIN_SHADOW))
    band.outline(d, scene.skin)
    drop = shapes.circle(x, y - 0.175, 0.036) + 9 * (1 - scene.f["earrings"])
    band.fill(drop, rgb((0.92, 0.78, 0.40)).expand_as(scene.skin))
    band.outline(drop, rgb((0.92, 0.78, 0.40)), 0.6)


def head(scene: Scene, hair: Hair, face: Tensor) -> None:
    """The face: round shading, the shadow of the hair, warm cheeks, light on the forehead."""
    band, g, s, f = scene.whole(), scene.g, scene.style, scene.f
    nx = ((scene.x - 0.5 * chin_shift(g)) / g.w).clamp(-1, 1)
    ny = (scene.y / g.h).clamp(-1, 1)
    nz = (1.02 - nx * nx - ny * ny).clamp_min(0.0).sqrt()
    light = 0.62 * f["light"]
    if s.hard:
        shade = nx * light * 1.1 - 0.38 * nx * nx + 0.78 + 0.09 * torch.cos(4.0 * ny + 0.6)
        cast = shapes.coverage(-hair.face - 0.05 - 0.03 * hair.strand, band.px)
        tone = shade - cast
    else:
        tone = 0.34 + 0.54 * nz + 0.80 * nx * light - 0.14 * ny
        tone = tone - 0.34 * torch.exp(-(hair.face * -9).clamp_min(0)) * (hair.face < 0.1)
    colour = scene.shade(scene.skin, tone.clamp_(0, 1.08), SKIN_SHADOW)
    band.fill(face, colour)
    inside = shapes.coverage(face, 0.10)
    forehead = shapes.bell(scene.x - 0.55 * g.w * g.sin - 0.12 * f["light"], scene.y + 0.36, 0.30, 0.16)
    band.add(inside * 0.16 * s.shine * forehead)
    band.outline(face, scene.skin)
    _cheeks(scene, face)


def _cheeks(scene: Scene, face: Tensor) -> None:
    """Rosy cheeks and freckles."""
    band, g, s, f = scene.band(-0.25, 0.65), scene.g, scene.style, scene.f
    right = band.x > g.mid
    outward = torch.where(right, 1.0, -1.0)
    eye = torch.where(right, g.eye_x[1], g.eye_x[0])
    x, y = (band.x - eye) * outward - 0.05, band.y - 0.5 * (g.eye_y + g.mouth_y) - 0.045
    inside = shapes.coverage(face[:, band.rows], 0.10)
    rosy = shapes.bell(x, y, 0.19, 0.125) if not s.hard else shapes.coverage(shapes.ellipse(x, y, 0.115, 0.06), 0.06)
    alpha = (s.blush + 0.5 * f["blush"]).clamp(0, 0.9) * (0.35 + 0.65 * luma(scene.skin)[:, 0])
    red = scene.skin * rgb((1.03, 0.62, 0.58)) + rgb((0.06, 0.0, 0.0))
    band.paint(inside * rosy * alpha, red.clamp(0, 1))
    spots = (torch.sin(62 * band.x + 3 * band.y) * torch.sin(53 * band.y + 9 * band.x) - 0.25).clamp(0, 1)
    where = shapes.bell(x + 0.05, y + 0.03, 0.30, 0.13)
    band.multiply(inside * spots * where * 0.85 * f["freckles"], (0.66, 0.48, 0.38))


# ---------------------------------------------------------------- last touches


@functools.lru_cache(maxsize=16)
def _tiles(size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(size)
    return torch.randn(1, 1, size, size, generator=generator), torch.randn(1, 1, size, size, generator=generator)


def grain(scene: Scene, amount: float) -> None:
    """Film grain: two fixed tiles of noise, mixed by the face's texture so that it differs from face to face."""
    a, b = _tiles(scene.size)
    angle = (scene.f["texture"] * 40).unsqueeze(1)
    scene.rgb.add_((a * angle.sin() + b * angle.cos()) * amount)


def paint_texture(scene: Scene) -> None:
    """Broad brush strokes in two crossing directions, old varnish, and the weave of the canvas."""
    band, t = scene.whole(), scene.f["texture"] * 20
    u, v = band.u, band.v
    bend = 0.5 * torch.sin(3.1 * u + t) + 0.4 * torch.sin(2.3 * v - t)
    patch = torch.sin(5.3 * u + 2.1 * v + t) * torch.sin(4.7 * v - 2.9 * u - t)  # where which direction rules
    a = torch.sin(21 * (u * 0.7 + v * 0.7 + bend * 0.25) + t) * patch.clamp_min(0)
    b = torch.sin(24 * (u * 0.8 - v * 0.6 + bend * 0.25) - t) * (-patch).clamp_min(0)
    strokes = 0.15 * (a + b) + 0.012 * torch.sin(u * 90) * torch.sin(v * 90)
    scene.rgb.mul_(1 + strokes.unsqueeze(1))
    scene.rgb.mul_(rgb((1.03, 0.975, 0.86)))
    band.multiply(0.55 * shapes.step(u * u + v * v, 0.6, 1.7), (0.45, 0.42, 0.40))


def finish(scene: Scene) -> None:
    """The last touch of the domain."""
    kind = scene.style.finish
    if kind == "grain":
        grain(scene, 0.010)
    elif kind == "paint":
        paint_texture(scene)
    elif kind == "paper":
        scene.whole().add(0.05 * shapes.bell(scene.u, scene.v, 1.2, 1.2), (1.0, 0.93, 0.80))
