"""Panels without a browser: every callback is a plain function, errors stay inside, settings rebuild the picture."""

import asyncio
import json
from base64 import b64decode
from pathlib import Path

import ipywidgets
import pytest
import torch
from PIL import Image

from stylegan2 import display, widgets
from stylegan2.data import pocket
from stylegan2.networks import build
from stylegan2.panels import dataset as dataset_panels
from stylegan2.panels import latent


@pytest.fixture(scope="module")
def g():
    return build(16, "pocket")[0].eval().requires_grad_(False)


def swatch(red: int, blue: int) -> Image.Image:
    """A plain picture whose colour is its arguments."""
    if red > 250:
        raise ValueError("too red <here>")
    return Image.new("RGB", (4, 4), (red, 0, blue))


@pytest.fixture
def panel(tmp_path):
    controls = {"red": widgets.int_slider("red", 1, 0, 255), "blue": widgets.int_slider("blue", 2, 0, 255)}
    return widgets.Panel(swatch, controls, "swatch", tmp_path, record={"model": "none"})


def test_moving_a_control_redraws_in_place(panel):
    image = panel.image
    panel.update()
    before = image.value
    panel.controls["red"].value = 77
    assert panel.image is image and image.value != before
    assert panel.picture.getpixel((0, 0)) == (77, 0, 2)


def test_reset_draws_once_and_restores(panel, monkeypatch):
    panel.update()
    first = panel.image.value
    panel.controls["red"].value, panel.controls["blue"].value = 9, 9
    calls = []
    monkeypatch.setattr(panel, "render", lambda **settings: calls.append(settings) or swatch(**settings))
    panel.reset()
    assert panel.image.value == first and len(calls) == 1


def test_errors_are_shown_inside_and_go_away(panel):
    panel.controls["red"].value = 255
    assert "ValueError" in panel.message.value and "&lt;here&gt;" in panel.message.value
    panel.controls["red"].value = 5
    assert panel.message.value == ""


def test_dragging_draws_only_the_latest(panel):
    drawn = []
    panel.render = lambda **settings: drawn.append(settings["red"]) or swatch(**settings)

    async def drag():
        for value in range(10, 60):
            panel.controls["red"].value = value
        await asyncio.sleep(5 * widgets.DELAY)

    asyncio.run(drag())
    assert drawn == [59]


def test_saved_pictures_are_numbered(panel):
    panel.update()
    assert [panel.save().name, panel.save().name] == ["swatch-001.png", "swatch-002.png"]


def test_settings_rebuild_the_picture(panel):
    panel.controls["red"].value = 42
    settings = json.loads(panel.show_settings())
    assert settings.pop("model") == "none"
    assert swatch(**settings).tobytes() == panel.picture.tobytes()


def test_static_picture_beside_the_live_panel(panel):
    panel.update()
    bundle = widgets._StaticAndLive(panel.box, panel.picture)._repr_mimebundle_()
    assert b64decode(bundle["image/jpeg"]).startswith(b"\xff\xd8")
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_latent_panel_follows_its_controls(g):
    panel = latent.latent_panel(g)
    panel.update()
    first = panel.image.value
    for name, value in {"seed": 4, "blend": 0.5, "truncation": 0.3}.items():
        before = panel.image.value
        panel.controls[name].value = value
        assert panel.image.value != before, name
    panel.reset()
    assert panel.image.value == first


def test_latent_panel_blend_reaches_both_ends(g):
    def large(blend):
        return latent.render_latent(g, 1, 2, blend, 0.8, "const").crop((0, 0, 384, 384)).tobytes()

    swapped = latent.render_latent(g, 2, 1, 0.0, 0.8, "const").crop((0, 0, 384, 384)).tobytes()
    assert large(1.0) == swapped and large(0.0) != swapped


def test_random_noise_is_repeatable(g):
    for block in g.synthesis.convs:
        block.noise_strength.fill_(0.5)
    drawn = [latent.render_latent(g, 1, 2, 0, 1, "random", seed).tobytes() for seed in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]


class Faces:
    """Enough of a dataset for the panel."""

    resolution = 64
    path = Path("faces.lmdb")

    def __init__(self, n):
        self.images = pocket.render(pocket.sample("webtoon", n), "webtoon")

    def __len__(self):
        return len(self.images)

    def __getitem__(self, item):
        index, flip = item
        return self.images[index].flip(2) if flip else self.images[index]


def test_dataset_panel_pages_to_the_end():
    panel = dataset_panels.dataset_panel(Faces(40))
    panel.controls["page"].value = panel.controls["page"].max
    assert panel.message.value == ""
    whole = panel.picture.size
    panel.controls["mirror"].value = True
    assert panel.picture.size == whole and panel.message.value == ""


def test_augment_preview_at_zero_changes_nothing():
    images = Faces(3).images.float() / 127.5 - 1
    same = dataset_panels.render_augmented(images, 0.0, 0, "bgc")
    assert dataset_panels.render_augmented(images, 0.0, 5, "b").tobytes() == same.tobytes()
    assert dataset_panels.render_augmented(images, 0.9, 0, "bgc").tobytes() != same.tobytes()


def test_monitor_keeps_a_timeline():
    monitor = widgets.TrainingMonitor(columns=2, most=3)
    trainer = type("T", (), {"images_seen": 0, "config": type("C", (), {"images": 100})})()
    for seen in (0, 10, 20, 30, 40):
        trainer.images_seen = seen
        monitor.on_sample(trainer, torch.full((4, 3, 16, 16), seen / 40))
    monitor.on_log(trainer, {"images_per_second": 6.0, "augment_p": 0.1, "loss_g": 1.0, "loss_d": 2.0})
    assert "40 of 100" in monitor.status.value and "about 10 s left" in monitor.status.value
    three, one = monitor.picture().height, display.grid(monitor.samples[0], scale=2).height
    assert 3 * one <= three <= 3 * one + 20  # five samples, three rows kept
    assert isinstance(monitor.box, ipywidgets.VBox)
