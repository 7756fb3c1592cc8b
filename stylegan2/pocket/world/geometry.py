"""Where everything of a pocket face lies: attributes and a domain's proportions -> positions in the head frame.

The head frame is the image turned by the head's roll about the middle of the head: x to the image's right, y down, in
halves of the image side before the style's zoom. A point of the face sits at a lateral part ``a`` and a depth ``z`` of
the head's half width and moves by the turn of the head: x = w (a cos yaw + z sin yaw), so nearer parts shift more
(parallax).
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch
from torch import Tensor

from stylegan2.pocket.world.faces import Faces
from stylegan2.pocket.world.styles import HAIR_FIELDS, HAIR_STYLES, Style

LANDMARKS = (  # left and right of the image, not of the person
    "eye_left", "eye_right", "eye_left_outer", "eye_left_inner", "eye_right_inner", "eye_right_outer",
    "brow_left", "brow_right", "nose_tip", "mouth_left", "mouth_right", "mouth_centre",
    "chin", "hair_line", "face_left", "face_right",
)  # fmt: skip
YAW, PITCH, ROLL = math.radians(32), math.radians(12), math.radians(14)


class Geometry(SimpleNamespace):
    """Positions and sizes of one batch in one domain: tensors [N, 1, 1], a (left, right) pair of them for an eye's
    centre and half width, and ``hair``, a dictionary of them by HAIR_FIELDS."""


def columns(faces: Faces) -> dict[str, Tensor]:
    """All attributes but colours as float tensors [N, 1, 1]."""
    return {name: value.float().view(-1, 1, 1) for name, value in faces.values.items() if value.ndim == 1}


def geometry(faces: Faces, style: Style) -> Geometry:
    """Place the features of faces in a domain."""
    f = columns(faces)
    yaw = f["yaw"] * YAW
    g = Geometry(sin=yaw.sin(), cos=yaw.cos(), pitch=(f["pitch"] * PITCH).sin(), roll=f["roll"] * ROLL)
    g.w = style.head_w * (1 + 0.085 * f["face_width"])
    g.h = style.head_h * (1 + 0.055 * f["face_height"])
    g.cx, g.cy = -0.10 * g.w * g.sin, style.centre_y + 0.0 * g.w
    g.jaw = style.jaw + style.jaw_gain * f["jaw"]
    g.chin_x = 0.34 * g.w * g.sin
    scale = g.h / style.head_h
    # Eyes and brows
    gap = style.eye_gap * (1 + 0.10 * f["eye_spacing"])
    size = style.eye_w * (1 + 0.16 * f["eye_size"])
    height = (1 + 0.18 * f["eye_size"]) * (0.42 + 0.58 * f["eye_open"])
    g.eye_x = (g.w * (-gap * g.cos + 0.62 * g.sin), g.w * (gap * g.cos + 0.62 * g.sin))
    g.eye_w = (size * (g.cos + 0.45 * g.sin).clamp(0.4, 1.12), size * (g.cos - 0.45 * g.sin).clamp(0.4, 1.12))
    g.eye_y = style.eye_y * scale + 0.62 * g.w * g.pitch
    g.eye_up = style.eye_up * height
    g.eye_down = style.eye_down * (1 + 0.18 * f["eye_size"]) * (0.7 + 0.3 * f["eye_open"])
    g.eye_tilt = 0.16 * f["eye_tilt"]
    g.iris = style.iris * (1 + 0.16 * f["eye_size"])
    g.mid = 0.68 * g.w * g.sin
    g.brow_y = (style.brow_y - 0.035 * f["brow_height"]) * scale + 0.68 * g.w * g.pitch
    g.brow_angle = 0.045 * f["brow_angle"]
    g.brow_th = style.brow_th * (1 + 0.45 * f["brow_thickness"])
    # Nose and mouth
    g.nose_x = 0.98 * g.w * g.sin
    g.nose_y = style.nose_y * scale * (1 + 0.06 * f["nose_size"]) + 0.95 * g.w * g.pitch
    g.nose_w = style.nose_w * (1 + 0.30 * f["nose_size"])
    g.mouth_x = 0.72 * g.w * g.sin
    g.mouth_y = style.mouth_y * scale + 0.75 * g.w * g.pitch
    g.mouth_w = style.mouth_w * (1 + 0.20 * f["mouth_width"] + 0.16 * f["smile"]) * g.cos
    g.bend = 0.085 * f["smile"] * style.mouth_w / 0.165
    g.gape = 0.135 * f["mouth_open"] * (style.mouth_w / 0.165) ** 0.5
    g.lip = style.lip * (0.55 + 0.75 * f["lips"])
    # Hair
    table = torch.tensor(list(HAIR_STYLES.values()))[faces.hair_style]  # [N, len(HAIR_FIELDS)]
    g.hair = hair = {name: table[:, k].view(-1, 1, 1) for k, name in enumerate(HAIR_FIELDS)}
    volume = style.hair_gain * (0.55 + 0.9 * f["hair_volume"])
    fringed = f["fringe"] * (1 - hair["bun"]) * torch.where(hair["side_end"] < 1, 0.55, 1.0) * (hair["hairline"] > -0.8)
    brow = style.brow_y - 0.035 * f["brow_height"]
    g.hair_x = -0.14 * g.w * g.sin
    g.line_x = 0.40 * g.w * g.sin
    g.hairline = hair["hairline"] * g.h * 0.92 * (1 - fringed) + (brow + 0.02) * fringed + 0.55 * g.w * g.pitch
    g.sweep = hair["sweep"] * (1 - 0.8 * fringed)
    g.part_x = g.w * (0.42 * f["parting"] + 0.45 * g.sin)
    g.rx = g.w + hair["side"] * volume
    g.top = g.h + hair["top"] * volume
    g.end = hair["end0"] + (hair["end1"] - hair["end0"]) * f["hair_length"]
    return g


def hairline_at(g: Geometry, x: Tensor) -> Tensor:
    """Height of the lower edge of the front hair at x: highest at the parting, lower towards the sides."""
    t = (x - g.part_x) / g.w
    return g.hairline + g.sweep * g.h * 0.55 * t * t


def landmarks(g: Geometry, zoom: float) -> Tensor:
    """Landmarks [N, len(LANDMARKS), 2] as (x, y) in image sides, 0..1, exact for what is rendered.

    (The hair line is without its strands; the portrait domain's brush moves edges by up to half a pixel at 64.)
    """
    (left, right), (left_w, right_w) = g.eye_x, g.eye_w
    corner = 0.5 * g.bend
    face_y = 0.10 * g.h
    face_x = g.chin_x * 0.55
    points = [
        (left, g.eye_y),
        (right, g.eye_y),
        (left - left_w, g.eye_y - g.eye_tilt * left_w),
        (left + left_w, g.eye_y + g.eye_tilt * left_w),
        (right - right_w, g.eye_y + g.eye_tilt * right_w),
        (right + right_w, g.eye_y - g.eye_tilt * right_w),
        (left, g.brow_y),
        (right, g.brow_y),
        (g.nose_x, g.nose_y),
        (g.mouth_x - g.mouth_w, g.mouth_y - corner),
        (g.mouth_x + g.mouth_w, g.mouth_y - corner),
        (g.mouth_x, g.mouth_y + corner),
        (g.chin_x, g.h),
        (g.line_x, hairline_at(g, g.line_x)),
        (face_x - g.w, face_y),
        (face_x + g.w, face_y),
    ]
    x, y = (torch.cat([point[k] for point in points], dim=1).squeeze(2) for k in (0, 1))  # [N, K]
    sin, cos = g.roll.sin().squeeze(2), g.roll.cos().squeeze(2)
    u, v = cos * x - sin * y + g.cx.squeeze(2), sin * x + cos * y + g.cy.squeeze(2)
    return torch.stack([u, v], dim=2) * (0.5 * zoom) + 0.5
