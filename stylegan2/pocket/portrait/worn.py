"""What lies on a face: glasses and beard."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from stylegan2.collect.facemesh import Mesh, cut_out, moved, warp_of
from stylegan2.pocket.portrait.colours import CHEEKS, CHIN
from stylegan2.pocket.portrait.head import Head
from stylegan2.pocket.world.faces import Value

SIDE, EYES = 160, 1.6  # pixels of the square around the eyes, and its side in distances between their outer corners
BRIDGE = 17.0  # contrast across the nose's bridge from which there are glasses: 27 bare faces had 16.1 at most
LIP = (165, 92, 164, 322, 391, 393, 167)
SIDES = ((213, 192, 214, 210, 135, 138), (433, 416, 434, 430, 364, 367))
BEARD = 2.0  # score of the chin from which there is a beard
HAIRY = 3.2  # and from which it is more than stubble


def glasses(photo: Image.Image, mesh: Mesh) -> dict[str, tuple[Value, float]]:
    """{attribute: (value, sureness)} of glasses and the colour of their frame, by a bar across the nose's bridge.

    Only whether there are glasses is measured; "square" stands for all shapes. Frames without rims are not seen.
    """
    apart = float(np.linalg.norm(mesh.points[33] - mesh.points[263]))
    warp = warp_of(mesh.points[[168, 6], :2].mean(0), EYES * apart, mesh.roll, SIDE)
    square = cut_out(np.asarray(photo.convert("RGB")), warp, SIDE, "edge")
    lab = cv2.GaussianBlur(cv2.cvtColor(square.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), (0, 0), 1)
    points = moved(mesh.points, warp)[:, :2]
    across, down = points[362] - points[133], points[195] - points[9]
    wide = np.linalg.norm(across)
    steps, sides = np.linspace(-0.45, 0.75, 60) * wide, np.linspace(-0.13, 0.13, 9)
    places = points[[168, 6]].mean(0) + steps[:, None, None] * down / np.linalg.norm(down) + sides[:, None] * across
    x, y = places.astype(np.float32).transpose(2, 0, 1)
    profile = cv2.remap(lab, x, y, cv2.INTER_LINEAR).mean(1)  # [60, 3], down the nose
    around = cv2.blur(profile[:, None], (1, 21), borderType=cv2.BORDER_REPLICATE)[:, 0]
    bar = np.abs(profile - around).sum(1)[6:-6]
    contrast = bar.max() + np.abs(np.diff(profile, axis=0)).sum(1).max()
    row = 6 + bar.argmax()
    colour = cv2.remap(square, x[row : row + 1], y[row : row + 1], cv2.INTER_LINEAR)[0]
    sure = float(min(1, 0.5 + abs(contrast - BRIDGE) / BRIDGE))
    worn = contrast > BRIDGE
    frame = tuple((np.median(colour, 0) / 255).tolist())
    return {"glasses": ("square" if worn else "none", sure), "glasses_colour": (frame, sure if worn else 0.0)}


def beard(head: Head, hair: np.ndarray, smiles: bool) -> tuple[str, float]:
    """Facial hair, by tone, grain and the colour of the hair (RGB in 0..1) on chin, jaw and upper lip.

    A smile shades the upper lip: then it says nothing. A chin outside of the photo cannot be read.
    """
    if head.seen[head.area(CHIN)].mean() < 0.7:
        return "none", 0.0
    light = head.lab[..., 0].astype(np.float32)
    grain = np.abs(cv2.Laplacian(light, cv2.CV_32F))
    hair_lab = cv2.cvtColor(np.float32(hair)[None, None], cv2.COLOR_RGB2LAB)[0, 0]
    cheek, cheek_grain = _patch(head, grain, CHEEKS[:2])
    apart = float(np.linalg.norm(hair_lab - cheek))

    def score(*fields: tuple[int, ...]) -> tuple[float, float]:
        lab, own_grain = _patch(head, grain, fields)
        darker = float(np.clip(cheek[0] - lab[0], 0, 40))
        like_hair = float((lab - cheek) @ (hair_lab - cheek)) / apart**2 if apart > 20 else 0.0
        return darker / 14 + 2 * ((own_grain + 2) / (cheek_grain + 2) - 1) + 3 * max(0.0, like_hair - 0.3), darker

    chin, dark = score(CHIN)
    lip, sides = score(LIP)[0], sum(score(field)[0] for field in SIDES) / 2
    sure = float(min(1, 0.5 + abs(chin - BEARD) / 3))
    if chin < BEARD:
        return ("moustache", 0.5) if lip > HAIRY and not smiles else ("none", sure)
    if chin < HAIRY or dark < 15:
        return "stubble", sure
    return ("full beard" if sides > BEARD else "goatee"), sure


def _patch(head: Head, grain: np.ndarray, fields: tuple[tuple[int, ...], ...]) -> tuple[np.ndarray, float]:
    """Median colour [3] (L*a*b*) and mean grain of fields of the face."""
    mask = np.any([head.area(field) for field in fields], 0)
    return np.median(head.lab[mask], 0), float(grain[mask].mean())
