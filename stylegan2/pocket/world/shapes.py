"""Antialiased shapes from signed distances, in plain torch.

A shape is a distance field: negative inside, zero on the edge, positive outside, in units of half the image side
(coordinates run from -1 to 1). Coverage is the field clipped over one pixel, which antialiases without supersampling.
"""

from __future__ import annotations

import torch
from torch import Tensor


def grid(size: int) -> tuple[Tensor, Tensor]:
    """Pixel centres of a ``size`` x ``size`` image as x [1, 1, size] and y [1, size, 1], both in (-1, 1)."""
    line = (torch.arange(size, dtype=torch.float32) + 0.5) * (2.0 / size) - 1.0
    return line.view(1, 1, size), line.view(1, size, 1)


def coverage(distance: Tensor, width: float | Tensor) -> Tensor:
    """Part of a pixel (0..1) inside a shape; ``width`` is a pixel for a crisp edge, more for a soft one."""
    return (0.5 - distance / width).clamp_(0.0, 1.0)


def ellipse(x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float) -> Tensor:
    """Distance to an axis-parallel ellipse at the origin (first-order accurate, exact on the edge)."""
    a, b = x / rx, y / ry
    radius = (a * a + b * b).sqrt()
    slope = ((a / rx) ** 2 + (b / ry) ** 2).sqrt_().clamp_min_(1e-4)
    return radius * (radius - 1.0) / slope


def circle(x: Tensor, y: Tensor, r: Tensor | float) -> Tensor:
    """Distance to a circle at the origin."""
    return (x * x + y * y).sqrt_().sub_(r)


def rounded_box(x: Tensor, y: Tensor, half_w: Tensor, half_h: Tensor, corner: Tensor) -> Tensor:
    """Distance to a box with rounded corners at the origin."""
    qx, qy = x.abs() - (half_w - corner), y.abs() - (half_h - corner)
    outside = (qx.clamp_min(0.0).square_() + qy.clamp_min(0.0).square_()).sqrt_()
    return outside + torch.maximum(qx, qy).clamp_max_(0.0) - corner


def capsule(x: Tensor, y: Tensor, ax: Tensor, ay: Tensor, bx: Tensor, by: Tensor) -> Tensor:
    """Distance to the segment from a to b (subtract a thickness to get a capsule)."""
    ex, ey = bx - ax, by - ay
    t = ((x - ax) * ex + (y - ay) * ey).div_(ex * ex + ey * ey + 1e-8).clamp_(0.0, 1.0)
    return ((x - ax - t * ex).square_() + (y - ay - t * ey).square_()).sqrt_()


def smooth_union(a: Tensor, b: Tensor, k: float) -> Tensor:
    """Union of two shapes with a fillet of about ``k`` where they meet (polynomial smooth minimum)."""
    h = (k - (a - b).abs()).clamp_min_(0.0)
    return torch.minimum(a, b) - h * h * (0.25 / k)


def smooth_intersection(a: Tensor, b: Tensor, k: float) -> Tensor:
    """Intersection of two shapes with corners rounded over about ``k``."""
    return -smooth_union(-a, -b, k)


def bell(x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float) -> Tensor:
    """Soft round spot: 1 at the origin, about 0.14 at the radii (a Gaussian)."""
    return torch.exp(-2.0 * ((x / rx) ** 2 + (y / ry) ** 2))


def step(value: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Straight ramp from 0 at ``low`` to 1 at ``high`` (either order)."""
    return ((value - low) / (high - low)).clamp_(0.0, 1.0)
