"""The directions panel without a browser: its pictures, its sliders, its films and the mixtures it keeps."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tiny_panels import generator, targets

from stylegan2 import display
from stylegan2.editing import latents
from stylegan2.editing.directions import Directions, move
from stylegan2.editing.sefa import factorize
from stylegan2.networks import Generator
from stylegan2.panels import panel as panels
from stylegan2.panels.directions import (
    GAP,
    LIMIT,
    LINE,
    SIDE,
    SMALL,
    Scene,
    directions_panel,
    edited_ws,
    render_directions,
    slider_labels,
)


@pytest.fixture(scope="module")
def models() -> tuple[Generator, dict[str, Generator]]:
    return generator(1), targets()


@pytest.fixture(scope="module")
def presets(models) -> dict[str, Directions]:
    return {name: factorize(models[0], name, count=4) for name in ("all", "coarse")}


@pytest.fixture
def scene(models, presets) -> Scene:
    return Scene(*models, presets)


@pytest.fixture
def panel(models, presets, tmp_path):
    panel = directions_panel(*models, presets, library=tmp_path / "library", record={"model": "none"})
    panel.folder = tmp_path / "pictures"
    panel.update()
    return panel


def part(picture, x: int, y: int, side: int) -> np.ndarray:
    return np.asarray(picture.crop((x, y, x + side, y + side))).astype(int)


def sized(image: torch.Tensor, side: int) -> np.ndarray:
    return np.asarray(display.to_pil(image).resize((side, side), display.Image.Resampling.BICUBIC)).astype(int)


def test_the_same_edited_code_in_both_worlds_beside_the_faces_before(scene):
    for _ in range(2):  # the second time the faces before are remembered
        picture = render_directions(scene, "portrait", "coarse", seed=5, truncation=0.5, degree_0=2.0, degree_3=-1.0)
        ws = latents.ws_from_seeds(scene.source, [5], 0.5)
        edited = move(ws, scene.directions["coarse"], {0: 2.0, 3: -1.0})
        for i, g in enumerate(scene.models("portrait").values()):
            after, before = (
                sized(g.synthesis(codes, "const")[0], side) for codes, side in ((edited, SIDE), (ws, SMALL))
            )
            assert np.abs(part(picture, SMALL + GAP + i * (SIDE + GAP), LINE, SIDE) - after).max() <= 1
            assert np.abs(part(picture, 0, LINE + i * (SMALL + GAP + LINE), SMALL) - before).max() <= 1


def test_a_slider_draws_each_model_once(scene, monkeypatch):
    drawn = []
    for g in scene.models("webtoon").values():
        g.synthesis.register_forward_hook(lambda module, args, out: drawn.append(len(out)))
    for degree in (0.0, 1.0, 2.0):
        render_directions(scene, "webtoon", degree_1=degree)
    assert drawn == [1, 1] * 3  # without an edit the face before is the face after
    picture = render_directions(scene, "webtoon", seed=9, degree_1=2.0)
    assert drawn[6:] == [2, 2] and len(scene.memory) == 1  # a new face and an edit: both in one batch
    scene.memory.clear()
    render_directions(scene, "webtoon", seed=9)
    again = render_directions(scene, "webtoon", seed=9, degree_1=2.0)
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(again)).max() <= 1


def test_errors_name_what_there_is(scene):
    ws = latents.ws_from_seeds(scene.source, [0])
    for call, message in (
        (lambda: render_directions(scene, "disney"), "unknown style 'disney': expected one of webtoon, portrait"),
        (lambda: render_directions(scene, "webtoon", "wide"), "unknown preset 'wide': expected one of all, coarse"),
        (lambda: edited_ws(scene, ws, "all", degree_9=1.0), "no direction 9: expected 0 to 3"),
        (lambda: directions_panel(scene.source, {}, scene.directions), "at least one target and one preset, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_the_panel_follows_its_controls_and_comes_back(panel, scene):
    first = panel.image.value
    changes = {"style": "portrait", "seed": 4, "truncation": 0.3, "preset": "coarse", "degree_0": 2.0, "degree_3": -1.5}
    for name, value in changes.items():
        before = panel.image.value
        panel.controls[name].value = value
        same = name == "preset"  # all sliders at 0: another preset changes nothing yet
        assert (panel.image.value == before) == same and panel.message.value == "", name
    settings = json.loads(panel.show_settings())
    assert changes.items() <= settings.items() and settings.pop("model") == "none"
    assert render_directions(scene, **settings).tobytes() == panel.picture.tobytes()
    picture = panel.picture.tobytes()
    panel.reset()
    assert panel.image.value == first
    panel.apply(settings)
    assert panel.picture.tobytes() == picture and panel.settings == settings


def test_another_preset_has_other_sliders_at_zero(panel, presets):
    sliders = [panel.controls[f"degree_{k}"] for k in range(4)]
    assert [s.description for s in sliders] == slider_labels(presets["all"])
    sliders[2].value = 3.0
    panel.controls["preset"].value = "coarse"
    assert [s.description for s in sliders] == slider_labels(presets["coarse"]) != slider_labels(presets["all"])
    assert all(s.value == 0 and s.max == LIMIT and s.min == -LIMIT for s in sliders)


def test_labels_say_the_value_and_what_the_judge_says(presets):
    d = presets["all"].select([0, 1])
    values = [f"λ {v:.3g}" for v in d.values.tolist()]
    d.rename(1, "pose")
    assert slider_labels(d, ["smile", "little"]) == [f"0 · {values[0]} · smile", f"pose · {values[1]} · little"]
    d.made_from["method"] = "ganspace"
    assert slider_labels(d)[0] == f"0 · σ {d.values[0]:.3g}"


def test_a_mixture_is_kept_under_its_name_and_comes_back_as_it_was(panel, models, presets, tmp_path):
    panel.controls["preset"].value = "coarse"
    panel.controls["degree_0"].value, panel.controls["degree_2"].value = 3.0, -4.0
    picture = np.asarray(panel.picture).astype(int)
    panel.name.value = " Slim face "
    path = panel.keep()
    assert path.name == "slim_face.pt" and "slim_face.pt" in panel.message.value
    kept = Directions.load(path)
    assert kept.names == ["Slim face"] and kept.layers == (0, 1)
    assert kept.made_from["mixed_from"] == {"direction 0": 3.0, "direction 2": -4.0}
    panel.reset()
    panel.controls["preset"].value = "Slim face"
    assert panel.controls["degree_0"].value == pytest.approx(5) and panel.controls["degree_1"].value == 0
    assert [slider.layout.display for slider in panel.sliders] == [None, "none", "none", "none"]
    assert panel.sliders[0].description.startswith("Slim face · λ ")
    assert np.abs(np.asarray(panel.picture).astype(int) - picture).max() <= 2
    panel.controls["preset"].value = "all"
    assert panel.controls["degree_0"].value == 0 and all(slider.layout.display is None for slider in panel.sliders)
    later = directions_panel(*models, presets, library=tmp_path / "library")  # another day
    assert "Slim face" in later.controls["preset"].options


def test_names_that_cannot_be_are_refused(panel):
    panel.controls["degree_0"].value = 1.0
    panel.keep("pose")
    for name, message in (
        ("pose", "there is a direction 'pose' already"),
        ("POSE", "already"),
        ("", "no name for a mixture"),
        ("!?", "no name for a mixture"),
        ("coarse", "already"),
    ):
        with pytest.raises(ValueError, match=message):
            panel.keep(name)
    panel.reset()
    with pytest.raises(ValueError, match="a mixture of nothing"):
        panel.keep("still")
    assert [path.name for path in panel.library.iterdir()] == ["pose.pt"]


def test_the_longest_mixture_comes_back_as_far_as_it_was_saved(panel):
    for k in range(4):
        panel.controls[f"degree_{k}"].value = LIMIT
    picture = np.asarray(panel.picture).astype(int)
    panel.keep("far")
    panel.reset()
    panel.controls["preset"].value = "far"
    far = panel.controls["degree_0"]
    assert far.value == pytest.approx(2 * LIMIT) == far.max
    assert np.abs(np.asarray(panel.picture).astype(int) - picture).max() <= 2
    settings = panel.show_settings()
    panel.keep("as far")  # what is offered changes, what is chosen stays
    assert far.value == pytest.approx(2 * LIMIT) and panel.settings["preset"] == "far"
    panel.reset()
    assert far.value == 0 and far.max == LIMIT
    panel.apply(settings)
    assert far.value == pytest.approx(2 * LIMIT)


@pytest.mark.parametrize(
    ("w_dim", "layers", "name", "message"),
    [
        (9, (0,), "a", "other.pt.*for these directions, got .1, 8, 8."),
        (8, (9,), "a", "other.pt.*has no layers 9; expected 0 to 7"),
        (8, (0,), "pose", "other.pt' is left out: pose is a name that is taken"),
        (8, (0,), "all", "other.pt' is left out: all is a name that is taken"),
    ],
)
def test_reload_names_files_that_cannot_be_offered(panel, presets, w_dim, layers, name, message):
    presets["coarse"].mix({0: 1.0}, "pose").save(panel.library / "a.pt")
    Directions(torch.eye(1, w_dim), torch.ones(1), layers, [name]).save(panel.library / "other.pt")
    with pytest.raises(ValueError, match=message):
        panel.reload()
    assert panel.controls["preset"].options == ("all", "coarse", "pose")
    assert torch.equal(panel.scene.directions["pose"].vectors[0], presets["coarse"].vectors[0])


def test_reload_offers_what_lies_in_the_folder_and_names_what_is_none(panel, presets):
    presets["coarse"].select([1]).save(panel.library / "found.pt")
    assert panel.reload() == ["direction 1"]
    panel.controls["preset"].value = "direction 1"
    (panel.library / "broken.pt").write_text("nothing")
    with pytest.raises(ValueError, match="broken.pt.*text file"):
        panel.reload()
    assert panel.controls["preset"].value == "direction 1"  # what can be read is still offered
    (panel.library / "found.pt").unlink()
    (panel.library / "broken.pt").unlink()
    assert panel.reload() == [] and panel.controls["preset"].value == "all"


def test_the_film_goes_to_the_edit_and_back(panel, scene, monkeypatch):
    monkeypatch.setattr(panels, "FRAMES", 4)
    with pytest.raises(ValueError, match="move a slider away from 0 first"):
        panel.save_video()
    panel.controls["degree_0"].value = 2.0
    frames = panel.frames()
    assert len(frames) == 4 and frames[2].tobytes() == panel.picture.tobytes()
    assert frames[0].tobytes() == render_directions(scene, "webtoon").tobytes()
    path = panel.save_video()
    assert path.suffix == ".mp4" and path.stat().st_size > 1000
