"""Where everything of a pocket face lies: attributes and a domain's proportions -> positions in the head frame.

The head frame is the image turned by the head's roll about the middle of the head: x to the image's right, y down, in
halves of the image side before the style's zoom. A point of the face sits at a lateral part ``a`` and a depth ``z`` of
the head's half width and moves by the turn of the head: x = w (a cos yaw + z sin yaw), so nearer parts shift more
(parallax).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.pocket.world.faces import Faces
from stylegan2.pocket.world.styles import HAIR_STYLES, Style

LANDMARKS = (
    "eye_left",
    "eye_right",
    "eye_left_outer",
    "eye_left_inner",
    "eye_right_inner",
    "eye_right_outer",
    "brow_left",
    "brow_right",
    "nose_tip",
    "mouth_left",
    "mouth_right",
    "mouth_centre",
    "chin",
    "hair_line",
    "face_left",
    "face_right",
)  # left and right of the image, not of the person
YAW, PITCH, ROLL = math.radians(32), math.radians(12), math.radians(14)
HAIR_FIELDS = (
    "side",
    "top",
    "end0",
    "end1",
    "flare",
    "wave",
    "curl",
    "open_w",
    "hairline",
    "sweep",
    "side_end",
    "bun",
    "tail",
)


@dataclass
class Geometry:
    """Positions and sizes of one batch in one domain, each [N, 1, 1]."""

    sin: Tensor
    cos: Tensor
    pitch: Tensor
    roll: Tensor
    cx: Tensor
    cy: Tensor
    w: Tensor
    h: Tensor
    jaw: Tensor
    eye_x: tuple[Tensor, Tensor]
    eye_w: tuple[Tensor, Tensor]
    eye_y: Tensor
    eye_up: Tensor
    eye_down: Tensor
    eye_tilt: Tensor
    iris: Tensor
    mid: Tensor
    brow_y: Tensor
    brow_angle: Tensor
    brow_th: Tensor
    nose_x: Tensor
    nose_y: Tensor
    nose_w: Tensor
    mouth_x: Tensor
    mouth_y: Tensor
    mouth_w: Tensor
    bend: Tensor
    gape: Tensor
    lip: Tensor
    hair: dict[str, Tensor]
    hair_x: Tensor
    line_x: Tensor
    hairline: Tensor
    sweep: Tensor
    part_x: Tensor
    rx: Tensor
    top: Tensor
    end: Tensor


def _column(value: Tensor) -> Tensor:
    return value.float().view(-1, 1, 1)


def geometry(faces: Faces, style: Style) -> Geometry:
    """Place the features of faces in a domain."""
    f = {name: _column(value) for name, value in faces.values.items() if value.ndim == 1}
    angle = f["yaw"] * YAW
    sin, cos = angle.sin(), angle.cos()
    pitch = (f["pitch"] * PITCH).sin()
    w = style.head_w * (1 + 0.085 * f["face_width"])
    h = style.head_h * (1 + 0.055 * f["face_height"])
    scale = h / style.head_h
    place = {"sin": sin, "cos": cos, "pitch": pitch, "roll": f["roll"] * ROLL, "w": w, "h": h}
    place |= {"cx": -0.10 * w * sin, "cy": style.centre_y + 0.0 * w, "jaw": style.jaw + style.jaw_gain * f["jaw"]}
    place |= _place_eyes(f, style, w, scale, sin, cos, pitch)
    place |= _place_nose_and_mouth(f, style, w, scale, sin, cos, pitch)
    place |= _place_hair(faces, f, style, w, h, sin, pitch)
    return Geometry(**place)


def _place_eyes(f: dict, style: Style, w: Tensor, scale: Tensor, sin: Tensor, cos: Tensor, pitch: Tensor) -> dict:
    gap = style.eye_gap * (1 + 0.10 * f["eye_spacing"])
    size = style.eye_w * (1 + 0.16 * f["eye_size"])
    height = (1 + 0.18 * f["eye_size"]) * (0.42 + 0.58 * f["eye_open"])
    raised = 0.035 * f["brow_height"]
    return {
        "eye_x": (w * (-gap * cos + 0.62 * sin), w * (gap * cos + 0.62 * sin)),
        "eye_w": (size * (cos + 0.45 * sin).clamp(0.4, 1.12), size * (cos - 0.45 * sin).clamp(0.4, 1.12)),
        "eye_y": style.eye_y * scale + 0.62 * w * pitch,
        "eye_up": style.eye_up * height,
        "eye_down": style.eye_down * (1 + 0.18 * f["eye_size"]) * (0.7 + 0.3 * f["eye_open"]),
        "eye_tilt": 0.16 * f["eye_tilt"],
        "iris": style.iris * (1 + 0.16 * f["eye_size"]),
        "mid": 0.68 * w * sin,
        "brow_y": (style.brow_y - raised) * scale + 0.68 * w * pitch,
        "brow_angle": 0.045 * f["brow_angle"],
        "brow_th": style.brow_th * (1 + 0.45 * f["brow_thickness"]),
    }


def _place_nose_and_mouth(
    f: dict, style: Style, w: Tensor, scale: Tensor, sin: Tensor, cos: Tensor, pitch: Tensor
) -> dict:
    return {
        "nose_x": 0.98 * w * sin,
        "nose_y": style.nose_y * scale * (1 + 0.06 * f["nose_size"]) + 0.95 * w * pitch,
        "nose_w": style.nose_w * (1 + 0.30 * f["nose_size"]),
        "mouth_x": 0.72 * w * sin,
        "mouth_y": style.mouth_y * scale + 0.75 * w * pitch,
        "mouth_w": style.mouth_w * (1 + 0.20 * f["mouth_width"] + 0.16 * f["smile"]) * cos,
        "bend": 0.085 * f["smile"] * style.mouth_w / 0.165,
        "gape": 0.135 * f["mouth_open"] * (style.mouth_w / 0.165) ** 0.5,
        "lip": style.lip * (0.55 + 0.75 * f["lips"]),
    }


def _place_hair(faces: Faces, f: dict, style: Style, w: Tensor, h: Tensor, sin: Tensor, pitch: Tensor) -> dict:
    table = torch.tensor(list(HAIR_STYLES.values()))[faces.hair_style]  # [N, 13]
    hair = {name: _column(table[:, k]) for k, name in enumerate(HAIR_FIELDS)}
    volume = style.hair_gain * (0.55 + 0.9 * f["hair_volume"])
    fringed = f["fringe"] * (1 - hair["bun"]) * torch.where(hair["side_end"] < 1, 0.55, 1.0) * (hair["hairline"] > -0.8)
    brow = style.brow_y - 0.035 * f["brow_height"]
    line = hair["hairline"] * h * 0.92 * (1 - fringed) + (brow + 0.02) * fringed
    return {
        "hair": hair,
        "hair_x": -0.14 * w * sin,
        "line_x": 0.40 * w * sin,
        "hairline": line + 0.55 * w * pitch,
        "sweep": hair["sweep"] * (1 - 0.8 * fringed),
        "part_x": w * (0.42 * f["parting"] + 0.45 * sin),
        "rx": w + hair["side"] * volume,
        "top": h + hair["top"] * volume,
        "end": hair["end0"] + (hair["end1"] - hair["end0"]) * f["hair_length"],
    }


def hairline_at(g: Geometry, x: Tensor) -> Tensor:
    """Height of the lower edge of the front hair at x: highest at the parting, lower towards the sides."""
    t = (x - g.part_x) / g.w
    return g.hairline + g.sweep * g.h * 0.55 * t * t


def chin_shift(g: Geometry) -> Tensor:
    """How far the chin moves sideways when the head turns."""
    return 0.34 * g.w * g.sin


def landmarks(g: Geometry, zoom: float) -> Tensor:
    """Landmarks [N, len(LANDMARKS), 2] as (x, y) in image sides, 0..1, exact for what is drawn.

    (The hair line is without its strands; the portrait domain's brush moves edges by up to half a pixel at 64.)
    """
    left, right = g.eye_x
    corner = 0.5 * g.bend
    face_y = 0.10 * g.h
    centre_shift = chin_shift(g) * 0.55
    tilt = [-g.eye_tilt * width for width in g.eye_w]
    points = [
        (left, g.eye_y),
        (right, g.eye_y),
        (left - g.eye_w[0], g.eye_y + tilt[0]),
        (left + g.eye_w[0], g.eye_y - tilt[0]),
        (right - g.eye_w[1], g.eye_y - tilt[1]),
        (right + g.eye_w[1], g.eye_y + tilt[1]),
        (left, g.brow_y),
        (right, g.brow_y),
        (g.nose_x, g.nose_y),
        (g.mouth_x - g.mouth_w, g.mouth_y - corner),
        (g.mouth_x + g.mouth_w, g.mouth_y - corner),
        (g.mouth_x, g.mouth_y + corner),
        (chin_shift(g), g.h + 0.0 * g.w),
        (g.line_x, hairline_at(g, g.line_x)),
        (centre_shift - g.w, face_y),
        (centre_shift + g.w, face_y),
    ]
    x = torch.cat([p[0].expand_as(g.w) for p in points], dim=1).squeeze(2)  # [N, K]
    y = torch.cat([p[1].expand_as(g.w) for p in points], dim=1).squeeze(2)
    sin, cos = g.roll.sin().squeeze(2), g.roll.cos().squeeze(2)
    u, v = cos * x - sin * y + g.cx.squeeze(2), sin * x + cos * y + g.cy.squeeze(2)
    return torch.stack([u, v], dim=2) * (0.5 * zoom) + 0.5
