"""The freeze planner: a picture of both networks that shows what a choice of transfer methods leaves to train."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ipywidgets as w
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Affine2D
from PIL import Image, ImageDraw

from stylegan2 import display
from stylegan2.checkpoints import Checkpoint
from stylegan2.networks import Generator
from stylegan2.panels.controls import int_slider, steps_slider
from stylegan2.panels.freeze_plan import FROZEN, PARTLY, SOURCE, TRAINS, Blueprint, Part, Plan, call, notes, wiring
from stylegan2.panels.panel import Panel, framed
from stylegan2.transfer import FreezeD, FreezeFC, FreezeG, FreezeSG, FreezeStyle, Method

COLOURS = {  # inside and edge
    TRAINS: ("#ffe0c9", "#e2762f"),
    FROZEN: ("#d3e8f8", "#3f8bc2"),
    SOURCE: ("#e0d8ff", "#7a5cff"),
    PARTLY: ("#ececf0", "#8a8a94"),
}
NOTE = {"good": ("#e4f5ea", "#1f7a4d"), "plain": ("#f3f3f6", "#44444c"), "bad": ("#fde4e1", "#b3261e")}
# a colour's distance from the right, and what it means
LEGEND = {TRAINS: (314, "trains"), FROZEN: (236, "frozen"), SOURCE: (156, "from the source's mapping")}
GREY = "#71717c"
LEFT, BLOCK, GAP, LAYER, FACE = 146, 116, 22, 34, 64  # widths: mapping, block, between blocks, layer, image
MAPPING_Y, CHIP_Y, BLOCK_Y, D_Y, NOTES_Y = 64, 166, 204, 336, 400
WORDS = {"const": "const", "conv0": "up\nconv", "conv1": "conv", "to_rgb": "tRGB"}


class _Sheet:
    """Shapes and texts in pixels from the upper left corner. Matplotlib renders all shapes of a kind at once."""

    def __init__(self, width: int, height: int):
        self.size = width, height
        self.boxes, self.lines, self.marks, self.texts = [], [], {}, []

    def text(self, x: float, y: float, text: str, size=12, colour: Any = display.INK, anchor="lm") -> None:
        self.texts.append(((x, y), text, colour, display.font(size), anchor))

    def box(self, x: float, y: float, size: tuple[float, float], colours: tuple[str, str], radius=5, line=1) -> None:
        """`colours`: inside, edge."""
        style = f"round,pad=0,rounding_size={radius}"
        self.boxes.append(FancyBboxPatch((x, y), *size, boxstyle=style, fc=colours[0], ec=colours[1], lw=line))

    def line(self, *points: tuple[float, float], colour: str = GREY) -> None:
        self.lines.append((points, colour))

    def mark(self, x: float, y: float, kind: Any, colour: str = GREY, size: float = 6) -> None:
        """A marker of matplotlib: arrow heads, circles, snowflakes."""
        self.marks.setdefault((kind, colour, size), []).append((x, y))

    def flake(self, x: float, y: float) -> None:
        """A snowflake: frozen, for those who do not tell the colours apart."""
        self.mark(x, y, (6, 2, 0), COLOURS[FROZEN][1], 11)

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Level or upright."""
        self.line(start, end)
        self.mark(*end, "v" if start[0] == end[0] else ">" if end[0] > start[0] else "<")

    def picture(self) -> Image.Image:
        width, height = self.size
        figure = Figure((width / 72, height / 72), 72)  # a point is a pixel
        down = Affine2D().scale(1, -1).translate(0, height)
        points, colours = zip(*self.lines, strict=True)
        figure.add_artist(LineCollection(points, colors=colours, lw=1, transform=down, zorder=0))
        figure.add_artist(PatchCollection(self.boxes, match_original=True, transform=down, zorder=1))
        for (kind, colour, size), places in self.marks.items():
            style = {"marker": kind, "ms": size, "mew": 1.5 if isinstance(kind, tuple) else 0}
            figure.add_artist(Line2D(*zip(*places, strict=True), ls="", c=colour, transform=down, zorder=2, **style))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        pen = ImageDraw.Draw(picture)
        for at, text, colour, font, anchor in self.texts:
            pen.text(at, text, colour, font, anchor=anchor, align="center")
        return picture


def block_diagram(
    blueprint: Blueprint, methods: Sequence[Method], face: Image.Image, room: int | None = None
) -> Image.Image:
    """What methods leave to train, as blocks, about 1070 x 460 pixels for a 128-pixel model.

    `face`: where the generator's image comes out; `room`: for so many notes below, None: for all. Errors: the methods'.
    """
    plan = blueprint.plan(methods)
    sentences = notes(plan, blueprint.idle(methods))
    room = len(sentences) if room is None else room
    left = {r: LEFT + 12 + i * (BLOCK + GAP) for i, r in enumerate(plan.resolutions)}
    width = max(left.values()) + BLOCK + GAP + 4 + FACE + 14
    sheet = _Sheet(width, NOTES_Y + room * 30 + 2)
    sheet.text(14, 20, f"methods = {call(plan.methods)}", 16)
    for state, (before, words) in LEGEND.items():
        sheet.box(width - 14 - before - 20, 13, (14, 14), COLOURS[state], 3)
        sheet.text(width - 14 - before, 20, words)
    sheet.flake(width - 14 - LEGEND[FROZEN][0] - 13, 20)
    _add_heading(sheet, MAPPING_Y - 18, "generator", plan.g.values())
    _add_codes(sheet, plan, left)
    for r, x in left.items():
        _add_block(sheet, plan, r, x)
    _add_heading(sheet, D_Y - 26, "discriminator", plan.d.values())
    _add_discriminator(sheet, plan, left, width - FACE - 14)
    for i, (kind, sentence) in enumerate(sentences[:room]):
        paper, ink = NOTE[kind]
        sheet.box(14, NOTES_Y + i * 30, (width - 28, 25), (paper, paper))
        sheet.text(24, NOTES_Y + i * 30 + 13, sentence, 13, ink)
    picture = sheet.picture()
    shown = face.resize((FACE, FACE), Image.Resampling.BICUBIC)
    picture.paste(framed(shown, GREY, 1), (width - FACE - 14, BLOCK_Y + 36 - FACE // 2))
    return picture


def _add_heading(sheet: _Sheet, y: float, name: str, parts: Iterable[Part]) -> None:
    """'generator: frozen X of Y parameters', and a bar."""
    total, frozen = map(sum, zip(*parts, strict=True))
    sheet.text(14, y, name, 14)
    sheet.text(124, y, f"frozen {frozen:,} of {total:,} parameters", colour=GREY)
    for share, state in ((1.0, TRAINS), (frozen / total, FROZEN)):
        sheet.box(390, y - 4, (160 * share, 8), (COLOURS[state][1],) * 2, 0, 0)


def _add_codes(sheet: _Sheet, plan: Plan, left: Mapping[int, int]) -> None:
    """The mapping (and the source's), the codes that come out, and lines to the layers that they drive."""
    driven: dict[int, list[float]] = {}
    for name, code in wiring(plan.resolutions).items():
        driven.setdefault(code, []).append(_middle(name, left))
    own, source = MAPPING_Y + 20, MAPPING_Y + 64
    _add_mapping(sheet, own, "mapping", plan.g["mapping"].parameters, plan.g["mapping"].state)
    if plan.copied:
        _add_mapping(sheet, source, "source's mapping", plan.copied, SOURCE)
    for code, state in enumerate(plan.codes):
        x, y = sum(driven[code]) / len(driven[code]), source if state == SOURCE else own
        sheet.line((LEFT - 14, y), (x, y), (x, CHIP_Y), colour=COLOURS[state][1])
        for layer in driven[code]:
            sheet.line((x, CHIP_Y), (layer, BLOCK_Y + 6), colour=COLOURS[state][1])
        sheet.mark(x, CHIP_Y, "o", COLOURS[state][1], 20)
        sheet.text(x, CHIP_Y, str(code), colour="white", anchor="mm")
    sheet.text(14, CHIP_Y, f"codes ws, 0 to {len(plan.codes) - 1}", colour=GREY)


def _add_mapping(sheet: _Sheet, y: float, name: str, parameters: int, state: str) -> None:
    sheet.box(14, y - 19, (LEFT - 28, 38), COLOURS[state])
    sheet.text(22, y - 8, name)
    sheet.text(22, y + 8, f"{parameters:,}", 11, GREY)
    if state in (FROZEN, SOURCE):
        sheet.flake(LEFT - 26, y + 8)


def _middle(name: str, left: Mapping[int, int]) -> float:
    """x of the middle of a layer's box, such as "8.conv1"."""
    r, layer = name.split(".")
    place = {"const": 0, "conv0": 0, "conv1": 1, "to_rgb": 2}[layer]
    return left[int(r)] + 4 + LAYER / 2 + place * (BLOCK - 8 - LAYER) / 2


def _add_block(sheet: _Sheet, plan: Plan, r: int, x: float) -> None:
    parts = {name: part for name, part in plan.g.items() if name.startswith(f"{r}.")}
    whole = Part(*map(sum, zip(*parts.values(), strict=True)))
    sheet.box(x, BLOCK_Y, (BLOCK, 72), COLOURS[whole.state], 8, 1.5)
    for name, part in parts.items():
        middle = _middle(name, {r: x})
        sheet.box(middle - LAYER / 2, BLOCK_Y + 6, (LAYER, 38), COLOURS[part.state])
        sheet.text(middle, BLOCK_Y + 25, WORDS[name.split(".")[1]], 11, anchor="mm")
    _write_size(sheet, x, BLOCK_Y + 58, f"{r}x{r}", whole)
    sheet.arrow((x + BLOCK, BLOCK_Y + 36), (x + BLOCK + GAP - 3, BLOCK_Y + 36))


def _write_size(sheet: _Sheet, x: float, y: float, name: str, part: Part) -> None:
    """A block's name, and how many parameters it has: in short where they would not fit."""
    start = 22 if part.state == FROZEN else 8
    if part.state == FROZEN:
        sheet.flake(x + 12, y)
    sheet.text(x + start, y, name, 13)
    n, space = part.parameters, BLOCK - 12 - start - display.font(13).getlength(name)
    short = f"{n / 1e6:.1f}M" if n >= 1e6 else f"{n / 1e3:.0f}k"
    sheet.text(x + BLOCK - 7, y, f"{n:,}" if display.font(11).getlength(f"{n:,}") < space else short, 11, GREY, "rm")


def _add_discriminator(sheet: _Sheet, plan: Plan, left: Mapping[int, int], x: float) -> None:
    """Below the generator, read from right to left: each block under the one that draws at its resolution."""
    height, y, middle, parts = 44, D_Y + 22, x + FACE / 2, plan.d
    sheet.arrow((middle, BLOCK_Y + 36 + FACE / 2), (middle, D_Y - 3))
    sheet.box(x, D_Y, (FACE, height), COLOURS[parts["from_rgb"].state], 8, 1.5)
    sheet.text(middle, y - 8, "fromRGB", 11, anchor="mm")
    sheet.text(middle, y + 9, f"{parts['from_rgb'].parameters:,}", 11, GREY, "mm")
    sheet.arrow((x, y), (max(left.values()) + BLOCK + 3, y))
    for r, at in left.items():
        name, part, end = ("head", parts["head"], LEFT - 18) if r == 4 else (f"{r}x{r}", parts[str(r)], at - GAP + 3)
        sheet.box(at, D_Y, (BLOCK, height), COLOURS[part.state], 8, 1.5)
        _write_size(sheet, at, y, name, part)
        sheet.arrow((at, y), (end, y))
    sheet.text(14, y, "real or drawn?", colour=GREY)


def diagram(checkpoint: Checkpoint, methods: Sequence[Method] = ()) -> Image.Image:
    """The picture of methods on a model to start from, in 256 colours: crisp and small in a notebook.

    Raises ValueError for a model without a discriminator, or methods that do not fit it.
    """
    picture = block_diagram(Blueprint.of(checkpoint), methods, _mean_face(checkpoint.g_ema))
    return picture.quantize(256, dither=Image.Dither.NONE)


@torch.no_grad()
def _mean_face(g: Generator) -> Image.Image:
    return display.to_pil(g.synthesis(g.mapping.mean_ws[None], "const")[0])


def methods_for(freeze_d: int, freeze_g: int, freeze_mapping: bool, k: int) -> list[Method]:
    """The methods for what the panel's controls say.

    Freeze D at this resolution and above, G up to this one (0: nothing), the mapping; k codes are the source's.
    """
    methods: list[Method] = [FreezeD(freeze_d)] if freeze_d else []
    if freeze_mapping and not freeze_g:
        return [*methods, FreezeFC()]
    if freeze_g and k and not freeze_mapping:
        return [*methods, FreezeSG(freeze_g, k)]
    methods += [FreezeG(freeze_g, mapping=freeze_mapping)] if freeze_g else []
    return methods + ([FreezeStyle(k)] if k else [])


def planner_panel(checkpoint: Checkpoint, record: Mapping[str, Any] | None = None) -> Panel:
    """What trains, what does not, and which codes come from the source: move the sliders and see.

    Below the controls stands the call that makes the methods, as text to copy. Raises ValueError for a model without a
    discriminator.
    """
    blueprint, g = Blueprint.of(checkpoint), checkpoint.g_ema
    sizes, codes = g.synthesis.resolutions, g.num_ws
    half = g.resolution // 2
    coarse = min(16, half)  # what FreezeSG freezes in the course's models
    driven = min(2 * coarse.bit_length() - 4, codes)  # by so many codes
    of_d = [("nothing", 0), *((f"from {r} up", r) for r in sizes[:0:-1])]
    of_g = [("nothing", 0), *((f"up to {r}", r) for r in sizes)]
    controls = {
        "freeze_d": steps_slider("freeze D", of_d, half if half in sizes[1:] else 0, "towards the image"),
        "freeze_g": steps_slider("freeze G", of_g, coarse if coarse in sizes else 0, "constant to this resolution"),
        "freeze_mapping": w.Checkbox(False, description="freeze the mapping"),
        "k": int_slider("source codes", driven, 0, codes, "how many of the codes the source's mapping makes"),
    }
    code, face = w.HTML(), _mean_face(g)

    def render(**settings: Any) -> Image.Image:
        methods = methods_for(**settings)
        code.value = f"to copy: <code style='user-select:all'>{call(methods)}</code>"
        return block_diagram(blueprint, methods, face, room=2)

    return Panel(render, controls, "freeze-plan", record=record, below=[code])
