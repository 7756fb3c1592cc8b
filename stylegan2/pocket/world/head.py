"""The large shapes of a pocket face: hair behind the head, neck, clothes, ears, head, hair in front.

Each function paints one of them on a :class:`Scene`.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from stylegan2.pocket.world import shapes
from stylegan2.pocket.world.geometry import Geometry, hairline_at
from stylegan2.pocket.world.scene import Colour, Scene, luma, rgb
from stylegan2.pocket.world.styles import COLLARS

SKIN_SHADOW = (0.50, 0.365, 0.345)  # what shadow leaves of skin: less light, redder
CLOTH_SHADOW = (0.45, 0.44, 0.50)
HAIR_SHADOW = (0.34, 0.31, 0.34)


# ---------------------------------------------------------------- hair


def place_hair(scene: Scene) -> None:
    """Distances of the hair, shared by its layers and by the shadow it casts, as ``scene.locks``: ``mass`` is its whole
    silhouette, ``face`` the opening in which the face shows, ``front`` what lies over the face; negative inside."""
    g, f, x, y, hair = scene.g, scene.f, scene.x, scene.y, scene.g.hair
    wave = torch.sin(11.0 * y + 1.0)
    curl = torch.cos(16 * x.abs() + 2.2 * torch.sin(7 * y)) * torch.sin(16 * y + 2.2 * torch.cos(8 * x))
    # Strands, light and dark in -1..1: broad locks leave the parting, alike on both sides. Where they lie follows from
    # parting and pose alone: a phase that an attribute turns several times round is never learnt by a generator.
    dy = y + g.top * 0.95
    flow = (x - g.part_x).abs() / (dy * dy + 0.12).sqrt() + hair["wave"] * 0.9 * wave
    strand = 0.6 * torch.sin(10 * flow + 1.0) + 0.4 * torch.sin(17 * flow + 2.5 + 2 * y)
    strand = torch.lerp(strand, curl, (hair["curl"] * 28).clamp(0, 0.8))
    bumps = hair["curl"] * curl + hair["wave"] * 0.55 * wave * shapes.step(y, -0.3, 0.5)
    tufts = 0.010 * (1 - 0.3 * scene.style.hard) * strand * shapes.step(y, 0.0, -0.4)
    mass = _hair_mass(g, x - g.hair_x, y, strand) + bumps + tufts
    # The face shows under the hairline and between the locks at its sides
    t = (x - g.part_x) / g.w
    teeth = (0.018 + 0.022 * f["fringe"]) * (1 + 1.1 * scene.style.hard) * strand
    line = (hairline_at(g, x) + teeth - y) / (1 + (1.1 * g.sweep * g.h * t / g.w) ** 2).sqrt()
    middle = g.line_x + 0.06 * g.w * g.sin
    half = g.w * hair["open_w"] * (1 - 0.10 * shapes.step(y, 0.35, 0.75)) + 0.008 * strand
    face = shapes.smooth_intersection(line, (x - middle).abs() - half, 0.10)
    front = torch.maximum(torch.maximum(mass, -face), y - hair["side_end"])
    scene.locks = SimpleNamespace(x=x - g.hair_x, strand=strand, mass=mass, face=face, front=front)


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


def _hair_colour(scene: Scene, depth: float) -> Tensor:
    """Shaded hair [N, 3, H, W]; ``depth`` 1 in front, less behind the head."""
    g, s, hair = scene.g, scene.style, scene.locks
    nx, ny = (hair.x / g.rx).clamp(-1, 1), (scene.y / g.top).clamp(-1, 1)
    tone = 0.62 + 0.30 * nx * scene.f["light"] - 0.30 * ny - 0.22 * nx * nx + 0.20 * s.strands * hair.strand
    if s.hard:
        locks = hair.strand * (1 - 0.8 * (g.hair["curl"] > 0))
        tone = 0.70 + 0.25 * nx * scene.f["light"] - 0.30 * ny.clamp_min(0) + 0.30 * locks - 0.6 * (1 - depth)
    return scene.shade(scene.hair, tone.clamp_(0, 1.15) * depth, HAIR_SHADOW)


def hair_behind(scene: Scene) -> None:
    """The part of the hair behind neck and shoulders, in the shadow of the head."""
    scene.fill(scene.locks.mass, _hair_colour(scene, 0.62))
    scene.outline(scene.locks.mass, scene.hair)


def hair_in_front(scene: Scene) -> None:
    """Hair over head and shoulders, with its strands and the band of light around the crown."""
    g, s, hair, strand = scene.g, scene.style, scene.locks, scene.locks.strand
    cover = shapes.coverage(hair.front, scene.px)
    cover = cover * torch.where(scene.f["hair_style"] == 0, 0.72, 1.0)
    scene.paint(cover, _hair_colour(scene, 1.0))
    scene.outline(hair.front, scene.hair)
    arc = ((hair.x / g.rx) ** 2 * 0.7 + (scene.y / g.top) ** 2).sqrt()
    if s.hard:
        shine = shapes.coverage((arc - 0.77 + 0.05 * strand).abs() - 0.035 - 0.02 * strand, scene.px * 1.5) * 0.55
    else:
        shine = torch.exp(-(((arc - 0.80 + 0.03 * strand) / 0.10) ** 2)) * (0.60 + 0.40 * strand) * 0.55
    upper = shapes.step(scene.y, -0.12, -0.30)
    side = (0.65 + 0.5 * scene.f["light"] * hair.x / g.rx).clamp(0.1, 1)
    gloss = scene.hair * 0.75 + 0.25 + 0.08
    scene.paint(cover * shine * upper * side * s.hair_shine, gloss.clamp_max(1))


# ---------------------------------------------------------------- neck and clothes


def neck(scene: Scene) -> None:
    """Neck with the shadow of the chin."""
    band, g, s = scene.band(0.2, 1), scene.g, scene.style
    x = band.u - g.cx - 0.12 * g.w * g.sin
    wide = s.neck_w * (1 + 0.12 * scene.f["jaw"] + 0.10 * scene.f["face_width"])
    flare = ((band.v - 0.62) * 3).clamp(0, 1) ** 2 * 0.16
    d = x.abs() - wide - flare
    nx = (x / wide).clamp(-1, 1)
    lit = 0.72 + 0.30 * nx * scene.f["light"] - 0.28 * nx * nx
    under = shapes.step(band.face, 0.22, 0.02)
    tone = lit * (1 - 0.75 * under) if not s.hard else 1 - shapes.coverage(band.face - 0.10, band.px)
    d = torch.maximum(d, 0.2 - band.v)
    band.fill(d, scene.shade(scene.skin, tone.clamp(0, 1), SKIN_SHADOW))
    band.outline(d, scene.skin)


def clothes(scene: Scene) -> None:
    """Shoulders in a garment with one of the collars: turtleneck tube, shirt flaps or a pleated ruff."""
    band, s, f = scene.band(0.45, 1), scene.style, scene.f
    x, y = band.u - 0.5 * scene.g.cx, band.v
    shoulders = shapes.ellipse(x, y - s.shoulder_y - 0.52, 0.98, 0.56)
    cloth = scene.c["clothes_colour"]
    nx = x.clamp(-1, 1)
    tone = 0.80 + 0.28 * nx * f["light"] - 0.30 * nx * nx - 0.08 * torch.sin(9 * nx + 5 * y)
    worn = {name: f["collar"] == k for k, name in enumerate(COLLARS)}

    def piece(distance: Tensor, colour: Tensor, lit: Tensor, shadow: Colour, edge: Tensor) -> None:
        band.fill(distance, band.shade(colour, lit.clamp(0, 1), shadow))
        band.outline(distance, edge)

    crew = -shapes.ellipse(x, y - s.shoulder_y + 0.03, s.neck_w * 1.12, 0.13)
    v_neck = (s.neck_w * 1.0 - 0.85 * (y - s.shoulder_y + 0.06) - x.abs()) * 0.76  # positive inside it
    cut = torch.where(worn["v-neck"] | worn["shirt"], v_neck, crew)
    piece(torch.where(worn["turtleneck"], shoulders, torch.maximum(shoulders, cut)), cloth, tone, CLOTH_SHADOW, cloth)
    away = {name: 9.0 * ~mask for name, mask in worn.items()}  # far outside where it is not worn
    tube = shapes.rounded_box(x, y - s.shoulder_y + 0.01, s.neck_w * 1.22 + 0 * tone, 0.11 + 0 * tone, 0.05 + 0 * tone)
    piece(tube + away["turtleneck"], cloth, tone - 0.10, CLOTH_SHADOW, cloth)
    low = (y - s.shoulder_y - 0.20 + 0.62 * x.abs()) * 0.85
    flaps = torch.maximum(torch.maximum(v_neck, low), x.abs() - s.neck_w * 1.28)
    piece(flaps + away["shirt"], (cloth * 0.55 + 0.42).clamp(0, 1), tone, CLOTH_SHADOW, cloth)
    if worn["ruff"].any():
        ruff = shapes.ellipse(x, y - s.shoulder_y - 0.05, 0.52, 0.155) + 0.012 * torch.sin(34 * x)
        pleats = 0.72 + 0.28 * torch.sin(34 * x) - 0.25 * shapes.step(y, s.shoulder_y - 0.06, s.shoulder_y - 0.12)
        linen = rgb((0.88, 0.85, 0.77)).expand_as(cloth)
        piece(ruff + away["ruff"], linen, pleats, (0.5, 0.48, 0.46), linen)


# ---------------------------------------------------------------- head


def ears(scene: Scene) -> None:
    """Ears at the sides; the far one disappears behind the turning head."""
    band, g = scene.band(-0.5, 0.6), scene.g
    side = torch.where(band.x > 0.55 * g.chin_x, 1.0, -1.0)
    near = (1 - 1.9 * side * g.sin).clamp(0.25, 1.25)
    x = band.x * side - g.w * (0.985 + 0.03 * near) - 0.10 * g.w * side * g.sin
    y = band.y - g.eye_y - 0.07
    d = shapes.ellipse(x - 0.12 * y * -1, y, 0.075 * near, 0.135 + 0 * y)
    tone = 0.78 + 0.25 * side * scene.f["light"] - 0.55 * shapes.bell(x + 0.01, y, 0.04, 0.09)
    band.fill(d, scene.shade(scene.skin, tone.clamp(0, 1), SKIN_SHADOW))
    band.outline(d, scene.skin)
    drop = shapes.circle(x, y - 0.175, 0.036) + 9 * (1 - scene.f["earrings"])
    gold = rgb((0.92, 0.78, 0.40))
    band.fill(drop, gold)
    band.outline(drop, gold, 0.6)


def head(scene: Scene) -> None:
    """The face: round shading, the shadow of the hair, warm cheeks, light on the forehead."""
    g, s, f, hair, face = scene.g, scene.style, scene.f, scene.locks, scene.face
    nx = ((scene.x - 0.5 * g.chin_x) / g.w).clamp(-1, 1)
    ny = (scene.y / g.h).clamp(-1, 1)
    nz = (1.02 - nx * nx - ny * ny).clamp_min(0.0).sqrt()
    light = 0.62 * f["light"]
    if s.hard:
        tone = nx * light * 1.1 - 0.38 * nx * nx + 0.78 + 0.09 * torch.cos(4.0 * ny + 0.6)
        tone = tone - shapes.coverage(-hair.face - 0.05 - 0.03 * hair.strand, scene.px)
    else:
        tone = 0.34 + 0.54 * nz + 0.80 * nx * light - 0.14 * ny
        tone = tone - 0.34 * torch.exp(-(hair.face * -9).clamp_min(0)) * (hair.face < 0.1)
    scene.fill(face, scene.shade(scene.skin, tone.clamp_(0, 1.08), SKIN_SHADOW))
    inside = shapes.coverage(face, 0.10)
    forehead = shapes.bell(scene.x - 0.55 * g.w * g.sin - 0.12 * f["light"], scene.y + 0.36, 0.30, 0.16)
    scene.add(inside * 0.16 * s.shine * forehead)
    scene.outline(face, scene.skin)
    _cheeks(scene)


def _cheeks(scene: Scene) -> None:
    """Rosy cheeks and freckles."""
    band, g, s, f = scene.band(-0.25, 0.65), scene.g, scene.style, scene.f
    _, _, x = band.nearer_eye()
    x, y = x - 0.05, band.y - 0.5 * (g.eye_y + g.mouth_y) - 0.045
    inside = shapes.coverage(band.face, 0.10)
    rosy = shapes.bell(x, y, 0.19, 0.125) if not s.hard else shapes.coverage(shapes.ellipse(x, y, 0.115, 0.06), 0.06)
    alpha = (s.blush + 0.5 * f["blush"]).clamp(0, 0.9) * (0.35 + 0.65 * luma(scene.skin)[:, 0])
    red = scene.skin * rgb((1.03, 0.62, 0.58)) + rgb((0.06, 0.0, 0.0))
    band.paint(inside * rosy * alpha, red.clamp(0, 1))
    spots = (torch.sin(62 * band.x + 3 * band.y) * torch.sin(53 * band.y + 9 * band.x) - 0.25).clamp(0, 1)
    where = shapes.bell(x + 0.05, y + 0.03, 0.30, 0.13)
    band.multiply(inside * spots * where * 0.85 * f["freckles"], (0.66, 0.48, 0.38))
