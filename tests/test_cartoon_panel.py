"""The cartoon panel without a browser: photos come in, dials are turned, pictures and films go out."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from base64 import b64decode
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from noise_pictures import noise_picture as png
from PIL import Image
from tiny_training import tiny_networks

from stylegan2 import display
from stylegan2.collect import detectors
from stylegan2.editing.cartoonize import cartoonize
from stylegan2.editing.encoder import Encoder
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.perceptual import psnr
from stylegan2.panels import app, cartoon
from stylegan2.panels.cartoon import (
    SIDE,
    STRENGTHS,
    CartoonPanel,
    How,
    Studio,
    cartoon_panel,
    render_cartoon,
)
from stylegan2.pocket import world
from stylegan2.pocket.nets import teaching
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.nets.perceptual import JudgeDistance
from stylegan2.pocket.nets.teaching import FaceCodes
from stylegan2.pocket.person import PersonCodes

SAMPLES = Path(__file__).parents[1] / "data" / "samples"


@pytest.fixture
def studio() -> Studio:
    """Somebody whose codes are known, and models of 32 pixels."""
    source, *styles = (tiny_networks(32, 6, seed)[0].eval().requires_grad_(False) for seed in (1, 2, 3))
    torch.manual_seed(0)
    e = Encoder(32, source.num_ws, source.w_dim, {4: 6, 8: 8, 16: 4, 32: 4}).eval().requires_grad_(False)
    with torch.no_grad():
        e(torch.zeros(1, 3, 32, 32))
    studio = Studio(source, dict(zip(("webtoon", "portrait"), styles, strict=True)), JudgeDistance(Judge()), e, steps=3)
    studio.add("ada", source.synthesis(ws_from_seeds(source, [3]), "const")[0].clamp(-1, 1))
    return studio


@pytest.fixture
def panel(studio, tmp_path) -> CartoonPanel:
    panel = cartoon_panel(studio, {"model": "tiny"})
    panel.folder = tmp_path
    return panel


def upload(panel: CartoonPanel, name: str, data: bytes) -> None:
    """As the browser does it."""
    file = {"name": name, "type": "image/png", "size": len(data)}
    if isinstance(panel.upload.value, dict):  # ipywidgets 7
        panel.upload.set_trait("value", {name: {"metadata": file | {"lastModified": 0}, "content": data}})
    else:
        panel.upload.value = ({**file, "last_modified": datetime.now(UTC), "content": memoryview(data)},)


def large(picture: Image.Image, column: int) -> np.ndarray:
    """Pixels of the photo, of what its codes draw, or of the cartoon."""
    return np.asarray(picture.crop((column * (SIDE + 4), 22, column * (SIDE + 4) + SIDE, 22 + SIDE))).astype(int)


def as_shown(image: torch.Tensor) -> np.ndarray:
    return np.asarray(display.sized(image, SIDE)).astype(int)


@pytest.mark.parametrize(("style", "cut", "strength"), [("webtoon", 4, 1.0), ("portrait", 16, 0.5)])
def test_the_picture_shows_the_photo_its_codes_and_the_cartoon(studio, style, cut, strength):
    picture = render_cartoon(studio, "ada", style, cut, strength)
    ws = studio.sitters["ada"].ws
    drawn = cartoonize(studio.source, studio.styles, ws, cut, 0.0, strength)[style][0]
    for column, image in enumerate((studio.sitters["ada"].photo[0], studio.source.synthesis(ws, "const")[0], drawn)):
        assert np.array_equal(large(picture, column), as_shown(image)), column


def test_without_strength_the_cartoon_is_what_the_codes_draw(studio):
    picture = render_cartoon(studio, "ada", "webtoon", 4, 0.0)
    assert np.array_equal(large(picture, 1), large(picture, 2))


def test_the_grid_holds_every_style_at_every_strength(studio):
    grid = studio.grid("ada", How(), 8, 0.0)
    ws = studio.sitters["ada"].ws
    for column, strength in enumerate(STRENGTHS):
        for row, image in enumerate(cartoonize(studio.source, studio.styles, ws, 8, 0.0, strength).values()):
            assert np.array_equal(grid[row][column], display.sized(image[0], 110))


def test_a_preview_has_the_size_of_the_picture_and_draws_no_grid(studio):
    quick = render_cartoon(studio, "ada", "webtoon", 16, 0.5, preview=True)
    assert not any(isinstance(made, list) for made in studio.sitters["ada"].memory.values())  # a grid
    whole = render_cartoon(studio, "ada", "webtoon", 16, 0.5)
    assert quick.size == whole.size and np.array_equal(large(quick, 2), large(whole, 2))
    assert np.array_equal(render_cartoon(studio, "ada", "webtoon", 16, 0.5, preview=True), whole)  # it is there now


def test_codes_come_from_the_encoder_and_are_then_improved(studio):
    photo = studio.sitters["ada"].photo
    encoded = Studio(studio.source, studio.styles, studio.distance, studio.encoder, steps=0)
    assert torch.equal(encoded.add("ada", photo[0]).ws, studio.encoder(photo))
    longer = Studio(studio.source, studio.styles, studio.distance, studio.encoder, steps=30)
    drawn = [studio.source.synthesis(s.add("ada", photo[0]).ws, "const") for s in (encoded, longer)]
    before, better = (psnr(image, photo) for image in drawn)
    assert better > before
    without = Studio(studio.source, studio.styles, studio.distance, None, steps=0)  # something has to be looked for
    assert without.add("ada", photo[0]).ws.shape == (1, studio.source.num_ws, studio.source.w_dim)


def test_an_unknown_name_or_style_lists_the_right_ones(studio):
    with pytest.raises(ValueError, match="unknown photo 'bob': expected one of ada"):
        render_cartoon(studio, "bob", "webtoon")
    with pytest.raises(ValueError, match="webtoon, portrait"):
        render_cartoon(studio, "ada", "manga")
    with pytest.raises(ValueError, match="add one first"):
        cartoon_panel(Studio(studio.source, studio.styles, studio.distance))


def test_an_uploaded_photo_is_shown_at_once(panel):
    before = panel.image.value
    upload(panel, "me & you.png", png())
    assert panel.settings["photo"] == "me & you" and list(panel.controls["photo"].options) == ["ada", "me & you"]
    assert panel.image.value != before and "as it is" in panel.message.value
    assert panel.progress.children == ()


def test_several_faces_become_several_sitters(panel, monkeypatch):
    points = np.array([(20, 25), (40, 25), (30, 40), (30, 50), (5, 30), (55, 30)], dtype=float)
    faces = [detectors.Face((x, 10.0, x + 60, 70.0), 1.0, points + (x, 10)) for x in (5.0, 90.0)]
    monkeypatch.setattr(detectors, "make", lambda *a, **k: lambda image: faces)
    assert panel.take("party.jpg", png(200)) == ["party_1", "party_2"]
    assert panel.settings["photo"] == "party_1"


def test_a_photo_without_a_face_is_said_and_a_square_may_be_given(panel, monkeypatch):
    monkeypatch.setattr(detectors, "make", lambda *a, **k: lambda image: [])
    upload(panel, "back.png", png(100))
    assert "no face found" in panel.message.value and "LEFT,TOP,SIDE" in panel.message.value
    assert list(panel.studio.sitters) == ["ada"]
    panel.square.value = "10, 20, 50"
    assert panel.take("back.png", png(100)) == ["back"] and "the square given" in panel.message.value
    wanted, text = panel.picture, panel.show_settings()
    panel.reset()
    panel.apply(text)
    assert np.array_equal(panel.picture, wanted)
    panel.square.value = "10, 20, 60"
    assert panel.take("back.png", png(100)) == ["back 2"]  # another face, as far as we know
    panel.square.value = "here"
    with pytest.raises(ValueError, match="expected LEFT,TOP,SIDE"):
        panel.take("back.png", png(100))


def test_what_is_no_picture_is_said_in_the_panel_and_changes_nothing(panel):
    panel.update()
    before = panel.picture
    upload(panel, "me.png", b"<html>")
    assert "me.png cannot be read: a web page" in panel.message.value
    assert panel.picture is before and list(panel.studio.sitters) == ["ada"]


def test_settings_rebuild_the_picture(panel):
    panel.take("me.png", png())
    panel.controls["strength"].value, panel.controls["style"].value = 0.5, "portrait"
    panel.update()
    wanted, text = panel.picture, panel.show_settings()
    panel.reset()
    assert panel.settings["photo"] == "ada" and not np.array_equal(panel.picture, wanted)
    panel.apply(text)
    assert np.array_equal(panel.picture, wanted)
    assert panel.take("me.png", png(seed=1)) == ["me 2"]  # another photo of that name
    panel.apply(text)
    assert np.array_equal(panel.picture, wanted) and panel.take("me.png", png()) == ["me"]  # it replaces itself


def test_a_saved_picture_can_be_downloaded(panel):
    path = panel.save()
    assert path.is_file() and f"download='{path.name}' href='data:image/png;base64," in panel.message.value


def test_the_film_goes_from_the_photo_to_the_cartoon_and_back(panel, studio):
    frames = panel.frames()
    assert frames[0].size == (2 * SIDE, 2 * SIDE)
    with torch.no_grad():
        ends = [studio.cartoons("ada", {"": g}, How())[""][0] for g in (studio.source, studio.styles["webtoon"])]
    for frame, end in zip((frames[0], frames[len(frames) // 2]), ends, strict=True):
        assert np.abs(np.asarray(frame, int) - np.asarray(display.sized(end, 2 * SIDE), int)).max() <= 1
    panel.controls["strength"].value = 0.0
    with pytest.raises(ValueError, match="away from 0"):
        panel.frames()


def test_a_path_takes_a_photo_of_any_size_and_the_button_says_its_limit(panel, tmp_path):
    assert "10 MB" in panel.upload.description
    (tmp_path / "me.png").write_bytes(png())
    panel.path.value = str(tmp_path / "me.png")
    assert panel.settings["photo"] == "me"
    panel.path.value = str(tmp_path / "none.png")
    assert "none.png" in panel.message.value and panel.settings["photo"] == "me"


def test_one_woman_in_a_large_photo_is_one_sitter_and_a_cat_none(panel):
    """Pieces of background used to become eight sitters."""
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the photos")
    for name, image in {"me": data.astronaut(), "cat": data.chelsea()}.items():
        file = io.BytesIO()
        Image.fromarray(image).resize((2048, 2048 * image.shape[0] // image.shape[1])).save(file, "JPEG")
        upload(panel, f"{name}.jpg", file.getvalue())
    assert list(panel.studio.sitters) == ["ada", "me"] and "no face found" in panel.message.value


def test_beside_the_cartoon_stands_what_was_read(panel, studio):
    panel.take("eileen.jpg", (SAMPLES / "eileen_collins.jpg").read_bytes())
    sitter = studio.sitters["eileen"]
    assert sitter.reading.values["smile"] > 0.6 and "; read: dark blond hair" in panel.message.value
    picture = render_cartoon(studio, "eileen", "portrait")
    wanted = display.to_pil(world.render(sitter.reading.faces(), "portrait", SIDE)[0])
    assert (
        np.array_equal(large(picture, 3), np.asarray(wanted))
        and picture.width > render_cartoon(studio, "ada", "portrait").width
    )
    assert np.array_equal(
        large(picture, 2), as_shown(cartoonize(studio.source, studio.styles, sitter.ws)["portrait"][0])
    )
    studio.styles["mine"] = studio.styles["portrait"]  # a world that nobody renders
    assert studio.drawing("eileen", "mine") is None and studio.drawing("ada", "portrait") is None


@pytest.fixture
def reader(studio, tmp_path) -> CartoonPanel:
    """A panel whose studio makes codes of readings (they mean nothing to its models)."""
    torch.manual_seed(0)
    codes = FaceCodes(teaching.describe(world.sample("photo", 1)).shape[1], studio.source.w_dim).requires_grad_(False)
    panel = cartoon_panel(dataclasses.replace(studio, people=PersonCodes(studio.source, codes)))
    panel.folder = tmp_path
    return panel


def test_who_was_read_is_drawn_and_searched_only_when_asked_for(reader, monkeypatch):
    studio = reader.studio
    reader.take("eileen.jpg", (SAMPLES / "eileen_collins.jpg").read_bytes())
    assert studio.sitters["eileen"].ws is None and studio.reading("eileen") and not studio.reading("ada")
    monkeypatch.setattr(cartoon, "read_person", lambda *_: pytest.fail("read again"))
    for style in ("portrait", "webtoon"):  # another style costs no new reading
        reader.controls["style"].value = style
        wanted = studio.people.cartoonize(studio.styles, studio.sitters["eileen"].reading.faces())[style]
        assert np.array_equal(large(reader.picture, 2), as_shown(wanted[0])) and studio.sitters["eileen"].ws is None
    read = reader.picture
    reader.controls["keep_colours"].value = 0.0
    assert not np.array_equal(large(reader.picture, 2), large(read, 2))
    reader.controls["codes"].value = "searched"
    ws = studio.sitters["eileen"].ws
    assert (
        ws is not None and list(studio.sitters) == ["ada", "eileen"] and reader.picture.height < read.height
    )  # no words below
    assert np.array_equal(large(reader.picture, 1), as_shown(studio.source.synthesis(ws, "const")[0]))
    reader.reset()
    reader.apply({"photo": "eileen", "style": "webtoon", "codes": "read"})
    assert np.array_equal(reader.picture, read) and studio.sitters["eileen"].ws is ws


def test_what_was_read_wrong_is_corrected_in_words(reader):
    reader.take("eileen.jpg", (SAMPLES / "eileen_collins.jpg").read_bytes())
    sitter, read = reader.studio.sitters["eileen"], reader.picture
    reader.controls["correct"].value = "glasses=round, smile = -0.9,"
    faces = sitter.reading.corrected({"glasses": "round", "smile": -0.9}).faces()
    wanted = reader.studio.people.cartoonize(reader.studio.styles, faces)["webtoon"]
    assert np.array_equal(large(reader.picture, 2), as_shown(wanted[0]))
    drawn = display.to_pil(world.render(faces, "webtoon", SIDE)[0])
    assert np.array_equal(large(reader.picture, 3), np.asarray(drawn)) and json.loads(reader.show_settings())["correct"]
    for words, says in (("hats=none", "hats"), ("glasses=pink", "round"), ("beard", "expected ATTRIBUTE=VALUE")):
        reader.controls["correct"].value = words
        assert says in reader.message.value, words
    reader.controls["correct"].value = " hair_colour = 0.9, 0.1,0.2, beard=goatee"  # a colour has commas too
    assert sitter.corrected(reader.settings["correct"]).values["hair_colour"] == pytest.approx((0.9, 0.1, 0.2))
    corrected = app.render_worlds(reader.studio, "eileen", correct=reader.settings["correct"], webtoon=True)
    assert not np.array_equal(corrected, app.render_worlds(reader.studio, "eileen", webtoon=True))
    reader.controls["photo"].value = "ada"  # whom nobody corrected
    assert reader.settings["correct"] == "" and not reader.message.value
    reader.controls["photo"].value = "eileen"
    assert np.array_equal(reader.picture, read)


def test_who_cannot_be_read_is_searched_and_it_is_said(reader, monkeypatch):
    def refuse(*_):
        raise ValueError("the face is 20 pixels wide")

    monkeypatch.setattr(cartoon, "read_person", refuse)
    reader.take("eileen.jpg", (SAMPLES / "eileen_collins.jpg").read_bytes())
    assert "nobody could be read: the face is 20 pixels wide" in reader.message.value
    assert reader.studio.sitters["eileen"].ws is not None


def test_the_picture_shows_what_was_taken(panel, studio):
    plain = render_cartoon(studio, "ada", "webtoon")
    studio.sitters["ada"] = dataclasses.replace(studio.sitters["ada"], seen=Image.new("RGB", (90, 60), "red"))
    shown = np.asarray(render_cartoon(studio, "ada", "webtoon"))
    red = (shown == (255, 0, 0)).all(-1)
    assert red.sum() > 5000 and not (np.asarray(plain) == (255, 0, 0)).all(-1).any()
    assert red.nonzero()[0].min() > SIDE and red.nonzero()[1].max() < 276  # below the face, left of the grid's names


# ------------------------------------------------------------------------------------------------------------- the app


def test_the_app_shows_the_chosen_worlds(studio):
    width = {n: app.SIDE * n + 4 * (n - 1) for n in (1, 2, 3)}
    assert app.render_worlds(studio, "ada", webtoon=True, portrait=True).width == width[3]
    assert app.render_worlds(studio, "ada", portrait=True).width == width[2]
    alone = app.render_worlds(studio, "ada", webtoon=False)
    assert alone.size == (width[1], app.SIDE + 22)
    cartoon = cartoonize(studio.source, studio.styles, studio.sitters["ada"].ws, strength=0.5)["portrait"][0]
    shown = app.render_worlds(studio, "ada", 0.5, portrait=True).crop((app.SIDE + 4, 22, width[2], app.SIDE + 22))
    assert np.array_equal(np.asarray(shown), np.asarray(display.sized(cartoon, app.SIDE)))


def test_the_app_takes_a_photo_says_what_is_wrong_and_gives_the_picture(studio, tmp_path, monkeypatch):
    panel = app.CartoonApp(studio)
    panel.update()
    assert list(panel.settings) == ["photo", "webtoon", "portrait", "strength"]
    first = panel.link.value
    upload(panel, "eileen's.jpg", (SAMPLES / "eileen_collins.jpg").read_bytes())
    assert panel.settings["photo"] == "eileen's" and panel.picture.height == 2 * (app.SIDE + 22) + 4
    assert panel.link.value != first
    name, link = re.search(r"download='([^']*)' href='data:image/png;base64,([^']*)'", panel.link.value).groups()
    assert unescape(name) == "eileen's as cartoon.png"
    assert np.array_equal(Image.open(io.BytesIO(b64decode(link))), panel.picture)
    upload(panel, "me.png", b"<html>")
    assert "me.png cannot be read: a web page" in panel.message.value and "ValueError" not in panel.message.value
    monkeypatch.setattr(detectors, "make", lambda *a, **k: lambda image: [])
    upload(panel, "back.png", png(100))
    assert app.NO_FACE in panel.message.value and "LEFT" not in panel.message.value
    panel.show_error(OSError("the disk is full"))
    assert "OSError" in panel.message.value
