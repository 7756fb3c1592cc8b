"""The canvas of a batch of pocket faces: coordinates, colours, ways to paint; the background and the finish.

`head.py` paints hair, neck, clothes, ears and face on it, `features.py` eyes, nose, mouth, beard and glasses.
"""

from __future__ import annotations

import copy
import functools
import math

import torch
from torch import Tensor

from stylegan2.pocket.world import shapes
from stylegan2.pocket.world.faces import Colour, Faces
from stylegan2.pocket.world.geometry import columns, geometry
from stylegan2.pocket.world.styles import SKIN_RAMP, SKIN_WARMTH, Style


def rgb(colour: Colour) -> Tensor:
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
    """A batch of images in progress.

    ``rgb`` is the canvas [N, 3, H, W] in 0..1, ``u, v`` are coordinates of the image and ``x, y`` of the head frame
    [N, H, W], ``face`` distances to its outline [N, H, W], ``f`` attributes [N, 1, 1] and ``c`` colours [N, 3, 1, 1] by
    name, ``g`` the geometry, ``locks`` the hair (see `head.place_hair`).
    """

    def __init__(self, faces: Faces, style: Style, size: int) -> None:
        self.style, self.size, self.px = style, size, 2.0 / size / style.zoom
        self.f, self.g = columns(faces), geometry(faces, style)
        self.c = {k: v.view(-1, 3, 1, 1) for k, v in faces.values.items() if v.ndim == 2}
        self.u, self.v = (t.expand(len(faces), size, size) / style.zoom for t in shapes.grid(size))
        self.x, self.y = self._head_frame()
        self.rgb = torch.empty(len(faces), 3, size, size)
        self.face = self._face_distance()
        self.skin = self._skin()
        self.hair = saturate(self.c["hair_colour"], style.saturation).clamp_min(0.02)
        for name in ("background", "background2", "clothes_colour"):
            self.c[name] = saturate(self.c[name], min(style.saturation, 1.0))

    def _head_frame(self) -> tuple[Tensor, Tensor]:
        g, u, v, t = self.g, self.u, self.v, self.f["texture"]
        if self.style.finish == "paint":  # edges wander a little, as under a brush
            u = u + (0.006 * torch.sin(15 * v + 9 * t) + 0.004 * torch.sin(27 * u + 19 * v))
            v = v + 0.005 * torch.sin(17 * self.u + 11 * t)
        sin, cos = g.roll.sin(), g.roll.cos()
        dx, dy = u - g.cx, v - g.cy
        return cos * dx + sin * dy, cos * dy - sin * dx

    def _face_distance(self) -> Tensor:
        """Distance to the face outline: round above, |x/w|^2 + |y/h|^jaw = 1 below the eye line."""
        g = self.g
        t = self.y / g.h
        x = (self.x - g.chin_x * (0.5 + 0.5 * t).clamp(0, 1)) / g.w
        power = torch.where(t < 0, 2.15, g.jaw)
        steep = torch.exp((power - 1) * torch.log(t.abs().clamp_min(1e-3)))  # |t|^(power-1)
        value = x * x + steep * t.abs() - 1
        slope = ((2 * x / g.w) ** 2 + (power * steep / g.h) ** 2).sqrt_().clamp_min_(0.8)
        return value / slope

    def _skin(self) -> Tensor:
        ramp = torch.tensor(SKIN_RAMP)
        place = self.f["skin"].view(-1) * (len(ramp) - 1)
        low = place.long().clamp(0, len(ramp) - 2)
        mixed = torch.lerp(ramp[low], ramp[low + 1], (place - low)[:, None]).view(-1, 3, 1, 1)
        warm = self.f["skin_warmth"].unsqueeze(1) * rgb(SKIN_WARMTH)
        return saturate(mixed * (1 + warm), self.style.saturation)

    def band(self, top: float, bottom: float) -> Scene:
        """The rows between two heights of the image (-1..1), on the same canvas: saves most work of small features."""
        first = max(0, int((top * self.style.zoom + 1) / 2 * self.size))
        last = min(self.size, int((bottom * self.style.zoom + 1) / 2 * self.size) + 1)
        band = copy.copy(self)
        for name in ("x", "y", "u", "v", "face"):
            setattr(band, name, getattr(self, name)[:, first:last])
        band.rgb = self.rgb[:, :, first:last]
        return band

    def nearer_eye(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of the nearer eye at each pixel: whether it is the right one, its side (-1, 1), x outwards from its centre.

        With these, one pass renders both eyes (brows, lenses, cheeks).
        """
        right = self.x > self.g.mid
        side = torch.where(right, 1.0, -1.0)
        return right, side, (self.x - torch.where(right, self.g.eye_x[1], self.g.eye_x[0])) * side

    def shade(self, base: Tensor, tone: Tensor, shadow: Colour) -> Tensor:
        """Colour [N, 3, H, W] of a surface: ``tone`` 1 is lit, 0 in shadow (which leaves ``shadow`` of the colour)."""
        if self.style.hard:
            tone = ((tone - 0.5) * (0.10 * self.size) + 0.5).clamp_(0, 1)
        dark = 1 - (1 - rgb(shadow)) * self.style.contrast
        return base * (dark.clamp_min(0.05) + (1 - dark) * tone.unsqueeze(1))

    def paint(self, alpha: Tensor, colour: Tensor) -> None:
        """Cover the canvas with a colour ([N, 3, 1, 1] or [N, 3, H, W]) by ``alpha`` [N, H, W]."""
        self.rgb.lerp_(colour.expand_as(self.rgb), alpha.unsqueeze(1))

    def add(self, alpha: Tensor, light: Colour = (1.0, 0.97, 0.92)) -> None:
        """Add light towards white."""
        self.paint(alpha, rgb(light))

    def multiply(self, alpha: Tensor, tint: Colour) -> None:
        """Darken towards ``tint`` times the colour."""
        self.rgb.mul_(1 - alpha.unsqueeze(1) * (1 - rgb(tint)))

    def fill(self, distance: Tensor, colour: Tensor) -> None:
        """Paint the inside of a shape."""
        self.paint(shapes.coverage(distance, self.px), colour)

    def outline(self, distance: Tensor, base: Tensor, width: float = 1.0, alpha: Tensor | float = 1.0) -> None:
        """The style's line along an edge, in a dark version of ``base`` [N, 3, 1, 1] (if it has lines)."""
        if self.style.line:
            cover = shapes.coverage(distance.abs() - self.style.line * width, self.px)
            self.paint(cover * (self.style.line_alpha * alpha), base * self.style.line_dark)


def background(scene: Scene) -> None:
    """Fill the canvas: two colours of the attributes, in the manner of the domain."""
    u, v, light, phase = scene.u, scene.v, scene.f["light"], scene.f["texture"]
    t = (0.5 + 0.42 * v + 0.16 * u * light).clamp(0, 1)
    scene.rgb.copy_(torch.lerp(scene.c["background"], scene.c["background2"], t.unsqueeze(1)))
    match scene.style.background:
        case "blur":  # large out-of-focus discs of light, as behind a photographed head
            for k in range(2):
                turn = math.tau * phase + 2.6 * k
                cx, cy = torch.sin(turn), -0.55 + 0.5 * torch.cos(turn)
                scene.add(0.20 * shapes.coverage(shapes.circle(u - cx, v - cy, 0.34), 0.22))
            scene.multiply(0.22 * shapes.step(u * -light, -0.4, 1.3), (0.25, 0.25, 0.3))
        case "pattern":  # flat pastel ground with broad diagonal stripes or dots
            stripes = (torch.sin((u + v) * 7.0 + 20 * phase) * 4 + 0.5).clamp(0, 1)
            dots = (0.5 + (torch.cos(u * 9.4) * torch.cos(v * 9.4 + 6 * phase) - 0.35) * 4).clamp(0, 1)
            shown = torch.where(phase < 0.4, stripes, torch.where(phase < 0.7, dots, 0 * phase))
            scene.paint(shown * 0.6, scene.c["background2"] * 0.75 + 0.25)
        case "glow":  # a warm round glow behind the head and a soft hill below
            scene.add(0.55 * shapes.bell(u, v + 0.15, 1.0, 1.0), (1.0, 0.96, 0.84))
            hill = v - 0.45 - 0.16 * torch.sin(2.2 * u + 12 * phase)
            scene.multiply(0.5 * shapes.coverage(hill * -1, 0.05), (0.80, 0.72, 0.66))
        case "vignette":  # dark ground with light beside the head, as in old portraits
            scene.add(0.13 * shapes.bell(u + 0.45 * light, v + 0.1, 0.9, 0.9), (0.95, 0.80, 0.55))
            scene.multiply(shapes.step(u * u + v * v, 0.35, 2.0), (0.30, 0.27, 0.25))


@functools.lru_cache(maxsize=16)
def _noise(size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(size)
    return torch.randn(1, 1, size, size, generator=generator), torch.randn(1, 1, size, size, generator=generator)


def finish(scene: Scene) -> None:
    """What the domain does to the whole picture at the end."""
    u, v, t = scene.u, scene.v, scene.f["texture"]
    match scene.style.finish:
        case "grain":  # film grain: two fixed tiles of noise, mixed differently from face to face
            a, b = _noise(scene.size)
            angle = (t * math.tau).unsqueeze(1)
            scene.rgb.add_((a * angle.sin() + b * angle.cos()) * 0.010)
        case "paint":  # broad brush strokes in two crossing directions, old varnish, and the weave of the canvas
            t = t * 20
            bend = 0.5 * torch.sin(3.1 * u + t) + 0.4 * torch.sin(2.3 * v - t)
            patch = torch.sin(5.3 * u + 2.1 * v + t) * torch.sin(4.7 * v - 2.9 * u - t)  # which of the directions
            a = torch.sin(21 * (u * 0.7 + v * 0.7 + bend * 0.25) + t) * patch.clamp_min(0)
            b = torch.sin(24 * (u * 0.8 - v * 0.6 + bend * 0.25) - t) * (-patch).clamp_min(0)
            strokes = 0.15 * (a + b) + 0.012 * torch.sin(u * 90) * torch.sin(v * 90)
            scene.rgb.mul_(1 + strokes.unsqueeze(1))
            scene.rgb.mul_(rgb((1.03, 0.975, 0.86)))
            scene.multiply(0.55 * shapes.step(u * u + v * v, 0.6, 1.7), (0.45, 0.42, 0.40))
        case "paper":
            scene.add(0.05 * shapes.bell(u, v, 1.2, 1.2), (1.0, 0.93, 0.80))
