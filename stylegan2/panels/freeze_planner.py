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
from functools import lru_cache, partial
from typing import Any

import ipywidgets as w
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from stylegan2 import display as show
from stylegan2 import transfer
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


def notes(found: Plan, idle_methods: Sequence[Method] = ()) -> list[tuple[str, str]]:
    """What to know of a plan, the most important first: ("good" | "plain" | "bad", one sentence)."""
    said = [("bad", _why_idle(method, found)) for method in idle_methods]
    learning = {name for name, part in found.g.items() if part.state != FROZEN}
    if not learning:
        return [*said, ("bad", "Nothing of the generator is left to train: the trainer will refuse.")]
    held = found.frozen_codes
    free = [code for code in held if found.codes[code] == TRAINS]
    if held and not free:
        said.append(("good", f"Frozen layers get the source's own codes ({_span(held)}): what they draw stays."))
    elif held:
        said.append(("plain", f"The mapping can still change codes {_span(free)}, which drive frozen layers."))
    elif TRAINS not in found.codes:
        said.append(("plain", "All codes stay the source's, but every layer that they drive learns."))
    elif SOURCE in found.codes:
        taken = [i for i, code in enumerate(found.codes) if code == SOURCE]
        said.append(("plain", f"Codes {_span(taken)} stay the source's, but the layers that they drive learn."))
    elif not found.losses:
        said.append(("plain", "The whole generator learns: nothing holds on to the person."))
    if found.losses:
        said.append(("plain", f"Added to the generator's loss: {', '.join(found.losses)}."))
    return said


def _why_idle(method: Method, found: Plan) -> str:
    name = transfer.constructor(method)
    if isinstance(method, (FreezeStyle, FreezeFC)) and found.g["mapping"].state == FROZEN:
        return f"{name} changes nothing: the mapping is frozen, so its codes are the source's anyway."
    return f"{name} changes nothing: the other methods freeze all of that already."


def _span(codes: Sequence[int]) -> str:
    return f"{codes[0]}-{codes[-1]}" if len(codes) > 1 else f"{codes[0]}"


# ---------------------------------------------------------------------------------------------------------- the picture

FILL = {TRAINS: "#ffe0c9", FROZEN: "#d3e8f8", SOURCE: "#e0d8ff", PARTLY: "#ececf0"}
EDGE = {TRAINS: "#e2762f", FROZEN: "#3f8bc2", SOURCE: "#7a5cff", PARTLY: "#8a8a94"}
NOTE = {"good": ("#e4f5ea", "#1f7a4d"), "plain": ("#f3f3f6", "#44444c"), "bad": ("#fde4e1", "#b3261e")}
LEGEND = {TRAINS: "trains", FROZEN: "frozen", SOURCE: "from the source's mapping"}
GREY = "#71717c"
LEFT, BLOCK, GAP, LAYER, FACE = 146, 116, 22, 34, 64  # widths: mapping, block, between blocks, layer, image
MAPPING_Y, CHIP_Y, BLOCK_Y, D_Y, NOTES_Y = 64, 166, 204, 336, 400
SHARP = 2  # drawn twice as large, then halved: smooth edges


class _Pencil:
    """Draws in logical pixels on a canvas that is SHARP times larger."""

    def __init__(self, width: int, height: int):
        self.canvas = Image.new("RGB", (width * SHARP, height * SHARP), show.PAPER)
        self.draw = ImageDraw.Draw(self.canvas)

    def text(self, x: float, y: float, text: str, size: int = 12, fill: Any = show.INK, anchor: str = "lm") -> float:
        """Returns the width."""
        font = _font(size * SHARP)
        self.draw.text((x * SHARP, y * SHARP), text, fill, font, anchor=anchor)
        return font.getlength(text) / SHARP

    def box(
        self, x: float, y: float, width: float, height: float, state: str, radius: int = 5, line: float = 1
    ) -> None:
        corners = [x * SHARP, y * SHARP, (x + width) * SHARP - 1, (y + height) * SHARP - 1]
        self.draw.rounded_rectangle(corners, radius * SHARP, FILL[state], EDGE[state], round(line * SHARP))

    def line(self, *points: tuple[float, float], fill: Any = GREY) -> None:
        """One pixel wide, on whole pixels: upright and level lines stay crisp."""
        self.draw.line([(round(x) * SHARP, round(y) * SHARP) for x, y in points], fill, SHARP, joint="curve")

    def arrow(self, x: float, y: float, end: float) -> None:
        """A horizontal arrow from x to `end`."""
        back = -5 if end > x else 5
        self.line((x, y), (end, y))
        head = [(end, y), (end + back, y - 3.5), (end + back, y + 3.5)]
        self.draw.polygon([(a * SHARP, b * SHARP) for a, b in head], GREY)

    def flake(self, x: float, y: float, radius: float = 5.5) -> None:
        """A snowflake: frozen, for those who do not tell the colours apart."""
        for dx, dy in ((0, 1), (0.87, 0.5), (0.87, -0.5)):
            ends = [((x + s * dx * radius) * SHARP, (y + s * dy * radius) * SHARP) for s in (-1, 1)]
            self.draw.line(ends, EDGE[FROZEN], round(1.5 * SHARP))

    def finished(self) -> Image.Image:
        return self.canvas.reduce(SHARP)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def draw_plan(
    found: Plan, face: Image.Image | None = None, idle_methods: Sequence[Method] = (), room: int = 2
) -> Image.Image:
    """The block diagram of a plan, about 930 x 460 pixels for a 64-pixel model.

    Args:
        face: what to show where the generator's image comes out; None: an empty frame.
        idle_methods: those that change nothing, to be told so (see `Blueprint.idle`).
        room: for so many notes below; the rest of them is left out.
    """
    left = {r: LEFT + 12 + i * (BLOCK + GAP) for i, r in enumerate(found.resolutions)}
    width = left[found.resolutions[-1]] + BLOCK + GAP + 4 + FACE + 14
    pencil = _Pencil(width, NOTES_Y + room * 30 + 2)
    pencil.text(14, 20, f"methods = {call(found.methods)}", 16)
    _legend(pencil, width - 14)
    _heading(pencil, MAPPING_Y - 18, "generator", found.g.values())
    _draw_codes(pencil, found, left)
    for r, x in left.items():
        _draw_block(pencil, found, r, x)
    _draw_image(pencil, width - FACE - 14, face)
    _heading(pencil, D_Y - 26, "discriminator", found.d.values())
    _draw_discriminator(pencil, found, left, width)
    for i, (kind, sentence) in enumerate(notes(found, idle_methods)[:room]):
        _draw_note(pencil, 14, NOTES_Y + i * 30, width - 28, kind, sentence)
    return pencil.finished()


def _legend(pencil: _Pencil, right: float) -> None:
    for state, words in reversed(LEGEND.items()):
        right -= _font(12 * SHARP).getlength(words) / SHARP
        pencil.text(right, 20, words)
        pencil.box(right - 20, 13, 14, 14, state, radius=3)
        if state == FROZEN:
            pencil.flake(right - 13, 20, 4.5)
        right -= 36


def _heading(pencil: _Pencil, y: float, name: str, parts: Iterable[Part]) -> None:
    """'generator: frozen X of Y parameters', and a bar."""
    total, frozen = (sum(values) for values in zip(*((p.parameters, p.frozen) for p in parts), strict=True))
    pencil.text(14, y, name, 14)
    pencil.text(124, y, f"frozen {frozen:,} of {total:,} parameters", 12, GREY)
    x = 390
    for share, state in ((1.0, TRAINS), (frozen / total, FROZEN)):
        if share:
            pencil.draw.rectangle([x * SHARP, (y - 4) * SHARP, (x + 160 * share) * SHARP, (y + 4) * SHARP], EDGE[state])


def _draw_codes(pencil: _Pencil, found: Plan, left: Mapping[int, int]) -> None:
    """The mapping (and the source's), the codes that come out, and lines to the layers that they drive."""
    at = _layer_middles(left)
    chips = {code: [] for code in range(len(found.codes))}
    for name, code in wiring(found.resolutions).items():
        chips[code].append(at[name])
    middles = {code: sum(xs) / len(xs) for code, xs in chips.items()}
    rows = {"own": MAPPING_Y + 20, "source": MAPPING_Y + 64}
    pencil.box(14, rows["own"] - 20, LEFT - 28, 38, found.g["mapping"].state)
    _mapping_words(pencil, rows["own"], "mapping", found.g["mapping"].parameters, found.g["mapping"].state == FROZEN)
    if found.copied:
        pencil.box(14, rows["source"] - 18, LEFT - 28, 38, SOURCE)
        _mapping_words(pencil, rows["source"], "source's mapping", found.copied, True)
    for code, state in enumerate(found.codes):
        row = rows["source" if state == SOURCE else "own"]
        pencil.line((LEFT - 14, row), (middles[code], row), (middles[code], CHIP_Y), fill=EDGE[state])
        for x in chips[code]:
            pencil.line((middles[code], CHIP_Y), (x, BLOCK_Y + 6), fill=EDGE[state])
    for code, state in enumerate(found.codes):
        x = middles[code]
        pencil.draw.ellipse([(v * SHARP) for v in (x - 10, CHIP_Y - 10, x + 10, CHIP_Y + 10)], EDGE[state])
        pencil.text(x, CHIP_Y, str(code), 12, "white", "mm")
    pencil.text(14, CHIP_Y, f"codes ws, 0 to {len(found.codes) - 1}", 12, GREY)


def _mapping_words(pencil: _Pencil, y: float, name: str, parameters: int, frozen: bool) -> None:
    pencil.text(22, y - 8, name, 12)
    pencil.text(22, y + 8, f"{parameters:,}", 11, GREY)
    if frozen:
        pencil.flake(LEFT - 26, y + 8)


def _layer_middles(left: Mapping[int, int]) -> dict[str, float]:
    """x of the middle of every layer box: {"4.const": ..., "4.conv1": ..., ...}."""
    names = {r: ("const" if r == 4 else "conv0", "conv1", "to_rgb") for r in left}
    step = (BLOCK - 8 - LAYER) / 2
    return {f"{r}.{n}": left[r] + 4 + LAYER / 2 + i * step for r in left for i, n in enumerate(names[r])}


WORDS = {"const": "const", "conv0": "up\nconv", "conv1": "conv", "to_rgb": "tRGB"}


def _draw_block(pencil: _Pencil, found: Plan, r: int, x: float) -> None:
    parts = {name: part for name, part in found.g.items() if name.startswith(f"{r}.")}
    whole = Part(sum(p.parameters for p in parts.values()), sum(p.frozen for p in parts.values()))
    pencil.box(x, BLOCK_Y, BLOCK, 72, whole.state, radius=8, line=1.5)
    middles = _layer_middles({r: x})
    for name, part in parts.items():
        pencil.box(middles[name] - LAYER / 2, BLOCK_Y + 6, LAYER, 38, part.state)
        words = WORDS[name.split(".")[1]].split("\n")
        for i, word in enumerate(words):
            pencil.text(middles[name], BLOCK_Y + 25 + 13 * (i - (len(words) - 1) / 2), word, 11, anchor="mm")
    _size_and_count(pencil, x, BLOCK_Y + 58, f"{r}x{r}", whole)
    pencil.arrow(x + BLOCK, BLOCK_Y + 36, x + BLOCK + GAP)


def _size_and_count(pencil: _Pencil, x: float, y: float, name: str, part: Part) -> None:
    end, x = x + BLOCK - 6, x + 8
    if part.state == FROZEN:
        pencil.flake(x + 4, y)
        x += 14
    x += pencil.text(x, y, name, 13) + 7
    n = part.parameters
    words = [f"{n:,}", f"{n / 1e6:.1f}M" if n >= 1e6 else f"{n / 1e3:.0f}k"]  # short where it would not fit
    fits = [word for word in words if _font(11 * SHARP).getlength(word) / SHARP <= end - x]
    pencil.text(x, y + 0.5, (fits or words[-1:])[0], 11, GREY)


def _draw_image(pencil: _Pencil, x: float, face: Image.Image | None) -> None:
    y, side = BLOCK_Y + 36 - FACE // 2, FACE * SHARP
    if face is not None:
        pencil.canvas.paste(face.resize((side, side), Image.Resampling.BICUBIC), (round(x * SHARP), y * SHARP))
    pencil.draw.rectangle([x * SHARP, y * SHARP, (x + FACE) * SHARP, (y + FACE) * SHARP], None, GREY, SHARP)
    pencil.line((x + FACE / 2, y + FACE), (x + FACE / 2, D_Y - 8))
    tip = [(x + FACE / 2, D_Y), (x + FACE / 2 - 3.5, D_Y - 5), (x + FACE / 2 + 3.5, D_Y - 5)]
    pencil.draw.polygon([(a * SHARP, b * SHARP) for a, b in tip], GREY)


def _draw_discriminator(pencil: _Pencil, found: Plan, left: Mapping[int, int], width: float) -> None:
    """Below the generator, read from right to left: each block under the one that draws at its resolution."""
    height, middle = 44, D_Y + 22
    pencil.box(width - FACE - 14, D_Y, FACE, height, found.d["from_rgb"].state, radius=8, line=1.5)
    pencil.text(width - FACE / 2 - 14, middle - 8, "fromRGB", 12, anchor="mm")
    pencil.text(width - FACE / 2 - 14, middle + 9, f"{found.d['from_rgb'].parameters:,}", 11, GREY, "mm")
    pencil.arrow(width - FACE - 14, middle, left[found.resolutions[-1]] + BLOCK)
    for r, x in left.items():
        name, end = ("head", LEFT - 18) if r == 4 else (str(r), x - GAP)
        pencil.box(x, D_Y, BLOCK, height, found.d[name].state, radius=8, line=1.5)
        _size_and_count(pencil, x, middle, "head" if r == 4 else f"{r}x{r}", found.d[name])
        pencil.arrow(x, middle, end)
    pencil.text(14, middle, "real or drawn?", 12, GREY)


def _draw_note(pencil: _Pencil, x: float, y: float, width: float, kind: str, sentence: str) -> None:
    paper, ink = NOTE[kind]
    corners = [x * SHARP, y * SHARP, (x + width) * SHARP, (y + 25) * SHARP]
    pencil.draw.rounded_rectangle(corners, 5 * SHARP, paper)
    pencil.text(x + 10, y + 12.5, sentence, 13, ink)


def diagram(checkpoint: Checkpoint, methods: Sequence[Method] = ()) -> Image.Image:
    """The picture of methods on a model to start from, in 256 colours: crisp and small in a notebook.

    Raises ValueError for a model without a discriminator, or methods that do not fit it.
    """
    blueprint = Blueprint.of(checkpoint)
    found, idle = blueprint.plan(methods), blueprint.idle(methods)
    picture = draw_plan(found, _mean_face(checkpoint.g_ema), idle, room=len(notes(found, idle)))
    return picture.quantize(256, dither=Image.Dither.NONE)


@torch.no_grad()
def _mean_face(g: Generator) -> Image.Image:
    return show.to_pil(g.synthesis(g.mapping.mean_ws[None], "const")[0])


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

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.code = w.HTML()
        controls = self.box.children[0]
        controls.children = (*controls.children, self.code)

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
