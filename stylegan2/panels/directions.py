"""The directions panel: a slider per direction moves one face in two worlds; mixtures can be named and kept.

presets = {name: sefa.factorize(photo, name, count=6) for name in ("all", "coarse", "middle", "fine")}
words = {name: judge_names(measure_directions(judge, photo, d), numbers=False) for name, d in presets.items()}
directions_panel(photo, {"webtoon": webtoon}, presets, words).show()
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as w
import torch
from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.checkpoints import CheckpointError
from stylegan2.editing import videos
from stylegan2.editing.directions import Directions, move
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.networks import Generator
from stylegan2.panels.controls import TIP, choice, int_slider, labelled, psi_slider
from stylegan2.panels.panel import Panel, Worlds, pick

NOTHING = "none"  # the choice of no saved direction
SIDE, GAP, LINE = 296, 4, 20  # pixels: of a large picture, between pictures, of a caption
SMALL = (SIDE - LINE - GAP) // 2  # of the pictures before the edit
FRAMES = 72  # of a video, at 24 a second
SLIDERS = 6  # or fewer, where a preset has fewer directions
LIMIT = 10.0  # degrees: beyond that the pocket models' faces fall apart
WIDE = {"style": {"description_width": "270px"}, "layout": {"width": "480px", "max_width": "99%"}}  # room for words


@dataclass
class Scene(Worlds):
    """What the panel can show."""

    directions: Mapping[str, Directions]  # by preset, found in the source
    kept: dict[str, Directions] = field(default_factory=dict)  # saved ones by name, one in each


def edited_ws(
    scene: Scene, ws: Tensor, preset: str, saved: str = NOTHING, saved_degree: float = 0.0, **degrees: float
) -> Tensor:
    """ws [N, L, w_dim] moved by all sliders: `degree_0`, `degree_1`, ... of the preset, and the saved direction.

    Raises ValueError for an unknown preset, saved direction or number.
    """
    numbered = {int(name.removeprefix("degree_")): degree for name, degree in degrees.items() if degree}
    ws = move(ws, pick("preset", preset, scene.directions), numbered)
    return ws if saved == NOTHING else move(ws, pick("saved direction", saved, scene.kept), {0: saved_degree})


@torch.no_grad()
def render_directions(
    scene: Scene, style: str, preset: str = "all", seed: int = 3, truncation: float = 0.7, **sliders: Any
) -> Image.Image:
    """One face before (small) and after the edit (large), in the source and in one style: the same codes in both.

    Args:
        scene: models and directions.
        style, preset: which of its targets, and which of its directions the sliders are.
        seed, truncation: of the face before the edit; the edit is not scaled by psi.
        sliders: see `edited_ws`.

    Raises ValueError for an unknown style, preset, saved direction or slider.
    """
    models = scene.models(style)
    ws = ws_from_seeds(scene.source, [seed], truncation)
    edited, face = edited_ws(scene, ws, preset, **sliders), (style, seed, truncation)
    both = not scene.knows("before", face) and not torch.equal(edited, ws)
    codes = torch.cat([ws, edited]) if both else edited  # before and after in one batch
    images = torch.stack([g.synthesis(codes, "const") for g in models.values()])  # [models, N, 3, R, R]
    small = scene.latest("before", face, lambda: [display.sized(image, SMALL) for image in images[:, 0]])
    before = [display.table([[image]], [f"{name}, before"]) for name, image in zip(models, small, strict=True)]
    after = display.table([images[:, -1]], list(models), gap=GAP, band=LINE, side=SIDE)
    return display.beside([display.stack(before, GAP), after], GAP)


@torch.no_grad()
def directions_video(
    scene: Scene, style: str, preset: str = "all", seed: int = 3, truncation: float = 0.7, **sliders: Any
) -> videos.Frames:
    """The edit goes from its opposite to itself and back, with fixed noise; arguments as in `render_directions`.

    Raises ValueError: no slider moved, or as of `render_directions`.
    """
    models = scene.models(style)
    ws = ws_from_seeds(scene.source, [seed], truncation)
    step = edited_ws(scene, ws, preset, **sliders) - ws
    if not step.any():
        raise ValueError("nothing to show: move a slider first; the video swings from there to the opposite and back")
    return videos.sweep(models, lambda amount: (ws + amount * step)[0], videos.there_and_back(-1, 1, FRAMES))


# ------------------------------------------------------------------------------------------------------------ the panel
class DirectionsPanel(Panel):
    """Move a face along the first six directions of a preset, and see it in the source and in one style.

    Args:
        source, targets: a generator and models fine-tuned from it, by name.
        directions: {preset: Directions} of the source, e.g. of `sefa.factorize` for each of the layer presets.
        words: {preset: what each direction does}, of `judge_names(..., numbers=False)`.
        library: folder of the saved directions; None: `directions` beside the folder of saved pictures.
        record: see `Panel`.

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
        count = min(SLIDERS, *map(len, directions.values()))
        longest = math.ceil(10 * LIMIT * math.sqrt(count)) / 10  # a mixture of so many directions, at right angles
        controls = {
            "style": choice("style", list(targets)),
            "seed": int_slider("seed", 3, 0, 999, "which face"),
            "truncation": psi_slider(0.7, "of the face before the edit; 0: the mean face"),
            "preset": choice("layers", list(directions)),
            **{f"degree_{k}": _degree_slider(f"{k}", LIMIT) for k in range(count)},
            "saved": w.Dropdown(options=[NOTHING], value=NOTHING, **labelled("saved")),
            "saved_degree": _degree_slider("how far along the saved direction", longest),
        }
        self.scene, self.words = Scene(source, targets, directions), words or {}
        self.name = w.Text(placeholder="name of this mixture, e.g. pose", layout=w.Layout(width="220px"))
        tools = [self._button("Keep mixture", self.keep, "tag"), self._button("Reload", self.reload, "refresh")]
        render, video = (partial(function, self.scene) for function in (render_directions, directions_video))
        below = [w.HBox([self.name, *tools])]
        super().__init__(render, controls, "directions", record=record, video=video, below=below)
        self.sliders = [control for name, control in self.controls.items() if name.startswith("degree_")]
        self.library = Path(library or self.folder.parent / "directions")
        self._label_sliders()
        self._guarded(self.reload)

    def _label_sliders(self) -> None:
        preset = self.controls["preset"].value
        texts = slider_labels(self.scene.directions[preset], self.words.get(preset))
        for slider, text in zip(self.sliders, texts, strict=False):
            slider.description = text
            setattr(slider, TIP, text)

    def _changed(self, change) -> None:
        """Another preset has other sliders, at 0; a saved direction comes as far as it was saved."""
        changed, controls = change["owner"], self.controls
        if changed is controls["preset"]:
            self._label_sliders()
        if not self._quiet:  # what the learner did, not a reset or pasted settings
            with self._silence():
                if changed is controls["preset"]:
                    for slider in self.sliders:
                        slider.value = 0.0
                if changed is controls["saved"]:
                    kept = self.scene.kept.get(changed.value)
                    controls["saved_degree"].value = float(kept.made_from.get("degree", 0.0)) if kept else 0.0
        super()._changed(change)

    def keep(self, name: str | None = None) -> Path:
        """Save the sliders' mixture as a direction of its own, which "saved" offers from now on; returns its file.

        `name` is such as "pose"; None: what stands in the text field. Raises ValueError: no name, one that is taken, no
        slider moved, or a step along a saved direction, which cannot be mixed in, as it may move other layers.
        """
        name = (self.name.value if name is None else name).strip()
        stem = re.sub(r"\W+", "_", name.lower()).strip("_")
        path = self.library / f"{stem}.pt"
        if not stem or name == NOTHING:
            raise ValueError(f"{name!r} is no name for a mixture: write one with letters, such as pose or slim face")
        if path.exists() or name in self.scene.kept:
            raise ValueError(f"there is a direction {name!r} already ({path.name}): choose another name")
        if self.controls["saved"].value != NOTHING and self.controls["saved_degree"].value:
            raise ValueError(
                f"the saved direction {self.controls['saved'].value!r} cannot be part of a mixture, as it may move "
                "other layers: put its slider to 0 first"
            )
        degrees = {k: slider.value for k, slider in enumerate(self.sliders)}
        self.scene.directions[self.controls["preset"].value].mix(degrees, name).save(path)
        self.reload()
        self._tell_saved(path)
        return path

    def reload(self) -> list[str]:
        """Offer the directions in the folder; returns their names.

        Raises:
            CheckpointError: which files were left out: none of directions, of another model's size, or with a name that
                another file has too. The others are offered.
        """
        kept, errors = {}, []
        for path in sorted(self.library.glob("*.pt")):
            try:
                kept |= self._open(path, [NOTHING, *kept])
            except ValueError as error:
                errors.append(str(error))
        self.scene.kept = kept
        control = self.controls["saved"]
        chosen = control.value if control.value in kept else NOTHING
        with self._silence():
            control.options = [NOTHING, *kept]
            control.value = chosen
        if errors:
            raise CheckpointError("; ".join(errors))
        return list(kept)

    def _open(self, path: Path, taken: Sequence[str]) -> dict[str, Directions]:
        """{name: direction} of a file. Raises ValueError, which names it, if they cannot be offered."""
        directions = Directions.load(path)
        try:
            move(self.scene.source.mapping.mean_ws[None], directions, {})
        except ValueError as error:
            raise ValueError(f"'{path.name}' holds directions of another model: {error}") from error
        if twice := [name for name in directions.names if name in taken]:
            raise ValueError(
                f"'{path.name}' holds {', '.join(twice)}, a name that is taken: `rename` and save it again"
            )
        return {name: directions.select([name]) for name in directions.names}


def slider_labels(directions: Directions, words: Sequence[str] | None = None) -> list[str]:
    """One line per direction: its name if it was given one, else its number; its value; what it does."""
    sign = "σ" if directions.made_from.get("method") == "ganspace" else "λ"
    labels = []
    for k, (name, value) in enumerate(zip(directions.names, directions.values.tolist(), strict=True)):
        short = str(k) if name == f"direction {k}" else name
        labels.append(" · ".join([short, f"{sign} {value:.3g}", *([words[k]] if words else [])]))
    return labels


directions_panel = DirectionsPanel  # the name by which notebooks call it, as with the panels that are functions


def _degree_slider(label: str, limit: float) -> w.FloatSlider:
    return w.FloatSlider(0.0, min=-limit, max=limit, step=0.1, description=label, readout_format="+.1f", **WIDE)
