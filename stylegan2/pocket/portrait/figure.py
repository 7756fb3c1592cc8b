"""A reading as a picture: the photo with its mesh, the attributes with their sureness, the face that they render."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from stylegan2 import display
from stylegan2.collect.facemesh import OVAL
from stylegan2.pocket import world
from stylegan2.pocket.portrait.head import LEFT_BROW, LEFT_LIDS, LIPS, RIGHT_BROW, RIGHT_LIDS, Head
from stylegan2.pocket.portrait.reading import Reading
from stylegan2.pocket.world.faces import BY_NAME
from stylegan2.pocket.world.styles import PALETTES

SIDE, ROW, LARGER = 288, 18, 2  # pixels of a picture and of a row of the table; the mesh is drawn larger, then shrunk
LINE, BAR, BACK = "#7df3c8", "#7a5cff", "#e6e6ec"
VIEW = 1 / 1.13  # half of the side that is shown, as the renderer zooms (`styles.zoom`)
HIDDEN = ("texture", "glasses_colour", "parting", "gaze")


def figure(reading: Reading, domains: tuple[str, ...] = ("photo", "webtoon")) -> Image.Image:
    """The head with its mesh, a table of all attributes, and the rendered faces, side by side."""
    faces = reading.faces()
    rendered = [display.to_pil(world.render(faces, domain, SIDE)[0]) for domain in domains]
    pictures = [meshed(reading.head), *rendered]
    titles = ["read off the photo", *(f"rendered: {domain}" for domain in domains)]
    labelled = [display.label(picture, title) for picture, title in zip(pictures, titles, strict=True)]
    notes = [display.label(Image.new("RGB", (1, 1), "white"), note) for note in reading.notes]
    return display.stack([display.beside(labelled), *notes, table(reading, max(3, len(pictures)))])


def meshed(head: Head) -> Image.Image:
    """The square around the head, with points and outlines of the mesh."""
    size = head.pixels.shape[0] * LARGER
    picture = Image.fromarray(head.pixels).resize((size, size), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    places = np.stack(head.at(*head.points[:, :2].T), 1) * LARGER
    for x, y in places:
        pen.point((x, y), LINE)
    for ring in (OVAL, LIPS, LEFT_LIDS, RIGHT_LIDS):
        pen.line([tuple(places[i]) for i in (*ring, ring[0])], LINE, 1)
    for brow in (LEFT_BROW, RIGHT_BROW):
        pen.line([tuple(places[i]) for i in brow[:5]], LINE, 1)
    (left, right), (top, bottom) = (np.array(v) * LARGER for v in head.at([-VIEW, VIEW], [0.05 - VIEW, 0.05 + VIEW]))
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=(left, top, right, bottom))


def table(reading: Reading, columns: int = 3) -> Image.Image:
    """Names, values (colours as patches) and bars of sureness of all attributes."""
    names = [name for name in BY_NAME if name not in HIDDEN]
    rows = -(-len(names) // columns)
    canvas = Image.new("RGB", (SIDE * columns + 4 * (columns - 1), rows * ROW), display.PAPER)
    pen, values = ImageDraw.Draw(canvas), reading.settled()
    for k, name in enumerate(names):
        x, y = k // rows * (SIDE + 4), k % rows * ROW
        pen.text((x + 2, y + ROW / 2), name.replace("_", " "), display.INK, display.font(), anchor="lm")
        if name in PALETTES:
            rgb = tuple(round(255 * channel) for channel in values[name])
            pen.rectangle((x + 108, y + 3, x + 122, y + ROW - 4), rgb, BACK)
        at = x + (128 if name in PALETTES else 108)
        pen.text((at, y + ROW / 2), reading.name_of(name), display.INK, display.font(), anchor="lm")
        pen.rectangle((x + 212, y + 6, x + 276, y + ROW - 7), BACK)
        if reading.sure[name] > 0:
            pen.rectangle((x + 212, y + 6, x + 212 + 64 * reading.sure[name], y + ROW - 7), BAR)
    return canvas
