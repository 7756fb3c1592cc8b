"""The directions panel: a slider per direction moves one face in two worlds; mixtures can be named and kept.

    presets = {name: sefa.factorize(photo, name, count=6) for name in ("all", "coarse", "middle", "fine")}
    words = {name: judge_names(measure_directions(judge, photo, d), numbers=False) for name, d in presets.items()}
    directions_panel(photo, {"webtoon": webtoon}, presets, words).show()

`render_directions` is its callback, a plain function from settings to a picture; `film` are the frames of its video.
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
from stylegan2.panels.controls import STYLE, TIP, choice, int_slider, psi_slider
from stylegan2.panels.panel import Panel, pick, with_source

NOTHING = "none"  # the choice of no saved direction
SIDE, GAP, LINE = 296, 4, 20  # pixels: of a large picture, between pictures, of a caption
SMALL = (SIDE - LINE - GAP) // 2  # of the pictures before the edit
FRAMES = 72  # of a video, at 24 a second
LIMIT = 5.0  # degrees: beyond that the pocket models' faces fall apart
# Room for what a direction does, as far as the page has it.
WIDE = {"style": {"description_width": "270px"}, "layout": {"width": "480px", "max_width": "99%"}}


@dataclass
class Scene:
    """What the panel can show.

    Attributes:
        source: makes the codes, and the first picture.
        targets: models fine-tuned from it, by name.
        directions: {preset: Directions}, found in the source.
        kept: saved directions by name, each the only one of its Directions.
        before: the last face without an edit, so that moving a slider draws two images only.
    """

    source: Generator
    targets: Mapping[str, Generator]
    directions: Mapping[str, Directions]
    kept: dict[str, Directions] = field(default_factory=dict)
    before: dict[tuple, list[Image.Image]] = field(default_factory=dict)

    def models(self, style: str) -> dict[str, Generator]:
        """The source and one target. Raises ValueError for an unknown style."""
        return with_source(self.source, self.targets, style)


def edited_ws(
    scene: Scene, ws: Tensor, preset: str, saved: str = NOTHING, saved_degree: float = 0.0, **degrees: float
) -> Tensor:
    """ws [N, L, w_dim] after all sliders: `degree_0`, `degree_1`, ... of the preset, and the saved direction.

    Raises:
        ValueError: a preset, a saved direction or a number that there is not.
    """
    numbered = {int(name.removeprefix("degree_")): degree for name, degree in degrees.items() if degree}
    ws = move(ws, pick("preset", preset, scene.directions), numbered)
    return ws if saved == NOTHING else move(ws, pick("saved direction", saved, scene.kept), {0: saved_degree})


@torch.no_grad()
def render_directions(
    scene: Scene,
    style: str,
    preset: str = "all",
    seed: int = 3,
    truncation: float = 0.7,
    **sliders: Any,
) -> Image.Image:
    """One face before (small) and after the edit (large), in the source and in one style: the same codes in both.

    Args:
        scene: models and directions.
        style: which of its targets.
        preset: which of its directions the sliders are.
        seed: of the face.
        truncation: psi, of the face before the edit; the edit is not scaled by it.
        sliders: see `edited_ws`.

    Raises:
        ValueError: a style, preset, saved direction or slider that there is not.
    """
    models = scene.models(style)
    ws = ws_from_seeds(scene.source, [seed], truncation)
    edited, face = edited_ws(scene, ws, preset, **sliders), (style, seed, truncation)
    shown = [edited]
    if face not in scene.before and not torch.equal(edited, ws):
        shown = [ws, edited]  # before and after in one batch
    images = torch.stack([g.synthesis(torch.cat(shown), "const") for g in models.values()])  # [models, N, 3, R, R]
    if face not in scene.before:
        scene.before.clear()
        scene.before[face] = [display.sized(image, SMALL) for image in images[:, 0]]
    before = [display.table([[small]], [f"{n}, before"]) for n, small in zip(models, scene.before[face], strict=True)]
    after = display.table([images[:, -1]], list(models), gap=GAP, band=LINE, side=SIDE)
    return display.beside([display.stack(before, GAP), after], GAP)


@torch.no_grad()
def film(
    scene: Scene, style: str, preset: str = "all", seed: int = 3, truncation: float = 0.7, **sliders: Any
) -> videos.Frames:
    """The edit swings from its opposite to itself and back, without a jump where it starts again; fixed noise.

    With one slider moved, that is a sweep of one direction, as far to both sides as the slider stands.

    Args:
        scene, style, preset, seed, truncation, sliders: as for `render_directions`.

    Raises:
        ValueError: no slider moved, or as of `render_directions`.
    """
    models = scene.models(style)
    ws = ws_from_seeds(scene.source, [seed], truncation)
    step = edited_ws(scene, ws, preset, **sliders) - ws
    if not step.any():
        raise ValueError("nothing to show: move a slider first; the video swings from there to the opposite and back")
    return videos.sweep(models, lambda amount: (ws + amount * step)[0], videos.there_and_back(-1, 1, FRAMES))


# ------------------------------------------------------------------------------------------------------------ the panel
class DirectionsPanel(Panel):
    """`Panel` with sliders that are renamed with the preset, and a place to keep mixtures.

    Args:
        scene: models and directions.
        words: {preset: what each direction does}, for the sliders.
        library: folder of the saved directions; None: `directions` beside the folder of saved pictures.
        settings: as for `Panel`.
    """

    def __init__(
        self,
        scene: Scene,
        controls: Mapping[str, w.ValueWidget],
        words: Mapping[str, Sequence[str]],
        library: str | Path | None = None,
        **settings: Any,
    ):
        self.name = w.Text(placeholder="name of this mixture, e.g. pose", layout=w.Layout(width="220px"))
        tools = [self._button("Keep mixture", self.keep, "tag"), self._button("Reload", self.reload, "refresh")]
        settings |= {"video": partial(film, scene), "below": [w.HBox([self.name, *tools])]}
        super().__init__(partial(render_directions, scene), controls, "directions", **settings)
        self.scene, self.words = scene, words
        self.library = Path(library or self.folder.parent / "directions")
        self._label_sliders()
        self._guarded(self.reload)

    @property
    def _sliders(self) -> list[w.FloatSlider]:
        return [control for name, control in self.controls.items() if name.startswith("degree_")]

    def _label_sliders(self) -> None:
        preset = self.controls["preset"].value
        texts = slider_labels(self.scene.directions[preset], self.words.get(preset))
        for slider, text in zip(self._sliders, texts, strict=False):
            slider.description = text
            setattr(slider, TIP, text)

    def _changed(self, change) -> None:
        """Another preset has other sliders, at 0; a saved direction comes as far as it was saved."""
        if change["owner"] is self.controls["preset"]:
            self._label_sliders()
        if not self._quiet:  # what the learner did, not a reset or pasted settings
            with self._silence():
                self._adapt(change["owner"])
        super()._changed(change)

    def _adapt(self, changed: w.ValueWidget) -> None:
        if changed is self.controls["preset"]:
            for slider in self._sliders:
                slider.value = 0.0
        if changed is self.controls["saved"]:
            kept = self.scene.kept.get(changed.value)
            degree = 0.0 if kept is None else float(kept.made_from.get("degree", 0.0))
            self.controls["saved_degree"].value = degree

    def keep(self, name: str | None = None) -> Path:
        """Save the sliders' mixture under a name, as a direction of its own; "saved" offers it from now on.

        Args:
            name: e.g. "pose"; None: what stands in the text field.

        Raises:
            ValueError: no name, one that is taken, no slider moved, or a step along a saved direction: it cannot be
                mixed in, as it may move other layers.
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
        degrees = {k: slider.value for k, slider in enumerate(self._sliders)}
        self.scene.directions[self.controls["preset"].value].mix(degrees, name).save(path)
        self.reload()
        self._tell_saved(path)
        return path

    def reload(self) -> list[str]:
        """Offer what lies in the folder.

        Returns:
            names of the directions there.

        Raises:
            CheckpointError: which files were left out: none of directions, of another model's size, or with a name that
                another file has too. The others are offered.
        """
        found, broken = {}, []
        for path in sorted(self.library.glob("*.pt")):
            try:
                found |= self._open(path, [NOTHING, *found])
            except ValueError as error:
                broken.append(str(error))
        self.scene.kept = found
        control = self.controls["saved"]
        chosen = control.value if control.value in found else NOTHING
        with self._silence():
            control.options = [NOTHING, *found]
            control.value = chosen
        if broken:
            raise CheckpointError("; ".join(broken))
        return list(found)

    def _open(self, path: Path, taken: Sequence[str]) -> dict[str, Directions]:
        """{name: direction} of a file. Raises ValueError, which names the file, if they cannot be offered."""
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


def directions_panel(
    source: Generator,
    targets: Mapping[str, Generator],
    directions: Mapping[str, Directions],
    words: Mapping[str, Sequence[str]] | None = None,
    library: str | Path | None = None,
    record: Mapping[str, Any] | None = None,
    count: int = 6,
) -> DirectionsPanel:
    """Move a face along the first directions of a preset, and see it in the source and in one style.

    Args:
        source, targets: a generator and models fine-tuned from it, by name.
        directions: {preset: Directions} of the source, e.g. of `sefa.factorize` for each of the layer presets.
        words: {preset: what each direction does}, of `judge_names(..., numbers=False)`.
        library, record: see `DirectionsPanel`.
        count: sliders; fewer where a preset has fewer directions.

    Raises:
        ValueError: no targets or no directions.
    """
    if not targets or not directions:
        raise ValueError(f"expected at least one target and one preset, got {len(targets)} and {len(directions)}")
    count = min(count, *(len(d) for d in directions.values()))
    controls = {
        "style": choice("style", list(targets)),
        "seed": int_slider("seed", 3, 0, 999, "which face"),
        "truncation": psi_slider(0.7, "of the face before the edit; 0: the mean face"),
        "preset": choice("layers", list(directions)),
        **{f"degree_{k}": _degree_slider(f"{k}", LIMIT) for k in range(count)},
        "saved": w.Dropdown(options=[NOTHING], value=NOTHING, description="saved", style=STYLE),
        "saved_degree": _degree_slider("how far along the saved direction", _longest(count)),
    }
    scene = Scene(source, targets, directions)
    return DirectionsPanel(scene, controls, words or {}, library, record=record)


def _longest(count: int) -> float:
    """The length of a mixture of so many directions (at right angles), each as far as it goes; in whole tenths."""
    return math.ceil(10 * LIMIT * math.sqrt(count)) / 10


def _degree_slider(label: str, limit: float) -> w.FloatSlider:
    return w.FloatSlider(0.0, min=-limit, max=limit, step=0.1, description=label, readout_format="+.1f", **WIDE)
