"""The directions panel: a slider per direction moves one face in two worlds; mixtures can be named and kept."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import ipywidgets as w
import torch
from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.checkpoints import CheckpointError
from stylegan2.editing.directions import Directions, move
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.networks import Generator
from stylegan2.panels.controls import TIP, assign, choice, int_slider, psi_slider
from stylegan2.panels.panel import Panel, Worlds, pick

SIDE, GAP, LINE = 296, 4, 20  # pixels: of a large picture, between pictures, of a caption
SMALL = (SIDE - LINE - GAP) // 2  # of the pictures before the edit
SLIDERS = 6  # or fewer, where a preset has fewer directions
LIMIT = 10.0  # degrees: beyond that the pocket models' faces fall apart
WIDE = {"style": {"description_width": "270px"}, "layout": {"width": "480px", "max_width": "99%"}}  # room for words


@dataclass
class Scene(Worlds):
    """What the panel can show."""

    directions: Mapping[str, Directions]  # by preset, found in the source; and kept mixtures by name, one in each


def edited_ws(scene: Scene, ws: Tensor, preset: str, **degrees: float) -> Tensor:
    """ws [N, L, w_dim] moved by the sliders `degree_0`, `degree_1`, ... ValueError for an unknown preset or number."""
    numbered = {int(name.removeprefix("degree_")): degree for name, degree in degrees.items() if degree}
    return move(ws, pick("preset", preset, scene.directions), numbered)


@torch.no_grad()
def render_directions(
    scene: Scene, style: str, preset: str = "all", seed: int = 3, truncation: float = 0.7, **degrees: float
) -> Image.Image:
    """One face before (small) and after the edit (large), in the source and in one style: the same codes in both.

    `seed` and `truncation` are of the face before the edit, which psi does not scale; `degrees`: see `edited_ws`.
    Raises ValueError for an unknown style, preset or slider.
    """
    models = scene.models(style)
    ws = ws_from_seeds(scene.source, [seed], truncation)
    edited, face = edited_ws(scene, ws, preset, **degrees), (style, seed, truncation)
    both = not scene.knows("before", face) and not torch.equal(edited, ws)
    codes = torch.cat([ws, edited]) if both else edited  # before and after in one batch
    images = torch.stack([g.synthesis(codes, "const") for g in models.values()])  # [models, N, 3, R, R]
    small = scene.latest("before", face, lambda: [display.sized(image, SMALL) for image in images[:, 0]])
    before = [display.table([[image]], [f"{name}, before"]) for name, image in zip(models, small, strict=True)]
    after = display.table([images[:, -1]], list(models), gap=GAP, band=LINE, side=SIDE)
    return display.beside([display.stack(before, GAP), after], GAP)


class DirectionsPanel(Panel):
    """Move a face along the first six directions of a preset, and see it in the source and in one style.

    Args:
        source, targets: a generator and models fine-tuned from it, by name.
        directions: {preset: Directions} of the source, e.g. of `sefa.factorize` for each of the layer presets.
        words: {preset: what each direction does}, of `judge_names(..., numbers=False)`.
        library: folder of the saved directions; None: `directions` beside the folder of saved pictures.

    Raises ValueError without targets or directions.
    """

    def __init__(
        self,
        source: Generator,
        targets: Mapping[str, Generator],
        directions: Mapping[str, Directions],
        words: Mapping[str, Sequence[str]] | None = None,
        library: str | Path | None = None,
        record: Mapping[str, Any] | None = None,
    ):
        if not targets or not directions:
            raise ValueError(f"expected at least one target and one preset, got {len(targets)} and {len(directions)}")
        self.scene, self.presets, self.words = Scene(source, targets, directions), directions, words or {}
        count = min(SLIDERS, *map(len, directions.values()))
        self.sliders = [w.FloatSlider(0.0, min=-LIMIT, max=LIMIT, readout_format="+.1f", **WIDE) for _ in range(count)]
        degrees = {f"degree_{k}": slider for k, slider in enumerate(self.sliders)}
        controls = {
            "style": choice("style", list(targets)),
            "seed": int_slider("seed", 3, 0, 999, "which face"),
            "truncation": psi_slider(0.7, "of the face before the edit; 0: the mean face"),
            "preset": choice("layers", list(directions)),
            **degrees,
        }
        self.name = w.Text(placeholder="name of this mixture, e.g. pose", layout=w.Layout(width="220px"))
        render, video = partial(render_directions, self.scene), dict.fromkeys(degrees)
        below = [w.HBox([self.name, self._button("Keep mixture", self.keep, "tag")])]
        super().__init__(render, controls, "directions", record=record, video=video, below=below)
        self.library = Path(library or self.folder.parent / "directions")
        self._label_sliders()
        self._guarded(self.reload)

    def _label_sliders(self) -> float:
        """A slider for each direction of the preset; returns how far a kept mixture went, else 0."""
        preset = self.controls["preset"].value
        directions = self.scene.directions[preset]
        degree = 0.0 if preset in self.presets else float(directions.made_from.get("degree", 0.0))
        limit = max(LIMIT, math.ceil(10 * degree) / 10)
        texts = slider_labels(directions, self.words.get(preset))
        for slider, text in zip_longest(self.sliders, texts[: len(self.sliders)]):
            slider.layout.display = "none" if text is None else None
            slider.min, slider.max, slider.description = -limit, limit, text or ""
            setattr(slider, TIP, text or "")
        return degree

    def _changed(self, change) -> None:
        """Another preset has other sliders, at 0; a kept mixture comes as far as it was kept."""
        if change["owner"] is self.controls["preset"]:
            chosen = not self._quiet  # by the learner, not by a reset or pasted settings
            with self._silence():
                degree = self._label_sliders()
                if chosen:
                    for k, slider in enumerate(self.sliders):
                        slider.value = 0.0 if k else degree
        super()._changed(change)

    def keep(self, name: str | None = None) -> Path:
        """Save the sliders' mixture as a direction, which is offered beside the presets; returns its file.

        `name`: None is what stands in the text field. Raises ValueError: no name, one that is taken, no slider moved.
        """
        name = (self.name.value if name is None else name).strip()
        stem = re.sub(r"\W+", "_", name.lower()).strip("_")
        path = self.library / f"{stem}.pt"
        if not stem:
            raise ValueError(f"{name!r} is no name for a mixture: write one with letters, such as pose or slim face")
        if path.exists() or name in self.scene.directions:
            raise ValueError(f"there is a direction {name!r} already ({path.name}): choose another name")
        degrees = {k: slider.value for k, slider in enumerate(self.sliders)}
        self.scene.directions[self.controls["preset"].value].mix(degrees, name).save(path)
        self.reload()
        self._tell_saved(path)
        return path

    def reload(self) -> list[str]:
        """Offer the directions in the folder, each beside the presets; returns their names.

        Raises CheckpointError, after that, for files of other things, of another model's size, or with a name that is
        taken: which ones were left out.
        """
        offered, errors = dict(self.presets), []
        for path in sorted(self.library.glob("*.pt")):
            try:
                found = Directions.load(path)
                move(self.scene.source.mapping.mean_ws[None], found, {})  # refuses those of another model
                if twice := [name for name in found.names if name in offered]:
                    raise ValueError(f"{', '.join(twice)} is a name that is taken: `rename` it and save it again")
                offered |= {name: found.select([name]) for name in found.names}
            except ValueError as error:
                errors.append(f"'{path.name}' is left out: {error}")
        self.scene.directions, before = offered, self.settings
        with self._silence():
            self.controls["preset"].options = list(offered)  # chooses the first
            if before["preset"] in offered:
                assign(self.controls, before)
        if errors:
            raise CheckpointError("; ".join(errors))
        return [name for name in offered if name not in self.presets]


def slider_labels(directions: Directions, words: Sequence[str] | None = None) -> list[str]:
    """One line per direction: its name if it was given one, else its number; its value; what it does."""
    sign = "σ" if directions.made_from.get("method") == "ganspace" else "λ"
    labels = []
    for k, (name, value) in enumerate(zip(directions.names, directions.values.tolist(), strict=True)):
        short = str(k) if name == f"direction {k}" else name
        labels.append(" · ".join([short, f"{sign} {value:.3g}", *([words[k]] if words else [])]))
    return labels


directions_panel = DirectionsPanel  # the name by which notebooks call it, as with the panels that are functions
