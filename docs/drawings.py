"""The drawings of the course: a map of it for every notebook, the game of two networks, the modulated convolution.

    python docs/drawings.py            into docs/pictures/
    python docs/drawings.py --check    change nothing; exit code 1 where a picture is of another course, or missing

Each picture carries a fingerprint of what it shows (this file, and the course in stamp.py): pixels differ between
versions of Matplotlib, fingerprints do not.
"""

from __future__ import annotations

import hashlib
import io
import math
import random
import sys
from pathlib import Path

import matplotlib
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from stamp import COURSE, Stop

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch  # noqa: E402

PICTURES = Path(__file__).with_name("pictures")
INK, GREY, PALE, LINE = "#2b2b33", "#77777f", "#f3f2f8", "#b9b7c6"
G, D, DATA = "#7a5cff", "#d1476f", "#1f9d6b"  # the generator's things, the discriminator's, and the world's
KEY = "Fingerprint"


def canvas(width: float, height: float, x: float, y: float):
    """A figure without axes, `width` x `height` inches, on which x and y count from 0."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, x), ylim=(0, y))
    axes.axis("off")
    return figure, axes


def box(axes, x, y, w, h, title, text="", face="white", edge=LINE, ink=INK, size=10.5):
    """A rounded box around (x, y), with a title and a smaller line of text."""
    shape = "round,pad=0,rounding_size=0.13"
    axes.add_patch(FancyBboxPatch((x - w / 2, y - h / 2), w, h, shape, fc=face, ec=edge, lw=1.4, zorder=2))
    up = 0.17 if text else 0
    axes.text(x, y + up, title, ha="center", va="center", size=size, color=ink, weight="bold", zorder=3)
    if text:
        axes.text(x, y - 0.19, text, ha="center", va="center", size=8.2, color=ink, zorder=3, linespacing=1.15)


def arrow(axes, start, end, text="", colour=GREY, bend=0.0, at=(0, 0.14), style="-", size=8.5):
    """An arrow between two points, its text beside its middle."""
    way = f"arc3,rad={bend}"
    kind = {"arrowstyle": "-|>", "mutation_scale": 12, "lw": 1.4, "linestyle": style, "shrinkA": 0, "shrinkB": 2}
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=way, color=colour, zorder=1, **kind))
    middle = [(a + b) / 2 + d for a, b, d in zip(start, end, at, strict=True)]
    axes.text(*middle, text, ha="center", va="center", size=size, color=colour, linespacing=1.15)


# ------------------------------------------------------------------------------------------------ the map of the course
PLACES = {"00": (1.0, 1.9), "01": (3.0, 3.1), "02": (4.75, 3.1), "03": (6.5, 3.1), "04": (8.5, 3.55), "05": (8.5, 2.6)}
PLACES |= {"06": (10.5, 3.1), "07": (4.75, 0.75), "08": (6.95, 0.75), "09": (9.15, 0.75), "10": (12.45, 2.3)}
PLACES["11"] = (12.45, 0.75)
PLACES["12"] = (9.4, 1.58)
WAYS = [("00", "03"), ("01", "02"), ("02", "03"), ("03", "04"), ("03", "05"), ("04", "06"), ("05", "06"), ("06", "10")]
WAYS += [("00", "07"), ("07", "08"), ("08", "09"), ("09", "10"), ("09", "11"), ("10", "11"), ("08", "12")]
LANES = ((5.2, 4.12, "teach the generator another world, and keep the person"), (6.95, 0.17, "change a face"))


def course_map(here: Stop):
    """All notebooks and the ways between them; `here` is filled."""
    figure, axes = canvas(11.2, 3.6, 13.5, 4.35)
    w, h = 1.56, 0.74
    for a, b in WAYS:
        (x0, y0), (x1, y1) = PLACES[a], PLACES[b]
        start, end = (x0 + w / 2, y0), (x1 - w / 2, y1)
        if (a, b) == ("00", "03"):
            end = x1 - 0.3, y1 - h / 2
        elif x0 == x1:  # down, beside "you are here"
            start, end = (x0 + 0.68, y0 - h / 2), (x1 + 0.68, y1 + h / 2)
        arrow(axes, start, end, bend=0.1 if a == "00" else 0)
    for x, y, text in LANES:
        axes.text(x, y, text, ha="center", va="center", size=9, color=GREY, style="italic")
    for stop in COURSE:
        x, y = PLACES[stop.number]
        colours = {"face": G, "edge": G, "ink": "white"} if stop == here else {"face": PALE}
        box(axes, x, y, w, h, f"{stop.number}  {stop.short}", stop.makes, size=9.6, **colours)
        if stop == here:
            axes.text(x, y + 0.55, "you are here", ha="center", va="center", size=9, color=G, weight="bold")
    return figure


# -------------------------------------------------------------------------------------------------- what the papers say
def gan():
    """D against G: who sees what, and who learns from which loss."""
    figure, axes = canvas(10, 4, 12, 4.8)
    box(axes, 1.0, 3.7, 1.5, 0.8, "world", "real pictures x", DATA + "22", DATA)
    box(axes, 1.0, 1.5, 1.5, 0.8, "z", "random numbers", PALE)
    box(axes, 3.7, 1.5, 1.9, 1.0, "generator G", "draws G(z)", G + "22", G)
    box(axes, 7.0, 2.6, 2.2, 1.1, "discriminator D", "one number: how real?", D + "22", D)
    arrow(axes, (1.75, 1.5), (2.75, 1.5))
    arrow(axes, (1.75, 3.7), (5.9, 2.9), "real", DATA, -0.12, (0.3, 0.5))
    arrow(axes, (4.65, 1.5), (5.9, 2.3), "made up", G, 0.12, (0.55, -0.2))
    box(axes, 10.4, 3.6, 2.7, 0.95, "D wants", "D(x) high, D(G(z)) low", "white", D, D)
    box(axes, 10.4, 1.6, 2.7, 0.95, "G wants", "D(G(z)) high", "white", G, G)
    arrow(axes, (8.1, 2.8), (9.05, 3.5), colour=D, bend=-0.1)
    arrow(axes, (8.1, 2.4), (9.05, 1.7), colour=G, bend=0.1)
    arrow(axes, (10.4, 4.1), (7.0, 3.18), "D's gradient changes D", D, 0.35, (-0.2, 1.0), "--")
    back = "G's gradient comes back through D and changes only G"
    arrow(axes, (10.4, 1.1), (3.7, 0.97), back, G, -0.14, (0, -0.85), "--")
    return figure


def modulation():
    """One modulated convolution: the code scales what goes in, demodulation what comes out."""
    figure, axes = canvas(10, 3.1, 12, 3.75)
    box(axes, 1.0, 2.75, 1.5, 0.85, "w", "the code", G + "22", G)
    box(axes, 3.5, 2.75, 1.9, 0.85, "affine", "s = A w + b", "white", G)
    box(axes, 1.0, 0.95, 1.5, 0.95, "x", "features that\ncome in", PALE)
    box(axes, 3.5, 0.95, 1.9, 0.95, "modulate", "feature i times $s_i$", G + "22", G)
    box(axes, 6.05, 0.95, 1.9, 0.95, "convolve", "weights $w_{oik}$", PALE)
    box(axes, 8.6, 0.95, 1.95, 0.95, "demodulate", "feature o times $d_o$", D + "22", D)
    box(axes, 11.1, 0.95, 1.5, 0.95, "y", "noise, bias,\nleaky ReLU", PALE)
    box(
        axes,
        8.6,
        2.75,
        4.3,
        0.85,
        "back to size 1",
        "$d_o = 1\\,/\\,\\sqrt{\\sum_{i,k} (s_i\\,w_{oik})^2}$",
        "white",
        D,
    )
    for x0, x1 in ((1.75, 2.55), (4.45, 5.1), (7.0, 7.62), (9.58, 10.35)):
        arrow(axes, (x0, 0.95), (x1, 0.95))
    arrow(axes, (1.75, 2.75), (2.55, 2.75), colour=G)
    arrow(axes, (3.5, 2.32), (3.5, 1.43), "one number for\neach feature", G, at=(0.85, 0.02))
    arrow(axes, (4.45, 2.75), (6.45, 2.75), "s", G)
    arrow(axes, (8.6, 2.32), (8.6, 1.43), colour=D)
    return figure


def decided():
    """Decided is not painted: the codes that decide, and the resolutions where it becomes colours."""
    figure, axes = canvas(10, 2.5, 12, 3.0)
    sizes = ("4x4", "8x8", "16x16", "32x32", "whole")
    for i, size in enumerate(sizes):
        x = 2.75 + 2.1 * i
        box(axes, x, 1.75, 1.5, 0.62, size, face=PALE)
        box(axes, x, 0.55, 1.5, 0.62, "RGB sum", face="white", edge=DATA)
        arrow(axes, (x, 1.44), (x, 0.86), "tRGB" if i == 0 else "", DATA, at=(0.36, 0))
        if i:
            arrow(axes, (x - 1.35, 1.75), (x - 0.75, 1.75), "features" if i == 1 else "", GREY, at=(0, 0.48))
            arrow(axes, (x - 1.35, 0.55), (x - 0.75, 0.55), "", DATA)
    axes.text(0.15, 1.75, "decided here:\nfeatures carry it on", va="center", size=9, color=G, weight="bold")
    axes.text(0.15, 0.55, "painted here:\ncolours so far", va="center", size=9, color=DATA, weight="bold")
    axes.text(7.1, 2.72, "a code w decides on glasses at 16x16, though they become clear colours only at 128x128",
              ha="center", va="center", size=9, color=GREY, style="italic")  # fmt: skip
    return figure


def when_it_goes_wrong():
    """In outline: what overfitting and collapse look like."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), width_ratios=(1.7, 1), layout="constrained")
    time = [i / 40 for i in range(41)]
    curves = {"pictures that D trains on": (DATA, [2.2 * t**0.6 for t in time])}
    curves["new real pictures"] = (INK, [1.3 * t * (1 - t) * 2.2 - 1.5 * t**2 for t in time])
    curves["made-up pictures"] = (G, [-1.6 * t**0.7 for t in time])
    for name, (colour, values) in curves.items():
        left.plot(time, values, color=colour, lw=2)
        left.text(1.02, values[-1] + (0.22 if colour == INK else -0.05), name, color=colour, size=9, va="center")
    left.set(title="overfitting: D's answers", xlabel="training", xlim=(0, 1.45), xticks=[], yticks=[])
    rng = random.Random(0)
    for i in range(8):
        x, y = 2 * math.cos(i * math.pi / 4), 2 * math.sin(i * math.pi / 4)
        right.scatter(
            *zip(*[(rng.gauss(x, 0.12), rng.gauss(y, 0.12)) for _ in range(40)], strict=True), s=5, color=LINE
        )
    arc = [2.4 + rng.random() * 1.7 for _ in range(150)]
    made = [(2 * math.cos(a) + rng.gauss(0, 0.07), 2 * math.sin(a) + rng.gauss(0, 0.07)) for a in arc]
    right.scatter(*zip(*made, strict=True), s=5, color=G)
    right.set(title="collapse: grey is real, violet is G's", aspect="equal", xticks=[], yticks=[])
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


DRAWINGS = {drawing.__name__: drawing for drawing in (gan, modulation, decided, when_it_goes_wrong)}
DRAWINGS |= {f"map_{stop.number}": lambda stop=stop: course_map(stop) for stop in COURSE}


def fingerprint(name: str) -> str:
    """Of all that a picture shows."""
    said = f"{name}{COURSE}{Path(__file__).read_text(encoding='utf-8')}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def is_current(name: str) -> bool:
    """Is the picture there, and of this course?"""
    path = PICTURES / f"{name}.png"
    if not path.is_file():
        return False
    with Image.open(path) as picture:
        return picture.text.get(KEY) == fingerprint(name)


def save(figure, name: str) -> None:
    """As PNG with few colours: a map is part of its notebook, too."""
    buffer, text = io.BytesIO(), PngInfo()
    figure.savefig(buffer, dpi=100)
    text.add_text(KEY, fingerprint(name))
    with Image.open(buffer) as picture:
        picture.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(
            PICTURES / f"{name}.png", pnginfo=text, optimize=True
        )


def main() -> None:
    """Draw what is not current, or with --check only name it (exit code 1)."""
    stale = [name for name in DRAWINGS if not is_current(name)]
    print(*(f"not current: {name}" for name in stale), sep="\n", end="\n" if stale else "")
    if "--check" in sys.argv:
        sys.exit(bool(stale))
    PICTURES.mkdir(exist_ok=True)
    for name in stale:
        figure = DRAWINGS[name]()
        save(figure, name)
        plt.close(figure)


if __name__ == "__main__":
    main()
