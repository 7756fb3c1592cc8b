"""Panels without a browser: every callback is a plain function, errors stay inside, settings rebuild the picture."""

import asyncio
import io
import json
import time
from base64 import b64decode
from pathlib import Path

import ipywidgets
import pytest
import torch
from PIL import Image
from tiny_panels import check_controls, generator

from stylegan2 import display
from stylegan2.networks import build
from stylegan2.panels import controls, latent
from stylegan2.panels import dataset as dataset_panels
from stylegan2.panels import panel as panels
from stylegan2.panels.monitor import TrainingMonitor
from stylegan2.panels.panel import Panel
from stylegan2.pocket import world


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
    sliders = {"red": controls.int_slider("red", 1, 0, 255), "blue": controls.int_slider("blue", 2, 0, 255)}
    return Panel(swatch, sliders, "swatch", tmp_path, record={"model": "none"})


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
        await asyncio.sleep(5 * panels.DELAY)

    asyncio.run(drag())
    assert drawn == [59]


def test_positions_during_a_slow_picture_do_not_queue(panel):
    """A drag of 0.4 s, a position every 4 ms, a picture takes 0.05 s: the loop is as busy as a kernel's."""
    drawn = []

    def slow(**settings):
        time.sleep(0.05)
        drawn.append(settings["red"])
        return swatch(**settings)

    panel.render = slow

    async def drag():
        for value in range(100, 200):
            panel.controls["red"].value = value
            await asyncio.sleep(0.004)
        await asyncio.sleep(2 * panels.PATIENCE)

    asyncio.run(drag())
    assert drawn[-1] == 199 and drawn == sorted(set(drawn))
    assert 2 <= len(drawn) <= 20, drawn  # it follows, but draws far fewer than a hundred


def test_a_drag_without_a_pause_is_followed(panel):
    """Positions that come faster than DELAY must not put the picture off until the drag ends."""
    drawn = []
    panel.render = lambda **settings: drawn.append(settings["red"]) or swatch(**settings)

    async def drag():
        begin = time.monotonic()
        while time.monotonic() - begin < 4 * panels.PATIENCE:
            panel.controls["red"].value = (panel.controls["red"].value + 1) % 250
            await asyncio.sleep(0)
        return len(drawn)

    assert asyncio.run(drag()) >= 2


# ----------------------------------------------------------------------------------------------- preview, then in full


@pytest.fixture
def both(panel):
    """The panel with a preview, and a list of what was drawn: ("preview" or "full", red)."""
    drawn = []

    def render(red, blue, preview=False):
        drawn.append(("preview" if preview else "full", red))
        return swatch(red, 200 if preview else blue)

    panel.render, panel.preview, panel.drawn = render, True, drawn
    return panel


def test_a_preview_at_once_and_the_picture_after_the_last_change(both, monkeypatch):
    monkeypatch.setattr(panels, "SETTLE", 0.08)

    async def drag():
        for value in (10, 20, 30):
            both.controls["red"].value = value
            await asyncio.sleep(3 * panels.DELAY)  # three positions, none of which rests long enough
        at_the_end = list(both.drawn)
        await asyncio.sleep(3 * panels.SETTLE)
        return at_the_end

    during = asyncio.run(drag())
    assert during == [("preview", 10), ("preview", 20), ("preview", 30)]
    assert both.drawn == [*during, ("full", 30)] and both.picture.getpixel((0, 0)) == (30, 0, 2)


def test_saving_during_a_preview_saves_the_full_picture(both):
    async def save_soon():
        both.controls["red"].value = 10
        await asyncio.sleep(3 * panels.DELAY)
        assert both.picture.getpixel((0, 0)) == (10, 0, 200)
        path = both.save()
        await asyncio.sleep(2 * panels.SETTLE)
        return path

    path = asyncio.run(save_soon())
    assert Image.open(path).getpixel((0, 0)) == (10, 0, 2)
    assert both.drawn == [("preview", 10), ("full", 10)]  # nothing is drawn once more


# --------------------------------------------------------------------------------------------------- pictures and films


@pytest.fixture
def filming(tmp_path, monkeypatch):
    monkeypatch.setattr(panels, "FRAMES", 4)
    sliders = {"red": controls.int_slider("red", 8, 0, 255), "blue": controls.int_slider("blue", 2, 0, 255)}
    return Panel(lambda red, blue: swatch(round(red), blue), sliders, "swatch", tmp_path, video={"red": None})


def buttons(panel) -> dict[str, ipywidgets.Button]:
    def below(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from below(child)

    return {widget.description: widget for widget in below(panel.box) if isinstance(widget, ipywidgets.Button)}


def test_only_panels_with_a_film_offer_to_save_one(panel, filming):
    assert "Save video" in buttons(filming) and "Save video" not in buttons(panel)


def test_a_film_goes_from_0_to_where_the_control_stands_or_to_a_number_and_back(filming):
    def reds():
        return [frame.getpixel((0, 0))[0] for frame in filming.frames()]

    assert reds() == [0, 4, 8, 4]
    filming.video = {"red": 100.0}
    assert reds() == [0, 50, 100, 50]
    filming.video = {"blue": None}
    filming.controls["blue"].value = 0
    with pytest.raises(ValueError, match="nothing to show: move blue away from 0 first"):
        filming.frames()


def test_the_button_writes_a_film_and_shows_it_in_the_panel(filming, tmp_path):
    shown = []
    filming.progress.observe(lambda change: shown.extend(change["new"]), "children")
    buttons(filming)["Save video"].click()
    assert "swatch-001.mp4" in filming.message.value and filming.progress.children == ()
    ((_, bar, words),) = (container.children for container in shown)
    assert bar.value == bar.max == 4 and words.value.replace("\u2007", " ") == "4 of 4 frames, 00:00 left"
    (video,) = filming.film.children
    assert video.value == (tmp_path / "swatch-001.mp4").read_bytes() and video.value[4:8] == b"ftyp"
    assert filming.save_video().name == "swatch-002.mp4"


@pytest.mark.parametrize(
    "error, said", [(RuntimeError("no <paint>"), "no &lt;paint&gt;"), (KeyboardInterrupt(), "stopped")]
)
def test_a_film_that_fails_or_is_stopped_leaves_nothing(filming, tmp_path, error, said):
    def broken(red, blue):
        if red > 4:
            raise error
        return swatch(1, 1)

    filming.render = broken
    buttons(filming)["Save video"].click()
    assert said in filming.message.value and list(tmp_path.iterdir()) == [] and filming.film.children == ()
    assert filming.progress.children == ()


@pytest.mark.parametrize("name", ["Reset", "Save picture", "Copy settings", "Save video"])
def test_errors_of_every_button_stay_inside(filming, name):
    def fail(**settings):
        raise RuntimeError("no paint")

    filming.render = fail
    filming.record["no JSON"] = object()
    buttons(filming)[name].click()
    assert "Error" in filming.message.value


def test_a_picture_that_failed_is_not_saved_as_another(panel, tmp_path):
    panel.update()
    panel.controls["red"].value = 255
    with pytest.raises(ValueError, match="too red"):
        panel.save()
    assert list(tmp_path.iterdir()) == []


def test_saved_pictures_are_numbered(panel):
    panel.update()
    assert [panel.save().name, panel.save().name] == ["swatch-001.png", "swatch-002.png"]


def encoded(panel) -> bytes:
    buffer = io.BytesIO()
    panel.picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_settings_rebuild_the_same_bytes_in_another_panel(g):
    first, other = latent.latent_panel(g, {"model": "m"}), latent.latent_panel(g, {"model": "m"})
    for name, value in {"seed": 4, "blend": 0.5, "truncation": -0.3, "noise": "random", "noise_seed": 7}.items():
        first.controls[name].value = value
    other.update()
    assert encoded(first) != encoded(other)
    other.apply(first.show_settings())
    assert encoded(first) == encoded(other) and first.image.value == other.image.value
    other.apply({"seed": 5})
    assert other.settings == {**first.settings, "seed": 5}


def test_pasting_draws_once_and_clears_the_field(panel):
    panel.update()
    calls = []
    panel.render = lambda **settings: calls.append(settings) or swatch(**settings)
    panel.pasted.value = '{"red": 7, "blue": 8, "model": "none"}'
    assert calls == [{"red": 7, "blue": 8}] and panel.pasted.value == "" and panel.message.value == ""


@pytest.mark.parametrize(
    "pasted, said",
    [
        ("red 7", "not JSON"),
        ("[1]", "expected settings such as"),
        ('{"red": 7, "green": 8}', "unknown settings &#39;green&#39;: this panel has red, blue, model"),
        ('{"blue": 9, "red": 300}', "red is 300, expected a whole number from 0 to 255"),
        ('{"blue": 9, "red": 1.5}', "red is 1.5, expected a whole number"),
        ('{"blue": 9, "red": "x"}', "red is &#39;x&#39;, expected a whole number"),
        ('{"blue": 9, "red": true}', "red is True, expected a whole number"),
        ('{"blue": 9, "model": "other"}', "settings are for model &#39;other&#39;, this panel shows &#39;none&#39;"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_nothing_moves(panel, pasted, said):
    panel.update()
    before, picture = panel.settings, panel.image.value
    panel.pasted.value = pasted
    assert said.replace("&#39;", "'") in panel.message.value
    assert panel.settings == before and panel.image.value == picture and panel.pasted.value == pasted
    with pytest.raises(ValueError):
        panel.apply(pasted)


def test_values_of_every_kind_of_control_come_back_from_json():
    given = {
        "flag": ipywidgets.Checkbox(False),
        "pair": controls.steps_slider("pair", [("one", (1, 2)), ("two", (3, 4))], (1, 2)),
        "name": controls.choice("name", ["a", "b", "c", "d", "e"]),
        "text": ipywidgets.Text("x"),
        "low": controls.int_slider("low", 0, 0, 3),
    }
    given["text"].observe(lambda change: setattr(given["low"], "max", 9), "value")  # one that widens another
    controls.assign(given, json.loads(json.dumps({"flag": True, "pair": (3, 4), "name": "e", "text": "y", "low": 8})))
    assert [c.value for c in given.values()] == [True, (3, 4), "e", "y", 8]
    for name, value, said in (
        ("flag", 1, "true or false"),
        ("pair", [5, 6], r"one of \(1, 2\), \(3, 4\)"),
        ("name", "z", "one of 'a', 'b'"),
        ("low", 10, "from 0 to 9"),
    ):
        with pytest.raises(ValueError, match=f"{name} is .*expected .*{said}"):
            controls.assign(given, {name: value})


def test_static_picture_beside_the_live_panel(panel):
    panel.update()
    bundle = panels.StaticAndLive(panel.box, panel.picture)._repr_mimebundle_()
    assert b64decode(bundle["image/jpeg"]).startswith(b"\xff\xd8")
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_latent_panel_follows_its_controls():
    changes = {"seed": 4, "second": 3, "blend": 0.5, "truncation": 0.3, "noise": "random", "noise_seed": 7}
    check_controls(latent.latent_panel(generator(1)), changes)


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

    resolution = world.SIZE
    path = Path("faces.lmdb")

    def __init__(self, n):
        self.images = world.render(world.sample("webtoon", n), "webtoon")

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


def test_pages_beyond_the_last_are_refused():
    assert dataset_panels.dataset_panel(Faces(64)).controls["page"].max == 1
    with pytest.raises(ValueError, match="page is 2, expected 0 to 1"):
        dataset_panels.render_dataset(Faces(40), 2, False, 1)


def test_augment_preview_at_zero_changes_nothing():
    images = Faces(3).images.float() / 127.5 - 1
    same = dataset_panels.render_augmented(images, 0.0, 0, "bgc")
    assert dataset_panels.render_augmented(images, 0.0, 5, "b").tobytes() == same.tobytes()
    assert dataset_panels.render_augmented(images, 0.9, 0, "bgc").tobytes() != same.tobytes()


def test_monitor_keeps_a_timeline():
    monitor = TrainingMonitor(columns=2, most=3)
    trainer = type("T", (), {"images_seen": 0, "config": type("C", (), {"images": 100})})()
    for seen in (0, 10, 20, 30, 40):
        trainer.images_seen = seen
        monitor.on_sample(trainer, torch.full((4, 3, 16, 16), seen / 40))
    monitor.on_log(trainer, {"images_per_second": 6.0, "augment_p": 0.1, "loss_g": 1.0, "loss_d": 2.0})
    assert "40 of 100" in monitor.status.value and "about 10 s left" in monitor.status.value
    three, one = monitor.picture().height, display.grid(monitor.samples[0], scale=2).height
    assert 3 * one <= three <= 3 * one + 20  # five samples, three rows kept
    assert isinstance(monitor.box, ipywidgets.VBox)


def test_uploads_of_both_ipywidgets_are_understood():
    """Version 7, which Colab has, and 8."""
    seven = {"a.png": {"metadata": {"name": "a.png"}, "content": b"12"}}
    eight = ({"name": "a.png", "content": memoryview(b"12")},)
    assert controls.uploaded_files(seven) == controls.uploaded_files(eight) == [("a.png", b"12")]


def test_a_slider_explains_itself():
    slider = controls.float_slider("psi", 0.7, 0, 1, help="0: the mean face")
    assert getattr(slider, controls.TIP) == "0: the mean face"


def test_a_frame_lies_inside_and_the_picture_stays():
    picture = Image.new("RGB", (20, 20), "blue")
    framed = panels.framed(picture, "red", 3)
    assert framed.size == (20, 20) and picture.getpixel((0, 0)) == framed.getpixel((3, 3))
    assert all(framed.getpixel(place) == (255, 0, 0) for place in ((0, 0), (2, 10), (19, 19)))
