"""The freeze planner: a picture of both networks that shows what a choice of transfer methods leaves to train.

    diagram(source, [FreezeD(32), FreezeSG(8, 4)])      the picture
    Blueprint.of(source).plan(methods).frozen           the exact names
    planner_panel(source).show()                        sliders, and the call to copy

Nothing here knows what a method freezes: the methods are applied to copies of the networks, and the picture shows what
`requires_grad` says afterwards. The copies are shapes without numbers (PyTorch's "meta" device), so that one costs a
millisecond, whatever the size of the model.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
from torch import Tensor, nn

from stylegan2 import display, transfer
from stylegan2.checkpoints import Checkpoint
from stylegan2.networks import Discriminator, Generator, SharedMapping, SynthesisBlock
from stylegan2.panels.controls import int_slider, steps_slider
from stylegan2.panels.panel import Panel
from stylegan2.transfer import FreezeD, FreezeFC, FreezeG, FreezeSG, FreezeStyle, Method

TRAINS, FROZEN, SOURCE, PARTLY = "trains", "frozen", "source", "partly"


# ------------------------------------------------------------------------------------------------------------ the plan


@dataclass(frozen=True)
class Part:
    """A piece of a network: how many parameters it has, and how many of them are frozen."""

    parameters: int
    frozen: int

    @classmethod
    def of(cls, parameters: Iterable[Tensor]) -> Part:
        """Counted by `requires_grad`."""
        parameters = list(parameters)
        return cls(sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if not p.requires_grad))

    @property
    def state(self) -> str:
        """ "trains", "frozen", or "partly"."""
        return TRAINS if not self.frozen else FROZEN if self.frozen == self.parameters else PARTLY


@dataclass(frozen=True)
class Plan:
    """What the methods leave to train.

    Attributes:
        methods: as given.
        frozen: exact names of all frozen parameters, "G.…" and "D.…", as the trainer prints them.
        g: the generator's parts: "mapping", "4.const", "4.conv1", "4.to_rgb", "8.conv0", ...
        d: the discriminator's: "from_rgb", "64", ..., "8", "head".
        codes: where each of the L codes comes from: "trains" (a mapping that learns), "frozen" (one that does not), or
            "source" (the copy of the source's mapping that the model carries).
        copied: parameters of that copy, 0 without one. It is no part of `g` and never trains.
        resolutions: of the generator, 4 to R.
        losses: names of the losses that the methods add.
    """

    methods: tuple[Method, ...]
    frozen: list[str]
    g: dict[str, Part]
    d: dict[str, Part]
    codes: tuple[str, ...]
    copied: int
    resolutions: tuple[int, ...]
    losses: tuple[str, ...]

    @property
    def effect(self) -> tuple:
        """All that training can tell: what learns, which codes can move, which losses there are."""
        learning = [(name, part.parameters - part.frozen) for parts in (self.g, self.d) for name, part in parts.items()]
        return tuple(learning), tuple(code == TRAINS for code in self.codes), self.losses

    @property
    def frozen_codes(self) -> list[int]:
        """Codes that drive at least one frozen layer of the synthesis network."""
        return sorted({code for name, code in wiring(self.resolutions).items() if self.g[name].state == FROZEN})


class Blueprint:
    """Both networks as shapes without numbers: something to try methods on.

    Args:
        generator, discriminator: to start from; they stay as they are.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator):
        # unpickling is the deep copy: several times faster than copy.deepcopy, and a panel needs several per redraw
        self._pickled = pickle.dumps((_without_numbers(generator), _without_numbers(discriminator)))
        self._source, _ = self.networks()  # methods only read it
        self._plans: dict[tuple[Method, ...], Plan] = {}  # most moves of a control ask for some of the last ones again

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Blueprint:
        """Of the averaged generator, from which fine-tuning starts. ValueError for a model without a discriminator."""
        if checkpoint.d is None:
            raise ValueError("the model has no discriminator, which fine-tuning needs: use a checkpoint with 'd'")
        return cls(checkpoint.g_ema, checkpoint.d)

    def networks(self) -> tuple[Generator, Discriminator]:
        """New copies."""
        return pickle.loads(self._pickled)

    def plan(self, methods: Sequence[Method]) -> Plan:
        """Apply methods to copies of the networks, in the trainer's order, and read off what trains.

        Raises what the methods raise (ValueError for a resolution or a number of codes that the networks lack).
        """
        methods = tuple(methods)
        if methods not in self._plans:
            self._plans[methods] = self._plan(methods)
        return self._plans[methods]

    def _plan(self, methods: tuple[Method, ...]) -> Plan:
        g, d = self.networks()
        for method in methods:
            method.prepare(g, self._source)
        g.requires_grad_(True)
        d.requires_grad_(True)
        frozen = transfer.freeze(methods, g, d)
        shared = isinstance(g.mapping, SharedMapping)
        return Plan(
            methods=methods,
            frozen=frozen,
            g=_parts_of_g(g),
            d=_parts_of_d(d),
            codes=_codes(g),
            copied=Part.of(g.mapping.source.parameters()).parameters if shared else 0,
            resolutions=tuple(g.synthesis.resolutions),
            losses=tuple(name for method in methods for name in method.loss_names),
        )

    def idle(self, methods: Sequence[Method]) -> list[Method]:
        """The methods that change nothing beside the others: without any one of them training would be the same."""
        whole = self.plan(methods).effect
        rest = {i: [*methods[:i], *methods[i + 1 :]] for i in range(len(methods))}
        return [methods[i] for i, others in rest.items() if self.plan(others).effect == whole]


def _without_numbers(network: nn.Module) -> nn.Module:
    """A copy on the meta device, made without copying the numbers first."""
    memo = {id(t): t.detach().to("meta") for t in network.buffers()}
    memo |= {id(p): nn.Parameter(p.detach().to("meta")) for p in network.parameters()}
    return copy.deepcopy(network, memo)


def wiring(resolutions: Sequence[int]) -> dict[str, int]:
    """Which code drives which layer: {"4.conv1": 0, "4.to_rgb": 1, "8.conv0": 1, "8.conv1": 2, "8.to_rgb": 3, ...}."""
    driven = {"4.conv1": 0, "4.to_rgb": 1}
    for i, r in enumerate(resolutions[1:], start=1):
        driven |= {f"{r}.conv0": 2 * i - 1, f"{r}.conv1": 2 * i, f"{r}.to_rgb": 2 * i + 1}
    return driven


def _parts_of_g(g: Generator) -> dict[str, Part]:
    parts = {"mapping": Part.of(g.mapping.layers.parameters())}
    for r, block in g.synthesis.blocks.items():
        parts |= {f"{r}.{name}": Part.of(layer) for name, layer in _layers(block).items()}
    return parts


def _layers(block: SynthesisBlock) -> dict[str, list[Tensor]]:
    """A block's boxes from left to right, with their parameters."""
    first = {"const": [block.const]} if block.resolution == 4 else {"conv0": list(block.conv0.parameters())}
    return first | {name: list(getattr(block, name).parameters()) for name in ("conv1", "to_rgb")}


def _parts_of_d(d: Discriminator) -> dict[str, Part]:
    modules = {"from_rgb": d.from_rgb, **d.blocks, "head": d.head}
    return {name: Part.of(module.parameters()) for name, module in modules.items()}


def _codes(g: Generator) -> tuple[str, ...]:
    taken = g.mapping.k if isinstance(g.mapping, SharedMapping) else 0
    own = FROZEN if Part.of(g.mapping.layers.parameters()).state == FROZEN else TRAINS
    return (SOURCE,) * taken + (own,) * (g.num_ws - taken)


# ----------------------------------------------------------------------------------------------------------- in words


def call(methods: Sequence[Method]) -> str:
    """Python that makes the methods: "[FreezeD(32), FreezeSG(8, 4)]"."""
    return f"[{', '.join(map(transfer.constructor, methods))}]"


def notes(plan: Plan, idle_methods: Sequence[Method] = ()) -> list[tuple[str, str]]:
    """What to know of a plan, the most important first: ("good" | "plain" | "bad", one sentence)."""
    sentences = [("bad", _why_idle(method, plan)) for method in idle_methods]
    learning = {name for name, part in plan.g.items() if part.state != FROZEN}
    if not learning:
        return [*sentences, ("bad", "Nothing of the generator is left to train: the trainer will refuse.")]
    held = plan.frozen_codes
    free = [code for code in held if plan.codes[code] == TRAINS]
    if held and not free:
        sentences.append(("good", f"Frozen layers get the source's own codes ({_span(held)}): what they draw stays."))
    elif held:
        sentences.append(("plain", f"The mapping can still change codes {_span(free)}, which drive frozen layers."))
    elif TRAINS not in plan.codes:
        sentences.append(("plain", "All codes stay the source's, but every layer that they drive learns."))
    elif SOURCE in plan.codes:
        taken = [i for i, code in enumerate(plan.codes) if code == SOURCE]
        sentences.append(("plain", f"Codes {_span(taken)} stay the source's, but the layers that they drive learn."))
    elif not plan.losses:
        sentences.append(("plain", "The whole generator learns: nothing holds on to the person."))
    if plan.losses:
        sentences.append(("plain", f"Added to the generator's loss: {', '.join(plan.losses)}."))
    return sentences


def _why_idle(method: Method, plan: Plan) -> str:
    name = transfer.constructor(method)
    if isinstance(method, (FreezeStyle, FreezeFC)) and plan.g["mapping"].state == FROZEN:
        return f"{name} changes nothing: the mapping is frozen, so its codes are the source's anyway."
    return f"{name} changes nothing: the other methods freeze all of that already."


def _span(codes: Sequence[int]) -> str:
    return f"{codes[0]}-{codes[-1]}" if len(codes) > 1 else f"{codes[0]}"


# ---------------------------------------------------------------------------------------------------------- the picture

FILL = {TRAINS: "#ffe0c9", FROZEN: "#d3e8f8", SOURCE: "#e0d8ff", PARTLY: "#ececf0"}
EDGE = {TRAINS: "#e2762f", FROZEN: "#3f8bc2", SOURCE: "#7a5cff", PARTLY: "#8a8a94"}
NOTE = {"good": ("#e4f5ea", "#1f7a4d"), "plain": ("#f3f3f6", "#44444c"), "bad": ("#fde4e1", "#b3261e")}
LEGEND = {
    TRAINS: ("trains", 314),
    FROZEN: ("frozen", 236),
    SOURCE: ("from the source's mapping", 156),
}  # from the right
GREY = "#71717c"
LEFT, BLOCK, GAP, LAYER, FACE = 146, 116, 22, 34, 64  # widths: mapping, block, between blocks, layer, image
MAPPING_Y, CHIP_Y, BLOCK_Y, D_Y, NOTES_Y = 64, 166, 204, 336, 400
WORDS = {"const": "const", "conv0": "up\nconv", "conv1": "conv", "to_rgb": "tRGB"}


class _Sheet:
    """Shapes and texts in pixels from the upper left corner. Matplotlib draws all shapes of a kind at once."""

    def __init__(self, width: int, height: int):
        self.size = width, height
        self.boxes, self.lines, self.marks, self.texts = [], [], {}, []

    def text(
        self, x: float, y: float, text: str, size: int = 12, colour: str = display.INK, anchor: str = "lm"
    ) -> None:
        self.texts.append((x, y, text, size, colour, anchor))

    def box(self, x: float, y: float, size: tuple[float, float], colours: tuple[str, str], round_by=5, line=1) -> None:
        """`colours`: inside, edge."""
        style = f"round,pad=0,rounding_size={round_by}"
        self.boxes.append(FancyBboxPatch((x, y), *size, boxstyle=style, fc=colours[0], ec=colours[1], lw=line))

    def line(self, *points: tuple[float, float], colour: str = GREY) -> None:
        self.lines.append((points, colour))

    def mark(self, x: float, y: float, kind: Any, colour: str = GREY, size: float = 6) -> None:
        """A marker of matplotlib: arrow heads, circles, snowflakes."""
        self.marks.setdefault((kind, colour, size), []).append((x, y))

    def flake(self, x: float, y: float) -> None:
        """A snowflake: frozen, for those who do not tell the colours apart."""
        self.mark(x, y, (6, 2, 0), EDGE[FROZEN], 11)

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Level or upright."""
        self.line(start, end)
        self.mark(*end, "v" if start[0] == end[0] else ">" if end[0] > start[0] else "<")

    def finished(self) -> Image.Image:
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
        for x, y, text, size, colour, anchor in self.texts:
            pen.text((x, y), text, colour, display.font(size), anchor=anchor, align="center")
        return picture


def _colours(part: Part | str) -> tuple[str, str]:
    state = part if isinstance(part, str) else part.state
    return FILL[state], EDGE[state]


def draw_plan(
    plan: Plan, face: Image.Image | None = None, idle_methods: Sequence[Method] = (), room: int = 2
) -> Image.Image:
    """The block diagram of a plan, about 930 x 460 pixels for a 64-pixel model.

    Args:
        plan: what to draw.
        face: what to show where the generator's image comes out; None: an empty frame.
        idle_methods: those that change nothing, to be named (see `Blueprint.idle`).
        room: for so many notes below; the rest of them is left out.
    """
    left = {r: LEFT + 12 + i * (BLOCK + GAP) for i, r in enumerate(plan.resolutions)}
    width = max(left.values()) + BLOCK + GAP + 4 + FACE + 14
    sheet = _Sheet(width, NOTES_Y + room * 30 + 2)
    sheet.text(14, 20, f"methods = {call(plan.methods)}", 16)
    for state, (words, before) in LEGEND.items():
        sheet.box(width - 14 - before - 20, 13, (14, 14), _colours(state), 3)
        sheet.text(width - 14 - before, 20, words)
    sheet.flake(width - 14 - LEGEND[FROZEN][1] - 13, 20)
    _draw_heading(sheet, MAPPING_Y - 18, "generator", plan.g.values())
    _draw_codes(sheet, plan, left)
    for r, x in left.items():
        _draw_block(sheet, plan, r, x)
    _draw_heading(sheet, D_Y - 26, "discriminator", plan.d.values())
    _draw_discriminator(sheet, plan, left, width - FACE - 14)
    for i, (kind, sentence) in enumerate(notes(plan, idle_methods)[:room]):
        paper, ink = NOTE[kind]
        sheet.box(14, NOTES_Y + i * 30, (width - 28, 25), (paper, paper))
        sheet.text(24, NOTES_Y + i * 30 + 13, sentence, 13, ink)
    picture = sheet.finished()
    shown = display.fitted(None, FACE) if face is None else face.resize((FACE, FACE), Image.Resampling.BICUBIC)
    picture.paste(display.framed(shown, GREY, 1), (width - FACE - 14, BLOCK_Y + 36 - FACE // 2))
    return picture


def _draw_heading(sheet: _Sheet, y: float, name: str, parts: Iterable[Part]) -> None:
    """'generator: frozen X of Y parameters', and a bar."""
    total, frozen = (sum(values) for values in zip(*((p.parameters, p.frozen) for p in parts), strict=True))
    sheet.text(14, y, name, 14)
    sheet.text(124, y, f"frozen {frozen:,} of {total:,} parameters", colour=GREY)
    for share, state in ((1.0, TRAINS), (frozen / total, FROZEN)):
        sheet.box(390, y - 4, (160 * share, 8), (EDGE[state],) * 2, 0, 0)


def _draw_codes(sheet: _Sheet, plan: Plan, left: Mapping[int, int]) -> None:
    """The mapping (and the source's), the codes that come out, and lines to the layers that they drive."""
    driven: dict[int, list[float]] = {}
    for name, code in wiring(plan.resolutions).items():
        driven.setdefault(code, []).append(_middle(name, left))
    own, source = MAPPING_Y + 20, MAPPING_Y + 64
    _draw_mapping(sheet, own, "mapping", plan.g["mapping"].parameters, plan.g["mapping"].state)
    if plan.copied:
        _draw_mapping(sheet, source, "source's mapping", plan.copied, SOURCE)
    for code, state in enumerate(plan.codes):
        x, y = sum(driven[code]) / len(driven[code]), source if state == SOURCE else own
        sheet.line((LEFT - 14, y), (x, y), (x, CHIP_Y), colour=EDGE[state])
        for layer in driven[code]:
            sheet.line((x, CHIP_Y), (layer, BLOCK_Y + 6), colour=EDGE[state])
        sheet.mark(x, CHIP_Y, "o", EDGE[state], 20)
        sheet.text(x, CHIP_Y, str(code), colour="white", anchor="mm")
    sheet.text(14, CHIP_Y, f"codes ws, 0 to {len(plan.codes) - 1}", colour=GREY)


def _draw_mapping(sheet: _Sheet, y: float, name: str, parameters: int, state: str) -> None:
    sheet.box(14, y - 19, (LEFT - 28, 38), _colours(state))
    sheet.text(22, y - 8, name)
    sheet.text(22, y + 8, f"{parameters:,}", 11, GREY)
    if state in (FROZEN, SOURCE):
        sheet.flake(LEFT - 26, y + 8)


def _middle(name: str, left: Mapping[int, int]) -> float:
    """x of the middle of a layer's box, such as "8.conv1"."""
    r, layer = name.split(".")
    place = {"const": 0, "conv0": 0, "conv1": 1, "to_rgb": 2}[layer]
    return left[int(r)] + 4 + LAYER / 2 + place * (BLOCK - 8 - LAYER) / 2


def _draw_block(sheet: _Sheet, plan: Plan, r: int, x: float) -> None:
    parts = {name: part for name, part in plan.g.items() if name.startswith(f"{r}.")}
    whole = Part(sum(p.parameters for p in parts.values()), sum(p.frozen for p in parts.values()))
    sheet.box(x, BLOCK_Y, (BLOCK, 72), _colours(whole), 8, 1.5)
    for name, part in parts.items():
        middle = _middle(name, {r: x})
        sheet.box(middle - LAYER / 2, BLOCK_Y + 6, (LAYER, 38), _colours(part))
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


def _draw_discriminator(sheet: _Sheet, plan: Plan, left: Mapping[int, int], x: float) -> None:
    """Below the generator, read from right to left: each block under the one that draws at its resolution."""
    height, y, middle = 44, D_Y + 22, x + FACE / 2
    sheet.arrow((middle, BLOCK_Y + 36 + FACE / 2), (middle, D_Y - 3))
    sheet.box(x, D_Y, (FACE, height), _colours(plan.d["from_rgb"]), 8, 1.5)
    sheet.text(middle, y - 8, "fromRGB", 11, anchor="mm")
    sheet.text(middle, y + 9, f"{plan.d['from_rgb'].parameters:,}", 11, GREY, "mm")
    sheet.arrow((x, y), (max(left.values()) + BLOCK + 3, y))
    for r, at in left.items():
        name, end = ("head", LEFT - 18) if r == 4 else (f"{r}x{r}", at - GAP + 3)
        sheet.box(at, D_Y, (BLOCK, height), _colours(plan.d["head" if r == 4 else str(r)]), 8, 1.5)
        _write_size(sheet, at, y, name, plan.d["head" if r == 4 else str(r)])
        sheet.arrow((at, y), (end, y))
    sheet.text(14, y, "real or drawn?", colour=GREY)


def diagram(checkpoint: Checkpoint, methods: Sequence[Method] = ()) -> Image.Image:
    """The picture of methods on a model to start from, in 256 colours: crisp and small in a notebook.

    Raises ValueError for a model without a discriminator, or methods that do not fit it.
    """
    blueprint = Blueprint.of(checkpoint)
    plan, idle = blueprint.plan(methods), blueprint.idle(methods)
    picture = draw_plan(plan, _mean_face(checkpoint.g_ema), idle, room=len(notes(plan, idle)))
    return picture.quantize(256, dither=Image.Dither.NONE)


@torch.no_grad()
def _mean_face(g: Generator) -> Image.Image:
    return display.to_pil(g.synthesis(g.mapping.mean_ws[None], "const")[0])


# ------------------------------------------------------------------------------------------------------------ the panel


def methods_for(freeze_d: int, freeze_g: int, freeze_mapping: bool, k: int) -> list[Method]:
    """The methods for what the panel's controls say.

    Args:
        freeze_d: freeze D at this resolution and above; 0: nothing of it.
        freeze_g: freeze G up to this resolution; 0: nothing of the synthesis network.
        freeze_mapping: the mapping does not train.
        k: codes from the source's mapping. (Where the mapping alone is frozen, `FreezeFC` takes all.)
    """
    methods: list[Method] = [FreezeD(freeze_d)] if freeze_d else []
    if freeze_mapping and not freeze_g:
        return [*methods, FreezeFC()]
    if freeze_g and k and not freeze_mapping:
        return [*methods, FreezeSG(freeze_g, k)]
    methods += [FreezeG(freeze_g, mapping=freeze_mapping)] if freeze_g else []
    return methods + ([FreezeStyle(k)] if k else [])


def render_plan(
    blueprint: Blueprint, face: Image.Image | None, freeze_d: int, freeze_g: int, freeze_mapping: bool, k: int
) -> Image.Image:
    """The panel's picture; arguments as in `methods_for`."""
    methods = methods_for(freeze_d, freeze_g, freeze_mapping, k)
    return draw_plan(blueprint.plan(methods), face, blueprint.idle(methods))


class PlannerPanel(Panel):
    """A panel that also writes the call below its controls, as text to copy."""

    def __init__(self, *args: Any, **settings: Any):
        self.code = w.HTML()
        super().__init__(*args, **settings, below=[self.code])

    @property
    def call(self) -> str:
        """The call for the controls as they stand."""
        return call(methods_for(**self.settings))

    def _draw(self) -> None:
        super()._draw()
        self.code.value = f"to copy: <code style='user-select:all'>{self.call}</code>"


def planner_panel(checkpoint: Checkpoint, record: Mapping[str, Any] | None = None) -> PlannerPanel:
    """What trains, what does not, and which codes come from the source: move the sliders and see.

    Raises ValueError for a model without a discriminator.
    """
    blueprint, g = Blueprint.of(checkpoint), checkpoint.g_ema
    sizes, codes = g.synthesis.resolutions, g.num_ws
    controls = {
        "freeze_d": _resolutions("freeze D", [(f"from {r} up", r) for r in sizes[:0:-1]], 32, "towards the image"),
        "freeze_g": _resolutions("freeze G", [(f"up to {r}", r) for r in sizes], 8, "constant to this resolution"),
        "freeze_mapping": w.Checkbox(False, description="freeze the mapping"),
        "k": int_slider("source codes", min(4, codes), 0, codes, "how many of the codes the source's mapping makes"),
    }
    return PlannerPanel(partial(render_plan, blueprint, _mean_face(g)), controls, "freeze-plan", record=record)


def _resolutions(label: str, options: list[tuple[str, int]], value: int, help: str) -> w.SelectionSlider:
    options = [("nothing", 0), *options]
    value = value if value in dict(options).values() else 0
    return steps_slider(label, options, value, help)
