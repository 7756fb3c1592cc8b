"""Pose and proportions of a head, in the scales of the pocket world."""

from __future__ import annotations

import math

import numpy as np

from stylegan2.pocket.portrait.head import LEFT_BROW, RIGHT_BROW, Head
from stylegan2.pocket.world.geometry import PITCH, ROLL, YAW

LEVEL = math.radians(-4)  # of the line from forehead to chin in a face that looks into the camera: our real faces' median


def pose(head: Head) -> dict[str, float]:
    """yaw, pitch and roll, unbounded: 1 is what the world calls 1."""
    right, _, back = head.axes
    yaw = math.atan2(right[2], math.hypot(right[0], right[1]))
    pitch = LEVEL - math.asin(np.clip(back[1], -1, 1))
    return {"yaw": yaw / YAW, "pitch": pitch / PITCH, "roll": head.roll / ROLL}


def ratios(head: Head) -> dict[str, float]:
    """Proportions of the face as it looks into the camera, by the name of the attribute that they tell about."""
    p = head.front

    def gap(a: int, b: int) -> float:
        return float(np.linalg.norm(p[a] - p[b]))

    def height(*points: int) -> float:
        return float(p[list(points), 1].mean())

    eye_line, mouth = height(33, 133, 362, 263), gap(61, 291)
    opening = gap(13, 14)
    widths = gap(33, 133), gap(263, 362)
    return {
        "face_width": gap(234, 454),
        "face_height": height(152) - 0.6 * opening - eye_line,  # an open mouth lowers the chin
        "jaw": gap(172, 397) / gap(234, 454),
        "eye_size": sum(widths) / 2,
        "eye_open": (gap(159, 145) / widths[0] + gap(386, 374) / widths[1]) / 2,
        "eye_spacing": gap(133, 362) / gap(33, 263),
        "eye_tilt": (height(133, 362) - height(33, 263)) / (sum(widths) / 2),
        "brow_height": eye_line - height(*LEFT_BROW, *RIGHT_BROW),
        "brow_angle": height(55, 285) - height(46, 276),
        "brow_thickness": height(52, 65, 282, 295) - height(105, 66, 334, 296),
        "nose_size": gap(129, 358),
        "smile": (height(13, 14) - height(61, 291)) / mouth,
        "mouth_open": opening,
        "mouth_width": mouth,
        "lips": gap(0, 13) + gap(14, 17),
    }
