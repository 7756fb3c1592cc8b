"""The small shapes of a pocket face: eyes, brows, nose, mouth, beard and glasses."""

from __future__ import annotations

import torch

from stylegan2.pocket.world import shapes
from stylegan2.pocket.world.faces import BEARDS, GLASSES
from stylegan2.pocket.world.scene import Scene, luma, rgb


def eyes(scene: Scene) -> None:
    """White, iris, pupil, lights and lids of both eyes, with soft shade around them and under the brow."""
    g, s, band = scene.g, scene.style, scene.band(-0.42, 0.42)
    right, side, x = band.nearer_eye()
    # u from the inner corner (-1) to the outer (1), v down from the eye line
    width = torch.where(right, g.eye_w[1], g.eye_w[0])
    u, v = x / width, band.y - g.eye_y + g.eye_tilt * x
    arch = 1 - u * u
    slope = (1 + (1.7 * g.eye_up * u / width) ** 2).sqrt()
    upper = (v + g.eye_up * (arch + 0.12 * u * arch)) / slope  # > 0 below the upper lid
    lower = (v - g.eye_down * arch) / slope  # < 0 above the lower lid
    opening = shapes.coverage(torch.maximum(-upper, lower), band.px)
    if s.socket:
        band.multiply(0.42 * s.socket * shapes.bell(x + 0.02, v + 0.035, 0.20, 0.14), (0.62, 0.47, 0.45))
    white = rgb((0.97, 0.955, 0.94)) * (0.86 if s.finish == "paint" else 1.0)
    under_lid = shapes.step(upper, 0.075 if not s.hard else 0.05, 0.0)
    band.paint(opening, white * (1 - 0.45 * (under_lid * (1 - 0.2 * s.hard)).unsqueeze(1)))
    ix = x - side * (0.34 * scene.f["gaze"] + 0.16 * g.sin) * width * 0.8
    iy = v + 0.18 * (g.eye_up - g.eye_down)
    r = (ix * ix * 1.30 + iy * iy * 0.86).sqrt() if s.hard else (ix * ix + iy * iy).sqrt()
    colour = scene.c["eye_colour"]
    inner = (colour * 1.35 + 0.06).clamp(0, 1)
    glow = (0.25 + 0.75 * shapes.step(iy, -0.6 * g.iris, 0.9 * g.iris)) * shapes.step(r, g.iris * 1.05, g.iris * 0.7)
    iris = colour * 0.42 + (inner - colour * 0.42) * glow.unsqueeze(1)
    band.paint(opening * shapes.coverage(r - g.iris, band.px), iris)
    band.paint(opening * shapes.coverage(r - g.iris * s.pupil, band.px), colour * 0.10 + 0.01)
    # Reflections of the light, on the same side in both eyes
    lit = torch.where(scene.f["light"] < 0, -1.0, 1.0) * side
    spot = shapes.circle(ix - lit * 0.38 * g.iris, iy + 0.40 * g.iris, s.catch * g.iris + 0.004)
    band.add(opening * shapes.coverage(spot, band.px), (1, 1, 1))
    if s.second_catch:
        second = shapes.circle(ix + lit * 0.36 * g.iris, iy - 0.45 * g.iris, s.second_catch * g.iris)
        band.add(0.75 * opening * shapes.coverage(second, band.px), (1, 1, 1))
    # Upper lid line that thickens outwards into lashes, the fold above it, a faint lower line
    dark = torch.minimum(scene.skin * 0.20, scene.hair * 0.35 + 0.02)
    thick = s.lash * (0.55 + 0.45 * (u + 1) / 2)
    line = shapes.coverage(upper.abs() - thick, band.px)
    band.paint(shapes.coverage(u.abs() - 1.10, 0.10) * line * 0.95, dark)
    fold = torch.exp(-(((upper + 0.045 + s.lash) / 0.018) ** 2)) * shapes.coverage(u.abs() - 0.95, 0.3)
    band.multiply((0.40 - 0.28 * s.hard) * fold, (0.55, 0.42, 0.40))
    under = torch.exp(-(((lower - 0.006) / 0.012) ** 2)) * shapes.coverage(u.abs() - 0.9, 0.3)
    band.multiply(0.45 * under, (0.55, 0.40, 0.38))


def brows(scene: Scene) -> None:
    """Brows: arched strokes, thick inside and thin outside."""
    g, s = scene.g, scene.style
    band = scene.band(-0.62, 0.12)
    right, _, x = band.nearer_eye()
    half = torch.where(right, g.eye_w[1], g.eye_w[0]) * 1.12
    u = x / half
    centre = g.brow_y + 0.030 * u * u - (g.brow_angle - 0.010) * u
    thick = g.brow_th * (0.95 - 0.55 * shapes.step(u, -0.4, 1.0))
    d = torch.maximum((band.y - centre).abs() - thick, (u.abs() - 1) * half)
    soft = band.px * (1.0 if s.hard else 1.5)
    dark = scene.hair * (0.42 + 0.25 * (luma(scene.hair) > 0.4)) + 0.015
    band.paint(shapes.coverage(d, soft) * s.brow_alpha, torch.minimum(dark, scene.skin * 0.72))


def nose(scene: Scene) -> None:
    """The nose in the manner of the domain."""
    if scene.style.nose == "shaded":
        return _shaded_nose(scene)
    g, light, band = scene.g, scene.f["light"], scene.band(0.0, 0.55)
    x, y, w = band.x - g.nose_x, band.y - g.nose_y, g.nose_w
    if scene.style.nose == "mark":  # a short stroke and a dab of shade
        dab = shapes.coverage(shapes.ellipse(x, y - 0.012, w * 0.9, w * 0.42), band.px)
        band.multiply(0.55 * dab, (0.72, 0.52, 0.50))
        side = torch.where(g.sin.abs() > 0.1, g.sin, -light).sign()
        stroke = shapes.capsule(x * side, y, 0.2 * w, -1.1 * w, 0.85 * w, 0.0 * w) - 0.008
        band.paint(0.75 * shapes.coverage(stroke, band.px), scene.skin * 0.35)
    else:  # round and soft, with its own light
        red = (scene.skin * rgb((1.0, 0.76, 0.72))).clamp(0, 1)
        band.multiply(0.55 * shapes.bell(x, y - 0.035, w * 1.2, w * 0.75), (0.72, 0.50, 0.46))
        band.paint(0.85 * shapes.coverage(shapes.ellipse(x, y, w, w * 0.72), 0.05), red)
        band.add(0.55 * shapes.bell(x - 0.25 * w * light.sign(), y + 0.28 * w, w * 0.42, w * 0.3))


def _shaded_nose(scene: Scene) -> None:
    """A nose made of light: bright ridge and tip, shade on the far side, two nostrils."""
    g, s, band = scene.g, scene.style, scene.band(-0.25, 0.55)
    t = shapes.step(band.y, g.eye_y - 0.08, g.nose_y)
    ridge = g.mid * 0.92 + (g.nose_x - g.mid * 0.92) * t
    x, y = band.x - ridge, band.y - g.nose_y
    side = scene.f["light"]
    length = t * shapes.step(y, 0.05, -0.02)
    wide = g.nose_w * (0.45 + 0.55 * t * t)
    shade = shapes.bell(x + side.sign() * wide * 0.95, 0 * y, wide * 0.9, 1.0) * length
    band.multiply(shade * (0.20 + 0.22 * side.abs()), (0.55, 0.40, 0.36))
    band.multiply(0.50 * shapes.bell(x, y - 0.045, g.nose_w * 1.35, 0.042), (0.55, 0.38, 0.35))
    oily = s.shine * (0.30 + 0.80 * luma(scene.skin)[:, 0])
    band.add(0.24 * oily * length * shapes.bell(x - 0.2 * side * wide, 0 * y, wide * 0.42, 1.0))
    band.add(0.34 * oily * shapes.bell(x - 0.012 * side, y + 0.012, g.nose_w * 0.42, 0.040))
    wings = shapes.bell(x.abs() - g.nose_w * 0.98, y - 0.008, 0.020, 0.050)
    band.multiply(0.42 * wings, (0.50, 0.34, 0.30))
    nostrils = shapes.bell(x.abs() - g.nose_w * 0.50, y - 0.028, g.nose_w * 0.34, 0.020)
    band.multiply((0.95 * nostrils).clamp(0, 1), (0.26, 0.13, 0.11))


def mouth(scene: Scene) -> None:
    """Lips, the line between them, and teeth and tongue when open."""
    g, s, f, band = scene.g, scene.style, scene.f, scene.band(0.02, 0.85)
    # u from corner to corner (-1..1), y down from the curve of the mouth; edges of the opening and of the lips
    u = (band.x - g.mouth_x) / g.mouth_w
    y = band.y - g.mouth_y - g.bend * (0.5 - (u * u).clamp_max(1.6))
    arch = 1 - u * u
    full = arch.clamp_min(0)
    bow = 1 - 0.32 * torch.exp(-((u / 0.20) ** 2))
    inner_up, inner_low = -0.35 * g.gape * arch, 0.65 * g.gape * arch
    outer_up, outer_low = inner_up - g.lip * full.sqrt() * bow, inner_low + 1.35 * g.lip * full.sqrt()
    lips = torch.maximum(torch.maximum(outer_up - y, y - outer_low), (u.abs() - 1) * g.mouth_w)
    low = inner_low.clamp_min(0)
    made_up = f["lips"].unsqueeze(1)
    red = scene.skin * (1 - 0.25 * made_up) * rgb((0.86, 0.54, 0.52)) + made_up * rgb((0.20, 0.02, 0.05))
    upper = (y < 0.5 * (inner_up + inner_low)).float().unsqueeze(1)
    band.paint(shapes.coverage(lips, band.px * 1.2) * s.lips, red.clamp(0, 1) * (1 - 0.17 * upper))
    band.add(0.26 * s.shine * shapes.bell(u, y - low - 0.75 * g.lip, 0.42, 0.016))
    hole = shapes.coverage(torch.maximum(inner_up - y, y - inner_low), band.px) * (g.gape > 0.004)
    band.paint(hole, rgb((0.20, 0.055, 0.06)))
    band.paint(hole * shapes.step(y, 0.30 * g.gape, 0.65 * g.gape), rgb((0.72, 0.30, 0.30)))
    teeth = inner_up + 0.42 * g.gape - y
    band.paint(hole * shapes.coverage(-teeth, band.px) * shapes.step(f["smile"], -0.1, 0.2), rgb((0.96, 0.94, 0.90)))
    # The dark line of the mouth, around the opening when there is one, with a dimple at each corner
    edge = torch.where(g.gape > 0.004, torch.minimum((y - inner_up).abs(), (y - inner_low).abs()), y.abs())
    thick = 0.011 if s.hard else 0.008
    ends = shapes.coverage((u.abs() - 1.0) * g.mouth_w, 0.04)
    dark = scene.skin * rgb((0.30, 0.13, 0.13))
    band.paint(0.9 * ends * shapes.coverage(edge - thick * (1.15 - 0.5 * u.abs()), band.px), dark)
    corner = shapes.bell((u.abs() - 1.04) * g.mouth_w, y, 0.035, 0.035)
    band.multiply(0.5 * corner * (1 - 0.6 * s.hard), (0.45, 0.30, 0.28))
    below = shapes.bell(u, y - low - 2.6 * g.lip - 0.012, 0.6, 0.022)
    band.multiply(0.30 * below * (1 - s.hard), (0.55, 0.42, 0.40))


def beard(scene: Scene) -> None:
    """Facial hair: a mask of jaw, chin or upper lip, in the colour of the hair; stubble is a thin layer of it."""
    g, s, f = scene.g, scene.style, scene.f
    band, kind = scene.band(-0.1, 1), f["beard"]
    if not kind.any():
        return
    x, y, inside = band.x - g.mouth_x, band.y - g.mouth_y, band.face
    t = (x / g.w).abs()
    cheek = -0.115 + 0.17 * shapes.step(t, 0.24, 0.55) - 0.85 * (t - 0.55).clamp_min(0) ** 1.4
    full = torch.maximum(inside - 0.028, cheek - y)
    chin_y = 0.5 * (g.h - g.mouth_y)
    goat = torch.maximum(shapes.ellipse(x, y - chin_y + 0.02, g.mouth_w * 1.25, chin_y + 0.13), inside - 0.03)
    lip = shapes.ellipse(x, y + 0.068 - 0.10 * (x / g.mouth_w) ** 2 * 0.6, g.mouth_w * 1.12, 0.040)
    fields = {"stubble": full + 0.02, "moustache": lip, "goatee": torch.minimum(goat, lip), "full beard": full}
    d = torch.full_like(x, 9.0)
    for name, value in fields.items():
        d = torch.where(kind == BEARDS.index(name), value, d)
    strands = torch.sin(46 * x + 4 * torch.sin(9 * y)) * 0.10 * s.strands
    base = (scene.hair * 0.80 + 0.01) * (1 + strands.unsqueeze(1))
    soft = torch.where(kind == BEARDS.index("stubble"), 0.12, max(band.px, 0.045 * (1 - s.hard)))
    alpha = torch.where(kind == BEARDS.index("stubble"), 0.34, 0.94)
    band.paint(shapes.coverage(d, soft) * alpha, base.clamp(0, 1))
    band.outline(d, scene.hair, 0.7, (kind >= 2).float())


def glasses(scene: Scene) -> None:
    """Frames with a bridge and temples, and a faint light on the lenses."""
    g, s, f = scene.g, scene.style, scene.f
    band, kind = scene.band(-0.5, 0.6), f["glasses"]
    if not kind.any():
        return
    right, side, x = band.nearer_eye()
    halves = [
        torch.minimum(1.30 * w + 0.022, (eye - g.mid).abs() - 0.022) for eye, w in zip(g.eye_x, g.eye_w, strict=True)
    ]
    half = torch.where(right, halves[1], halves[0])
    y = band.y - g.eye_y - 0.012
    is_round, square = kind == GLASSES.index("round"), kind == GLASSES.index("square")
    tall = torch.maximum(*halves) * torch.where(is_round, 1.0, torch.where(square, 0.80, 0.74))
    corner = torch.minimum(half, tall) * torch.where(square, 0.35, 0.97)
    lens = shapes.rounded_box(x, y, half, tall, corner) + 9 * (kind == 0)
    thick = torch.where(square, 0.031, 0.025)
    colour = scene.c["glasses_colour"]
    glare = shapes.coverage(lens + 0.03, 0.06) * shapes.bell(x + y + 0.06, 0 * y, 0.05, 1)
    band.add(0.10 * shapes.coverage(lens, band.px) + 0.16 * glare)
    ear = g.w * (1 - 0.30 * side * g.sin) - torch.where(right, g.eye_x[1], -g.eye_x[0]) + g.mid * side
    bridge = torch.maximum((y + 0.035).abs() - 0.020, x + half)
    temple = torch.maximum((y + 0.03).abs() - 0.020, torch.maximum(half - x, x - ear))
    frame = torch.minimum(lens.abs() - thick, torch.minimum(bridge, temple) + 9 * (kind == 0))
    band.multiply(0.25 * shapes.coverage(frame - 0.02, 0.06) * (1 - s.hard), (0.5, 0.4, 0.4))
    band.fill(frame, colour)
    band.add(0.25 * shapes.coverage(lens.abs() - thick * 0.3, band.px) * shapes.step(y, 0.0, -0.15) * (1 - s.hard))
